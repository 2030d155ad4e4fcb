//! What the core is told, and what it asks for.

use std::sync::Arc;
use std::time::Duration;

use document::{Category, Code, FlowName, FlowVersion, Received, Record, TargetKey, TraceParent, Version};

use super::rules::Rules;

/// One input partition of a flow; its ledger has the same number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId {
    /// The flow.
    pub flow: FlowName,
    /// The partition of its mapped and ledger topics.
    pub partition: i32,
}

impl std::fmt::Display for PartitionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.flow, self.partition)
    }
}

/// The instant of an event, read once by whoever delivers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic, counted from the start of the process. Every wait is measured with it.
    pub mono: Duration,
    /// Wall clock, unix milliseconds. Only written down, and compared with dates that others wrote.
    pub wall: i64,
}

/// Names one call to a target, within one core.
pub type CallId = u64;
/// Names one transaction, within one core.
pub type CommitId = u64;

/// Which share of the permitted calls a call is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// What came from the source.
    Fresh,
    /// What was published again.
    Replay,
}

/// A partition that this worker owns from now on, its ledger read to the barrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// Which.
    pub partition: PartitionId,
    /// An offset was committed earlier, yet no earlier owner wrote to the ledger: what was loaded is not known.
    pub ledger_lost: bool,
}

/// What the core is told.
#[derive(Debug)]
pub enum Event {
    /// Partitions came.
    Assigned(Vec<Assigned>),
    /// Partitions are about to go: nothing new is begun for them.
    Revoking(Vec<PartitionId>),
    /// Partitions are gone: they are forgotten.
    Revoked(Vec<PartitionId>),
    /// Records of owned partitions, in order of their offsets.
    Records(Vec<Received>),
    /// The permit asked for by [`Action::Permit`] was given.
    Permitted {
        /// For calls to this connection.
        target: String,
        /// From which share.
        lane: Lane,
    },
    /// The transaction is readable.
    Committed(CommitId),
    /// The reply to [`Action::Save`].
    Saved {
        /// The call.
        call: CallId,
        /// What came of it.
        reply: SaveReply,
    },
    /// The reply to [`Action::Probe`].
    Probed {
        /// The call.
        call: CallId,
        /// What came of it.
        reply: ProbeReply,
    },
    /// The reply to [`Action::Advance`].
    Advanced {
        /// The call.
        call: CallId,
        /// What came of it.
        reply: AdvanceReply,
    },
    /// Time passed, or flow definitions changed.
    Tick,
    /// The process wants to end: finish what is on its way, begin nothing.
    Drain,
}

/// One document of a save.
#[derive(Debug, Clone)]
pub struct SaveDocument {
    /// Its key in the target.
    pub key: TargetKey,
    /// The element of `Model` as it was mapped.
    pub value: Arc<[u8]>,
    /// The document of the target to be updated; a new one otherwise.
    pub update: Option<String>,
    /// Which observation of its source it is.
    pub version: Version,
    /// The trace that follows it.
    pub trace: TraceParent,
}

/// One document that is looked for.
#[derive(Debug, Clone)]
pub struct ProbeDocument {
    /// Its key in the target.
    pub key: TargetKey,
    /// What was or would be sent, for the comparison; `None` where only presence and status matter.
    pub value: Option<Arc<[u8]>>,
}

/// One document that is to be submitted or audited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdvanceDocument {
    /// Its key in the target.
    pub key: TargetKey,
    /// Its id in the target.
    pub id: String,
}

/// The step after saving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Save to submitted.
    Submit,
    /// Submitted to audited.
    Audit,
}

/// Who a call is for.
#[derive(Debug, Clone)]
pub struct Errand {
    /// The call, to be named in the reply.
    pub call: CallId,
    /// The connection.
    pub target: String,
    /// The flow.
    pub flow: FlowName,
    /// By which definition.
    pub version: FlowVersion,
    /// What that definition says.
    pub rules: Arc<Rules>,
    /// The share further permits are taken from, where the errand needs more than one call.
    pub lane: Lane,
}

/// What the core asks for.
#[derive(Debug)]
pub enum Action {
    /// One permit for one call.
    Permit {
        /// For calls to this connection.
        target: String,
        /// From which share.
        lane: Lane,
    },
    /// One transaction. The reply is [`Event::Committed`]; any failure ends this core.
    Commit {
        /// Which.
        id: CommitId,
        /// What.
        transaction: Transaction,
    },
    /// One batchSave, sent once and not after the deadline.
    Save {
        /// Who for.
        errand: Errand,
        /// The documents, in the order of their indexes.
        documents: Vec<SaveDocument>,
        /// Monotonic instant after which the first byte must not be written.
        deadline: Duration,
    },
    /// Looks documents up by key.
    Probe {
        /// Who for.
        errand: Errand,
        /// The documents.
        documents: Vec<ProbeDocument>,
    },
    /// Submits or audits.
    Advance {
        /// Who for.
        errand: Errand,
        /// Which of the two.
        step: Step,
        /// The documents.
        documents: Vec<AdvanceDocument>,
    },
    /// Stop fetching this partition; what is in hand is enough.
    Pause(PartitionId),
    /// Fetch it again.
    Resume(PartitionId),
    /// Something worth counting or telling.
    Observe(Observation),
}

