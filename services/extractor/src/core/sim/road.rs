//! The whole core over seeded histories: bills come, change, go and turn up late while scans run, die and are taken
//! over. What must hold is asked of the log and of the source alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use document::Extracted;
use serde_json::Value;

use super::log::{Fate, Log};
use super::{NOON, Source, mint, plan, shape};
use crate::core::checkpoint::Window;
use crate::core::lookback::Lookback;
use crate::core::run::{Answer, Ask, Batch, Instant, Plan, Run};

const SEEDS: u64 = 2_400;
const START: i64 = NOON - 10 * 86_400;
const OVERLAP: i64 = 600;

/// A small generator: equal seeds give equal histories on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(u64::try_from(high - low).expect("low < high"))).expect("small")
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

enum Work {
    Idle,
    Scan(Run),
    Window(Run),
    Lookback(Lookback),
}

struct World {
    random: Random,
    source: Source,
    log: Log,
    plan: Arc<Plan>,
    work: Work,
    owner: u64,
    /// Our clock against the server's, seconds.
    skew: i64,
    micros: u64,
    /// Every content a bill ever had, by number.
    history: BTreeMap<String, Vec<Vec<i64>>>,
    /// When a bill was last touched.
    touched: BTreeMap<i64, i64>,
    watermark: i64,
    mint: Box<dyn FnMut() -> document::TraceParent>,
    data_only: bool,
}

