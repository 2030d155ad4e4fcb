//! `condition`: which records, and which of their lines, are stored.
//!
//! Two-dimensional: the outer list is "or", the inner "and". A field whose path meets an array asks each of its lines.

use std::collections::BTreeMap;

use document::{Code, Fault};
use serde_json::{Map, Value};

use crate::function::Run;
use crate::metadata::coerce::decimal;
use crate::metadata::report::Report;
use crate::metadata::value::run_text;
use crate::reference::{Path, Template, parse_template, walk, walk_all};
use crate::text::interpolate;
use crate::{datetime, suggest};

/// Every comparison a document may name.
const LOGICS: [&str; 15] = [
    "eq", "neq", "gt", "egt", "lt", "elt", "like", "notlike", "between", "notnull", "isnull", "in", "notin", "eqv2",
    "neqv2",
];

/// The groups of a condition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condition {
    groups: Vec<Vec<Comparison>>,
}

#[derive(Debug, Clone)]
struct Comparison {
    field: Path,
    logic: Logic,
    value: Template,
    /// Whether the value began with `timestamp:`, which reads the field as a date.
    as_instant: bool,
    strict: bool,
    place: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Logic {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Like,
    NotLike,
    Between,
    NotNull,
    IsNull,
    In,
    NotIn,
}

impl Condition {
    /// Reads the two-dimensional list.
    pub(crate) fn compile(groups: &[Value], path: &str, report: &mut Report) -> Condition {
        let mut compiled = Vec::with_capacity(groups.len());
        for (index, group) in groups.iter().enumerate() {
            let place = format!("{path}[{index}]");
            let Value::Array(comparisons) = group else {
                let fault = report.fault(Code::ConditionShape, &place, "a group of a condition is a list");
                fault.hint = Some("write [[{\"field\": …, \"logic\": …, \"value\": …}]]".to_owned());
                continue;
            };
            let comparisons = comparisons.iter().enumerate();
            compiled
                .push(comparisons.filter_map(|(i, one)| compile_one(one, &format!("{place}[{i}]"), report)).collect());
        }
        Condition { groups: compiled }
    }

    /// Whether the record is stored; lines that no holding group keeps are taken out of it.
    ///
    /// # Errors
    /// `E_FILTER` when a field that is compared as a date cannot be read as one.
    pub(crate) fn keep(&self, record: &mut Map<String, Value>, run: &Run) -> Result<bool, Fault> {
        if self.groups.is_empty() {
            return Ok(true);
        }
        let whole = Value::Object(std::mem::take(record));
        let outcome = self.kept_lines(&whole, run);
        if let Value::Object(members) = whole {
            *record = members;
        }
        let Some(kept) = outcome? else { return Ok(false) };
        for (array, lines) in kept {
            if let Some(Value::Array(items)) = member_mut(record, &Path::lenient(&array)) {
                let mut keep = lines.into_iter();
                items.retain(|_| keep.next().unwrap_or(true));
            }
        }
        Ok(true)
    }

    /// For each array some group asks about, which of its lines stay; `None` when no group holds.
    fn kept_lines(&self, record: &Value, run: &Run) -> Result<Option<BTreeMap<String, Vec<bool>>>, Fault> {
        let mut holding = Vec::new();
        let mut asked: BTreeMap<String, usize> = BTreeMap::new();
        for group in &self.groups {
            for comparison in group {
                if let Some(array) = array_of(record, &comparison.field) {
                    asked.insert(array.name, array.lines.len());
                }
            }
            holding.extend(lines_of_group(group, record, run)?);
        }
        if holding.is_empty() {
            return Ok(None);
        }
        let mut union: BTreeMap<String, Vec<bool>> = BTreeMap::new();
        for (array, count) in asked {
            let mut lines = vec![false; count];
            for group in &holding {
                match group.get(&array) {
                    Some(kept) => lines.iter_mut().zip(kept).for_each(|(line, kept)| *line |= *kept),
                    // A holding group that asks nothing about this array keeps all its lines.
                    None => lines.fill(true),
                }
            }
            union.insert(array, lines);
        }
        Ok(Some(union))
    }
}

/// The lines a group keeps per array; `None` when the group does not hold.
fn lines_of_group(
    group: &[Comparison],
    record: &Value,
    run: &Run,
) -> Result<Option<BTreeMap<String, Vec<bool>>>, Fault> {
    let mut kept: BTreeMap<String, Vec<bool>> = BTreeMap::new();
    let mut lenient: BTreeMap<String, bool> = BTreeMap::new();
    for comparison in group {
        let Some(array) = array_of(record, &comparison.field) else {
            let value = walk(record, &comparison.field).unwrap_or(&Value::Null);
            if !comparison.holds(value, run)? {
                return Ok(None);
            }
            continue;
        };
        let mut fits = Vec::with_capacity(array.lines.len());
        for line in array.lines {
            fits.push(comparison.holds_in_line(line, &array.rest, run)?);
        }
        if comparison.strict && fits.contains(&false) {
            return Ok(None);
        }
        *lenient.entry(array.name.clone()).or_default() |= !comparison.strict;
        kept.entry(array.name)
            .and_modify(|lines| lines.iter_mut().zip(&fits).for_each(|(line, fit)| *line &= *fit))
            .or_insert(fits);
    }
    let emptied = kept.iter().any(|(array, lines)| lenient[array] && !lines.contains(&true));
    Ok((!emptied).then_some(kept))
}

struct Lines<'a> {
    name: String,
    lines: &'a [Value],
    rest: Path,
}

