//! The thinking of the control plane: requests and observations in, effects out. No I/O, no clock, no randomness.
//!
//! Everything that changes anything is a decision of the one writer. [`letters`] moves single letters between their
//! states, [`job`] drives a replay from its plan to its last outcome, [`observe`] concludes from ledger and letters what
//! became of a published letter. What a decision wants written is an [`Effects`]: all of it becomes readable in one
//! transaction, or nothing does.

pub mod approval;
pub mod job;
pub mod letters;
pub mod observe;
pub mod replay;
#[cfg(test)]
mod tests;

use document::{Category, Code, DeadLetterId, DocumentKey, FlowName, Record, Stage, TargetKey, Version};

use crate::audit::Deed;
use crate::letter::{LetterEvent, State};

/// What the writer knows of a letter, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its id.
    pub id: DeadLetterId,
    /// The flow it belongs to.
    pub flow: FlowName,
    /// The document.
    pub document: DocumentKey,
    /// The document's key in the target, where it had one.
    pub target: Option<TargetKey>,
    /// Which observation of the document.
    pub version: Version,
    /// The step it failed in.
    pub stage: Stage,
    /// What kind of failure.
    pub category: Category,
    /// Which failure.
    pub code: Code,
    /// Attempts of the step, counted from 1.
    pub attempts: u32,
    /// When it failed last, unix milliseconds.
    pub last_failed_at: i64,
    /// When a timed fault is due again, unix milliseconds.
    pub retry_at: Option<i64>,
    /// The job in which it failed last.
    pub failed_in: Option<String>,
    /// Whether the record that failed is there to be published again.
    pub has_original: bool,
    /// What was decided about it last; a letter nobody touched is open.
    pub event: Option<LetterEvent>,
}

impl Letter {
    /// Where it stands.
    pub fn state(&self) -> State {
        self.event.as_ref().map_or(State::Open, |event| event.state)
    }

    /// The revision of its payload: the number of its last edit, 0 where there was none.
    pub fn edit(&self) -> u32 {
        self.event.as_ref().and_then(|event| event.edit.as_ref()).map_or(0, |edit| edit.rev)
    }

    /// Failures of its step so far, those included that the step itself forgot.
    pub fn failures(&self) -> u32 {
        self.attempts.max(self.event.as_ref().map_or(0, |event| event.attempts))
    }
}

/// What the ledger says of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The version handled last.
    pub version: Version,
    /// Whether that version is in the target as far as the flow wants it.
    pub applied: bool,
    /// The letter that version ended in.
    pub letter: Option<DeadLetterId>,
    /// The replays of that version that ended.
    pub replays: Vec<String>,
    /// The replay that was dropped last, and the version it carried.
    pub dropped: Option<(Version, String)>,
    /// The version that is in the target by our doing.
    pub in_target: Option<Version>,
}

/// A key of the control plane's memory with its new value; `None` forgets it.
pub type Memory = (String, Option<Vec<u8>>);

/// What is to become readable together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// Records for the stages: topic and record.
    pub records: Vec<(String, Record)>,
    /// New events of letters.
    pub events: Vec<(DeadLetterId, LetterEvent)>,
    /// New values of the control plane's memory.
    pub memory: Vec<Memory>,
    /// What the control plane does of its own accord, for the audit topic.
    pub deeds: Vec<Deed>,
}

impl Effects {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.events.is_empty() && self.memory.is_empty() && self.deeds.is_empty()
    }

    /// Adds what `other` wants written.
    pub fn add(&mut self, other: Effects) {
        self.records.extend(other.records);
        self.events.extend(other.events);
        self.memory.extend(other.memory);
        self.deeds.extend(other.deeds);
    }
}
