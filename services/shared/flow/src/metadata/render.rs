//! Rendering a list of compiled entries into one JSON object.

use std::sync::Arc;

use document::{Code, Fault};
use serde_json::{Map, Value};

use super::coerce::{self, Context, Kind};
use super::entry::{Detail, Entry};
use super::scope::BillScope;
use super::value::Form;
use crate::file::FunctionError;
use crate::function::Run;
use crate::reference::Path;

/// What is the same for every entry of one rendering.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) run: &'a Run,
    pub(crate) on_error: FunctionError,
    /// Whether `is_required` is enforced: on the target side.
    pub(crate) enforce_required: bool,
    /// Name of the document, for places.
    pub(crate) file: &'a str,
}

/// Renders entries; fields without value are left out, the rest keeps the order of the list.
///
/// # Errors
/// The first value that cannot be computed, converted or done without, with file, JSON path and output field.
pub(crate) fn render(entries: &[Entry], scope: &BillScope<'_>, pass: Pass<'_>) -> Result<Map<String, Value>, Fault> {
    render_list(entries, scope, pass, "")
}

fn render_list(
    entries: &[Entry],
    scope: &BillScope<'_>,
    pass: Pass<'_>,
    outer: &str,
) -> Result<Map<String, Value>, Fault> {
    let mut members = Map::with_capacity(entries.len());
    for entry in entries {
        let value = render_entry(entry, scope, pass, outer)?;
        if !value.is_null() {
            members.insert(entry.field.clone(), value);
        }
    }
    Ok(members)
}

/// Value, type, parser; null is left out by the caller.
fn render_entry(entry: &Entry, scope: &BillScope<'_>, pass: Pass<'_>, outer: &str) -> Result<Value, Fault> {
    let column = match outer {
        "" => entry.field.clone(),
        outer => format!("{outer}.{}", entry.field),
    };
    let placed = |fault: Fault| {
        // The column is the output field; where in an expression it went wrong is said in words.
        let detail = match &fault.place.column {
            Some(at) => format!("{} (column {at} of the value)", fault.detail),
            None => fault.detail.clone(),
        };
        let fault = Fault { detail, ..fault }.at_column(column.clone());
        fault.in_file(pass.file).at_path(&entry.place)
    };
    let value = match (entry.kind, entry.children.is_empty()) {
        (Kind::Object, false) => {
            let members = render_list(&entry.children, scope, pass, &column)?;
            if members.is_empty() { Value::Null } else { Value::Object(members) }
        }
        (Kind::Array, false) => Value::Array(render_detail(entry, scope, pass, &column, &placed)?),
        _ => {
            let value = entry.form.evaluate(scope, pass.run, pass.on_error).map_err(placed)?;
            let context = Context {
                zone: pass.run.zone,
                is_variable: entry.form.is_variable(),
                parser_follows: !entry.parsers.is_empty(),
            };
            coerce::coerce(entry.kind, value, context).map_err(placed)?
        }
    };
    let is_empty = |value: &Value| value.is_null() || value.as_str() == Some("");
    let mut missing = is_empty(&value);
    let mut value = value;
    if !value.is_null() {
        for parser in &entry.parsers {
            value = parser.apply(value).map_err(placed)?;
        }
        missing |= is_empty(&value);
    }
    if missing && entry.required && pass.enforce_required {
        let named = entry.written.as_deref().filter(|written| !written.is_empty());
        let source = named.map_or_else(String::new, |written| format!(" from {written}"));
        return Err(placed(Fault::new(Code::Required, format!("{column} has no value{source}"))));
    }
    Ok(value)
}

/// The elements of an array with children.
fn render_detail(
    entry: &Entry,
    scope: &BillScope<'_>,
    pass: Pass<'_>,
    column: &str,
    placed: &dyn Fn(Fault) -> Fault,
) -> Result<Vec<Value>, Fault> {
    let line = |scope: &BillScope<'_>, index: usize| {
        render_list(&entry.children, scope, pass, &format!("{column}[{index}]")).map(Value::Object)
    };
    match &entry.detail {
        Detail::None => Ok(Vec::new()),
        Detail::Rows => (0..scope.rows().len()).map(|row| line(&scope.at_row(row), row)).collect(),
        Detail::Source(path) => {
            let names = scope.names_of(path);
            let elements = elements_of(scope, path).into_iter().enumerate();
            elements.map(|(index, element)| line(&scope.at_element(Arc::clone(&names), element), index)).collect()
        }
        Detail::Computed => {
            let computed = entry.form.evaluate(scope, pass.run, pass.on_error).map_err(placed)?;
            let elements = match &computed {
                Value::Null => Vec::new(),
                Value::Array(items) => items.iter().collect(),
                one => vec![one],
            };
            // A computed list has no path of its own: its members are seen by their plain names.
            let nameless = scope.names_of(&Path::lenient(""));
            let lines = elements.into_iter().enumerate();
            lines.map(|(index, element)| line(&scope.at_element(Arc::clone(&nameless), element), index)).collect()
        }
    }
}

/// The elements of a source array: none when it is missing, one when it is an object or a scalar.
fn elements_of<'a>(scope: &BillScope<'a>, path: &Path) -> Vec<&'a Value> {
    match scope.get(path) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.iter().collect(),
        Some(one) => vec![one],
    }
}

/// Evaluates one entry on its own, typed and parsed: for call parameters.
///
/// # Errors
/// As [`render`].
pub(crate) fn render_one(entry: &Entry, scope: &BillScope<'_>, pass: Pass<'_>) -> Result<Value, Fault> {
    render_entry(entry, scope, pass, "")
}

/// Whether an entry can give anything at all.
pub(crate) fn can_have_value(entry: &Entry) -> bool {
    !entry.form.is_absent() || !entry.children.is_empty()
}

/// The text of a form that is a constant, for columns and keys that are names.
pub(crate) fn constant_text(form: &Form) -> Option<&str> {
    match form {
        Form::Constant(Value::String(text)) => Some(text),
        _ => None,
    }
}
