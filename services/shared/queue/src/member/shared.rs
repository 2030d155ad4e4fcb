//! What the polling thread, the hooks and the callers share, under one lock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use document::Received;
use tokio::sync::{Notify, mpsc};

use super::MemberSettings;
use crate::error::Error;
use crate::message::weight;
use crate::offset::{Next, TopicPartition};
use crate::session::Event;

/// One partition may hold this much before the client is told to pause it.
const PARTITION_RECORDS: usize = 1000;
const PARTITION_BYTES: usize = 2 * 1024 * 1024;
/// All together may hold this much before everything that holds something is paused.
const TOTAL_BYTES: usize = 16 * 1024 * 1024;

/// Where a newly assigned partition begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) next: Next,
    /// The start of its log.
    pub(crate) first: i64,
    /// Whether the group had saved a position before.
    pub(crate) committed: bool,
    /// Tells this assignment from another one of the same partition.
    pub(crate) epoch: u64,
}

/// What a session has to do about a rebalance.
#[derive(Debug)]
pub(crate) enum Notice {
    Assigned(Vec<Start>),
    Gone(Vec<TopicPartition>),
}

/// One owned partition.
#[derive(Debug)]
pub(crate) struct Partition {
    /// The next offset the group reads.
    pub(crate) saved: i64,
    /// Whether the group had saved a position before it was ours.
    pub(crate) committed: bool,
    epoch: u64,
    /// Gives records: its barrier is passed.
    open: bool,
    /// Its data cannot be read; it stays silent until it is revoked.
    stopped: bool,
    /// Paused by the caller.
    paused: bool,
    /// On its way to another member.
    revoking: bool,
    /// Lowest offset still expected from the client.
    cursor: i64,
    buffer: VecDeque<Received>,
    bytes: usize,
    /// Paused at the client.
    held: bool,
}

impl Partition {
    fn wants_hold(&self, total: usize) -> bool {
        let full = self.buffer.len() >= PARTITION_RECORDS || self.bytes >= PARTITION_BYTES;
        // Once held, a partition is fetched again only when little is left: each pause drops what was fetched ahead.
        let filled = self.held && (self.buffer.len() > PARTITION_RECORDS / 4 || self.bytes > PARTITION_BYTES / 4);
        let crowded = total >= TOTAL_BYTES && !self.buffer.is_empty();
        !self.open || self.stopped || self.paused || self.revoking || full || filled || crowded
    }

    fn gives(&self) -> bool {
        self.open && !self.stopped && !self.paused && !self.revoking && !self.buffer.is_empty()
    }

    fn clear(&mut self) -> usize {
        self.buffer.clear();
        std::mem::take(&mut self.bytes)
    }
}

/// A revocation that waits for the callers.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) partitions: Vec<TopicPartition>,
    released: Vec<TopicPartition>,
    deadline: Instant,
}

/// Everything under the lock.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) partitions: BTreeMap<TopicPartition, Partition>,
    pub(crate) subscribed: Vec<String>,
    pub(crate) leaving: Option<Leaving>,
    events: VecDeque<Result<Event, Error>>,
    turn: Option<TopicPartition>,
    bytes: usize,
    ended: Option<String>,
    stop: bool,
}

/// The state, its lock, and the bell.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Held while the client is told what to pause; taken before the state's lock.
    telling: Mutex<()>,
    bell: Notify,
    notices: Option<mpsc::UnboundedSender<Notice>>,
    pub(crate) member: String,
    pub(crate) group: String,
    pub(crate) brokers: String,
    pub(crate) guarded: bool,
    pub(crate) release: Option<Duration>,
}

