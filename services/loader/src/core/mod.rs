//! The loader's thinking: events in, actions out, no I/O, no clock, no randomness of its own.
//!
//! One [`Core`] belongs to one worker and one session. It takes records, keeps at most one save of a target key on its
//! way, writes an intent before each save, finds out what became of saves whose reply was lost, and ends every record
//! once. When the session ends the core is dropped; what the process still knows of its calls goes on as [`Carried`].
//!
//! | step of the protocol | module |
//! |---|---|
//! | assignment, open intents, copies, stale versions, collisions | `intake` |
//! | what waits, in which lane | `queues` |
//! | breaker, permit, batch, probe and audit calls | `schedule` |
//! | replies and what they prove | `replies`, `probed` |
//! | whole saves that fail | `search`, [`bisect`] |
//! | ends, letters | `ends` |
//! | group commit, deadline, offsets | `outbox` |

#[cfg(feature = "ablation")]
pub mod ablation;
pub mod bisect;
pub mod breaker;
pub mod event;
pub mod ledger;
pub mod rules;

mod ends;
mod intake;
mod outbox;
mod partition;
mod probed;
mod queues;
mod replies;
mod schedule;
mod search;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use document::{FlowName, FlowVersion};

pub use event::{Action, Event, Moment, PartitionId};
pub use rules::{Numbers, Retry, Rules};

use bisect::Bisect;
use breaker::{Breaker, FlowBreaker};
use event::{CallId, Observation, Step};
use outbox::{Committing, Pending};
use partition::{Item, ItemRef, Partition};
use queues::Target;

/// What the core may look up while it thinks: the ledger as the barrier left it plus what was committed since, and the
/// flow definitions that are known.
pub trait Facts {
    /// The value under `key` in the ledger of `partition`.
    ///
    /// # Errors
    /// [`FactsFailed`]; the core must be dropped then.
    fn get(&self, partition: &PartitionId, key: &[u8]) -> Result<Option<Vec<u8>>, FactsFailed>;
    /// All intents in the ledger of `partition`: key and value.
    ///
    /// # Errors
    /// [`FactsFailed`]; the core must be dropped then.
    fn intents(&self, partition: &PartitionId) -> Result<Vec<KeyValue>, FactsFailed>;
    /// What a version of a flow says; `None` when it is not known here (yet).
    fn rules(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Rules>>;
    /// Whether a flow goes by this version now: not by a newer one, and not only with some of its documents.
    fn is_current(&self, flow: &FlowName, version: &FlowVersion) -> bool;
}

/// Key and value of a ledger record.
pub type KeyValue = (Vec<u8>, Vec<u8>);

/// The ledger could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the ledger of {partition} could not be read")]
pub struct FactsFailed {
    /// Whose ledger.
    pub partition: PartitionId,
    /// Why; absent when the partition has moved away, of which an event will tell soon.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A partition that has moved away is no failure: what was to be done with it is no longer ours to do.
fn unless_gone(done: Result<(), FactsFailed>) -> Result<(), FactsFailed> {
    match done {
        Err(FactsFailed { source: None, .. }) => Ok(()),
        other => other,
    }
}

/// What the process knows of a save beyond the session that began it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was never sent and never will be.
    NeverSent,
    /// The target has finished with it.
    Closed,
    /// Sent at this monotonic instant; the target may still be at it.
    OpenSince(Duration),
}

/// What outlives a core within its process.
#[derive(Debug, Default)]
pub struct Carried {
    /// Saves by the name of their batch.
    fates: BTreeMap<String, Fate>,
    targets: BTreeMap<String, (Breaker, u32, Option<Duration>)>,
}

/// A call on its way.
#[derive(Debug)]
struct Call {
    target: String,
    flow: FlowName,
    rules: Arc<Rules>,
    kind: Kind,
    items: Vec<ItemRef>,
    sent: Duration,
    batch: Option<String>,
    group: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Save,
    Probe,
    /// A probe whose finding does not matter, made to see whether the target answers.
    Trial,
    Advance(Step),
}

/// What the failure of a whole save says about its documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// Nothing: the session was lost, or the call as such was refused.
    None,
    /// No answer came: one of them may be too much for the target, or the way to it was cut.
    Silence,
    /// The target answered and had done nothing: one of them is at fault.
    Answer,
}

