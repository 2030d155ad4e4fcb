//! What happens, to whom, and what is said.

use document::Record;
use extractor::core::run::{Answer, Ask};
use loader::core::event::{AdvanceDocument, CallId, Errand, Event, ProbeDocument, SaveDocument, Step};
use loader::core::ledger::Reached;
use queue::{Next, Outgoing};
use std::sync::Arc;
use std::time::Duration;

use crate::group::Stamp;
use crate::log::Place;
use crate::target::{Course, Sent};
use crate::world::Role;

/// A save on its way.
#[derive(Debug, Clone)]
pub(crate) struct Save {
    pub(crate) node: usize,
    pub(crate) session: u64,
    pub(crate) call: CallId,
    pub(crate) sent: Vec<Sent>,
    pub(crate) reached: Reached,
    pub(crate) course: Course,
}

/// A request of a transactional producer.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) node: usize,
    pub(crate) session: u64,
    pub(crate) epoch: u64,
    pub(crate) token: u64,
    pub(crate) work: Work,
}

#[derive(Debug)]
pub(crate) enum Work {
    /// Records; `fails` when the brokers take only the first half of them.
    Write {
        records: Arc<Vec<(Place, Record)>>,
        fails: bool,
    },
    Offsets {
        role: Role,
        offsets: Vec<(i32, i64)>,
        stamp: Stamp,
    },
    End {
        commit: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Done,
    /// The brokers did not take everything.
    Failed,
    /// The epoch or the generation is not ours any more.
    Fenced,
}

/// What is told to a node.
#[derive(Debug)]
pub(crate) enum Message {
    /// Build a session.
    Open,
    /// A partition is yours; its barrier is still to be passed.
    Assign(i32),
    /// Look whether the barrier can be read.
    Barrier(i32),
    /// What came of a request.
    Reply { token: u64, reply: Reply },
    /// Go on with the transaction.
    Proceed,
    /// The client hears that the group does not know it.
    Unknown,
    /// And the hook says so.
    Lost,
    /// The client hears of the group's generation.
    Rejoined,
    /// The barrier is passed.
    Opened(i32),
    /// A partition is to move.
    Revoking(i32),
    /// A partition has moved.
    Revoked(i32),
    /// And has come back.
    Regained(i32),
    /// A transaction of the shell is readable.
    Committed(u64),
    /// There may be something to read.
    Poll,
    /// Time passed.
    Tick,
    /// Something for the loader's core.
    Core(Box<Event>),
    /// The permit is in hand: send.
    Send { errand: Box<Errand>, documents: Vec<SaveDocument>, deadline: Duration },
    /// A page, or why there is none.
    Page { fetch: u64, answer: Option<Box<Answer>> },
    /// Write the outputs of a batch, so many of them at once, then save the positions.
    Write { outputs: Vec<Outgoing>, commits: Vec<Next> },
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Happening {
    Node {
        node: usize,
        life: u64,
        session: u64,
        message: Message,
    },
    Broker(Request),
    Wire(Box<Save>),
    Execute(Box<Save>),
    Query {
        node: usize,
        session: u64,
        call: CallId,
        documents: Vec<ProbeDocument>,
    },
    Step {
        node: usize,
        session: u64,
        call: CallId,
        step: Step,
        documents: Vec<AdvanceDocument>,
    },
    Page {
        node: usize,
        session: u64,
        fetch: u64,
        ask: Box<Ask>,
    },
    Start(usize),
    /// Nothing was heard of a member for long.
    Silent {
        node: usize,
        session: u64,
    },
    /// A moving partition goes now, whatever is in flight.
    Release {
        node: usize,
        session: u64,
        partition: i32,
    },
    Nemesis,
    Expire,
}
