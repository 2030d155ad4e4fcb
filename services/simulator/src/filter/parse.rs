//! From filter text to a condition: a real SQL parser reads it, then every name is looked up and every value typed.

use std::collections::HashSet;

use serde_json::Value as Json;
use sqlparser::ast::{BinaryOperator, Expr, InTarget, UnaryOperator, Value as Sql};
use sqlparser::dialect::MsSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, Tokenizer, Whitespace};

use super::condition::{Comparison, Condition, Literal, Operand, Wild};
use super::{Class, Column, array};
use crate::clock::parse_time;
use crate::reply::{Problem, bad_filter};
use crate::store::Store;
use crate::value::{parse_bool, parse_decimal};

/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 64;
/// Most `and` and `or` in one filter: the parser's tree is as deep as a chain of them is long.
const MAX_LINKS: usize = 2_000;

/// A side before the two are made to fit each other.
enum Side {
    Column(Column),
    Text(String),
    Number(String),
    Null,
}

/// Reads `FilterString`: nothing, a text, or the array form.
///
/// # Errors
///
/// MsgCode 4 for a filter that cannot be read, 9 for an unknown field.
pub fn parse(store: &Store, table: usize, filter: &Json) -> Result<Option<Condition>, Problem> {
    let text = match filter {
        Json::Null => return Ok(None),
        Json::String(text) if text.trim().is_empty() => return Ok(None),
        // Clients that write everything as text also send the array form that way.
        Json::String(text) if text.trim_start().starts_with('[') && text.contains("\"FieldName\"") => {
            let array = serde_json::from_str(text).map_err(|error| bad_filter(&error.to_string()))?;
            return parse(store, table, &array);
        }
        Json::String(text) => text.clone(),
        Json::Array(conditions) if conditions.is_empty() => return Ok(None),
        Json::Array(conditions) => array::to_text(conditions)?,
        Json::Bool(_) | Json::Number(_) | Json::Object(_) => return Err(bad_filter("neither a text nor an array")),
    };
    let dialect = MsSqlDialect {};
    let tokens = Tokenizer::new(&dialect, &text).tokenize().map_err(|error| bad_filter(&error.to_string()))?;
    let tokens = plain(tokens)?;
    let mut parser = Parser::new(&dialect).with_recursion_limit(MAX_DEPTH).with_tokens(tokens);
    let expression = parser.parse_expr().map_err(|error| bad_filter(&error.to_string()))?;
    let rest = parser.peek_token();
    if rest.token != Token::EOF {
        return Err(bad_filter(&format!("unexpected {rest}")));
    }
    let binder = Binder { store, table };
    binder.condition(&expression).map(Some)
}

/// Refuses comments and endless chains; `{ts'…'}` and `{d'…'}` become plain texts.
fn plain(tokens: Vec<Token>) -> Result<Vec<Token>, Problem> {
    let mut links = 0;
    let mut kept: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match &token {
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                return Err(bad_filter("comments are not allowed"));
            }
            Token::Word(word) if ["and", "or"].iter().any(|link| word.value.eq_ignore_ascii_case(link)) => {
                links += 1;
            }
            Token::LBrace => {
                let mut inner = tokens.by_ref().take_while(|token| *token != Token::RBrace);
                let mut inner = inner.by_ref().filter(|token| !matches!(token, Token::Whitespace(_)));
                let text = match (inner.next(), inner.next(), inner.next()) {
                    (Some(Token::Word(word)), Some(text @ Token::SingleQuotedString(_)), None)
                        if ["ts", "d"].iter().any(|kind| word.value.eq_ignore_ascii_case(kind)) =>
                    {
                        text
                    }
                    _ => return Err(bad_filter("unexpected {")),
                };
                kept.push(text);
                continue;
            }
            _ => {}
        }
        kept.push(token);
    }
    if links > MAX_LINKS {
        return Err(bad_filter("too many conditions"));
    }
    Ok(kept)
}

struct Binder<'a> {
    store: &'a Store,
    table: usize,
}

