//! The filter of a `_mongoQuery`: parsed from JSON once, its references filled per record, matched against records.

use std::cmp::Ordering;

use document::{Code, Fault};
use regex::{Regex, RegexBuilder};
use rust_decimal::Decimal;
use serde_json::Value;

use super::collection::Stored;
use super::template;
use crate::number;
use crate::reference::{Path, Reference, Template};
use crate::text::interpolate;

/// The largest compiled pattern, bytes.
const PATTERN_SIZE: usize = 1 << 20;

/// The deepest nesting of `$and` and `$or`.
const DEPTH: usize = 64;

/// Conditions on a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// All must hold; none holds always.
    All(Vec<Filter>),
    /// One must hold.
    Any(Vec<Filter>),
    /// One comparison of one field, a path in the whole record.
    Field(Path, Comparison),
}

/// How a field is compared.
#[derive(Debug, Clone, PartialEq)]
pub enum Comparison {
    /// Equal (`true`) or not equal (`false`).
    Equal(Operand, bool),
    /// Ordered before or after, or equal when the flag says so.
    Ordered(Ordering, bool, Operand),
    /// Equal to one of the list (`true`) or to none (`false`).
    Among(Vec<Operand>, bool),
    /// A pattern that fits somewhere in the text, its references still open.
    Pattern(Operand),
    /// The same with its values, ready.
    Fits(Pattern),
    /// Whether the field is there.
    Exists(bool),
}

/// A compiled pattern; equal when its text is.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// A text with references, still open.
    Open(Template),
    /// A value of the statement.
    Constant(Value),
    /// A value that came from references. null and `""` equal nothing, as data that is missing must not match.
    Bound(Value),
}

impl Operand {
    fn parse(value: &Value) -> Result<Self, Fault> {
        if let Value::String(text) = value {
            let parsed = template(text, 1)?;
            if parsed.constant().is_none() {
                return Ok(Self::Open(parsed));
            }
        }
        Ok(Self::Constant(value.clone()))
    }

    fn bind(&self, fill: &dyn Fn(&Template) -> Result<Value, Fault>) -> Result<Self, Fault> {
        match self {
            Self::Open(template) => fill(template).map(Self::Bound),
            other => Ok(other.clone()),
        }
    }

    fn value(&self) -> &Value {
        match self {
            Self::Open(_) => &Value::Null,
            Self::Constant(value) | Self::Bound(value) => value,
        }
    }

    fn equals(&self, found: Option<&Value>) -> bool {
        let empty = matches!(self.value(), Value::Null) || self.value().as_str() == Some("");
        match self {
            Self::Bound(_) if empty => false,
            _ => same(found.unwrap_or(&Value::Null), self.value()),
        }
    }
}

impl Filter {
    /// Reads a filter object.
    ///
    /// # Errors
    /// `E_LOOKUP` when it is not an object or names an unknown operator.
    pub fn parse(json: &Value) -> Result<Self, Fault> {
        Self::parse_at(json, 0)
    }

    fn parse_at(json: &Value, depth: usize) -> Result<Self, Fault> {
        let wrong = |detail: String| Err(Fault::new(Code::Lookup, detail));
        let Value::Object(members) = json else { return wrong("the filter must be a JSON object".to_owned()) };
        if depth > DEPTH {
            return wrong(format!("the filter is nested deeper than {DEPTH}"));
        }
        let mut all = Vec::new();
        for (name, value) in members {
            match (name.as_str(), value) {
                ("$and" | "$or", Value::Array(parts)) => {
                    let parts = parts.iter().map(|part| Self::parse_at(part, depth + 1)).collect::<Result<_, _>>()?;
                    all.push(if name == "$and" { Self::All(parts) } else { Self::Any(parts) });
                }
                ("$and" | "$or", _) => return wrong(format!("{name} needs a list of filters")),
                (operator, _) if operator.starts_with('$') => return wrong(format!("unknown operator {operator:?}")),
                (field, Value::Object(tests)) if tests.keys().any(|key| key.starts_with('$')) => {
                    for (operator, operand) in tests {
                        all.push(Self::Field(Path::lenient(field), comparison(operator, operand)?));
                    }
                }
                (field, value) => {
                    all.push(Self::Field(Path::lenient(field), Comparison::Equal(Operand::parse(value)?, true)));
                }
            }
        }
        Ok(Self::All(all))
    }

    /// The references of the filter, in order.
    pub fn references(&self) -> Vec<&Reference> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::references).collect(),
            Self::Field(_, comparison) => comparison
                .operands()
                .into_iter()
                .filter_map(|operand| match operand {
                    Operand::Open(template) => Some(template),
                    _ => None,
                })
                .flat_map(Template::references)
                .collect(),
        }
    }

    /// Fills the references.
    ///
    /// # Errors
    /// What `fill` returns; `E_LOOKUP` when a pattern is not one.
    pub fn bind(&self, fill: &dyn Fn(&Template) -> Result<Value, Fault>) -> Result<Self, Fault> {
        let each = |parts: &[Self]| parts.iter().map(|part| part.bind(fill)).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Self::All(parts) => Self::All(each(parts)?),
            Self::Any(parts) => Self::Any(each(parts)?),
            Self::Field(path, comparison) => Self::Field(path.clone(), comparison.bind(fill)?),
        })
    }

    /// Whether a record fits.
    pub fn matches(&self, record: &Stored) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(record)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(record)),
            Self::Field(path, comparison) => comparison.holds(record.member(path).as_deref()),
        }
    }

    /// A field and the text it must have, when the filter demands one: what an index can answer.
    pub(super) fn demanded(&self) -> Option<(&Path, String)> {
        match self {
            Self::All(parts) => parts.iter().find_map(Self::demanded),
            Self::Any(_) => None,
            Self::Field(path, Comparison::Equal(operand, true)) if !operand.value().is_null() => {
                Some((path, interpolate(operand.value(), false)))
            }
            Self::Field(..) => None,
        }
    }
}

