//! The one writer: decides request after request, and writes what is decided together with its audit entry.
//!
//! Whoever owns the one partition of `starbridge.audit` is the writer; its transactions carry the group's generation, so
//! that an earlier writer cannot write any more. Records for the stages, events of letters, the control plane's memory
//! and the audit entry become readable in one transaction, or none of them does.

pub mod active;
pub mod desk;
pub mod jobs;
pub mod library;
pub mod request;
#[cfg(test)]
mod simulation;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use document::{Fault, topic};
use queue::{Cluster, Error, Event, Next, Session, SessionSettings, TopicPartition, Transaction};
use runtime::health::Readiness;
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock, Shutdown};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::access::KeyRing;
use crate::audit::head::SIGNED;
use crate::audit::{Entry, Pace, SignedHead};
use crate::core::job::Status;
use crate::follow::Progress;
use crate::metrics::ControlMetrics;
use crate::mirror::Writer as WriterAddress;
use active::{Active, Batch, Step};
use jobs::Rules;
use library::{Sources, Tables};
use request::{Answered, Handle, Request, not_active, unavailable};

/// Requests that may wait.
const WAITING: usize = 256;
/// A writer that is silent for so long is followed by another replica, which then needs a few seconds more.
const SILENT: Duration = Duration::from_secs(20);
/// A transaction that is not finished by then is ended by the broker.
const TRANSACTION: Duration = Duration::from_secs(15);

/// What the writer is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The brokers.
    pub cluster: Cluster,
    /// The consumer group of all replicas.
    pub group: String,
    /// The name of this one.
    pub member: String,
    /// Where its gRPC port is reached: `host:port`.
    pub address: String,
    /// Where the session keeps its copy of the state.
    pub data_dir: PathBuf,
    /// Time between two rounds of the jobs.
    pub round: Duration,
    /// How jobs go on.
    pub rules: Rules,
    /// The keys; one of them signs heads of the audit trail.
    pub keys: Arc<KeyRing>,
    /// Counts what is written.
    pub metrics: ControlMetrics,
}

/// Writes, while this replica is the one that does.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    sources: Sources,
    clock: Clock,
    readiness: Readiness,
    heartbeat: Heartbeat,
    requests: mpsc::Receiver<Request>,
    active: watch::Sender<bool>,
}

/// The state of this replica while it writes, and how far it has read the audit topic.
struct Writing {
    active: Active<Tables>,
    /// When the head is signed next.
    pace: Pace,
    read: Option<Next>,
}

/// Why a session ended.
enum Ended {
    Asked,
    Lost(String),
}

fn audit_partition() -> TopicPartition {
    TopicPartition::new(topic::AUDIT, 0)
}

fn state_topics(input: &str) -> Vec<String> {
    match input {
        topic::AUDIT => vec![topic::DEAD_LETTER_EVENTS.to_owned(), topic::CONTROL.to_owned()],
        _ => Vec::new(),
    }
}

impl Writer {
    /// A writer and the way to it.
    pub fn new(
        settings: Settings,
        sources: Sources,
        clock: Clock,
        readiness: Readiness,
        heartbeat: Heartbeat,
        progress: Progress,
    ) -> (Self, Handle) {
        let (sent, requests) = mpsc::channel(WAITING);
        let (active, watched) = watch::channel(false);
        let handle = Handle { requests: sent, active: watched, progress };
        (Self { settings, sources, clock, readiness, heartbeat, requests, active }, handle)
    }

