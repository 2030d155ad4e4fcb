//! Values as they are written: numbers, points in time, durations.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use rust_decimal::Decimal;

/// Longest duration, milliseconds: a hundred years.
const LONGEST: i64 = 100 * 365 * DAY;
const DAY: i64 = 24 * HOUR;
const HOUR: i64 = 60 * MINUTE;
const MINUTE: i64 = 60 * SECOND;
const SECOND: i64 = 1_000;

/// A number, exactly. None when the text is no number, or one of more digits than can be kept.
pub(crate) fn number(text: &str) -> Option<Decimal> {
    flow::number::read(text).ok().flatten()
}

/// A point in time as unix milliseconds: RFC 3339, or a date, which is its first instant in UTC.
///
/// None also for a time between two milliseconds, which no letter can have.
pub(crate) fn time(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        let millis = time.timestamp_millis();
        return (time.timestamp_subsec_nanos() % 1_000_000 == 0).then_some(millis);
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
}

/// A time as documents write it, as unix nanoseconds: as [`time`] reads it, of any fineness, or without a zone, which
/// then counts as UTC.
pub(crate) fn document_time(text: &str) -> Option<i128> {
    let utc = match DateTime::parse_from_rfc3339(text) {
        Ok(time) => time.to_utc(),
        Err(_) => match time(text) {
            Some(millis) => DateTime::from_timestamp_millis(millis)?,
            None => ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
                .into_iter()
                .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())?
                .and_utc(),
        },
    };
    Some(i128::from(utc.timestamp()) * 1_000_000_000 + i128::from(utc.timestamp_subsec_nanos()))
}

/// A duration as milliseconds: `10s`, `5m`, `2h`, `3d`, or several in a row as `1h30m`.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => SECOND,
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            _ => return None,
        };
        let count: i64 = std::mem::take(&mut digits).parse().ok()?;
        total = total.checked_add(count.checked_mul(unit)?)?;
    }
    (digits.is_empty() && !text.is_empty() && total <= LONGEST).then_some(total)
}

/// Milliseconds as a duration in words that [`duration`] reads.
pub(crate) fn duration_text(millis: i64) -> String {
    let mut rest = millis;
    let mut text = String::new();
    for (unit, letter) in [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm'), (SECOND, 's')] {
        let count = rest / unit;
        rest %= unit;
        if count > 0 {
            text.push_str(&format!("{count}{letter}"));
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_units() {
        assert_eq!(duration("10m"), Some(600_000));
        assert_eq!(duration("1d2h3m4s"), Some(93_784_000));
        for wrong in ["", "10", "m", "1.5h", "10x", "-1s", "99999999999999999999d", "40000d"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(duration_text(93_784_000), "1d2h3m4s");
        assert_eq!(duration_text(0), "0s");
    }

    #[test]
    fn times_are_instants_and_dates_begin_in_utc() {
        assert_eq!(time("1970-01-01"), Some(0));
        assert_eq!(time("1970-01-01T08:00:01+08:00"), Some(1_000));
        assert_eq!(time("1970-01-01T00:00:00.0005Z"), None);
        assert_eq!(time("1970-01-01 00:00:01"), None);
        assert_eq!(document_time("1970-01-01 00:00:01"), Some(1_000_000_000));
        assert_eq!(document_time("1970-01-01T00:00:01.0005"), Some(1_000_500_000));
        assert_eq!(document_time("1970-01-01T08:00:00.0005+08:00"), Some(500_000));
        assert_eq!(time("yesterday"), None);
    }
}
