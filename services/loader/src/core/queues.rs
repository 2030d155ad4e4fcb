//! What waits for a call: of one connection, of one flow, in one lane.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use document::{FlowName, FlowVersion};

use super::breaker::{Breaker, FlowBreaker};
use super::event::Lane;
use super::partition::{ItemRef, State};
use super::{Core, Group};

/// One connection.
#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) breaker: Breaker,
    /// Calls and intents that take a place.
    pub(super) used: usize,
    /// The permits asked for.
    pub(super) asked: BTreeSet<Lane>,
    /// The permits given that wait for a place.
    pub(super) given: BTreeSet<Lane>,
    /// Calls for fresh documents since the last one for replays.
    pub(super) fresh_calls: u32,
    /// Failures in a row.
    pub(super) fails: u32,
    pub(super) not_before: Option<Duration>,
    pub(super) queues: BTreeMap<FlowName, Queue>,
    /// The flow that was served last.
    pub(super) turn: Option<FlowName>,
}

/// What waits of one flow.
#[derive(Debug, Default)]
pub(super) struct Queue {
    fresh: Waiting,
    replayed: Waiting,
    pub(super) withheld: BTreeSet<ItemRef>,
    pub(super) groups: BTreeMap<u64, Group>,
    pub(super) breakers: BTreeMap<FlowVersion, FlowBreaker>,
    pub(super) paused_until: Option<Duration>,
    /// Whether the target keeps the keys it is sent, once a save has shown it. Where it does not, an absent document
    /// proves nothing.
    pub(super) keys_kept: Option<bool>,
}

/// What waits of one flow in one lane. Lanes never share a call: a replay in a call for fresh documents would ride on
/// their permit.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) probes: BTreeSet<(Duration, ItemRef)>,
    pub(super) advances: BTreeSet<(Duration, ItemRef)>,
    pub(super) ready: BTreeSet<ItemRef>,
    pub(super) ready_since: Option<Duration>,
}

impl Target {
    /// The target answered.
    pub(super) fn answered(&mut self) {
        self.fails = 0;
        self.not_before = None;
    }
}

impl Queue {
    pub(super) fn lane(&self, lane: Lane) -> &Waiting {
        match lane {
            Lane::Fresh => &self.fresh,
            Lane::Replay => &self.replayed,
        }
    }

    fn lane_mut(&mut self, lane: Lane) -> &mut Waiting {
        match lane {
            Lane::Fresh => &mut self.fresh,
            Lane::Replay => &mut self.replayed,
        }
    }

    /// Records that no save is made of while the flow waits.
    pub(super) fn held_back(&self) -> usize {
        self.withheld.len() + self.fresh.ready.len() + self.replayed.ready.len()
    }
}

impl Core {
    /// The queue that a record in hand belongs to; `None` until the definition of its flow is known.
    pub(super) fn queue_of(&mut self, at: &ItemRef) -> Option<&mut Queue> {
        let connection = self.item(at)?.rules.as_ref()?.connection.clone();
        Some(self.targets.entry(connection).or_default().queues.entry(at.partition.flow.clone()).or_default())
    }

    /// Moves a record to another state, in step with the queues.
    pub(super) fn set_state(&mut self, at: &ItemRef, state: State) {
        self.unqueue(at);
        let now = self.now.mono;
        let Some(item) = self.item_mut(at) else { return };
        item.state = state.clone();
        let lane = item.lane();
        if state == State::NoRules {
            self.waiting_for_rules.insert(at.clone());
            return;
        }
        if self.is_revoking(at) {
            // Nothing new is begun for it: it only waits to be forgotten.
            return;
        }
        let Some(queue) = self.queue_of(at) else { return };
        let waiting = queue.lane_mut(lane);
        match state {
            State::Ready => {
                waiting.ready.insert(at.clone());
                waiting.ready_since.get_or_insert(now);
            }
            State::Probe { due, .. } => {
                waiting.probes.insert((due, at.clone()));
            }
            State::Advance { due } => {
                waiting.advances.insert((due, at.clone()));
            }
            State::Withheld => {
                queue.withheld.insert(at.clone());
            }
            State::Queued | State::NoRules | State::Grouped | State::Intending | State::Calling(_) | State::Ending => {}
        }
    }

    pub(super) fn is_revoking(&self, at: &ItemRef) -> bool {
        self.partitions.get(&at.partition).is_none_or(|partition| partition.revoking)
    }

    /// Takes a record out of the queue it stands in.
    pub(super) fn unqueue(&mut self, at: &ItemRef) {
        self.waiting_for_rules.remove(at);
        let Some((state, lane)) = self.item(at).map(|item| (item.state.clone(), item.lane())) else { return };
        let Some(queue) = self.queue_of(at) else { return };
        let waiting = queue.lane_mut(lane);
        match state {
            State::Ready => {
                waiting.ready.remove(at);
                if waiting.ready.is_empty() {
                    waiting.ready_since = None;
                }
            }
            State::Probe { due, .. } => {
                waiting.probes.remove(&(due, at.clone()));
            }
            State::Advance { due } => {
                waiting.advances.remove(&(due, at.clone()));
            }
            State::Withheld => {
                queue.withheld.remove(at);
            }
            State::Queued | State::NoRules | State::Grouped | State::Intending | State::Calling(_) | State::Ending => {}
        }
    }
}
