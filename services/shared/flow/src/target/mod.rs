//! The writing side: how stored records become bills, documents and calls.

mod group;
mod read;

use document::{Code, Fault};
use serde_json::{Map, Value};

use crate::api::{Api, Direction};
use crate::collections::Collections;
use crate::file::FunctionError;
use crate::function::Run;
use crate::metadata::entry::{Detail, Entry};
use crate::metadata::render::{self, Pass};
use crate::metadata::scope::{Batch, BillScope};
use crate::metadata::value::Form;
use crate::reference::{Path, walk};
use crate::source::{self, Sought};
use crate::text::interpolate;
use group::{Bill, Broken, Grouping};

/// A target document, compiled.
#[derive(Debug)]
pub struct TargetDocument {
    file: String,
    api: String,
    id_check: bool,
    request: Vec<Entry>,
    other: Vec<Entry>,
    rows: Option<u64>,
    /// The operation's `rowsKey`, where some value refers to it.
    rows_key: Option<String>,
    grouping: Grouping,
    identity: Option<Identity>,
    form: Option<String>,
    on_error: FunctionError,
}

/// Id and number of the scheme's source document, by which rows are gathered into bills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The source's `id`.
    pub id: String,
    /// The source's `number`, or its id.
    pub number: String,
}

/// What a save does beyond saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Saves.
    Save,
    /// Saves and submits.
    Submit,
    /// Saves, submits and audits.
    Audit,
}

/// The call that carries documents, rendered.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveCall {
    /// Business form.
    pub form_id: String,
    /// What the adapter's verb asks for.
    pub operation: Operation,
    /// Whether the target is told to submit and audit by itself (`IsAutoSubmitAndAudit`).
    pub auto_submit_and_audit: bool,
    /// Everything else of `otherRequest`, typed, in the document's order; `Operation` included, `FormId` not.
    pub options: Map<String, Value>,
}

/// One bill and what became of it.
#[derive(Debug)]
pub struct RenderedBill {
    /// Indexes of the records it is made of, in the input; the first is the bill's own.
    pub records: Vec<usize>,
    /// The document, or why there is none.
    pub outcome: Result<Map<String, Value>, Fault>,
}

impl TargetDocument {
    /// Documents of the bills that the rows form, one result per bill, in order of first appearance.
    pub fn render(
        &self,
        rows: &[Value],
        run: &Run,
        collections: &dyn Collections,
    ) -> Vec<Result<Map<String, Value>, Fault>> {
        self.render_bills(rows, run, collections).into_iter().map(|bill| bill.outcome).collect()
    }

    /// As [`Self::render`], with the records each bill is made of.
    pub fn render_bills(&self, rows: &[Value], run: &Run, collections: &dyn Collections) -> Vec<RenderedBill> {
        let bills = self.grouping.bills(rows);
        let per_call = self.bills_per_call();
        let grouped_at = if self.is_merge() { "$.operation" } else { "$.groupCalculate" };
        let mut rendered = Vec::with_capacity(bills.len());
        for call in bills.chunks(per_call) {
            let together = self.rows_key.as_ref().map(|_| together(call)).unwrap_or_default();
            let batch = self.rows_key.as_deref().map(|name| Batch { name, bills: &together });
            for bill in call {
                rendered.push(match bill {
                    Ok(bill) => RenderedBill {
                        records: bill.records.clone(),
                        outcome: self
                            .document(bill, batch, run, collections)
                            .map_err(|fault| self.of_bill(fault, rows, &bill.records)),
                    },
                    Err(Broken { records, fault }) => RenderedBill {
                        records: records.clone(),
                        outcome: Err(self.of_bill(
                            fault.clone().in_file(&self.file).at_path(grouped_at),
                            rows,
                            records,
                        )),
                    },
                });
            }
        }
        rendered
    }

    /// The call's form and options.
    ///
    /// # Errors
    /// A fault of an option that cannot be computed, `E_FORM_MISSING` when nothing names the form, `E_CALL_OPTION`
    /// when `Operation` is no verb of a save.
    pub fn call(&self, run: &Run, collections: &dyn Collections) -> Result<SaveCall, Fault> {
        let mut options = self.other(&[], run, collections)?;
        let named = options.shift_remove("FormId").map(|form| interpolate(&form, false));
        let form_id = match self.form.clone().or(named).filter(|form| !form.is_empty()) {
            Some(form) => form,
            None => {
                let fault = Fault::new(Code::FormMissing, "neither the document nor the flow file names the form");
                return Err(fault.in_file(&self.file).at_path("$.otherRequest").at_column("FormId"));
            }
        };
        let verb = options.get("Operation").map(|verb| interpolate(verb, false)).unwrap_or_default();
        let operation = match verb.to_ascii_lowercase().as_str() {
            "" | "save" | "batchsave" => Operation::Save,
            "submit" | "batchsubmit" => Operation::Submit,
            "audit" | "batchaudit" => Operation::Audit,
            _ => {
                let place = self.other.iter().find(|entry| entry.field == "Operation").map(|entry| entry.place.clone());
                let fault = Fault::new(Code::CallOption, format!("Operation is {verb}, which is no verb of a save"));
                let fault = fault.hint("use Save, BatchSave, Submit or Audit").in_file(&self.file);
                return Err(fault.at_path(place.unwrap_or_default()).at_column("Operation"));
            }
        };
        let auto_submit_and_audit = options.get("IsAutoSubmitAndAudit") == Some(&Value::Bool(true));
        Ok(SaveCall { form_id, operation, auto_submit_and_audit, options })
    }

