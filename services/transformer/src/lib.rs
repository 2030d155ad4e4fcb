//! The mapping stage: bills as their source gave them in, bills as their target wants them out.
//!
//! Mapping is a pure function of the record, the flow version in its header and the run variables it carries, so the
//! stage keeps no state and needs no transaction: it reads, maps, waits for every acknowledgement and then saves its
//! positions. A crash in between leaves equal copies, which the loader drops by identity. [`core`] decides, the loop
//! here does what it says through the four [`doors`].

pub mod config;
pub mod core;
pub mod doors;
pub mod error;
pub mod metrics;
pub mod notes;

use std::collections::BTreeMap;
use std::time::Duration;

use document::{Code, Fault, Received};
use queue::Outgoing;
use runtime::health::Readiness;
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock, Shutdown};

pub use config::{Config, DEFAULTS};
pub use error::Error;

use crate::core::{Core, Handled, Outcome, Plan, Traces};
use crate::doors::{Registry, Sink, Source};
use crate::metrics::StageMetrics;
use crate::notes::Notes;

/// The conditions of `/ready`.
pub const CONDITIONS: [&str; 2] = ["kafka", "flows"];

/// Time between two looks at the lag.
const LAG_EVERY: Duration = Duration::from_secs(5);

/// The first wait for a topic that is not there.
const MISSING_WAIT: Duration = Duration::from_secs(1);

/// What the loop is given besides its doors.
#[derive(Debug)]
pub struct Surroundings {
    /// Time.
    pub clock: Clock,
    /// What `/ready` says.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: StageMetrics,
    /// Watched while the loop goes round.
    pub heartbeat: Heartbeat,
    /// Records that were in hand at a death.
    pub notes: Notes,
}

/// The stage.
#[derive(Debug)]
pub struct Transformer<S, P, R, T> {
    config: Config,
    core: Core,
    source: S,
    sink: P,
    registry: R,
    traces: T,
    around: Surroundings,
    topics: Vec<String>,
    /// Topics that cannot be read on, and when to look again: never, when records of them are lost.
    stopped: BTreeMap<String, Option<Duration>>,
    /// How often a topic was not there.
    misses: BTreeMap<String, u32>,
    subscribed_at: Option<Duration>,
    lag_at: Option<Duration>,
    failures: u32,
}

impl<S: Source, P: Sink, R: Registry, T: Traces> Transformer<S, P, R, T> {
    /// Ready to run.
    pub fn new(config: Config, source: S, sink: P, registry: R, traces: T, around: Surroundings) -> Self {
        let mut core = Core::new(config.breaker, config.hold.max_bytes);
        for (topic, partition, offset) in around.notes.culprits() {
            tracing::error!(topic, partition, offset, "record killed the process three times, setting it aside");
            core.quarantine(&topic, partition, offset);
        }
        Self {
            config,
            core,
            source,
            sink,
            registry,
            traces,
            around,
            topics: Vec::new(),
            stopped: BTreeMap::new(),
            misses: BTreeMap::new(),
            subscribed_at: None,
            lag_at: None,
            failures: 0,
        }
    }