/// A set of documents among which a culprit is looked for.
#[derive(Debug)]
struct Group {
    /// Begins once the outcomes of the first failure are known.
    search: Option<Bisect<ItemRef>>,
    /// The set to send next.
    set: Vec<ItemRef>,
    /// Of the set that failed: whose outcome is still unknown, and who is proven absent.
    unresolved: Vec<ItemRef>,
    absent: Vec<ItemRef>,
    /// What the failure says about the documents.
    evidence: Evidence,
    /// From the intent to the last outcome of the set.
    on_its_way: bool,
    failures: u32,
    /// Rounds without a passing save, and how many there may be before the breaker opens.
    rounds: u32,
    attempts: u32,
    /// Another save of the flow passed since the search began.
    control: bool,
    began: Duration,
    /// The last failure, in words.
    reason: String,
}

/// The state machine of one worker.
#[derive(Debug)]
pub struct Core {
    numbers: Numbers,
    dice: u64,
    now: Moment,
    partitions: BTreeMap<PartitionId, Partition>,
    targets: BTreeMap<String, Target>,
    calls: BTreeMap<CallId, Call>,
    pending: Pending,
    committing: Option<Committing>,
    last_commit: Duration,
    fates: BTreeMap<String, Fate>,
    waiting_for_rules: BTreeSet<ItemRef>,
    missing_versions: BTreeSet<(FlowName, FlowVersion)>,
    arrivals: u64,
    ids: u64,
    draining: bool,
    actions: Vec<Action>,
}

impl Core {
    /// A core without partitions. `seed` feeds jitter and the names of batches and must differ between processes.
    pub fn new(numbers: Numbers, seed: u64, carried: Carried) -> Self {
        let targets = carried
            .targets
            .into_iter()
            .map(|(name, (breaker, fails, not_before))| {
                (name, Target { breaker, fails, not_before, ..Target::default() })
            })
            .collect();
        Self {
            numbers,
            dice: seed,
            now: Moment { mono: Duration::ZERO, wall: 0 },
            partitions: BTreeMap::new(),
            targets,
            calls: BTreeMap::new(),
            pending: Pending::default(),
            committing: None,
            last_commit: Duration::ZERO,
            fates: carried.fates,
            waiting_for_rules: BTreeSet::new(),
            missing_versions: BTreeSet::new(),
            arrivals: 0,
            ids: 0,
            draining: false,
            actions: Vec::new(),
        }
    }

    /// Takes one event and gives what is to be done, in order.
    ///
    /// # Errors
    /// [`FactsFailed`]: the session and this core must be dropped and built anew.
    pub fn handle(&mut self, event: Event, now: Moment, facts: &dyn Facts) -> Result<Vec<Action>, FactsFailed> {
        self.now = now;
        match event {
            Event::Assigned(partitions) => {
                for assigned in partitions {
                    unless_gone(self.assigned(assigned, facts))?;
                }
            }
            Event::Revoking(partitions) => {
                partitions.iter().for_each(|id| self.revoking(id));
            }
            Event::Revoked(partitions) => partitions.iter().for_each(|id| self.revoked(id)),
            Event::Records(records) => {
                for record in records {
                    self.received(record, facts)?;
                }
            }
            Event::Permitted { target, lane } => self.permitted(&target, lane),
            Event::Committed(id) => self.committed(id, facts)?,
            Event::Saved { call, reply } => self.saved(call, reply),
            Event::Probed { call, reply } => self.probed(call, reply),
            Event::Advanced { call, reply } => self.advanced(call, reply),
            Event::Tick => self.tick(facts)?,
            Event::Drain => self.draining = true,
        }
        self.settle_quiet_ends(facts)?;
        self.schedule();
        self.flush();
        self.pressure();
        Ok(std::mem::take(&mut self.actions))
    }

    /// Whether calls or commits are on their way for any of `partitions`; for any at all when the list is empty.
    pub fn is_busy(&self, partitions: &[PartitionId]) -> bool {
        if partitions.is_empty() {
            let unwritten = self.pending.has_work() || self.closes_intents();
            return !self.calls.is_empty() || self.committing.is_some() || unwritten;
        }
        partitions
            .iter()
            .filter_map(|id| self.partitions.get(id))
            .any(|partition| partition.items.values().any(Item::is_busy) || partition.position_moved())
    }

