//! The loader's shell: carries out what its core asks for, and decides nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use document::{FlowName, FlowVersion};
use loader::core::event::{
    Action, AdvanceDocument, AdvanceReply, Assigned, CallId, Errand, Event, Observation, Outcome, ProbeDocument,
    ProbeReply, SaveDocument, SaveReply, Step, Transaction, Trouble, Unknown,
};
use loader::core::ledger::INTENT_PREFIX;
use loader::core::{Carried, Core, Facts, FactsFailed, KeyValue, Moment, PartitionId, Rules};

use crate::flow;
use crate::log::{Table, Topic};
use crate::message::{Happening, Message, Save};
use crate::rule::Rule;
use crate::session::Purpose;
use crate::setting::{FLOW_VERSION, Setting};
use crate::target::{Course, Sent};
use crate::world::{Role, Shell, World};

/// Records that one look gives.
const AT_ONCE: usize = 100;
/// How long a moving partition may wait for what is in flight.
const RELEASE: Duration = Duration::from_millis(13_500);

/// What a loader process holds in memory.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    core: Option<Core>,
    carried: Carried,
    fed: BTreeMap<i32, i64>,
    tick_at: Option<Duration>,
    leaving: Vec<(i32, Duration)>,
}

struct View<'a> {
    tables: &'a BTreeMap<i32, BTreeMap<Topic, Table>>,
    setting: &'a Setting,
    now: Duration,
}

impl View<'_> {
    fn table(&self, partition: &PartitionId) -> Result<&Table, FactsFailed> {
        let gone = || FactsFailed { partition: partition.clone(), source: None };
        self.tables.get(&partition.partition).and_then(|tables| tables.get(&Topic::Ledger)).ok_or_else(gone)
    }
}

impl Facts for View<'_> {
    fn get(&self, partition: &PartitionId, key: &[u8]) -> Result<Option<Vec<u8>>, FactsFailed> {
        Ok(self.table(partition)?.get(key).cloned())
    }

    fn intents(&self, partition: &PartitionId) -> Result<Vec<KeyValue>, FactsFailed> {
        let prefix = INTENT_PREFIX.as_bytes();
        let entries = self.table(partition)?.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn rules(&self, _: &FlowName, version: &FlowVersion) -> Option<Arc<Rules>> {
        self.setting.is_known(version, self.now).then(|| Arc::clone(&self.setting.rules))
    }

    fn is_current(&self, _: &FlowName, version: &FlowVersion) -> bool {
        version.as_str() == FLOW_VERSION
    }
}

fn id_of(partition: i32) -> PartitionId {
    PartitionId { flow: flow(), partition }
}

impl World {
    /// A session begins: so does a core.
    pub(crate) fn begin_loader(&mut self, node: usize) {
        let (numbers, seed) = (self.setting.numbers.clone(), self.dice.next());
        let loader = self.loader(node);
        let carried = std::mem::take(&mut loader.carried);
        *loader = Loader { core: Some(Core::new(numbers, seed, carried)), ..Loader::default() };
    }

    /// A session ends. What the process knows of its calls goes on, unless it died.
    pub(crate) fn forget_loader(&mut self, node: usize, lives: bool) {
        let loader = self.loader(node);
        let core = loader.core.take();
        let carried = core.map(Core::carry).filter(|_| lives).unwrap_or_default();
        *loader = Loader { carried, ..Loader::default() };
    }

