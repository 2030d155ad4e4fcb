//! The ids a source gives its bills and lines.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// An inner id: a number for nearly every form, a text for the few with text primary keys.
///
/// Shape: a JSON integer or a non-empty JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// A number, which the source orders as numbers.
    Integer(i64),
    /// A text, whose order is the source's own affair (its collation).
    Text(String),
}

impl Key {
    /// Reads a cell; `None` when it is neither an integer nor a text with something in it.
    pub fn read(cell: &Value) -> Option<Key> {
        match cell {
            // The text of the number is asked, so that 12.0 and 1e3 are not taken for ids.
            Value::Number(number) => number.to_string().parse().ok().map(Key::Integer),
            Value::String(text) if !text.trim().is_empty() => Some(Key::Text(text.clone())),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether `self` comes before `other` for certain: two integers compare, texts leave it open.
    pub fn is_surely_below(&self, other: &Key) -> bool {
        matches!((self, other), (Key::Integer(a), Key::Integer(b)) if a < b)
    }

    /// Whether both are numbers or both are texts.
    pub fn is_like(&self, other: &Key) -> bool {
        matches!((self, other), (Key::Integer(_), Key::Integer(_)) | (Key::Text(_), Key::Text(_)))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Integer(number) => number.fmt(f),
            Key::Text(text) => text.fmt(f),
        }
    }
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Key::Integer(number) => serializer.serialize_i64(*number),
            Key::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Key::read(&value).ok_or_else(|| serde::de::Error::custom(format!("no id: {value}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ids_are_integers_or_texts() {
        assert_eq!(Key::read(&json!(1001)), Some(Key::Integer(1001)));
        assert_eq!(Key::read(&json!("00505")), Some(Key::Text("00505".to_owned())));
        for cell in [json!(null), json!(""), json!(" "), json!(1.5), json!(true), json!([1])] {
            assert_eq!(Key::read(&cell), None, "{cell}");
        }
    }

    #[test]
    fn ids_survive_their_json() {
        for key in [Key::Integer(-1), Key::Integer(i64::MAX), Key::Text("a'b".to_owned())] {
            let text = serde_json::to_string(&key).expect("an id is JSON");
            assert_eq!(serde_json::from_str::<Key>(&text).ok(), Some(key));
        }
    }

    #[test]
    fn only_numbers_have_an_order_we_know() {
        assert!(Key::Integer(9).is_surely_below(&Key::Integer(10)));
        assert!(!Key::Text("a".to_owned()).is_surely_below(&Key::Text("b".to_owned())));
        assert!(!Key::Integer(1).is_like(&Key::Text("1".to_owned())));
    }
}
