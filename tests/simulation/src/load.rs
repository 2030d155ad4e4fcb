//! The loader's shell: carries out what its core asks for, and decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use document::{FlowName, FlowVersion};
use loader::core::event::{
    Action, AdvanceDocument, AdvanceReply, Assigned, CallId, Errand, Event, Observation, Outcome, ProbeDocument,
    ProbeReply, SaveDocument, SaveReply, Step, Transaction, Trouble, Unknown,
};
use loader::core::ledger::INTENT_PREFIX;
use loader::core::{Carried, Core, Facts, FactsFailed, KeyValue, Moment, PartitionId, Rules};

use crate::discipline::Account;
use crate::flow;
use crate::letters::{Letters, committed};
use crate::log::{Table, Topic};
use crate::message::{Happening, Message, Save};
use crate::rule::Rule;
use crate::session::Purpose;
use crate::setting::Setting;
use crate::target::{Course, Sent, embellish};
use crate::world::{Role, SKEW, Shell, World};

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
    /// Partitions that are not fetched, since enough is in hand.
    paused: BTreeSet<i32>,
    /// Asked to end: then it goes, whatever is on its way.
    draining: Option<Duration>,
    /// The calls of the session.
    pub(crate) account: Account,
    /// And its letters.
    pub(crate) letters: Letters,
}

struct View<'a> {
    tables: &'a BTreeMap<i32, BTreeMap<Topic, Table>>,
    setting: &'a Setting,
    now: Duration,
    /// The disk below the table gives nothing back.
    broken: bool,
}

impl View<'_> {
    fn table(&self, partition: &PartitionId) -> Result<&Table, FactsFailed> {
        if self.broken {
            let source = Some(std::io::Error::other("the disk does not answer").into());
            return Err(FactsFailed { partition: partition.clone(), source });
        }
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
        let heard = self.now.saturating_sub(self.setting.variety.loaders_hear_after);
        self.setting.is_known(version, heard).then(|| Arc::clone(&self.setting.rules))
    }

    fn is_current(&self, _: &FlowName, version: &FlowVersion) -> bool {
        *version == self.setting.variety.current(self.now)
    }
}

fn id_of(partition: i32) -> PartitionId {
    PartitionId { flow: flow(), partition }
}

impl Loader {
    /// How far each partition was handed over, those that are not fetched now, and those that are to go.
    pub(crate) fn fetching(&self) -> (BTreeMap<i32, i64>, BTreeSet<i32>, BTreeSet<i32>) {
        let leaving = self.leaving.iter().map(|(partition, _)| *partition).collect();
        (self.fed.clone(), self.paused.clone(), leaving)
    }
}