    /// `otherRequest` rendered for a call whose first bill is made of `rows`, typed, reserved names included.
    ///
    /// # Errors
    /// A fault of an option that cannot be computed.
    pub fn other(&self, rows: &[Value], run: &Run, collections: &dyn Collections) -> Result<Map<String, Value>, Fault> {
        let nothing = [Value::Object(Map::new())];
        let rows = if rows.is_empty() { &nothing } else { rows };
        render::render(&self.other, &BillScope::of_bill(rows, None, collections), self.pass(run))
    }

    /// The rows of the bill that the first record belongs to, as they are rendered.
    pub(crate) fn first_bill(&self, rows: &[Value]) -> Vec<Value> {
        self.grouping
            .bills(rows)
            .into_iter()
            .find_map(Result::ok)
            .map(|bill| bill.rows.into_owned())
            .unwrap_or_default()
    }

    /// The interface's name as the document writes it.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Whether a bill that is finished is never sent again.
    pub fn id_check(&self) -> bool {
        self.id_check
    }

    /// `operation.rows`, where the document says it.
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// Bills per call as the document has it: `operation.rows`, else 1.
    pub fn bills_per_call(&self) -> usize {
        self.rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(1)
    }

    /// Output fields at the top of the document.
    pub fn fields(&self) -> Vec<&str> {
        self.request.iter().map(|entry| entry.field.as_str()).collect()
    }

    /// How the value of a field at the top of the document comes about; `None` where there is no such field.
    pub(crate) fn form_of(&self, field: &str) -> Option<&Form> {
        self.request.iter().find(|entry| entry.field == field).map(|entry| &entry.form)
    }

    /// The entries of the document.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.request
    }

    /// How a field at the top of the document is computed, for comparing two versions; `None` where there is none.
    pub(crate) fn value_of(&self, field: &str) -> Option<String> {
        let entry = self.request.iter().find(|entry| entry.field == field)?;
        Some(format!("{:?} {:?} {:?} {:?}", entry.kind, entry.written, entry.form, entry.parsers))
    }

    /// The fields whose equal values make one bill, where the document groups by itself (`merge`, `groupCalculate`).
    pub fn group_fields(&self) -> Option<Vec<&str>> {
        self.grouping.key_fields().map(|fields| fields.iter().map(Path::as_str).collect())
    }

    /// Whether the interface saves bills in Kingdee.
    pub fn is_save(&self) -> bool {
        Api::named(&self.api).is_some_and(|api| api.direction() == Direction::Write)
    }

    pub(crate) fn schemes(&self) -> Vec<Sought> {
        source::schemes_of(self.request.iter().chain(&self.other))
    }

    /// Names that values take from the record, with the place of the entry; lines of a source array are left out,
    /// since their plain names may be the element's own.
    pub(crate) fn record_names(&self) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for entry in &self.request {
            record_names(entry, &mut names);
        }
        names
    }

    /// The form the document itself names as a constant.
    pub(crate) fn own_form(&self) -> Option<&str> {
        source::own_form(self.request.iter().chain(&self.other))
    }

    pub(crate) fn is_merge(&self) -> bool {
        matches!(self.grouping, Grouping::Merge(_))
    }

    pub(crate) fn rows_key(&self) -> Option<&str> {
        self.rows_key.as_deref()
    }

    pub(crate) fn body_name(&self) -> Option<&str> {
        self.grouping.body_name()
    }

    fn pass<'a>(&'a self, run: &'a Run) -> Pass<'a> {
        Pass { run, on_error: self.on_error, enforce_required: true, file: &self.file }
    }

    fn document(
        &self,
        bill: &Bill<'_>,
        batch: Option<Batch<'_>>,
        run: &Run,
        collections: &dyn Collections,
    ) -> Result<Map<String, Value>, Fault> {
        render::render(&self.request, &BillScope::of_bill(&bill.rows, batch, collections), self.pass(run))
    }

    /// The fault with the number, else the id, of the bill's first record.
    fn of_bill(&self, fault: Fault, rows: &[Value], records: &[usize]) -> Fault {
        let Some(identity) = &self.identity else { return fault };
        let row = records.first().and_then(|at| rows.get(*at)).unwrap_or(&Value::Null);
        let text = |name: &str| walk(row, &Path::lenient(name)).map(|value| interpolate(value, false));
        match text(&identity.number).filter(|text| !text.is_empty()).or_else(|| text(&identity.id)) {
            Some(name) if !name.is_empty() => fault.of_record(name),
            _ => fault,
        }
    }
}

/// The records of the bills of one call, as one list.
fn together(bills: &[Result<Bill<'_>, Broken>]) -> Value {
    bills.iter().filter_map(|bill| bill.as_ref().ok()?.rows.first().cloned()).collect()
}

fn record_names(entry: &Entry, names: &mut Vec<(String, String)>) {
    let mut note = |path: &Path| {
        let first = path.segments().first().map_or("", |segment| segment.name());
        names.push((first.to_owned(), format!("{}.value", entry.place)));
    };
    if let Detail::Source(path) = &entry.detail {
        note(path);
        return;
    }
    entry.form.references().into_iter().filter(|r| r.variable().is_none()).for_each(|r| note(&r.path));
    if entry.detail != Detail::Computed {
        entry.children.iter().for_each(|child| record_names(child, names));
    }
}

#[cfg(test)]
mod tests;
