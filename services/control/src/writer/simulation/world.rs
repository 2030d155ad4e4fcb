//! One history: a writer that may be stopped after every single effect, people who ask, stages that answer late.

use std::collections::{BTreeMap, BTreeSet};

use document::{Code, DeadLetterId, Fault, Record, Stage, topic};

use super::road::Road;
use super::view::{Committed, TRIES, View, flow};
use crate::access::Scope;
use crate::audit::{self, Entry, Hash, Head, Outcome};
use crate::core::job::{Begin, Counts, Item, Job, Options, Replay, Status, Under};
use crate::core::letters::replayable;
use crate::letter::{LetterEvent, OWN_NAME, State};
use crate::mirror::Writer as WriterAddress;
use crate::writer::active::{Active, Batch, Step};
use crate::writer::desk::Desk;
use crate::writer::jobs::Rules;
use crate::writer::request::{Decide, Decided, Jobs, Meta};

/// Thirty minutes, as shipped.
const EMIT_AGAIN: i64 = 30 * 60_000;

/// When the writer is stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kill {
    /// At the effect of this number, once.
    At(u64),
    /// After one effect of so many, by dice.
    OneOf(u64),
}

/// What somebody asks until it is answered.
#[derive(Debug, Clone)]
enum Ask {
    /// A replay of everything that is open.
    Start { rate: f64 },
    /// The end of a job.
    Cancel { job: String },
}

#[derive(Debug)]
pub(super) struct World {
    now: i64,
    dice: u64,
    kill: Kill,
    /// Effects so far: every append, every commit, every answer.
    pub(super) effects: u64,
    /// Kinds of effects that happened, and those that the writer was stopped after.
    pub(super) seen: BTreeSet<String>,
    pub(super) hits: BTreeMap<String, u64>,
    /// What is readable, in order.
    log: Vec<(String, Record)>,
    committed: Committed,
    active: Option<Active<Committed>>,
    view: View,
    road: Road,
    asks: Vec<(String, Ask)>,
    asked: u64,
    jobs_named: u64,
    /// When a letter was published last by a job, and how often anew.
    published: BTreeMap<(String, String), (i64, u32)>,
    pub(super) emitted_again: u32,
}

impl World {
    pub(super) fn new(seed: u64, kill: Kill) -> Self {
        let mut world = Self {
            now: 1_700_000_000_000,
            dice: seed,
            kill,
            effects: 0,
            seen: BTreeSet::new(),
            hits: BTreeMap::new(),
            log: Vec::new(),
            committed: Committed::default(),
            active: None,
            view: View::default(),
            road: Road::default(),
            asks: Vec::new(),
            asked: 0,
            jobs_named: 0,
            published: BTreeMap::new(),
            emitted_again: 0,
        };
        for n in 0..2 + world.roll(4) {
            let document = format!("D{n}");
            let stage = if world.roll(2) == 0 { Stage::Load } else { Stage::Transform };
            for version in 1..=1 + world.roll(2) {
                for stage in [Stage::Load, Stage::Transform] {
                    let id =
                        DeadLetterId::of(&flow().name, &document.as_str().into(), document::Version(version), stage);
                    let fails = [0, 0, 1, 2, 9][usize::try_from(world.roll(5)).expect("small")];
                    world.road.fails.insert(id.clone(), fails);
                    if world.roll(3) > 0 {
                        world.road.timed.insert(id);
                    }
                }
                world.now += 1_000;
                let first = world.road.fail_first(&document, version, stage, world.now);
                world.log.push(first);
            }
        }
        world
    }

    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    /// Runs until nothing is left to do.
    pub(super) fn run(&mut self) {
        for step in 0.. {
            assert!(step < 60_000, "no end: {:#?} {:#?} {:?}", self.jobs(), self.view.events, self.road);
            if self.is_done() {
                return;
            }
            match self.roll(8) {
                0..=3 => self.write(),
                4 | 5 => self.stages(),
                6 => {
                    let most = usize::try_from(self.roll(20)).expect("small");
                    self.view.catch_up(&self.log, most);
                }
                _ => self.people(step),
            }
            self.pass_time();
        }
    }