    /// Maps until the wish to stop: takes no more records then, writes the batch in hand, saves and leaves the group.
    ///
    /// # Errors
    /// [`Error`]; nothing that was not written is saved.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Error> {
        killpoint::reached("transformer.started");
        self.around.readiness.ready("flows");
        let outcome = self.rounds(&shutdown).await;
        killpoint::reached("transformer.rounds.over");
        killpoint::reached("transformer.leaving");
        self.source.close().await;
        tracing::info!("drained");
        outcome
    }

    async fn rounds(&mut self, shutdown: &Shutdown) -> Result<(), Error> {
        while !shutdown.is_requested() {
            self.around.heartbeat.beat();
            if let Err(error) = self.follow(shutdown).await? {
                self.trouble(&error, shutdown).await;
                continue;
            }
            killpoint::reached("transformer.round");
            let polled = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                polled = self.source.poll(self.config.batch.records, self.config.batch.wait) => polled,
            };
            match polled {
                Ok(batch) => {
                    killpoint::reached("transformer.polled");
                    self.failures = 0;
                    self.around.readiness.ready("kafka");
                    if let Err(error) = self.batch(batch, shutdown).await? {
                        self.trouble(&error, shutdown).await;
                    }
                }
                Err(error) => self.trouble(&error, shutdown).await,
            }
            self.look_at_lag().await;
        }
        Ok(())
    }

    /// Takes up new flows, and goes on with what waited for a version.
    async fn follow(&mut self, shutdown: &Shutdown) -> Result<Result<(), queue::Error>, Error> {
        let now = self.around.clock.monotonic();
        let stopped = self.stopped.len();
        self.stopped.retain(|_, until| until.is_none_or(|until| now < until));
        if self.stopped.len() < stopped {
            self.subscribed_at = None;
            self.show_waiting();
        }
        let mut topics = self.registry.topics();
        topics.retain(|topic| !self.stopped.contains_key(topic));
        topics.sort();
        let every = self.config.flows.subscribe_every;
        if topics != self.topics && self.subscribed_at.is_none_or(|at| now.saturating_sub(at) >= every) {
            tracing::info!(topics = topics.len(), before = self.topics.len(), "subscription changes");
            killpoint::reached("transformer.subscribing");
            if let Err(error) = self.source.subscribe(&topics).await {
                return Ok(Err(error));
            }
            self.topics = topics;
            killpoint::reached("transformer.subscribed");
            self.subscribed_at = Some(now);
        }
        if self.core.holds().partitions().is_empty() {
            return Ok(Ok(()));
        }
        self.core.keep_only(&self.source.assigned());
        let released = self.core.release(&self.registry);
        if released.rejoin {
            self.core.forget();
            return Ok(self.source.rejoin(&self.topics).await);
        }
        if released.resume.is_empty() {
            return Ok(Ok(()));
        }
        tracing::info!(partitions = released.resume.len(), "partitions go on");
        if let Err(error) = self.batch(released.records, shutdown).await? {
            return Ok(Err(error));
        }
        let resume: Vec<_> =
            released.resume.into_iter().filter(|partition| !self.core.holds().contains(partition)).collect();
        killpoint::reached("transformer.resuming");
        self.source.resume(&resume);
        self.show_waiting();
        Ok(Ok(()))
    }

    /// Maps a batch, writes it and saves its positions. The inner error is one of saving.
    async fn batch(&mut self, batch: Vec<Received>, shutdown: &Shutdown) -> Result<Result<(), queue::Error>, Error> {
        for part in self.around.notes.split(batch) {
            killpoint::reached("transformer.part.begun");
            let begun = self.around.clock.monotonic();
            self.note(|notes| notes.begin(&part))?;
            killpoint::reached("transformer.part.noted");
            let now = self.around.clock.millis();
            let mut plan = self.core.map(part, &self.registry, &mut self.traces, now);
            killpoint::reached("transformer.part.mapped");
            self.note(Notes::end)?;
            killpoint::reached("transformer.part.note_ended");
            self.hold(&plan);
            self.deliver(&mut plan.handled, shutdown).await?;
            killpoint::reached("transformer.part.delivered");
            if let Err(error) = self.source.commit(&plan.commits).await {
                return Ok(Err(error));
            }
            killpoint::reached("transformer.part.committed");
            let time = self.around.clock.monotonic().saturating_sub(begun);
            self.around.metrics.batch(&plan.handled, time);
            for record in &plan.handled {
                if let Some(fault) = &record.fault {
                    let (flow, record) = (&record.flow, core::letter::place(&record.received));
                    tracing::warn!(%flow, record, code = %fault.code, field = fault.place.path, "dead letter written");
                }
            }
        }
        Ok(Ok(()))
    }

    fn note(&mut self, write: impl FnOnce(&mut Notes) -> std::io::Result<()>) -> Result<(), Error> {
        let path = &self.config.worker.data_dir;
        write(&mut self.around.notes).map_err(|source| Error::Notes { path: path.clone(), source })
    }

    fn hold(&mut self, plan: &Plan) {
        if plan.pause.is_empty() {
            return;
        }
        killpoint::reached("transformer.pausing");
        self.source.pause(&plan.pause);
        for alert in &plan.alerts {
            tracing::error!(code = %alert.code, place = %alert.place, detail = alert.detail, "partition waits");
        }
        self.show_waiting();
    }

    fn show_waiting(&self) {
        self.around.metrics.waiting(self.core.holds(), self.stopped.keys().map(String::as_str));
    }

    /// Writes everything, however long Kafka is away. A batch that fails twice goes record by record, so that one
    /// record that cannot be written does not hold up the others: its letter takes its place.
    async fn deliver(&mut self, handled: &mut [Handled], shutdown: &Shutdown) -> Result<(), Error> {
        let whole: Vec<Outgoing> = handled.iter().flat_map(|record| record.output.iter().cloned()).collect();
        if whole.is_empty() {
            return Ok(());
        }
        for attempt in 1..=2 {
            killpoint::reached("transformer.sending");
            match self.sink.send_all(whole.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => {
                    tracing::warn!(attempt, code = %error.code(), place = %error.place(), "batch was not written");
                    self.recover_sink(&error);
                }
            }
        }
        let mut stop_at = None;
        for record in handled {
            let mut attempt = 0;
            while let Err(error) = self.sink.send_all(record.output.clone()).await {
                if error.code() == Code::RecordTooLarge {
                    if record.outcome == Outcome::DeadLetter {
                        return Err(Error::Letter(error));
                    }
                    let fault = Fault::new(Code::MappedTooLarge, error.to_string())
                        .of_record(core::letter::place(&record.received));
                    record.output = vec![core::refuse(record, &fault, self.around.clock.millis())];
                    record.outcome = Outcome::DeadLetter;
                    record.fault = Some(fault);
                    continue;
                }
                attempt += 1;
                self.around.readiness.not_ready("kafka", format!("{}: records are not taken", error.code()));
                self.around.heartbeat.beat();
                let now = self.around.clock.monotonic();
                if shutdown.is_requested() && now >= *stop_at.get_or_insert(now + self.config.drain.deadline) {
                    return Err(Error::Drain(error));
                }
                self.recover_sink(&error);
                tokio::time::sleep(Backoff::HOUSE.wait(attempt, None, rand::random())).await;
            }
        }
        self.around.readiness.ready("kafka");
        Ok(())
    }

    fn recover_sink(&mut self, error: &queue::Error) {
        if error.recycles()
            && let Err(error) = self.sink.reconnect()
        {
            killpoint::reached("transformer.sink.lost");
            tracing::error!(code = %error.code(), place = %error.place(), "no new producer");
        }
    }

    /// Waits after an error of the source, and gives up what the error says is lost.
    async fn trouble(&mut self, error: &queue::Error, shutdown: &Shutdown) {
        killpoint::reached("transformer.trouble");
        let fault = error.fault();
        if let Some(topic) = error.topic() {
            self.subscribed_at = None;
            let until = if fault.code == Code::TopicMissing {
                // A topic made a moment ago is not known everywhere yet; one that was never made is worth a look at
                // times, and no more, since each look is a rebalance.
                let misses = self.misses.entry(topic.to_owned()).or_default();
                *misses += 1;
                let wait =
                    MISSING_WAIT.saturating_mul(1 << (*misses - 1).min(10)).min(self.config.flows.subscribe_every);
                tracing::warn!(code = %fault.code, topic, misses, wait_seconds = wait.as_secs(), "topic is missing");
                Some(self.around.clock.monotonic() + wait)
            } else {
                tracing::error!(code = %fault.code, place = %fault.place, detail = fault.detail, "topic is stopped");
                None
            };
            self.stopped.insert(topic.to_owned(), until);
            self.show_waiting();
            return;
        }
        tracing::warn!(code = %fault.code, place = %fault.place, detail = fault.detail, "reading was interrupted");
        self.around.readiness.not_ready("kafka", fault.code.to_string());
        self.failures += 1;
        let wait = Backoff::HOUSE.wait(self.failures, None, rand::random());
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if error.recycles() && !self.topics.is_empty() {
            self.core.forget();
            killpoint::reached("transformer.rejoining");
            if let Err(error) = self.source.rejoin(&self.topics).await {
                tracing::warn!(code = %error.code(), place = %error.place(), "the group was not joined");
            }
        }
    }

    async fn look_at_lag(&mut self) {
        let now = self.around.clock.monotonic();
        if self.lag_at.is_some_and(|at| now.saturating_sub(at) < LAG_EVERY) {
            return;
        }
        killpoint::reached("transformer.lag.asked");
        self.lag_at = Some(now);
        match self.source.lag().await {
            Ok(lags) => self.around.metrics.lag(&lags),
            Err(error) => tracing::debug!(code = %error.code(), "no lag was given"),
        }
    }
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
