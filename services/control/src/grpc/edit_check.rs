//! An edited payload is checked before it is accepted: by mapping it, or against what the target's form says.

use std::time::Duration;

use document::{Code, Extracted, Fault, Record, Stage, TargetKey};
use flow::{Flow, Run};
use serde_json::{Map, Value};

use super::Shared;
use crate::index::Letter;
use crate::systems::judge::{Complaint, judge};
use crate::systems::look::Calls;

/// The calls that the checks of a request take: one to each form, which is then known; and how long they may take.
pub(super) fn calls(forms: usize) -> Calls {
    Calls::at_most(forms, Duration::from_secs(20))
}

/// Checks the payload `after` an edit, `before` being what a replay would have published. Answers what it was checked
/// against, in words.
///
/// # Errors
/// What is wrong with the payload, at its JSON path; the fault of a system that did not answer.
pub(super) async fn check(
    shared: &Shared,
    letter: &Letter,
    before: &[u8],
    after: &[u8],
    calls: &mut Calls,
) -> Result<Vec<String>, Fault> {
    let of_letter = |fault: Fault| match fault.place.record {
        Some(_) => fault,
        None => fault.of_record(letter.row.id.0.clone()),
    };
    match letter.row.stage {
        Stage::Transform => {
            let flow = shared.mapping_of(letter)?;
            let bills = rendered(&flow, letter.letter.original(), after).map_err(of_letter)?;
            Ok(vec![format!("mapped by version {} of {} into {bills} bills", flow.version, flow.name)])
        }
        Stage::Load | Stage::Submit | Stage::Audit => {
            let flow = shared.flow_of(letter)?;
            let (before, after) = (json(before)?, json(after)?);
            key_stays(&flow, letter.row.target_key.as_ref(), &after).map_err(of_letter)?;
            let place = match shared.place_of(&flow) {
                Ok(place) => place,
                Err(fault) if fault.code == Code::ConnectionUnknown => {
                    let connection = &flow.settings.target.connection;
                    return Ok(vec![format!("not checked against its form: the control plane has no {connection}")]);
                }
                Err(fault) => return Err(fault),
            };
            let form = place.system.form(&place.form, calls, shared.clock.millis()).await?;
            let complaint = Complaint {
                code: letter.row.code,
                field: letter.row.field.as_deref(),
                message: &letter.letter.message,
            };
            judge(&before, &after, &form, &complaint).map_err(of_letter)?;
            Ok(vec![format!("fields of {} in {}, as the system describes them", form.id, place.connection)])
        }
        Stage::Extract => Ok(Vec::new()),
    }
}

fn json(bytes: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|error| Fault::new(Code::EditPatch, format!("the payload is no JSON: {error}")))
}

/// Maps rows as the transformer would; gives how many bills they make.
fn rendered(flow: &Flow, original: Option<Record>, rows: &[u8]) -> Result<usize, Fault> {
    let unreadable = |detail: String| Fault::new(Code::EditPatch, detail);
    let mut record =
        original.ok_or_else(|| unreadable("the letter holds no record that could be mapped".to_owned()))?;
    record.value = Some(rows.to_vec());
    let extracted = Extracted::from_record(&record).map_err(|error| unreadable(error.to_string()))?;
    let rows = extracted.rows().map_err(|error| unreadable(error.to_string()))?;
    let run =
        Run { now: extracted.run_time, last_sync_time: extracted.run_since, zone: flow.settings.zone, page: None };
    let mut bills = 0;
    for bill in flow.target.render(&rows, &run, &flow.collections) {
        let mut bill = bill?;
        flow.mark(&mut bill, &extracted.document_key);
        if key_of(&bill, flow.key_field()).is_none() {
            let detail = format!("the bill's {} has no value", flow.key_field());
            return Err(Fault::new(Code::TargetKeyMissing, detail).at_path(format!("$.{}", flow.key_field())));
        }
        bills += 1;
    }
    Ok(bills)
}

/// A mapped document keeps the key that it travels under.
fn key_stays(flow: &Flow, known: Option<&TargetKey>, document: &Value) -> Result<(), Fault> {
    let (Some(known), Some(bill)) = (known, document.as_object()) else { return Ok(()) };
    if key_of(bill, flow.key_field()).as_deref() != Some(known.as_str()) {
        let detail = format!("the document travels under the key {known}; another one is another document");
        return Err(Fault::new(Code::EditPatch, detail).at_path(format!("$.{}", flow.key_field())));
    }
    Ok(())
}

/// The key in a bill's field, which may lie in an object (`A.B`).
pub(crate) fn key_of(bill: &Map<String, Value>, field: &str) -> Option<String> {
    let mut parts = field.split('.');
    let first = bill.get(parts.next()?)?;
    match parts.try_fold(first, |value, part| value.get(part))? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.trim().is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
