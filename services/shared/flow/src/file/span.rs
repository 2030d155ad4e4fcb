//! Durations as people write them: `500ms`, `30s`, `10m`, `1h30m`, `2d`.

use std::time::Duration;

/// Reads a duration.
///
/// Shape: one or more of number and unit (`ms`, `s`, `m`, `h`, `d`), largest first or not, nothing between them.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refuse = || format!("{text:?} is not a duration: write a number and one of ms, s, m, h, d, such as 10m");
    let mut total = Duration::ZERO;
    let mut rest = text.chars().peekable();
    if rest.peek().is_none() {
        return Err(refuse());
    }
    while rest.peek().is_some() {
        let mut number = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            number.push(digit);
        }
        let mut unit = String::new();
        while let Some(letter) = rest.next_if(char::is_ascii_alphabetic) {
            unit.push(letter);
        }
        let amount: u64 = number.parse().map_err(|_| refuse())?;
        let millis = match unit.as_str() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(refuse()),
        };
        let part = amount.checked_mul(millis).map(Duration::from_millis).ok_or_else(refuse)?;
        total = total.checked_add(part).ok_or_else(refuse)?;
    }
    Ok(total)
}

/// Writes a duration in the largest unit that divides it.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if millis >= size && millis.is_multiple_of(size) {
            return format!("{}{unit}", millis / size);
        }
    }
    format!("{millis}ms")
}

/// For `#[serde(with = "flow::file::span::text")]`: a duration as its text.
pub mod text {
    use std::time::Duration;

    use document::Code;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*duration))
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`Code::Duration`] with what is wrong with it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse(&text).map_err(|why| crate::file::text_form::coded(Code::Duration, &why))
    }
}

/// As [`text`], for a duration that may be absent.
pub mod optional_text {
    use std::time::Duration;

    use document::Code;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the text, or null.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::text::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads the text, if there is one.
    ///
    /// # Errors
    /// [`Code::Duration`] with what is wrong with it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let duration = text.map(|text| super::parse(&text)).transpose();
        duration.map_err(|why| crate::file::text_form::coded(Code::Duration, &why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("1h30m", 5_400_000), ("2d", 172_800_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "10", "m", "10 m", "-1s", "1x", "十分", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_come_back_from_their_text() {
        for text in ["1ms", "90s", "10m", "1h", "2d", "0ms"] {
            assert_eq!(format(parse(text).expect("a duration")), text);
        }
    }
}
