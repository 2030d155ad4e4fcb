//! An in-memory log with transactions and a fence.

use std::collections::BTreeMap;

use document::{DeadLetter, Extracted, Fault, FlowName};

use crate::core::checkpoint::Checkpoint;
use crate::core::key::Key;
use crate::core::run::Batch;
use crate::core::seen::{Seen, seen_key};

/// What is readable, read committed.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub data: Vec<Extracted>,
    pub letters: Vec<DeadLetter>,
    pub seen: BTreeMap<String, Vec<u8>>,
    pub checkpoint: Option<Vec<u8>>,
    /// The owner whose commits are taken.
    pub owner: u64,
}

/// How a commit goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is applied, and the owner hears of it.
    Applied,
    /// It is applied, and the owner dies before it hears of it.
    AppliedUnheard,
    /// The owner dies before anything is readable.
    Lost,
    /// A stale commit makes the data readable and nothing of what follows it.
    DataOnly,
}

impl Log {
    pub(crate) fn flow() -> FlowName {
        FlowName::new("misc-inbound").expect("valid")
    }

    /// Whether the committing owner lives on.
    pub(crate) fn commit(&mut self, owner: u64, batch: &Batch, fate: Fate) -> bool {
        if owner != self.owner || fate == Fate::Lost {
            return false;
        }
        self.data.extend(batch.data.iter().cloned());
        self.letters.extend(batch.letters.iter().cloned());
        if fate == Fate::DataOnly {
            return false;
        }
        for seen in &batch.seen {
            self.seen.insert(seen_key(&Self::flow(), &seen.id), seen.to_bytes());
        }
        self.checkpoint = Some(batch.checkpoint.to_bytes());
        fate == Fate::Applied
    }

    pub(crate) fn lookup(&self, id: &Key) -> Result<Option<Seen>, Fault> {
        let key = seen_key(&Self::flow(), id);
        self.seen.get(&key).map(|bytes| Seen::from_bytes(&key, bytes)).transpose()
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Result<Seen, Fault>> + '_ {
        self.seen.iter().map(|(key, bytes)| Seen::from_bytes(key, bytes))
    }

    pub(crate) fn checkpoint(&self, start: i64) -> Checkpoint {
        match &self.checkpoint {
            Some(bytes) => Checkpoint::from_bytes(&Self::flow(), bytes).expect("our own checkpoint reads"),
            None => Checkpoint::new(start, "c1"),
        }
    }
}
