//! What is done next: which target may be called, whose turn it is, and what goes into the call.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use document::FlowName;

use super::breaker::Allow;
use super::event::{Action, AdvanceDocument, Errand, Lane, PartitionId, ProbeDocument, Step};
use super::ledger::{Intended, Intent, Reached};
use super::outbox::Plan;
use super::partition::{Item, ItemRef, Purpose, State};
use super::queues::{Queue, Target};
use super::{Call, Core, Group, Kind};

/// One call's worth of work.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    Probe(ItemRef),
    Advance(ItemRef),
    Group(u64),
    Save(ItemRef),
    /// A look-up whose finding does not matter.
    Trial(ItemRef),
}

/// Replays first: when it is their turn at all, they have let fresh documents pass.
const LANES: [Lane; 2] = [Lane::Replay, Lane::Fresh];
/// While fresh documents wait, so many calls are theirs before one is for replays.
const FRESH_PER_REPLAY: u32 = 4;

impl Core {
    /// Uses the permits in hand, then asks for more wherever a call could be made.
    pub(super) fn schedule(&mut self) {
        if self.draining {
            return;
        }
        let names: Vec<String> = self.targets.keys().cloned().collect();
        for name in names {
            self.use_permits(&name);
            for lane in LANES {
                let wanted = self.wants_permit(&name, lane);
                if let Some(target) = self.targets.get_mut(&name).filter(|_| wanted)
                    && target.asked.insert(lane)
                {
                    self.actions.push(Action::Permit { target: name.clone(), lane });
                }
            }
        }
    }

    /// Whether a call of the lane could be made and its turn has come. Each lane asks for itself, so that fresh documents
    /// do not stand behind a permit for replays, which may take long.
    fn wants_permit(&self, name: &str, lane: Lane) -> bool {
        let Some(target) = self.targets.get(name).filter(|target| !target.given.contains(&lane)) else { return false };
        let its_turn = || match lane {
            Lane::Fresh => true,
            Lane::Replay => target.fresh_calls >= FRESH_PER_REPLAY || self.choose(name, Lane::Fresh).is_none(),
        };
        self.choose(name, lane).is_some() && its_turn()
    }

    /// A permit is here: it is used as soon as there is a place.
    pub(super) fn permitted(&mut self, name: &str, lane: Lane) {
        let Some(target) = self.targets.get_mut(name) else { return };
        if target.asked.remove(&lane) {
            target.given.insert(lane);
        }
    }

    fn use_permits(&mut self, name: &str) {
        for lane in LANES {
            let Some(target) = self.targets.get(name).filter(|target| target.given.contains(&lane)) else { continue };
            let places = self.places(target);
            if places > 0 && target.used >= places {
                continue;
            }
            // The work may have gone meanwhile, or the breaker opened: then the permit is lost, which hurts nobody.
            let chosen = self.choose(name, lane);
            if let Some(target) = self.targets.get_mut(name) {
                target.given.remove(&lane);
            }
            if let Some((flow, work)) = chosen {
                self.make(name, &flow, work, lane);
            }
        }
    }

    /// Makes a call, or puts down its intent.
    fn make(&mut self, name: &str, flow: &FlowName, work: Work, lane: Lane) {
        if let Some(target) = self.targets.get_mut(name) {
            target.turn = Some(flow.clone());
            target.used += 1;
            target.fresh_calls = match lane {
                Lane::Fresh => target.fresh_calls.saturating_add(1),
                Lane::Replay => 0,
            };
        }
        match work {
            Work::Probe(first) => self.probe(name, flow, &first, lane),
            Work::Advance(first) => self.advance(name, flow, &first, lane),
            Work::Save(first) => {
                let items = self.batch(name, flow, &first, lane);
                self.intend(name, flow, items, None, lane);
            }
            Work::Group(id) => {
                let set = self.group_mut(name, flow, id).map(|group| group.set.clone()).unwrap_or_default();
                let leaving: Vec<&ItemRef> = set.iter().filter(|at| self.is_revoking(at)).collect();
                if !leaving.is_empty() {
                    // They are as good as gone; the search goes on without them, with the next permit.
                    self.release_place(name);
                    return leaving.into_iter().for_each(|at| self.leave_group(at));
                }
                if let Some(group) = self.group_mut(name, flow, id) {
                    group.on_its_way = true;
                }
                self.intend(name, flow, set, Some(id), lane);
            }
            Work::Trial(at) => self.trial(name, flow, &at, lane),
        }
    }