    pub(crate) fn loader_hears(&mut self, node: usize, message: Message) {
        match message {
            Message::Opened(partition) => {
                let position = self.position(Role::Loader, partition);
                self.loader(node).fed.insert(partition, position);
                let assigned = Assigned { partition: id_of(partition), ledger_lost: false };
                self.tell_core(node, Event::Assigned(vec![assigned]));
                self.feed(node);
            }
            Message::Revoking(partition) => {
                let until = self.now + RELEASE;
                self.loader(node).leaving.push((partition, until));
                if let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) {
                    self.after(RELEASE, Happening::Release { node, session, partition });
                }
                self.tell_core(node, Event::Revoking(vec![id_of(partition)]));
            }
            Message::Revoked(partition) => {
                let loader = self.loader(node);
                loader.fed.remove(&partition);
                loader.leaving.retain(|(leaving, _)| *leaving != partition);
                self.tell_core(node, Event::Revoked(vec![id_of(partition)]));
            }
            Message::Committed(name) => self.tell_core(node, Event::Committed(name)),
            Message::Poll => self.feed(node),
            Message::Tick if self.is_tick_due(node) => {
                self.loader(node).tick_at = None;
                self.tell_core(node, Event::Tick);
            }
            Message::Core(event) => self.tell_core(node, *event),
            Message::Send { errand, documents, deadline } => self.send(node, *errand, documents, deadline),
            _ => {}
        }
    }

    fn is_tick_due(&mut self, node: usize) -> bool {
        let now = self.now;
        self.loader(node).tick_at.is_some_and(|at| at <= now)
    }

    /// Hands over what can be read.
    fn feed(&mut self, node: usize) {
        let mut records = Vec::new();
        for (partition, from) in self.loader(node).fed.clone() {
            let read = self.log.read((Topic::Mapped, partition), from, AT_ONCE);
            if read.len() == AT_ONCE {
                // What is left comes with the next look.
                self.tell(Duration::from_millis(5), node, Message::Poll);
            }
            if let Some(last) = read.last() {
                self.loader(node).fed.insert(partition, last.offset + 1);
            }
            records.extend(read);
        }
        if !records.is_empty() {
            self.tell_core(node, Event::Records(records));
        }
    }

    fn tell_core(&mut self, node: usize, event: Event) {
        let moment = Moment { mono: self.now, wall: self.wall_of(node) };
        let Some(mut core) = self.loader(node).core.take() else { return };
        let Some(session) = &self.nodes[node].session else { return };
        self.trace.note(self.now, || format!("node {node} hears {}", words(&event)));
        let actions =
            core.handle(event, moment, &View { tables: &session.tables, setting: &self.setting, now: self.now });
        let waits = core.waiting().iter().any(|(_, why, _)| *why == "version");
        // What a process looks at every second anyway.
        let look = waits.then(|| self.now + Duration::from_secs(1));
        let wake = core.wake_at().into_iter().chain(look).min();
        self.loader(node).core = Some(core);
        match actions {
            Ok(actions) => actions.into_iter().for_each(|action| self.act(node, action)),
            Err(_) => return self.end_session(node, "the ledger cannot be read"),
        }
        if let Some(at) = wake.filter(|at| self.loader(node).tick_at.is_none_or(|known| *at < known)) {
            self.loader(node).tick_at = Some(at);
            self.tell(at.saturating_sub(self.now), node, Message::Tick);
        }
        self.release_idle(node);
    }

    /// What loaders have in hand although everything has ended, if anything.
    pub(crate) fn left_with_loaders(&self) -> Option<String> {
        (0..self.nodes.len()).find_map(|node| {
            let Shell::Loader(loader) = &self.nodes[node].shell else { return None };
            let core = loader.core.as_ref()?;
            let (doubt, oldest, waiting) = (core.in_doubt(), core.oldest_in_hand(), core.waiting());
            let nothing = doubt.is_empty() && oldest.is_empty() && waiting.is_empty();
            (!nothing).then(|| format!("node {node} still has {doubt:?}, {oldest:?}, {waiting:?}"))
        })
    }

    /// Lets moving partitions go that nothing is in flight for.
    fn release_idle(&mut self, node: usize) {
        let loader = self.loader(node);
        let Some(core) = &loader.core else { return };
        let idle: Vec<i32> =
            loader.leaving.iter().map(|(p, _)| *p).filter(|partition| !core.is_busy(&[id_of(*partition)])).collect();
        for partition in idle {
            self.loader(node).leaving.retain(|(leaving, _)| *leaving != partition);
            self.release(node, partition);
        }
    }

    fn act(&mut self, node: usize, action: Action) {
        if self.nodes[node].session.is_none() {
            return;
        }
        match action {
            Action::Permit { target, lane } => {
                let stalled = self.redis_stalls_until.saturating_sub(self.now);
                let wait = stalled + self.dice.millis(2, 30);
                self.tell(wait, node, Message::Core(Box::new(Event::Permitted { target, lane })));
            }
            Action::Commit { id, transaction } => {
                let Transaction { letters, facts, offsets } = transaction;
                let letters = letters.into_iter().map(|record| ((Topic::Letters, 0), record)).collect();
                let facts = facts.into_iter().map(|(id, record)| ((Topic::Ledger, id.partition), record)).collect();
                let offsets = offsets.into_iter().map(|(id, offset)| (id.partition, offset)).collect();
                self.transact(node, Purpose::Shell(id), letters, facts, offsets);
            }
            Action::Save { errand, documents, deadline } => {
                // Between an intent that can be read and the last look at the clock lies what the deadline is for.
                self.strikes(node);
                // A permit that became too old is replaced by a new one, which may take its time.
                let stalled = self.redis_stalls_until.saturating_sub(self.now);
                let wait = stalled + self.dice.millis(0, 20);
                self.tell(wait, node, Message::Send { errand: Box::new(errand), documents, deadline });
            }
            Action::Probe { errand, documents } => {
                let wait = self.dice.millis(20, 150);
                let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
                self.after(wait, Happening::Query { node, session, call: errand.call, documents });
            }
            Action::Advance { errand, step, documents } => {
                let wait = self.dice.millis(20, 150);
                let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
                self.after(wait, Happening::Step { node, session, call: errand.call, step, documents });
            }
            Action::Pause(_) | Action::Resume(_) => {}
            Action::Observe(Observation::Ended { .. } | Observation::Batch { .. } | Observation::Retry { .. }) => {}
            Action::Observe(observation) => self.note(|| format!("node {node} tells {observation:?}")),
        }
    }

    /// The last look at the clock, then the request is begun.
    fn send(&mut self, node: usize, errand: Errand, documents: Vec<SaveDocument>, deadline: Duration) {
        let call = errand.call;
        if self.now > deadline && self.keeps(Rule::Deadline) {
            return self.answer_save(Duration::ZERO, node, call, SaveReply::NotSent(Trouble::Late));
        }
        let sent: Vec<Sent> = documents
            .into_iter()
            .map(|document| Sent { key: document.key, value: document.value.to_vec(), update: document.update })
            .collect();
        let together = errand.rules.together;
        let course = self.target.course(&mut self.dice, self.now, &sent, together);
        let soon = self.dice.millis(5, 60);
        let unknown = |text: &str| Unknown::Other(text.to_owned());
        match course {
            Course::NotSent => {
                let reply = SaveReply::NotSent(Trouble::Unreachable("no connection".to_owned()));
                return self.answer_save(soon, node, call, reply);
            }
            Course::Throttled => return self.answer_save(soon, node, call, SaveReply::Throttled(None)),
            Course::SessionLost => {
                let why = match self.dice.one_in(4) {
                    true => Unknown::CallRefused("no licence is left".to_owned()),
                    false => Unknown::SessionLost,
                };
                return self.answer_save(soon, node, call, SaveReply::UnknownClosed(why));
            }
            Course::Open(_, work_after) => {
                let cut = if work_after > Duration::from_secs(10) && self.dice.one_in(2) {
                    self.dice.millis(100, 60_000)
                } else {
                    self.dice.millis(70, 2_000)
                };
                self.answer_save(cut, node, call, SaveReply::UnknownOpen(unknown("reset")));
            }
            Course::Plain
            | Course::Closed(_)
            | Course::Uncovered(_)
            | Course::AuditKeep(_)
            | Course::AuditRollback(_) => {}
        }
        let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
        let reached = errand.rules.reached_by_save();
        let save = Save { node, session, call, sent, reached, course };
        self.after(soon.min(Duration::from_millis(50)), Happening::Wire(Box::new(save)));
    }

    pub(crate) fn answer_save(&mut self, wait: Duration, node: usize, call: CallId, reply: SaveReply) {
        self.tell(wait, node, Message::Core(Box::new(Event::Saved { call, reply })));
    }

    /// The first byte leaves, unless the process is gone or stopped: then nothing was sent.
    pub(crate) fn on_the_wire(&mut self, save: Save) {
        if !self.is_session(save.node, save.session) {
            return;
        }
        if self.is_paused(save.node) {
            // The connection is gone when the process goes on.
            if !matches!(save.course, Course::Open(..)) {
                let reply = SaveReply::UnknownOpen(Unknown::Other("reset".to_owned()));
                self.answer_save(Duration::ZERO, save.node, save.call, reply);
            }
            return;
        }
        self.check_save(&save);
        for document in &save.sent {
            *self.target.executing.entry(document.key.clone()).or_default() += 1;
        }
        let keys: Vec<&str> = save.sent.iter().map(|sent| sent.key.as_str()).collect();
        self.trace.note(self.now, || format!("node {} saves {keys:?}: {:?}", save.node, save.course));
        let work_after = match save.course {
            Course::Open(_, wait) => wait,
            _ => self.dice.millis(30, 400),
        };
        self.after(work_after, Happening::Execute(Box::new(save)));
    }

    /// The target does its work, and answers where it still can.
    pub(crate) fn execute(&mut self, save: Save) {
        let wall = self.wall();
        for document in &save.sent {
            if let Some(count) = self.target.executing.get_mut(&document.key) {
                *count -= 1;
            }
        }
        let some = match save.course {
            Course::Closed(some) | Course::Open(some, _) => some.min(save.sent.len()),
            _ => save.sent.len(),
        };
        let (mut outcomes, wrong) = self.target.execute(self.now, &save.sent[..some], save.reached, wall);
        if let Some(wrong) = wrong {
            self.violate(wrong);
        }
        let reply = match save.course {
            Course::Open(..) => return,
            Course::Closed(_) => SaveReply::UnknownClosed(Unknown::Other("500".to_owned())),
            Course::Uncovered(index) => {
                if let Some(outcome) = outcomes.get_mut(index) {
                    *outcome = Outcome::Unknown;
                }
                SaveReply::Done(outcomes)
            }
            Course::AuditKeep(index) | Course::AuditRollback(index) => {
                let keeps = matches!(save.course, Course::AuditKeep(_));
                self.target.spoil(&mut outcomes, &save.sent, index, keeps);
                SaveReply::Done(outcomes)
            }
            Course::Plain | Course::NotSent | Course::Throttled | Course::SessionLost => SaveReply::Done(outcomes),
        };
        if self.is_session(save.node, save.session) {
            let wait = self.dice.millis(10, 80);
            self.answer_save(wait, save.node, save.call, reply);
        }
    }

    /// A look-up is executed.
    pub(crate) fn query(&mut self, node: usize, session: u64, call: CallId, documents: &[ProbeDocument]) {
        if !self.is_session(node, session) {
            return;
        }
        let down = self.now < self.target.down_until && self.target.dead;
        let reply = if self.now < self.target.mute_until {
            ProbeReply::Failed(Trouble::Refused("no such field".to_owned()))
        } else if down || self.dice.one_in(self.target.trouble * 2) {
            match self.dice.below(4) {
                0 => ProbeReply::Throttled(None),
                1 => ProbeReply::Throttled(Some(Duration::from_secs(3))),
                _ => ProbeReply::Failed(Trouble::Unreachable("503".to_owned())),
            }
        } else {
            ProbeReply::Found(documents.iter().map(|document| self.target.find(document)).collect())
        };
        let wait = self.dice.millis(10, 120);
        self.tell(wait, node, Message::Core(Box::new(Event::Probed { call, reply })));
    }

    /// A submit or audit is executed.
    pub(crate) fn step_target(
        &mut self,
        node: usize,
        session: u64,
        call: CallId,
        step: Step,
        documents: &[AdvanceDocument],
    ) {
        let trouble = self.now < self.target.down_until || self.dice.one_in(self.target.trouble);
        let reply = match (trouble, self.dice.below(3)) {
            (true, 0) => AdvanceReply::Throttled(None),
            (true, 1) => AdvanceReply::Failed(Trouble::Unreachable("503".to_owned())),
            (true, _) => {
                // Done, and the reply is lost.
                self.target.advance(step, documents);
                AdvanceReply::Failed(Trouble::Unreachable("reset".to_owned()))
            }
            (false, _) => AdvanceReply::Done(self.target.advance(step, documents)),
        };
        if self.is_session(node, session) {
            let wait = self.dice.millis(10, 120);
            self.tell(wait, node, Message::Core(Box::new(Event::Advanced { call, reply })));
        }
    }
}

/// What a core is told, short enough to be read.
fn words(event: &Event) -> String {
    match event {
        Event::Records(records) => format!("{} records", records.len()),
        other => format!("{other:?}"),
    }
}
