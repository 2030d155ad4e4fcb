//! Submit, audit, un-audit, delete: whole documents chosen by number or id.
//!
//! `DIndex` is useless here: it counts the documents as the server loaded them, ordered by id, and numbers it does not
//! know are left out without a word. Outcomes are therefore matched by number and id, and what is not mentioned is
//! missing.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::business::BusinessError;
use crate::error::Error;
use crate::query::{self, Context};
use crate::status::{self, Entry, Found, Status};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A or D becomes B.
    Submit,
    /// B becomes C.
    Audit,
    /// C becomes D.
    UnAudit,
    /// Gone; for Z, A and D only.
    Delete,
}

impl Operation {
    /// The WebAPI method.
    pub fn method(self) -> &'static str {
        match self {
            Operation::Submit => "Submit",
            Operation::Audit => "Audit",
            Operation::UnAudit => "UnAudit",
            Operation::Delete => "Delete",
        }
    }
}

/// Which documents an operation is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// By number.
    Numbers(Vec<String>),
    /// By internal id.
    Ids(Vec<String>),
}

impl Selection {
    /// What is selected, in order.
    pub fn items(&self) -> &[String] {
        match self {
            Selection::Numbers(items) | Selection::Ids(items) => items,
        }
    }
}

/// More members for an operation's data, such as `InterationFlags`.
pub type Extra = Map<String, Value>;

/// What became of one selected document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationOutcome {
    /// Done.
    Done {
        /// The target's id, as text.
        id: String,
        /// The target's number.
        number: String,
    },
    /// Refused; at least one error.
    Refused(Vec<BusinessError>),
    /// The reply does not mention it: servers leave out numbers they do not know.
    Missing,
}

/// What an operation's reply says, document by document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationReply {
    /// One outcome per selected document, in the order of the selection.
    pub outcomes: Vec<OperationOutcome>,
    /// Errors that could not be attributed to one document. While there are any, a `Missing` may be a refusal.
    pub unattributed: Vec<BusinessError>,
    /// `SuccessMessages`, such as a further document that an audit created.
    pub messages: Vec<String>,
}

/// The method's `data`.
pub fn data(selection: &Selection, extra: &Extra) -> Value {
    let mut data = extra.clone();
    match selection {
        Selection::Numbers(numbers) => {
            data.insert("Numbers".to_owned(), json!(numbers));
            data.insert("Ids".to_owned(), json!(""));
        }
        Selection::Ids(ids) => {
            data.insert("Numbers".to_owned(), json!([]));
            data.insert("Ids".to_owned(), json!(ids.join(",")));
        }
    }
    Value::Object(data)
}

/// Reads the reply to an operation.
///
/// # Errors
/// [`Error::Shape`] when the reply has no status. What fails the call as a whole was found by [`read`] before.
pub fn understand(context: Context<'_>, reply: &Value, selection: &Selection) -> Result<OperationReply, Error> {
    let Found::Status(status) = status::find(reply) else {
        return Err(Error::Shape {
            method: context.method.to_owned(),
            found: "JSON without a ResponseStatus".to_owned(),
        });
    };
    Ok(reconcile(&status, selection))
}

/// Reads the JSON of a complete reply to an operation, in which documents may have been refused.
///
/// # Errors
/// Any [`Error`] that concerns the call as a whole.
pub fn read(
    context: Context<'_>,
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> Result<Value, Error> {
    query::read_unless(context, http_status, retry_after, body, is_of_the_call)
}

/// Whether a failed status is about the call, not about the selected documents.
fn is_of_the_call(status: &Status) -> bool {
    status.session_lost()
        || status.throttled()
        || (!status.has_success()
            && status.errors.iter().any(|error| {
                BusinessError::understand(status.msg_code, error.field.as_deref(), &error.message).is_of_the_call()
            }))
}

fn reconcile(status: &Status, selection: &Selection) -> OperationReply {
    let items = selection.items();
    let mut outcomes = vec![OperationOutcome::Missing; items.len()];
    for entity in &status.entities {
        let name = match selection {
            Selection::Numbers(_) => &entity.number,
            Selection::Ids(_) => &entity.id,
        };
        for (_, outcome) in items.iter().zip(&mut outcomes).filter(|(item, _)| *item == name) {
            *outcome = OperationOutcome::Done { id: entity.id.clone(), number: entity.number.clone() };
        }
    }
    let mut left: Vec<(&Entry, BusinessError)> = Vec::new();
    for entry in &status.errors {
        let error = BusinessError::understand(status.msg_code, entry.field.as_deref(), &entry.message);
        let named: Vec<usize> =
            (0..items.len()).filter(|at| items.get(*at).is_some_and(|item| names(&entry.message, item))).collect();
        match named.as_slice() {
            [only] => refuse(&mut outcomes, *only, error),
            _ => left.push((entry, error)),
        }
    }
    // One document that nothing was said of, and errors of one document that name none: they belong together.
    let open: Vec<usize> =
        (0..outcomes.len()).filter(|at| outcomes.get(*at) == Some(&OperationOutcome::Missing)).collect();
    let one_document = left.windows(2).all(|pair| matches!(pair, [a, b] if a.0.index == b.0.index));
    if let ([only], [_, ..], true) = (open.as_slice(), left.as_slice(), one_document) {
        for (_, error) in left.drain(..) {
            refuse(&mut outcomes, *only, error);
        }
    }
    OperationReply {
        outcomes,
        unattributed: left.into_iter().map(|(_, error)| error).collect(),
        messages: status.messages.iter().map(|entry| entry.message.clone()).filter(|text| !text.is_empty()).collect(),
    }
}

fn refuse(outcomes: &mut [OperationOutcome], at: usize, error: BusinessError) {
    match outcomes.get_mut(at) {
        Some(OperationOutcome::Refused(errors)) => errors.push(error),
        Some(outcome) => *outcome = OperationOutcome::Refused(vec![error]),
        None => {}
    }
}

/// Whether a message names a document: its number or id stands between marks, not inside a longer word.
fn names(message: &str, item: &str) -> bool {
    if item.is_empty() {
        return false;
    }
    let is_edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_');
    message.match_indices(item).any(|(at, found)| {
        let (before, rest) = message.split_at(at);
        let after = rest.strip_prefix(found).unwrap_or_default();
        is_edge(before.chars().next_back()) && is_edge(after.chars().next())
    })
}

#[cfg(test)]
mod tests;