/// One transaction, in the order of its parts: data first, facts after, offsets last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Dead letters.
    pub letters: Vec<Record>,
    /// Ledger records: document entries, then closed intents, then new intents.
    pub facts: Vec<(PartitionId, Record)>,
    /// Next offset to read, per partition concerned, moved or not.
    pub offsets: Vec<(PartitionId, i64)>,
}

/// A business error of the target about one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The field at fault.
    pub field: Option<String>,
    /// The target's words.
    pub message: String,
    /// The catalogue's entry.
    pub code: Code,
    /// What kind of failure.
    pub category: Category,
    /// It may pass by itself with time.
    pub timed: bool,
}

/// Why a call could not be made or answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No connection, no answer, a server error: the target or the way to it.
    Unreachable(String),
    /// The target does not accept who we are.
    Login(String),
    /// The deadline passed before the first byte; nobody's fault.
    Late,
    /// A query that the target refuses, whatever the documents: a wrong form or field.
    Refused(String),
}

/// Why the outcome of a save is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unknown {
    /// The session was lost before the call was executed, or so it seems.
    SessionLost,
    /// The target refused the call as a whole, whatever the documents: a licence, a permission, an unknown form.
    CallRefused(String),
    /// Anything else, in words.
    Other(String),
}

/// What came of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaveReply {
    /// Not one byte of it reached the target.
    NotSent(Trouble),
    /// One outcome per document, in the order sent.
    Done(Vec<Outcome>),
    /// Refused unread because there were too many calls.
    Throttled(Option<Duration>),
    /// The target has finished with it; what it did is not known.
    UnknownClosed(Unknown),
    /// The target may still be at it.
    UnknownOpen(Unknown),
}

/// What came of one document of a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the target.
    Saved {
        /// Its id there.
        id: String,
        /// Its number there.
        number: String,
    },
    /// Refused by a rule of the target.
    Rejected(Vec<Refusal>),
    /// The reply does not say.
    Unknown,
}

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeReply {
    /// One finding per document, in the order asked.
    Found(Vec<Finding>),
    /// Refused unread because there were too many calls.
    Throttled(Option<Duration>),
    /// No answer.
    Failed(Trouble),
}

/// What a probe found under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Nothing.
    Absent,
    /// One document.
    Present(Present),
    /// Several documents.
    Many(usize),
}

/// A document of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub reached: super::ledger::Reached,
    /// When it was created there, unix milliseconds.
    pub created: Option<i64>,
    /// Whether its content is what was sent.
    pub likeness: Likeness,
}

/// The outcome of comparing a document of the target with what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Likeness {
    /// Every field that could be compared agrees, and there were enough of them.
    Same,
    /// A field differs; which one, in words.
    Different(String),
    /// Too little could be compared; why, in words.
    Unclear(String),
}

/// What came of a submit or an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdvanceReply {
    /// One outcome per document, in the order asked.
    Done(Vec<Advance>),
    /// Refused unread because there were too many calls.
    Throttled(Option<Duration>),
    /// Not sent, or outcome not known. Both are settled by reading the status.
    Failed(Trouble),
}

/// What came of one document of a submit or an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// It is there now.
    Done,
    /// Refused, perhaps because it was there already: the status tells.
    Refused(Vec<Refusal>),
    /// The reply does not say.
    Unknown,
}

/// How a record ended here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ended {
    /// In the target, as far as the flow wants it.
    Applied,
    /// A newer version, or the same one, was handled before.
    Superseded,
    /// In the target already, and the flow keeps what is there.
    Skipped,
    /// In the dead-letter topic.
    Parked,
}

/// Something worth counting or telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A record ended.
    Ended {
        /// Whose.
        flow: FlowName,
        /// How.
        outcome: Ended,
        /// When its source version was observed, unix milliseconds.
        observed: i64,
    },
    /// A letter is being written.
    Letter {
        /// Whose.
        flow: FlowName,
        /// The step.
        stage: document::Stage,
        /// What kind of failure.
        category: Category,
        /// Which.
        code: Code,
        /// The document.
        document: String,
    },
    /// A call is made again.
    Retry {
        /// Whose.
        flow: FlowName,
        /// `save`, `probe`, `submit` or `audit`.
        layer: &'static str,
        /// Why: `not_sent`, `throttled`, `unknown`, `failed`.
        class: &'static str,
    },
    /// A batch is sent.
    Batch {
        /// Whose.
        flow: FlowName,
        /// How many documents.
        documents: usize,
        /// How many bytes.
        bytes: usize,
    },
    /// An outcome was not known and now is.
    Resolved {
        /// Whose.
        flow: FlowName,
        /// `applied`, `absent`, `conflict` or `in_doubt`.
        verdict: &'static str,
    },
    /// A breaker moved.
    Breaker {
        /// The connection.
        target: String,
        /// 0 closed, 1 half open, 2 open.
        state: u8,
        /// Why.
        reason: String,
    },
    /// Someone must act.
    Alert(document::Fault),
}
