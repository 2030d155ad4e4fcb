//! A small world for the core: a log with transactions, a target, virtual time, and faults by script or by dice. It
//! asserts at every step what must hold at every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use document::{
    Code, DeadLetter, Digest, ExtractedAt, FlowName, FlowVersion, Mapped, Received, TargetKey, Tenant, TraceParent,
    Version, header, topic,
};

use super::super::event::*;
use super::super::ledger::{self, Entry, Reached};
use super::super::rules::OnChange;
use super::super::*;
pub(super) use super::erp::{Doc, Fault};
use super::quota::Quota;

#[derive(Debug)]
pub(super) enum Delivery {
    ToCore(u64, Event),
    Commit(u64, CommitId, Transaction),
    Execute { documents: Vec<SaveDocument>, reached: Reached },
    Probe(u64, CallId, Vec<ProbeDocument>),
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) values: BTreeMap<(PartitionId, Vec<u8>), Vec<u8>>,
    pub(super) rules: BTreeMap<String, Arc<Rules>>,
    /// Versions that the flow does not go by.
    pub(super) outdated: BTreeSet<String>,
}

impl Facts for Ledger {
    fn get(&self, partition: &PartitionId, key: &[u8]) -> Result<Option<Vec<u8>>, FactsFailed> {
        Ok(self.values.get(&(partition.clone(), key.to_vec())).cloned())
    }
    fn intents(&self, partition: &PartitionId) -> Result<Vec<KeyValue>, FactsFailed> {
        let of = self.values.iter().filter(|((id, key), _)| id == partition && key.starts_with(b"intent/"));
        Ok(of.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }
    fn rules(&self, _: &FlowName, version: &FlowVersion) -> Option<Arc<Rules>> {
        self.rules.get(version.as_str()).cloned()
    }
    fn is_current(&self, _: &FlowName, version: &FlowVersion) -> bool {
        !self.outdated.contains(version.as_str())
    }
}

pub(super) fn flow() -> FlowName {
    FlowName::new("misc").expect("valid")
}

pub(super) fn partition(n: i32) -> PartitionId {
    PartitionId { flow: flow(), partition: n }
}

/// The wall clock at virtual time zero.
pub(super) const EPOCH: i64 = 1_700_000_000_000;

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: Duration,
    /// How far the loader's wall clock is ahead, milliseconds.
    pub(super) ahead: i64,
    pub(super) numbers: Numbers,
    pub(super) core: Option<Core>,
    pub(super) life: u64,
    dice: u64,
    pub(super) log: BTreeMap<i32, Vec<Received>>,
    fed: BTreeMap<i32, usize>,
    pub(super) committed: BTreeMap<i32, i64>,
    pub(super) ledger: Ledger,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) target: BTreeMap<TargetKey, Vec<Doc>>,
    pub(super) unique: bool,
    queue: BTreeMap<(Duration, u64), Delivery>,
    sequence: u64,
    /// Faults of the next saves.
    pub(super) script: VecDeque<Fault>,
    /// Whether records were to be fetched, whenever that changed; the world brings them in any case.
    pub(super) fetching: Vec<bool>,
    /// The next so many probes fail.
    pub(super) probes_fail: usize,
    /// Probes find these documents beyond comparison.
    pub(super) unclear: bool,
    /// The target gives every document a number of its own.
    pub(super) renumbers: bool,
    /// Cuts off the field that documents are looked up by.
    pub(super) forgets_keys: bool,
    pub(super) poison: BTreeSet<TargetKey>,
    /// Documents that make the connection break, and how often they will.
    pub(super) unanswered: BTreeMap<TargetKey, u32>,
    pub(super) refuses: BTreeMap<TargetKey, Refusal>,
    /// Submits and audits of these are refused.
    pub(super) audit_refused: BTreeSet<TargetKey>,
    /// The next so many submits and audits are not done, and their replies do not tell.
    pub(super) silent_steps: usize,
    /// Everything but queries is answered by 500.
    pub(super) saves_down: bool,
    /// Queries are refused, whatever they ask for.
    pub(super) queries_refused: bool,
    /// How long the target really takes at most.
    pub(super) truth: Duration,
    pub(super) latency: Duration,
    pub(super) commit_takes: Duration,
    pub(super) quota: Quota,
    pub(super) saves: Vec<Vec<TargetKey>>,
    pub(super) save_times: Vec<Duration>,
    /// The lane of every save and probe, in order.
    pub(super) lanes: Vec<Lane>,
    pub(super) probe_times: Vec<Duration>,
    pub(super) commit_times: Vec<Duration>,
    pub(super) advances: Vec<(Step, Vec<TargetKey>)>,
    pub(super) observations: Vec<Observation>,
    pub(super) in_flight: BTreeMap<CallId, Vec<TargetKey>>,
    /// Saves that may still be executed.
    pub(super) executing: Vec<TargetKey>,
    pub(super) ended: Vec<Ended>,
    /// When the source showed what ended, as it is told.
    pub(super) observed: Vec<i64>,
}

