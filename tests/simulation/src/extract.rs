//! The extractor's shell: runs for the owner of the flow whatever is due, one run after another.

use std::time::Duration;

use document::{BackfillId, Fault, Record, TraceParent};
use extractor::core::checkpoint::{Checkpoint, Part, Window};
use extractor::core::key::Key;
use extractor::core::lookback::Lookback;
use extractor::core::run::{Answer, Ask, Batch, Instant, Run};
use extractor::core::schedule::{Board, Ended, Kind, Timing};
use extractor::core::seen::{Seen, seen_key};
use extractor::core::window;
use flow::schedule;

use crate::flow;
use crate::log::{Table, Topic};
use crate::message::{Happening, Message};
use crate::rule::Rule;
use crate::session::Purpose;
use crate::source::{ZONE, shape};
use crate::world::World;

#[derive(Debug)]
enum Engine {
    Scan(Run),
    Look(Lookback),
}

impl Engine {
    fn ask(&self) -> Option<Ask> {
        match self {
            Engine::Scan(run) => run.ask(),
            Engine::Look(lookback) => lookback.ask(),
        }
    }

    fn pending(&self) -> usize {
        match self {
            Engine::Scan(run) => run.pending(),
            Engine::Look(lookback) => lookback.pending(),
        }
    }

    fn wants_entries(&self) -> bool {
        matches!(self, Engine::Look(lookback) if lookback.wants_entries())
    }
}

/// What an extractor process holds in memory.
#[derive(Debug, Default)]
pub(crate) struct Extractor {
    board: Board,
    engine: Option<Engine>,
    /// The page on its way: one that was asked for by an earlier run is nobody's.
    fetching: Option<u64>,
    answer: Option<Box<Answer>>,
    committing: bool,
    finishing: bool,
    draining: bool,
    owns: bool,
    next_at: Duration,
    runs: u64,
    /// The newest date of the run, unix seconds.
    newest: i64,
}

const PARTITION: i32 = 0;

/// When the flow runs by itself, beside what is wished for.
const SCANS: &str = "*/3 * * * *";
const LOOKBACKS: &str = "*/7 * * * *";

fn seen(table: &Table, id: &Key) -> Result<Option<Seen>, Fault> {
    let key = seen_key(&flow(), id);
    table.get(key.as_bytes()).map(|bytes| Seen::from_bytes(&key, bytes)).transpose()
}

impl World {
    pub(crate) fn forget_extractor(&mut self, node: usize) {
        *self.extractor(node) = Extractor::default();
    }