fn quantities(record: &Extracted) -> Vec<i64> {
    record.rows().expect("rows").iter().filter_map(|row| row.get("qty").and_then(Value::as_i64)).collect()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let limit = u32::try_from(random.between(1, 9)).expect("small");
        let mut plan = plan(limit);
        if let Some(look) = &mut plan.lookback {
            look.limit = u32::try_from(random.between(2, 9)).expect("small");
            look.chunk = usize::try_from(random.between(1, 5)).expect("small");
        }
        let mut world = World {
            source: Source::at(NOON),
            log: Log::default(),
            plan: Arc::new(plan),
            work: Work::Idle,
            owner: 0,
            skew: random.between(-7_200, 7_200),
            micros: 0,
            history: BTreeMap::new(),
            touched: BTreeMap::new(),
            watermark: START,
            mint: Box::new(mint()),
            data_only: false,
            random,
        };
        for _ in 0..world.random.between(0, 12) {
            world.mutate();
        }
        world
    }

    fn note(&mut self, id: i64) {
        let bill = &self.source.bills[&id];
        let content = bill.lines.iter().map(|line| line.1).collect();
        self.history.entry(bill.number.clone()).or_default().push(content);
        self.touched.insert(id, self.source.now);
    }

    /// Something happens in the source.
    fn mutate(&mut self) {
        self.source.now += self.random.between(0, 40);
        let lines = self.random.between(1, 6);
        let content: Vec<i64> = (0..lines).map(|_| self.random.between(0, 1_000_000)).collect();
        let id = self.random.between(1, 40);
        let there = self.source.bills.contains_key(&id);
        let now = self.source.now;
        match self.random.below(10) {
            0 if there => {
                self.source.bills.remove(&id);
            }
            1..=3 if there => {
                self.source.change(id, &content);
                self.note(id);
            }
            // Approved some time ago, and its commit is seen only now.
            4 if !there => {
                let late = self.random.between(0, 2 * 86_400);
                self.source.add_at(id, &content, now - late, now);
                self.note(id);
            }
            5 if !there => {
                let future = self.random.between(1, 86_400);
                self.source.add_at(id, &content, now + future, now);
                self.note(id);
            }
            6 => self.source.clamp = (!self.random.one_in(3)).then(|| 1 + self.random.below(6) as usize),
            7 => self.source.now += self.random.between(0, 900),
            8 => self.skew += self.random.between(-3_600, 3_600),
            _ if !there => {
                self.source.add(id, &content);
                self.note(id);
            }
            _ => {}
        }
    }

    fn local(&self) -> i64 {
        self.source.now + self.skew
    }

    fn begin(&mut self) {
        let checkpoint = self.log.checkpoint(START);
        assert!(checkpoint.watermark >= self.watermark, "W moved back");
        let (plan, now) = (Arc::clone(&self.plan), self.local());
        if self.random.one_in(6) {
            let from = self.random.between(START, self.source.now);
            let to = self.random.between(from, self.source.now) + 1;
            // Sometimes the very window that was begun.
            let begun = checkpoint.window.as_ref().filter(|_| self.random.one_in(2)).map(|mark| mark.window);
            let window = begun.unwrap_or(Window { from, to, again: self.random.one_in(3), part: None });
            self.work = Work::Window(Run::window(plan, checkpoint, window, now));
            return;
        }
        self.work = if checkpoint.completed.is_some() && self.random.one_in(3) {
            Lookback::begin(plan, checkpoint, now, None).map_or(Work::Idle, Work::Lookback)
        } else {
            Work::Scan(Run::begin(plan, checkpoint, now, None))
        };
    }

    /// The owner dies, or another takes over.
    fn crash(&mut self) {
        self.work = Work::Idle;
        self.owner += 1;
        self.log.owner = self.owner;
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        let mut answer = self.source.answer(ask);
        answer.local_time = self.local();
        if self.random.one_in(12) {
            answer.server_time = None;
            // Without a Date our own clock stands in, which must then be right.
            answer.local_time = self.source.now;
        }
        answer
    }

    /// One step of whatever runs.
    fn step(&mut self) {
        if matches!(self.work, Work::Idle) {
            return self.begin();
        }
        let (ask, pending, entries) = match &self.work {
            Work::Scan(run) | Work::Window(run) => (run.ask(), run.pending(), false),
            Work::Lookback(look) => (look.ask(), look.pending(), look.wants_entries()),
            Work::Idle => return,
        };
        if entries {
            if let Work::Lookback(look) = &mut self.work {
                look.compare(&mut self.log.entries()).expect("our own entries read");
            }
            return;
        }
        match ask {
            Some(ask) if pending < 6 && !(pending > 0 && self.random.one_in(4)) => {
                let mut answer = self.answer(&ask);
                if self.random.one_in(40) && !answer.rows.is_empty() {
                    answer.rows[0].pop();
                }
                let log = &self.log;
                let accepted = match &mut self.work {
                    Work::Scan(run) | Work::Window(run) => run.page(answer),
                    Work::Lookback(look) => look.page(answer, &|id| log.lookup(id)).expect("our own entries read"),
                    Work::Idle => Ok(()),
                };
                if accepted.is_err() {
                    self.work = Work::Idle;
                }
            }
            _ => self.commit(),
        }
    }

    fn commit(&mut self) {
        // Our clock may jump back and versions still grow; only a stale commit together with such a jump is too much.
        let micros = u64::try_from(self.local()).expect("after 1970") * 1_000_000 + self.random.below(1_000_000);
        self.micros = if self.data_only { self.micros.max(micros) + 1_000 } else { micros };
        let max = usize::try_from(self.random.between(1, 6)).expect("small");
        let log = &self.log;
        let mut instant = Instant { micros: self.micros, mint: &mut *self.mint };
        let lookup = |id: &crate::core::key::Key| log.lookup(id);
        let batch = match &mut self.work {
            Work::Scan(run) | Work::Window(run) => run.batch(max, &lookup, &shape, &mut instant),
            Work::Lookback(look) => look.batch(max, &lookup, &shape, &mut instant),
            Work::Idle => return,
        }
        .expect("our own entries read");
        let fate = match self.random.below(20) {
            0 => Fate::AppliedUnheard,
            1 => Fate::Lost,
            2 if self.data_only => Fate::DataOnly,
            _ => Fate::Applied,
        };
        let is_scan = matches!(self.work, Work::Scan(_));
        let before = self.log.checkpoint(START);
        let lives = self.log.commit(self.owner, &batch, fate);
        if lives || fate == Fate::AppliedUnheard {
            let after = self.log.checkpoint(START);
            assert!(after.watermark >= before.watermark, "W moved back");
            assert!(is_scan || after.watermark == before.watermark, "a lookback or a window moved W");
            assert!(batch.finished || after.watermark == before.watermark, "W moved in mid-scan");
            if is_scan && batch.finished {
                self.check_scanned(&batch);
            }
            self.watermark = after.watermark;
        }
        if !lives {
            self.crash();
        } else if batch.finished {
            self.work = Work::Idle;
        }
    }

    /// What became due and visible before the scan that just ended began is in the log as it is (I1).
    fn check_scanned(&self, batch: &Batch) {
        let t0 = batch.checkpoint.watermark + self.plan.settle;
        for (id, bill) in &self.source.bills {
            let timely = bill.visible - bill.approved <= OVERLAP;
            if timely && bill.visible < t0 - 1 && self.touched[id] < t0 - 1 {
                self.check_emitted(bill);
            }
        }
    }

    fn check_emitted(&self, bill: &super::Held) {
        let newest =
            self.log.data.iter().filter(|record| record.document_key.0 == bill.number).max_by_key(|r| r.version);
        let content: Vec<i64> = bill.lines.iter().map(|line| line.1).collect();
        assert_eq!(newest.map(quantities), Some(content), "{} is not in the log as it is", bill.number);
    }

    /// Faults stop; two scans and a lookback later all is there, and once more brings nothing.
    fn heal(&mut self) {
        self.source.clamp = None;
        self.crash();
        for round in 0..4 {
            self.source.now += 1_000;
            let before = self.log.data.len();
            let checkpoint = self.log.checkpoint(START);
            let mut run = Run::begin(Arc::clone(&self.plan), checkpoint, self.local(), None);
            let mut mint = mint();
            loop {
                while let Some(ask) = run.ask() {
                    run.page(self.source.answer(&ask)).expect("an honest source");
                }
                let log = &self.log;
                self.micros = self.micros.max(u64::try_from(self.local()).expect("after 1970") * 1_000_000) + 1_000;
                let mut instant = Instant { micros: self.micros, mint: &mut mint };
                let batch = run.batch(500, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
                assert!(self.log.commit(self.owner, &batch, Fate::Applied));
                if batch.finished {
                    break;
                }
            }
            let checkpoint = self.log.checkpoint(START);
            let mut look = Lookback::begin(Arc::clone(&self.plan), checkpoint, self.local(), None).expect("planned");
            loop {
                while let Some(ask) = look.ask() {
                    let answer = self.source.answer(&ask);
                    let log = &self.log;
                    look.page(answer, &|id| log.lookup(id)).expect("reads").expect("an honest source");
                }
                if look.wants_entries() {
                    look.compare(&mut self.log.entries()).expect("reads");
                    continue;
                }
                let log = &self.log;
                let mut instant = Instant { micros: self.micros, mint: &mut mint };
                let batch = look.batch(500, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
                assert!(self.log.commit(self.owner, &batch, Fate::Applied));
                if batch.finished {
                    break;
                }
            }
            assert!(round < 2 || self.log.data.len() == before, "a quiet source gives nothing new");
        }
    }

    fn check_end(&self) {
        for bill in self.source.bills.values() {
            self.check_emitted(bill);
        }
        for record in &self.log.data {
            let content = quantities(record);
            let known = &self.history[&record.document_key.0];
            assert!(known.contains(&content), "{} was never {content:?}: torn", record.document_key);
        }
        for pair in self.log.data.windows(2) {
            assert!(pair[0].version < pair[1].version, "versions grow");
        }
        for entry in self.log.entries() {
            for document in entry.expect("reads").documents {
                let there = self.log.data.iter().any(|r| r.version == document.version && r.digest == document.digest);
                assert!(there, "a seen entry without its record (I2)");
            }
        }
    }
}

fn history(seed: u64) {
    let mut world = World::new(seed);
    world.data_only = seed.is_multiple_of(4);
    for _ in 0..160 {
        match world.random.below(20) {
            0..=4 => world.mutate(),
            5 if world.random.one_in(2) => world.crash(),
            _ => world.step(),
        }
    }
    world.heal();
    world.check_end();
}

#[test]
fn nothing_is_lost_none_is_torn_and_versions_grow_in_2400_histories() {
    for seed in 0..SEEDS {
        let outcome = std::panic::catch_unwind(|| history(seed));
        if let Err(cause) = outcome {
            let words = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("seed {seed}: {words}");
        }
    }
}
