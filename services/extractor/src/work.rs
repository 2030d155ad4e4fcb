//! One run of one flow: pages are read ahead while batches are committed.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use document::{Fault, Record, TraceParent, topic};
use flow::Shaped;
use queue::Outgoing;
use runtime::{Backoff, Clock, Shutdown};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::behind::{Congestion, Downstream};
use crate::config::{Behind, ScanSettings};
use crate::core::checkpoint::Checkpoint;
use crate::core::key::Key;
use crate::core::lookback::{Lookback, Report};
use crate::core::reply::SourceError;
use crate::core::run::{Answer, Ask, Batch, Instant, Run};
use crate::core::schedule::Kind;
use crate::core::seen::{Seen, prefix, seen_key};
use crate::error::Rejected;
use crate::log::{Log, Portion};
use crate::metrics::Instruments;
use crate::source::Source;
use crate::unit::Unit;

/// How often a page is read again, and after which waits, where the flow file does not say.
const CONNECT_RETRIES: u32 = 3;
const RETRIES: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Entries of the seen table read at once.
const SEEN_PAGE: usize = 500;

/// What every run needs.
#[derive(Clone)]
pub struct Means {
    /// The sources.
    pub source: Arc<dyn Source>,
    /// Kafka, as the owner sees it.
    pub log: Arc<dyn Log>,
    /// The stages behind.
    pub downstream: Arc<dyn Downstream>,
    /// What is known of them.
    pub congestion: Arc<Congestion>,
    /// Time.
    pub clock: Clock,
    /// Runs at the same time; first come, first served.
    pub turns: Arc<Semaphore>,
    /// What is counted.
    pub instruments: Instruments,
    /// How sources are read.
    pub scan: ScanSettings,
    /// When runs wait.
    pub behind: Behind,
    /// Where randomness for traces and waits comes from.
    pub random: fn() -> [u8; 24],
}

impl std::fmt::Debug for Means {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Means").field("scan", &self.scan).finish_non_exhaustive()
    }
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// The flow.
    pub unit: Arc<Unit>,
    /// The partition its state lies in.
    pub partition: i32,
    /// A scan, a lookback or a window.
    pub kind: Kind,
    /// The firing it serves.
    pub fired: Option<i64>,
    /// The wish to end after the page in hand.
    pub drain: Shutdown,
    /// Asked when the partition is gone: nothing may be written any more.
    pub void: Shutdown,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is complete, and this is what is saved.
    Complete(Box<Checkpoint>, Option<Report>),
    /// It ended early as it was asked to; its progress is saved.
    Drained,
    /// A window that keeps a pace is read on after this wait; its progress is saved.
    Paced(Duration),
    /// It failed and is to be tried again from the saved position, not before this wait if there is one.
    Failed(Fault, Option<Duration>),
    /// The flow must stop; the word is for metrics.
    Stopped(Fault, &'static str),
    /// The flow is no longer ours, or Kafka does not answer.
    Gone(Fault),
}

enum Engine {
    Scan(Run),
    Look(Lookback),
}

/// A task that ends with its owner.
struct Fetch(JoinHandle<Result<Answer, SourceError>>);

