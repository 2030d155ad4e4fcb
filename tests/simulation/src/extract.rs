//! The extractor's shell: runs for the owner of the flow whatever is due, one run after another.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use document::{BackfillId, Fault, FlowName, FlowVersion, Record, TraceParent};
use extractor::core::checkpoint::{Checkpoint, Part, Window};
use extractor::core::key::Key;
use extractor::core::lookback::Lookback;
use extractor::core::run::{Answer, Ask, Batch, Instant, Run};
use extractor::core::schedule::{Board, Ended, Kind, Timing};
use extractor::core::seen::{Seen, prefix, seen_key};
use extractor::core::window;
use flow::schedule;

use crate::flow;
use crate::log::{Table, Topic};
use crate::message::{Happening, Message};
use crate::rule::Rule;
use crate::session::Purpose;
use crate::source::{ZONE, shape};
use crate::world::{Shell, World};

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

    /// `CURRENT_TIME` and `LAST_SYNC_TIME` of the run.
    fn times(&self) -> (i64, i64) {
        match self {
            Engine::Scan(run) => run.times(),
            Engine::Look(lookback) => lookback.times(),
        }
    }

    /// What a lookback found that somebody must know of.
    fn alert(&self) -> Option<Fault> {
        match self {
            Engine::Scan(_) => None,
            Engine::Look(lookback) => lookback.report().alert(flow().as_str()),
        }
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
    /// The definition that the flow was taken on with.
    taken_on: Option<FlowVersion>,
    /// The window that is being read, and the one that was wished for last.
    window: Option<Window>,
    wished: Option<Window>,
    /// Documents that the run has given out.
    emitted: u32,
}