    /// A moment passes, or all the time in which nothing could happen.
    fn pass_time(&mut self) {
        self.now += 250;
        let idle = self.view.read == self.log.len() && self.asks.is_empty() && self.active.is_some();
        let waits = || self.jobs().iter().all(|job| job.status.is_over() || job.counts.published > 0);
        if idle && waits() && self.roll(4) == 0 {
            let due = self.view.letters.values().filter_map(|letter| letter.retry_at).filter(|at| *at > self.now).min();
            let next = self.road.next_at().into_iter().chain(due).min().unwrap_or(self.now);
            self.now = self.now.max(next.min(self.now + 16 * 60_000));
        }
    }

    fn stages(&mut self) {
        let mut dice: Vec<i64> = (0..64).map(|_| self.roll(1_000)).map(|n| i64::try_from(n).expect("small")).collect();
        let delay = move || match dice.pop().unwrap_or(500) {
            // Something stands still for longer than anybody waits.
            late if late < 25 => 40 * 60_000,
            soon => soon * 3,
        };
        self.road.take(&self.log, self.now, delay);
        let written = self.road.handle(self.now);
        self.log.extend(written);
    }

    fn people(&mut self, step: u64) {
        self.view.paused = match self.view.paused {
            true => self.roll(3) > 0,
            false => step < 2_000 && self.roll(40) == 0,
        };
        if self.asked < 4 && self.roll(6) == 0 {
            self.asked += 1;
            let running: Vec<String> =
                self.jobs().into_iter().filter(|job| !job.status.is_over()).map(|job| job.id).collect();
            let ask = match running.first() {
                Some(job) if self.roll(4) == 0 => Ask::Cancel { job: job.clone() },
                _ => Ask::Start { rate: [0.7, 5.0, 200.0][usize::try_from(self.roll(3)).expect("small")] },
            };
            // Now and then two people ask for the same at once.
            for copy in 0..1 + u64::from(self.roll(4) == 0) {
                self.asks.push((format!("key-{}-{copy}", self.asked), ask.clone()));
            }
        }
    }

    /// The writer does one thing: comes up, answers somebody, or goes a round.
    fn write(&mut self) {
        let Some(mut active) = self.active.take() else { return self.begin() };
        if let Some((key, ask)) = self.asks.first().cloned() {
            self.jobs_named += 1;
            let (meta, decide) = self.request(&key, &ask);
            match active.answer(&self.view, self.now, meta, decide) {
                Step::Say(answer) => {
                    if let Err(fault) = answer {
                        assert_eq!(fault.code, Code::ReplayState, "{fault}");
                    }
                    self.asks.remove(0);
                }
                Step::Write { batch, .. } => {
                    if self.commit("request", batch) {
                        return;
                    }
                    if self.effect("request: after the answer") {
                        return;
                    }
                    self.asks.remove(0);
                }
            }
        } else {
            let rules = Rules { emit_again: EMIT_AGAIN, timed: Some(20.0) };
            let round = active.round(&self.view, &rules, self.now).expect("the view reads");
            if let Some(batch) = round.batch
                && self.commit("round", batch)
            {
                return;
            }
        }
        self.active = Some(active);
    }

    /// A writer comes up: it knows nothing but the log.
    fn begin(&mut self) {
        self.now += 5_000;
        self.committed = Committed::of(&self.log);
        let entries = self.log.iter().rev().filter(|(topic, _)| topic == topic::AUDIT);
        let last = entries.map(|(_, record)| record).next();
        let last = last.and_then(|record| Entry::decode(record.value.as_deref()?)).map(|entry| entry.head());
        let mut active = Active::begin(self.committed.clone(), last, None).expect("what was written reads");
        let address = WriterAddress { member: "control-0".to_owned(), address: "here:1".to_owned() };
        let batch = active.announce(&address);
        if !self.commit("start", batch) {
            self.active = Some(active);
        }
    }

    /// One effect was had. `true`: the writer is stopped right after it.
    fn effect(&mut self, kind: &str) -> bool {
        self.effects += 1;
        self.seen.insert(kind.to_owned());
        let stopped = match self.kill {
            Kill::At(number) => self.effects == number,
            Kill::OneOf(many) => self.roll(many) == 0,
        };
        if stopped {
            *self.hits.entry(kind.to_owned()).or_default() += 1;
        }
        stopped
    }

