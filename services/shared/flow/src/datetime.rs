//! Points in time: the filters `|date`, `|datetime`, `|time`, `|timestamp`, `|timestamp_ms`, and the forms they read.
//!
//! A text without a zone is already local to the scheme; a number is a unix time and is shown in the scheme's zone.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;
use document::{Code, Fault};
use serde_json::{Number, Value};

use crate::{reference, text};

/// What a reference does to its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Filter {
    /// `YYYY-MM-DD`.
    Date,
    /// `YYYY-MM-DD HH:MM:SS`.
    DateTime,
    /// `HH:MM:SS`.
    Time,
    /// Unix seconds as a number.
    Timestamp,
    /// Unix milliseconds as a number.
    TimestampMs,
}

impl Filter {
    /// The name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::TimestampMs => "timestamp_ms",
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Filter {
    type Err = Fault;

    /// Reads the name without regard to case.
    fn from_str(name: &str) -> Result<Self, Fault> {
        [Self::Date, Self::DateTime, Self::Time, Self::Timestamp, Self::TimestampMs]
            .into_iter()
            .find(|filter| filter.name().eq_ignore_ascii_case(name))
            .ok_or_else(|| reference::unknown_filter(name))
    }
}

/// Applies one filter. null and `""` give null.
///
/// `is_variable` says that the value is one of the run's times, which are always seconds.
///
/// # Errors
/// `E_FILTER` when the value is in none of the accepted forms.
pub fn apply(filter: Filter, value: &Value, is_variable: bool, zone: Tz) -> Result<Value, Fault> {
    let Some(local) = read(value, is_variable, zone)? else { return Ok(Value::Null) };
    Ok(match filter {
        Filter::Date => Value::String(local.format("%Y-%m-%d").to_string()),
        Filter::DateTime => Value::String(local.format("%Y-%m-%d %H:%M:%S").to_string()),
        Filter::Time => Value::String(local.format("%H:%M:%S").to_string()),
        Filter::Timestamp => Value::Number(Number::from(instant(local, zone).timestamp())),
        Filter::TimestampMs => Value::Number(Number::from(instant(local, zone).timestamp_millis())),
    })
}

/// Reads a value in any accepted form as local time of the zone. null and `""` give nothing.
///
/// Accepted: a number or digits of 10 (seconds), 13 (milliseconds), 8 (`YYYYMMDD`) or 14 (`YYYYMMDDHHMMSS`) places;
/// `YYYY-MM-DD` or `YYYY/MM/DD`, alone or followed by a blank or `T` and `HH:MM[:SS[.f]]`, with an optional `Z` or
/// `±HH:MM`, which is converted.
///
/// # Errors
/// `E_FILTER` when the value is in none of the accepted forms.
pub fn read(value: &Value, is_variable: bool, zone: Tz) -> Result<Option<NaiveDateTime>, Fault> {
    let written = match value {
        Value::Null => return Ok(None),
        Value::String(written) if written.is_empty() => return Ok(None),
        Value::String(written) => written.trim().to_owned(),
        Value::Number(number) => text::number_text(number),
        other => return Err(unreadable(&other.to_string())),
    };
    let found = if is_variable {
        written.parse().ok().and_then(|seconds| local_of_unix(seconds, 0, zone))
    } else {
        read_text(&written, zone)
    };
    found.map(Some).ok_or_else(|| unreadable(&written))
}

fn unreadable(written: &str) -> Fault {
    let shown: String = written.chars().take(40).collect();
    Fault::new(Code::Filter, format!("{shown:?} is not a date or time")).hint(
        "accepted: unix seconds or milliseconds, YYYYMMDD, YYYYMMDDHHMMSS, YYYY-MM-DD or YYYY/MM/DD with an optional \
         time and zone",
    )
}

fn read_text(written: &str, zone: Tz) -> Option<NaiveDateTime> {
    if written.chars().all(|c| c.is_ascii_digit()) {
        return match written.len() {
            8 => compact(&format!("{written}000000")),
            14 => compact(written),
            10 => local_of_unix(written.parse().ok()?, 0, zone),
            13 => {
                let milliseconds: i64 = written.parse().ok()?;
                let nanoseconds = u32::try_from(milliseconds % 1000).ok()? * 1_000_000;
                local_of_unix(milliseconds / 1000, nanoseconds, zone)
            }
            _ => None,
        };
    }
    read_spelled(written, zone)
}

/// `YYYYMMDDHHMMSS`.
fn compact(digits: &str) -> Option<NaiveDateTime> {
    let part = |from: usize, to: usize| digits.get(from..to)?.parse::<u32>().ok();
    let date = NaiveDate::from_ymd_opt(digits.get(0..4)?.parse().ok()?, part(4, 6)?, part(6, 8)?)?;
    date.and_hms_opt(part(8, 10)?, part(10, 12)?, part(12, 14)?)
}

/// A spelled date with an optional time and zone, as local time.
pub(crate) fn read_spelled(written: &str, zone: Tz) -> Option<NaiveDateTime> {
    let (date, rest) = match written.split_once([' ', 'T', 't']) {
        Some((date, rest)) => (date, Some(rest.trim_start())),
        None => (written, None),
    };
    let date = read_date(date)?;
    let Some(rest) = rest else { return date.and_hms_opt(0, 0, 0) };
    let clock_ends = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at_checked(clock_ends)?;
    let local = date.and_time(read_clock(clock.trim_end())?);
    match read_offset(offset)? {
        Some(offset) => Some(local.and_local_timezone(offset).single()?.with_timezone(&zone).naive_local()),
        None => Some(local),
    }
}

fn read_date(written: &str) -> Option<NaiveDate> {
    let mark = if written.contains('/') { '/' } else { '-' };
    let mut parts = written.split(mark);
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if year.len() != 4 || parts.next().is_some() {
        return None;
    }
    NaiveDate::from_ymd_opt(i32::try_from(number(year, 4)?).ok()?, number(month, 2)?, number(day, 2)?)
}

/// `HH:MM[:SS[.f]]`.
pub(crate) fn read_clock(written: &str) -> Option<NaiveTime> {
    let mut parts = written.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next().unwrap_or("0"));
    if parts.next().is_some() {
        return None;
    }
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let nanoseconds = match fraction.len() {
        1..=9 => number(fraction, 9)? * 10_u32.pow(9 - u32::try_from(fraction.len()).ok()?),
        _ => return None,
    };
    NaiveTime::from_hms_nano_opt(number(hour, 2)?, number(minute, 2)?, number(second, 2)?, nanoseconds)
}

