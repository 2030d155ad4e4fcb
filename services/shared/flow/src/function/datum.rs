//! The values an expression works with, and how they turn into each other.

use std::cmp::Ordering;

use document::Fault;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::number;
use crate::text::{interpolate, number_text};

/// A number and how it is written when it becomes text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Numeric {
    pub(super) value: Decimal,
    pub(super) spelling: Spelling,
}

/// How a number is written when it becomes text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spelling {
    /// The shortest decimal: values of records and results of arithmetic.
    Shortest,
    /// With its places, as MySQL writes literals and the results of `ROUND` and `CAST`.
    Places,
    /// As the record's text had it: codes such as `007` keep their zeros in text functions.
    Given(String),
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Datum {
    Null,
    Bool(bool),
    Number(Numeric),
    Text(String),
}

impl Datum {
    /// A result of arithmetic.
    pub(super) fn number(value: Decimal) -> Self {
        Self::Number(Numeric { value, spelling: Spelling::Shortest })
    }

    /// A number that is written with its places.
    pub(super) fn with_places(value: Decimal) -> Self {
        Self::Number(Numeric { value, spelling: Spelling::Places })
    }

    pub(super) fn integer(value: i64) -> Self {
        Self::number(Decimal::from(value))
    }

    pub(super) fn count(value: usize) -> Self {
        Self::number(Decimal::from(value))
    }

    pub(super) fn flag(value: Option<bool>) -> Self {
        value.map_or(Self::Null, Self::Bool)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value of a reference outside quotes: numeric text counts as a number, `""` as NULL.
    pub(super) fn of_record(value: Value) -> Result<Self, Fault> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(flag),
            Value::Number(given) => Self::number(number::of_json(&given)?),
            Value::String(text) if text.is_empty() => Self::Null,
            Value::String(text) => match plain_number(&text) {
                Some(value) => Self::Number(Numeric { value, spelling: Spelling::Given(text) }),
                None => Self::Text(text),
            },
            other => Self::Text(interpolate(&other, true)),
        })
    }

    /// The result of the whole expression: numbers without trailing zeros, booleans as booleans.
    pub(super) fn into_json(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(number::to_json(number.value.normalize())),
            Self::Text(text) => Value::String(text),
        }
    }

    /// The text; nothing for NULL.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(flag) => if *flag { "1" } else { "0" }.to_owned(),
            Self::Number(Numeric { spelling: Spelling::Given(text), .. }) => text.clone(),
            Self::Number(Numeric { value, spelling: Spelling::Places }) => number_text_with_places(*value),
            Self::Number(Numeric { value, spelling: Spelling::Shortest }) => number::shortest(*value),
            Self::Text(text) => text.clone(),
        })
    }

    /// The number; nothing for NULL. Text counts by the number it begins with.
    pub(super) fn decimal(&self) -> Result<Option<Decimal>, Fault> {
        Ok(match self {
            Self::Null => None,
            Self::Bool(flag) => Some(Decimal::from(u8::from(*flag))),
            Self::Number(number) => Some(number.value),
            Self::Text(text) => Some(number::read_leading(text)?),
        })
    }

    /// The whole number, numbers rounded and text cut; nothing for NULL. Held within what fits.
    pub(super) fn whole(&self) -> Result<Option<i64>, Fault> {
        let Some(value) = self.decimal()? else { return Ok(None) };
        let whole = match self {
            Self::Text(_) => number::truncate(value, 0)?,
            _ => number::round(value, 0)?,
        };
        let clamped = whole.clamp(Decimal::from(i64::MIN), Decimal::from(i64::MAX));
        Ok(i64::try_from(clamped).ok())
    }

    /// Whether it counts as true; nothing for NULL.
    pub(super) fn truth(&self) -> Result<Option<bool>, Fault> {
        Ok(match self {
            Self::Bool(flag) => Some(*flag),
            other => other.decimal()?.map(|value| !value.is_zero()),
        })
    }
}

fn number_text_with_places(value: Decimal) -> String {
    number::to_json(value).to_string()
}

/// A number in plain digits. Text like `12E3` stays text, as it is more often a code than an amount; so does a number
/// too long to compute with.
fn plain_number(text: &str) -> Option<Decimal> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+'));
    let ends_in_digit = text.chars().last().is_some_and(|c| c.is_ascii_digit());
    if plain && ends_in_digit { number::read(text).ok().flatten() } else { None }
}

/// Compares as MySQL does: text with text exactly, anything else as numbers; nothing when one is NULL.
pub(super) fn compare(left: &Datum, right: &Datum) -> Result<Option<Ordering>, Fault> {
    if let (Datum::Text(left), Datum::Text(right)) = (left, right) {
        return Ok(Some(left.cmp(right)));
    }
    Ok(match (left.decimal()?, right.decimal()?) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => None,
    })
}

/// The elements of an aggregate that are not NULL.
pub(super) fn present(values: Vec<Value>) -> Result<Vec<Datum>, Fault> {
    let mut found = Vec::with_capacity(values.len());
    for value in values {
        let datum = match value {
            Value::Number(number) if number::of_json(&number).is_err() => Datum::Text(number_text(&number)),
            other => Datum::of_record(other)?,
        };
        if !datum.is_null() {
            found.push(datum);
        }
    }
    Ok(found)
}
