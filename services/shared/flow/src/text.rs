//! The text of a JSON value where it becomes part of a text.

use serde_json::{Number, Value};

/// Writes a value as interpolation text.
///
/// Text stays as it is; a number is its shortest decimal (`12.0` is `12`, `1.10` is `1.1`, `1e3` is `1000`); booleans
/// are `true` and `false`, inside `_function` `1` and `0`; null is empty; objects and arrays are compact JSON.
pub fn interpolate(value: &Value, in_function: bool) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => match (flag, in_function) {
            (true, true) => "1",
            (false, true) => "0",
            (true, false) => "true",
            (false, false) => "false",
        }
        .to_owned(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => value.to_string(),
    }
}

/// The most zeros an exponent is written out with; beyond it the number stays as it was written.
const WRITTEN_OUT: i64 = 400;

/// The shortest decimal text of a JSON number, whatever its length, without passing through a binary float.
pub fn number_text(number: &Number) -> String {
    let written = number.to_string();
    shortest(&written).unwrap_or(written)
}

/// The shortest decimal text of a plain or scientific number; nothing when the text is not one.
fn shortest(written: &str) -> Option<String> {
    let (negative, body) = match written.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, written),
    };
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (body, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = whole.chars().chain(fraction.chars()).collect();
    if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) || exponent.abs() > WRITTEN_OUT {
        return None;
    }
    let point = i64::try_from(whole.len()).ok()? + exponent;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let length = i64::try_from(digits.len()).ok()?;
    let padded = format!("{}{digits}{}", zeros(1 - point), zeros(point - length));
    let split = usize::try_from(point.max(1)).ok()?;
    let whole: String = padded.chars().take(split).collect();
    let fraction: String = padded.chars().skip(split).collect();
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        rest => rest,
    };
    let fraction = fraction.trim_end_matches('0');
    let sign = if negative && (whole != "0" || !fraction.is_empty()) { "-" } else { "" };
    let mark = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{mark}{fraction}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(json: &str) -> String {
        interpolate(&serde_json::from_str(json).expect("test JSON"), false)
    }

    #[test]
    fn numbers_are_their_shortest_decimal() {
        for (json, expected) in [
            ("12.0", "12"),
            ("1.10", "1.1"),
            ("-0.50", "-0.5"),
            ("0.0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("100", "100"),
            ("1e3", "1000"),
            ("1.25E1", "12.5"),
            ("1.5e-3", "0.0015"),
            ("120e-1", "12"),
            ("0.000001", "0.000001"),
            ("123456789012345678901234567890.10", "123456789012345678901234567890.1"),
            ("1e999", "1e+999"),
        ] {
            assert_eq!(text_of(json), expected, "{json}");
        }
    }

    #[test]
    fn other_values_have_their_own_text() {
        assert_eq!(text_of("null"), "");
        assert_eq!(text_of("\"中文 12.0\""), "中文 12.0");
        assert_eq!(text_of("true"), "true");
        assert_eq!(text_of("false"), "false");
        assert_eq!(text_of("{\"b\": 1.50, \"a\": [\"x\", null]}"), "{\"b\":1.50,\"a\":[\"x\",null]}");
        assert_eq!(interpolate(&Value::Bool(true), true), "1");
        assert_eq!(interpolate(&Value::Bool(false), true), "0");
    }
}
