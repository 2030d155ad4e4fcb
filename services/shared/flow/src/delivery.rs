//! The level of delivery that a flow declares, and whether it can hold it.

use document::Code;

use crate::file::{Delivery, Reading};
use crate::target::TargetDocument;

/// Refuses a flow that cannot hold the level it declares.
///
/// A document can be proven to be in the target once where the target can be asked for it: by a key that belongs to this
/// document alone and is the same whenever the document is read, or by a marker.
pub(crate) fn check(target: &TargetDocument, reading: &mut Reading) {
    let settings = &reading.file.target;
    if settings.marker.is_some() {
        return;
    }
    let Some(form) = target.form_of(&settings.key) else { return };
    let (key, declared) = (&settings.key, reading.file.delivery);
    let (why, hint) = if form.is_the_same_for_all() {
        ("is the same in every document, so that none can be found by it", "name another key, or a marker")
    } else if declared == Delivery::ProvenOnce && form.varies_with_the_run() {
        (
            "is made of the time of the run, so that a document that is read again has another one",
            "name a key that is made of the document alone, or a marker, or declare delivery = \"at_least_once\"",
        )
    } else {
        return;
    };
    let path = if reading.has("$.target.key") { "$.target.key" } else { "$.delivery" };
    let fault = reading.fault(Code::Delivery, path, format!("{declared} cannot be held: {key} {why}"));
    reading.faults.push(fault.hint(hint));
}
