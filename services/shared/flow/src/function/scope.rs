//! What an expression sees: the run, and the record it is computed for.

use chrono_tz::Tz;
use document::Fault;
use serde_json::Value;

use crate::datetime::{self, Filter};
use crate::lookup::Query;
use crate::reference::{self, Path, Piece, Reference, Template};
use crate::text::interpolate;

/// What is the same for every record of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Start of this run, unix seconds.
    pub now: i64,
    /// Start of the previous successful source run, unix seconds.
    pub last_sync_time: i64,
    /// The scheme's zone.
    pub zone: Tz,
    /// The page being asked for; absent on the target side.
    pub page: Option<Page>,
}

/// The page a source request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Rows per page.
    pub size: u64,
    /// Rows before this page: 0, size, 2·size…
    pub start_row: u64,
    /// Number of this page, from 1.
    pub start_page: u64,
}

/// The record side of an expression: a bill, a row, an element of a detail array.
pub trait Scope {
    /// The value of a path; null when there is none. Variables are answered by the run and never asked here.
    fn value(&self, path: &Path) -> Value;

    /// Every value of a path, for an aggregate: all elements of an array, all rows of a bill.
    fn elements(&self, path: &Path) -> Vec<Value>;

    /// What a lookup finds; null when it finds nothing or the collection is unknown.
    fn find(&self, query: &Query) -> Value;
}

/// A record on its own, without collections.
impl Scope for Value {
    fn value(&self, path: &Path) -> Value {
        reference::walk(self, path).cloned().unwrap_or(Value::Null)
    }

    fn elements(&self, path: &Path) -> Vec<Value> {
        reference::walk_all(self, path)
    }

    fn find(&self, _query: &Query) -> Value {
        Value::Null
    }
}

/// The value of a reference: a variable of the run or a value of the scope, with its filters applied.
///
/// # Errors
/// `E_FILTER` when a filter cannot read the value.
pub fn resolve(reference: &Reference, scope: &dyn Scope, run: &Run) -> Result<Value, Fault> {
    match reference.variable() {
        Some(variable) => filtered(variable.value(run), &reference.filters, variable.is_time(), reference, run),
        None => filtered(scope.value(&reference.path), &reference.filters, false, reference, run),
    }
}

/// Every value of a reference, for an aggregate, with the filters applied to each.
///
/// # Errors
/// `E_FILTER` when a filter cannot read a value.
pub fn resolve_all(reference: &Reference, scope: &dyn Scope, run: &Run) -> Result<Vec<Value>, Fault> {
    if reference.variable().is_some() {
        return resolve(reference, scope, run).map(|value| vec![value]);
    }
    let elements = scope.elements(&reference.path);
    if reference.filters.is_empty() {
        return Ok(elements);
    }
    elements.into_iter().map(|value| filtered(value, &reference.filters, false, reference, run)).collect()
}

fn filtered(
    mut value: Value,
    filters: &[Filter],
    mut is_variable: bool,
    reference: &Reference,
    run: &Run,
) -> Result<Value, Fault> {
    for filter in filters {
        value = datetime::apply(*filter, &value, is_variable, run.zone)
            .map_err(|fault| Fault { detail: format!("{}: {}", reference.written(), fault.detail), ..fault })?;
        // The result of `|timestamp` is seconds whatever their number of digits.
        is_variable = *filter == Filter::Timestamp;
    }
    Ok(value)
}

/// Fills a template with the interpolation text of its references.
///
/// # Errors
/// `E_FILTER` when a filter cannot read a value.
pub fn render(template: &Template, scope: &dyn Scope, run: &Run, in_function: bool) -> Result<String, Fault> {
    let mut text = String::new();
    for piece in &template.pieces {
        match piece {
            Piece::Literal(literal) => text.push_str(literal),
            Piece::Reference(reference) => text.push_str(&interpolate(&resolve(reference, scope, run)?, in_function)),
        }
    }
    Ok(text)
}
