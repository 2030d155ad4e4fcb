//! Exact decimals: reading, writing and arithmetic that never loses a digit without saying so.
//!
//! A decimal holds up to 28 significant digits and 28 places. What does not fit is `E_LIMIT`, never a rounded value;
//! only division and the rounding functions round, half away from zero.

use std::cmp::Ordering;

use document::{Code, Fault};
use rust_decimal::Decimal;
use serde_json::Number;

/// The most significant digits, and the most places after the point.
pub const DIGITS: u32 = 28;

/// The smallest whole number that has too many digits.
const TOO_LARGE: i128 = 10_i128.pow(DIGITS);

/// Places that a division adds to those of its dividend.
const DIVISION_PLACES: u32 = 4;

fn limit() -> Fault {
    Fault::new(Code::Limit, format!("a number needs more than {DIGITS} digits"))
}

/// Reads a complete plain or scientific number, keeping its places: `1.10` has two.
///
/// Nothing when the text is not a number.
///
/// # Errors
/// `E_LIMIT` when it has more than 28 significant digits or places.
pub fn read(text: &str) -> Result<Option<Decimal>, Fault> {
    match leading(text) {
        Some((end, value)) if end == text.len() => value.map(Some),
        _ => Ok(None),
    }
}

/// The number a text begins with, after blanks, as MySQL reads text in arithmetic; zero when there is none.
///
/// # Errors
/// `E_LIMIT` when it has more than 28 significant digits or places.
pub fn read_leading(text: &str) -> Result<Decimal, Fault> {
    leading(text.trim_start()).map_or(Ok(Decimal::ZERO), |(_, value)| value)
}

/// The leading number and the byte where it ends.
fn leading(text: &str) -> Option<(usize, Result<Decimal, Fault>)> {
    let bytes = text.as_bytes();
    let digits_from = |at: usize| bytes.iter().skip(at).take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits_from(sign);
    let mut end = sign + whole;
    let mut places = 0;
    if bytes.get(end) == Some(&b'.') {
        places = digits_from(end + 1);
        end += 1 + places;
    }
    if whole + places == 0 {
        return None;
    }
    let mantissa_end = end;
    let mut exponent: i64 = 0;
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let count = digits_from(end + 1 + signed);
        if count > 0 {
            let text = text.get(end + 1..end + 1 + signed + count).unwrap_or_default();
            let out_of_sight = if text.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
            exponent = text.parse().unwrap_or(out_of_sight).clamp(-1_000_000, 1_000_000);
            end += 1 + signed + count;
        }
    }
    let digits =
        bytes.iter().take(mantissa_end).skip(sign).filter(|b| b.is_ascii_digit()).map(|b| i128::from(b - b'0'));
    let places = i64::try_from(places).unwrap_or(i64::MAX / 2);
    Some((end, build(bytes.first() == Some(&b'-'), digits, places - exponent)))
}

fn build(negative: bool, digits: impl Iterator<Item = i128>, mut places: i64) -> Result<Decimal, Fault> {
    let mut mantissa: i128 = 0;
    let mut zeros: u32 = 0;
    for digit in digits {
        // Zeros wait until another digit follows, so that a long tail of zeros costs nothing.
        if digit == 0 && mantissa != 0 {
            zeros += 1;
            continue;
        }
        let shift = 10_i128.checked_pow(zeros + 1).ok_or_else(limit)?;
        mantissa = mantissa.checked_mul(shift).and_then(|m| m.checked_add(digit)).ok_or_else(limit)?;
        zeros = 0;
        if mantissa >= TOO_LARGE {
            return Err(limit());
        }
    }
    let written = u32::try_from(places.clamp(0, i64::from(DIGITS))).unwrap_or(DIGITS);
    if mantissa == 0 {
        return Ok(Decimal::new(0, written));
    }
    places -= i64::from(zeros);
    if places < 0 {
        let shift = u32::try_from(-places).ok().and_then(|shift| 10_i128.checked_pow(shift)).ok_or_else(limit)?;
        mantissa = mantissa.checked_mul(shift).ok_or_else(limit)?;
        places = 0;
    }
    let mantissa = if negative { -mantissa } else { mantissa };
    Ok(widen(fit(mantissa, u32::try_from(places).map_err(|_| limit())?)?, written))
}

/// A decimal of exactly this value; places are given up only when they are zeros and must go.
fn fit(mut mantissa: i128, mut scale: u32) -> Result<Decimal, Fault> {
    while mantissa.abs() >= TOO_LARGE || scale > DIGITS {
        if scale == 0 || mantissa % 10 != 0 {
            return Err(limit());
        }
        mantissa /= 10;
        scale -= 1;
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| limit())
}