pub(super) fn rules() -> Rules {
    Rules {
        connection: "b".to_owned(),
        documents: 50,
        max_bytes: 1 << 20,
        on_change: OnChange::Skip,
        wanted: Reached::Saved,
        together: false,
        told_by_save: true,
        retry: Retry::default(),
    }
}

impl World {
    pub(super) fn new(partitions: i32) -> Self {
        let mut ledger = Ledger::default();
        ledger.rules.insert("v1".to_owned(), Arc::new(rules()));
        let together = Rules { together: true, wanted: Reached::Audited, ..rules() };
        ledger.rules.insert("auto".to_owned(), Arc::new(together));
        ledger.rules.insert("steps".to_owned(), Arc::new(Rules { wanted: Reached::Audited, ..rules() }));
        ledger.rules.insert("update".to_owned(), Arc::new(Rules { on_change: OnChange::Update, ..rules() }));
        let hasty = Retry { connect: 0, attempts: 1, ..Retry::default() };
        ledger.rules.insert("hasty".to_owned(), Arc::new(Rules { retry: hasty, ..rules() }));
        ledger.rules.insert("marked".to_owned(), Arc::new(Rules { told_by_save: false, ..rules() }));
        ledger.rules.insert("park".to_owned(), Arc::new(Rules { on_change: OnChange::Park, ..rules() }));
        Self {
            now: Duration::from_secs(1_000),
            ahead: 0,
            numbers: Numbers::default(),
            core: None,
            life: 0,
            dice: 1,
            log: (0..partitions).map(|p| (p, Vec::new())).collect(),
            fed: BTreeMap::new(),
            committed: BTreeMap::new(),
            ledger,
            letters: Vec::new(),
            target: BTreeMap::new(),
            unique: true,
            queue: BTreeMap::new(),
            sequence: 0,
            script: VecDeque::new(),
            fetching: Vec::new(),
            probes_fail: 0,
            unclear: false,
            renumbers: false,
            forgets_keys: false,
            poison: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            refuses: BTreeMap::new(),
            audit_refused: BTreeSet::new(),
            silent_steps: 0,
            saves_down: false,
            queries_refused: false,
            latency: Duration::from_millis(200),
            commit_takes: Duration::from_millis(30),
            quota: Quota::default(),
            saves: Vec::new(),
            save_times: Vec::new(),
            lanes: Vec::new(),
            probe_times: Vec::new(),
            commit_times: Vec::new(),
            advances: Vec::new(),
            observations: Vec::new(),
            in_flight: BTreeMap::new(),
            executing: Vec::new(),
            truth: Numbers::default().exec_max,
            ended: Vec::new(),
            observed: Vec::new(),
        }
    }

    pub(super) fn seeded(mut self, seed: u64) -> Self {
        self.dice = seed;
        self
    }

    pub(super) fn wall(&self) -> i64 {
        EPOCH + i64::try_from(self.now.as_millis()).expect("small")
    }