impl World {
    /// A session begins: so does a core.
    pub(crate) fn begin_loader(&mut self, node: usize) {
        let (numbers, seed) = (self.setting.numbers.clone(), self.dice.next());
        let loader = self.loader(node);
        let carried = std::mem::take(&mut loader.carried);
        let core = Core::new(numbers, seed, carried);
        let account = Account::begin(core.breakers());
        *loader = Loader { core: Some(core), account, ..Loader::default() };
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
                let ledger_lost = self.is_ledger_lost(partition);
                let assigned = Assigned { partition: id_of(partition), ledger_lost };
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
                loader.paused.remove(&partition);
                loader.leaving.retain(|(leaving, _)| *leaving != partition);
                loader.account.forget(partition);
                self.tell_core(node, Event::Revoked(vec![id_of(partition)]));
            }
            Message::Committed(name) => self.tell_core(node, Event::Committed(name)),
            Message::Poll => {
                self.feed(node);
                self.end_if_drained(node);
            }
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
            if self.loader(node).paused.contains(&partition) {
                continue;
            }
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
        let latest = self.wall() + SKEW;
        let now = self.now;
        let mut account = std::mem::take(&mut self.loader(node).account);
        account.hear(&event, now, &self.setting.numbers);
        self.loader(node).account = account;
        let Some(mut core) = self.loader(node).core.take() else { return };
        let Some(session) = &self.nodes[node].session else { return };
        self.trace.note(self.now, || format!("node {node} hears {}", words(&event)));
        let broken = self.chaos && self.second.one_in(self.setting.variety.bad_disks);
        let view = View { tables: &session.tables, setting: &self.setting, now: self.now, broken };
        let readable = committed(&event);
        let actions = core.handle(event, moment, &view);
        let levels: Vec<(String, u8)> = core.breakers().map(|(name, level)| (name.to_owned(), level)).collect();
        for (_, level) in &levels {
            let word = ["breakers closed", "breakers half open", "breakers open"][usize::from(*level).min(2)];
            *self.tally.entry(word).or_default() += 1;
        }
        // What metrics are made of.
        let (doubt, oldest) = (core.in_doubt(), core.oldest_in_hand());
        let ages = doubt.values().map(|(_, first)| *first).chain(oldest.values().copied());
        let held = core.partitions().any(|id| !session.tables.contains_key(&id.partition));
        let from_tomorrow = ages.max().is_some_and(|at| at > latest);
        let waits = core.waiting().iter().any(|(_, why, _)| *why == "version");
        // What a process looks at every second anyway.
        let look = waits.then(|| self.now + Duration::from_secs(1));
        let wake = core.wake_at().into_iter().chain(look).min();
        self.loader(node).core = Some(core);
        match actions {
            Ok(actions) => {
                self.check_breakers(node, &levels, &actions);
                self.check_breaking(node, readable, &actions);
                let again = |action: &Action| if let Action::Resume(id) = action { Some(id.partition) } else { None };
                let resumed: Vec<i32> = actions.iter().filter_map(again).collect();
                actions.into_iter().for_each(|action| self.act(node, action));
                self.check_hand(node, &resumed);
            }
            Err(_) => return self.end_session(node, "the ledger cannot be read"),
        }
        if held {
            self.note(|| format!("node {node} holds what has moved away"));
        }
        if from_tomorrow {
            self.violate(format!("node {node} has something in hand since an instant that is yet to come"));
        }
        if let Some(at) = wake.filter(|at| self.loader(node).tick_at.is_none_or(|known| *at < known)) {
            self.loader(node).tick_at = Some(at);
            self.tell(at.saturating_sub(self.now), node, Message::Tick);
        }
        self.release_idle(node);
        self.end_if_drained(node);
    }

    /// The process is asked to end: nothing is begun any more, and it goes when nothing is on its way.
    pub(crate) fn drain(&mut self, node: usize) {
        if self.is_paused(node) || self.nodes[node].session.is_none() {
            return;
        }
        self.note(|| format!("node {node} is asked to end"));
        let until = self.now + RELEASE;
        self.loader(node).draining = Some(until);
        self.tell(RELEASE, node, Message::Poll);
        self.tell_core(node, Event::Drain);
    }

    fn end_if_drained(&mut self, node: usize) {
        let now = self.now;
        let loader = self.loader(node);
        let (Some(until), Some(core)) = (loader.draining, &loader.core) else { return };
        let (busy, waits) = (core.is_busy(&[]), loader.account.waits_for(&[]));
        if waits && !busy {
            return self.violate(format!("node {node} is idle as it says, and waits for replies"));
        }
        if now >= until || !busy {
            self.note(|| format!("node {node} ends as it was asked to"));
            let back = self.second.millis(500, 20_000);
            self.crash(node, back);
        }
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
        if self.loader(node).account.waits_for(&idle) && !idle.is_empty() {
            return self.violate(format!("node {node} lets {idle:?} go, and waits for replies about them"));
        }
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
                self.check_stillness(node);
                let stalled = self.redis_stalls_until.saturating_sub(self.now);
                let wait = stalled + self.dice.millis(2, 30);
                self.tell(wait, node, Message::Core(Box::new(Event::Permitted { target, lane })));
            }
            Action::Commit { id, transaction } => {
                let Transaction { letters, facts, offsets } = transaction;
                self.check_letters(node, id, &letters);
                let letters = letters.into_iter().map(|record| ((Topic::Letters, 0), record)).collect();
                let facts = facts.into_iter().map(|(id, record)| ((Topic::Ledger, id.partition), record)).collect();
                let offsets = offsets.into_iter().map(|(id, offset)| (id.partition, offset)).collect();
                self.transact(node, Purpose::Shell(id), letters, facts, offsets);
            }
            Action::Save { errand, documents, deadline } => {
                let keys: Vec<&[u8]> = documents.iter().map(|document| document.key.as_str().as_bytes()).collect();
                self.begin_call(node, errand.call, &keys);
                for key in &keys {
                    let now = self.now;
                    self.loader(node).letters.save(key, now);
                }
                // Between an intent that can be read and the last look at the clock lies what the deadline is for.
                if !self.strikes(node) && self.chaos && self.second.one_in(self.setting.variety.sleeps) {
                    let length = self.second.millis(60_000, 400_000);
                    self.pause(node, length);
                }
                // A permit that became too old is replaced by a new one, which may take its time.
                let stalled = self.redis_stalls_until.saturating_sub(self.now);
                let wait = stalled + self.dice.millis(0, 20);
                self.tell(wait, node, Message::Send { errand: Box::new(errand), documents, deadline });
            }
            Action::Probe { errand, documents } => {
                // Nobody has to wait for what is only looked at.
                self.begin_call(node, errand.call, &[]);
                if documents.is_empty() || documents.len() > self.setting.numbers.probe_keys {
                    self.violate(format!("{} documents are looked up at once", documents.len()));
                }
                let wait = self.dice.millis(20, 150);
                let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
                self.after(wait, Happening::Query { node, session, call: errand.call, documents });
            }
            Action::Advance { errand, step, documents } => {
                let keys: Vec<&[u8]> = documents.iter().map(|document| document.key.as_str().as_bytes()).collect();
                self.begin_call(node, errand.call, &keys);
                let wait = self.dice.millis(20, 150);
                let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
                self.after(wait, Happening::Step { node, session, call: errand.call, step, documents });
            }
            Action::Pause(id) => {
                self.loader(node).paused.insert(id.partition);
            }
            Action::Resume(id) => {
                self.loader(node).paused.remove(&id.partition);
                self.tell(Duration::ZERO, node, Message::Poll);
            }
            Action::Observe(Observation::Ended { .. } | Observation::Batch { .. } | Observation::Retry { .. }) => {}
            Action::Observe(Observation::Alert(fault)) => {
                *self.tally.entry(fault.code.as_str()).or_default() += 1;
                self.note(|| format!("node {node} alerts {fault}"));
            }
            Action::Observe(observation) => self.note(|| format!("node {node} tells {observation:?}")),
        }
    }

    /// The last look at the clock, then the request is begun.
    fn send(&mut self, node: usize, errand: Errand, documents: Vec<SaveDocument>, deadline: Duration) {
        let call = errand.call;
        if self.now > deadline && self.keeps(Rule::Deadline) {
            return self.answer_save(Duration::ZERO, node, call, SaveReply::NotSent(Trouble::Late));
        }
        if self.target.refuses_logins(self.now) {
            let reply = SaveReply::NotSent(Trouble::Login("the password is wrong".to_owned()));
            let soon = self.second.millis(5, 60);
            return self.answer_save(soon, node, call, reply);
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
            Course::Throttled => {
                let until = self.second.one_in(2).then(|| self.second.millis(1_000, 20_000));
                return self.answer_save(soon, node, call, SaveReply::Throttled(until));
            }
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
        if self.setting.variety.eloquent {
            outcomes.iter_mut().for_each(|outcome| embellish(&mut self.second, outcome));
        }
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
        let reply = if self.target.refuses_logins(self.now) {
            ProbeReply::Failed(Trouble::Login("the password is wrong".to_owned()))
        } else if self.now < self.target.mute_until {
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
        let refused = self.target.refuses_logins(self.now);
        let reply = match (trouble, self.dice.below(3)) {
            _ if refused => AdvanceReply::Failed(Trouble::Login("the password is wrong".to_owned())),
            (true, 0) => AdvanceReply::Throttled(None),
            (true, 1) => AdvanceReply::Failed(Trouble::Unreachable("503".to_owned())),
            (true, _) => {
                // Done, and the reply is lost.
                self.target.advance(step, documents);
                AdvanceReply::Failed(Trouble::Unreachable("reset".to_owned()))
            }
            (false, _) => {
                let mut outcomes = self.target.advance(step, documents);
                if self.chaos && self.target.trouble > 0 && self.second.one_in(self.target.trouble * 2) {
                    // The reply forgets one.
                    outcomes.pop();
                }
                AdvanceReply::Done(outcomes)
            }
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
