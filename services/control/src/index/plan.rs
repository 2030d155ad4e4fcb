//! From a selector to SQL: what columns can answer becomes a condition, the rest is evaluated on the rows it leaves.
//!
//! The condition never holds back a letter that the selector wants: what it cannot ask it takes for true. Values are
//! bound, never written into the text.

use rusqlite::types::Value;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::row::version_column;
use crate::selector::{Check, Cost, Expression, Field, Literal, Operator, Subject, Test};

/// How a selector is answered.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// The condition on the columns of `letters`.
    pub(super) condition: String,
    /// The values of its places.
    pub(super) values: Vec<Value>,
    /// What is left to be evaluated on each row; none when the condition says it all.
    pub(super) residual: Option<Expression>,
    /// Whether the condition names values by which an index finds the letters at once.
    pub(super) sought: bool,
}

impl Plan {
    /// The plan of `expression` at `now`, unix milliseconds.
    pub(super) fn of(expression: &Expression, now: i64) -> Self {
        let mut writer = Writer { values: Vec::new(), now };
        let mut conditions = Vec::new();
        let mut residual = Vec::new();
        for part in expression.conjuncts() {
            conditions.extend(writer.expression(part, false));
            if part.cost() != Cost::Columns {
                residual.push(part.clone());
            }
        }
        Self {
            condition: joined(conditions, " AND ").unwrap_or_else(|| "1".to_owned()),
            values: writer.values,
            residual: (!residual.is_empty()).then_some(Expression::And(residual)),
            sought: expression.conjuncts().iter().any(names_values),
        }
    }
}

/// Whether a part names values of a field that has an index of its own.
fn names_values(part: &Expression) -> bool {
    let Expression::Test(Test { subject: Subject::Field(field), check }) = part else { return false };
    matches!(field, Field::Id | Field::Document | Field::Replay)
        && matches!(check, Check::Compare(Operator::Equal, _) | Check::OneOf(_))
}

fn joined(mut parts: Vec<String>, link: &str) -> Option<String> {
    match parts.len() {
        0 => None,
        1 => parts.pop(),
        _ => Some(format!("({})", parts.join(link))),
    }
}

/// Places are anonymous and values in the order of the text, so whatever is dropped takes its values along.
struct Writer {
    values: Vec<Value>,
    now: i64,
}

impl Writer {
    /// A condition that holds wherever the expression does, or wherever it does not if `negated`; none when that is
    /// everywhere.
    fn expression(&mut self, expression: &Expression, negated: bool) -> Option<String> {
        match (expression, negated) {
            (Expression::And(parts), false) | (Expression::Or(parts), true) => {
                let parts = parts.iter().filter_map(|part| self.expression(part, negated)).collect();
                joined(parts, " AND ")
            }
            (Expression::Or(parts), false) | (Expression::And(parts), true) => {
                let before = self.values.len();
                let mut conditions = Vec::new();
                for part in parts {
                    let Some(condition) = self.expression(part, negated) else {
                        self.values.truncate(before);
                        return None;
                    };
                    conditions.push(condition);
                }
                // None of none holds. The sign keeps SQLite from gathering row numbers by several indexes, which
                // takes memory for every letter that one of them finds.
                Some(joined(conditions, " OR ").map_or_else(|| "0".to_owned(), |any| format!("+{any}")))
            }
            (Expression::Not(inner), negated) => self.expression(inner, !negated),
            (Expression::Test(test), negated) => {
                let condition = self.test(test)?;
                Some(if negated { format!("NOT {condition}") } else { condition })
            }
        }
    }

    /// A condition that is true or false, never null; none when columns cannot answer.
    fn test(&mut self, test: &Test) -> Option<String> {
        let Subject::Field(field) = test.subject else { return None };
        let name = column(field);
        let condition = match &test.check {
            Check::Matches(_) => return None,
            Check::Exists => return Some(format!("({name} IS NOT NULL)")),
            Check::Compare(operator, literal) => self.compare(field, *operator, literal),
            Check::Between(low, high) => {
                let low = self.compare(field, Operator::GreaterOrEqual, low);
                let high = self.compare(field, Operator::LessOrEqual, high);
                format!("{low} AND {high}")
            }
            Check::OneOf(literals) => self.one_of(field, literals),
        };
        Some(match may_lack(field) {
            true => format!("({name} IS NOT NULL AND {condition})"),
            false => format!("({condition})"),
        })
    }