    /// Writes until `shutdown` is requested; a session that ends for another reason is followed by a new one that knows
    /// only what Kafka tells.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut failures = 0;
        while !shutdown.is_requested() {
            let ended = match self.open().await {
                Ok(session) => {
                    killpoint::reached("writer.session.open");
                    self.readiness.ready("kafka");
                    failures = 0;
                    let ended = self.live(&session, &shutdown).await;
                    self.active.send_replace(false);
                    session.close().await;
                    killpoint::reached("writer.session.closed");
                    ended
                }
                Err(error) => Ended::Lost(error.fault().to_string()),
            };
            match ended {
                Ended::Asked => return,
                Ended::Lost(reason) => {
                    failures += 1;
                    let wait = Backoff::HOUSE.wait(failures, None, rand::random());
                    self.readiness.not_ready("kafka", "the session ended, another one is being opened");
                    warn!(reason, wait_ms = wait.as_millis(), "the writer's session ended");
                    self.refuse(wait, &shutdown).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<Session, Error> {
        killpoint::reached("writer.session.opening");
        let s = &self.settings;
        let topics = vec![topic::AUDIT.to_owned()];
        let (cluster, group, member) = (s.cluster.clone(), s.group.clone(), s.member.clone());
        let mut settings = SessionSettings::new(cluster, group, member, topics, state_topics, s.data_dir.clone());
        settings.timing.session = SILENT;
        settings.timing.transaction = TRANSACTION;
        Session::open(settings).await
    }

    /// Answers whoever asks meanwhile that nothing is written here.
    async fn refuse(&mut self, wait: Duration, shutdown: &Shutdown) {
        let until = tokio::time::Instant::now() + wait;
        loop {
            self.heartbeat.beat();
            tokio::select! {
                () = tokio::time::sleep_until(until) => return,
                () = shutdown.requested() => return,
                Some(request) = self.requests.recv() => drop(request.reply.send(Err(not_active()))),
            }
        }
    }

    async fn live(&mut self, session: &Session, shutdown: &Shutdown) -> Ended {
        let mut writing: Option<Writing> = None;
        let mut rounds = tokio::time::interval(self.settings.round);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.heartbeat.beat();
            tokio::select! {
                () = shutdown.requested() => {
                    if let Some(writing) = &mut writing {
                        self.sign_last(session, writing).await;
                    }
                    return Ended::Asked;
                },
                event = session.next(500, Duration::from_secs(1)) => match event {
                    Ok(Event::Assigned(_)) => match self.take_over(session).await {
                        Ok(taken) => {
                            killpoint::reached("writer.active");
                            writing = Some(taken);
                            self.active.send_replace(true);
                        }
                        Err(fault) => return Ended::Lost(fault.to_string()),
                    },
                    Ok(Event::Revoking(partitions)) => {
                        writing = None;
                        self.active.send_replace(false);
                        session.release(&partitions);
                    }
                    Ok(Event::Revoked(_)) => {
                        writing = None;
                        self.active.send_replace(false);
                    }
                    Ok(Event::Records(records)) => if let (Some(writing), Some(last)) = (&mut writing, records.last()) {
                        writing.read = Some(Next::after(last));
                    },
                    Ok(Event::Idle) => {}
                    Err(error) if error.recycles() => return Ended::Lost(error.fault().to_string()),
                    Err(error) => error!(fault = %error.fault(), "the writer stands still"),
                },
                Some(request) = self.requests.recv() => match &mut writing {
                    Some(writing) => if let Err(fault) = self.answer(session, writing, request).await {
                        return Ended::Lost(fault.to_string());
                    },
                    None => drop(request.reply.send(Err(not_active()))),
                },
                _ = rounds.tick() => if let Some(writing) = &mut writing
                    && let Err(fault) = self.round(session, writing).await
                {
                    return Ended::Lost(fault.to_string());
                },
            }
        }
    }

    /// Becomes the writer: finds the end of the chain and the jobs that are not over, and says where it is reached.
    async fn take_over(&self, session: &Session) -> Result<Writing, Fault> {
        killpoint::reached("writer.taking_over");
        let gone = || unavailable("the audit partition moved while it was taken over");
        let events = session.table(topic::DEAD_LETTER_EVENTS, 0).ok_or_else(gone)?;
        let memory = session.table(topic::CONTROL, 0).ok_or_else(gone)?;
        let from = session.position(&audit_partition()).ok_or_else(gone)?;
        let read = self.sources.peek.stretch(from, usize::MAX, |_| true).await.map_err(|error| error.fault())?;
        killpoint::reached("writer.chain.read");
        let last = read.iter().rev().find_map(|record| Entry::decode(record.record.value.as_deref()?));
        let signed = memory.get(SIGNED.as_bytes()).map_err(|error| error.fault())?;
        let signed: Option<SignedHead> = signed.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let proven = signed.as_ref().and_then(|signed| signed.check(&self.settings.keys, self.now()).ok());
        let active = Active::begin(Tables { events, memory }, last.map(|entry| entry.head()), proven)?;
        let (seq, jobs) = (active.head().seq, active.jobs().count());
        info!(member = self.settings.member, seq, jobs, "this replica writes from now on");
        let pace = Pace::after(signed.as_ref(), &self.settings.keys);
        let mut writing = Writing { active, pace, read: None };
        let address = WriterAddress { member: self.settings.member.clone(), address: self.settings.address.clone() };
        killpoint::reached("writer.announcing");
        let batch = writing.active.announce(&address);
        self.commit(session, &writing, batch).await?;
        killpoint::reached("writer.announced");
        Ok(writing)
    }

    /// Decides and writes one request. An error ends the session; the request was answered by then.
    async fn answer(&self, session: &Session, writing: &mut Writing, request: Request) -> Result<(), Fault> {
        let Request { meta, decide, reply } = request;
        let now = self.clock.millis();
        killpoint::reached("writer.request");
        let step = tokio::task::block_in_place(|| writing.active.answer(&self.sources, now, meta, decide));
        let (batch, response, changes) = match step {
            Step::Say(answer) => {
                drop(reply.send(answer.map(|response| Answered { response, ..Answered::default() })));
                return Ok(());
            }
            Step::Write { batch, answer, changes } => (batch, answer, changes),
        };
        killpoint::reached("writer.decided");
        match self.commit(session, writing, batch).await {
            Ok(written) => {
                let written = if changes { last_of_each(written) } else { Vec::new() };
                drop(reply.send(Ok(Answered { response, written })));
                Ok(())
            }
            Err(fault) => {
                drop(reply.send(Err(unavailable(format!("nothing was done: {}", fault.detail)))));
                Err(fault)
            }
        }
    }

    /// Drives every job that is not over.
    async fn round(&self, session: &Session, writing: &mut Writing) -> Result<(), Fault> {
        let now = self.clock.millis();
        let rules = &self.settings.rules;
        killpoint::reached("writer.round");
        let round = tokio::task::block_in_place(|| writing.active.round(&self.sources, rules, now))?;
        if let Some(batch) = round.batch {
            self.commit(session, writing, batch).await?;
        }
        killpoint::reached("writer.round.over");
        self.settings.metrics.settled(round.settled);
        if writing.pace.is_due(&writing.active.head(), now) {
            self.sign(session, writing).await?;
        }
        for job in round.begun {
            info!(job = job.id, letters = job.counts.total, "letters are due again and are replayed");
        }
        for job in round.over {
            let counts = job.counts;
            info!(job = job.id, status = ?job.status, resolved = counts.resolved, failed = counts.failed, "replay over");
            if job.status == Status::Stopped {
                error!(job = job.id, note = job.note, "a replay was stopped");
            }
        }
        Ok(())
    }

    /// Writes a signed head of what is readable. It is logged, too: whoever can write the topics cannot reach what was
    /// logged before.
    async fn sign(&self, session: &Session, writing: &mut Writing) -> Result<(), Fault> {
        killpoint::reached("writer.signing");
        let signed = SignedHead::sign(&writing.active.head(), self.now(), &self.settings.keys);
        let value = serde_json::to_vec(&signed).expect("numbers and texts");
        let batch = writing.active.remember(SIGNED, value);
        self.commit(session, writing, batch).await?;
        killpoint::reached("writer.signed");
        writing.pace.note(&signed);
        let SignedHead { seq, hash, kid, signature, .. } = signed;
        info!(seq, %hash, kid, signature, "the head of the audit trail was signed");
        Ok(())
    }

    /// Signs what came since the last signature. That it could not be done keeps nobody from stopping.
    async fn sign_last(&self, session: &Session, writing: &mut Writing) {
        if writing.pace.has_news(&writing.active.head())
            && let Err(fault) = self.sign(session, writing).await
        {
            warn!(%fault, "the last head of the audit trail was not signed");
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock.millis()).unwrap_or_default()
    }

    /// Makes everything readable at once; gives what reads next who has read the facts.
    async fn commit(&self, session: &Session, writing: &Writing, batch: Batch) -> Result<Vec<Next>, Fault> {
        let offsets = match &writing.read {
            Some(next) => vec![next.clone()],
            None => session.position(&audit_partition()).into_iter().collect(),
        };
        let Batch { data, facts, audited } = batch;
        killpoint::reached("writer.committing");
        let written = session.commit(Transaction { data, facts, offsets }).await.map_err(|error| error.fault())?;
        killpoint::reached("writer.committed");
        audited.into_iter().for_each(|result| self.settings.metrics.audited(result));
        let flows = written.data.into_iter().filter(|next| next.topic == topic::FLOWS);
        Ok(written.facts.into_iter().chain(flows).collect())
    }
}

/// The last of what was written to each partition: whoever has read that has read the rest.
fn last_of_each(written: Vec<Next>) -> Vec<Next> {
    let mut last: BTreeMap<TopicPartition, Next> = BTreeMap::new();
    for next in written {
        last.insert(TopicPartition::new(next.topic.clone(), next.partition), next);
    }
    last.into_values().collect()
}
