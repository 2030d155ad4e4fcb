//! Compiling the text of a source document.

use document::Code;
use serde_json::{Map, Value};

use super::{DEFAULT_PAGE_SIZE, Identity, IdentityForm, Remedy, SourceDocument, condition, format, kingdee};
use crate::api::Api;
use crate::collections::Shelf;
use crate::metadata::document::{self as common, Side};
use crate::metadata::entry::{self, Entry};
use crate::metadata::report::Report;
use crate::metadata::value::Form;
use crate::reference::{Path, parse_template};
use crate::schedule;

impl SourceDocument {
    /// Compiles a document; `form` is the flow file's and wins over the document's. Findings go into the report,
    /// and `None` means the text is no document at all.
    pub(crate) fn compile(text: &str, file: &str, form: Option<&str>, report: &mut Report) -> Option<SourceDocument> {
        let members = report.read(text)?;
        let parts = common::common(&members, Side::Source, report);
        let id = match report.text(&members, "id", "$").filter(|id| !id.is_empty()) {
            Some(id) => identity(id, "$.id", report),
            None => {
                if members.get("id").is_none_or(|id| id.is_null() || id.is_string()) {
                    report.fault(Code::IdMissing, "$.id", "the source document names no id");
                }
                identity("", "$.id", report)
            }
        };
        let number = match report.text(&members, "number", "$").filter(|number| !number.is_empty()) {
            Some(number) => identity(number, "$.number", report),
            None => id.clone(),
        };
        let page_size = page_size(&members, report);
        let response = response(&members, report);
        let is_bill_query = Api::named(&parts.api) == Some(Api::ExecuteBillQuery);
        let (flat_entries, other): (Vec<Entry>, Vec<Entry>) =
            parts.other.into_iter().partition(|entry| entry.field == "beatFlat");
        let columns = is_bill_query.then(|| kingdee::columns(&parts.request, &response));
        let condition = report.list(&members, "condition", "$").cloned().unwrap_or_default();
        let condition = condition::Condition::compile(&condition, "$.condition", report);
        let formattings = report.list(&members, "formatResponse", "$").cloned().unwrap_or_default();
        let formattings = format::compile(&formattings, "$.formatResponse", report);
        let mut beat_flat = report.names(&members, "beatFlat", "$").unwrap_or_default();
        beat_flat.extend(flat_entries.iter().flat_map(names_of));
        let split_array = split_array(&members, report);
        let remedy = remedy(&members, &parts.request, &other, report);
        let derived: &[&str] = if is_bill_query { &kingdee::RESERVED } else { &[] };
        common::warn_required(&parts.request, derived, report);
        common::warn_required(&other, derived, report);
        let document = SourceDocument {
            file: file.to_owned(),
            api: parts.api,
            id,
            number,
            id_check: parts.id_check,
            page_size,
            request: parts.request,
            other,
            columns,
            declared: response.into_iter().map(|entry| entry.field).collect(),
            form: form.map(str::to_owned),
            on_error: parts.on_error,
            condition,
            formattings,
            beat_flat,
            split_array,
            remedy,
            collections: Shelf::default(),
        };
        document.check_columns(report);
        Some(document)
    }

    /// Schemes whose records its values look into.
    pub(crate) fn schemes(&self) -> Vec<Sought> {
        let remedy = self.remedy.iter().flat_map(|remedy| remedy.request.iter().chain(&remedy.other));
        schemes_of(self.request.iter().chain(&self.other).chain(remedy))
    }

    /// A bill query whose id is no column would store nothing.
    fn check_columns(&self, report: &mut Report) {
        let Some(columns) = &self.columns else { return };
        let own_keys = self.request.iter().chain(&self.other);
        let lists_keys = own_keys.filter(|entry| entry.field == "FieldKeys").any(|entry| !entry.form.is_absent());
        if columns.is_empty() && !lists_keys {
            let fault = report.fault(Code::IdColumn, "$.request", "the bill query asks for no columns");
            fault.hint = Some("list them in request, or their fields in response".to_owned());
            return;
        }
        if lists_keys || !self.beat_flat.is_empty() || self.split_array.is_some() {
            return;
        }
        for (identity, path) in [(&self.id, "$.id"), (&self.number, "$.number")] {
            let IdentityForm::Path(field) = &identity.form else { continue };
            let known = columns.iter().any(|column| column.field == field.as_str())
                || self.formattings.iter().any(|formatting| formatting.new == *field);
            if !known && !identity.written.is_empty() {
                let fields: Vec<&str> = columns.iter().map(|column| column.field.as_str()).collect();
                let fault = report.fault(Code::IdColumn, path, format!("{field} is none of the columns"));
                fault.hint = Some(crate::suggest::hint(field.as_str(), fields));
            }
        }
    }
}

/// A scheme whose records are looked into.
#[derive(Debug)]
pub(crate) struct Sought {
    /// Its id.
    pub(crate) scheme: String,
    /// JSON path of the value that looks into it.
    pub(crate) place: String,
    /// Where in that value, in characters from 1.
    pub(crate) column: Option<usize>,
}

