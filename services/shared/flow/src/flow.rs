//! A flow, compiled: three texts read once, every fault named.

use chrono::{DateTime, FixedOffset};
use document::{Code, DocumentKey, Fault, FlowName, FlowVersion, Tenant};
use serde_json::{Map, Value};

use crate::bundle::FlowBundle;
use crate::collections::{Collections, Shelf};
use crate::delivery;
use crate::file::{self, FlowFile, MAX_DOCUMENTS, Reading};
use crate::function::Run;
use crate::metadata::report::Report;
use crate::reference::{Path, Variable, walk};
use crate::schedule::Plan;
use crate::source::{Sought, SourceDocument};
use crate::suggest;
use crate::target::{Identity, TargetDocument};
use crate::text::interpolate;

/// Name under which faults speak of the flow file.
pub const FLOW_FILE: &str = "flow.toml";

/// A flow that was read without fault.
#[derive(Debug)]
pub struct Flow {
    /// Whose it is.
    pub tenant: Tenant,
    /// What it is called.
    pub name: FlowName,
    /// The version of its content.
    pub version: FlowVersion,
    /// The flow file, defaults filled in.
    pub settings: FlowFile,
    /// LAST_SYNC_TIME of the very first run.
    pub start_from: DateTime<FixedOffset>,
    /// The reading side.
    pub source: SourceDocument,
    /// The writing side.
    pub target: TargetDocument,
    /// The records that lookups see.
    pub collections: Shelf,
    /// Documents per call, 1 to 500.
    pub documents_per_call: usize,
    /// When the source is asked.
    pub plan: Plan,
    /// The slow second look for missed documents: the flow file's, else the document's `omissionRemedy`.
    pub lookback: Option<LookbackPlan>,
    /// When both systems are compared by themselves; how, [`FlowFile::reconcile`] says.
    pub reconcile: Option<Plan>,
}

/// When and how far back the second look goes.
#[derive(Debug, Clone)]
pub struct LookbackPlan {
    /// When.
    pub plan: Plan,
    /// Days behind the watermark.
    pub days: u32,
}

/// A compiled flow with what there is to say about it.
#[derive(Debug)]
pub struct Compiled {
    /// The flow.
    pub flow: Flow,
    /// What is odd and does not stop it.
    pub warnings: Vec<Fault>,
    /// What overrode what.
    pub notes: Vec<String>,
}

impl Flow {
    /// Kingdee key of the line's id: the flow file's, else the query's column that ends in `_FEntryID` (in whatever
    /// case); `None` when the head alone is queried.
    pub fn entry_key(&self) -> Option<&str> {
        let derived = || {
            let columns = self.source.columns().iter().map(|column| column.key.as_str());
            columns.into_iter().find(|key| key.to_ascii_lowercase().ends_with("_fentryid"))
        };
        self.settings.source.entry_key.as_deref().or_else(derived)
    }

    /// The field that a bill is found by in the target: the marker, else the key.
    pub fn key_field(&self) -> &str {
        self.settings.target.marker.as_deref().unwrap_or(&self.settings.target.key)
    }

    /// Fills the marker of a bill, where the flow has one.
    pub fn mark(&self, bill: &mut Map<String, Value>, document: &DocumentKey) {
        if let Some(marker) = &self.settings.target.marker {
            bill.insert(marker.clone(), format!("{}/{document}", self.name).into());
        }
    }

    /// The key of the document that a shaped record belongs to: its number, else its id.
    pub fn document_key(&self, record: &Value) -> Option<DocumentKey> {
        let text = |name: &str| walk(record, &Path::lenient(name)).map(|value| interpolate(value, false));
        let number = text(self.source.number_field()).filter(|text| !text.is_empty());
        number.or_else(|| text(self.source.id_field())).map(DocumentKey)
    }

    /// The variables of a run: `now` and `last_sync_time` in unix seconds, the flow's zone, no page.
    pub fn run(&self, now: i64, last_sync_time: i64) -> Run {
        Run { now, last_sync_time, zone: self.settings.zone, page: None }
    }
}

