//! From text to tokens, each with its column.

use document::{Code, Fault};

use super::path::{Path, Step};

/// One word of a selector.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// A field, a keyword or a value without quotes.
    Word(String),
    /// A value in quotes.
    Text(String),
    /// `payload` and a path.
    Payload(Path),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// One of `= != < <= > >= ~`
    Operator(&'static str),
    /// After the last.
    End,
}

/// A token and where it begins, in characters from 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spanned {
    pub(super) token: Token,
    pub(super) column: usize,
}

impl Token {
    /// As it is named in messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Token::Word(word) => format!("{word:?}"),
            Token::Text(_) => "a quoted text".to_owned(),
            Token::Payload(path) => format!("\"{path}\""),
            Token::Open => "\"(\"".to_owned(),
            Token::Close => "\")\"".to_owned(),
            Token::Comma => "\",\"".to_owned(),
            Token::Operator(sign) => format!("{sign:?}"),
            Token::End => "the end".to_owned(),
        }
    }
}

/// The fault of a selector that cannot be read at `column`.
pub(super) fn syntax(column: usize, detail: impl Into<String>) -> Fault {
    Fault::new(Code::SelectorSyntax, detail).at_column(column.to_string())
}

/// Cuts a selector into tokens; the last is [`Token::End`].
///
/// # Errors
/// `E_SELECTOR` at the column of a character, a quote or a path that cannot be read.
pub(super) fn tokens(text: &str) -> Result<Vec<Spanned>, Fault> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next()?;
        let ended = token.token == Token::End;
        tokens.push(token);
        if ended {
            return Ok(tokens);
        }
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn next(&mut self) -> Result<Spanned, Fault> {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
        let column = self.column();
        let Some(first) = self.peek() else { return Ok(Spanned { token: Token::End, column }) };
        let token = match first {
            '(' => self.taken(Token::Open),
            ')' => self.taken(Token::Close),
            ',' => self.taken(Token::Comma),
            '~' => self.taken(Token::Operator("~")),
            '=' => self.taken(Token::Operator("=")),
            '!' | '<' | '>' => self.relation(first)?,
            '"' | '\'' => Token::Text(self.quoted(first)?),
            first if in_word(first) => self.word()?,
            other => {
                return Err(syntax(column, format!("{other:?} has no meaning here")).hint("put texts in quotes"));
            }
        };
        Ok(Spanned { token, column })
    }

    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn column(&self) -> usize {
        self.at + 1
    }

    fn taken(&mut self, token: Token) -> Token {
        self.at += 1;
        token
    }

    fn relation(&mut self, first: char) -> Result<Token, Fault> {
        let column = self.column();
        self.at += 1;
        let equal = self.peek() == Some('=');
        self.at += usize::from(equal);
        Ok(Token::Operator(match (first, equal) {
            ('<', false) => "<",
            ('<', true) => "<=",
            ('>', false) => ">",
            ('>', true) => ">=",
            ('!', true) => "!=",
            _ => return Err(syntax(column, "expected \"!=\"").hint("write not before a condition to turn it round")),
        }))
    }

    /// In double quotes `\"` and `\\` stand for the character after the stroke; any other stroke stands for itself, so
    /// that patterns can be written as they are. In single quotes only `''` stands for one quote.
    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let column = self.column();
        self.at += 1;
        let mut text = String::new();
        while let Some(c) = self.peek() {
            self.at += 1;
            match (c, self.peek()) {
                ('\\', Some(next @ ('"' | '\\'))) if quote == '"' => {
                    text.push(next);
                    self.at += 1;
                }
                ('\'', Some('\'')) if quote == '\'' => {
                    text.push('\'');
                    self.at += 1;
                }
                _ if c == quote => return Ok(text),
                _ => text.push(c),
            }
        }
        Err(syntax(column, "the quote is not closed"))
    }

    fn word(&mut self) -> Result<Token, Fault> {
        let mut word = String::new();
        while let Some(c) = self.peek() {
            if word == "payload" && matches!(c, '.' | '[') {
                return self.path().map(Token::Payload);
            }
            if !in_word(c) {
                break;
            }
            word.push(c);
            self.at += 1;
        }
        Ok(Token::Word(word))
    }

    fn path(&mut self) -> Result<Path, Fault> {
        let mut steps = Vec::new();
        while let Some(c) = self.peek() {
            match c {
                '.' => {
                    self.at += 1;
                    steps.push(Step::Name(self.name()?));
                }
                '[' => {
                    self.at += 1;
                    steps.push(self.subscript()?);
                }
                _ => break,
            }
        }
        Ok(Path::new(steps))
    }

    fn name(&mut self) -> Result<String, Fault> {
        let mut name = String::new();
        while let Some(c) = self.peek()
            && (c.is_alphanumeric() || c == '_' || c == '-')
        {
            name.push(c);
            self.at += 1;
        }
        if name.is_empty() {
            return Err(syntax(self.column(), "expected the name of a member").hint("write payload[\"…\"] for others"));
        }
        Ok(name)
    }

    fn subscript(&mut self) -> Result<Step, Fault> {
        let column = self.column();
        let step = match self.peek() {
            Some('*') => {
                self.at += 1;
                Step::Any
            }
            Some(quote @ ('"' | '\'')) => Step::Name(self.quoted(quote)?),
            _ => {
                let mut digits = String::new();
                while let Some(c) = self.peek()
                    && c.is_ascii_digit()
                {
                    digits.push(c);
                    self.at += 1;
                }
                let index = digits.parse();
                Step::Index(index.map_err(|_| syntax(column, "expected a place from 0, \"*\" or a quoted name"))?)
            }
        };
        if self.peek() != Some(']') {
            return Err(syntax(self.column(), "expected \"]\""));
        }
        self.at += 1;
        Ok(step)
    }
}

/// What may stand in a field or in a value without quotes: names, codes, numbers, times with their zone, topics.
fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '+' | '/' | '@' | '#' | '%')
}
