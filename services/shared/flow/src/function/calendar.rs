//! Dates as MySQL reads, moves and counts them.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;
use document::Fault;
use rust_decimal::Decimal;

use super::datum::Datum;
use super::node::Unit;
use crate::datetime::{read_clock, read_spelled};
use crate::number;

/// A date, or a date with a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) at: NaiveDateTime,
    pub(super) has_time: bool,
}

impl Moment {
    pub(super) fn date(date: NaiveDate) -> Self {
        Self { at: date.and_time(NaiveTime::MIN), has_time: false }
    }

    pub(super) fn with_time(at: NaiveDateTime) -> Self {
        Self { at, has_time: true }
    }

    /// `YYYY-MM-DD`, with a time `YYYY-MM-DD HH:MM:SS`.
    pub(super) fn into_datum(self) -> Datum {
        let form = if self.has_time { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d" };
        Datum::Text(self.at.format(form).to_string())
    }
}

/// Reads a date in MySQL's forms: spelled with any one mark between the numbers, or digits. Nothing when it is none.
pub(super) fn read(value: &Datum, zone: Tz) -> Option<Moment> {
    let text = value.text()?;
    let text = text.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.chars().all(|c| c.is_ascii_digit()) && fraction.chars().all(|c| c.is_ascii_digit()) {
        return compact(whole, fraction);
    }
    if let Some(at) = read_spelled(text, zone) {
        return Some(Moment { at, has_time: text.contains(':') });
    }
    marked(text)
}

/// `YYYYMMDD`, `YYMMDD`, and either followed by `HHMMSS`.
fn compact(digits: &str, fraction: &str) -> Option<Moment> {
    let part = |from: usize, to: usize| digits.get(from..to)?.parse::<u32>().ok();
    let (year, at) = match digits.len() {
        8 | 14 => (part(0, 4)?, 4),
        6 | 12 => (full_year(part(0, 2)?), 2),
        _ => return None,
    };
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, part(at, at + 2)?, part(at + 2, at + 4)?)?;
    if digits.len() < 12 {
        return Some(Moment::date(date));
    }
    let nanoseconds = nanoseconds(fraction)?;
    let (hour, minute, second) = (part(at + 4, at + 6)?, part(at + 6, at + 8)?, part(at + 8, at + 10)?);
    date.and_hms_nano_opt(hour, minute, second, nanoseconds).map(Moment::with_time)
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    digits.parse().ok()
}

/// Two digits mean 1970 to 2069.
pub(super) fn full_year(year: u32) -> u32 {
    match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        _ => year,
    }
}

