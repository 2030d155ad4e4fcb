//! What decisions are made from: what the topics tell, and what the writer itself has committed.

use std::sync::Arc;

use document::{Code, DeadLetterId, Fault, FlowName, FlowVersion, Record};
use flow::Flow;
use queue::{FlowRegistry, Next, Peek, Table};

use crate::core::Letter;
use crate::index::{self, Index};

/// What the topics tell: letters, what became of documents, flows, single records. May lag behind the topics.
pub trait Library: std::fmt::Debug {
    /// The letter of an id, with its record.
    ///
    /// # Errors
    /// The index cannot be read.
    fn letter(&self, id: &DeadLetterId) -> Result<Option<index::Letter>, Fault>;

    /// What the loader noted of a letter's document; several entries where its key was changed.
    ///
    /// # Errors
    /// The index cannot be read.
    fn ends(&self, letter: &Letter) -> Result<Vec<index::Entry>, Fault>;

    /// Open letters of a flow whose timed fault is due again, those left out that are in a person's hands.
    ///
    /// # Errors
    /// The index cannot be read.
    fn due(&self, flow: &FlowName, now: i64, limit: usize) -> Result<Vec<DeadLetterId>, Fault>;

    /// The record that lies there; `None` when it has expired.
    ///
    /// # Errors
    /// The brokers do not answer.
    fn record(&self, at: Next) -> Result<Option<Record>, Fault>;

    /// The current version of every flow that can be used.
    fn flows(&self) -> Vec<Arc<Flow>>;

    /// A version of a flow; `None` when it is not published, or cannot be used.
    fn flow(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Flow>>;

    /// Whether a person lets the flow rest.
    fn is_paused(&self, flow: &FlowName) -> bool;

    /// Random bytes, for names that nobody else gives.
    fn chance(&self) -> [u8; 24];
}

/// What the writer has committed: last events of letters, and its memory. Never lags.
pub trait Kept {
    /// The last event of a letter, as it was written.
    ///
    /// # Errors
    /// The store cannot be read.
    fn event(&self, id: &DeadLetterId) -> Result<Option<Vec<u8>>, Fault>;

    /// A value of the memory.
    ///
    /// # Errors
    /// The store cannot be read.
    fn memory(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;

    /// Every value whose key begins so, in the order of keys.
    ///
    /// # Errors
    /// The store cannot be read.
    fn memories(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Fault>;
}

/// What does not change while a replica writes.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What can be asked of letters.
    pub index: Arc<Index>,
    /// The published flows.
    pub flows: FlowRegistry,
    /// Looks at single records of the topics.
    pub peek: Peek,
}

impl Library for Sources {
    fn letter(&self, id: &DeadLetterId) -> Result<Option<index::Letter>, Fault> {
        self.index.get(id)
    }

    fn ends(&self, letter: &Letter) -> Result<Vec<index::Entry>, Fault> {
        let found = match &letter.target {
            Some(target) => self.index.ends_of_target(target, Some(&letter.flow))?,
            None => self.index.ends_of_document(&letter.document, Some(&letter.flow))?,
        };
        Ok(found.into_iter().map(|end| end.entry).collect())
    }

    fn due(&self, flow: &FlowName, now: i64, limit: usize) -> Result<Vec<DeadLetterId>, Fault> {
        self.index.due(flow, now, limit)
    }

    fn record(&self, at: Next) -> Result<Option<Record>, Fault> {
        let looked = tokio::runtime::Handle::current().block_on(self.peek.record(at));
        Ok(looked.map_err(|error| error.fault())?.map(|found| found.record))
    }

    fn flows(&self) -> Vec<Arc<Flow>> {
        self.flows.current()
    }

    fn flow(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Flow>> {
        self.flows.get(flow, version)
    }

    fn is_paused(&self, flow: &FlowName) -> bool {
        self.flows.paused(flow).is_some()
    }

    fn chance(&self) -> [u8; 24] {
        rand::random()
    }
}

/// The tables of the session.
#[derive(Debug)]
pub struct Tables {
    /// Last events of letters.
    pub events: Table,
    /// The memory.
    pub memory: Table,
}

impl Kept for Tables {
    fn event(&self, id: &DeadLetterId) -> Result<Option<Vec<u8>>, Fault> {
        self.events.get(id.0.as_bytes()).map_err(|error| error.fault())
    }

    fn memory(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.memory.get(key.as_bytes()).map_err(|error| error.fault())
    }

    fn memories(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let entries = self.memory.scan_prefix(prefix.as_bytes()).map_err(|error| error.fault())?;
        Ok(entries.into_iter().map(|(key, value)| (String::from_utf8_lossy(&key).into_owned(), value)).collect())
    }
}

/// Whether a fault is one of the letter that was asked for, and not of what should have answered.
pub fn is_of_letter(fault: &Fault) -> bool {
    matches!(
        fault.code,
        Code::LetterUnknown
            | Code::LetterState
            | Code::LetterInDoubt
            | Code::ReplayImpossible
            | Code::PlanChanged
            | Code::FlowUnknown
    )
}