impl Shared {
    pub(crate) fn new(settings: &MemberSettings, notices: Option<mpsc::UnboundedSender<Notice>>) -> Self {
        Self {
            state: Mutex::new(State {
                partitions: BTreeMap::new(),
                subscribed: Vec::new(),
                leaving: None,
                events: VecDeque::new(),
                turn: None,
                bytes: 0,
                ended: None,
                stop: false,
            }),
            telling: Mutex::new(()),
            bell: Notify::new(),
            notices,
            member: settings.member.clone(),
            group: settings.group.clone(),
            brokers: settings.cluster.brokers.clone(),
            guarded: settings.guarded,
            release: settings.release,
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn telling(&self) -> MutexGuard<'_, ()> {
        self.telling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notice(&self, notice: Notice) {
        if let Some(notices) = &self.notices {
            // Nobody listens any more when the session is being closed.
            drop(notices.send(notice));
        }
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.bell.notify_waiters();
    }

    pub(crate) fn stopped(&self) -> bool {
        self.lock().stop
    }

    /// Gives `error` to the next caller. One that recycles ends the member for good.
    pub(crate) fn fail(&self, error: Error) {
        let mut state = self.lock();
        if error.recycles() {
            if state.ended.is_some() {
                // The first reason is the one that counts; what follows from it would only pile up.
                return;
            }
            state.ended = Some(error.fault().detail);
        }
        state.events.push_back(Err(error));
        drop(state);
        self.bell.notify_waiters();
    }

    /// Ends the member after what was already given to it: every later call says so.
    pub(crate) fn end(&self, reason: &str) {
        self.lock().ended.get_or_insert_with(|| reason.to_owned());
        self.bell.notify_waiters();
    }

    /// The error of a member that has ended.
    pub(crate) fn alive(&self) -> Result<(), Error> {
        match &self.lock().ended {
            None => Ok(()),
            Some(reason) => Err(Error::Ended { member: self.member.clone(), reason: reason.clone() }),
        }
    }

    /// Takes over newly assigned partitions. `stopped` ones are ours but give nothing.
    pub(crate) fn assigned(&self, starts: Vec<Start>, stopped: &[TopicPartition]) {
        let mut state = self.lock();
        for start in &starts {
            let name = start.next.topic_partition();
            let stopped = stopped.contains(&name);
            let partition = Partition {
                saved: start.next.offset,
                committed: start.committed,
                epoch: start.epoch,
                open: !self.guarded,
                stopped,
                paused: false,
                revoking: false,
                cursor: start.next.offset,
                buffer: VecDeque::new(),
                bytes: 0,
                held: self.guarded || stopped,
            };
            state.partitions.insert(name, partition);
        }
        let usable: Vec<Start> =
            starts.into_iter().filter(|start| !stopped.contains(&start.next.topic_partition())).collect();
        if !self.guarded && !usable.is_empty() {
            let names = usable.iter().map(|start| start.next.topic_partition()).collect();
            state.events.push_back(Ok(Event::Assigned(names)));
        }
        drop(state);
        self.notice(Notice::Assigned(usable));
        self.bell.notify_waiters();
    }

    /// Announces partitions whose barrier is passed. Those that have gone meanwhile, even if they have come back, are
    /// left out.
    pub(crate) fn open(&self, starts: &[Start]) -> Vec<TopicPartition> {
        let mut state = self.lock();
        let mut opened = Vec::new();
        for start in starts {
            let name = start.next.topic_partition();
            if let Some(partition) = state.partitions.get_mut(&name)
                && partition.epoch == start.epoch
                && !partition.revoking
                && !partition.open
            {
                partition.open = true;
                opened.push(name);
            }
        }
        if !opened.is_empty() {
            state.events.push_back(Ok(Event::Assigned(opened.clone())));
        }
        drop(state);
        self.bell.notify_waiters();
        opened
    }

    /// Begins a revocation that may wait. What no caller knows yet is released at once.
    pub(crate) fn revoking(&self, partitions: Vec<TopicPartition>, wait: Duration) {
        let mut state = self.lock();
        let mut known = Vec::new();
        let mut released = Vec::new();
        for name in &partitions {
            let State { partitions: owned, bytes, .. } = &mut *state;
            let Some(partition) = owned.get_mut(name) else {
                released.push(name.clone());
                continue;
            };
            partition.revoking = true;
            *bytes -= partition.clear();
            if partition.open && !partition.stopped { known.push(name.clone()) } else { released.push(name.clone()) }
        }
        if !known.is_empty() {
            state.events.push_back(Ok(Event::Revoking(known)));
        }
        state.leaving = Some(Leaving { partitions, released, deadline: Instant::now() + wait });
        drop(state);
        self.bell.notify_waiters();
    }

    /// Lets partitions go that wait for it.
    pub(crate) fn release(&self, partitions: &[TopicPartition]) {
        if let Some(leaving) = &mut self.lock().leaving {
            leaving.released.extend(partitions.iter().cloned());
        }
    }

    /// The partitions of a revocation whose wait is over.
    pub(crate) fn due(&self, now: Instant, lost: bool) -> Option<Vec<TopicPartition>> {
        let mut state = self.lock();
        let leaving = state.leaving.as_ref()?;
        let all = leaving.partitions.iter().all(|name| leaving.released.contains(name));
        if !(all || lost || state.stop || state.ended.is_some() || now >= leaving.deadline) {
            return None;
        }
        state.leaving.take().map(|leaving| leaving.partitions)
    }

    /// Forgets partitions: from here on no transaction may name them.
    pub(crate) fn gone(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        let mut known = Vec::new();
        for name in partitions {
            if let Some(mut partition) = state.partitions.remove(name) {
                state.bytes -= partition.clear();
                if partition.open && !partition.stopped {
                    known.push(name.clone());
                }
            }
        }
        if let Some(leaving) = &state.leaving
            && leaving.partitions.iter().all(|name| !state.partitions.contains_key(name))
        {
            state.leaving = None;
        }
        if !known.is_empty() {
            state.events.push_back(Ok(Event::Revoked(known)));
        }
        drop(state);
        self.notice(Notice::Gone(partitions.to_vec()));
        self.bell.notify_waiters();
    }

    /// Silences a partition whose data cannot be read; `false` when it was silent already.
    pub(crate) fn silence(&self, name: &TopicPartition) -> bool {
        let mut state = self.lock();
        let State { partitions, bytes, .. } = &mut *state;
        let Some(partition) = partitions.get_mut(name) else { return false };
        *bytes -= partition.clear();
        !std::mem::replace(&mut partition.stopped, true)
    }

    /// Takes in what the client gave. Records of partitions that are not ours, or that came before, are dropped.
    pub(crate) fn received(&self, records: Vec<Received>) {
        if records.is_empty() {
            return;
        }
        let mut state = self.lock();
        let State { partitions, bytes, .. } = &mut *state;
        for record in records {
            let Some(partition) = partitions.get_mut(&TopicPartition::of(&record)) else { continue };
            if partition.revoking || partition.stopped || record.offset < partition.cursor {
                continue;
            }
            partition.cursor = Next::after(&record).offset;
            let size = weight(&record);
            partition.bytes += size;
            *bytes += size;
            partition.buffer.push_back(record);
        }
        drop(state);
        self.bell.notify_waiters();
    }

    /// The next event; `None` when there is nothing to give.
    pub(crate) fn take(&self, max: usize) -> Option<Result<Event, Error>> {
        let mut state = self.lock();
        if let Some(event) = state.events.pop_front() {
            return Some(event);
        }
        if let Some(reason) = &state.ended {
            return Some(Err(Error::Ended { member: self.member.clone(), reason: reason.clone() }));
        }
        let records = state.records(max);
        (!records.is_empty()).then_some(Ok(Event::Records(records)))
    }

    /// The next event, or [`Event::Idle`] after `wait`.
    pub(crate) async fn next(&self, max: usize, wait: Duration) -> Result<Event, Error> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            // Listening begins before looking, or a bell between the two would be missed.
            rung.as_mut().enable();
            if let Some(event) = self.take(max) {
                return event;
            }
            if tokio::time::timeout_at(deadline, rung).await.is_err() {
                return self.take(max).unwrap_or(Ok(Event::Idle));
            }
        }
    }

