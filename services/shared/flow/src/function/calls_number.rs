//! Functions of numbers.

use std::cmp::Ordering;

use document::Fault;
use rust_decimal::Decimal;

use super::datum::{Datum, Numeric, Spelling, compare};
use super::evaluate::{Machine, first_decimal};
use crate::number;

pub(super) fn abs(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::number(first_decimal(arguments)?.abs()))
}

pub(super) fn ceil(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::number(first_decimal(arguments)?.ceil()))
}

pub(super) fn floor(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::number(first_decimal(arguments)?.floor()))
}

pub(super) fn sign(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::integer(match first_decimal(arguments)?.cmp(&Decimal::ZERO) {
        Ordering::Less => -1,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }))
}

pub(super) fn remainder(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let divisor = arguments.get(1).map(Datum::decimal).transpose()?.flatten().unwrap_or_default();
    match number::remainder(first_decimal(arguments)?, divisor)? {
        Some(rest) => Ok(Datum::number(rest)),
        None => Err(machine.fault("division by zero")),
    }
}

pub(super) fn round(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    to_places(arguments, number::round)
}

pub(super) fn truncate(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    to_places(arguments, number::truncate)
}

/// Whole numbers stay whole; others are written with as many places as asked.
fn to_places(arguments: &[Datum], cut: fn(Decimal, i64) -> Result<Decimal, Fault>) -> Result<Datum, Fault> {
    let value = first_decimal(arguments)?;
    let places = arguments.get(1).map(Datum::whole).transpose()?.flatten().unwrap_or(0);
    let result = cut(value, places)?;
    let written = u32::try_from(places.clamp(0, i64::from(number::DIGITS))).unwrap_or(0);
    Ok(Datum::with_places(if value.scale() == 0 { result } else { number::with_places(result, written) }))
}

pub(super) fn greatest(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    extreme(arguments, Ordering::Greater)
}

pub(super) fn least(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    extreme(arguments, Ordering::Less)
}

/// The first of the largest or smallest; as numbers unless all are text.
pub(super) fn extreme(values: &[Datum], wanted: Ordering) -> Result<Datum, Fault> {
    let all_text = values.iter().all(|value| matches!(value, Datum::Text(_)));
    let mut best: Option<Datum> = None;
    for value in values {
        let value = match (all_text, value) {
            (false, Datum::Text(_)) => value.decimal()?.map_or(Datum::Null, Datum::number),
            (_, other) => other.clone(),
        };
        let better = match &best {
            None => true,
            Some(best) => compare(&value, best)? == Some(wanted),
        };
        if better {
            best = Some(value);
        }
    }
    Ok(match best {
        // The winner is a number like any result, no longer the spelling of a record.
        Some(Datum::Number(Numeric { value, spelling: Spelling::Given(_) })) => Datum::number(value),
        other => other.unwrap_or(Datum::Null),
    })
}
