//! Spans of time as text: `200ms`, `5s`, `10m`, `36h`, `14d`, also joined as `1m30s`.
//!
//! ```
//! #[derive(serde::Deserialize)]
//! struct Batch {
//!     #[serde(with = "runtime::settings::duration")]
//!     max_age: std::time::Duration,
//!     #[serde(default, with = "runtime::settings::duration::optional")]
//!     pause: Option<std::time::Duration>,
//! }
//! ```

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a span of time such as 200ms, 5s, 10m, 36h, 14d or 1m30s")]
pub struct NotADuration(pub String);

/// Reads a span of time. Each unit at most once, longest first.
///
/// # Errors
/// [`NotADuration`] with the text.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let refused = || NotADuration(text.to_owned());
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let (number, after) = rest.split_at(unit_at);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let (_, millis) = units.by_ref().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        let number: u64 = number.parse().map_err(|_| refused())?;
        total = number.checked_mul(*millis).and_then(|part| total.checked_add(part)).ok_or_else(refused)?;
        rest = next;
    }
    if text.is_empty() { Err(refused()) } else { Ok(Duration::from_millis(total)) }
}

/// The span as text that [`parse`] reads back; below a millisecond is cut off.
pub fn text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, millis) in UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{name}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// For `#[serde(with = "runtime::settings::duration")]`.
///
/// # Errors
/// The value is not such a text.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// For `#[serde(with = "runtime::settings::duration")]`.
///
/// # Errors
/// Only those of the serializer.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text(*duration))
}

/// The same for `Option<Duration>`; add `#[serde(default)]` so that it may be left out.
pub mod optional {
    use super::{Deserialize, Deserializer, Duration, Serializer, parse, text};

    /// For `#[serde(with = "runtime::settings::duration::optional")]`.
    ///
    /// # Errors
    /// The value is not such a text.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let given = Option::<String>::deserialize(deserializer)?;
        given.map(|given| parse(&given).map_err(serde::de::Error::custom)).transpose()
    }

    /// For `#[serde(with = "runtime::settings::duration::optional")]`.
    ///
    /// # Errors
    /// Only those of the serializer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serializer.serialize_str(&text(*duration)),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        for (written, millis) in
            [("200ms", 200), ("5s", 5_000), ("10m", 600_000), ("36h", 129_600_000), ("1m30s", 90_000), ("0s", 0)]
        {
            assert_eq!(parse(written), Ok(Duration::from_millis(millis)), "{written}");
            assert_eq!(parse(&text(Duration::from_millis(millis))), Ok(Duration::from_millis(millis)), "{written}");
        }
        assert_eq!(text(Duration::from_millis(90_001)), "1m30s1ms");
        assert_eq!(text(Duration::from_secs(14 * 86_400)), "14d");
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for bad in
            ["", "5", "s", "5 s", "-5s", "1.5s", "5秒", "30s1m", "1s1s", "99999999999999999999d", "9999999999999d"]
        {
            assert_eq!(parse(bad), Err(NotADuration(bad.to_owned())));
        }
    }
}
