//! What is in hand of one partition: records that have not ended, and the keys they hold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use document::{DocumentKey, Headers, Mapped, TargetKey, Version};

use super::event::{Lane, PartitionId, Refusal};
use super::ledger::{Entry, Intent, Reached};
use super::rules::Rules;

/// Why a document is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It may be there although the ledger does not know it.
    LookUp,
    /// A save of it has an unknown outcome.
    Resolve,
    /// A save of it was refused, which need not mean that nothing was saved.
    Refused(Vec<Refusal>),
    /// A submit or audit of it was refused or has an unknown outcome.
    Status(Vec<Refusal>),
    /// It is to be updated, which needs its status.
    BeforeUpdate,
    /// It was saved, and it is not known yet whether the target keeps keys.
    Kept,
}

/// What a record in hand waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// An earlier record of its key.
    Queued,
    /// The definition of its flow version.
    NoRules,
    /// A place in a save.
    Ready,
    /// Its turn in the search for a culprit.
    Grouped,
    /// A probe, not before `due`; an absent document stays absent only after `settle`.
    Probe { purpose: Purpose, due: Duration, settle: Duration },
    /// A submit or audit, not before `due`.
    Advance { due: Duration },
    /// The commit of its intent.
    Intending,
    /// The reply to a call that found it in the state kept here.
    Calling(Box<State>),
    /// The commit of its end.
    Ending,
    /// The flow's breaker.
    Withheld,
}

/// Names a record in hand. The order of arrival makes it unique even where a partition leaves and comes back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ItemRef {
    pub(super) arrival: u64,
    pub(super) partition: PartitionId,
    pub(super) offset: i64,
}

/// A record in hand.
#[derive(Debug, Clone)]
pub(super) struct Item {
    /// Order of arrival over all partitions.
    pub(super) arrival: u64,
    pub(super) offset: i64,
    pub(super) timestamp: Option<i64>,
    pub(super) mapped: Mapped,
    pub(super) value: Arc<[u8]>,
    /// The record's headers as a letter keeps them.
    pub(super) headers: Headers,
    pub(super) verdict: Option<String>,
    pub(super) rules: Option<Arc<Rules>>,
    /// Whether its flow went by its version when its rules were looked up.
    pub(super) current: bool,
    pub(super) state: State,
    /// The entry of its key as the ledger has it, and as it will be written.
    pub(super) entry: Option<Entry>,
    /// The open intent that carries it.
    pub(super) intent: Option<String>,
    /// When its first save was intended, unix milliseconds.
    pub(super) first_intent: Option<i64>,
    /// Saves of it whose outcome was once unknown.
    pub(super) unknowns: u32,
    /// Probes since the last save.
    pub(super) probes: u32,
    /// Tries of the present step after saving.
    pub(super) advances: u32,
    pub(super) group: Option<u64>,
    /// The document of the target to be updated.
    pub(super) update: Option<String>,
}

impl Item {
    pub(super) fn key(&self) -> &TargetKey {
        &self.mapped.target_key
    }

    pub(super) fn document(&self) -> &DocumentKey {
        &self.mapped.document_key
    }

    pub(super) fn version(&self) -> Version {
        self.mapped.version
    }

    pub(super) fn lane(&self) -> Lane {
        if self.mapped.replay.is_some() { Lane::Replay } else { Lane::Fresh }
    }

    /// How far it is in the target, by our own doing.
    pub(super) fn reached(&self) -> Option<Reached> {
        self.entry.as_ref().and_then(|entry| entry.target.as_ref()).map(|target| target.reached)
    }

    /// Whether the target holds this very content by our own doing.
    pub(super) fn is_in_target(&self) -> bool {
        let target = self.entry.as_ref().and_then(|entry| entry.target.as_ref());
        target.is_some_and(|target| target.digest == self.mapped.digest)
    }

    /// Whether a call or a commit is on its way for it.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self.state, State::Intending | State::Calling(_) | State::Ending)
    }
}

/// An intent that an earlier owner left open, for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LeftOpen {
    pub(super) batch: String,
    pub(super) version: Version,
    pub(super) offset: i64,
    pub(super) first: i64,
    /// An absent document stays absent only after this.
    pub(super) settle: Duration,
}

/// One owned partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    /// Records that have not ended, by offset.
    pub(super) items: BTreeMap<i64, Item>,
    /// Offsets of the records of each key, in order; the first one holds the key.
    pub(super) keys: BTreeMap<TargetKey, VecDeque<i64>>,
    /// Open intents, with the documents in them that have no end yet.
    pub(super) intents: BTreeMap<String, Intent>,
    /// What an earlier owner left open, by key.
    pub(super) left_open: BTreeMap<TargetKey, LeftOpen>,
    /// One more than the highest offset read.
    pub(super) read_to: Option<i64>,
    /// The next offset to read, as it was committed last.
    pub(super) committed: Option<i64>,
    /// Documents created before this (unix milliseconds) may have been loaded without the ledger knowing.
    pub(super) trusted_from: Option<i64>,
    /// Until then (monotonic), an absent document may still appear by the doing of an earlier owner.
    pub(super) distrust_until: Option<Duration>,
    pub(super) revoking: bool,
    pub(super) paused: bool,
    pub(super) bytes: usize,
}

impl Partition {
    /// The next offset to read once everything in `ending` has ended.
    pub(super) fn position(&self) -> Option<i64> {
        self.items.iter().find(|(_, item)| item.state != State::Ending).map(|(offset, _)| *offset).or(self.read_to)
    }

    /// Takes `key` out of intent `batch`. Whether the intent changed by that.
    pub(super) fn leave_intent(&mut self, batch: &str, key: &TargetKey) -> bool {
        let Some(intent) = self.intents.get_mut(batch) else { return false };
        intent.documents.retain(|document| document.key != *key);
        if intent.documents.is_empty() {
            self.intents.remove(batch);
        }
        true
    }
}