/// The first array a path meets on its way, with what remains of the path there.
fn array_of<'a>(record: &'a Value, path: &Path) -> Option<Lines<'a>> {
    if record.as_object().is_some_and(|members| members.contains_key(path.as_str())) {
        return None;
    }
    let segments = path.segments();
    let mut at = record;
    for (index, segment) in segments.iter().enumerate() {
        if let Value::Array(lines) = at {
            if let Some(item) = segment.index() {
                at = lines.get(item)?;
                continue;
            }
            let join = |part: &[crate::reference::Segment]| {
                part.iter().map(|segment| segment.name().to_owned()).collect::<Vec<_>>().join(".")
            };
            let (before, after) = segments.split_at(index);
            return Some(Lines { name: join(before), lines, rest: Path::lenient(&join(after)) });
        }
        at = at.get(segment.name())?;
    }
    None
}

/// The array behind a path without integer steps.
fn member_mut<'a>(record: &'a mut Map<String, Value>, path: &Path) -> Option<&'a mut Value> {
    let (first, rest) = path.segments().split_first()?;
    rest.iter().try_fold(record.get_mut(first.name())?, |value, segment| match (segment.index(), value) {
        (Some(index), Value::Array(items)) => items.get_mut(index),
        (_, value) => value.get_mut(segment.name()),
    })
}

fn compile_one(declared: &Value, place: &str, report: &mut Report) -> Option<Comparison> {
    let Value::Object(members) = declared else {
        report.fault(Code::ConditionShape, place, "a comparison is an object with field, logic and value");
        return None;
    };
    report.unknown_keys(members, &["field", "logic", "value", "strictMode", "label", "describe"], place);
    let field = report.text(members, "field", place).filter(|field| !field.is_empty());
    if field.is_none() {
        report.fault(Code::ConditionShape, place, "the comparison has no field");
    }
    let name = report.text(members, "logic", place).unwrap_or_default();
    let logic = logic_of(name);
    if logic.is_none() {
        let fault = report.fault(Code::ConditionLogic, &format!("{place}.logic"), format!("unknown logic {name:?}"));
        fault.hint = Some(suggest::hint(name, LOGICS));
    }
    let value = members.get("value").unwrap_or(&Value::Null);
    let text = match value {
        // A list is the comma list it stands for.
        Value::Array(items) => items.iter().map(|item| interpolate(item, false)).collect::<Vec<_>>().join(","),
        other => interpolate(other, false),
    };
    let (as_instant, text) = match text.strip_prefix("timestamp:") {
        Some(instant) => (true, instant),
        None => (false, text.as_str()),
    };
    let value = match parse_template(text) {
        Ok(template) => template,
        Err(fault) => {
            report.push_fault(Fault { code: Code::FilterName, ..fault }, &format!("{place}.value"));
            return None;
        }
    };
    if logic == Some(Logic::Between) && !text.contains(',') {
        report.fault(Code::ConditionShape, &format!("{place}.value"), "between takes \"low,high\"");
    }
    let strict = report.truth(members, "strictMode", place).unwrap_or(false);
    Some(Comparison { field: Path::lenient(field?), logic: logic?, value, as_instant, strict, place: place.to_owned() })
}