fn comparison(operator: &str, operand: &Value) -> Result<Comparison, Fault> {
    let wrong = |detail: String| Err(Fault::new(Code::Lookup, detail));
    let list = |found: bool| match operand {
        Value::Array(items) => {
            let items = items.iter().map(Operand::parse).collect::<Result<_, _>>()?;
            Ok(Comparison::Among(items, found))
        }
        // A reference may stand for the whole list.
        Value::String(_) => Ok(Comparison::Among(vec![Operand::parse(operand)?], found)),
        _ => Err(Fault::new(Code::Lookup, format!("{operator} needs a list"))),
    };
    Ok(match operator {
        "$eq" => Comparison::Equal(Operand::parse(operand)?, true),
        "$ne" => Comparison::Equal(Operand::parse(operand)?, false),
        "$gt" => Comparison::Ordered(Ordering::Greater, false, Operand::parse(operand)?),
        "$gte" => Comparison::Ordered(Ordering::Greater, true, Operand::parse(operand)?),
        "$lt" => Comparison::Ordered(Ordering::Less, false, Operand::parse(operand)?),
        "$lte" => Comparison::Ordered(Ordering::Less, true, Operand::parse(operand)?),
        "$in" => list(true)?,
        "$nin" => list(false)?,
        "$regex" => {
            let parsed = Operand::parse(operand)?;
            match &parsed {
                Operand::Constant(Value::String(text)) => pattern(text).map(|_| ())?,
                Operand::Open(_) => {}
                _ => return wrong("$regex needs a text".to_owned()),
            }
            Comparison::Pattern(parsed)
        }
        "$exists" => match operand {
            Value::Bool(flag) => Comparison::Exists(*flag),
            _ => return wrong("$exists needs true or false".to_owned()),
        },
        other => {
            return Err(Fault::new(Code::Lookup, format!("unknown operator {other:?}"))
                .hint("known operators: $eq $ne $gt $gte $lt $lte $in $nin $regex $exists $and $or"));
        }
    })
}

fn pattern(text: &str) -> Result<Regex, Fault> {
    RegexBuilder::new(text)
        .size_limit(PATTERN_SIZE)
        .dfa_size_limit(PATTERN_SIZE)
        .build()
        .map_err(|error| Fault::new(Code::Lookup, format!("the pattern {text:?} is not one: {error}")))
}

impl Comparison {
    fn operands(&self) -> Vec<&Operand> {
        match self {
            Self::Equal(operand, _) | Self::Ordered(_, _, operand) | Self::Pattern(operand) => vec![operand],
            Self::Among(operands, _) => operands.iter().collect(),
            Self::Exists(_) | Self::Fits(_) => Vec::new(),
        }
    }

    fn bind(&self, fill: &dyn Fn(&Template) -> Result<Value, Fault>) -> Result<Self, Fault> {
        Ok(match self {
            Self::Equal(operand, wanted) => Self::Equal(operand.bind(fill)?, *wanted),
            Self::Ordered(order, or_equal, operand) => Self::Ordered(*order, *or_equal, operand.bind(fill)?),
            Self::Among(operands, wanted) => {
                let mut bound = Vec::new();
                for operand in operands {
                    match operand.bind(fill)? {
                        Operand::Bound(Value::Array(items)) => bound.extend(items.into_iter().map(Operand::Bound)),
                        other => bound.push(other),
                    }
                }
                Self::Among(bound, *wanted)
            }
            Self::Pattern(operand) => {
                let bound = operand.bind(fill)?;
                Self::Fits(Pattern(pattern(&interpolate(bound.value(), false))?))
            }
            Self::Fits(pattern) => Self::Fits(pattern.clone()),
            Self::Exists(wanted) => Self::Exists(*wanted),
        })
    }

    fn holds(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Equal(operand, wanted) => operand.equals(found) == *wanted,
            Self::Ordered(order, or_equal, operand) => found
                .and_then(|found| ordering(found, operand.value()))
                .is_some_and(|actual| actual == *order || (*or_equal && actual == Ordering::Equal)),
            Self::Among(operands, wanted) => operands.iter().any(|operand| operand.equals(found)) == *wanted,
            Self::Fits(pattern) => {
                found.is_some_and(|found| !found.is_null() && pattern.0.is_match(&interpolate(found, false)))
            }
            // Never put to a record: filling the references compiles the pattern.
            Self::Pattern(_) => false,
            Self::Exists(wanted) => found.is_some() == *wanted,
        }
    }
}

/// Equality: null equals null alone; everything else is compared by its text.
fn same(left: &Value, right: &Value) -> bool {
    left.is_null() == right.is_null() && interpolate(left, false) == interpolate(right, false)
}

/// Order: as numbers when both are numeric, else texts among themselves.
fn ordering(left: &Value, right: &Value) -> Option<Ordering> {
    match (numeric(left), numeric(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => Some(left.as_str()?.cmp(right.as_str()?)),
    }
}

fn numeric(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => number::of_json(number).ok(),
        Value::String(text) => number::read(text).ok().flatten(),
        _ => None,
    }
}
