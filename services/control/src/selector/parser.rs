//! From tokens to the tree: `or` binds loosest, then `and`, then `not`.

use document::{Code, Fault};
use flow::suggest;
use regex::RegexBuilder;

use super::expression::{Check, Expression, Literal, Operator, Pattern, Subject, Test};
use super::field::{Field, Kind};
use super::lexer::{Spanned, Token, syntax, tokens};
use super::{literal, path};

/// Most characters of a selector.
pub const MAX_LENGTH: usize = 8_192;
/// Deepest nesting of parentheses and `not`.
pub const MAX_DEPTH: usize = 32;
/// Most conditions in one selector.
pub const MAX_TESTS: usize = 200;
/// Most values in all its lists.
pub const MAX_VALUES: usize = 1_000;
/// Most steps of a path into the body.
pub const MAX_STEPS: usize = 32;
/// Most bytes that a compiled pattern may take.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

const KEYWORDS: [&str; 6] = ["and", "or", "not", "in", "between", "exists"];
const OPERATORS: &str = "=, !=, <, <=, >, >=, ~, in, not in or between";

/// Reads a selector; one of blanks alone selects everything.
///
/// # Errors
/// `E_SELECTOR`, `E_SELECTOR_FIELD`, `E_SELECTOR_VALUE` and `E_SELECTOR_LIMIT`, at a column in characters from 1.
pub(super) fn parse(text: &str) -> Result<Expression, Fault> {
    if text.chars().count() > MAX_LENGTH {
        return Err(limit(MAX_LENGTH + 1, format!("a selector has at most {MAX_LENGTH} characters")));
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, tests: 0, values: 0 };
    if parser.peek() == &Token::End {
        return Ok(Expression::And(Vec::new()));
    }
    let expression = parser.any_of()?;
    match parser.peek() {
        Token::End => Ok(expression),
        other => Err(syntax(parser.column(), format!("expected and, or or the end, found {}", other.shown()))),
    }
}

fn limit(column: usize, detail: impl Into<String>) -> Fault {
    Fault::new(Code::SelectorLimit, detail).at_column(column.to_string())
}

fn unfit(column: usize, detail: impl Into<String>) -> Fault {
    Fault::new(Code::SelectorValue, detail).at_column(column.to_string())
}

