//! Computing a compiled expression, within its limits.

use std::cmp::Ordering;

use document::{Code, Fault};
use regex::RegexBuilder;
use rust_decimal::Decimal;

use super::calendar;
use super::calls_number::extreme;
use super::datum::{Datum, compare, present};
use super::node::{Aggregate, Interval, Kind, Link, Node, Operator, Pattern, State, Unit};
use super::scope::{Run, Scope, resolve, resolve_all};
use super::{like, prepare};
use crate::number;
use crate::reference::{Piece, Reference, Template};
use crate::text::interpolate;

/// The most steps of one computation. Every part costs one, and text one more per [`STEP_BYTES`].
pub(super) const STEPS: usize = 100_000;

/// Bytes of text that cost a step.
const STEP_BYTES: usize = 64;

/// The longest text, bytes.
pub(super) const TEXT: usize = 1 << 20;

/// The longest list.
pub(super) const LIST: usize = 10_000;

/// The largest compiled pattern, bytes.
const PATTERN: usize = 1 << 20;

/// One computation.
pub(super) struct Machine<'a> {
    scope: &'a dyn Scope,
    pub(super) run: &'a Run,
    steps: usize,
    /// Where the call begins that is being computed.
    column: usize,
}

/// The first argument as a number; the caller has excluded NULL.
pub(super) fn first_decimal(arguments: &[Datum]) -> Result<Decimal, Fault> {
    Ok(arguments.first().map(Datum::decimal).transpose()?.flatten().unwrap_or_default())
}

pub(super) fn limit(detail: &str) -> Fault {
    Fault::new(Code::Limit, detail)
}

impl<'a> Machine<'a> {
    pub(super) fn new(scope: &'a dyn Scope, run: &'a Run) -> Self {
        Self { scope, run, steps: 0, column: 1 }
    }

    /// A fault of the call that is being computed.
    pub(super) fn fault(&self, detail: &str) -> Fault {
        prepare::fault(self.column, detail)
    }

    /// Pays for a text before it is written or looked through.
    pub(super) fn fits(&mut self, bytes: usize) -> Result<(), Fault> {
        if bytes > TEXT {
            return Err(limit("a text grew over 1 MiB"));
        }
        self.pay(bytes / STEP_BYTES)
    }

    /// Adds a part to a text and pays for the part alone.
    pub(super) fn append(&mut self, text: &mut String, part: &str) -> Result<(), Fault> {
        if text.len() + part.len() > TEXT {
            return self.fits(TEXT + 1);
        }
        text.push_str(part);
        self.pay(part.len() / STEP_BYTES)
    }

