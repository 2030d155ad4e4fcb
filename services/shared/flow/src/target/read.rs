//! Compiling the text of a target document.

use document::Code;
use serde_json::{Map, Value};

use super::group::{Calculate, FUNCTIONS, Function, Grouping, Merge};
use super::{Identity, TargetDocument};
use crate::metadata::document::{self as common, Side};
use crate::metadata::entry::{Detail, Entry};
use crate::metadata::report::Report;
use crate::reference::Path;
use crate::suggest;

/// `operation` of a target document.
struct Operation {
    rows: Option<u64>,
    rows_key: Option<String>,
    merge: Option<Merge>,
}

impl TargetDocument {
    /// Compiles a document. `identity` is the id and number of the scheme's source; `form` is the flow file's and
    /// wins over the document's. Findings go into the report, and `None` means the text is no document at all.
    pub(crate) fn compile(
        text: &str,
        file: &str,
        identity: Option<Identity>,
        form: Option<&str>,
        report: &mut Report,
    ) -> Option<TargetDocument> {
        let members = report.read(text)?;
        let mut parts = common::common(&members, Side::Target, report);
        let operation = operation(&members, report);
        let calculate = calculate(&members, report);
        let grouping = match (calculate, operation.merge, &identity) {
            (Some(calculate), _, _) => Grouping::Calculate(calculate),
            (None, Some(merge), _) => Grouping::Merge(merge),
            (None, None, Some(identity)) if has_implicit(&parts.request) && identity.id != identity.number => {
                Grouping::ByNumber { id: Path::lenient(&identity.id), number: Path::lenient(&identity.number) }
            }
            (None, None, _) => Grouping::Single,
        };
        if let Some(body) = grouping.body_name() {
            let body = Path::lenient(body);
            parts.request.iter_mut().for_each(|entry| read_lines_from(entry, &body));
        }
        // Gathering the bills of a call for nobody to look at would cost a copy of each.
        let rows_key = operation.rows_key.filter(|key| refers_to(&parts.request, key));
        common::warn_required(&parts.request, &[], report);
        common::warn_required(&parts.other, &[], report);
        Some(TargetDocument {
            file: file.to_owned(),
            api: parts.api,
            id_check: parts.id_check,
            request: parts.request,
            other: parts.other,
            rows: operation.rows,
            rows_key,
            grouping,
            identity,
            form: form.map(str::to_owned),
            on_error: parts.on_error,
        })
    }
}

/// Whether a value or a detail array begins with this name.
fn refers_to(entries: &[Entry], name: &str) -> bool {
    let begins = |path: &Path| path.segments().first().is_some_and(|segment| segment.name() == name);
    entries.iter().any(|entry| {
        let source = matches!(&entry.detail, Detail::Source(path) if begins(path));
        source
            || entry.form.references().into_iter().any(|reference| begins(&reference.path))
            || refers_to(&entry.children, name)
    })
}

/// Whether some array outside other arrays takes one line per row of the bill.
fn has_implicit(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| match entry.detail {
        Detail::Rows => true,
        Detail::None => has_implicit(&entry.children),
        Detail::Source(_) | Detail::Computed => false,
    })
}

/// Lines that would be the bill's rows are those of the body that grouping makes.
fn read_lines_from(entry: &mut Entry, body: &Path) {
    if entry.detail == Detail::Rows {
        entry.detail = Detail::Source(body.clone());
    }
    if entry.detail == Detail::None {
        entry.children.iter_mut().for_each(|child| read_lines_from(child, body));
    }
}

fn operation(members: &Map<String, Value>, report: &mut Report) -> Operation {
    let path = "$.operation";
    let mut operation = Operation { rows: None, rows_key: None, merge: None };
    let Some(declared) = report.object(members, "operation", "$").cloned() else { return operation };
    let known = ["method", "rows", "rowsKey", "field", "bodyName", "header", "body", "bodySum"];
    report.unknown_keys(&declared, &known, path);
    let method = report.text(&declared, "method", path).unwrap_or_default().to_owned();
    match method.as_str() {
        "" | "none" => return operation,
        "batchArraySave" => {}
        "merge" => operation.merge = merge(&declared, report),
        other => {
            let fault = report.fault(Code::Operation, "$.operation.method", format!("unknown method {other}"));
            fault.hint = Some(suggest::hint(other, ["none", "batchArraySave", "merge"]));
            return operation;
        }
    }
    operation.rows = report.whole(&declared, "rows", path);
    if operation.rows == Some(0) {
        report.fault(Code::Operation, "$.operation.rows", "rows is 0, but a call carries at least one bill");
        operation.rows = None;
    }
    operation.rows_key = report.text(&declared, "rowsKey", path).filter(|key| !key.is_empty()).map(str::to_owned);
    operation
}

fn merge(declared: &Map<String, Value>, report: &mut Report) -> Option<Merge> {
    let path = "$.operation";
    let mut names = |key: &str| report.names(declared, key, path).filter(|names| !names.is_empty()).map(paths);
    let (fields, header, body, body_sum) = (names("field"), names("header"), names("body"), names("bodySum"));
    let Some(fields) = fields else {
        report.fault(Code::Operation, "$.operation.field", "merge names no field to gather by");
        return None;
    };
    let body_name = report.text(declared, "bodyName", path).filter(|name| !name.is_empty()).unwrap_or("details");
    Some(Merge { fields, body_name: body_name.to_owned(), header, body, body_sum: body_sum.unwrap_or_default() })
}

fn calculate(members: &Map<String, Value>, report: &mut Report) -> Option<Calculate> {
    let path = "$.groupCalculate";
    let declared = report.object(members, "groupCalculate", "$").cloned()?;
    let known = ["headerGroup", "bodyGroup", "bodyName", "targetBodyName", "bodyMaxLine", "calculate"];
    report.unknown_keys(&declared, &known, path);
    let header = report.names(&declared, "headerGroup", path).filter(|names| !names.is_empty()).map(paths);
    if header.is_none() {
        report.fault(Code::GroupFunction, "$.groupCalculate.headerGroup", "groupCalculate has no headerGroup");
    }
    let body = report.names(&declared, "bodyGroup", path).map(paths).unwrap_or_default();
    let body_name =
        report.text(&declared, "bodyName", path).filter(|name| !name.is_empty()).unwrap_or("details").to_owned();
    let max_lines = match report.whole(&declared, "bodyMaxLine", path) {
        None | Some(0) => usize::MAX,
        Some(lines) => usize::try_from(lines).unwrap_or(usize::MAX),
    };
    let mut functions = Vec::new();
    for (field, function) in report.object(&declared, "calculate", path).cloned().unwrap_or_default() {
        let name = function.as_str().unwrap_or_default();
        match Function::named(name) {
            Some(function) => functions.push((Path::lenient(&field), function)),
            None => {
                let place = format!("{path}.calculate.{field}");
                let fault = report.fault(Code::GroupFunction, &place, format!("unknown function {function}"));
                fault.hint = Some(suggest::hint(name, FUNCTIONS));
            }
        }
    }
    Some(Calculate { header: header?, body, body_name, max_lines, functions })
}

fn paths(names: Vec<String>) -> Vec<Path> {
    names.iter().map(|name| Path::lenient(name)).collect()
}