struct Parser {
    tokens: Vec<Spanned>,
    at: usize,
    depth: usize,
    tests: usize,
    values: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |spanned| &spanned.token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |spanned| spanned.column)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    /// Takes the keyword if it stands here.
    fn keyword(&mut self, keyword: &str) -> bool {
        let here = matches!(self.peek(), Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(here);
        here
    }

    fn expect(&mut self, token: &Token) -> Result<(), Fault> {
        if self.peek() == token {
            self.at += 1;
            return Ok(());
        }
        Err(syntax(self.column(), format!("expected {}, found {}", token.shown(), self.peek().shown())))
    }

    fn any_of(&mut self) -> Result<Expression, Fault> {
        let mut parts = vec![self.all_of()?];
        while self.keyword("or") {
            parts.push(self.all_of()?);
        }
        Ok(if parts.len() > 1 { Expression::Or(parts) } else { parts.remove(0) })
    }

    fn all_of(&mut self) -> Result<Expression, Fault> {
        let mut parts = vec![self.one()?];
        while self.keyword("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() > 1 { Expression::And(parts) } else { parts.remove(0) })
    }

    fn one(&mut self) -> Result<Expression, Fault> {
        let column = self.column();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(limit(column, format!("conditions nest at most {MAX_DEPTH} deep")));
        }
        let expression = if self.keyword("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.peek() == &Token::Open {
            self.at += 1;
            let inner = self.any_of()?;
            self.expect(&Token::Close)?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn test(&mut self) -> Result<Expression, Fault> {
        let column = self.column();
        self.tests += 1;
        if self.tests > MAX_TESTS {
            return Err(limit(column, format!("a selector has at most {MAX_TESTS} conditions")));
        }
        if self.keyword("exists") {
            self.expect(&Token::Open)?;
            let subject = self.subject()?;
            self.expect(&Token::Close)?;
            return Ok(Expression::Test(Test { subject, check: Check::Exists }));
        }
        let subject = self.subject()?;
        let column = self.column();
        let not = self.keyword("not");
        let (check, negated) = if self.keyword("in") {
            (Check::OneOf(self.list(&subject)?), not)
        } else if self.keyword("between") {
            self.ordered(&subject, column)?;
            let low = self.value(&subject)?;
            if !self.keyword("and") {
                return Err(syntax(self.column(), format!("expected and, found {}", self.peek().shown())));
            }
            (Check::Between(low, self.value(&subject)?), not)
        } else {
            if not {
                return Err(syntax(self.column(), format!("expected in or between, found {}", self.peek().shown())));
            }
            self.relation(&subject)?
        };
        let test = Expression::Test(Test { subject, check });
        Ok(if negated { Expression::Not(Box::new(test)) } else { test })
    }

    fn relation(&mut self, subject: &Subject) -> Result<(Check, bool), Fault> {
        let column = self.column();
        let token = self.take();
        let Token::Operator(sign) = token else {
            let fault = syntax(column, format!("expected {OPERATORS}, found {}", token.shown()));
            return Err(match token {
                Token::Word(word) => match suggest::nearest(&word, &KEYWORDS) {
                    Some(near) => fault.hint(format!("did you mean {near}?")),
                    None => fault,
                },
                _ => fault,
            });
        };
        let operator = match sign {
            "~" => return Ok((Check::Matches(self.pattern(subject, column)?), false)),
            "=" | "!=" => return Ok((Check::Compare(Operator::Equal, self.value(subject)?), sign == "!=")),
            "<" => Operator::Less,
            "<=" => Operator::LessOrEqual,
            ">" => Operator::Greater,
            _ => Operator::GreaterOrEqual,
        };
        self.ordered(subject, column)?;
        Ok((Check::Compare(operator, self.value(subject)?), false))
    }

    fn subject(&mut self) -> Result<Subject, Fault> {
        let column = self.column();
        match self.take() {
            Token::Payload(path) if path.steps().len() > MAX_STEPS => {
                Err(limit(column, format!("a path has at most {MAX_STEPS} steps")))
            }
            Token::Payload(path) => Ok(Subject::Payload(path)),
            Token::Word(word) if KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) => {
                Err(syntax(column, format!("expected a field, found {word:?}")))
            }
            Token::Word(word) => Field::named(&word).map(Subject::Field).ok_or_else(|| {
                let fault = Fault::new(Code::SelectorField, format!("no field {word:?}")).at_column(column.to_string());
                match word.as_str() {
                    "payload" => fault.hint("name a member of the body, as payload.FBillNo"),
                    _ => fault.hint(Field::hint(&word)),
                }
            }),
            other => Err(syntax(column, format!("expected a field, found {}", other.shown()))),
        }
    }

    /// Refuses an order among words and truths.
    fn ordered(&self, subject: &Subject, column: usize) -> Result<(), Fault> {
        match subject {
            Subject::Field(field) if matches!(field.kind(), Kind::Closed | Kind::Truth) => {
                Err(unfit(column, format!("{} has no order", field.name())).hint("compare it by =, != or in"))
            }
            _ => Ok(()),
        }
    }

    fn list(&mut self, subject: &Subject) -> Result<Vec<Literal>, Fault> {
        self.expect(&Token::Open)?;
        let mut values = vec![self.value(subject)?];
        while self.peek() == &Token::Comma {
            self.at += 1;
            values.push(self.value(subject)?);
        }
        self.expect(&Token::Close)?;
        Ok(values)
    }

    fn value(&mut self, subject: &Subject) -> Result<Literal, Fault> {
        let column = self.column();
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(limit(column, format!("a selector has at most {MAX_VALUES} values")));
        }
        let (text, quoted) = match self.take() {
            Token::Text(text) => (text, true),
            Token::Word(word) if !KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)) => (word, false),
            other => {
                let fault = syntax(column, format!("expected a value, found {}", other.shown()));
                return Err(match other {
                    Token::Word(_) | Token::Payload(_) => fault.hint("put it in quotes to mean the text"),
                    _ => fault,
                });
            }
        };
        match subject {
            Subject::Field(field) => of_field(*field, text).map_err(|fault| fault.at_column(column.to_string())),
            Subject::Payload(_) if quoted => Ok(Literal::Text(text)),
            Subject::Payload(path) => in_body(path, text).map_err(|fault| fault.at_column(column.to_string())),
        }
    }

    fn pattern(&mut self, subject: &Subject, operator: usize) -> Result<Pattern, Fault> {
        if let Subject::Field(field) = subject
            && !matches!(field.kind(), Kind::Text | Kind::Closed)
        {
            return Err(unfit(operator, format!("{} is no text that a pattern could match", field.name())));
        }
        let column = self.column();
        let text = match self.take() {
            Token::Text(text) | Token::Word(text) => text,
            other => return Err(syntax(column, format!("expected a pattern, found {}", other.shown()))),
        };
        let built = RegexBuilder::new(&text).size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES).build();
        built.map(Pattern).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => limit(column, "the pattern has too many states"),
            error => {
                // The library draws the pattern over several lines; the last of them says what is wrong.
                let told = error.to_string();
                let last = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                syntax(column, format!("the pattern does not read: {last}"))
            }
        })
    }
}

