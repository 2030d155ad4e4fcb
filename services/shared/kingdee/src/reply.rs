//! What a reply to a save means, decided by its status and bytes alone.
//!
//! Three things must never be confused: a document that is surely not in the target, one that surely is, and one of
//! which nobody knows. A wrong guess in one direction loses a bill, in the other doubles it, so anything that is not
//! plainly said is unknown and left to a probe.

use std::fmt;
use std::time::Duration;

use crate::business::BusinessError;
use crate::error::Error;
use crate::json;
use crate::status::{self, Entity, Entry, Found, Index, Status};

/// What is known after a save.
#[derive(Debug)]
pub enum SaveReply {
    /// The request was never executed: it never left, or was refused before any document was looked at.
    NotSent(Error),
    /// The reply speaks of documents: one outcome for each that was sent, in the order sent.
    Done(Vec<DocumentOutcome>),
    /// The server refuses calls for now and executed nothing.
    Throttled {
        /// How long it said to wait.
        after: Option<Duration>,
    },
    /// The application answered, so it is no longer at work, but what it did is unclear.
    UnknownClosed(UnknownReason),
    /// No usable answer: the server may still be at work.
    UnknownOpen(UnknownReason),
}

/// What became of one document of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentOutcome {
    /// It is saved. The caller knows the number it sent and compares.
    Saved {
        /// The target's id, as text.
        id: String,
        /// The target's number; empty when the reply has none.
        number: String,
        /// Messages that came along.
        warnings: Vec<String>,
    },
    /// It was refused; at least one error.
    Rejected(Vec<BusinessError>),
    /// The reply does not say, or contradicts itself.
    Unknown,
}

/// Why an outcome is unknown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownReason {
    /// The session was lost. The client has tried to open a new one.
    SessionLost,
    /// The reply names no document at all.
    EmptyResult,
    /// The reply names documents, but none that was sent.
    Uncovered,
    /// The call as a whole was refused: licence, permission, unknown form and the like.
    Refused(BusinessError),
    /// The server's request filter stopped it.
    Filtered(String),
    /// A status of the application that says nothing of documents.
    Status(u16),
    /// A status of something before the application (502, 503, 504), or one without its JSON.
    Gateway(u16),
    /// JSON that is no reply to a save.
    Shape,
    /// No complete reply in time.
    TimedOut,
    /// The connection broke.
    Interrupted,
    /// A web page.
    Html,
    /// Not complete JSON.
    Unparsable,
    /// Over the limit of size or depth.
    TooLarge,
}

impl UnknownReason {
    /// A word for metrics and logs.
    pub fn as_str(&self) -> &'static str {
        match self {
            UnknownReason::SessionLost => "session_lost",
            UnknownReason::EmptyResult => "empty_result",
            UnknownReason::Uncovered => "uncovered",
            UnknownReason::Refused(_) => "refused",
            UnknownReason::Filtered(_) => "filtered",
            UnknownReason::Status(_) => "status",
            UnknownReason::Gateway(_) => "gateway",
            UnknownReason::Shape => "shape",
            UnknownReason::TimedOut => "timed_out",
            UnknownReason::Interrupted => "interrupted",
            UnknownReason::Html => "html",
            UnknownReason::Unparsable => "unparsable",
            UnknownReason::TooLarge => "too_large",
        }
    }
}

impl fmt::Display for UnknownReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnknownReason::Refused(error) => write!(f, "refused: {}", error.message),
            UnknownReason::Filtered(text) => write!(f, "stopped by the request filter: {text}"),
            UnknownReason::Status(status) | UnknownReason::Gateway(status) => write!(f, "status {status}"),
            other => f.write_str(other.as_str()),
        }
    }
}

/// The body of a wrong account id, which comes with a status other than 200.
pub(crate) const WRONG_ACCOUNT: &str = "Fail to verify thirty passport";

/// Whether a reply says that the account id is unknown.
pub(crate) fn is_wrong_account(http_status: u16, body: &[u8]) -> bool {
    http_status != 200 && body.windows(WRONG_ACCOUNT.len()).take(64 * 1024).any(|part| part == WRONG_ACCOUNT.as_bytes())
}

/// Classifies the complete reply to a save of `documents` documents to `account`.
pub fn classify(
    http_status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
    documents: usize,
    account: &str,
) -> SaveReply {
    if is_wrong_account(http_status, body) {
        return SaveReply::NotSent(Error::UnknownAccount { account: account.to_owned() });
    }
    // What stands before the application may answer 502 to 504 (and 408) while the application is at work.
    if matches!(http_status, 408 | 502..=504) {
        return SaveReply::UnknownOpen(UnknownReason::Gateway(http_status));
    }
    let value = match json::read(body) {
        Ok(value) => value,
        Err(_) if http_status == 429 => return SaveReply::Throttled { after: retry_after },
        Err(_) if body.starts_with(b"response_error:") => {
            return SaveReply::UnknownClosed(UnknownReason::Status(http_status));
        }
        Err(_) if !is_good(http_status) => return SaveReply::UnknownOpen(UnknownReason::Gateway(http_status)),
        Err(json::Fault::Html) => return SaveReply::UnknownOpen(UnknownReason::Html),
        Err(json::Fault::TooDeep) => return SaveReply::UnknownOpen(UnknownReason::TooLarge),
        Err(json::Fault::Unparsable(_)) => return SaveReply::UnknownOpen(UnknownReason::Unparsable),
    };
    let found = status::find(&value);
    if let Found::Status(status) = &found {
        if status.session_lost() {
            return SaveReply::UnknownClosed(UnknownReason::SessionLost);
        }
        if status.throttled() {
            return SaveReply::Throttled { after: retry_after };
        }
    }
    let has_success = matches!(&found, Found::Status(status) if status.has_success());
    if http_status == 429 && !has_success {
        return SaveReply::Throttled { after: retry_after };
    }
    if !is_good(http_status) {
        return SaveReply::UnknownClosed(UnknownReason::Status(http_status));
    }
    match found {
        Found::Status(status) => by_document(&status, documents),
        Found::Empty => SaveReply::UnknownClosed(UnknownReason::EmptyResult),
        Found::None => match status::confirm(&value) {
            Some(text) => SaveReply::UnknownClosed(UnknownReason::Filtered(text)),
            None if is_nothing(&value) => SaveReply::UnknownClosed(UnknownReason::EmptyResult),
            // Somebody else's JSON proves nothing about the application.
            None => SaveReply::UnknownOpen(UnknownReason::Shape),
        },
    }
}

