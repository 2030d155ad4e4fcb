//! From the written text to tokens: quotes, references and lookups become placeholders, everything else is checked.
//!
//! What stands between quotes or braces never reaches the parser, so neither data nor documents can change the grammar.

use document::{Code, Fault};
use sqlparser::ast::{Expr, UnaryOperator};
use sqlparser::dialect::{Dialect, MySqlDialect, Precedence};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, Word};

use super::catalogue;
use super::node::Node;
use crate::lookup::{FIND_COLLECTION, Lookup};
use crate::reference::{parse_template, reference_at};

/// The character that encloses the number of a placeholder; it cannot stand outside quotes in an expression.
const MARK: char = '\u{E000}';

/// The most tokens of one expression.
const TOKENS: usize = 20_000;

/// The most operators written behind their operand, such as `IS NULL`: each deepens the parser's tree.
const POSTFIX: usize = 1_000;

/// Words that end a lookup inside an expression.
const END_FIND: &str = "_endFind";

/// MySQL, with MySQL's own order of operators.
#[derive(Debug)]
pub(super) struct Expressions;

impl Dialect for Expressions {
    fn is_identifier_start(&self, c: char) -> bool {
        MySqlDialect {}.is_identifier_start(c)
    }

    fn is_identifier_part(&self, c: char) -> bool {
        MySqlDialect {}.is_identifier_part(c)
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '`'
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }

    fn requires_single_line_comment_whitespace(&self) -> bool {
        true
    }

    // There are no column names, so a mistake inside CASE is a mistake of CASE and not a column of that name.
    fn is_reserved_for_identifier(&self, _: Keyword) -> bool {
        true
    }

    // In MySQL `!` binds more tightly than any operator, unlike NOT.
    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        if !parser.consume_token(&Token::ExclamationMark) {
            return None;
        }
        let inner = parser.parse_subexpr(self.prec_value(Precedence::DoubleColon));
        Some(inner.map(|inner| Expr::UnaryOp { op: UnaryOperator::BangNot, expr: Box::new(inner) }))
    }

    // In MySQL all comparisons, LIKE, IN and IS are equally strong, and XOR lies between AND and OR.
    fn prec_value(&self, precedence: Precedence) -> u8 {
        match precedence {
            Precedence::Like | Precedence::Is => 20,
            Precedence::Xor => 7,
            other => MySqlDialect {}.prec_value(other),
        }
    }
}

/// Tokens without blanks, what the placeholders stand for, and the way back to columns.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) tokens: Vec<TokenWithSpan>,
    pub(super) bound: Vec<Node>,
    columns: Columns,
}

/// Columns of the written text by columns of the prepared one.
#[derive(Debug, Default)]
struct Columns(Vec<usize>);

impl Columns {
    fn of(&self, prepared: u64) -> usize {
        let at = usize::try_from(prepared).unwrap_or(0).saturating_sub(1);
        self.0.get(at).or(self.0.last()).copied().unwrap_or(1)
    }
}

pub(super) fn fault(column: usize, detail: impl Into<String>) -> Fault {
    Fault::new(Code::Function, detail).at_column(column.to_string())
}

impl Prepared {
    /// The column of the written text, from the given first one.
    pub(super) fn column(&self, location: Location) -> usize {
        self.columns.of(location.column)
    }

    /// What a placeholder stands for; nothing when the name is not exactly one placeholder.
    pub(super) fn bound(&self, name: &str) -> Option<&Node> {
        let number = name.strip_prefix(MARK)?.strip_suffix(MARK)?;
        self.bound.get(number.parse::<usize>().ok()?)
    }

    pub(super) fn new(text: &str, first_column: usize) -> Result<Self, Fault> {
        let mut scanner = Scanner {
            chars: text.chars().collect(),
            first_column,
            out: String::new(),
            columns: Columns::default(),
            bound: Vec::new(),
        };
        scanner.scan()?;
        scanner.columns.0.push(first_column + scanner.chars.len());
        let Scanner { out, columns, bound, .. } = scanner;
        let tokens = Tokenizer::new(&Expressions, &out)
            .tokenize_with_location()
            .map_err(|error| fault(columns.of(error.location.column), error.message))?;
        let tokens = checked(tokens, &columns)?;
        Ok(Self { tokens, bound, columns })
    }
}