impl Future for Fetch {
    type Output = Result<Answer, SourceError>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|joined| joined.expect("reading a page does not panic"))
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Job {
    /// Runs to the end, to the wish to end, or to the first error that waiting does not mend.
    pub async fn run(self, means: Means) -> Outcome {
        match self.go(&means).await {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    fn name(&self) -> &str {
        self.unit.flow.name.as_str()
    }

    async fn go(&self, means: &Means) -> Result<Outcome, Outcome> {
        let Some(mut turn) = self.turn(means).await else { return Ok(Outcome::Drained) };
        killpoint::reached("run.turn");
        let checkpoint = self.checkpoint(means)?;
        killpoint::reached("run.checkpoint.read");
        let now = means.clock.seconds();
        let mut engine = match self.kind {
            Kind::Scan => Engine::Scan(Run::begin(Arc::clone(&self.unit.plan), checkpoint, now, self.fired)),
            Kind::Window(window) if checkpoint.has_read(&window) => {
                return Ok(Outcome::Complete(Box::new(checkpoint), None));
            }
            Kind::Window(window) => Engine::Scan(Run::window(Arc::clone(&self.unit.plan), checkpoint, window, now)),
            Kind::Lookback => match Lookback::begin(Arc::clone(&self.unit.plan), checkpoint.clone(), now, self.fired) {
                Some(lookback) => Engine::Look(lookback),
                None => return Ok(Outcome::Complete(Box::new(checkpoint), None)),
            },
        };
        let mut fetching: Option<(Ask, Fetch)> = None;
        let mut waiting_since: Option<Duration> = None;
        let mut pages = 0;
        let mut emitted = 0;
        loop {
            if let Engine::Look(lookback) = &mut engine
                && lookback.wants_entries()
            {
                self.compare(lookback, means)?;
            }
            // What keeps a pace is read page by page, with its wait after each that brought something.
            let paced = self.rate().is_some() && (emitted > 0 || engine.pending() > 0);
            let ends = paced || self.drain.is_requested();
            if fetching.is_none() && !ends && engine.pending() < means.scan.batch_bills {
                if pages >= means.scan.turn_pages {
                    // To the end of the queue: one long scan must not hold up the others.
                    killpoint::reached("run.turn.given");
                    pages = 0;
                    drop(turn);
                    turn = match self.turn(means).await {
                        Some(turn) => turn,
                        None => means.turns.clone().acquire_owned().await.expect("turns are never closed"),
                    };
                }
                if let Some(ask) = engine.ask()
                    && self.may_go_on(means).await
                {
                    killpoint::reached("run.page.asked");
                    fetching = Some((ask.clone(), self.fetch(ask, means)));
                    pages += 1;
                }
            }
            let now = means.clock.monotonic();
            let overdue = waiting_since.is_some_and(|since| now.saturating_sub(since) >= means.scan.commit_every);
            let over = fetching.is_none() && engine.ask().is_none() && !engine.wants_entries();
            if over
                || (engine.pending() > 0
                    && (engine.pending() >= means.scan.batch_bills || overdue || fetching.is_none()))
            {
                let ask_time = engine.times();
                let batch = self.batch(&mut engine, ask_time, means)?;
                emitted += batch.counts.emitted;
                killpoint::reached("run.batch.made");
                if let Some(outcome) = self.commit(batch, &engine, means).await? {
                    // The pace is kept from one window of a backfill to the next, too.
                    return Ok(self.wait_for(emitted).map_or(outcome, Outcome::Paced));
                }
                killpoint::reached("run.batch.committed");
                waiting_since = (engine.pending() > 0).then(|| means.clock.monotonic());
                continue;
            }
            let Some((_, fetch)) = &mut fetching else {
                if engine.wants_entries() {
                    continue;
                }
                return Ok(self.wait_for(emitted).map_or(Outcome::Drained, Outcome::Paced));
            };
            let due = waiting_since.map(|since| (since + means.scan.commit_every).saturating_sub(now));
            let answer = tokio::select! {
                answer = fetch => answer,
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => continue,
            };
            killpoint::reached("run.page.answered");
            fetching = None;
            self.take(&mut engine, answer, means)?;
            killpoint::reached("run.page.taken");
            if engine.pending() > 0 {
                waiting_since = waiting_since.or_else(|| Some(means.clock.monotonic()));
            }
        }
    }

    /// Documents a minute, where the run keeps a pace.
    fn rate(&self) -> Option<NonZeroU32> {
        match self.kind {
            Kind::Window(window) => window.part.and_then(|part| part.rate),
            Kind::Scan | Kind::Lookback => None,
        }
    }

    /// How long a run that keeps a pace waits when it has given out so many documents.
    fn wait_for(&self, emitted: u64) -> Option<Duration> {
        let rate = self.rate().filter(|_| emitted > 0)?;
        Some(Duration::from_millis(emitted.saturating_mul(60_000) / u64::from(rate.get())))
    }

    /// Waits for a place among the runs; `None` when the wish to end came first.
    async fn turn(&self, means: &Means) -> Option<tokio::sync::OwnedSemaphorePermit> {
        tokio::select! {
            biased;
            () = self.drain.requested() => None,
            turn = means.turns.clone().acquire_owned() => turn.ok(),
        }
    }

    fn checkpoint(&self, means: &Means) -> Result<Checkpoint, Outcome> {
        let bytes = means.log.checkpoint(self.partition, self.name()).map_err(Outcome::Gone)?;
        match bytes {
            Some(bytes) => {
                Checkpoint::from_bytes(&self.unit.flow.name, &bytes).map_err(|fault| Outcome::Stopped(fault, "state"))
            }
            None => Ok(Checkpoint::new(self.unit.flow.start_from.timestamp(), &self.unit.plan.config)),
        }
    }

    /// Waits while the stages behind have too much to do; `false` when the wish to end came first.
    async fn may_go_on(&self, means: &Means) -> bool {
        let flow = &self.unit.flow.name;
        while means.congestion.wants_to_know(flow, means.clock.monotonic()) {
            match means.downstream.ask(flow, means.clock.millis()).await {
                Ok(far) => {
                    means.instruments.behind(flow.as_str(), far.records);
                    if means.congestion.told(flow, far, means.clock.monotonic()) {
                        break;
                    }
                    tracing::info!(%flow, far.records, far.aged, "scan waits for the stages behind it");
                }
                // Not to know is no reason to stand still: the topics keep what they get for two weeks.
                Err(fault) => {
                    tracing::warn!(%flow, code = %fault.code, detail = fault.detail, "lag of the stages behind is unknown");
                    break;
                }
            }
            tokio::select! {
                () = self.drain.requested() => return false,
                () = tokio::time::sleep(means.behind.check_every) => {}
            }
        }
        !self.drain.is_requested()
    }

    fn fetch(&self, ask: Ask, means: &Means) -> Fetch {
        let (unit, source) = (Arc::clone(&self.unit), Arc::clone(&means.source));
        let (instruments, random) = (means.instruments.clone(), means.random);
        Fetch(tokio::spawn(async move {
            let retry = &unit.flow.settings.retry;
            let first = retry.first_wait.unwrap_or(FIRST_WAIT);
            let longest = retry.longest_wait.unwrap_or(LONGEST_WAIT).max(first);
            let backoff = Backoff::new(first, longest).unwrap_or(Backoff::HOUSE);
            let mut attempt = 0;
            loop {
                let error = match source.page(&unit, &ask).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let SourceError::Retry { class, after, fault } = &error else { return Err(error) };
                // A source that names its own time is waited for; it counts no attempt.
                attempt += u32::from(*class != "throttled");
                let most = match *class {
                    "connect" => retry.connect.unwrap_or(CONNECT_RETRIES),
                    _ => retry.server_error.unwrap_or(RETRIES),
                };
                if attempt > most || *class == "credentials" {
                    return Err(error);
                }
                let flow = &unit.flow.name;
                instruments.retry(flow.as_str(), class);
                tracing::warn!(%flow, attempt, code = %fault.code, detail = fault.detail, "page is read again");
                let jitter = u64::from_be_bytes(random()[..8].try_into().expect("eight of them"));
                tokio::time::sleep(backoff.wait(attempt.max(1), *after, jitter)).await;
            }
        }))
    }

    fn take(&self, engine: &mut Engine, answer: Result<Answer, SourceError>, means: &Means) -> Result<(), Outcome> {
        let answer = answer.map_err(|error| match error {
            SourceError::Retry { class: "credentials", after, fault } => Outcome::Failed(fault, after),
            SourceError::Retry { fault, .. } | SourceError::Refused(fault) => Outcome::Failed(fault, None),
            SourceError::Stop(fault) => Outcome::Stopped(fault, "source_schema"),
        })?;
        let refused = |rejected: Rejected| {
            let fault = rejected.fault(self.name());
            match rejected {
                Rejected::HeadTwice { .. } => Outcome::Stopped(fault, "source_schema"),
                _ => Outcome::Failed(fault, None),
            }
        };
        match engine {
            Engine::Scan(run) => run.page(answer).map_err(refused),
            Engine::Look(lookback) => {
                let seen = |id: &Key| self.seen(id, means);
                lookback.page(answer, &seen).map_err(unreadable)?.map_err(refused)
            }
        }
    }

    fn seen(&self, id: &Key, means: &Means) -> Result<Option<Seen>, Fault> {
        let key = seen_key(&self.unit.flow.name, id);
        let bytes = means.log.seen(self.partition, &key)?;
        bytes.map(|bytes| Seen::from_bytes(&key, &bytes)).transpose()
    }

    fn compare(&self, lookback: &mut Lookback, means: &Means) -> Result<(), Outcome> {
        let prefix = prefix(&self.unit.flow.name);
        let mut after: Option<Vec<u8>> = None;
        let mut page: std::vec::IntoIter<(Vec<u8>, Vec<u8>)> = Vec::new().into_iter();
        let mut last = false;
        let mut entries = std::iter::from_fn(|| {
            if page.len() == 0 && !last {
                match means.log.seen_page(self.partition, &prefix, after.as_deref(), SEEN_PAGE) {
                    Ok(entries) => {
                        last = entries.len() < SEEN_PAGE;
                        page = entries.into_iter();
                    }
                    Err(fault) => {
                        last = true;
                        return Some(Err(fault));
                    }
                }
            }
            let (key, value) = page.next()?;
            let seen = Seen::from_bytes(&String::from_utf8_lossy(&key), &value);
            after = Some(key);
            Some(seen)
        });
        lookback.compare(&mut entries).map_err(unreadable)
    }

    fn batch(&self, engine: &mut Engine, times: (i64, i64), means: &Means) -> Result<Batch, Outcome> {
        let run = self.unit.flow.run(times.0, times.1);
        let shape = |rows: Vec<Map<String, Value>>| -> Shaped { self.unit.flow.source.shape_each(rows, &run) };
        let seen = |id: &Key| self.seen(id, means);
        let mut mint = || -> TraceParent { runtime::telemetry::new_trace((means.random)()) };
        let mut instant = Instant { micros: means.clock.micros(), mint: &mut mint };
        let max = means.scan.batch_bills;
        match engine {
            Engine::Scan(run) => run.batch(max, &seen, &shape, &mut instant),
            Engine::Look(lookback) => lookback.batch(max, &seen, &shape, &mut instant),
        }
        .map_err(unreadable)
    }

    /// Writes a batch; gives the outcome when the run is over with it.
    async fn commit(&self, batch: Batch, engine: &Engine, means: &Means) -> Result<Option<Outcome>, Outcome> {
        let flow = &self.unit.flow;
        let begun = means.clock.monotonic();
        let extracted = topic::extracted(&flow.name);
        let letters =
            batch.letters.iter().cloned().map(|letter| Outgoing::to(topic::DEAD_LETTERS, letter.into_record()));
        let entry = |topic: &str, key: String, value: Vec<u8>| {
            let record = Record { key: key.into_bytes(), value: Some(value), ..Record::default() };
            Outgoing::to_partition(topic, self.partition, record)
        };
        let data = batch.data.into_iter().map(|record| Outgoing::to(extracted.as_str(), record.into_record()));
        let portion = Portion {
            data: data.chain(letters).collect(),
            seen: batch
                .seen
                .iter()
                .map(|seen| entry(topic::EXTRACT_SEEN, seen_key(&flow.name, &seen.id), seen.to_bytes()))
                .collect(),
            state: vec![entry(topic::EXTRACT_STATE, flow.name.to_string(), batch.checkpoint.to_bytes())],
            offsets: Vec::new(),
            void: self.void.clone(),
        };
        killpoint::reached("run.commit.asked");
        means.log.commit(portion).await.map_err(Outcome::Gone)?;
        killpoint::reached("run.commit.answered");
        let time = means.clock.monotonic().saturating_sub(begun);
        means.congestion.emitted(&flow.name, batch.counts.emitted);
        means.instruments.batch(flow, batch.counts, &batch.letters, batch.changed_after_load.len(), time);
        let counts = batch.counts;
        tracing::debug!(flow = %flow.name, kind = self.kind.as_str(), ?counts, "batch committed");
        for letter in &batch.letters {
            tracing::warn!(flow = %flow.name, record = %letter.document_key, code = %letter.code, "dead letter written");
        }
        for document in &batch.changed_after_load {
            tracing::info!(flow = %flow.name, record = %document, "changed after load");
        }
        Ok(batch.finished.then(|| Outcome::Complete(Box::new(batch.checkpoint), engine.report())))
    }
}

/// What does not read stops the flow; what cannot be looked up is no longer ours.
fn unreadable(fault: Fault) -> Outcome {
    match fault.code {
        document::Code::SeenUnreadable | document::Code::CheckpointUnreadable => Outcome::Stopped(fault, "state"),
        _ => Outcome::Gone(fault),
    }
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

    fn report(&self) -> Option<Report> {
        match self {
            Engine::Scan(_) => None,
            Engine::Look(lookback) => Some(lookback.report()),
        }
    }
}

#[cfg(test)]
mod tests;