    /// Appends record by record, then makes all of them readable; `true` when the writer was stopped on the way.
    fn commit(&mut self, what: &str, batch: Batch) -> bool {
        let appends: Vec<(String, Record)> =
            batch.data.into_iter().chain(batch.facts).map(|outgoing| (outgoing.topic, outgoing.record)).collect();
        for (topic, record) in &appends {
            let key = String::from_utf8_lossy(&record.key).into_owned();
            let kind = if topic == topic::CONTROL { key.split('/').next().unwrap_or_default() } else { "" };
            if self.effect(&format!("{what}: after an append to {topic} {kind}")) {
                // Nobody ever reads what was not committed.
                return true;
            }
        }
        self.judge(&appends);
        for (topic, record) in &appends {
            self.committed.take(topic, record);
        }
        self.log.extend(appends);
        self.effect(&format!("{what}: after the commit"))
    }

    /// What must hold of every transaction.
    fn judge(&mut self, appends: &[(String, Record)]) {
        let flow = flow();
        let event = |id: &DeadLetterId| {
            let of = appends
                .iter()
                .filter(|(topic, record)| topic == topic::DEAD_LETTER_EVENTS && record.key == id.0.as_bytes());
            of.filter_map(|(_, record)| LetterEvent::read(record.value.as_deref()?).ok()).next_back()
        };
        for (topic, record) in appends {
            let stage = if *topic == topic::mapped(&flow.name) {
                Stage::Load
            } else if *topic == topic::extracted(&flow.name) {
                Stage::Transform
            } else {
                continue;
            };
            let job = record.headers.get("sb-replay").expect("a replay").to_owned();
            let document = record.headers.get("sb-document-key").expect("a document");
            let version: u64 = record.headers.get("sb-version").and_then(|text| text.parse().ok()).expect("a version");
            let id = DeadLetterId::of(&flow.name, &document.into(), document::Version(version), stage);
            let place = (job.clone(), id.0.clone());
            let known = self.jobs().into_iter().find(|known| known.id == job).expect("the job is written before");
            match (self.published.get(&place).copied(), event(&id)) {
                (None, Some(event)) => {
                    assert_eq!((event.state, event.replay.as_deref()), (State::Replaying, Some(job.as_str())));
                    assert!(!(known.timed && self.view.paused), "a paused flow gets nothing that nobody asked for");
                    self.published.insert(place, (self.now, 1));
                }
                (Some((at, times)), None) => {
                    assert!(self.now - at >= EMIT_AGAIN, "{id} twice by {job}, {} ms apart", self.now - at);
                    self.emitted_again += 1;
                    self.published.insert(place, (self.now, times + 1));
                }
                (before, event) => panic!("{id} by {job}: {before:?} {event:?}"),
            }
        }
    }

    fn request(&mut self, key: &str, ask: &Ask) -> (Meta, Decide) {
        let meta = Meta {
            actor: "li".to_owned(),
            role: None,
            action: "ask".to_owned(),
            object: key.to_owned(),
            scope: Scope::EVERYWHERE,
            reason: String::new(),
            request_id: key.to_owned(),
            digest: Hash::of(key.as_bytes()),
            idempotency_key: Some(key.to_owned()),
            result: Outcome::Done,
            dry_run: false,
        };
        let decide: Decide = match ask.clone() {
            Ask::Start { rate } => {
                let (id, reason) = (format!("{:032}", self.jobs_named), key.to_owned());
                // As a selector finds them: in order of their document and version.
                let mut letters: Vec<_> = self.view.letters.values().collect();
                letters.sort_by_key(|letter| (letter.document_key.clone(), letter.version));
                let ids = letters.into_iter().map(document::DeadLetter::id).collect();
                Box::new(move |desk, _| start(desk, ids, id, reason, rate))
            }
            Ask::Cancel { job } => Box::new(move |desk, jobs| cancel(desk, jobs, &job)),
        };
        (meta, decide)
    }

    pub(super) fn jobs(&self) -> Vec<Job> {
        let kept = crate::writer::library::Kept::memories(&self.committed, "job/").expect("memory reads");
        kept.into_iter().map(|(_, value)| serde_json::from_slice(&value).expect("jobs read")).collect()
    }

    fn is_done(&self) -> bool {
        let caught_up = self.view.read == self.log.len() && self.active.is_some() && !self.view.paused;
        let asked = self.asked >= 2 && self.asks.is_empty();
        let due = |(id, letter): (&DeadLetterId, &document::DeadLetter)| {
            let mine = self.view.events.get(id).is_none_or(|event| event.by == OWN_NAME);
            letter.retry_at.is_some() && mine && self.view.state(id) == State::Open
        };
        caught_up
            && asked
            && self.road.is_empty(&self.log)
            && self.jobs().iter().all(Job::is_settled)
            && !self.view.letters.iter().any(due)
    }