    /// Names of owned partitions, open or not.
    pub(crate) fn owned(&self) -> Vec<TopicPartition> {
        self.lock().partitions.keys().cloned().collect()
    }

    /// Names of partitions that give records.
    pub(crate) fn opened(&self) -> Vec<TopicPartition> {
        let state = self.lock();
        state.partitions.iter().filter(|(_, p)| p.open && !p.stopped).map(|(name, _)| name.clone()).collect()
    }

    /// Whether this very assignment still holds.
    pub(crate) fn holds(&self, start: &Start) -> bool {
        self.lock().partitions.get(&start.next.topic_partition()).is_some_and(|p| p.epoch == start.epoch)
    }

    /// Whether an owned partition gives records.
    pub(crate) fn is_open(&self, name: &TopicPartition) -> bool {
        self.lock().partitions.get(name).is_some_and(|p| p.open && !p.stopped)
    }

    /// Saved position of an owned partition, and whether there was one before it was ours.
    pub(crate) fn saved_of(&self, name: &TopicPartition) -> Option<(Next, bool)> {
        let state = self.lock();
        let partition = state.partitions.get(name)?;
        Some((Next::at(&name.topic, name.partition, partition.saved), partition.committed))
    }

    /// Those of `next` that are owned, none before what is saved: records that were read before a partition went and came
    /// back are read twice.
    pub(crate) fn owned_of(&self, next: &[Next]) -> Vec<Next> {
        let state = self.lock();
        let at_least = |n: &Next| {
            let partition = state.partitions.get(&n.topic_partition())?;
            Some(Next::at(&n.topic, n.partition, partition.saved.max(n.offset)))
        };
        next.iter().filter_map(at_least).collect()
    }

