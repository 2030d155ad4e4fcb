//! Functions of dates. What is not a date gives NULL, as in MySQL.

use chrono::{Datelike, NaiveDate, NaiveDateTime};
use document::Fault;
use rust_decimal::Decimal;
use serde_json::Value;

use super::calendar::{self, Moment};
use super::datum::Datum;
use super::evaluate::{Machine, first_decimal};
use super::format;
use super::node::Unit;
use crate::{datetime, number};

const NANOSECONDS: i64 = 1_000_000_000;

fn moment(machine: &Machine<'_>, arguments: &[Datum], at: usize) -> Option<Moment> {
    calendar::read(arguments.get(at)?, machine.run.zone)
}

fn date_part(machine: &Machine<'_>, arguments: &[Datum], part: impl Fn(NaiveDate) -> i64) -> Result<Datum, Fault> {
    Ok(moment(machine, arguments, 0).map_or(Datum::Null, |moment| Datum::integer(part(moment.at.date()))))
}

fn time_part(machine: &Machine<'_>, arguments: &[Datum], unit: Unit) -> Result<Datum, Fault> {
    let value = arguments.first().unwrap_or(&Datum::Null);
    Ok(calendar::part(unit, value, machine.run.zone).map_or(Datum::Null, Datum::integer))
}

fn now_of(machine: &Machine<'_>) -> Result<NaiveDateTime, Fault> {
    datetime::local_of_unix(machine.run.now, 0, machine.run.zone)
        .ok_or_else(|| machine.fault("the run's time is out of range"))
}

pub(super) fn now(machine: &mut Machine<'_>, _: &[Datum]) -> Result<Datum, Fault> {
    Ok(Moment::with_time(now_of(machine)?).into_datum())
}

pub(super) fn curdate(machine: &mut Machine<'_>, _: &[Datum]) -> Result<Datum, Fault> {
    Ok(Moment::date(now_of(machine)?.date()).into_datum())
}

pub(super) fn curtime(machine: &mut Machine<'_>, _: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(now_of(machine)?.format("%H:%M:%S").to_string()))
}

pub(super) fn date(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(moment(machine, arguments, 0).map_or(Datum::Null, |moment| Moment::date(moment.at.date()).into_datum()))
}

pub(super) fn time(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let time = arguments.first().and_then(|value| calendar::read_time(value, machine.run.zone));
    Ok(time.map_or(Datum::Null, |time| Datum::Text(time.format("%H:%M:%S").to_string())))
}

pub(super) fn year(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.year()))
}

pub(super) fn quarter(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.quarter()))
}

pub(super) fn month(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.month()))
}

pub(super) fn day(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.day()))
}

pub(super) fn dayofyear(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.ordinal()))
}

/// 1 is Sunday.
pub(super) fn dayofweek(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.weekday().number_from_sunday()))
}

/// 0 is Monday.
pub(super) fn weekday(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    date_part(machine, arguments, |date| i64::from(date.weekday().num_days_from_monday()))
}

pub(super) fn hour(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    time_part(machine, arguments, Unit::Hour)
}

pub(super) fn minute(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    time_part(machine, arguments, Unit::Minute)
}

pub(super) fn second(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    time_part(machine, arguments, Unit::Second)
}

pub(super) fn dayname(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(moment(machine, arguments, 0).map_or(Datum::Null, |moment| Datum::Text(moment.at.format("%A").to_string())))
}

pub(super) fn monthname(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(moment(machine, arguments, 0).map_or(Datum::Null, |moment| Datum::Text(moment.at.format("%B").to_string())))
}

pub(super) fn last_day(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let Some(moment) = moment(machine, arguments, 0) else { return Ok(Datum::Null) };
    let date = moment.at.date();
    let (year, month) = if date.month() == 12 { (date.year() + 1, 1) } else { (date.year(), date.month() + 1) };
    let last = NaiveDate::from_ymd_opt(year, month, 1).and_then(|first| first.pred_opt());
    Ok(last.map_or(Datum::Null, |last| Moment::date(last).into_datum()))
}

pub(super) fn datediff(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(match (moment(machine, arguments, 0), moment(machine, arguments, 1)) {
        (Some(left), Some(right)) => Datum::integer((left.at.date() - right.at.date()).num_days()),
        _ => Datum::Null,
    })
}

pub(super) fn date_format(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let Some(moment) = moment(machine, arguments, 0) else { return Ok(Datum::Null) };
    formatted(machine, moment.at, arguments.get(1))
}

fn formatted(machine: &mut Machine<'_>, at: NaiveDateTime, form: Option<&Datum>) -> Result<Datum, Fault> {
    let form = form.and_then(Datum::text).unwrap_or_default();
    if form.is_empty() {
        return Ok(Datum::Null);
    }
    // No directive writes more than nine characters for its two.
    machine.fits(form.len())?;
    let text = format::write(at, &form);
    machine.fits(text.len())?;
    Ok(Datum::Text(text))
}

/// Seconds, with a fraction if need be, shown in the scheme's zone.
pub(super) fn from_unixtime(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let seconds = first_decimal(arguments)?;
    let whole = seconds.trunc();
    let nanoseconds = number::truncate(number::multiply(seconds.fract(), Decimal::from(NANOSECONDS))?, 0)?;
    let at = match (i64::try_from(whole), u32::try_from(nanoseconds)) {
        (Ok(whole), Ok(nanoseconds)) if !seconds.is_sign_negative() || seconds.is_zero() => {
            datetime::local_of_unix(whole, nanoseconds, machine.run.zone)
        }
        _ => None,
    };
    let Some(at) = at else { return Ok(Datum::Null) };
    match arguments.get(1) {
        None => Ok(Moment::with_time(at).into_datum()),
        form => formatted(machine, at, form),
    }
}

pub(super) fn unix_timestamp(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    if arguments.is_empty() {
        return Ok(Datum::integer(machine.run.now));
    }
    let Some(moment) = moment(machine, arguments, 0) else { return Ok(Datum::Null) };
    let instant = datetime::instant(moment.at, machine.run.zone);
    let fraction = Decimal::new(i64::from(instant.timestamp_subsec_nanos()), 9).normalize();
    Ok(Datum::number(number::add(Decimal::from(instant.timestamp()), fraction)?))
}

pub(super) fn str_to_date(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let text = arguments.first().and_then(Datum::text).unwrap_or_default();
    let form = arguments.get(1).and_then(Datum::text).unwrap_or_default();
    machine.fits(text.len().max(form.len()))?;
    Ok(match format::read(&text, &form) {
        Some(format::Reading::Date(date)) => Moment::date(date).into_datum(),
        Some(format::Reading::Time(time)) => Datum::Text(time.format("%H:%M:%S").to_string()),
        Some(format::Reading::Both(at)) => Moment::with_time(at).into_datum(),
        None => Datum::Null,
    })
}

/// The vendor's own: a unix time or any form the filters read, written by a pattern such as `yyyy-MM-dd HH:mm:ss`.
pub(super) fn format_date(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let value = arguments.first().and_then(Datum::text).map_or(Value::Null, Value::String);
    let pattern = arguments.get(1).and_then(Datum::text).unwrap_or_default();
    machine.fits(pattern.len())?;
    let Ok(Some(at)) = datetime::read(&value, false, machine.run.zone) else { return Ok(Datum::Null) };
    let text = format::write_pattern(at, &pattern);
    machine.fits(text.len())?;
    Ok(Datum::Text(text))
}
