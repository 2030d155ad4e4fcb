//! One record: rows in, bills out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use document::{Code, DocumentKey, Extracted, ExtractedAt, Fault, Mapped, TargetKey, TraceParent, topic};
use queue::Outgoing;
use serde_json::{Map, Value};

/// What a flow version says of mapping. The real one is [`flow::Flow`].
pub trait Definition: Send + Sync {
    /// The field of a bill that names it in the target.
    fn key_field(&self) -> &str;

    /// Fills in what a bill is found by in the target, where the target numbers it.
    fn mark(&self, bill: &mut Map<String, Value>, document: &DocumentKey);

    /// The bills that the rows of one document form, in order. `now` and `since` are the times of the run that read
    /// the rows, unix seconds.
    fn render(&self, rows: &[Value], now: i64, since: i64) -> Vec<Result<Map<String, Value>, Fault>>;
}

/// Maps the rows of a record into what is to be written; none where the flow makes no bill of them. `at` is where the
/// record was read.
///
/// # Errors
/// The fault of the first bill that failed; then none of the record's bills may go out. A panic of the mapping is a
/// fault of the record ([`Code::MappingPanic`]).
pub fn map(
    extracted: &Extracted,
    at: ExtractedAt,
    definition: &dyn Definition,
    trace: TraceParent,
) -> Result<Vec<Outgoing>, Fault> {
    let work = || bills(extracted, at, definition, trace);
    // What a panic says may hold values of the record; its place in the code is in the log.
    let broken = || Err(Fault::new(Code::MappingPanic, "the mapping of this record broke down"));
    let bills = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| broken());
    let written = bills.and_then(|bills| bills.into_iter().map(outgoing).collect());
    written.map_err(|fault| of(extracted, fault))
}

fn outgoing(bill: Mapped) -> Result<Outgoing, Fault> {
    let outgoing = Outgoing::to(topic::mapped(&bill.flow), bill.into_record());
    match outgoing.check_size() {
        Ok(()) => Ok(outgoing),
        Err(error) => Err(Fault::new(Code::MappedTooLarge, error.to_string())),
    }
}

/// Names the document unless the fault knows better.
fn of(extracted: &Extracted, fault: Fault) -> Fault {
    if fault.place.record.is_some() { fault } else { fault.of_record(extracted.document_key.as_str()) }
}

fn bills(
    extracted: &Extracted,
    at: ExtractedAt,
    definition: &dyn Definition,
    trace: TraceParent,
) -> Result<Vec<Mapped>, Fault> {
    let rows = extracted.rows().map_err(|error| Fault::new(Code::RecordUnreadable, error.to_string()))?;
    let rendered = definition.render(&rows, extracted.run_time, extracted.run_since);
    let failures = rendered.iter().filter(|bill| bill.is_err()).count();
    let mut bills: Vec<Mapped> = Vec::with_capacity(rendered.len());
    for bill in rendered {
        let mut bill = bill.map_err(|mut fault| {
            if failures > 1 {
                fault.detail.push_str(&format!("; and {} more of the record's bills", failures - 1));
            }
            fault
        })?;
        definition.mark(&mut bill, &extracted.document_key);
        let target_key = target_key(&bill, definition.key_field())?;
        if bills.iter().any(|other| other.target_key == target_key) {
            let detail = format!("two bills of the record are called {target_key}");
            return Err(Fault::new(Code::TargetKeyRepeated, detail).at_path(format!("$.{}", definition.key_field())));
        }
        let value = serde_json::to_vec(&bill)
            .map_err(|error| Fault::new(Code::Type, format!("the bill cannot be written as JSON: {error}")))?;
        bills.push(Mapped {
            tenant: extracted.tenant.clone(),
            flow: extracted.flow.clone(),
            flow_version: extracted.flow_version.clone(),
            document_key: extracted.document_key.clone(),
            target_key,
            version: extracted.version,
            digest: extracted.digest,
            created: extracted.created,
            source: Some(at),
            trace,
            replay: extracted.replay.clone(),
            value,
        });
    }
    Ok(bills)
}

/// What the bill is called in the target: the text or number in its key field, which may lie in an object (`A.B`).
fn target_key(bill: &Map<String, Value>, field: &str) -> Result<TargetKey, Fault> {
    let missing = |what: &str| {
        Fault::new(Code::TargetKeyMissing, format!("the bill's {field} {what}")).at_path(format!("$.{field}"))
    };
    let mut parts = field.split('.');
    let first = parts.next().and_then(|part| bill.get(part));
    let value = parts.fold(first, |value, part| value?.get(part));
    match value {
        None | Some(Value::Null) => Err(missing("is not there")),
        Some(Value::String(text)) if text.trim().is_empty() => Err(missing("is empty")),
        Some(Value::String(text)) => Ok(TargetKey(text.clone())),
        Some(Value::Number(number)) => Ok(TargetKey(number.to_string())),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(missing("is neither text nor number")),
    }
}

impl Definition for flow::Flow {
    fn key_field(&self) -> &str {
        flow::Flow::key_field(self)
    }

    fn mark(&self, bill: &mut Map<String, Value>, document: &DocumentKey) {
        flow::Flow::mark(self, bill, document);
    }

    fn render(&self, rows: &[Value], now: i64, since: i64) -> Vec<Result<Map<String, Value>, Fault>> {
        let run = flow::Run { now, last_sync_time: since, zone: self.settings.zone, page: None };
        self.target.render(rows, &run, &self.collections)
    }
}
