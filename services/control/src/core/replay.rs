//! The record that a replay publishes.

use document::{Code, Fault, FlowVersion, Record, Stage, TraceParent, topic};

use super::Letter;
use super::job::Begin;
use crate::letter::Edit;

/// Header of a replayed record: the trace that the failure belonged to. The replay has one of its own.
pub const EARLIER_TRACE: &str = "sb-replayed-trace";
/// Header of a replayed record whose payload a person changed: the number of the edit.
pub const EDIT_HEADER: &str = "sb-edit";

/// How one letter is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manner<'a> {
    /// The job: the replay's id.
    pub job: &'a str,
    /// The flow version to handle it by, where that is to change.
    pub flow_version: Option<FlowVersion>,
    /// What was put in the place of the payload.
    pub edit: Option<&'a Edit>,
    /// A person's word on a document in doubt: `absent` or `applied as ID`.
    pub verdict: Option<&'a str>,
    /// The replay's own trace.
    pub trace: TraceParent,
}

/// The topic and the record that give the failed step its record again. `original` is the record as it failed.
///
/// # Errors
/// [`Code::ReplayImpossible`] for a letter of the source, which has no record to publish.
pub fn record(letter: &Letter, original: Record, manner: &Manner<'_>) -> Result<(String, Record), Fault> {
    let topic = match letter.stage {
        Stage::Transform => topic::extracted(&letter.flow),
        Stage::Load | Stage::Submit | Stage::Audit => topic::mapped(&letter.flow),
        Stage::Extract => {
            let detail = "the letter tells of the source and holds no record that a stage could take";
            return Err(Fault::new(Code::ReplayImpossible, detail).of_record(letter.id.0.clone()));
        }
    };
    let mut record = original;
    if let Some(earlier) = record.headers.get("traceparent").map(str::to_owned) {
        record.headers.set(EARLIER_TRACE, earlier);
    }
    record.headers.set("traceparent", manner.trace).set("sb-replay", manner.job);
    if let Some(version) = &manner.flow_version {
        record.headers.set("sb-flow-version", version);
    }
    if let Some(edit) = manner.edit {
        record.headers.set(EDIT_HEADER, edit.rev);
        record.value = Some(edit.body.clone());
    }
    if let Some(verdict) = manner.verdict {
        record.headers.set("sb-verdict", verdict);
    }
    Ok((topic, record))
}

/// Refuses a road on which the edit of a letter would be lost: what was edited is what the target gets, and mapping makes
/// that anew.
///
/// # Errors
/// `E_REPLAY_IMPOSSIBLE`.
pub fn keeps_edit(letter: &Letter, from: Begin) -> Result<(), Fault> {
    let edited = letter.event.as_ref().is_some_and(|event| event.edit.is_some());
    if from == Begin::Failed || letter.stage == Stage::Transform || !edited {
        return Ok(());
    }
    let fault =
        Fault::new(Code::ReplayImpossible, "the letter was edited, and mapping its bill anew would lose the edit");
    Err(fault.of_record(letter.id.0.clone()).hint("replay it from the stage that failed, or fetch its document anew"))
}
