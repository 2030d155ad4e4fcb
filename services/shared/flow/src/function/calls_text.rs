//! Functions of text. Positions and lengths count characters; only `LENGTH` counts bytes, as in MySQL.

use std::cmp::Ordering;

use document::Fault;

use super::datum::{Datum, compare};
use super::evaluate::Machine;

/// An argument as text; the caller has excluded NULL.
fn text(arguments: &[Datum], at: usize) -> String {
    arguments.get(at).and_then(Datum::text).unwrap_or_default()
}

/// An argument as a whole number; the caller has excluded NULL.
fn whole(arguments: &[Datum], at: usize) -> Result<i64, Fault> {
    Ok(arguments.get(at).map(Datum::whole).transpose()?.flatten().unwrap_or(0))
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

/// A length; nothing below zero.
fn size(length: i64) -> usize {
    usize::try_from(length).unwrap_or(if length < 0 { 0 } else { usize::MAX })
}

pub(super) fn concat(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    joined(machine, arguments.iter().filter_map(Datum::text), "")
}

pub(super) fn concat_ws(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let Some(separator) = arguments.first().and_then(Datum::text) else { return Ok(Datum::Null) };
    joined(machine, arguments.iter().skip(1).filter_map(Datum::text), &separator)
}

fn joined(machine: &mut Machine<'_>, parts: impl Iterator<Item = String>, separator: &str) -> Result<Datum, Fault> {
    let mut result = String::new();
    for (at, part) in parts.enumerate() {
        if at > 0 {
            machine.append(&mut result, separator)?;
        }
        machine.append(&mut result, &part)?;
    }
    Ok(Datum::Text(result))
}

pub(super) fn left(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(text(arguments, 0).chars().take(size(whole(arguments, 1)?)).collect()))
}

pub(super) fn right(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let text = text(arguments, 0);
    let skipped = chars(&text).saturating_sub(size(whole(arguments, 1)?));
    Ok(Datum::Text(text.chars().skip(skipped).collect()))
}

/// Positions count from 1, negative ones from the end; position 0 gives nothing.
pub(super) fn substring(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let text = text(arguments, 0);
    let position = whole(arguments, 1)?;
    let length = if arguments.len() > 2 { size(whole(arguments, 2)?) } else { usize::MAX };
    let count = i64::try_from(chars(&text)).unwrap_or(i64::MAX);
    let skipped = match position.cmp(&0) {
        Ordering::Greater => position - 1,
        Ordering::Less if position >= -count => count + position,
        Ordering::Less | Ordering::Equal => count,
    };
    Ok(Datum::Text(text.chars().skip(size(skipped)).take(length).collect()))
}

pub(super) fn locate(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let from = if arguments.len() > 2 { whole(arguments, 2)? } else { 1 };
    Ok(Datum::count(position(&text(arguments, 1), &text(arguments, 0), from)))
}

pub(super) fn instr(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::count(position(&text(arguments, 0), &text(arguments, 1), 1)))
}

/// The character, from 1, where a part begins, searched from a character on; 0 when it is not there.
fn position(text: &str, part: &str, from: i64) -> usize {
    if from < 1 {
        return 0;
    }
    let skipped = size(from - 1);
    let begin = match text.char_indices().nth(skipped) {
        Some((byte, _)) => byte,
        None if skipped == 0 => 0,
        None => return 0,
    };
    let (before, rest) = text.split_at(begin);
    rest.find(part).map_or(0, |byte| chars(before) + chars(rest.split_at(byte).0) + 1)
}

pub(super) fn replace(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let (text, old, new) = (text(arguments, 0), text(arguments, 1), text(arguments, 2));
    if old.is_empty() {
        return Ok(Datum::Text(text));
    }
    // Counted before anything is written, so that a short text cannot grow beyond the limit on the way.
    let found = text.matches(old.as_str()).count();
    machine.fits((text.len() - found * old.len()).saturating_add(found.saturating_mul(new.len())))?;
    Ok(Datum::Text(text.replace(&old, &new)))
}

pub(super) fn repeat(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let text = text(arguments, 0);
    let count = size(whole(arguments, 1)?);
    machine.fits(text.len().saturating_mul(count))?;
    Ok(Datum::Text(if text.is_empty() { text } else { text.repeat(count) }))
}

pub(super) fn reverse(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(text(arguments, 0).chars().rev().collect()))
}

pub(super) fn upper(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(each(&text(arguments, 0), |c| c.to_uppercase().next())))
}