    /// What must hold once nothing is left to do.
    pub(super) fn check(&self) {
        let entries: Vec<Vec<u8>> = self
            .log
            .iter()
            .filter(|(topic, _)| topic == topic::AUDIT)
            .filter_map(|(_, record)| record.value.clone())
            .collect();
        audit::verify(&entries, Head::GENESIS, &[]).expect("the chain is whole");
        let deeds: Vec<Entry> = entries.iter().filter_map(|bytes| Entry::decode(bytes)).collect();
        let jobs = self.jobs();
        for job in &jobs {
            // Who asks twice under one key is answered twice and starts one job; what begins by itself is audited too.
            let twins = jobs.iter().filter(|other| other.reason == job.reason && !job.timed).count();
            assert!(twins <= 1, "{job:?}");
            let told = deeds.iter().filter(|deed| match job.timed {
                true => deed.object == format!("replay/{}", job.id) && deed.actor == OWN_NAME,
                false => deed.object == job.reason,
            });
            assert_eq!(told.count(), 1, "{job:?}");
            let counts = job.counts;
            let ended = counts.resolved + counts.superseded + counts.failed + counts.skipped;
            assert!(job.status != Status::Done || ended == counts.total, "{job:?}");
        }
        for ((document, version), times) in &self.road.applied {
            assert_eq!(*times, 1, "{document} v{version} was applied {times} times");
        }
        for (id, letter) in &self.view.letters {
            let document = letter.document_key.to_string();
            let applied = self.road.applied.contains_key(&(document, letter.version.0));
            let end = self.view.ends.values().find(|entry| entry.document == letter.document_key);
            let overtaken = end.is_some_and(|entry| entry.version > letter.version);
            // A letter of the mapping whose document went on and failed there: another letter has it.
            let went_on = end.is_some_and(|entry| entry.version == letter.version && entry.letter.is_some());
            match self.view.state(id) {
                State::Resolved => assert!(applied, "{id} is not in the target"),
                State::Superseded => assert!(applied || overtaken || went_on, "{id} was not overtaken"),
                State::Open => assert!(!applied, "{id} is open and in the target"),
                State::Parked => assert!(!applied && letter.attempts > 1, "{id}"),
                State::Replaying => panic!("{id} is lost: {jobs:#?}"),
                State::Discarded => panic!("{id}: nobody discards"),
            }
            if letter.retry_at.is_some() && self.view.events.get(id).is_some_and(|event| event.by == OWN_NAME) {
                assert!(letter.attempts <= TRIES + 8, "{id} is tried for ever");
            }
        }
    }

    /// What the history was, to be compared.
    pub(super) fn trace(&self) -> Hash {
        Hash::of(format!("{:?}", self.log).as_bytes())
    }
}

fn start(desk: &mut Desk<'_>, ids: Vec<DeadLetterId>, id: String, reason: String, rate: f64) -> Result<Decided, Fault> {
    let mut items = Vec::new();
    for letter in ids {
        let (letter, _) = desk.known_letter(&letter)?;
        if replayable(&letter, false).is_ok() {
            items.push(Item::waiting(&letter));
        }
    }
    let options = Options {
        rate,
        under: Under::Original,
        from: Begin::Failed,
        attempt_cap: 3,
        stop_on_failure_ratio: 0.0,
        verdict: None,
    };
    let job = Job {
        id: id.clone(),
        by: "li".to_owned(),
        created_at: desk.now,
        reason,
        selector: String::new(),
        options,
        status: Status::Running,
        counts: Counts::default(),
        ended_at: None,
        note: String::new(),
        timed: false,
        approval: None,
    };
    let mut replay = Replay::new(job, items);
    replay.conclude(desk.now);
    let mut decided = Decided { answer: id.into_bytes(), ..Decided::default() };
    decided.effects.memory = replay.write();
    decided.job = Some(replay);
    Ok(decided)
}

fn cancel(desk: &mut Desk<'_>, jobs: &Jobs<'_>, id: &str) -> Result<Decided, Fault> {
    let mut replay = jobs.running(id)?;
    replay.end(Status::Cancelled, String::new(), desk.now);
    let mut decided = Decided::default();
    decided.effects.memory = replay.write();
    decided.changed_job = Some(replay);
    Ok(decided)
}