/// The same value with as many places as asked, as far as they fit.
fn widen(value: Decimal, scale: u32) -> Decimal {
    let (mut mantissa, mut places) = (value.mantissa(), value.scale());
    while places < scale.min(DIGITS) && mantissa.abs() < TOO_LARGE / 10 {
        mantissa *= 10;
        places += 1;
    }
    Decimal::try_from_i128_with_scale(mantissa, places).unwrap_or(value)
}

/// Mantissa and scale without trailing zeros.
fn bare(value: Decimal) -> (i128, u32) {
    let value = value.normalize();
    (value.mantissa(), value.scale())
}

/// Reads a JSON number, keeping its places.
///
/// # Errors
/// `E_LIMIT` when it has more than 28 significant digits or places.
pub fn of_json(number: &Number) -> Result<Decimal, Fault> {
    read(&number.to_string())?.ok_or_else(limit)
}

/// Writes a decimal as a JSON number with exactly its places: `12.0` stays `12.0`. Zero carries no sign.
pub fn to_json(value: Decimal) -> Number {
    let value = if value.is_zero() { value.abs() } else { value };
    value.to_string().parse().expect("a decimal is written as digits and a point, which is a JSON number")
}

/// The shortest text of a decimal.
pub fn shortest(value: Decimal) -> String {
    let value = value.normalize();
    if value.is_zero() { "0".to_owned() } else { value.to_string() }
}

/// Adds, keeping the larger number of places.
///
/// # Errors
/// `E_LIMIT` when the sum has more than 28 digits.
pub fn add(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    let ((a, a_scale), (b, b_scale)) = (bare(left), bare(right));
    let scale = a_scale.max(b_scale);
    let aligned = |mantissa: i128, places: u32| {
        10_i128.checked_pow(scale - places).and_then(|shift| mantissa.checked_mul(shift)).ok_or_else(limit)
    };
    let sum = aligned(a, a_scale)?.checked_add(aligned(b, b_scale)?).ok_or_else(limit)?;
    Ok(widen(fit(sum, scale)?, left.scale().max(right.scale())))
}

/// Subtracts, keeping the larger number of places.
///
/// # Errors
/// `E_LIMIT` when the difference has more than 28 digits.
pub fn subtract(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    add(left, -right)
}

/// Multiplies, adding up the places.
///
/// # Errors
/// `E_LIMIT` when the product has more than 28 digits.
pub fn multiply(left: Decimal, right: Decimal) -> Result<Decimal, Fault> {
    let ((mut a, a_scale), (mut b, b_scale)) = (bare(left), bare(right));
    if a == 0 || b == 0 {
        return Ok(widen(Decimal::ZERO, left.scale() + right.scale()));
    }
    let mut scale = i64::from(a_scale + b_scale);
    // Tens that hide as twos in one factor and fives in the other would overflow although the product is short.
    for (x, y) in [(2, 5), (5, 2)] {
        while a % x == 0 && b % y == 0 {
            a /= x;
            b /= y;
            scale -= 1;
        }
    }
    let mut product = a.checked_mul(b).ok_or_else(limit)?;
    while scale < 0 {
        product = product.checked_mul(10).ok_or_else(limit)?;
        scale += 1;
    }
    let exact = fit(product, u32::try_from(scale).map_err(|_| limit())?)?;
    Ok(widen(exact, left.scale() + right.scale()))
}

/// Divides with the dividend's places plus four, rounded half away from zero; nothing when the divisor is zero.
///
/// # Errors
/// `E_LIMIT` when the quotient has more than 28 digits.
pub fn divide(left: Decimal, right: Decimal) -> Result<Option<Decimal>, Fault> {
    divide_to(left, right, left.scale() + DIVISION_PLACES)
}