pub(super) fn lower(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(each(&text(arguments, 0), |c| c.to_lowercase().next())))
}

/// One character for one, as MySQL does: `ß` has no upper case of one character and stays.
fn each(text: &str, change: impl Fn(char) -> Option<char>) -> String {
    let single = |c: char| if c == 'ß' { c } else { change(c).unwrap_or(c) };
    text.chars().map(single).collect()
}

pub(super) fn length(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::count(text(arguments, 0).len()))
}

pub(super) fn char_length(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::count(chars(&text(arguments, 0))))
}

pub(super) fn lpad(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    padded(machine, arguments, |text, padding| format!("{padding}{text}"))
}

pub(super) fn rpad(machine: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    padded(machine, arguments, |text, padding| format!("{text}{padding}"))
}

fn padded(machine: &mut Machine<'_>, arguments: &[Datum], join: impl Fn(&str, &str) -> String) -> Result<Datum, Fault> {
    let text = text(arguments, 0);
    let padding = if arguments.len() > 2 { self::text(arguments, 2) } else { " ".to_owned() };
    let Ok(wanted) = usize::try_from(whole(arguments, 1)?) else { return Ok(Datum::Null) };
    let present = chars(&text);
    if wanted <= present {
        return Ok(Datum::Text(text.chars().take(wanted).collect()));
    }
    if padding.is_empty() {
        return Ok(Datum::Null);
    }
    machine.fits(wanted)?;
    let padding: String = padding.chars().cycle().take(wanted - present).collect();
    let result = join(&text, &padding);
    machine.fits(result.len())?;
    Ok(Datum::Text(result))
}

pub(super) fn ltrim(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(text(arguments, 0).trim_start_matches(' ').to_owned()))
}

pub(super) fn rtrim(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Text(text(arguments, 0).trim_end_matches(' ').to_owned()))
}

/// `TRIM(text)`, or as the compiler arranges `TRIM(BOTH what FROM text)`: text, what, side (0 both, 1 leading,
/// 2 trailing).
pub(super) fn trim(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let text = text(arguments, 0);
    let what = if arguments.len() > 1 { self::text(arguments, 1) } else { " ".to_owned() };
    let side = whole(arguments, 2)?;
    if what.is_empty() {
        return Ok(Datum::Text(text));
    }
    let mut rest = text.as_str();
    if side != 2 {
        rest = rest.trim_start_matches(what.as_str());
    }
    if side != 1 {
        rest = rest.trim_end_matches(what.as_str());
    }
    Ok(Datum::Text(rest.to_owned()))
}

pub(super) fn substring_index(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let (text, mark, count) = (text(arguments, 0), text(arguments, 1), whole(arguments, 2)?);
    if mark.is_empty() || count == 0 {
        return Ok(Datum::Text(String::new()));
    }
    let wanted = size(count.saturating_abs()) - 1;
    let kept = if count > 0 {
        text.match_indices(&mark).nth(wanted).map(|(byte, _)| text.split_at(byte).0)
    } else {
        text.rmatch_indices(&mark).nth(wanted).map(|(byte, found)| text.split_at(byte + found.len()).1)
    };
    Ok(Datum::Text(kept.unwrap_or(&text).to_owned()))
}

pub(super) fn isnull(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    Ok(Datum::Bool(arguments.first().is_none_or(Datum::is_null)))
}

pub(super) fn nullif(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let [left, right] = arguments else { return Ok(Datum::Null) };
    Ok(if compare(left, right)? == Some(Ordering::Equal) { Datum::Null } else { left.clone() })
}

/// The place, from 1, of the first value among the others; 0 when it is not there.
pub(super) fn field(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let Some((wanted, others)) = arguments.split_first() else { return Ok(Datum::Null) };
    for (at, other) in others.iter().enumerate() {
        if compare(wanted, other)? == Some(Ordering::Equal) {
            return Ok(Datum::count(at + 1));
        }
    }
    Ok(Datum::count(0))
}

/// The place, from 1, of a text in a comma list; 0 when it is not there.
pub(super) fn find_in_set(_: &mut Machine<'_>, arguments: &[Datum]) -> Result<Datum, Fault> {
    let (wanted, list) = (text(arguments, 0), text(arguments, 1));
    let found = if list.is_empty() { None } else { list.split(',').position(|item| item == wanted) };
    Ok(Datum::count(found.map_or(0, |at| at + 1)))
}
