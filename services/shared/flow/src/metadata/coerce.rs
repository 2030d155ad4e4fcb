//! Type coercion: what a declared `type` makes of a value.

use chrono_tz::Tz;
use document::{Code, Fault};
use rust_decimal::Decimal;
use rust_decimal::prelude::RoundingStrategy;
use serde_json::{Number, Value};

use crate::{datetime, text};

/// The declared type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Absent or unknown: no coercion.
    Any,
    Text,
    Int,
    Decimal,
    Bool,
    Date,
    DateTime,
    Millisecond,
    Object,
    Array,
}

/// Every type name a document may use.
pub(crate) const NAMES: [&str; 13] = [
    "string",
    "int",
    "integer",
    "float",
    "number",
    "decimal",
    "bool",
    "boolean",
    "date",
    "datetime",
    "millisecond",
    "object",
    "array",
];

impl Kind {
    /// The type of a name, without regard to case; `None` when there is no such type.
    pub(crate) fn named(name: &str) -> Option<Kind> {
        Some(match name.to_ascii_lowercase().as_str() {
            "string" => Kind::Text,
            "int" | "integer" => Kind::Int,
            "float" | "number" | "decimal" => Kind::Decimal,
            "bool" | "boolean" => Kind::Bool,
            "date" => Kind::Date,
            "datetime" => Kind::DateTime,
            "millisecond" => Kind::Millisecond,
            "object" => Kind::Object,
            "array" => Kind::Array,
            _ => return None,
        })
    }
}

/// What surrounds a value that is coerced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// Zone of the scheme.
    pub(crate) zone: Tz,
    /// Whether the value is a run variable as it is, which is always read as seconds.
    pub(crate) is_variable: bool,
    /// Whether a parser follows, so that an array need not be wrapped.
    pub(crate) parser_follows: bool,
}

/// Turns a value into its declared type; null stays null.
pub(crate) fn coerce(kind: Kind, value: Value, context: Context) -> Result<Value, Fault> {
    if value.is_null() {
        return Ok(value);
    }
    let is_empty = matches!(&value, Value::String(text) if text.is_empty());
    match kind {
        Kind::Any | Kind::Millisecond | Kind::Object => Ok(value),
        Kind::Text => match value {
            Value::Bool(_) | Value::Number(_) => Ok(Value::String(text::interpolate(&value, false))),
            other => Ok(other),
        },
        Kind::Int | Kind::Decimal | Kind::Date | Kind::DateTime if is_empty => Ok(Value::Null),
        Kind::Int => whole(&value).map(Value::Number).ok_or_else(|| refuse(&value, "a whole number")),
        Kind::Decimal => number(&value).map(Value::Number).ok_or_else(|| refuse(&value, "a number")),
        Kind::Bool => truth(&value).map(Value::Bool).ok_or_else(|| refuse(&value, "true or false")),
        Kind::Date => instant(datetime::Filter::Date, "a date", &value, context),
        Kind::DateTime => instant(datetime::Filter::DateTime, "a date with time", &value, context),
        Kind::Array => match value {
            Value::Array(_) => Ok(value),
            _ if context.parser_follows => Ok(value),
            other => Ok(Value::Array(vec![other])),
        },
    }
}

fn instant(filter: datetime::Filter, wanted: &str, value: &Value, context: Context) -> Result<Value, Fault> {
    datetime::apply(filter, value, context.is_variable, context.zone).map_err(|_| refuse(value, wanted))
}

fn refuse(value: &Value, wanted: &str) -> Fault {
    let shown: String = text::interpolate(value, false).chars().take(60).collect();
    Fault::new(Code::Type, format!("{shown:?} is not {wanted}"))
}

/// A truth value: JSON booleans, 1 and 0, `true`, `false` and the empty text.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.as_str() {
            "1" | "true" => Some(true),
            "0" | "false" | "" => Some(false),
            _ => None,
        },
        Value::Number(_) => match decimal(value)? {
            one if one == Decimal::ONE => Some(true),
            zero if zero.is_zero() => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The exact decimal a number or numeric text stands for.
pub(crate) fn decimal(value: &Value) -> Option<Decimal> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

/// A decimal as JSON number, without trailing zeros.
pub(crate) fn to_number(decimal: Decimal) -> Value {
    let text = if decimal.is_zero() { "0".to_owned() } else { decimal.normalize().to_string() };
    Value::Number(text.parse().expect("a plain decimal is a JSON number"))
}

/// The number a value stands for, its digits as written wherever JSON allows them.
fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => match text.trim().parse::<Number>() {
            Ok(number) => Some(number),
            // Forms JSON has not, such as +5, .5 and 007.
            Err(_) => decimal(value)?.to_string().parse().ok(),
        },
        _ => None,
    }
}