    fn pay(&mut self, steps: usize) -> Result<(), Fault> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS { Err(limit("the expression takes over 100,000 steps")) } else { Ok(()) }
    }

    pub(super) fn compute(&mut self, node: &Node) -> Result<Datum, Fault> {
        self.pay(1)?;
        match node {
            Node::Constant(datum) => Ok(datum.clone()),
            Node::Value(reference) => Datum::of_record(resolve(reference, self.scope, self.run)?),
            Node::Text(template) => self.text(template),
            Node::Find(lookup) => {
                let query = lookup.bind(self.scope, self.run)?;
                Datum::of_record(self.scope.find(&query))
            }
            Node::Chain(first, links) => self.chain(first, links),
            Node::Not(inner) => Ok(Datum::flag(self.compute(inner)?.truth()?.map(|truth| !truth))),
            Node::Negate(inner) => Ok(match self.compute(inner)? {
                Datum::Number(mut given) => {
                    given.value = -given.value;
                    match given.spelling {
                        super::datum::Spelling::Places => Datum::Number(given),
                        _ => Datum::number(given.value),
                    }
                }
                other => other.decimal()?.map_or(Datum::Null, |value| Datum::number(-value)),
            }),
            Node::Is(inner, state, negated) => {
                let value = self.compute(inner)?;
                let holds = match state {
                    State::Null => value.is_null(),
                    State::True => value.truth()? == Some(true),
                    State::False => value.truth()? == Some(false),
                };
                Ok(Datum::Bool(holds != *negated))
            }
            Node::In(inner, list, negated) => self.among(inner, list, *negated),
            Node::Between(inner, low, high, negated) => {
                let (value, low, high) = (self.compute(inner)?, self.compute(low)?, self.compute(high)?);
                let above = compare(&value, &low)?.map(|order| order != Ordering::Less);
                let below = compare(&value, &high)?.map(|order| order != Ordering::Greater);
                Ok(Datum::flag(and(above, below).map(|within| within != *negated)))
            }
            Node::Like(inner, pattern, escape, negated) => {
                let (value, pattern) = (self.compute(inner)?.text(), self.compute(pattern)?.text());
                let (Some(value), Some(pattern)) = (value, pattern) else { return Ok(Datum::Null) };
                self.fits(value.len())?;
                self.fits(pattern.len())?;
                let (fits, work) = like::matches(&value, &pattern, *escape, (STEPS - self.steps) * STEP_BYTES)
                    .ok_or_else(|| limit("LIKE takes over 100,000 steps"))?;
                self.pay(work / STEP_BYTES)?;
                Ok(Datum::Bool(fits != *negated))
            }
            Node::Matches(inner, pattern, negated) => self.matches(inner, pattern, *negated),
            Node::Case(operand, branches, otherwise) => self.case(operand.as_deref(), branches, otherwise.as_deref()),
            Node::Coalesce(nodes) => {
                for node in nodes {
                    let value = self.compute(node)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                Ok(Datum::Null)
            }
            Node::Call(entry, nodes, column) => {
                let arguments = nodes.iter().map(|node| self.compute(node)).collect::<Result<Vec<_>, _>>()?;
                if entry.propagates && arguments.iter().any(Datum::is_null) {
                    return Ok(Datum::Null);
                }
                self.column = *column;
                (entry.body)(self, &arguments)
            }
            Node::Aggregate(kind, reference) => self.aggregate(*kind, reference),
            Node::Shift(inner, interval, forward) => {
                let value = self.compute(inner)?;
                self.shift(value, interval, *forward)
            }
            Node::Difference(unit, from, to) => {
                let (from, to) = (self.compute(from)?, self.compute(to)?);
                let read = |value: &Datum| calendar::read(value, self.run.zone);
                Ok(match (read(&from), read(&to)) {
                    (Some(from), Some(to)) => Datum::integer(calendar::difference(*unit, from.at, to.at)),
                    _ => Datum::Null,
                })
            }
            Node::Part(unit, inner) => {
                let value = self.compute(inner)?;
                Ok(calendar::part(*unit, &value, self.run.zone).map_or(Datum::Null, Datum::integer))
            }
            Node::Cast(inner, kind, column) => {
                let value = self.compute(inner)?;
                self.column = *column;
                self.cast(value, *kind)
            }
        }
    }

    fn text(&mut self, template: &Template) -> Result<Datum, Fault> {
        let mut text = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Literal(literal) => self.append(&mut text, literal)?,
                Piece::Reference(reference) => {
                    let value = resolve(reference, self.scope, self.run)?;
                    self.append(&mut text, &interpolate(&value, true))?;
                }
            }
        }
        Ok(Datum::Text(text))
    }

    fn chain(&mut self, first: &Node, links: &[Link]) -> Result<Datum, Fault> {
        let mut value = self.compute(first)?;
        for link in links {
            value = match link {
                Link::Shift(interval, forward) => self.shift(value, interval, *forward)?,
                Link::Operator(operator @ (Operator::And | Operator::Or), node, _) => {
                    let truth = value.truth()?;
                    if truth == Some(*operator == Operator::Or) {
                        Datum::Bool(*operator == Operator::Or)
                    } else {
                        let other = self.compute(node)?.truth()?;
                        Datum::flag(if *operator == Operator::And { and(truth, other) } else { or(truth, other) })
                    }
                }
                Link::Operator(operator, node, column) => {
                    let other = self.compute(node)?;
                    apply(*operator, &value, &other, *column)?
                }
            };
            self.pay(1)?;
        }
        Ok(value)
    }

    fn among(&mut self, inner: &Node, list: &[Node], negated: bool) -> Result<Datum, Fault> {
        let value = self.compute(inner)?;
        let mut unknown = value.is_null();
        for node in list {
            let other = self.compute(node)?;
            match compare(&value, &other)? {
                Some(Ordering::Equal) => return Ok(Datum::Bool(!negated)),
                Some(_) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { Datum::Null } else { Datum::Bool(negated) })
    }

    fn matches(&mut self, inner: &Node, pattern: &Pattern, negated: bool) -> Result<Datum, Fault> {
        let Some(value) = self.compute(inner)?.text() else { return Ok(Datum::Null) };
        self.fits(value.len())?;
        let fits = match pattern {
            Pattern::Ready(regex) => regex.is_match(&value),
            Pattern::Open(node, column) => {
                let Some(text) = self.compute(node)?.text() else { return Ok(Datum::Null) };
                // Compiling costs far more than reading.
                self.pay(1_000 + text.len())?;
                regex(&text, *column)?.is_match(&value)
            }
        };
        Ok(Datum::Bool(fits != negated))
    }

    fn case(
        &mut self,
        operand: Option<&Node>,
        branches: &[(Node, Node)],
        otherwise: Option<&Node>,
    ) -> Result<Datum, Fault> {
        let operand = operand.map(|node| self.compute(node)).transpose()?;
        for (condition, result) in branches {
            let condition = self.compute(condition)?;
            let taken = match &operand {
                Some(operand) => compare(operand, &condition)? == Some(Ordering::Equal),
                None => condition.truth()? == Some(true),
            };
            if taken {
                return self.compute(result);
            }
        }
        otherwise.map_or(Ok(Datum::Null), |node| self.compute(node))
    }

    fn aggregate(&mut self, kind: Aggregate, reference: &Reference) -> Result<Datum, Fault> {
        let values = resolve_all(reference, self.scope, self.run)?;
        if values.len() > LIST {
            return Err(limit("a list has over 10,000 elements"));
        }
        self.pay(values.len())?;
        if kind == Aggregate::Count {
            return Ok(Datum::count(values.len()));
        }
        let values = present(values)?;
        match kind {
            Aggregate::Greatest => return extreme(&values, Ordering::Greater),
            Aggregate::Least => return extreme(&values, Ordering::Less),
            Aggregate::Sum | Aggregate::Average | Aggregate::Count => {}
        }
        if values.is_empty() {
            return Ok(Datum::Null);
        }
        let mut sum = Decimal::ZERO;
        for value in &values {
            sum = number::add(sum, value.decimal()?.unwrap_or_default())?;
        }
        if kind == Aggregate::Average {
            sum = number::divide(sum, Decimal::from(values.len()))?.unwrap_or_default();
        }
        Ok(Datum::number(sum))
    }

    fn shift(&mut self, value: Datum, interval: &Interval, forward: bool) -> Result<Datum, Fault> {
        let amount = self.compute(&interval.amount)?;
        let Some(shift) = calendar::amount(&amount, interval.unit)? else { return Ok(Datum::Null) };
        let moved = calendar::read(&value, self.run.zone).and_then(|moment| calendar::shifted(moment, shift, forward));
        Ok(moved.map_or(Datum::Null, calendar::Moment::into_datum))
    }

    fn cast(&mut self, value: Datum, kind: Kind) -> Result<Datum, Fault> {
        if value.is_null() {
            return Ok(Datum::Null);
        }
        let zone = self.run.zone;
        let decimal = value.decimal();
        Ok(match kind {
            Kind::Signed | Kind::Unsigned => {
                let number = decimal?.unwrap_or_default();
                let cut = if matches!(value, Datum::Text(_)) { number::truncate } else { number::round };
                let whole = cut(number, 0)?;
                if kind == Kind::Unsigned && whole.is_sign_negative() && !whole.is_zero() {
                    return Err(self.fault("a negative number cannot be UNSIGNED"));
                }
                Datum::number(whole)
            }
            Kind::Char(length) => {
                let text = value.text().unwrap_or_default();
                Datum::Text(match length {
                    Some(length) => text.chars().take(length).collect(),
                    None => text,
                })
            }
            Kind::Decimal(digits, places) => {
                let rounded = number::round(decimal?.unwrap_or_default(), i64::from(places))?;
                let bound = 10_i128.checked_pow(digits.saturating_sub(places)).unwrap_or(i128::MAX);
                if rounded.trunc().mantissa().abs() >= bound {
                    return Err(self.fault("the number does not fit the digits of DECIMAL"));
                }
                Datum::with_places(number::with_places(rounded, places))
            }
            Kind::Number => Datum::number(decimal?.unwrap_or_default()),
            Kind::Date => calendar::read(&value, zone)
                .map_or(Datum::Null, |moment| calendar::Moment::date(moment.at.date()).into_datum()),
            Kind::DateTime => calendar::read(&value, zone)
                .map_or(Datum::Null, |moment| calendar::Moment::with_time(moment.at).into_datum()),
            Kind::Time => calendar::read_time(&value, zone)
                .map_or(Datum::Null, |time| Datum::Text(time.format("%H:%M:%S").to_string())),
        })
    }
}

fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

fn or(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    and(left.map(|truth| !truth), right.map(|truth| !truth)).map(|truth| !truth)
}

/// Operators that compute both sides.
fn apply(operator: Operator, left: &Datum, right: &Datum, column: usize) -> Result<Datum, Fault> {
    let ordered = |holds: fn(Ordering) -> bool| Ok(Datum::flag(compare(left, right)?.map(holds)));
    match operator {
        Operator::Equal => return ordered(Ordering::is_eq),
        Operator::NotEqual => return ordered(Ordering::is_ne),
        Operator::Less => return ordered(Ordering::is_lt),
        Operator::LessOrEqual => return ordered(Ordering::is_le),
        Operator::Greater => return ordered(Ordering::is_gt),
        Operator::GreaterOrEqual => return ordered(Ordering::is_ge),
        Operator::SameOrBothNull => {
            let same = match compare(left, right)? {
                Some(order) => order.is_eq(),
                None => left.is_null() && right.is_null(),
            };
            return Ok(Datum::Bool(same));
        }
        Operator::And => return Ok(Datum::flag(and(left.truth()?, right.truth()?))),
        Operator::Or => return Ok(Datum::flag(or(left.truth()?, right.truth()?))),
        Operator::Xor => return Ok(Datum::flag(left.truth()?.zip(right.truth()?).map(|(left, right)| left != right))),
        _ => {}
    }
    let (Some(left), Some(right)) = (left.decimal()?, right.decimal()?) else { return Ok(Datum::Null) };
    let result = match operator {
        Operator::Add => Some(number::add(left, right)?),
        Operator::Subtract => Some(number::subtract(left, right)?),
        Operator::Multiply => Some(number::multiply(left, right)?),
        Operator::Divide => number::divide(left, right)?,
        Operator::DivideWhole => number::divide_whole(left, right)?,
        _ => number::remainder(left, right)?,
    };
    result.map(Datum::number).ok_or_else(|| prepare::fault(column, "division by zero"))
}

/// Compiles the pattern of `REGEXP`.
pub(super) fn regex(text: &str, column: usize) -> Result<regex::Regex, Fault> {
    RegexBuilder::new(text).size_limit(PATTERN).dfa_size_limit(PATTERN).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => limit("a REGEXP pattern is too large").at_column(column.to_string()),
        other => {
            let last = other.to_string().lines().last().unwrap_or_default().to_owned();
            prepare::fault(column, format!("the pattern of REGEXP is not one: {last}"))
        }
    })
}

/// Whether a unit can be named in an expression of the compiler.
pub(super) fn unit_of(name: &str) -> Option<Unit> {
    Unit::of(&name.to_ascii_uppercase())
}