struct Scanner {
    chars: Vec<char>,
    first_column: usize,
    out: String,
    columns: Columns,
    bound: Vec<Node>,
}

impl Scanner {
    fn scan(&mut self) -> Result<(), Fault> {
        let mut at = 0;
        while let Some(&c) = self.chars.get(at) {
            at = match c {
                '\'' | '"' => self.quoted(at, c)?,
                '{' => match self.located(reference_at(&self.chars, at), 0)? {
                    Some((reference, end)) => self.bind(Node::Value(reference), at, end),
                    None => return Err(self.fault(at, "braces must hold a path, such as {FBillNo}")),
                },
                '_' if self.word_at(at, FIND_COLLECTION) => self.lookup(at)?,
                MARK => return Err(self.fault(at, "a character that cannot stand in an expression")),
                _ => {
                    self.emit(if c.is_whitespace() { ' ' } else { c }, at);
                    at + 1
                }
            };
        }
        Ok(())
    }

    fn fault(&self, at: usize, detail: &str) -> Fault {
        fault(self.first_column + at, detail)
    }

    /// Moves the column of a fault from the part to the whole text.
    fn located<T>(&self, result: Result<T, Fault>, begin: usize) -> Result<T, Fault> {
        result.map_err(|mut fault| {
            let inner: usize = fault.place.column.as_deref().and_then(|column| column.parse().ok()).unwrap_or(1);
            fault.place.column = Some((self.first_column + begin + inner - 1).to_string());
            fault
        })
    }

    fn emit(&mut self, c: char, at: usize) {
        self.out.push(c);
        self.columns.0.push(self.first_column + at);
    }

    fn bind(&mut self, node: Node, begin: usize, end: usize) -> usize {
        let name = format!("{MARK}{}{MARK}", self.bound.len());
        name.chars().for_each(|c| self.emit(c, begin));
        self.bound.push(node);
        end
    }

    /// Whether a word stands here, on its own.
    fn word_at(&self, at: usize, word: &str) -> bool {
        let alone = at == 0 || self.chars.get(at - 1).is_none_or(|c| !c.is_alphanumeric() && *c != '_');
        alone && word.chars().zip(self.chars.iter().skip(at)).filter(|(a, b)| a == *b).count() == word.chars().count()
    }

    fn quoted(&mut self, begin: usize, quote: char) -> Result<usize, Fault> {
        let mut text = String::new();
        let mut at = begin + 1;
        loop {
            let next = self.chars.get(at + 1).copied();
            match self.chars.get(at) {
                None => return Err(self.fault(begin, "a quoted text is not closed")),
                Some('\\') => {
                    match next {
                        None => return Err(self.fault(begin, "a quoted text is not closed")),
                        Some('n') => text.push('\n'),
                        Some('r') => text.push('\r'),
                        Some('t') => text.push('\t'),
                        Some('b') => text.push('\u{8}'),
                        Some('0') => text.push('\0'),
                        Some('Z') => text.push('\u{1A}'),
                        // Kept together, as the pair is an escape of LIKE.
                        Some(c @ ('%' | '_')) => text.extend(['\\', c]),
                        Some(c) => text.push(c),
                    }
                    at += 2;
                }
                Some(&c) if c == quote && next == Some(quote) => {
                    text.push(quote);
                    at += 2;
                }
                Some(&c) if c == quote => break,
                Some(&c) => {
                    text.push(c);
                    at += 1;
                }
            }
        }
        let template = self.located(parse_template(&text), begin + 1)?;
        Ok(self.bind(Node::Text(template), begin, at + 1))
    }

    fn lookup(&mut self, begin: usize) -> Result<usize, Fault> {
        let mut at = begin;
        let (mut end, mut next) = (self.chars.len(), self.chars.len());
        let mut quote = None;
        while let Some(&c) = self.chars.get(at) {
            match quote {
                Some(open) if c == open => quote = None,
                Some(_) => {}
                None if c == '\'' || c == '"' => quote = Some(c),
                None if self.word_at(at, END_FIND) => {
                    (end, next) = (at, at + END_FIND.chars().count());
                    break;
                }
                None => {}
            }
            at += 1;
        }
        let statement: String = self.chars.iter().take(end).skip(begin).collect();
        let lookup = self.located(Lookup::parse_find_collection(statement.trim_end()), begin)?;
        Ok(self.bind(Node::Find(Box::new(lookup)), begin, next))
    }
}