fn logic_of(name: &str) -> Option<Logic> {
    Some(match name.to_ascii_lowercase().as_str() {
        "eq" | "eqv2" => Logic::Equal,
        "neq" | "neqv2" => Logic::NotEqual,
        "gt" => Logic::Greater,
        "egt" => Logic::GreaterOrEqual,
        "lt" => Logic::Less,
        "elt" => Logic::LessOrEqual,
        "like" => Logic::Like,
        "notlike" => Logic::NotLike,
        "between" => Logic::Between,
        "notnull" => Logic::NotNull,
        "isnull" => Logic::IsNull,
        "in" => Logic::In,
        "notin" => Logic::NotIn,
        _ => return None,
    })
}

impl Comparison {
    /// Whether a line fits; where the path meets further arrays one of their values must, under strict all.
    fn holds_in_line(&self, line: &Value, rest: &Path, run: &Run) -> Result<bool, Fault> {
        if array_of(line, rest).is_none() {
            return self.holds(walk(line, rest).unwrap_or(&Value::Null), run);
        }
        let mut any = false;
        for value in walk_all(line, rest) {
            match (self.holds(&value, run)?, self.strict) {
                (false, true) => return Ok(false),
                (fits, _) => any |= fits,
            }
        }
        Ok(any)
    }

    fn holds(&self, value: &Value, run: &Run) -> Result<bool, Fault> {
        let is_null = value.is_null() || value.as_str() == Some("");
        match (self.logic, is_null) {
            (Logic::IsNull, is_null) => return Ok(is_null),
            (Logic::NotNull, is_null) => return Ok(!is_null),
            (Logic::NotEqual | Logic::NotLike, true) => return Ok(true),
            (_, true) => return Ok(false),
            (_, false) => {}
        }
        let wanted = run_text(&self.value, run)?;
        if wanted.is_empty() {
            // Compared with nothing: only "is not" holds.
            return Ok(matches!(self.logic, Logic::NotEqual | Logic::NotLike));
        }
        let text = match self.as_instant {
            true => self.seconds(value, run)?,
            false => interpolate(value, false),
        };
        let wanted_one = |wanted: &str| -> Result<String, Fault> {
            match self.as_instant {
                true => self.seconds(&Value::String(wanted.trim().to_owned()), run),
                false => Ok(wanted.to_owned()),
            }
        };
        let listed = || wanted.split(',').map(str::trim).any(|one| one == text);
        Ok(match self.logic {
            Logic::Equal => text == wanted_one(&wanted)?,
            Logic::NotEqual => text != wanted_one(&wanted)?,
            Logic::Greater => order(&text, &wanted_one(&wanted)?).is_gt(),
            Logic::GreaterOrEqual => order(&text, &wanted_one(&wanted)?).is_ge(),
            Logic::Less => order(&text, &wanted_one(&wanted)?).is_lt(),
            Logic::LessOrEqual => order(&text, &wanted_one(&wanted)?).is_le(),
            Logic::Like => like(&text, &wanted),
            Logic::NotLike => !like(&text, &wanted),
            Logic::Between => match wanted.split_once(',') {
                Some((low, high)) => {
                    order(&text, &wanted_one(low.trim())?).is_ge() && order(&text, &wanted_one(high.trim())?).is_le()
                }
                None => false,
            },
            Logic::In => listed(),
            Logic::NotIn => !listed(),
            Logic::NotNull | Logic::IsNull => false,
        })
    }

    /// The unix seconds of a date.
    fn seconds(&self, value: &Value, run: &Run) -> Result<String, Fault> {
        datetime::apply(datetime::Filter::Timestamp, value, false, run.zone)
            .map(|seconds| interpolate(&seconds, false))
            .map_err(|fault| fault.at_path(&self.place).at_column(self.field.as_str()))
    }
}

/// By number when both sides are numbers, else by text.
fn order(left: &str, right: &str) -> std::cmp::Ordering {
    let number = |text: &str| decimal(&Value::String(text.to_owned()));
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.cmp(right),
    }
}

/// Contained anywhere; with `%` in the pattern, as SQL reads that sign.
fn like(text: &str, pattern: &str) -> bool {
    if !pattern.contains('%') {
        return text.contains(pattern);
    }
    let mut parts = pattern.split('%');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests;