/// Divides to so many places (at most 28), rounded half away from zero; nothing when the divisor is zero.
///
/// # Errors
/// `E_LIMIT` when the quotient has more than 28 digits.
pub fn divide_to(left: Decimal, right: Decimal, places: u32) -> Result<Option<Decimal>, Fault> {
    if right.is_zero() {
        return Ok(None);
    }
    let places = places.min(DIGITS);
    let divisor = right.mantissa().abs();
    // left / right * 10^places = left's mantissa * 10^(places + right's scale - left's scale) / right's mantissa
    let shift = i64::from(places) + i64::from(right.scale()) - i64::from(left.scale());
    let (mut quotient, mut rest) = (left.mantissa().abs() / divisor, left.mantissa().abs() % divisor);
    for _ in 0..shift {
        rest *= 10;
        quotient = quotient.checked_mul(10).map(|q| q + rest / divisor).ok_or_else(limit)?;
        rest %= divisor;
    }
    let mut halves = (rest * 2).cmp(&divisor);
    for _ in shift..0 {
        let last = quotient % 10;
        halves = match last.cmp(&5) {
            Ordering::Equal if rest == 0 => Ordering::Equal,
            Ordering::Equal => Ordering::Greater,
            other => other,
        };
        rest += last;
        quotient /= 10;
    }
    if halves != Ordering::Less {
        quotient += 1;
    }
    let negative = left.is_sign_negative() != right.is_sign_negative();
    fit(if negative { -quotient } else { quotient }, places).map(Some)
}

/// The whole number of times the divisor fits in, toward zero; nothing when the divisor is zero.
///
/// # Errors
/// `E_LIMIT` when the quotient has more than 28 digits.
pub fn divide_whole(left: Decimal, right: Decimal) -> Result<Option<Decimal>, Fault> {
    if right.is_zero() {
        return Ok(None);
    }
    let ((a, a_scale), (b, b_scale)) = (bare(left), bare(right));
    let quotient = if b_scale >= a_scale {
        let (mut quotient, mut rest) = (a / b, a % b);
        for _ in a_scale..b_scale {
            rest *= 10;
            quotient = quotient.checked_mul(10).and_then(|q| q.checked_add(rest / b)).ok_or_else(limit)?;
            rest %= b;
        }
        quotient
    } else {
        // A divisor too large to write down is larger than any dividend.
        10_i128.checked_pow(a_scale - b_scale).and_then(|shift| b.checked_mul(shift)).map_or(0, |divisor| a / divisor)
    };
    fit(quotient, 0).map(Some)
}

/// What remains of whole division, with the sign of the dividend; nothing when the divisor is zero.
///
/// # Errors
/// `E_LIMIT` when the remainder has more than 28 digits.
pub fn remainder(left: Decimal, right: Decimal) -> Result<Option<Decimal>, Fault> {
    if right.is_zero() {
        return Ok(None);
    }
    let ((a, a_scale), (b, b_scale)) = (bare(left), bare(right));
    let scale = a_scale.max(b_scale);
    let rest = if b_scale >= a_scale {
        (a_scale..b_scale).fold(a % b, |rest, _| rest * 10 % b)
    } else {
        10_i128.checked_pow(a_scale - b_scale).and_then(|shift| b.checked_mul(shift)).map_or(a, |divisor| a % divisor)
    };
    Ok(Some(widen(fit(rest, scale)?, left.scale().max(right.scale()))))
}

/// Rounds half away from zero to so many places; negative places round whole digits.
///
/// # Errors
/// `E_LIMIT` when the result has more than 28 digits.
pub fn round(value: Decimal, places: i64) -> Result<Decimal, Fault> {
    cut(value, places, true)
}

/// Cuts to so many places toward zero; negative places cut whole digits.
///
/// # Errors
/// `E_LIMIT` when the result has more than 28 digits.
pub fn truncate(value: Decimal, places: i64) -> Result<Decimal, Fault> {
    cut(value, places, false)
}

fn cut(value: Decimal, places: i64, up: bool) -> Result<Decimal, Fault> {
    let drop = i64::from(value.scale()) - places;
    if drop <= 0 {
        return Ok(value);
    }
    let Some(unit) = u32::try_from(drop).ok().and_then(|drop| 10_i128.checked_pow(drop)) else {
        return Ok(Decimal::ZERO);
    };
    let mantissa = value.mantissa();
    let mut kept = mantissa / unit;
    if up && (mantissa % unit).abs() >= unit / 2 {
        kept += mantissa.signum();
    }
    match u32::try_from(places) {
        Ok(places) => fit(kept, places),
        Err(_) => {
            let back = u32::try_from(-places).ok().and_then(|shift| 10_i128.checked_pow(shift));
            fit(back.and_then(|unit| kept.checked_mul(unit)).ok_or_else(limit)?, 0)
        }
    }
}

/// The same value with at least so many places, as far as they fit: `ROUND(12.5, 2)` is written `12.50`.
pub fn with_places(value: Decimal, places: u32) -> Decimal {
    widen(value, places)
}

#[cfg(test)]
mod tests;
