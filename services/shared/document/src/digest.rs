//! The digest of a document: equal for equal content, whatever the order of its rows and the spelling of its numbers.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde_json::Value;

/// BLAKE3-128 of a canonical document. Text form: 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// The digest of a bill made of `rows`.
    ///
    /// Rows are ordered by the text of member `row_key` (the entry id; rows without it by their own bytes), object
    /// members by name, and numbers are written as the shortest decimal, so `12`, `12.0` and `1.2e1` agree.
    pub fn of_rows(rows: &[Value], row_key: Option<&str>) -> Digest {
        let mut canonical: Vec<(String, Vec<u8>)> = rows
            .iter()
            .map(|row| {
                let key = row_key.and_then(|key| row.get(key)).map(text_of).unwrap_or_default();
                let mut bytes = Vec::with_capacity(256);
                write_canonical(row, &mut bytes);
                (key, bytes)
            })
            .collect();
        canonical.sort();
        let mut hasher = blake3::Hasher::new();
        for (_, bytes) in &canonical {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        }
        let mut digest = [0_u8; 16];
        hasher.finalize_xof().fill(&mut digest);
        Digest(digest)
    }

    /// The digest of bytes as they are.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        let mut digest = [0_u8; 16];
        blake3::Hasher::new().update(bytes).finalize_xof().fill(&mut digest);
        Digest(digest)
    }

    /// The digest of one JSON value, by the same canonical form.
    pub fn of_value(value: &Value) -> Digest {
        Self::of_rows(std::slice::from_ref(value), None)
    }
}

/// The text by which row keys are ordered: numbers padded so that `9` comes before `10`.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => format!("{:0>40}", number.to_string()),
        other => other.to_string(),
    }
}

/// `number` as the shortest plain decimal; as written when it has more than 28 digits.
pub fn normal_number(number: &str) -> String {
    let decimal = Decimal::from_str_exact(number).or_else(|_| Decimal::from_scientific(number));
    match decimal {
        Ok(decimal) if decimal.is_zero() => "0".to_owned(),
        Ok(decimal) => decimal.normalize().to_string(),
        Err(_) => number.to_owned(),
    }
}

fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => out.extend_from_slice(normal_number(&number.to_string()).as_bytes()),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write_canonical(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            out.push(b'{');
            for name in names {
                write_text(name, out);
                out.push(b':');
                if let Some(member) = members.get(name) {
                    write_canonical(member, out);
                }
                out.push(b',');
            }
            out.push(b'}');
        }
    }
}

/// Length before text: no escape rules to agree on, and no two texts share a form.
fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\"{}:", text.len()).as_bytes());
    out.extend_from_slice(text.as_bytes());
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Digest {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut digest = [0_u8; 16];
        hex::decode_to_slice(text, &mut digest).map(|()| Digest(digest))
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn parsed(text: &str) -> Vec<Value> {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn order_of_rows_and_spelling_of_numbers_do_not_matter() {
        let a = parsed(r#"[{"id":9,"q":12.50,"n":"桌"},{"id":10,"q":1e1,"n":"椅"}]"#);
        let b = parsed(r#"[{"n":"椅","id":10,"q":10.00},{"q":12.5,"id":9,"n":"桌"}]"#);
        assert_eq!(Digest::of_rows(&a, Some("id")), Digest::of_rows(&b, Some("id")));
    }

    #[test]
    fn content_matters() {
        let base = Digest::of_rows(&[json!({"a": "1", "b": null})], None);
        for other in [json!({"a": 1, "b": null}), json!({"a": "1"}), json!({"a": "1", "b": "null"}), json!({"a": "1 "})]
        {
            assert_ne!(base, Digest::of_rows(&[other], None));
        }
    }

    #[test]
    fn digests_survive_their_text() {
        let digest = Digest::of_value(&json!({"a": 1}));
        assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
    }

    #[test]
    fn numbers_beyond_28_digits_keep_their_text() {
        let long = "1.23456789012345678901234567890123";
        assert_eq!(normal_number(long), long);
        assert_eq!(normal_number("-0.00"), "0");
        assert_eq!(normal_number("100"), "100");
    }
    /// A document's row: members of every kind, a quantity in hundredths among them.
    fn row() -> impl Strategy<Value = (u32, i64, String, Option<bool>)> {
        (any::<u32>(), -9_999_999_i64..9_999_999, "[a-z0-9'入库 ]{0,12}", any::<Option<bool>>())
    }

    /// The row as JSON, the quantity spelt in one of several ways, the members in one of two orders.
    fn spelt((id, hundredths, name, flag): &(u32, i64, String, Option<bool>), manner: u8) -> Value {
        let quantity = Decimal::new(*hundredths, 2);
        let quantity = match manner % 4 {
            0 => quantity.to_string(),
            1 => quantity.normalize().to_string(),
            2 => format!("{hundredths}e-2"),
            _ => format!("{quantity}000"),
        };
        let (name, flag) = (json!(name), json!(flag));
        let text = if manner < 128 {
            format!("{{\"id\":{id},\"qty\":{quantity},\"name\":{name},\"inner\":{{\"a\":{flag},\"b\":[{quantity}]}}}}")
        } else {
            format!("{{\"inner\":{{\"b\":[{quantity}],\"a\":{flag}}},\"name\":{name},\"qty\":{quantity},\"id\":{id}}}")
        };
        serde_json::from_str(&text).expect("JSON")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn the_digest_is_of_the_content_alone(
            rows in prop::collection::vec(row(), 1..6),
            manners in prop::collection::vec(any::<[u8; 2]>(), 6),
            turn in any::<usize>(),
            more in 1_i64..1_000,
        ) {
            let spell = |of: usize| -> Vec<Value> {
                rows.iter().zip(&manners).map(|(row, manner)| spelt(row, manner[of])).collect()
            };
            let (one, mut other) = (spell(0), spell(1));
            other.rotate_left(turn % rows.len());
            let digest = Digest::of_rows(&one, Some("id"));
            prop_assert_eq!(digest, Digest::of_rows(&other, Some("id")));

            let mut changed = rows.clone();
            changed[turn % rows.len()].1 += more;
            let changed: Vec<Value> = changed.iter().map(|row| spelt(row, 0)).collect();
            prop_assert_ne!(digest, Digest::of_rows(&changed, Some("id")));
        }
    }
}