    /// The partitions owned.
    pub fn partitions(&self) -> impl Iterator<Item = &PartitionId> {
        self.partitions.keys()
    }

    /// Per flow: documents whose outcome is not known, and since when the oldest of them was intended, unix
    /// milliseconds.
    pub fn in_doubt(&self) -> BTreeMap<FlowName, (usize, i64)> {
        let mut by_flow: BTreeMap<FlowName, (usize, i64)> = BTreeMap::new();
        for (id, partition) in &self.partitions {
            let in_hand = partition.items.values().filter(|item| item.unknowns > 0 && item.intent.is_some());
            let firsts =
                in_hand.filter_map(|item| item.first_intent).chain(partition.left_open.values().map(|left| left.first));
            for first in firsts {
                let entry = by_flow.entry(id.flow.clone()).or_insert((0, first));
                entry.0 += 1;
                entry.1 = entry.1.min(first);
            }
        }
        by_flow
    }

    /// Per flow with records in hand: the oldest of their time stamps, unix milliseconds.
    pub fn oldest_in_hand(&self) -> BTreeMap<&FlowName, i64> {
        let mut by_flow: BTreeMap<&FlowName, i64> = BTreeMap::new();
        for (id, partition) in &self.partitions {
            for timestamp in partition.items.values().filter_map(|item| item.timestamp) {
                let oldest = by_flow.entry(&id.flow).or_insert(timestamp);
                *oldest = timestamp.min(*oldest);
            }
        }
        by_flow
    }

    /// Flows whose records wait for something that time alone does not bring: why, and how many.
    pub fn waiting(&self) -> Vec<(&FlowName, &'static str, usize)> {
        let mut versions: BTreeMap<&FlowName, usize> = BTreeMap::new();
        for at in &self.waiting_for_rules {
            *versions.entry(&at.partition.flow).or_default() += 1;
        }
        let queues = self.targets.values().flat_map(|target| &target.queues);
        let paused = queues.filter(|(_, queue)| queue.paused_until.is_some());
        let paused = paused.map(|(flow, queue)| (flow, "breaker", queue.held_back()));
        paused.chain(versions.into_iter().map(|(flow, count)| (flow, "version", count))).collect()
    }

    /// Breakers per connection: 0 closed, 1 half open, 2 open.
    pub fn breakers(&self) -> impl Iterator<Item = (&str, u8)> {
        self.targets.iter().map(|(name, target)| (name.as_str(), target.breaker.level()))
    }

    /// Ends the core and gives what the process goes on knowing.
    pub fn carry(mut self) -> Carried {
        for call in self.calls.values() {
            if let Some(batch) = &call.batch {
                self.fates.insert(batch.clone(), Fate::OpenSince(call.sent + self.numbers.connect_allowance));
            }
        }
        let committing = self.committing.as_ref().map(|commit| commit.plans.as_slice()).unwrap_or_default();
        for plan in committing.iter().chain(&self.pending.plans) {
            self.fates.insert(plan.batch.clone(), Fate::NeverSent);
        }
        let targets = self
            .targets
            .into_iter()
            .map(|(name, target)| (name, (target.breaker, target.fails, target.not_before)))
            .collect();
        Carried { fates: self.fates, targets }
    }

    /// The next random number.
    fn roll(&mut self) -> u64 {
        // SplitMix64: one addition and a mix, good enough to spread waits and to name batches.
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// The wait of `retry` before try `count`, spread.
    fn wait(&mut self, retry: &Retry, count: u32) -> Duration {
        let unit = self.unit();
        self.numbers.wait(retry, count, unit)
    }

    /// A random number from 0 to 1.
    fn unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.roll() >> 32).expect("32 bits are left")) / f64::from(u32::MAX)
    }

    fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    fn observe(&mut self, observation: Observation) {
        self.actions.push(Action::Observe(observation));
    }

    fn item(&self, at: &ItemRef) -> Option<&Item> {
        self.partitions
            .get(&at.partition)
            .and_then(|partition| partition.items.get(&at.offset))
            .filter(|item| item.arrival == at.arrival)
    }

    fn item_mut(&mut self, at: &ItemRef) -> Option<&mut Item> {
        self.partitions
            .get_mut(&at.partition)
            .and_then(|partition| partition.items.get_mut(&at.offset))
            .filter(|item| item.arrival == at.arrival)
    }
}