/// Drops blanks, refuses what no expression holds, and turns MySQL's spellings into the parser's.
fn checked(tokens: Vec<TokenWithSpan>, columns: &Columns) -> Result<Vec<TokenWithSpan>, Fault> {
    let mut kept: Vec<TokenWithSpan> = Vec::new();
    let mut postfix = 0;
    let mut tokens = tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).peekable();
    while let Some(TokenWithSpan { token, span }) = tokens.next() {
        let before_parenthesis = tokens.peek().is_some_and(|next| next.token == Token::LParen);
        let column = columns.of(span.start.column);
        let token = match token {
            // The parser takes NULL behind REGEXP for a part of the operator unless it stands in parentheses.
            Token::Word(word) if word.keyword == Keyword::NULL && kept.last().is_some_and(is_pattern_operator) => {
                kept.push(TokenWithSpan { token: Token::LParen, span });
                kept.push(TokenWithSpan { token: Token::Word(word), span });
                Token::RParen
            }
            Token::Word(word) if word.quote_style.is_none() => {
                if is_postfix(word.keyword) {
                    postfix += 1;
                }
                spelled(word, before_parenthesis, kept.last().is_some_and(|last| ends_operand(&last.token)))
            }
            Token::Word(word) => {
                return Err(fault(column, format!("`{}` is a column name; write {{{}}}", word.value, word.value)));
            }
            Token::StringConcat => keyword("OR", Keyword::OR),
            Token::Overlap => keyword("AND", Keyword::AND),
            token @ (Token::Number(_, false)
            | Token::Comma
            | Token::LParen
            | Token::RParen
            | Token::Plus
            | Token::Minus
            | Token::Mul
            | Token::Div
            | Token::Mod
            | Token::Eq
            | Token::Neq
            | Token::Lt
            | Token::LtEq
            | Token::Gt
            | Token::GtEq
            | Token::Spaceship
            | Token::ExclamationMark
            | Token::EOF) => token,
            other => return Err(fault(column, format!("{other} cannot stand in an expression"))),
        };
        kept.push(TokenWithSpan { token, span });
        if kept.len() > TOKENS || postfix > POSTFIX {
            return Err(Fault::new(Code::Limit, "the expression has too many parts").at_column(column.to_string()));
        }
    }
    // The parser needs a place for what is missing at the end.
    let end = Location::new(1, u64::try_from(columns.0.len()).unwrap_or(u64::MAX));
    kept.push(TokenWithSpan { token: Token::EOF, span: Span::new(end, end) });
    Ok(kept)
}

fn keyword(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.to_owned(), quote_style: None, keyword })
}

fn spelled(word: Word, before_parenthesis: bool, after_operand: bool) -> Token {
    match word.keyword {
        // The parser's token of equal strength that no expression can hold otherwise.
        Keyword::DIV if after_operand => Token::StringConcat,
        Keyword::MOD if after_operand => Token::Mod,
        // Plain names, so that calls such as LEFT(…) and DATE(…) are read as calls and nothing else.
        _ if before_parenthesis && catalogue::is_plain_call(&word.value.to_ascii_uppercase()) => {
            Token::Word(Word { keyword: Keyword::NoKeyword, ..word })
        }
        _ => Token::Word(word),
    }
}

fn ends_operand(token: &Token) -> bool {
    match token {
        Token::RParen | Token::Number(..) => true,
        Token::Word(word) => {
            matches!(word.keyword, Keyword::NoKeyword | Keyword::END | Keyword::NULL | Keyword::TRUE | Keyword::FALSE)
        }
        _ => false,
    }
}

fn is_pattern_operator(token: &TokenWithSpan) -> bool {
    matches!(&token.token, Token::Word(word) if matches!(word.keyword, Keyword::REGEXP | Keyword::RLIKE))
}

fn is_postfix(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::RLIKE
            | Keyword::REGEXP
            | Keyword::BETWEEN
            | Keyword::SIMILAR
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::MEMBER
            | Keyword::OVERLAPS
    )
}