/// Numbers with any single mark between them: `2024.3.4`, `24-3-4 5:6`.
fn marked(text: &str) -> Option<Moment> {
    let (date, clock) = match text.split_once([' ', 'T']) {
        Some((date, clock)) => (date, Some(clock.trim())),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split(|c: char| c.is_ascii_punctuation()).collect();
    let [year, month, day] = parts.as_slice() else { return None };
    let number = |text: &str, most: usize| {
        let fits = (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
        fits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let full = if year.len() <= 2 { full_year(number(year, 2)?) } else { number(year, 4)? };
    let date = NaiveDate::from_ymd_opt(i32::try_from(full).ok()?, number(month, 2)?, number(day, 2)?)?;
    match clock {
        None => Some(Moment::date(date)),
        Some(clock) => {
            let clock = if clock.contains(':') { clock.to_owned() } else { format!("{clock}:00") };
            Some(Moment::with_time(date.and_time(read_clock(&clock)?)))
        }
    }
}

/// The time of a value: of a date with time, or `HH:MM[:SS]` alone.
pub(super) fn read_time(value: &Datum, zone: Tz) -> Option<NaiveTime> {
    // First the time alone: `16:01:02` would also do as a date with marks.
    read_clock(value.text()?.trim()).or_else(|| read(value, zone).map(|moment| moment.at.time()))
}

/// The amount of an interval: whole units, except that seconds keep their fraction as microseconds.
pub(super) fn amount(value: &Datum, unit: Unit) -> Result<Option<Shift>, Fault> {
    if unit == Unit::Second {
        let Some(seconds) = value.decimal()? else { return Ok(None) };
        let micros = number::round(number::multiply(seconds, Decimal::from(1_000_000))?, 0)?;
        return Ok(i64::try_from(micros).ok().map(|micros| Shift {
            amount: micros,
            unit: Unit::Microsecond,
            timed: true,
        }));
    }
    Ok(value.whole()?.map(|amount| Shift {
        amount,
        unit,
        timed: matches!(unit, Unit::Microsecond | Unit::Minute | Unit::Hour),
    }))
}

/// How far a date moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shift {
    amount: i64,
    unit: Unit,
    /// Whether the result has a time even when the date has none.
    timed: bool,
}

/// Moves a date; nothing when the result lies outside the years 0 to 9999.
pub(super) fn shifted(moment: Moment, shift: Shift, forward: bool) -> Option<Moment> {
    let amount = if forward { shift.amount } else { shift.amount.checked_neg()? };
    let of_time = |unit: fn(i64) -> Option<TimeDelta>| moment.at.checked_add_signed(unit(amount)?);
    let of_days = |days: i64| match u64::try_from(days) {
        Ok(days) => moment.at.checked_add_days(Days::new(days)),
        Err(_) => moment.at.checked_sub_days(Days::new(days.unsigned_abs())),
    };
    let of_months = |months: i64| match u32::try_from(months.unsigned_abs()).ok()? {
        count if months < 0 => moment.at.checked_sub_months(Months::new(count)),
        count => moment.at.checked_add_months(Months::new(count)),
    };
    let at = match shift.unit {
        Unit::Microsecond => moment.at.checked_add_signed(TimeDelta::microseconds(amount)),
        Unit::Second => of_time(TimeDelta::try_seconds),
        Unit::Minute => of_time(TimeDelta::try_minutes),
        Unit::Hour => of_time(TimeDelta::try_hours),
        Unit::Day => of_days(amount),
        Unit::Week => of_days(amount.checked_mul(7)?),
        Unit::Month => of_months(amount),
        Unit::Quarter => of_months(amount.checked_mul(3)?),
        Unit::Year => of_months(amount.checked_mul(12)?),
    }?;
    (0..=9999).contains(&at.year()).then_some(Moment { at, has_time: moment.has_time || shift.timed })
}

/// Whole units from one date to another, toward zero.
pub(super) fn difference(unit: Unit, from: NaiveDateTime, to: NaiveDateTime) -> i64 {
    let passed = to - from;
    let months = || {
        let count = i64::from(to.year() - from.year()) * 12 + i64::from(to.month()) - i64::from(from.month());
        let within = |moment: NaiveDateTime| (moment.day(), moment.time());
        match count {
            1.. if within(to) < within(from) => count - 1,
            ..=-1 if within(to) > within(from) => count + 1,
            count => count,
        }
    };
    match unit {
        Unit::Microsecond => passed.num_microseconds().unwrap_or(i64::MAX),
        Unit::Second => passed.num_seconds(),
        Unit::Minute => passed.num_minutes(),
        Unit::Hour => passed.num_hours(),
        Unit::Day => passed.num_days(),
        Unit::Week => passed.num_weeks(),
        Unit::Month => months(),
        Unit::Quarter => months() / 3,
        Unit::Year => months() / 12,
    }
}

/// A part of a date; nothing when the part needs a date and there is only a time.
pub(super) fn part(unit: Unit, value: &Datum, zone: Tz) -> Option<i64> {
    if matches!(unit, Unit::Microsecond | Unit::Second | Unit::Minute | Unit::Hour) {
        let time = read_time(value, zone)?;
        return Some(i64::from(match unit {
            Unit::Microsecond => time.nanosecond() / 1000,
            Unit::Second => time.second(),
            Unit::Minute => time.minute(),
            _ => time.hour(),
        }));
    }
    let at = read(value, zone)?.at;
    Some(match unit {
        Unit::Year => i64::from(at.year()),
        Unit::Quarter => i64::from(at.quarter()),
        Unit::Month => i64::from(at.month()),
        Unit::Week => week(at.date(), Weeks::SundayInYear).1,
        _ => i64::from(at.day()),
    })
}

/// How weeks are counted: the day they begin with, and whether the days before week 1 are week 0 of their year or the
/// last week of the year before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weeks {
    /// `%U`: from Sunday, week 1 has the first Sunday, 0 before it.
    SundayInYear,
    /// `%u`: from Monday, week 1 has four days or more, 0 before it.
    MondayInYear,
    /// `%V` and `%X`: as `%U`, counted on from the year before.
    SundayRunning,
    /// `%v` and `%x`: ISO 8601.
    MondayRunning,
}

/// Year and number of a date's week.
pub(super) fn week(date: NaiveDate, weeks: Weeks) -> (i32, i64) {
    let first = |year: i32| {
        let new_year = NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or(date);
        let days = match weeks {
            Weeks::SundayInYear | Weeks::SundayRunning => (7 - new_year.weekday().num_days_from_sunday()) % 7,
            Weeks::MondayInYear | Weeks::MondayRunning => (10 - new_year.weekday().num_days_from_monday()) % 7,
        };
        // With Monday weeks, week 1 begins between 29 December and 4 January.
        let back = if matches!(weeks, Weeks::MondayInYear | Weeks::MondayRunning) { 3 } else { 0 };
        new_year + TimeDelta::days(i64::from(days) - back)
    };
    let running = matches!(weeks, Weeks::SundayRunning | Weeks::MondayRunning);
    let mut year = date.year();
    if running && date >= first(year + 1) {
        year += 1;
    } else if running && date < first(year) {
        year -= 1;
    }
    let begin = first(year);
    if date < begin { (year, 0) } else { (year, (date - begin).num_days() / 7 + 1) }
}