fn of_field(field: Field, text: String) -> Result<Literal, Fault> {
    let unread =
        |kind: &str| Fault::new(Code::SelectorValue, format!("{text:?} is no {kind}, as {} needs", field.name()));
    match field.kind() {
        Kind::Text => Ok(Literal::Text(text)),
        Kind::Closed => {
            let words = field.words();
            if words.contains(&text.as_str()) {
                return Ok(Literal::Text(text));
            }
            let fault = Fault::new(Code::SelectorValue, format!("no {} {text:?}", field.name()));
            // The catalogue is too long to be listed.
            Err(match (field, suggest::nearest(&text, &words)) {
                (Field::Code, None) => fault.hint("the catalogue of error codes lists them; ~ takes a pattern"),
                _ => fault.hint(suggest::hint(&text, words)),
            })
        }
        Kind::Number => literal::number(&text).map(Literal::Number).ok_or_else(|| unread("number")),
        Kind::Time => literal::time(&text)
            .map(Literal::Time)
            .ok_or_else(|| unread("time").hint("write 2026-03-14 or 2026-03-14T08:00:00+08:00, to the millisecond")),
        Kind::Age => literal::duration(&text)
            .map(Literal::Duration)
            .ok_or_else(|| unread("duration").hint("write 10s, 5m, 2h, 3d or 1h30m")),
        Kind::Truth => match text.as_str() {
            "true" => Ok(Literal::Truth(true)),
            "false" => Ok(Literal::Truth(false)),
            _ => Err(unread("truth").hint("write true or false")),
        },
    }
}

/// A value without quotes says by its form what it is.
fn in_body(path: &path::Path, text: String) -> Result<Literal, Fault> {
    if text == "null" {
        let fault = Fault::new(Code::SelectorValue, "null is no value");
        return Err(fault.hint(format!("write not exists({path}), or \"null\" for the text")));
    }
    if let Some(number) = literal::number(&text) {
        return Ok(Literal::Number(number));
    }
    if let Some(time) = literal::time(&text) {
        return Ok(Literal::Time(time));
    }
    Ok(match text.as_str() {
        "true" => Literal::Truth(true),
        "false" => Literal::Truth(false),
        _ => Literal::Text(text),
    })
}
