//! The client's side of transactions: made in one order, step by step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use document::Record;

use crate::group::Stamp;
use crate::log::{Place, Table, Topic};
use crate::message::{Happening, Message, Reply, Request, Work};
use crate::rule::Rule;
use crate::world::World;

/// A commit that takes longer ends the session.
const SLOW_COMMIT: Duration = Duration::from_secs(5);

/// A request that takes longer outlasts the patience of a group that wants to move a partition.
const HANGING: Duration = Duration::from_secs(14);

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The owner record of a partition.
    Barrier(i32),
    /// The shell's own; the number is its name for it.
    Shell(u64),
}

#[derive(Debug, Clone)]
enum Step {
    /// The positions as they are saved.
    Fence,
    Write(Arc<Vec<(Place, Record)>>),
    Offsets(Vec<(i32, i64)>),
    End(bool),
}

#[derive(Debug)]
struct Transaction {
    purpose: Purpose,
    steps: VecDeque<Step>,
    whole: VecDeque<Step>,
    facts: Arc<Vec<(Place, Record)>>,
    concerns: BTreeSet<i32>,
    moves: Vec<(i32, i64)>,
    /// The generation as it was at the beginning.
    generation: Option<i64>,
    token: u64,
    ending_since: Option<Duration>,
    /// The client has sent its end twice, and knows.
    repeated: bool,
}

/// One session of a node.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    /// As the client last heard; −1 when it lost its place.
    pub(crate) generation: i64,
    /// As the hooks last said.
    pub(crate) owned: BTreeSet<i32>,
    /// As it knows them: the saved positions.
    pub(crate) saved: BTreeMap<i32, i64>,
    /// Barrier passed: the state of the partition.
    pub(crate) tables: BTreeMap<i32, BTreeMap<Topic, Table>>,
    /// Asked to go, and not yet gone.
    pub(crate) leaving: BTreeSet<i32>,
    /// Gone, and the loop has yet to hear of it.
    pub(crate) gone: BTreeSet<i32>,
    transactions: VecDeque<Transaction>,
}

impl Session {
    /// A session that owns nothing yet.
    pub(crate) fn new(id: u64, epoch: u64) -> Self {
        Self {
            id,
            epoch,
            generation: 0,
            owned: BTreeSet::new(),
            saved: BTreeMap::new(),
            tables: BTreeMap::new(),
            leaving: BTreeSet::new(),
            gone: BTreeSet::new(),
            transactions: VecDeque::new(),
        }
    }
}

impl World {
    /// Makes a transaction, after those that are on their way: positions as they are, data, facts, positions as they will
    /// be, commit.
    pub(crate) fn transact(
        &mut self,
        node: usize,
        purpose: Purpose,
        data: Vec<(Place, Record)>,
        facts: Vec<(Place, Record)>,
        offsets: Vec<(i32, i64)>,
    ) {
        let mut steps = VecDeque::new();
        let concerns = offsets.iter().map(|(partition, _)| *partition).collect();
        let facts = Arc::new(facts);
        steps.push_back(Step::Fence);
        let mut writes = vec![Arc::new(data), Arc::clone(&facts)];
        if !self.keeps(Rule::FactsLast) {
            writes.reverse();
        }
        steps.extend(writes.into_iter().filter(|records| !records.is_empty()).map(Step::Write));
        steps.push_back(Step::Offsets(offsets.clone()));
        steps.push_back(Step::End(true));
        let Some(session) = &mut self.nodes[node].session else { return };
        session.transactions.push_back(Transaction {
            purpose,
            whole: steps.clone(),
            steps,
            facts,
            concerns,
            moves: offsets,
            generation: None,
            token: 0,
            ending_since: None,
            repeated: false,
        });
        if session.transactions.len() == 1 {
            self.begin_transaction(node);
        }
    }