    pub(crate) fn extractor_hears(&mut self, node: usize, message: Message) {
        match message {
            Message::Opened(_) => {
                self.extractor(node).owns = true;
                self.extractor(node).next_at = self.now;
                self.take_on(node);
            }
            Message::Revoking(partition) => {
                self.extractor(node).draining = true;
                if let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) {
                    self.after(Duration::from_secs(13), Happening::Release { node, session, partition });
                }
            }
            Message::Revoked(_) => return self.forget_extractor(node),
            Message::Committed(1) => {
                let finished = self.extractor(node).finishing;
                self.extractor(node).committing = false;
                if finished {
                    self.end_run(node, true);
                }
            }
            Message::Page { fetch, .. } if self.extractor(node).fetching != Some(fetch) => {}
            Message::Page { answer, .. } => {
                self.extractor(node).fetching = None;
                match answer {
                    Some(answer) => self.extractor(node).answer = Some(answer),
                    None => self.end_run(node, false),
                }
            }
            _ => {}
        }
        self.drive(node);
    }

    /// The flow is ours: what is due from now on?
    fn take_on(&mut self, node: usize) {
        let Some(checkpoint) = self.checkpoint(node) else { return };
        let plan = |cron| schedule::Plan::new(cron, ZONE).expect("a cron");
        let timing = Timing {
            scan: plan(SCANS),
            lookback: self.setting.plan.lookback.is_some().then(|| plan(LOOKBACKS)),
            windows: self.setting.plan.number_column.is_none(),
            when_running: self.setting.when_running,
        };
        let now = self.wall_of(node).div_euclid(1_000);
        self.extractor(node).board.put(flow(), timing, &checkpoint, now, true);
    }

    /// What somebody asks for now: mostly a scan.
    fn wish(&mut self, node: usize, scanned: bool) -> Kind {
        self.extractor(node).runs += 1;
        let (runs, every, plan) = (self.extractor(node).runs, self.setting.lookback_every, &self.setting.plan);
        let (looks, windows) = (plan.lookback.is_some(), plan.number_column.is_none());
        // Once faults have stopped, both kinds are waited for.
        let every = if self.chaos { every } else { 2 };
        if looks && scanned && runs.is_multiple_of(every) {
            return Kind::Lookback;
        }
        if !windows || !self.dice.one_in(6) {
            return Kind::Scan;
        }
        let to = self.seconds() - self.dice.between(0, 3_600);
        let from = to - self.dice.between(1, 2 * 86_400);
        let backfill = self.dice.one_in(2).then(|| BackfillId::new(runs.into()));
        let part = backfill.map(|backfill| Part { backfill, rate: None });
        Kind::Window(Window { from, to, again: self.dice.one_in(3), part })
    }

    fn end_run(&mut self, node: usize, complete: bool) {
        let wait = self.dice.millis(self.setting.scan_every, self.setting.scan_every * 2);
        let next_at = self.now + wait;
        let extractor = self.extractor(node);
        extractor.board.ended(&flow(), if complete { Ended::Complete } else { Ended::Retry(next_at) });
        extractor.engine = None;
        extractor.fetching = None;
        extractor.answer = None;
        extractor.finishing = false;
        extractor.next_at = next_at;
        self.tell(wait, node, Message::Tick);
    }

    fn checkpoint(&self, node: usize) -> Option<Checkpoint> {
        let table = self.nodes[node].session.as_ref()?.tables.get(&PARTITION)?.get(&Topic::State)?;
        Some(match table.get(flow().as_str().as_bytes()) {
            Some(bytes) => Checkpoint::from_bytes(&flow(), bytes).expect("our own checkpoint reads"),
            None => Checkpoint::new(self.setting.start(), &self.setting.plan.config),
        })
    }

    /// The seen entries as the session has them, lent out while a core looks at them.
    fn lend_seen(&mut self, node: usize) -> Option<&mut Table> {
        self.nodes[node].session.as_mut()?.tables.get_mut(&PARTITION)?.get_mut(&Topic::Seen)
    }

    fn with_seen<T>(&mut self, node: usize, work: impl FnOnce(&mut Self, &Table) -> T) -> T {
        let table = self.lend_seen(node).map(std::mem::take).unwrap_or_default();
        let done = work(self, &table);
        if let Some(place) = self.lend_seen(node) {
            *place = table;
        }
        done
    }

    /// Does whatever can be done now.
    fn drive(&mut self, node: usize) {
        if !self.extractor(node).owns {
            return;
        }
        if self.extractor(node).engine.is_none() && !self.begin_run(node) {
            return;
        }
        if !self.extractor(node).committing
            && let Some(answer) = self.extractor(node).answer.take()
            && !self.take_page(node, *answer)
        {
            self.note(|| format!("node {node} gives up the run: the page is not what was asked"));
            return self.end_run(node, false);
        }
        let most = self.setting.batch;
        let Some(engine) = &self.extractor(node).engine else { return };
        let (ask, pending, comparing) = (engine.ask(), engine.pending(), engine.wants_entries());
        if comparing && !self.extractor(node).committing {
            self.show_entries(node);
            return self.tell(Duration::ZERO, node, Message::Tick);
        }
        let idle = self.extractor(node).fetching.is_none() && self.extractor(node).answer.is_none();
        if let Some(ask) = ask.clone().filter(|_| idle && pending < most && !self.extractor(node).draining) {
            let fetch = self.fresh_id();
            self.extractor(node).fetching = Some(fetch);
            let wait = self.dice.millis(20, 400);
            let Some(session) = self.nodes[node].session.as_ref().map(|session| session.id) else { return };
            self.after(wait, Happening::Page { node, session, fetch, ask: Box::new(ask) });
        }
        if self.extractor(node).committing {
            return;
        }
        let idle = self.extractor(node).fetching.is_none() && self.extractor(node).answer.is_none();
        let over = idle && ask.is_none() && !comparing;
        if over || (pending > 0 && (pending >= most || idle || self.dice.one_in(3))) {
            self.commit(node);
        } else if self.extractor(node).draining {
            self.release(node, PARTITION);
        }
    }

    /// Whether a run is under way now.
    fn begin_run(&mut self, node: usize) -> bool {
        let now = self.now;
        if self.extractor(node).draining {
            self.release(node, PARTITION);
            return false;
        }
        let Some(checkpoint) = self.checkpoint(node) else { return false };
        let local = self.wall_of(node).div_euclid(1_000);
        if self.extractor(node).next_at <= now {
            let wait = Duration::from_millis(self.setting.scan_every * 2);
            self.extractor(node).next_at = now + wait;
            self.tell(wait, node, Message::Tick);
            // Now and then nobody asks, and the next firing has to come.
            if !self.dice.one_in(4) {
                let kind = self.wish(node, checkpoint.completed.is_some());
                self.extractor(node).board.wish(&flow(), kind);
            }
        }
        let resting = (now < self.rests_until).then(flow).into_iter().collect();
        self.extractor(node).board.rest(resting);
        let Some(due) = self.extractor(node).board.tick(local, now).pop() else { return false };
        let plan = std::sync::Arc::clone(&self.setting.plan);
        // No two lookbacks begin in one second.
        let looked = Some(self.seconds());
        self.note(|| format!("node {node} begins a {}", due.kind.as_str()));
        let engine = match due.kind {
            Kind::Scan => Some(Engine::Scan(Run::begin(plan, checkpoint, local, due.fired))),
            Kind::Lookback => Lookback::begin(plan, checkpoint, local, looked).map(Engine::Look),
            Kind::Window(window) => Some(Engine::Scan(Run::window(plan, checkpoint, window, local))),
        };
        let extractor = self.extractor(node);
        extractor.newest = 0;
        extractor.engine = engine;
        if extractor.engine.is_none() {
            extractor.board.ended(&flow(), Ended::Complete);
        }
        self.extractor(node).engine.is_some()
    }

    /// The source answers a query.
    pub(crate) fn answer_page(&mut self, node: usize, session: u64, fetch: u64, ask: &Ask) {
        if !self.is_session(node, session) {
            return;
        }
        let now = self.seconds();
        self.touch_source_while_paging();
        let wait = self.dice.millis(20, 300);
        if self.chaos && self.dice.one_in(self.setting.page_failures) {
            return self.tell(wait, node, Message::Page { fetch, answer: None });
        }
        let mut rows = self.source.answer(ask, now);
        self.trace
            .note(self.now, || format!("node {node} asks {:?} {:?}: {} rows", ask.scope, ask.position, rows.len()));
        if self.chaos
            && self.dice.one_in(self.setting.page_failures)
            && let Some(row) = rows.last_mut()
        {
            row.pop();
        }
        let local_time = self.wall_of(node).div_euclid(1_000);
        let answer = Answer { rows, server_time: Some(now), local_time, elapsed: 1 };
        self.tell(wait, node, Message::Page { fetch, answer: Some(Box::new(answer)) });
    }

    fn take_page(&mut self, node: usize, answer: Answer) -> bool {
        let dates = answer.rows.iter().filter_map(|row| window::instant(row.get(4)?.as_str()?, ZONE));
        let newest = dates.max().unwrap_or(0);
        let extractor = self.extractor(node);
        extractor.newest = extractor.newest.max(newest);
        self.with_seen(node, |world, table| match &mut world.extractor(node).engine {
            Some(Engine::Scan(run)) => run.page(answer).is_ok(),
            Some(Engine::Look(lookback)) => {
                lookback.page(answer, &|id| seen(table, id)).expect("our own entries read").is_ok()
            }
            None => true,
        })
    }

    fn show_entries(&mut self, node: usize) {
        self.with_seen(node, |world, table| {
            let entries = table.iter().filter(|(key, _)| key.as_slice() != b"owner");
            let mut entries = entries.map(|(key, bytes)| Seen::from_bytes(&String::from_utf8_lossy(key), bytes));
            if let Some(Engine::Look(lookback)) = &mut world.extractor(node).engine {
                lookback.compare(&mut entries).expect("our own entries read");
            }
        });
    }

    fn batch(&mut self, node: usize) -> Option<Batch> {
        let most = self.setting.batch;
        let micros = u64::try_from(self.wall_of(node)).expect("after 1970") * 1_000 + self.dice.below(1_000);
        let mut count = self.fresh_id() * 1_000;
        let mut mint = || {
            count += 1;
            let mut trace_id = [1_u8; 16];
            trace_id[8..].copy_from_slice(&count.to_be_bytes());
            TraceParent { trace_id, span_id: [1; 8], flags: 1 }
        };
        self.with_seen(node, |world, table| {
            let lookup = |id: &Key| seen(table, id);
            let mut instant = Instant { micros, mint: &mut mint };
            let batch = match world.extractor(node).engine.as_mut()? {
                Engine::Scan(run) => run.batch(most, &lookup, &shape, &mut instant),
                Engine::Look(lookback) => lookback.batch(most, &lookup, &shape, &mut instant),
            };
            Some(batch.expect("our own entries read"))
        })
    }

    fn commit(&mut self, node: usize) {
        let Some(mut batch) = self.batch(node) else { return };
        let is_scan = matches!(self.extractor(node).engine, Some(Engine::Scan(_)));
        let newest = self.extractor(node).newest;
        if batch.finished && is_scan && !self.keeps(Rule::ScanStart) {
            batch.checkpoint.watermark = batch.checkpoint.watermark.max(newest);
        }
        self.extractor(node).committing = true;
        self.extractor(node).finishing = batch.finished;
        let data = batch.data.into_iter().map(|record| {
            let record = record.into_record();
            ((Topic::Extracted, self.partition_of(&record.key)), record)
        });
        let letters = batch.letters.into_iter().map(|letter| ((Topic::Letters, 0), letter.into_record()));
        let data = data.chain(letters).collect();
        let entry = |topic: Topic, key: String, value: Vec<u8>| {
            ((topic, PARTITION), Record { key: key.into_bytes(), value: Some(value), ..Record::default() })
        };
        let mut facts: Vec<_> =
            batch.seen.iter().map(|seen| entry(Topic::Seen, seen_key(&flow(), &seen.id), seen.to_bytes())).collect();
        let state = entry(Topic::State, flow().to_string(), batch.checkpoint.to_bytes());
        let offsets = vec![(PARTITION, 0)];
        if self.keeps(Rule::AtomicCheckpoint) {
            facts.push(state);
        } else {
            self.transact(node, Purpose::Shell(0), Vec::new(), vec![state], offsets.clone());
        }
        self.transact(node, Purpose::Shell(1), data, facts, offsets);
    }
}
