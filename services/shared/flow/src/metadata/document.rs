//! What source and target documents have in common.

use document::Code;
use serde_json::{Map, Value};

use super::entry::{self, Entry};
use super::report::Report;
use crate::file::FunctionError;

/// Top-level keys with a meaning, and those that are accepted and kept without one.
const KEYS: [&str; 38] = [
    "api",
    "type",
    "effect",
    "method",
    "id",
    "number",
    "name",
    "idCheck",
    "pagination",
    "request",
    "otherRequest",
    "response",
    "otherResponse",
    "autoFillResponse",
    "condition",
    "formatResponse",
    "beatFlat",
    "operation",
    "groupCalculate",
    "omissionRemedy",
    "distributionOrg",
    "autoCheck",
    "callBackStrategy",
    "isUploadFile",
    "DownloadAttachment",
    "AttachmentFields",
    "customResolvers",
    "fetchOverride",
    "idempotency",
    "retryPolicy",
    "errorHandling",
    "writeMode",
    "functionError",
    "describe",
    "label",
    "title",
    "primaryWriteback",
    "version",
];

/// Words of `type` and `effect`.
const READING: [&str; 1] = ["QUERY"];
const WRITING: [&str; 3] = ["EXECUTE", "WRITE", "CREATE"];

/// Which side of a scheme a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

/// The parts every document has.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) api: String,
    pub(crate) id_check: bool,
    pub(crate) request: Vec<Entry>,
    pub(crate) other: Vec<Entry>,
    pub(crate) on_error: FunctionError,
}

/// Reads the common parts, noting everything wrong with them.
pub(crate) fn common(members: &Map<String, Value>, side: Side, report: &mut Report) -> Common {
    report.unknown_keys(members, &KEYS, "$");
    let api = report.text(members, "api", "$").unwrap_or_default().to_owned();
    if api.is_empty() && !members.get("api").is_some_and(|api| !api.is_null() && !api.is_string()) {
        report.fault(Code::Api, "$.api", "the document names no api");
    }
    check_side(members, side, report);
    let declared = function_error(members, report);
    // The flow file's word is already there, and wins.
    report.function_error = report.function_error.or(declared);
    let list = |key: &str, report: &mut Report| {
        report
            .list(members, key, "$")
            .map(|list| entry::compile_list(list, &format!("$.{key}"), report))
            .unwrap_or_default()
    };
    let request = list("request", report);
    let other = list("otherRequest", report);
    let id_check = report.truth(members, "idCheck", "$").unwrap_or(true);
    Common { api, id_check, request, other, on_error: report.function_error.unwrap_or_default() }
}

fn function_error(members: &Map<String, Value>, report: &mut Report) -> Option<FunctionError> {
    match report.text(members, "functionError", "$") {
        None | Some("") => None,
        Some("passthrough") => Some(FunctionError::Passthrough),
        Some("fail") => Some(FunctionError::Fail),
        Some(other) => {
            let detail = format!("functionError is {other:?}, but must be \"passthrough\" or \"fail\"");
            report.fault(Code::DocumentShape, "$.functionError", detail);
            None
        }
    }
}

fn check_side(members: &Map<String, Value>, side: Side, report: &mut Report) {
    let (own, other): (&[&str], &[&str]) = match side {
        Side::Source => (&READING, &WRITING),
        Side::Target => (&WRITING, &READING),
    };
    for key in ["type", "effect"] {
        let Some(word) = report.text(members, key, "$").filter(|word| !word.is_empty()) else { continue };
        let upper = word.to_ascii_uppercase();
        let path = format!("$.{key}");
        if other.contains(&upper.as_str()) {
            let stands = if side == Side::Source { "a source" } else { "a target" };
            report.fault(Code::Side, &path, format!("{key} is {word}, but the document stands as {stands} document"));
        } else if !own.contains(&upper.as_str()) {
            report.warn(Code::UnknownType, &path, format!("unknown {key} {word}"));
        }
    }
}

/// Warns of required entries that nothing fills.
pub(crate) fn warn_required(entries: &[Entry], derived: &[&str], report: &mut Report) {
    let mut empty = Vec::new();
    entry::walk_all(entries, &mut |entry| {
        let filled = super::render::can_have_value(entry) || derived.contains(&entry.field.as_str());
        if entry.required && !filled {
            empty.push((entry.place.clone(), entry.field.clone()));
        }
    });
    for (place, field) in empty {
        report.warn(Code::RequiredEmpty, &place, format!("{field} is required, but nothing gives it a value"));
    }
}