    pub(super) fn mapped(&self, key: &str, version: u64, flow_version: &str) -> Mapped {
        let value = format!("{{\"FBillNo\":\"{key}\",\"v\":{version}}}").into_bytes();
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&version.to_be_bytes());
        Mapped {
            tenant: Tenant::default(),
            flow: flow(),
            flow_version: flow_version.into(),
            document_key: format!("FID-{key}").as_str().into(),
            target_key: key.into(),
            version: Version(version),
            digest: Digest(digest),
            created: Some(EPOCH / 1_000),
            source: Some(ExtractedAt { partition: 0, offset: 5 }),
            trace: TraceParent { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
            replay: None,
            value,
        }
    }

    /// Publishes a record; gives its offset.
    pub(super) fn publish(&mut self, partition: i32, mapped: Mapped) -> i64 {
        self.publish_with(partition, mapped, None)
    }

    pub(super) fn publish_with(&mut self, partition: i32, mapped: Mapped, verdict: Option<&str>) -> i64 {
        let mut record = mapped.into_record();
        record.headers.set_optional(header::VERDICT, verdict);
        self.publish_raw(partition, record)
    }

    pub(super) fn publish_raw(&mut self, partition: i32, record: document::Record) -> i64 {
        let timestamp = Some(self.wall());
        let log = self.log.get_mut(&partition).expect("partition");
        // Offsets have gaps where transactions end.
        let offset = log.last().map_or(0, |last| last.offset + 2);
        log.push(Received { topic: topic::mapped(&flow()), partition, offset, timestamp, record });
        offset
    }

