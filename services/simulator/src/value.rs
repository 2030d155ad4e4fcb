//! Cells: the values that documents hold, with exact decimals and zoneless times.

use std::cmp::Ordering;
use std::sync::Arc;

use chrono::{NaiveDateTime, NaiveTime};
use rust_decimal::Decimal;
use serde_json::{Number, Value};

use crate::clock::{parse_time, write_time};

/// What a field holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Null,
    /// A text, an enumeration code, or the JSON text of a flex value set.
    Text(Arc<str>),
    /// A whole number.
    Int(i64),
    /// An exact decimal.
    Decimal(Decimal),
    /// A date (midnight) or date-time in server local time.
    Time(NaiveDateTime),
    /// A check field.
    Bool(bool),
    /// The internal id of a base-data document.
    Reference(i64),
}

/// The type of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Int,
    /// A decimal rounded to so many places when precision control is asked for.
    Decimal(u32),
    /// A day.
    Date,
    /// A moment.
    DateTime,
    /// A check field.
    Bool,
    /// A reference to a document of the named form.
    BaseData(String),
    /// A code; an empty list accepts any.
    Enum(Vec<String>),
    /// A set of flex values, kept as JSON text.
    Flex,
}

/// A cell as seen by a query: borrowed, references already followed.
#[derive(Debug, Clone, Copy)]
pub enum Seen<'a> {
    /// Nothing.
    Null,
    /// A text.
    Text(&'a str),
    /// A whole number or an internal id.
    Int(i64),
    /// An exact decimal.
    Decimal(Decimal),
    /// A date or date-time.
    Time(NaiveDateTime),
    /// A check field.
    Bool(bool),
}

impl Cell {
    /// The cell as a query sees it.
    pub fn seen(&self) -> Seen<'_> {
        match self {
            Cell::Null => Seen::Null,
            Cell::Text(text) => Seen::Text(text),
            Cell::Int(number) | Cell::Reference(number) => Seen::Int(*number),
            Cell::Decimal(number) => Seen::Decimal(*number),
            Cell::Time(time) => Seen::Time(*time),
            Cell::Bool(flag) => Seen::Bool(*flag),
        }
    }

    /// A text cell.
    pub fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Cell::Text(text) => Some(text),
            Cell::Null | Cell::Int(_) | Cell::Decimal(_) | Cell::Time(_) | Cell::Bool(_) | Cell::Reference(_) => None,
        }
    }
}

impl Seen<'_> {
    /// Appends the cell as JSON.
    pub fn write(self, out: &mut String) {
        match self {
            Seen::Null => out.push_str("null"),
            Seen::Text(text) => out.push_str(&Value::from(text).to_string()),
            Seen::Int(number) => out.push_str(&number.to_string()),
            Seen::Decimal(number) => out.push_str(&decimal_text(number)),
            Seen::Time(time) => {
                out.push('"');
                out.push_str(&write_time(time));
                out.push('"');
            }
            Seen::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
        }
    }

    /// The cell as a JSON value.
    pub fn json(self) -> Value {
        match self {
            Seen::Null => Value::Null,
            Seen::Text(text) => text.into(),
            Seen::Int(number) => number.into(),
            Seen::Decimal(number) => Number::from_string_unchecked(decimal_text(number)).into(),
            Seen::Time(time) => write_time(time).into(),
            Seen::Bool(flag) => flag.into(),
        }
    }

    /// Orders two cells of like types; `None` when one is nothing, as in SQL.
    pub fn compare(self, other: Seen<'_>) -> Option<Ordering> {
        Some(match (self, other) {
            (Seen::Null, _) | (_, Seen::Null) => return None,
            (Seen::Text(left), Seen::Text(right)) => compare_padded(left, right),
            (Seen::Int(left), Seen::Int(right)) => left.cmp(&right),
            (Seen::Int(left), Seen::Decimal(right)) => Decimal::from(left).cmp(&right),
            (Seen::Decimal(left), Seen::Int(right)) => left.cmp(&Decimal::from(right)),
            (Seen::Decimal(left), Seen::Decimal(right)) => left.cmp(&right),
            (Seen::Time(left), Seen::Time(right)) => left.cmp(&right),
            (Seen::Bool(left), Seen::Bool(right)) => left.cmp(&right),
            // Filters are typed when they are compiled; columns of one order key have one type.
            _ => self.rank().cmp(&other.rank()),
        })
    }

    /// Orders two cells for `OrderString`: nothing comes first.
    pub fn order(self, other: Seen<'_>) -> Ordering {
        match (self, other) {
            (Seen::Null, Seen::Null) => Ordering::Equal,
            (Seen::Null, _) => Ordering::Less,
            (_, Seen::Null) => Ordering::Greater,
            _ => self.compare(other).unwrap_or(Ordering::Equal),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Seen::Null => 0,
            Seen::Bool(_) => 1,
            Seen::Int(_) | Seen::Decimal(_) => 2,
            Seen::Time(_) => 3,
            Seen::Text(_) => 4,
        }
    }
}