    fn begin_transaction(&mut self, node: usize) {
        let locks = self.keeps(Rule::MetadataLock);
        let Some(session) = &mut self.nodes[node].session else { return };
        let (owned, generation) = (session.owned.clone(), session.generation);
        let Some(transaction) = session.transactions.front_mut().filter(|front| front.token == 0) else { return };
        if locks {
            if !transaction.concerns.is_subset(&owned) {
                if matches!(transaction.purpose, Purpose::Barrier(_)) {
                    session.transactions.pop_front();
                    return self.begin_transaction(node);
                }
                return self.end_session(node, "a partition has moved");
            }
            transaction.generation = Some(generation);
        }
        self.next_step(node);
    }

    pub(crate) fn next_step(&mut self, node: usize) {
        let token = self.fresh_id();
        let now = self.now;
        let role = self.nodes[node].role;
        let is_static = self.keeps(Rule::InstanceId);
        let Some(session) = &mut self.nodes[node].session else { return };
        let (id, epoch, current) = (session.id, session.epoch, session.generation);
        let Some(transaction) = session.transactions.front_mut() else { return };
        let Some(step) = transaction.steps.front().cloned() else { return self.finish_transaction(node) };
        transaction.token = token;
        let generation = transaction.generation.unwrap_or(current);
        let request = |work| Request { node, session: id, epoch, token, work };
        let concerned = transaction.concerns.first().copied();
        match step {
            Step::Write(records) => {
                let fails = self.chaos && self.dice.one_in(self.setting.write_failures);
                let wait = self.broker_latency();
                self.after(wait, Happening::Broker(request(Work::Write { records, fails })));
                if let Some(partition) = concerned.filter(|_| wait > HANGING && self.dice.one_in(2)) {
                    // What makes requests hang moves partitions, too.
                    self.move_to_another(role, partition);
                }
            }
            Step::Fence | Step::Offsets(_) => {
                let offsets = match step {
                    Step::Offsets(offsets) => offsets,
                    _ => transaction.concerns.iter().map(|at| (*at, session.saved[at])).collect(),
                };
                let stamp = Stamp { node, session: id, generation, is_static };
                let wait = self.broker_latency();
                self.after(wait, Happening::Broker(request(Work::Offsets { role, offsets, stamp })));
            }
            Step::End(commit) => {
                transaction.ending_since.get_or_insert(now);
                let wait = self.broker_latency();
                // An abort comes after trouble, and trouble seldom comes alone.
                let seldom = if commit { self.setting.late_ends } else { self.setting.late_ends.min(3) };
                if self.chaos && self.dice.one_in(seldom) {
                    // The connection breaks and the request is repeated; the first one still comes: before the second,
                    // right behind it, where the next transaction is being made, or much later.
                    let again = if self.dice.one_in(2) { Duration::from_secs(10) } else { self.dice.millis(50, 800) };
                    let late = match self.dice.below(3) {
                        0 => self.dice.millis(10, 400),
                        1 => again + wait + self.dice.millis(1, 90),
                        _ => self.dice.millis(200, 25_000),
                    };
                    // What is repeated behind the coordinator no client hears of.
                    let heard = !self.dice.one_in(4);
                    if let Some(front) = self.nodes[node].session.as_mut().and_then(|own| own.transactions.front_mut())
                    {
                        front.repeated |= heard;
                    }
                    self.after(late, Happening::Broker(request(Work::End { commit })));
                    self.after(again + wait, Happening::Broker(request(Work::End { commit })));
                } else {
                    self.after(wait, Happening::Broker(request(Work::End { commit })));
                }
            }
        }
    }

    fn broker_latency(&mut self) -> Duration {
        if self.chaos && self.dice.one_in(self.setting.slow_brokers) {
            self.dice.millis(500, 22_000)
        } else {
            self.dice.millis(2, 20)
        }
    }