/// Reads a flow.
///
/// # Errors
/// Every fault of its texts, each with file, place and hint.
pub fn compile(bundle: &FlowBundle) -> Result<Compiled, Vec<Fault>> {
    let mut reading = file::read(FLOW_FILE, &bundle.flow);
    let settings = reading.file.clone();
    let mut source_report = Report::new(&settings.source.document);
    source_report.function_error = settings.function_error;
    let source = SourceDocument::compile(
        &bundle.source,
        &settings.source.document,
        settings.source.form.as_deref(),
        &mut source_report,
    );
    let identity = source
        .as_ref()
        .map(|source| Identity { id: source.id_field().to_owned(), number: source.number_field().to_owned() });
    let mut target_report = Report::new(&settings.target.document);
    target_report.function_error = settings.function_error;
    let target = TargetDocument::compile(
        &bundle.target,
        &settings.target.document,
        identity,
        settings.target.form.as_deref(),
        &mut target_report,
    );
    let collections = collections(bundle, &mut reading);
    let (Some(source), Some(target)) = (source, target) else {
        return Err([reading.faults, source_report.faults, target_report.faults].concat());
    };
    let source = source.looking_into(collections.clone());
    check_source(&source, &settings, &mut source_report);
    check_target(&target, &source, &collections, &settings, &mut target_report);
    check_key(&target, &mut reading);
    if target_report.faults.is_empty() {
        delivery::check(&target, &mut reading);
    }
    check_schemes(source.schemes(), &collections, &mut source_report);
    check_schemes(target.schemes(), &collections, &mut target_report);
    warn_undeclared(&source, &target, &mut target_report);
    let faults = [reading.faults, source_report.faults, target_report.faults].concat();
    if !faults.is_empty() {
        return Err(faults);
    }
    let notes = notes(&source, &target, &settings);
    let per_call = settings.batch.documents.map(u64::from).or(target.rows()).unwrap_or(1);
    let documents_per_call = usize::try_from(per_call.min(u64::from(MAX_DOCUMENTS))).expect("500 fits");
    let zone = settings.schedule.zone.unwrap_or(settings.zone);
    let plan = |cron: &str| Plan::new(cron, zone).expect("every cron was checked while it was read");
    let lookback = match (&settings.source.lookback, source.remedy_cron()) {
        (Some(lookback), _) => Some(LookbackPlan { plan: plan(&lookback.cron), days: lookback.days }),
        (None, Some(cron)) => Some(LookbackPlan { plan: plan(cron), days: source.remedy_days() }),
        (None, None) => None,
    };
    let flow = Flow {
        tenant: Tenant::new(settings.tenant.clone()).expect("the tenant was checked while it was read"),
        name: FlowName::new(settings.flow.clone()).expect("the name was checked while it was read"),
        version: bundle.version(),
        start_from: settings.start_from.expect("start_from was checked while it was read"),
        source,
        target,
        collections,
        documents_per_call,
        plan: plan(&settings.schedule.cron),
        lookback,
        reconcile: settings.reconcile.as_ref().map(|reconcile| plan(&reconcile.cron)),
        settings,
    };
    let warnings = [source_report.warnings, target_report.warnings].concat();
    Ok(Compiled { flow, warnings, notes })
}

/// Variables of a run that only serves to try values at load.
fn trial(settings: &FlowFile) -> Run {
    let start = settings.start_from.map_or(0, |start| start.timestamp());
    Run { now: start, last_sync_time: start, zone: settings.zone, page: None }
}

/// What the query can be made of must be there and typed before the first run.
fn check_source(source: &SourceDocument, settings: &FlowFile, report: &mut Report) {
    if !report.faults.is_empty() {
        return;
    }
    let run = trial(settings);
    for query in [source.parameters(&run), source.remedy_parameters(&run)] {
        let Err(fault) = query else { continue };
        // Both queries mostly share their faults.
        if report.faults.iter().all(|known| (known.code, &known.place) != (fault.code, &fault.place)) {
            report.faults.push(with_form_hint(fault, "source"));
        }
    }
}

fn check_target(
    target: &TargetDocument,
    source: &SourceDocument,
    collections: &Shelf,
    settings: &FlowFile,
    report: &mut Report,
) {
    if report.faults.is_empty()
        && target.is_save()
        && let Err(fault) = target.call(&trial(settings), collections)
    {
        report.faults.push(with_form_hint(fault, "target"));
    }
    if target.api().eq_ignore_ascii_case("draft") {
        // It would be saved whole: no status of the target is a draft's, and a save that was lost could not be told from it.
        let fault = report.fault(Code::Api, "$.api", "drafts are not carried");
        fault.hint = Some("name save or batchSave; documents are saved whole".to_owned());
    }
    let own = [source.id_field(), source.number_field(), settings.source.key.as_str()];
    if let Some(fields) = target.group_fields()
        && !fields.iter().any(|field| own.contains(field))
    {
        let path = if target.is_merge() { "$.operation.field" } else { "$.groupCalculate.headerGroup" };
        let detail = format!("bills are gathered by {}, which rows of several documents may share", fields.join(", "));
        let fault = report.fault(Code::GroupSpans, path, detail);
        fault.hint = Some(format!("add {} to the fields", source.number_field()));
    }
}

fn with_form_hint(fault: Fault, side: &str) -> Fault {
    match fault.code {
        Code::FormMissing => fault.hint(format!("add FormId to otherRequest, or form to [{side}] of {FLOW_FILE}")),
        _ => fault,
    }
}

fn check_key(target: &TargetDocument, reading: &mut Reading) {
    let key = reading.file.target.key.clone();
    let fields = target.fields();
    if let Some(marker) = reading.file.target.marker.clone() {
        if fields.contains(&marker.as_str()) {
            let detail = format!("the target document fills {marker} itself, so it cannot tell one bill from another");
            let fault = reading.fault(Code::TargetField, "$.target.marker", detail);
            reading.faults.push(fault.hint("name a text field that the document leaves empty"));
        }
        return;
    }
    if key.is_empty() || fields.contains(&key.as_str()) {
        return;
    }
    let fault = reading.fault(Code::TargetField, "$.target.key", format!("the target document has no field {key}"));
    reading.faults.push(fault.hint(suggest::hint(&key, fields)));
}