    /// Calls that the target may have on their way at the same time, now.
    fn places(&self, target: &Target) -> usize {
        let now = self.now.mono;
        if target.not_before.is_some_and(|until| now < until) {
            return 0;
        }
        match target.breaker.allow(now) {
            Allow::Any => self.numbers.calls.max(1),
            Allow::One | Allow::Trial => 1,
            Allow::Wait(_) => 0,
        }
    }

    /// The next work of a target in a lane, fair between its flows.
    fn choose(&self, name: &str, lane: Lane) -> Option<(FlowName, Work)> {
        let target = self.targets.get(name)?;
        if target.used >= self.places(target) {
            return None;
        }
        let trial = target.breaker.allow(self.now.mono) == Allow::Trial;
        let after = target.turn.as_ref().map_or(0, |turn| target.queues.range(..=turn).count());
        let mut turns = target.queues.iter().skip(after).chain(target.queues.iter().take(after));
        turns.find_map(|(flow, queue)| Some((flow.clone(), self.work_of(queue, lane, trial)?)))
    }

    fn work_of(&self, queue: &Queue, lane: Lane, trial: bool) -> Option<Work> {
        let now = self.now.mono;
        let waiting = queue.lane(lane);
        if let Some((_, at)) = waiting.probes.first().filter(|(due, _)| *due <= now) {
            return Some(Work::Probe(at.clone()));
        }
        let mut groups = queue.groups.iter().filter(|(_, group)| self.lane_of(group) == Some(lane));
        if trial {
            let first = waiting.ready.first().or_else(|| groups.find_map(|(_, group)| group.set.first()));
            let first = first.or_else(|| waiting.advances.first().map(|(_, at)| at));
            return first.or_else(|| waiting.probes.first().map(|(_, at)| at)).cloned().map(Work::Trial);
        }
        if let Some((_, at)) = waiting.advances.first().filter(|(due, _)| *due <= now) {
            return Some(Work::Advance(at.clone()));
        }
        if queue.paused_until.is_some() {
            return None;
        }
        if let Some((id, _)) = groups.find(|(_, group)| !group.on_its_way) {
            return Some(Work::Group(*id));
        }
        let first = waiting.ready.first()?;
        let rules = self.item(first)?.rules.as_ref()?;
        let full = waiting.ready.len() >= rules.documents;
        let waited = waiting.ready_since.is_some_and(|since| now >= since + self.numbers.linger);
        (full || waited).then(|| Work::Save(first.clone()))
    }

    /// The lane of the set a search is to send next; `None` when it has none.
    fn lane_of(&self, group: &Group) -> Option<Lane> {
        group.set.first().and_then(|at| self.item(at)).map(Item::lane)
    }

    /// Documents of one flow version and lane, distinct keys by nature: only the holder of a key is ever ready.
    fn batch(&self, name: &str, flow: &FlowName, first: &ItemRef, lane: Lane) -> Vec<ItemRef> {
        let Some(leader) = self.item(first) else { return Vec::new() };
        let Some(rules) = leader.rules.as_ref() else { return Vec::new() };
        let Some(queue) = self.targets.get(name).and_then(|target| target.queues.get(flow)) else { return Vec::new() };
        let same = |item: &Item| item.mapped.flow_version == leader.mapped.flow_version;
        let (mut items, mut bytes) = (Vec::new(), 0);
        for at in &queue.lane(lane).ready {
            let Some(item) = self.item(at).filter(|item| same(item)) else { continue };
            let more = bytes + item.value.len();
            // The first one goes whatever its size; a larger document so travels alone.
            if !items.is_empty() && more > rules.max_bytes {
                continue;
            }
            items.push(at.clone());
            bytes = more;
            if items.len() >= rules.documents.max(1) || bytes >= rules.max_bytes {
                break;
            }
        }
        items
    }