impl Binder<'_> {
    fn condition(&self, expression: &Expr) -> Result<Condition, Problem> {
        match expression {
            Expr::Nested(inner) => self.condition(inner),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => Ok(not(self.condition(expr)?)),
            Expr::BinaryOp { op: BinaryOperator::And, .. } => {
                self.chain(expression, &BinaryOperator::And).map(Condition::All)
            }
            Expr::BinaryOp { op: BinaryOperator::Or, .. } => {
                self.chain(expression, &BinaryOperator::Or).map(Condition::Any)
            }
            Expr::BinaryOp { left, op, right } => self.compare(self.side(left)?, comparison(op)?, self.side(right)?),
            Expr::IsNull(inner) => self.is_null(inner),
            Expr::IsNotNull(inner) => self.is_null(inner).map(not),
            Expr::Between { expr, negated, low, high } => {
                let low = self.compare(self.side(expr)?, Comparison::AtLeast, self.side(low)?)?;
                let high = self.compare(self.side(expr)?, Comparison::AtMost, self.side(high)?)?;
                Ok(negate(Condition::All(vec![low, high]), *negated))
            }
            Expr::In { expr, target: InTarget::List(list), negated, global: false } => {
                Ok(negate(self.in_list(expr, list)?, *negated))
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                Ok(negate(self.like(expr, pattern, escape_char.as_deref())?, *negated))
            }
            other => Err(bad_filter(&format!("{other} is not a condition"))),
        }
    }

    /// The members of a chain of one link, without recursion along the chain.
    fn chain(&self, expression: &Expr, link: &BinaryOperator) -> Result<Vec<Condition>, Problem> {
        let mut members = Vec::new();
        let mut rest = expression;
        while let Expr::BinaryOp { left, op, right } = rest
            && op == link
        {
            members.push(self.condition(right)?);
            rest = left;
        }
        members.push(self.condition(rest)?);
        members.reverse();
        Ok(members)
    }

    fn side(&self, expression: &Expr) -> Result<Side, Problem> {
        match expression {
            Expr::Nested(inner) => self.side(inner),
            Expr::Identifier(name) => self.column(&name.value),
            Expr::CompoundIdentifier(names) => {
                let path: Vec<&str> = names.iter().map(|name| name.value.as_str()).collect();
                self.column(&path.join("."))
            }
            Expr::Value(value) => match &value.value {
                Sql::SingleQuotedString(text) | Sql::NationalStringLiteral(text) => Ok(Side::Text(text.clone())),
                Sql::Number(number, _) => Ok(Side::Number(number.clone())),
                Sql::Null => Ok(Side::Null),
                Sql::Boolean(flag) => Ok(Side::Number(u8::from(*flag).to_string())),
                other => Err(bad_filter(&format!("{other} is not a value"))),
            },
            Expr::UnaryOp { op, expr } if matches!(op, UnaryOperator::Minus | UnaryOperator::Plus) => {
                match self.side(expr)? {
                    Side::Number(number) if *op == UnaryOperator::Minus => {
                        Ok(Side::Number(match number.strip_prefix('-') {
                            Some(positive) => positive.to_owned(),
                            None => format!("-{number}"),
                        }))
                    }
                    Side::Number(number) => Ok(Side::Number(number)),
                    _ => Err(bad_filter("a sign needs a number")),
                }
            }
            other => Err(bad_filter(&format!("{other} is not a field or a value"))),
        }
    }

    fn column(&self, path: &str) -> Result<Side, Problem> {
        Column::find(self.store, self.table, path).map(Side::Column)
    }

    fn compare(&self, left: Side, comparison: Comparison, right: Side) -> Result<Condition, Problem> {
        let (left, comparison, right) = match (left, right) {
            (Side::Null, _) | (_, Side::Null) => return Ok(Condition::Constant(None)),
            (left @ (Side::Text(_) | Side::Number(_)), right @ Side::Column(_)) => (right, comparison.mirrored(), left),
            (left, right) => (left, comparison, right),
        };
        let (left, right) = match (left, right) {
            (Side::Column(left), Side::Column(right)) => {
                if left.class != right.class {
                    return Err(bad_filter("the two fields have different types"));
                }
                (Operand::Column(left), Operand::Column(right))
            }
            (Side::Column(column), value) => {
                let literal = literal(column.class, &value)?;
                (Operand::Column(column), Operand::Literal(literal))
            }
            (left, right) => {
                let number = matches!((&left, &right), (Side::Number(_), _) | (_, Side::Number(_)));
                let class = if number { Class::Number } else { Class::Text };
                (Operand::Literal(literal(class, &left)?), Operand::Literal(literal(class, &right)?))
            }
        };
        Ok(Condition::Compare(left, comparison, right))
    }

    fn is_null(&self, expression: &Expr) -> Result<Condition, Problem> {
        match self.side(expression)? {
            Side::Column(column) => Ok(Condition::IsNull(column)),
            Side::Null => Ok(Condition::Constant(Some(true))),
            Side::Text(_) | Side::Number(_) => Ok(Condition::Constant(Some(false))),
        }
    }

    fn in_list(&self, expression: &Expr, list: &[Expr]) -> Result<Condition, Problem> {
        let Side::Column(column) = self.side(expression)? else { return Err(bad_filter("in needs a field")) };
        let mut values = HashSet::new();
        let mut has_null = false;
        for member in list {
            match self.side(member)? {
                Side::Null => has_null = true,
                Side::Column(_) => return Err(bad_filter("the list of in holds values")),
                value => {
                    values.insert(match literal(column.class, &value)? {
                        Literal::Text(text) => Literal::Text(text.trim_end_matches(' ').to_owned()),
                        Literal::Number(number) => Literal::Number(number.normalize()),
                        other => other,
                    });
                }
            }
        }
        Ok(Condition::In { column, values, has_null })
    }

    fn like(&self, text: &Expr, pattern: &Expr, escape: Option<&Expr>) -> Result<Condition, Problem> {
        let text = match self.side(text)? {
            Side::Column(column) if column.class == Class::Text => Operand::Column(column),
            Side::Text(text) => Operand::Literal(Literal::Text(text)),
            Side::Null => return Ok(Condition::Constant(None)),
            Side::Column(_) | Side::Number(_) => return Err(bad_filter("like needs a text")),
        };
        let escape = match escape.map(|escape| self.side(escape)).transpose()? {
            None => None,
            Some(Side::Text(text)) if text.chars().count() == 1 => text.chars().next(),
            Some(_) => return Err(bad_filter("escape is one character")),
        };
        match self.side(pattern)? {
            Side::Text(pattern) => Ok(Condition::Like { text, pattern: wild(&pattern, escape) }),
            Side::Number(pattern) => Ok(Condition::Like { text, pattern: wild(&pattern, escape) }),
            Side::Null => Ok(Condition::Constant(None)),
            Side::Column(_) => Err(bad_filter("the pattern of like is a text")),
        }
    }
}