impl Extractor {
    /// Documents a minute, where the run keeps a pace.
    fn rate(&self) -> Option<NonZeroU32> {
        self.window.and_then(|window| window.part).and_then(|part| part.rate)
    }
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
            Message::Revoked(_) => {
                self.extractor(node).board.remove(&flow());
                return self.forget_extractor(node);
            }
            Message::Committed(1) => {
                let finished = self.extractor(node).finishing;
                self.extractor(node).committing = false;
                if finished {
                    self.end_run(node, Ended::Complete);
                }
            }
            Message::Page { fetch, .. } if self.extractor(node).fetching != Some(fetch) => {}
            Message::Page { answer, .. } => {
                self.extractor(node).fetching = None;
                match answer {
                    Some(answer) => self.extractor(node).answer = Some(answer),
                    None => self.retry_run(node),
                }
            }
            Message::Tick => self.look_at_board(node),
            _ => {}
        }
        self.drive(node);
    }

    /// While a run goes on nothing else is due, and what is published may be another definition.
    fn look_at_board(&mut self, node: usize) {
        let current = self.setting.plan(self.now).rules.flow_version.clone();
        if !self.extractor(node).owns || self.extractor(node).board.is_stopped(&flow()) {
            return;
        }
        if self.extractor(node).taken_on.as_ref().is_some_and(|version| *version != current) {
            self.take_on(node);
        }
        let (local, now) = (self.wall_of(node).div_euclid(1_000), self.now);
        let extractor = self.extractor(node);
        if extractor.engine.is_some() {
            let due = extractor.board.tick(local, now);
            let (running, known) = (extractor.board.is_running(&flow()), extractor.board.flows().count());
            if !due.is_empty() || !running || known != 1 {
                self.violate(format!("{due:?} is due of {known} flows while a run goes on"));
            }
        }
    }

    /// Whether somebody reads bills that are to be emitted again, as they are.
    pub(crate) fn is_read_again(&self) -> bool {
        let again = |window: Option<Window>| window.is_some_and(|window| window.again);
        self.nodes.iter().any(|node| match &node.shell {
            Shell::Extractor(extractor) => again(extractor.window) || again(extractor.wished),
            Shell::Transformer(_) | Shell::Loader(_) => false,
        })
    }

    /// The flow is ours: what is due from now on?
    fn take_on(&mut self, node: usize) {
        let Some(checkpoint) = self.checkpoint(node) else { return };
        let plan = |cron| schedule::Plan::new(cron, ZONE).expect("a cron");
        let timing = Timing {
            scan: plan(SCANS),
            lookback: self.setting.looks_back().then(|| plan(LOOKBACKS)),
            windows: self.setting.looks_back(),
            when_running: self.setting.when_running,
        };
        let now = self.wall_of(node).div_euclid(1_000);
        let version = self.setting.plan(self.now).rules.flow_version.clone();
        let extractor = self.extractor(node);
        extractor.taken_on = Some(version);
        extractor.board.put(flow(), timing, &checkpoint, now, true);
    }

    /// What somebody asks for now: mostly a scan.
    fn wish(&mut self, node: usize, scanned: bool) -> Kind {
        self.extractor(node).runs += 1;
        let (runs, every) = (self.extractor(node).runs, self.setting.lookback_every);
        let looks = self.setting.looks_back();
        // Once faults have stopped, both kinds are waited for.
        let every = if self.chaos { every } else { 2 };
        if looks && scanned && runs.is_multiple_of(every) {
            return Kind::Lookback;
        }
        if !looks || !self.dice.one_in(6) {
            // Somebody asks for what cannot be, or for what was asked for before.
            return match self.extractor(node).wished.filter(|_| looks) {
                Some(window) if self.second.one_in(20) => Kind::Window(window),
                None if !looks && self.second.one_in(8) => Kind::Lookback,
                _ => Kind::Scan,
            };
        }
        let to = self.seconds() - self.dice.between(0, 3_600);
        let from = to - self.dice.between(1, 2 * 86_400);
        let backfill = self.dice.one_in(2).then(|| BackfillId::new(runs.into()));
        let rate = self.second.one_in(3).then(|| 1 + u32::try_from(self.second.below(30)).expect("few"));
        let part = backfill.map(|backfill| Part { backfill, rate: rate.and_then(NonZeroU32::new) });
        let window = Window { from, to, again: self.dice.one_in(3) && self.chaos, part };
        self.extractor(node).wished = Some(window);
        Kind::Window(window)
    }

    fn retry_run(&mut self, node: usize) {
        self.end_run(node, Ended::Retry(Duration::ZERO));
    }

    fn end_run(&mut self, node: usize, ended: Ended) {
        let wait = self.dice.millis(self.setting.scan_every, self.setting.scan_every * 2);
        let next_at = self.now + wait;
        if let Some(fault) =
            self.extractor(node).engine.as_ref().filter(|_| ended == Ended::Complete).and_then(Engine::alert)
        {
            self.note(|| format!("node {node} tells {fault}"));
        }
        let extractor = self.extractor(node);
        let ended = if matches!(ended, Ended::Retry(_)) { Ended::Retry(next_at) } else { ended };
        extractor.board.ended(&flow(), ended);
        extractor.engine = None;
        extractor.window = None;
        extractor.fetching = None;
        extractor.answer = None;
        extractor.finishing = false;
        extractor.next_at = next_at;
        self.tell(wait, node, Message::Tick);
    }

    fn checkpoint(&mut self, node: usize) -> Option<Checkpoint> {
        let table = self.nodes[node].session.as_ref()?.tables.get(&PARTITION)?.get(&Topic::State)?;
        let read = match table.get(flow().as_str().as_bytes()) {
            Some(bytes) => Checkpoint::from_bytes(&flow(), bytes),
            None => Ok(Checkpoint::new(self.setting.start(), &self.setting.plan(self.now).config)),
        };
        read.map_err(|fault| self.ruined(node, &fault)).ok()
    }

    /// What the flow has read does not read any more: it stops until somebody comes.
    fn ruined(&mut self, node: usize, fault: &Fault) {
        if !self.setting.variety.ruin {
            return self.violate(format!("what the extractor wrote does not read: {fault}"));
        }
        self.note(|| format!("node {node} stops the flow: {fault}"));
        self.end_run(node, Ended::Stopped);
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
            return;
        }
        let most = self.setting.batch;
        let Some(engine) = &self.extractor(node).engine else { return };
        let (ask, pending, comparing) = (engine.ask(), engine.pending(), engine.wants_entries());
        let (run_time, since) = engine.times();
        if ask.as_ref().is_some_and(|ask| (ask.run_time, ask.since) != (run_time, since)) {
            return self.violate("a page is asked for with other times than its run has".to_owned());
        }
        if comparing && !self.extractor(node).committing {
            if let Err(fault) = self.show_entries(node) {
                return self.ruined(node, &fault);
            }
            return self.tell(Duration::ZERO, node, Message::Tick);
        }
        let idle = self.extractor(node).fetching.is_none() && self.extractor(node).answer.is_none();
        // A window that keeps a pace ends with the page that brought something, and goes on from the checkpoint.
        let emitted = self.extractor(node).emitted;
        let rate = self.extractor(node).rate().filter(|_| emitted > 0 || pending > 0);
        let reads = idle && pending < most && rate.is_none() && !self.extractor(node).draining;
        if let Some(ask) = ask.clone().filter(|_| reads) {
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
        } else if let Some(rate) = rate.filter(|_| idle && pending == 0) {
            let until = self.now + Duration::from_secs(60) * emitted / rate.get();
            self.end_run(node, Ended::Paced(until));
        }
    }

    /// Whether a run is under way now.
    fn begin_run(&mut self, node: usize) -> bool {
        let now = self.now;
        if self.extractor(node).draining {
            self.release(node, PARTITION);
            return false;
        }
        if self.extractor(node).board.is_stopped(&flow()) {
            return false;
        }
        let Some(checkpoint) = self.checkpoint(node) else {
            return false;
        };
        let local = self.wall_of(node).div_euclid(1_000);
        if self.extractor(node).next_at <= now {
            let wait = Duration::from_millis(self.setting.scan_every * 2);
            self.extractor(node).next_at = now + wait;
            self.tell(wait, node, Message::Tick);
            // Now and then nobody asks, and the next firing has to come.
            if !self.dice.one_in(4) {
                let kind = self.wish(node, checkpoint.completed.is_some());
                let looks = self.setting.looks_back();
                let taken = self.extractor(node).board.wish(&flow(), kind);
                if taken == (kind == Kind::Lookback && !looks) {
                    self.violate(format!("the wish for a {} was taken: {taken}", kind.as_str()));
                }
            }
        }
        let resting: BTreeSet<FlowName> = (now < self.rests_until).then(flow).into_iter().collect();
        let rests = !resting.is_empty();
        let board = &mut self.extractor(node).board;
        board.rest(resting);
        if board.is_resting(&flow()) != rests {
            self.violate("the flow does not rest as it was told".to_owned());
        }
        let Some(due) = self.extractor(node).board.tick(local, now).pop() else { return false };
        if rests {
            self.violate(format!("a {} begins although the flow rests", due.kind.as_str()));
        }
        let plan = Arc::clone(self.setting.plan(now));
        *self.tally.entry(due.kind.as_str()).or_default() += 1;
        // No two lookbacks begin in one second.
        let looked = Some(self.seconds());
        self.note(|| format!("node {node} begins a {}", due.kind.as_str()));
        let engine = match due.kind {
            Kind::Scan => Some(Engine::Scan(Run::begin(plan, checkpoint, local, due.fired))),
            Kind::Lookback => Lookback::begin(plan, checkpoint, local, looked).map(Engine::Look),
            Kind::Window(window) if checkpoint.has_read(&window) => None,
            Kind::Window(window) => Some(Engine::Scan(Run::window(plan, checkpoint, window, local))),
        };
        let extractor = self.extractor(node);
        extractor.window = if let Kind::Window(window) = due.kind { Some(window) } else { None };
        (extractor.newest, extractor.emitted) = (0, 0);
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
        let plan = Arc::clone(self.setting.plan(self.now));
        let columns = plan.lookback.as_ref().filter(|_| ask.heads).map_or(&plan.rules.columns, |look| &look.columns);
        self.source.report(node, ask, now);
        let mut rows = self.source.answer(node, ask, columns, now);
        self.trace
            .note(self.now, || format!("node {node} asks {:?} {:?}: {} rows", ask.scope, ask.position, rows.len()));
        if self.chaos
            && self.dice.one_in(self.setting.page_failures)
            && let Some(row) = rows.last_mut()
        {
            row.pop();
        }
        if self.chaos && self.second.one_in(self.setting.variety.lies) {
            self.lie(node, ask, columns, &mut rows);
        }
        let local_time = self.wall_of(node).div_euclid(1_000);
        let answer = Answer { rows, server_time: Some(now), local_time, elapsed: 1 };
        self.tell(wait, node, Message::Page { fetch, answer: Some(Box::new(answer)) });
    }

    fn take_page(&mut self, node: usize, answer: Answer) -> bool {
        let dates = answer.rows.iter().flatten().filter_map(|cell| window::instant(cell.as_str()?, ZONE));
        let newest = dates.max().unwrap_or(0);
        let extractor = self.extractor(node);
        extractor.newest = extractor.newest.max(newest);
        let taken = self.with_seen(node, |world, table| match &mut world.extractor(node).engine {
            Some(Engine::Scan(run)) => Ok(run.page(answer)),
            Some(Engine::Look(lookback)) => lookback.page(answer, &|id| seen(table, id)),
            None => Ok(Ok(())),
        });
        match taken {
            Ok(Ok(())) => return true,
            Ok(Err(rejected)) => {
                self.note(|| format!("node {node} gives up the run: {}", rejected.fault(flow().as_str())));
                self.retry_run(node);
            }
            Err(fault) => self.ruined(node, &fault),
        }
        false
    }

    fn show_entries(&mut self, node: usize) -> Result<(), Fault> {
        self.with_seen(node, |world, table| {
            let of_flow = prefix(&flow()).into_bytes();
            let entries = table.iter().filter(|(key, _)| key.starts_with(&of_flow));
            let mut entries = entries.map(|(key, bytes)| Seen::from_bytes(&String::from_utf8_lossy(key), bytes));
            match &mut world.extractor(node).engine {
                Some(Engine::Look(lookback)) => lookback.compare(&mut entries),
                Some(Engine::Scan(_)) | None => Ok(()),
            }
        })
    }

    fn batch(&mut self, node: usize) -> Option<Result<Batch, Fault>> {
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
            Some(batch)
        })
    }

    fn commit(&mut self, node: usize) {
        let mut batch = match self.batch(node) {
            None => return,
            Some(Err(fault)) => return self.ruined(node, &fault),
            Some(Ok(batch)) => batch,
        };
        let is_scan = matches!(self.extractor(node).engine, Some(Engine::Scan(_)));
        let newest = self.extractor(node).newest;
        if batch.finished && is_scan && !self.keeps(Rule::ScanStart) {
            batch.checkpoint.watermark = batch.checkpoint.watermark.max(newest);
        }
        self.check_batch(node, &batch, is_scan);
        self.check_limits(&batch);
        self.extractor(node).committing = true;
        self.extractor(node).finishing = batch.finished;
        self.extractor(node).emitted += u32::try_from(batch.data.len()).expect("few");
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

    /// A batch says of itself what it holds, and its checkpoint how far the run is with it.
    fn check_batch(&mut self, node: usize, batch: &Batch, is_scan: bool) {
        let window = self.extractor(node).window;
        let (emitted, letters) = (batch.data.len() as u64, batch.letters.len() as u64);
        let mut wrong = (batch.counts.emitted, batch.counts.letters) != (emitted, letters);
        let checkpoint = &batch.checkpoint;
        match window {
            Some(window) => {
                wrong |= checkpoint.window.as_ref().is_some_and(|mark| mark.window != window)
                    || checkpoint.window.is_none() != batch.finished;
                let mark = window.part.and_then(|part| checkpoint.backfills.get(part.backfill));
                let read_to = mark.and_then(|mark| mark.read_to);
                wrong |= window.part.is_some() && batch.finished && read_to != Some(window.to);
            }
            None if is_scan => wrong |= checkpoint.scan.is_none() != batch.finished,
            None => {}
        }
        if wrong {
            self.violate(format!("a batch is not what it says: {:?} of {window:?}", batch.counts));
        }
    }
}