/// The whole number a value stands for, truncated toward zero.
fn whole(value: &Value) -> Option<Number> {
    let written = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    // Whole numbers longer than 28 digits keep their text.
    let digits = written.strip_prefix('-').unwrap_or(&written);
    if digits.len() > 28 && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return written.parse().ok();
    }
    let truncated = decimal(value)?.round_dp_with_strategy(0, RoundingStrategy::ToZero);
    let text = if truncated.is_zero() { "0".to_owned() } else { truncated.normalize().to_string() };
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(kind: Kind, value: Value) -> Result<String, Code> {
        let context = Context { zone: chrono_tz::Asia::Shanghai, is_variable: false, parser_follows: false };
        coerce(kind, value, context).map(|value| value.to_string()).map_err(|fault| fault.code)
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn text_is_the_interpolation_text_of_scalars() {
        assert_eq!(with(Kind::Text, parsed("12.0")), Ok("\"12\"".to_owned()));
        assert_eq!(with(Kind::Text, parsed("1.10")), Ok("\"1.1\"".to_owned()));
        assert_eq!(with(Kind::Text, json!(true)), Ok("\"true\"".to_owned()));
        assert_eq!(with(Kind::Text, json!("3.50")), Ok("\"3.50\"".to_owned()));
        assert_eq!(with(Kind::Text, json!({"a": 1})), Ok("{\"a\":1}".to_owned()));
        assert_eq!(with(Kind::Text, Value::Null), Ok("null".to_owned()));
    }

    #[test]
    fn whole_numbers_are_truncated_toward_zero() {
        for (value, wanted) in [
            (json!("12.7"), "12"),
            (json!("-12.7"), "-12"),
            (parsed("-0.5"), "0"),
            (json!("1e3"), "1000"),
            (json!(""), "null"),
            (json!("123456789012345678901234567890123"), "123456789012345678901234567890123"),
        ] {
            assert_eq!(with(Kind::Int, value.clone()), Ok(wanted.to_owned()), "{value}");
        }
        assert_eq!(with(Kind::Int, json!("十")), Err(Code::Type));
        assert_eq!(with(Kind::Int, json!(true)), Err(Code::Type));
    }

    #[test]
    fn decimals_keep_their_digits() {
        for (value, wanted) in [
            (json!("120.50"), "120.50"),
            (parsed("0.1234567890123456789012345678901"), "0.1234567890123456789012345678901"),
            (json!("+5"), "5"),
            (json!(".5"), "0.5"),
            (json!("007"), "7"),
        ] {
            assert_eq!(with(Kind::Decimal, value.clone()), Ok(wanted.to_owned()), "{value}");
        }
        assert_eq!(with(Kind::Decimal, json!("1,000")), Err(Code::Type));
        assert_eq!(with(Kind::Decimal, json!([1])), Err(Code::Type));
    }

    #[test]
    fn truth_has_seven_spellings() {
        for (value, wanted) in [
            (json!("true"), "true"),
            (json!(1), "true"),
            (json!("1"), "true"),
            (parsed("1.0"), "true"),
            (json!("false"), "false"),
            (json!("0"), "false"),
            (json!(""), "false"),
        ] {
            assert_eq!(with(Kind::Bool, value.clone()), Ok(wanted.to_owned()), "{value}");
        }
        assert_eq!(with(Kind::Bool, json!("yes")), Err(Code::Type));
        assert_eq!(with(Kind::Bool, json!(2)), Err(Code::Type));
    }

    #[test]
    fn dates_are_formatted_and_unreadable_ones_refused() {
        assert_eq!(with(Kind::DateTime, json!(1_710_403_200)), Ok("\"2024-03-14 16:00:00\"".to_owned()));
        assert_eq!(with(Kind::Date, json!("2024-03-14T23:59:59")), Ok("\"2024-03-14\"".to_owned()));
        assert_eq!(with(Kind::Date, json!("")), Ok("null".to_owned()));
        assert_eq!(with(Kind::Date, json!("昨天")), Err(Code::Type));
    }

    #[test]
    fn a_lone_value_becomes_a_list_of_one() {
        assert_eq!(with(Kind::Array, json!("a")), Ok("[\"a\"]".to_owned()));
        assert_eq!(with(Kind::Array, json!(["a"])), Ok("[\"a\"]".to_owned()));
    }

    #[test]
    fn types_are_named_without_regard_to_case() {
        for name in NAMES {
            assert!(Kind::named(&name.to_uppercase()).is_some(), "{name}");
        }
        assert_eq!(Kind::named("text"), None);
    }
}