    /// Notes saved positions.
    pub(crate) fn saved(&self, next: &[Next]) {
        let mut state = self.lock();
        for n in next {
            if let Some(partition) = state.partitions.get_mut(&n.topic_partition()) {
                partition.saved = partition.saved.max(n.offset);
            }
        }
    }

    pub(crate) fn set_paused(&self, names: &[TopicPartition], paused: bool) {
        let mut state = self.lock();
        for name in names {
            if let Some(partition) = state.partitions.get_mut(name) {
                partition.paused = paused;
            }
        }
        drop(state);
        self.bell.notify_waiters();
    }

    /// What the client has to pause and to resume now.
    pub(crate) fn turn_over(&self) -> (Vec<TopicPartition>, Vec<TopicPartition>) {
        let mut state = self.lock();
        let State { partitions, bytes, .. } = &mut *state;
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (name, partition) in partitions {
            let wanted = partition.wants_hold(*bytes);
            if wanted != partition.held {
                partition.held = wanted;
                if wanted { pause.push(name.clone()) } else { resume.push(name.clone()) }
            }
        }
        (pause, resume)
    }
}

impl State {
    /// At most `max` records, an equal share of every partition that has some, beginning after the one that was first
    /// the last time.
    fn records(&mut self, max: usize) -> Vec<Received> {
        let giving: Vec<TopicPartition> =
            self.partitions.iter().filter(|(_, p)| p.gives()).map(|(name, _)| name.clone()).collect();
        if giving.is_empty() || max == 0 {
            return Vec::new();
        }
        let first = giving.iter().position(|name| Some(name) > self.turn.as_ref()).unwrap_or(0);
        self.turn = giving.get(first).cloned();
        let share = max.div_ceil(giving.len());
        let mut records = Vec::new();
        let mut left = true;
        while records.len() < max && left {
            left = false;
            for name in giving.iter().cycle().skip(first).take(giving.len()) {
                let Some(partition) = self.partitions.get_mut(name) else { continue };
                let count = share.min(max - records.len()).min(partition.buffer.len());
                for record in partition.buffer.drain(..count) {
                    let size = weight(&record);
                    partition.bytes -= size;
                    self.bytes -= size;
                    records.push(record);
                }
                left |= !partition.buffer.is_empty();
            }
        }
        records
    }
}

#[cfg(test)]
#[path = "shared_tests.rs"]
mod tests;