    pub(super) fn publish_many(&mut self, prefix: &str, count: usize, flow_version: &str) {
        let partitions = i32::try_from(self.log.len()).expect("few");
        for n in 0..count {
            let mapped = self.mapped(&format!("{prefix}{n:03}"), 1, flow_version);
            self.publish(i32::try_from(n).expect("few") % partitions, mapped);
        }
    }

    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    pub(super) fn deliver(&mut self, after: Duration, delivery: Delivery) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), delivery);
    }

    pub(super) fn start(&mut self) {
        self.start_with(Carried::default(), false);
    }

    pub(super) fn start_with(&mut self, carried: Carried, ledger_lost: bool) {
        self.life += 1;
        let seed = self.roll(u64::from(u32::MAX));
        self.core = Some(Core::new(self.numbers.clone(), seed, carried));
        self.in_flight.clear();
        for (p, log) in &self.log {
            let from = self.committed.get(p).copied().unwrap_or(0);
            self.fed.insert(*p, log.iter().position(|record| record.offset >= from).unwrap_or(log.len()));
        }
        let assigned = self.log.keys().map(|p| Assigned { partition: partition(*p), ledger_lost }).collect();
        self.tell(Event::Assigned(assigned));
    }

    /// The process dies; what was on the wire stays there.
    pub(super) fn crash(&mut self) {
        self.core = None;
        self.life += 1;
        // A transaction is readable as a whole or not at all.
        let keys: Vec<_> = self.queue.keys().copied().collect();
        for key in keys {
            let commits = matches!(self.queue.get(&key), Some(Delivery::Commit(..)));
            if commits
                && let Some(Delivery::Commit(_, _, transaction)) = self.queue.remove(&key)
                && self.roll(2) == 0
            {
                self.apply(transaction);
            }
        }
        self.in_flight.clear();
    }

    /// A partition leaves and comes back, whether or not what is in flight ends within `patience` steps.
    pub(super) fn move_away_and_back(&mut self, p: i32, patience: u64) {
        let id = partition(p);
        self.tell(Event::Revoking(vec![id.clone()]));
        for _ in 0..patience {
            let busy = self.core.as_ref().is_some_and(|core| core.is_busy(std::slice::from_ref(&id)));
            if !busy || !self.step() {
                break;
            }
        }
        // The barrier of the next assignment stands behind whatever transaction is on its way.
        while self.queue.values().any(|delivery| matches!(delivery, Delivery::Commit(..))) {
            self.step();
        }
        self.tell(Event::Revoked(vec![id.clone()]));
        let from = self.committed.get(&p).copied().unwrap_or(0);
        let log = &self.log[&p];
        self.fed.insert(p, log.iter().position(|record| record.offset >= from).unwrap_or(log.len()));
        self.tell(Event::Assigned(vec![Assigned { partition: id, ledger_lost: false }]));
    }

    pub(super) fn feed(&mut self) {
        let mut records = Vec::new();
        for (p, log) in &self.log {
            let next = self.fed.entry(*p).or_default();
            records.extend(log.iter().skip(*next).cloned());
            *next = log.len();
        }
        if !records.is_empty() {
            self.tell(Event::Records(records));
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        let moment = Moment { mono: self.now, wall: self.wall() + self.ahead };
        let Some(core) = self.core.as_mut() else { return };
        let actions = core.handle(event, moment, &self.ledger).expect("the ledger of the world reads");
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        let life = self.life;
        match action {
            Action::Permit { target, lane } => {
                let wait = self.quota.wait(lane, self.now);
                self.deliver(wait, Delivery::ToCore(life, Event::Permitted { target, lane }));
            }
            Action::Commit { id, transaction } => {
                self.commit_times.push(self.now);
                self.deliver(self.commit_takes, Delivery::Commit(life, id, transaction));
            }
            Action::Save { errand, documents, deadline } => self.save(errand, documents, deadline),
            Action::Probe { errand, documents } => {
                self.probe_times.push(self.now);
                self.lanes.push(errand.lane);
                self.deliver(self.latency / 2, Delivery::Probe(life, errand.call, documents));
            }
            Action::Advance { errand, step, documents } => self.advance(errand.call, step, &documents),
            Action::Pause(_) => self.fetching.push(false),
            Action::Resume(_) => self.fetching.push(true),
            Action::Observe(Observation::Ended { outcome, observed, .. }) => {
                self.ended.push(outcome);
                self.observed.push(observed);
            }
            Action::Observe(observation) => self.observations.push(observation),
        }
    }

    fn apply(&mut self, transaction: Transaction) {
        for record in transaction.letters {
            self.letters.push(DeadLetter::from_record(&record).expect("letters read"));
        }
        for (id, record) in transaction.facts {
            match record.value {
                Some(value) => self.ledger.values.insert((id, record.key), value),
                None => self.ledger.values.remove(&(id, record.key)),
            };
        }
        for (id, offset) in transaction.offsets {
            let before = self.committed.insert(id.partition, offset).unwrap_or(0);
            assert!(offset >= before, "an offset goes back");
            self.assert_ended_below(id.partition, offset);
        }
    }

    /// I4: what lies below a committed offset has an end that can be read.
    fn assert_ended_below(&self, partition_number: i32, offset: i64) {
        for record in self.log[&partition_number].iter().filter(|record| record.offset < offset) {
            let Ok(mapped) = Mapped::from_record(&record.record) else {
                let lettered = self.letters.iter().any(|l| l.origin.as_ref().is_some_and(|o| o.2 == record.offset));
                assert!(lettered, "an unreadable record has no letter");
                continue;
            };
            let entry = self.entry(partition_number, &mapped.target_key);
            let ended = entry.as_ref().is_some_and(|entry| {
                entry.version > mapped.version || (entry.version == mapped.version && entry.end.is_some())
            });
            let skipped = entry.as_ref().is_some_and(|entry| {
                entry.changed >= Some(mapped.version)
                    || entry.target.as_ref().is_some_and(|target| target.digest == mapped.digest)
            });
            let lettered = self
                .letters
                .iter()
                .any(|letter| letter.document_key == mapped.document_key && letter.version == mapped.version);
            let key = &mapped.target_key;
            assert!(ended || skipped || lettered, "{key} v{} at {} has no end", mapped.version, record.offset);
        }
    }

    pub(super) fn entry(&self, p: i32, key: &TargetKey) -> Option<Entry> {
        let name = ledger::entry_key(key);
        let value = self.ledger.values.get(&(partition(p), name.clone().into_bytes()))?;
        Some(ledger::read(&name, value).expect("entries read"))
    }

    pub(super) fn open_intents(&self) -> usize {
        self.ledger.values.keys().filter(|(_, key)| key.starts_with(b"intent/")).count()
    }

    /// Takes one step: the next delivery, or the next instant the core waits for. Whether there was one.
    pub(super) fn step(&mut self) -> bool {
        let wake = self.core.as_ref().and_then(Core::wake_at);
        let next = self.queue.keys().next().copied();
        match (next, wake) {
            (Some(key), wake) if wake.is_none_or(|wake| key.0 <= wake) => {
                self.now = self.now.max(key.0);
                let delivery = self.queue.remove(&key).expect("just seen");
                self.arrive(delivery);
                true
            }
            (_, Some(wake)) => {
                self.now = self.now.max(wake);
                self.tell(Event::Tick);
                true
            }
            _ => false,
        }
    }

    /// When the next step is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let wake = self.core.as_ref().and_then(Core::wake_at);
        self.queue.keys().next().map(|(at, _)| *at).into_iter().chain(wake).min()
    }

    /// Takes the steps that are due within `time`, and lets all of it pass.
    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.due().is_some_and(|at| at <= until) && self.step() {}
        self.now = until;
    }

    fn arrive(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::ToCore(life, event) if life == self.life => {
                if let Event::Saved { call, .. } = &event {
                    self.in_flight.remove(call);
                }
                self.tell(event);
            }
            Delivery::ToCore(..) => {}
            Delivery::Commit(life, id, transaction) => {
                self.apply(transaction);
                if life == self.life {
                    self.tell(Event::Committed(id));
                }
            }
            Delivery::Execute { documents, reached } => {
                for document in &documents {
                    let at = self.executing.iter().position(|key| *key == document.key).expect("it was on its way");
                    self.executing.remove(at);
                }
                self.execute(&documents, reached);
            }
            Delivery::Probe(life, call, documents) => {
                let reply = if self.probes_fail > 0 {
                    self.probes_fail -= 1;
                    ProbeReply::Failed(Trouble::Unreachable("503".to_owned()))
                } else if self.queries_refused {
                    ProbeReply::Failed(Trouble::Refused("no such field".to_owned()))
                } else {
                    ProbeReply::Found(documents.iter().map(|document| self.finding(document)).collect())
                };
                let event = Event::Probed { call, reply };
                self.deliver(self.latency / 2, Delivery::ToCore(life, event));
            }
        }
    }

    /// Steps until every published record has ended, or nothing happens any more, or `limit` has passed.
    pub(super) fn run(&mut self, limit: Duration) {
        let until = self.now + limit;
        self.feed();
        while !self.is_done() && self.now <= until && self.step() {}
    }

    pub(super) fn is_done(&self) -> bool {
        self.log.iter().all(|(p, log)| {
            log.last().is_none_or(|last| self.committed.get(p).is_some_and(|offset| *offset > last.offset))
        }) && self.open_intents() == 0
    }

    /// What somebody was called for, with the record it is about.
    pub(super) fn alerts(&self) -> Vec<(Code, &str)> {
        let seen = self.observations.iter();
        seen.filter_map(|seen| match seen {
            Observation::Alert(fault) => Some((fault.code, fault.place.record.as_deref().unwrap_or_default())),
            _ => None,
        })
        .collect()
    }

    /// The target refuses the first `count` documents of `A` for one and the same reason.
    pub(super) fn refuse_alike(&mut self, count: usize) {
        for n in 0..count {
            let refusal = refusal(Code::ReferenceMissing, "组织不存在");
            self.refuses.insert(format!("A{n:03}").as_str().into(), refusal);
        }
    }

    pub(super) fn assert_done(&self) {
        assert!(self.is_done(), "not every record has ended by {:?}: {:?}", self.now, self.core);
    }
}

pub(super) fn refusal(code: Code, message: &str) -> Refusal {
    Refusal { field: None, message: message.to_owned(), code, category: code.category(), timed: false }
}

pub(super) fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

pub(super) fn text(key: &TargetKey) -> &str {
    key.as_str()
}
