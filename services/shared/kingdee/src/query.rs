//! ExecuteBillQuery and the other reads: what is asked, and what the reply means.

use std::time::Duration;

use chrono::{DateTime, Utc};
use document::Code;
use serde_json::{Value, json};

use crate::business::BusinessError;
use crate::error::Error;
use crate::json::{self, excerpt_of};
use crate::reply::is_wrong_account;
use crate::status::{self, Found, Status};

/// One page to be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillQuery {
    /// The form, such as `STK_MISCELLANEOUS`.
    pub form_id: String,
    /// The columns, in the order of the cells that come back.
    pub field_keys: Vec<String>,
    /// `FilterString`; may be empty.
    pub filter: String,
    /// `OrderString`; may be empty.
    pub order: String,
    /// Absolute end of the ordered result; 0 is none.
    pub top_row_count: u64,
    /// First row, from 0.
    pub start_row: u64,
    /// Rows at most; servers clamp it.
    pub limit: u32,
    /// `SubSystemId`, where the flow names one.
    pub sub_system_id: Option<String>,
}

/// One page as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillPage {
    /// The rows; each has exactly one cell per column.
    pub rows: Vec<Vec<Value>>,
    /// The server's clock when it answered (HTTP `Date`, whole seconds).
    pub server_time: Option<DateTime<Utc>>,
}

impl BillQuery {
    /// The query as the method's `data`.
    pub fn data(&self) -> Value {
        json!({
            "FormId": self.form_id,
            "FieldKeys": self.field_keys.join(","),
            "FilterString": self.filter,
            "OrderString": self.order,
            "TopRowCount": self.top_row_count,
            "StartRow": self.start_row,
            "Limit": self.limit,
            "SubSystemId": self.sub_system_id.as_deref().unwrap_or_default(),
        })
    }
}

/// What a reply needs beside its bytes to be understood.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The WebAPI method.
    pub method: &'a str,
    /// The form it was for.
    pub form: &'a str,
    /// The account it was sent to.
    pub account: &'a str,
}

/// Reads the JSON of a complete reply that reports no failure.
///
/// # Errors
/// Any [`Error`] a reply can mean: wrong account, throttled, lost session, refused, a web page, not JSON.
pub fn read(
    context: Context<'_>,
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Result<Value, Error> {
    read_unless(context, http_status, retry_after, body, |status| status.failed() && !status.has_success())
}

/// The same, with the caller's own word for a status that fails the whole call.
pub(crate) fn read_unless(
    context: Context<'_>,
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    fails: fn(&Status) -> bool,
) -> Result<Value, Error> {
    let method = || context.method.to_owned();
    if is_wrong_account(http_status, body) {
        return Err(Error::UnknownAccount { account: context.account.to_owned() });
    }
    let value = json::read(body);
    if let Ok(value) = &value {
        match status::find(value) {
            Found::Status(status) if fails(&status) => {
                return Err(refusal(context, &status, retry_after));
            }
            Found::Status(_) | Found::Empty | Found::None => {}
        }
    }
    if http_status == 429 {
        return Err(Error::Throttled { method: method(), after: retry_after, text: excerpt_of(body) });
    }
    if !matches!(http_status, 200..=299) {
        return Err(Error::Status { method: method(), status: http_status, text: excerpt_of(body) });
    }
    let value = value.map_err(|fault| match fault {
        json::Fault::TooDeep => Error::TooDeep { method: method(), limit: json::DEPTH },
        json::Fault::Html => Error::Html { method: method(), text: excerpt_of(body) },
        json::Fault::Unparsable(_) if body.starts_with(b"response_error:") => {
            Error::Status { method: method(), status: http_status, text: excerpt_of(body) }
        }
        json::Fault::Unparsable(source) => Error::Unparsable { method: method(), source },
    })?;
    match status::confirm(&value) {
        Some(text) => Err(Error::Filtered { method: method(), text }),
        None => Ok(value),
    }
}

/// The error that a failed status means.
pub(crate) fn refusal(context: Context<'_>, status: &Status, retry_after: Option<Duration>) -> Error {
    let method = context.method.to_owned();
    let first = status.errors.first();
    let message = first.map(|error| error.message.as_str()).unwrap_or_default();
    if status.session_lost() {
        return Error::SessionLost { method };
    }
    if status.throttled() {
        return Error::Throttled { method, after: retry_after, text: message.to_owned() };
    }
    let field = first.and_then(|error| error.field.as_deref());
    let mut error = BusinessError::understand(status.msg_code, field, message);
    if matches!(context.method, "ExecuteBillQuery" | "BillQuery" | "QueryBusinessInfo") {
        // The same words mean something else in a read: a field of the source, a condition that cannot be evaluated.
        error.code = match error.code {
            Code::TargetSchema => Code::SourceSchema,
            Code::TargetValidation | Code::TargetRequired | Code::ReferenceMissing => Code::QueryRefused,
            other => other,
        };
        error.category = error.code.category();
        error.timed = error.timed && error.code == Code::TargetLocked;
    }
    Error::Refused { form: context.form.to_owned(), error }
}

/// Reads the rows of a page; each must have exactly `columns` cells.
///
/// # Errors
/// As [`read`], and [`Error::Shape`] or [`Error::Arity`] for JSON that is not exactly such rows.
pub fn rows(context: Context<'_>, value: Value, columns: usize) -> Result<Vec<Vec<Value>>, Error> {
    let shape = |found: String| Error::Shape { method: context.method.to_owned(), found };
    let Value::Array(rows) = value else {
        return Err(shape(format!("{} where an array of rows was due", kind(&value))));
    };
    let mut out = Vec::with_capacity(rows.len());
    for (index, row) in rows.into_iter().enumerate() {
        let Value::Array(cells) = row else {
            return Err(shape(format!("an array whose element {index} is {}, not a row", kind(&row))));
        };
        if let Some(cell) = cells.iter().find(|cell| cell.get("Result").is_some()) {
            return Err(shape(format!("rows of which one holds {}", excerpt_of(cell.to_string().as_bytes()))));
        }
        if cells.len() != columns {
            return Err(Error::Arity {
                form: context.form.to_owned(),
                row: index,
                found: cells.len(),
                expected: columns,
            });
        }
        out.push(cells);
    }
    Ok(out)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