    fn one_of(&mut self, field: Field, literals: &[Literal]) -> String {
        let bounds: Vec<Bound> = literals.iter().map(|literal| self.bound(field, Operator::Equal, literal)).collect();
        let places = bounds
            .into_iter()
            .filter_map(|bound| match bound {
                Bound::Always | Bound::Never => None,
                Bound::Compare(_, value) => {
                    self.values.push(value);
                    Some("?")
                }
            })
            .collect::<Vec<_>>()
            .join(", ");
        format!("{} IN ({places})", column(field))
    }

    fn compare(&mut self, field: Field, operator: Operator, literal: &Literal) -> String {
        match self.bound(field, operator, literal) {
            Bound::Always => "1".to_owned(),
            Bound::Never => "0".to_owned(),
            Bound::Compare(operator, value) => {
                self.values.push(value);
                format!("{} {} ?", column(field), sign(operator))
            }
        }
    }

    /// The comparison with a literal, as one of the column with a value it can hold.
    fn bound(&self, field: Field, operator: Operator, literal: &Literal) -> Bound {
        match literal {
            Literal::Text(text) => Bound::Compare(operator, Value::Text(text.clone())),
            Literal::Time(millis) => Bound::Compare(operator, Value::Integer(*millis)),
            Literal::Truth(truth) => Bound::Compare(operator, Value::Integer(i64::from(*truth))),
            // Older than a time is failed before an instant.
            Literal::Duration(millis) => {
                Bound::Compare(mirrored(operator), Value::Integer(self.now.saturating_sub(*millis)))
            }
            Literal::Number(number) => whole(operator, *number, field == Field::Version),
        }
    }
}

enum Bound {
    Always,
    Never,
    Compare(Operator, Value),
}

/// The comparison of a whole number with a decimal, as one with a whole number.
fn whole(operator: Operator, number: Decimal, is_version: bool) -> Bound {
    let (operator, number) = match (operator, number.is_integer()) {
        (operator, true) => (operator, number),
        (Operator::Equal, false) => return Bound::Never,
        (Operator::Less | Operator::LessOrEqual, false) => (Operator::LessOrEqual, number.floor()),
        (Operator::Greater | Operator::GreaterOrEqual, false) => (Operator::GreaterOrEqual, number.ceil()),
    };
    let column = match is_version {
        true => number.to_u64().map(version_column),
        false => number.to_i64(),
    };
    match column {
        Some(column) => Bound::Compare(operator, Value::Integer(column)),
        // Beyond every value of the column, on the side of its sign.
        None => match (operator, number.is_sign_negative()) {
            (Operator::Equal, _) => Bound::Never,
            (Operator::Less | Operator::LessOrEqual, negative) => either(!negative),
            (Operator::Greater | Operator::GreaterOrEqual, negative) => either(negative),
        },
    }
}

fn either(always: bool) -> Bound {
    if always { Bound::Always } else { Bound::Never }
}

fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Equal => Operator::Equal,
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => "=",
        Operator::Less => "<",
        Operator::LessOrEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => ">=",
    }
}

/// The column of `letters` that answers for a field.
fn column(field: Field) -> &'static str {
    match field {
        Field::Age => "first_failed",
        Field::OriginTopic => "origin_topic",
        Field::OriginPartition => "origin_partition",
        Field::OriginOffset => "origin_offset",
        field => field.name(),
    }
}

/// Whether some letters do not have the field.
fn may_lack(field: Field) -> bool {
    matches!(
        field,
        Field::State
            | Field::TargetKey
            | Field::Field
            | Field::RetryAt
            | Field::Replay
            | Field::Reason
            | Field::ClaimedBy
            | Field::Trace
            | Field::OriginTopic
            | Field::OriginPartition
            | Field::OriginOffset
    )
}
