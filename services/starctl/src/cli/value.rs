//! Values that are typed in a form of their own.

use std::time::Duration;

/// A duration: a number and `s`, `m`, `h` or `d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration; write a number and a unit, such as 30s, 2m or 8h".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(seconds @ 1..) => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

/// Letters a second: `20` or `20/s`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    match number.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1_000.0 => Ok(rate),
        _ => Err("letters a second, above 0 and up to 1000: 20 or 20/s".to_owned()),
    }
}

/// A share: from 0 to 1.
pub(crate) fn ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        _ => Err("a share from 0 to 1, such as 0.2".to_owned()),
    }
}

/// A text that says something: what a variable that was never set leaves behind must not stand for everything.
pub(crate) fn some_text(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// The id of a letter: as it is, or as `-o name` prints it.
pub(crate) fn letter_id(text: &str) -> Result<String, String> {
    named("dead_letter/", text)
}

/// The id of a job: as it is, or as `-o name` prints it.
pub(crate) fn replay_id(text: &str) -> Result<String, String> {
    named("replay/", text)
}

/// The id of a reconciliation: as it is, or as `-o name` prints it.
pub(crate) fn reconciliation_id(text: &str) -> Result<String, String> {
    named("reconciliation/", text)
}

/// The id of a backfill: as it is, or as `-o name` prints it.
pub(crate) fn backfill_id(text: &str) -> Result<String, String> {
    named("backfill/", text)
}

/// The id of a token: as it is, or as `-o name` prints it. A mistyped one is refused here: the control plane keeps no list
/// of the tokens it made, so that it takes any id.
pub(crate) fn token_id(text: &str) -> Result<String, String> {
    let id = named("token/", text)?;
    let is_hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if id.len() == 32 && is_hex { Ok(id) } else { Err("not the id of a token: 32 hex digits".to_owned()) }
}

/// An instant, unix seconds: as such, or RFC 3339.
pub(crate) fn instant(text: &str) -> Result<i64, String> {
    let of_date = || chrono::DateTime::parse_from_rfc3339(text).map(|instant| instant.timestamp());
    text.parse().or_else(|_| of_date()).map_err(|_| "neither unix seconds nor RFC 3339".to_owned())
}

/// The name of a flow: as it is, or as `-o name` prints it.
pub(crate) fn flow_name(text: &str) -> Result<String, String> {
    named("flow/", text)
}

/// The name of a tenant.
pub(crate) fn tenant(text: &str) -> Result<String, String> {
    document::Tenant::new(text).map(|tenant| tenant.to_string()).map_err(|error| error.to_string())
}

fn named(prefix: &str, text: &str) -> Result<String, String> {
    match text.strip_prefix(prefix).unwrap_or(text) {
        "" => Err("an empty name".to_owned()),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_number_and_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("12h"), Ok(Duration::from_secs(43_200)));
        for wrong in ["", "s", "0s", "30", "3天", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_may_say_a_second() {
        assert_eq!((rate("20/s"), rate("0.5")), (Ok(20.0), Ok(0.5)));
        for wrong in ["0", "-1", "1001", "NaN", "20/m"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_as_printed_are_names_as_taken() {
        assert_eq!(letter_id("dead_letter/ab12"), Ok("ab12".to_owned()));
        assert_eq!(flow_name("misc-inbound"), Ok("misc-inbound".to_owned()));
        assert!(replay_id("replay/").is_err());
        assert_eq!(backfill_id("backfill/f:1"), Ok("f:1".to_owned()));
        let token = "00112233445566778899aabbccddeeff";
        assert_eq!(token_id(&format!("token/{token}")), Ok(token.to_owned()));
        for wrong in ["deadbeef", "00112233445566778899AABBCCDDEEFF", ""] {
            assert!(token_id(wrong).is_err(), "{wrong}");
        }
        assert_eq!(reconciliation_id("reconciliation/f:1"), Ok("f:1".to_owned()));
    }
}