/// Compares texts by code point, the shorter one padded with blanks: trailing blanks do not count.
pub fn compare_padded(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_end_matches(' ').as_bytes(), right.trim_end_matches(' ').as_bytes());
    // The bytes of UTF-8 order as its code points do.
    let (left, left_rest) = left.split_at(left.len().min(right.len()));
    let (right, right_rest) = right.split_at(left.len());
    let after_blanks =
        |rest: &[u8]| rest.iter().find(|byte| **byte != b' ').map_or(Ordering::Equal, |byte| byte.cmp(&b' '));
    left.cmp(right).then_with(|| after_blanks(left_rest)).then_with(|| after_blanks(right_rest).reverse())
}

/// A decimal as replies write it: never without a fraction (`12.0`, `3.5`).
fn decimal_text(number: Decimal) -> String {
    let text = number.normalize().to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// Reads a JSON number or numeric text exactly.
pub fn read_decimal(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => parse_decimal(&number.to_string()),
        Value::String(text) => parse_decimal(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a decimal text, plain or scientific, exactly.
pub fn parse_decimal(text: &str) -> Option<Decimal> {
    let text = text.strip_prefix('+').unwrap_or(text);
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

/// Reads a flag as clients write it: `true`, `"true"`, `"1"`, `1`.
pub fn read_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => parse_bool(text),
        Value::Number(number) => parse_bool(&number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Reads a flag from text.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Reads a JSON value as a cell of a plain kind (not base data).
///
/// # Errors
///
/// The offending text.
pub fn read_cell(kind: &Kind, value: &Value) -> Result<Cell, String> {
    let bad = || match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let blank = value.as_str().is_some_and(|text| text.trim().is_empty());
    match kind {
        Kind::Text => match value {
            Value::String(text) => Ok(Cell::text(text)),
            Value::Number(_) | Value::Bool(_) => Ok(Cell::text(&value.to_string())),
            Value::Null | Value::Array(_) | Value::Object(_) => Err(bad()),
        },
        Kind::Flex => Ok(if blank { Cell::Null } else { Cell::text(&value.to_string()) }),
        _ if blank => Ok(Cell::Null),
        Kind::Enum(codes) => {
            let code = bad();
            if value.is_array() || value.is_object() || !(codes.is_empty() || codes.contains(&code)) {
                return Err(code);
            }
            Ok(Cell::text(&code))
        }
        Kind::Int => {
            let number = read_decimal(value).filter(Decimal::is_integer).ok_or_else(bad)?;
            i64::try_from(number).map(Cell::Int).map_err(|_| bad())
        }
        Kind::Decimal(_) => read_decimal(value).map(Cell::Decimal).ok_or_else(bad),
        Kind::Date | Kind::DateTime => {
            let time = value.as_str().and_then(parse_time).ok_or_else(bad)?;
            Ok(Cell::Time(if *kind == Kind::Date { time.date().and_time(NaiveTime::MIN) } else { time }))
        }
        Kind::Bool => read_bool(value).map(Cell::Bool).ok_or_else(bad),
        Kind::BaseData(_) => Err(bad()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn trailing_blanks_do_not_count_and_shorter_texts_are_padded() {
        for (left, right, order) in [
            ("", " ", Ordering::Equal),
            ("a", "a  ", Ordering::Equal),
            ("a", "a\t", Ordering::Greater),
            ("a b", "a", Ordering::Greater),
            ("物料", "物料1", Ordering::Less),
            ("a", "A", Ordering::Greater),
        ] {
            assert_eq!(compare_padded(left, right), order, "{left:?} {right:?}");
            assert_eq!(compare_padded(right, left), order.reverse(), "{right:?} {left:?}");
        }
    }

    #[test]
    fn decimals_stay_exact() {
        let cell = read_cell(&Kind::Decimal(2), &json!("957.57750")).expect("a number");
        assert_eq!(cell.seen().json().to_string(), "957.5775");
        let number: Value = serde_json::from_str("12345678901234567890.123456").expect("a number");
        let cell = read_cell(&Kind::Decimal(2), &number).expect("a number");
        assert_eq!(cell.seen().json().to_string(), "12345678901234567890.123456");
        assert_eq!(
            read_cell(&Kind::Decimal(2), &json!(12)).map(|cell| cell.seen().json().to_string()),
            Ok("12.0".into())
        );
        assert_eq!(read_cell(&Kind::Decimal(2), &json!("a dozen")), Err("a dozen".to_owned()));
    }

    #[test]
    fn flags_come_as_text_or_real() {
        for value in [json!(true), json!("true"), json!("True"), json!("1"), json!(1)] {
            assert_eq!(read_bool(&value), Some(true), "{value}");
        }
        assert_eq!(read_bool(&json!("yes")), None);
    }
}