fn not(condition: Condition) -> Condition {
    Condition::Not(Box::new(condition))
}

fn negate(condition: Condition, negated: bool) -> Condition {
    if negated { not(condition) } else { condition }
}

fn comparison(operator: &BinaryOperator) -> Result<Comparison, Problem> {
    match operator {
        BinaryOperator::Eq => Ok(Comparison::Equal),
        BinaryOperator::NotEq => Ok(Comparison::Unequal),
        BinaryOperator::Lt => Ok(Comparison::Less),
        BinaryOperator::LtEq => Ok(Comparison::AtMost),
        BinaryOperator::Gt => Ok(Comparison::Greater),
        BinaryOperator::GtEq => Ok(Comparison::AtLeast),
        other => Err(bad_filter(&format!("the operator {other} is not known"))),
    }
}

/// A value as the type of the field it meets.
fn literal(class: Class, side: &Side) -> Result<Literal, Problem> {
    let text = match side {
        Side::Text(text) | Side::Number(text) => text,
        Side::Column(_) | Side::Null => return Err(bad_filter("a value is needed")),
    };
    let unfit = |what: &str| bad_filter(&format!("{text:?} is not {what}"));
    match class {
        Class::Text => Ok(Literal::Text(text.clone())),
        Class::Number => parse_decimal(text.trim()).map(Literal::Number).ok_or_else(|| unfit("a number")),
        Class::Bool => parse_bool(text).map(Literal::Bool).ok_or_else(|| unfit("a flag")),
        Class::Time => match side {
            Side::Number(_) => Err(unfit("a date")),
            _ => parse_time(text).map(Literal::Time).ok_or_else(|| unfit("a date")),
        },
    }
}

fn wild(pattern: &str, escape: Option<char>) -> Vec<Wild> {
    let mut pieces = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        pieces.push(match character {
            _ if Some(character) == escape => Wild::Char(characters.next().unwrap_or(character)),
            '%' => Wild::Any,
            '_' => Wild::One,
            other => Wild::Char(other),
        });
    }
    pieces
}