/// Schemes that the values of `entries` look into.
pub(crate) fn schemes_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Sought> {
    let mut found = Vec::new();
    for entry in entries {
        entry.walk(&mut |entry| {
            found.extend(entry.form.schemes().into_iter().map(|scheme| {
                let before =
                    entry.written.as_deref().and_then(|text| text.split_once(scheme)).map(|(before, _)| before);
                Sought {
                    scheme: scheme.to_owned(),
                    place: format!("{}.value", entry.place),
                    column: before.map(|before| before.chars().count() + 1),
                }
            }));
        });
    }
    found
}

fn identity(text: &str, path: &str, report: &mut Report) -> Identity {
    let form = match text.contains('{').then(|| parse_template(text)) {
        Some(Ok(template)) => IdentityForm::Template(template),
        Some(Err(fault)) => {
            report.push_fault(::document::Fault { code: Code::FilterName, ..fault }, path);
            IdentityForm::Path(Path::lenient(text))
        }
        None => IdentityForm::Path(Path::lenient(text)),
    };
    Identity { written: text.to_owned(), form }
}

fn page_size(members: &Map<String, Value>, report: &mut Report) -> u32 {
    let Some(pagination) = report.object(members, "pagination", "$").cloned() else { return DEFAULT_PAGE_SIZE };
    report.unknown_keys(&pagination, &["pageSize"], "$.pagination");
    match report.whole(&pagination, "pageSize", "$.pagination") {
        None => DEFAULT_PAGE_SIZE,
        Some(size) => match u32::try_from(size) {
            Ok(size @ 1..=100_000) => size,
            _ => {
                let detail = format!("pageSize is {size}, but must be 1 to 100000");
                report.fault(Code::DocumentShape, "$.pagination.pageSize", detail);
                DEFAULT_PAGE_SIZE
            }
        },
    }
}

/// Declared result fields; only their names matter, so their oddities are not reported.
fn response(members: &Map<String, Value>, report: &mut Report) -> Vec<Entry> {
    let Some(list) = report.list(members, "response", "$").cloned() else { return Vec::new() };
    let mut aside = Report::new("");
    entry::compile_list(&list, "$.response", &mut aside)
}

/// Array names in a `beatFlat` entry of `otherRequest`: a list, or a comma list.
fn names_of(entry: &Entry) -> Vec<String> {
    match &entry.form {
        Form::Constant(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Form::Constant(Value::String(text)) => {
            text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The array of `operation: {"method": "splitArray", "arrayKey": …}`.
fn split_array(members: &Map<String, Value>, report: &mut Report) -> Option<String> {
    let operation = report.object(members, "operation", "$").cloned()?;
    match report.text(&operation, "method", "$.operation") {
        None | Some("" | "none") => None,
        Some("splitArray") => match report.text(&operation, "arrayKey", "$.operation").filter(|key| !key.is_empty()) {
            Some(key) => Some(key.to_owned()),
            None => {
                report.fault(Code::Operation, "$.operation.arrayKey", "splitArray has no arrayKey");
                None
            }
        },
        Some(other) => {
            let fault = report.fault(Code::Operation, "$.operation.method", format!("unknown method {other}"));
            fault.hint = Some(crate::suggest::hint(other, ["none", "splitArray"]));
            None
        }
    }
}

fn remedy(members: &Map<String, Value>, request: &[Entry], other: &[Entry], report: &mut Report) -> Option<Remedy> {
    let path = "$.omissionRemedy";
    let declared = report.object(members, "omissionRemedy", "$").cloned()?;
    let cron = report.text(&declared, "crontab", path).filter(|cron| !cron.is_empty()).map(str::to_owned);
    let Some(cron) = cron else {
        report.fault(Code::Remedy, &format!("{path}.crontab"), "omissionRemedy has no crontab");
        return None;
    };
    if let Err(why) = schedule::check(&cron) {
        report.fault(Code::Cron, &format!("{path}.crontab"), why);
    }
    let Some(list) = report.list(&declared, "takeOverRequest", path).cloned() else {
        report.fault(Code::Remedy, &format!("{path}.takeOverRequest"), "omissionRemedy takes over no fields");
        return None;
    };
    let taken = entry::compile_list(&list, &format!("{path}.takeOverRequest"), report);
    let (mut request, mut other) = (request.to_vec(), other.to_vec());
    for entry in taken {
        let replaced = [&mut request, &mut other].map(|list| replace(list, &entry)).contains(&true);
        if !replaced {
            request.push(entry);
        }
    }
    Some(Remedy { cron, request, other })
}

/// Replaces the value of every entry of that field, at any depth; type, parser and children stay.
fn replace(list: &mut [Entry], by: &Entry) -> bool {
    let mut any = false;
    for entry in list {
        if entry.field == by.field {
            entry.form = by.form.clone();
            entry.written.clone_from(&by.written);
            any = true;
        }
        any |= replace(&mut entry.children, by);
    }
    any
}