fn number(digits: &str, most: usize) -> Option<u32> {
    let fits = (1..=most).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
}

/// `Z`, `±HH:MM`, `±HHMM` or nothing.
fn read_offset(written: &str) -> Option<Option<FixedOffset>> {
    let sign = match written.chars().next() {
        None => return Some(None),
        Some('Z' | 'z') => return (written.len() == 1).then(|| FixedOffset::east_opt(0)),
        Some('+') => 1,
        Some(_) => -1,
    };
    let digits: String = written.chars().skip(1).filter(|c| *c != ':').collect();
    if digits.len() != 4 {
        return None;
    }
    let (hours, minutes) = digits.split_at_checked(2)?;
    let (hours, minutes) = (i32::try_from(number(hours, 2)?).ok()?, i32::try_from(number(minutes, 2)?).ok()?);
    if minutes > 59 {
        return None;
    }
    FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60)).map(Some)
}

/// The local time of a unix time in seconds; nothing outside the years 0 to 9999.
pub fn local_of_unix(seconds: i64, nanoseconds: u32, zone: Tz) -> Option<NaiveDateTime> {
    let local = DateTime::from_timestamp(seconds, nanoseconds)?.with_timezone(&zone).naive_local();
    (0..=9999).contains(&local.year()).then_some(local)
}

/// The instant of a local time. Of a time that the clock shows twice, the first; a time that it skips counts on from
/// the offset before the gap.
pub fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Tz> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant,
        LocalResult::None => {
            let day = TimeDelta::days(1);
            match zone.from_local_datetime(&(local - day)).earliest() {
                Some(before) => before + day,
                None => zone.from_utc_datetime(&local),
            }
        }
    }
}

#[cfg(test)]
mod tests;