    /// What the brokers do with a request.
    pub(crate) fn broker(&mut self, request: Request) {
        let Request { node, session, epoch, token, work } = request;
        let name = self.nodes[node].name.clone();
        let who = (name.as_str(), epoch, session);
        let (now, at) = (self.now, self.wall());
        let reply = match work {
            Work::Write { records, .. }
                if session <= self.made_anew && records.iter().any(|((topic, _), _)| *topic == Topic::Ledger) =>
            {
                Reply::Failed
            }
            Work::Write { records, fails } => {
                let taken = if fails { &records[..records.len() / 2] } else { &records[..] };
                match self.log.write(who, taken, now, at) {
                    Err(_) => Reply::Fenced,
                    Ok(()) if fails => Reply::Failed,
                    Ok(()) => Reply::Done,
                }
            }
            Work::Offsets { role, offsets, stamp } => {
                let fenced = self.keeps(Rule::Fence);
                let taken = self.groups.get(&role).is_some_and(|group| !fenced || group.accepts(stamp));
                match taken && self.log.add_offsets(who, role, &offsets, now).is_ok() {
                    true => Reply::Done,
                    false => Reply::Fenced,
                }
            }
            Work::End { commit } => match self.log.end(&name, epoch, commit) {
                Err(_) => Reply::Fenced,
                Ok(decided) => {
                    if let Some(decided) = decided {
                        self.decided(&decided);
                    }
                    Reply::Done
                }
            },
        };
        if self.is_session(node, session) {
            let wait = self.dice.millis(1, 10);
            self.after(wait, self.to_session(node, session, Message::Reply { token, reply }));
        }
    }

    pub(crate) fn replied(&mut self, node: usize, token: u64, reply: Reply) {
        let recycles = self.keeps(Rule::Recycle);
        let name = self.nodes[node].name.clone();
        let Some(session) = &mut self.nodes[node].session else { return };
        let epoch = session.epoch;
        let Some(transaction) = session.transactions.front_mut().filter(|front| front.token == token) else { return };
        let aborting = matches!(transaction.steps.front(), Some(Step::End(false)));
        match reply {
            Reply::Done => {
                transaction.steps.pop_front();
                if self.strikes(node) {
                    return self.tell(Duration::ZERO, node, Message::Proceed);
                }
                self.next_step(node);
            }
            // What was not to be aborted is gone already.
            Reply::Fenced if aborting && self.log.is_current(&name, epoch) => {
                transaction.steps.pop_front();
                self.next_step(node);
            }
            Reply::Failed if !recycles => {
                transaction.steps = transaction.whole.clone();
                transaction.steps.push_front(Step::End(false));
                transaction.ending_since = None;
                self.next_step(node);
            }
            Reply::Failed => self.end_session(node, "a write failed"),
            Reply::Fenced => self.end_session(node, "a transaction was refused"),
        }
    }

    fn finish_transaction(&mut self, node: usize) {
        let recycles = self.keeps(Rule::Recycle);
        let now = self.now;
        let Some(session) = &mut self.nodes[node].session else { return };
        let Some(done) = session.transactions.pop_front() else { return };
        session.saved.extend(done.moves);
        let slow = done.ending_since.is_some_and(|since| now - since > SLOW_COMMIT);
        for ((topic, partition), record) in done.facts.iter().cloned() {
            let table = session.tables.get_mut(&partition).and_then(|tables| tables.get_mut(&topic));
            if let Some(table) = table {
                match record.value {
                    Some(value) => table.insert(record.key, value),
                    None => table.remove(&record.key),
                };
            }
        }
        let id = session.id;
        match done.purpose {
            Purpose::Barrier(partition) => self.tell(Duration::ZERO, node, Message::Barrier(partition)),
            Purpose::Shell(name) => self.shell_hears(node, Message::Committed(name)),
        }
        if !self.is_session(node, id) {
            return;
        }
        if (slow || done.repeated) && recycles {
            return self.end_session(node, "a commit was slow or repeated");
        }
        self.begin_transaction(node);
    }
}