/// The collection files, read.
fn collections(bundle: &FlowBundle, reading: &mut Reading) -> Shelf {
    let mut shelf = Shelf::default();
    for (scheme, name) in reading.file.collections.clone() {
        let path = format!("$.collections.{scheme}");
        match bundle.collections.get(&scheme) {
            Some(text) => reading.faults.extend(shelf.put_file(scheme, &name, text).err()),
            None => {
                let fault = reading.fault(Code::NoSuchFile, &path, format!("{name} was not published with the flow"));
                reading.faults.push(fault);
            }
        }
    }
    reading.faults.extend(bundle.check_size().err());
    shelf
}

/// A lookup into records that nobody gives would find nothing, for ever and in silence.
fn check_schemes(schemes: Vec<Sought>, collections: &Shelf, report: &mut Report) {
    for Sought { scheme, place, column } in schemes {
        // What takes over for missed documents mostly repeats the entries it takes over from.
        let told = |known: &Fault| known.code == Code::UnknownScheme && known.place.path.as_ref() == Some(&place);
        if collections.knows(&scheme) || report.faults.iter().any(told) {
            continue;
        }
        let fault = report.fault(Code::UnknownScheme, &place, format!("the flow gives no records of scheme {scheme}"));
        fault.place.column = column.map(|column| column.to_string());
        let near = suggest::nearest(&scheme, &collections.schemes()).map(|near| format!("did you mean {near}?"));
        let add = || format!("add {scheme} = \"FILE.json\" to [collections] of {FLOW_FILE}");
        fault.hint = Some(near.unwrap_or_else(add));
    }
}

/// Names of the record that the source neither asks for nor declares.
fn warn_undeclared(source: &SourceDocument, target: &TargetDocument, report: &mut Report) {
    let known = source.known_fields();
    if known.is_empty() {
        return;
    }
    let grouped = target.group_fields().unwrap_or_default();
    let arrays = source.flattened();
    for (name, place) in target.record_names() {
        let is_known = known.contains(&name.as_str())
            || Variable::of(&Path::lenient(&name)).is_some()
            || target.body_name() == Some(name.as_str())
            || target.rows_key() == Some(name.as_str())
            || grouped.contains(&name.as_str())
            || name == "primaryWriteback"
            || arrays.iter().any(|array| name.starts_with(array));
        if !is_known {
            let fault = report.warn(Code::Undeclared, &place, format!("the source document lists no field {name}"));
            fault.hint = suggest::nearest(&name, &known).map(|near| format!("did you mean {near}?"));
        }
    }
}

/// What overrides what, in sentences for people.
fn notes(source: &SourceDocument, target: &TargetDocument, settings: &FlowFile) -> Vec<String> {
    let mut notes = Vec::new();
    match (settings.batch.documents, target.rows()) {
        (Some(own), Some(rows)) if u64::from(own) != rows => notes.push(format!(
            "batch.documents = {own} of {FLOW_FILE} overrides operation.rows = {rows} of {}: {own} documents per call",
            settings.target.document
        )),
        (Some(own), _) => notes.push(format!("batch.documents = {own} of {FLOW_FILE}: {own} documents per call")),
        (None, Some(rows)) if rows > u64::from(MAX_DOCUMENTS) => notes.push(format!(
            "operation.rows = {rows} of {} is cut to {MAX_DOCUMENTS} documents per call",
            settings.target.document
        )),
        (None, Some(rows)) => {
            notes.push(format!("operation.rows = {rows} of {}: {rows} documents per call", settings.target.document))
        }
        (None, None) => notes.push("neither batch.documents nor operation.rows: 1 document per call".to_owned()),
    }
    for (side, form, own, file) in [
        ("source", &settings.source.form, source.own_form(), &settings.source.document),
        ("target", &settings.target.form, target.own_form(), &settings.target.document),
    ] {
        match (form, own) {
            (Some(form), Some(own)) if form != own => {
                notes.push(format!("{side}.form = {form} of {FLOW_FILE} overrides FormId = {own} of {file}"));
            }
            (Some(form), None) => {
                notes.push(format!("{side}.form = {form} of {FLOW_FILE}: {file} names no FormId"));
            }
            _ => {}
        }
    }
    if let (Some(lookback), Some(cron)) = (&settings.source.lookback, source.remedy_cron()) {
        notes.push(format!(
            "source.lookback ({}, {} days) of {FLOW_FILE} overrides omissionRemedy ({cron}) of {}",
            lookback.cron, lookback.days, settings.source.document
        ));
    }
    if let Some(marker) = &settings.target.marker {
        notes.push(format!(
            "target.marker = {marker} of {FLOW_FILE}: filled with flow and document key, by which a bill is found"
        ));
    }
    if settings.function_error.is_some() {
        notes.push(format!("function_error of {FLOW_FILE} holds for both documents"));
    }
    if source.is_bill_query() && settings.source.watermark.is_none() {
        notes.push("source.watermark is not set: each scan is bounded by the document's own filter alone".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests;