fn is_good(http_status: u16) -> bool {
    matches!(http_status, 200..=299)
}

fn is_nothing(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => true,
        serde_json::Value::String(text) => text.trim().is_empty(),
        serde_json::Value::Array(items) => items.is_empty(),
        serde_json::Value::Object(members) => members.is_empty(),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => false,
    }
}

/// Says of every document what the status says of it.
fn by_document(status: &Status, documents: usize) -> SaveReply {
    if status.entities.is_empty() && status.errors.is_empty() {
        return SaveReply::UnknownClosed(UnknownReason::EmptyResult);
    }
    let errors: Vec<BusinessError> = status
        .errors
        .iter()
        .map(|error| BusinessError::understand(status.msg_code, error.field.as_deref(), &error.message))
        .collect();
    let mut slots: Vec<Slot<'_>> = (0..documents).map(|_| Slot::default()).collect();
    // A server that counts from 1 never says 0 and says n: nothing it says can then be trusted to be about that index.
    let last = documents as u64;
    let indexes =
        || status.entities.iter().map(|entity| entity.index).chain(status.errors.iter().map(|error| error.index));
    let counts_from_one = documents > 1
        && indexes().any(|index| index == Index::At(last))
        && !indexes().any(|index| index == Index::At(0));
    if !counts_from_one {
        for entity in &status.entities {
            if let Some(slot) = slot_of(&mut slots, entity.index) {
                slot.saved.push(entity);
            }
        }
        for (entry, error) in status.errors.iter().zip(&errors) {
            if let Some(slot) = slot_of(&mut slots, entry.index) {
                slot.errors.push(error);
            }
        }
    }
    if !status.has_success()
        && let Some(error) = refusal_of_the_call(&errors, slots.iter().all(|slot| !slot.errors.is_empty()))
    {
        return SaveReply::UnknownClosed(UnknownReason::Refused(error.clone()));
    }
    let outcomes: Vec<DocumentOutcome> = slots
        .iter()
        .enumerate()
        .map(|(index, slot)| slot.outcome(warnings(&status.messages, index, documents)))
        .collect();
    if outcomes.iter().all(|outcome| *outcome == DocumentOutcome::Unknown) {
        return SaveReply::UnknownClosed(UnknownReason::Uncovered);
    }
    SaveReply::Done(outcomes)
}

/// What a reply says of one index.
#[derive(Default)]
struct Slot<'a> {
    saved: Vec<&'a Entity>,
    errors: Vec<&'a BusinessError>,
}

impl Slot<'_> {
    fn outcome(&self, warnings: Vec<String>) -> DocumentOutcome {
        match (self.saved.as_slice(), self.errors.as_slice()) {
            ([entity], []) if !entity.id.is_empty() && entity.id != "0" => {
                DocumentOutcome::Saved { id: entity.id.clone(), number: entity.number.clone(), warnings }
            }
            ([], [_, ..]) if !self.errors.iter().any(|error| error.is_of_the_call()) => {
                DocumentOutcome::Rejected(self.errors.iter().map(|error| (*error).clone()).collect())
            }
            // Named twice, saved and refused at once, or saved without an id: the target itself must be asked.
            _ => DocumentOutcome::Unknown,
        }
    }
}

/// The slot of an index. With one document there is nothing to mistake, whatever the index says.
fn slot_of<'s, 'a>(slots: &'s mut [Slot<'a>], index: Index) -> Option<&'s mut Slot<'a>> {
    if slots.len() == 1 {
        return slots.first_mut();
    }
    match index {
        Index::At(at) => usize::try_from(at).ok().and_then(|at| slots.get_mut(at)),
        Index::Missing | Index::Odd => None,
    }
}

/// The error that refuses a call as a whole, in a reply without successes.
///
/// Servers attach such an error to `DIndex` 0 although no document is at fault; with several documents the tell is that
/// the others are not mentioned.
fn refusal_of_the_call(errors: &[BusinessError], covers_all: bool) -> Option<&BusinessError> {
    errors.iter().find(|error| error.is_of_the_call()).or_else(|| {
        let broad = |error: &&BusinessError| matches!(error.msg_code, Some(2 | 4 | 6 | 8));
        (!covers_all).then(|| errors.iter().find(broad)).flatten()
    })
}

fn warnings(messages: &[Entry], index: usize, documents: usize) -> Vec<String> {
    messages
        .iter()
        .filter(|message| documents == 1 || message.index == Index::At(index as u64))
        .map(|message| message.message.clone())
        .filter(|text| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