    /// Puts down the intent of a save. The save follows once that is readable.
    fn intend(&mut self, name: &str, flow: &FlowName, items: Vec<ItemRef>, group: Option<u64>, lane: Lane) {
        let leader = items.first().and_then(|at| self.item(at));
        let Some((version, rules)) =
            leader.and_then(|item| Some((item.mapped.flow_version.clone(), Arc::clone(item.rules.as_ref()?))))
        else {
            return self.release_place(name);
        };
        let batch = format!("{:016x}", self.roll());
        let partitions: BTreeSet<PartitionId> = items.iter().map(|at| at.partition.clone()).collect();
        for id in partitions {
            let mut documents = Vec::new();
            for at in items.iter().filter(|at| at.partition == id) {
                // A former intent of the document is closed by the proof that it is absent, at the latest here.
                self.close_intent(at);
                self.set_state(at, State::Intending);
                let now = self.now.wall;
                let Some(item) = self.item_mut(at) else { continue };
                item.intent = Some(batch.clone());
                item.probes = 0;
                documents.push(Intended {
                    key: item.key().clone(),
                    version: item.version(),
                    digest: item.mapped.digest,
                    offset: item.offset,
                    first: *item.first_intent.get_or_insert(now),
                });
            }
            let within = u64::try_from(self.numbers.send_deadline.as_millis()).unwrap_or(u64::MAX);
            let intent = Intent::new(self.now.wall, within, documents);
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.intents.insert(batch.clone(), intent.clone());
            }
            self.pending.intents.push((id, batch.clone(), intent));
        }
        self.pending.plans.push(Plan {
            batch,
            target: name.to_owned(),
            flow: flow.clone(),
            version,
            rules,
            lane,
            items,
            group,
            noted: self.now.mono,
        });
    }

    /// Looks up everything of the flow version and lane that is due, as much as one query takes.
    fn probe(&mut self, name: &str, flow: &FlowName, first: &ItemRef, lane: Lane) {
        let Some(leader) = self.item(first) else { return self.release_place(name) };
        let (version, now) = (leader.mapped.flow_version.clone(), self.now.mono);
        let due: Vec<ItemRef> = self
            .targets
            .get(name)
            .and_then(|target| target.queues.get(flow))
            .map(|queue| {
                queue.lane(lane).probes.iter().take_while(|(due, _)| *due <= now).map(|(_, at)| at.clone()).collect()
            })
            .unwrap_or_default();
        let items: Vec<ItemRef> = due
            .into_iter()
            .filter(|at| self.item(at).is_some_and(|item| item.mapped.flow_version == version))
            .take(self.numbers.probe_keys.max(1))
            .collect();
        let documents = items
            .iter()
            .filter_map(|at| {
                let item = self.item(at)?;
                let State::Probe { purpose, .. } = &item.state else { return None };
                let compared = !matches!(purpose, Purpose::Status(_) | Purpose::BeforeUpdate | Purpose::Kept);
                Some(ProbeDocument { key: item.key().clone(), value: compared.then(|| Arc::clone(&item.value)) })
            })
            .collect();
        if let Some(errand) = self.call(name, flow, Kind::Probe, items, lane) {
            self.actions.push(Action::Probe { errand, documents });
        }
    }

    fn trial(&mut self, name: &str, flow: &FlowName, at: &ItemRef, lane: Lane) {
        let Some(item) = self.item(at) else { return self.release_place(name) };
        let Some(rules) = item.rules.clone() else { return self.release_place(name) };
        let (key, version) = (item.key().clone(), item.mapped.flow_version.clone());
        let call = self.id();
        let (target, flow) = (name.to_owned(), flow.clone());
        let errand =
            Errand { call, target: target.clone(), flow: flow.clone(), version, rules: Arc::clone(&rules), lane };
        let (sent, items) = (self.now.mono, Vec::new());
        self.calls.insert(call, Call { target, flow, rules, kind: Kind::Trial, items, sent, batch: None, group: None });
        self.actions.push(Action::Probe { errand, documents: vec![ProbeDocument { key, value: None }] });
    }

    /// Submits or audits everything of the flow version and lane that waits for the same step.
    fn advance(&mut self, name: &str, flow: &FlowName, first: &ItemRef, lane: Lane) {
        let step_of = |item: &Item| match item.reached() {
            Some(Reached::Submitted) => Step::Audit,
            Some(Reached::Saved | Reached::Audited) | None => Step::Submit,
        };
        let Some(leader) = self.item(first) else { return self.release_place(name) };
        let (version, step, now) = (leader.mapped.flow_version.clone(), step_of(leader), self.now.mono);
        let limit = leader.rules.as_ref().map_or(1, |rules| rules.documents.max(1));
        let due: Vec<ItemRef> = self
            .targets
            .get(name)
            .and_then(|target| target.queues.get(flow))
            .map(|queue| {
                queue.lane(lane).advances.iter().take_while(|(due, _)| *due <= now).map(|(_, at)| at.clone()).collect()
            })
            .unwrap_or_default();
        let same = |item: &Item| item.mapped.flow_version == version && step_of(item) == step;
        let items: Vec<ItemRef> = due.into_iter().filter(|at| self.item(at).is_some_and(same)).take(limit).collect();
        let documents = items
            .iter()
            .filter_map(|at| {
                let item = self.item(at)?;
                let id = item.entry.as_ref()?.target.as_ref()?.id.clone();
                Some(AdvanceDocument { key: item.key().clone(), id })
            })
            .collect();
        if let Some(errand) = self.call(name, flow, Kind::Advance(step), items, lane) {
            self.actions.push(Action::Advance { errand, step, documents });
        }
    }

    /// Puts down a call that needs no intent.
    fn call(&mut self, name: &str, flow: &FlowName, kind: Kind, items: Vec<ItemRef>, lane: Lane) -> Option<Errand> {
        let leader = items.first().and_then(|at| self.item(at));
        let Some((version, rules)) =
            leader.and_then(|item| Some((item.mapped.flow_version.clone(), Arc::clone(item.rules.as_ref()?))))
        else {
            self.release_place(name);
            return None;
        };
        for at in &items {
            let before = self.item(at).map_or(State::Ready, |item| item.state.clone());
            self.set_state(at, State::Calling(Box::new(before)));
        }
        let call = self.id();
        let (target, flow) = (name.to_owned(), flow.clone());
        let errand =
            Errand { call, target: target.clone(), flow: flow.clone(), version, rules: Arc::clone(&rules), lane };
        let sent = self.now.mono;
        self.calls.insert(call, Call { target, flow, rules, kind, items, sent, batch: None, group: None });
        Some(errand)
    }

    pub(super) fn release_place(&mut self, name: &str) {
        if let Some(target) = self.targets.get_mut(name) {
            target.used = target.used.saturating_sub(1);
        }
    }

    pub(super) fn group_mut(&mut self, name: &str, flow: &FlowName, id: u64) -> Option<&mut Group> {
        self.targets.get_mut(name)?.queues.get_mut(flow)?.groups.get_mut(&id)
    }

    /// Stops and resumes fetching by what is in hand.
    pub(super) fn pressure(&mut self) {
        let numbers = &self.numbers;
        let total: usize = self.partitions.values().map(|partition| partition.bytes).sum();
        for (id, partition) in &mut self.partitions {
            let (records, bytes) = (partition.items.len(), partition.bytes);
            let full = records >= numbers.in_hand
                || bytes >= numbers.in_hand_bytes
                || (records > 0 && total >= numbers.total_bytes);
            let relaxed = records <= numbers.in_hand / 2
                && bytes <= numbers.in_hand_bytes / 2
                && (records == 0 || total <= numbers.total_bytes / 2);
            if full && !partition.paused {
                partition.paused = true;
                self.actions.push(Action::Pause(id.clone()));
            } else if relaxed && partition.paused {
                partition.paused = false;
                self.actions.push(Action::Resume(id.clone()));
            }
        }
    }

    /// The next instant at which time alone makes something possible; a [`Tick`](super::Event::Tick) is due then.
    pub fn wake_at(&self) -> Option<Duration> {
        let now = self.now.mono;
        let mut wake: Option<Duration> = None;
        let mut note = |at: Duration| wake = Some(wake.map_or(at, |earlier| earlier.min(at)));
        for target in self.targets.values() {
            // Nothing of a target is possible before its breaker and its own wait allow it; and while it has no place
            // free or a permit is on its way, an event will come anyway.
            let (floor, places) = match target.breaker.allow(now) {
                Allow::Wait(until) => (until, 1),
                Allow::One | Allow::Trial => (now, 1),
                Allow::Any => (now, self.numbers.calls.max(1)),
            };
            let floor = target.not_before.map_or(floor, |until| floor.max(until));
            for (queue, lane) in target.queues.values().flat_map(|queue| LANES.map(|lane| (queue, lane))) {
                let waiting = queue.lane(lane);
                if let Some(until) = queue.paused_until {
                    note(until);
                }
                // Replays may have to wait for a fresh call that is about to be made.
                let awaited = match lane {
                    Lane::Fresh => target.asked.contains(&lane),
                    Lane::Replay => !target.asked.is_empty(),
                };
                if awaited || target.used >= places {
                    continue;
                }
                let firsts = [waiting.probes.first(), waiting.advances.first()];
                firsts.into_iter().flatten().for_each(|(due, _)| note((*due).max(floor)));
                if queue.paused_until.is_none() {
                    if queue.groups.values().any(|group| !group.on_its_way && self.lane_of(group) == Some(lane)) {
                        note(floor);
                    }
                    if let Some(since) = waiting.ready_since {
                        note((since + self.numbers.linger).max(floor));
                    }
                }
            }
        }
        let moved = self.partitions.values().any(super::Partition::position_moved);
        if self.committing.is_none() && (moved || self.closes_intents()) {
            note(self.last_commit + self.numbers.offsets_every);
        }
        if !self.waiting_for_rules.is_empty() {
            note(now + Duration::from_secs(1));
        }
        // Never now: whatever was possible now has been asked for.
        wake.map(|at| at.max(now + Duration::from_millis(1)))
    }
}
