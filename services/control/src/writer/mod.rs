//! The one writer: decides request after request, and writes what is decided together with its audit entry.
//!
//! Whoever owns the one partition of `starbridge.audit` is the writer; its transactions carry the group's generation, so
//! that an earlier writer cannot write any more. Records for the stages, events of letters, the control plane's memory
//! and the audit entry become readable in one transaction, or none of them does.

pub mod desk;
pub mod request;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use document::{Fault, Headers, Record, topic};
use queue::{Cluster, Error, Event, Next, Outgoing, Session, SessionSettings, Table, TopicPartition, Transaction};
use runtime::health::Readiness;
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock, Shutdown};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use crate::access::KeyRing;
use crate::audit::head::SIGNED;
use crate::audit::{self, Deed, Entry, Head, Pace, SignedHead};
use crate::core::job::{Chunk, Job, Replay, Status};
use crate::core::{Effects, Memory};
use crate::follow::Progress;
use crate::metrics::ControlMetrics;
use crate::mirror::{ANSWERS, Answer, WRITER, Writer as WriterAddress};
use desk::{Desk, Sources};
use request::{Answered, Decided, Handle, Jobs, Meta, Request, not_active, unavailable};

/// Requests that may wait.
const WAITING: usize = 256;
/// A writer that is silent for so long is followed by another replica, which then needs a few seconds more.
const SILENT: Duration = Duration::from_secs(20);
/// A transaction that is not finished by then is ended by the broker.
const TRANSACTION: Duration = Duration::from_secs(15);
/// Key of the end of the audit chain, for when its topic has expired.
const CHAIN: &str = "chain";
/// How long answers are kept for requests that come again.
const ANSWERS_KEPT: i64 = 24 * 3600 * 1000;
/// Rounds between two looks for answers that may go.
const FORGET_EVERY: u32 = 1_000;

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

/// What is known while this replica writes.
struct Active {
    events: Table,
    memory: Table,
    head: Head,
    /// When the head is signed next.
    pace: Pace,
    jobs: BTreeMap<String, Replay>,
    /// How far the audit topic was read.
    read: Option<Next>,
    rounds: u32,
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
                    self.readiness.ready("kafka");
                    failures = 0;
                    let ended = self.live(&session, &shutdown).await;
                    self.active.send_replace(false);
                    session.close().await;
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
        let mut active: Option<Active> = None;
        let mut rounds = tokio::time::interval(self.settings.round);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.heartbeat.beat();
            tokio::select! {
                () = shutdown.requested() => {
                    if let Some(active) = &mut active {
                        self.sign_last(session, active).await;
                    }
                    return Ended::Asked;
                },
                event = session.next(500, Duration::from_secs(1)) => match event {
                    Ok(Event::Assigned(_)) => match self.take_over(session).await {
                        Ok(taken) => {
                            active = Some(taken);
                            self.active.send_replace(true);
                        }
                        Err(fault) => return Ended::Lost(fault.to_string()),
                    },
                    Ok(Event::Revoking(partitions)) => {
                        active = None;
                        self.active.send_replace(false);
                        session.release(&partitions);
                    }
                    Ok(Event::Revoked(_)) => {
                        active = None;
                        self.active.send_replace(false);
                    }
                    Ok(Event::Records(records)) => if let (Some(active), Some(last)) = (&mut active, records.last()) {
                        active.read = Some(Next::after(last));
                    },
                    Ok(Event::Idle) => {}
                    Err(error) if error.recycles() => return Ended::Lost(error.fault().to_string()),
                    Err(error) => error!(fault = %error.fault(), "the writer stands still"),
                },
                Some(request) = self.requests.recv() => match &mut active {
                    Some(active) => if let Err(fault) = self.answer(session, active, request).await {
                        return Ended::Lost(fault.to_string());
                    },
                    None => drop(request.reply.send(Err(not_active()))),
                },
                _ = rounds.tick() => if let Some(active) = &mut active
                    && let Err(fault) = self.round(session, active).await
                {
                    return Ended::Lost(fault.to_string());
                },
            }
        }
    }

    /// Becomes the writer: finds the end of the chain and the jobs that are not over, and says where it is reached.
    async fn take_over(&self, session: &Session) -> Result<Active, Fault> {
        let gone = || unavailable("the audit partition moved while it was taken over");
        let events = session.table(topic::DEAD_LETTER_EVENTS, 0).ok_or_else(gone)?;
        let memory = session.table(topic::CONTROL, 0).ok_or_else(gone)?;
        let from = session.position(&audit_partition()).ok_or_else(gone)?;
        let kept = memory.get(CHAIN.as_bytes()).map_err(|error| error.fault())?;
        let kept: Option<Head> = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let read = self.sources.peek.stretch(from, usize::MAX, |_| true).await.map_err(|error| error.fault())?;
        let last = read.iter().rev().find_map(|record| Entry::decode(record.record.value.as_deref()?));
        let signed = memory.get(SIGNED.as_bytes()).map_err(|error| error.fault())?;
        let signed: Option<SignedHead> = signed.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let proven = signed.as_ref().and_then(|signed| signed.check(&self.settings.keys, self.now()).ok());
        let head = whence(last.map(|entry| entry.head()), kept, proven);
        let mut jobs = BTreeMap::new();
        let scan = |prefix: String| memory.scan_prefix(prefix.as_bytes()).map_err(|error| error.fault());
        for (_, value) in scan("job/".to_owned())? {
            let Ok(job) = serde_json::from_slice::<Job>(&value) else { continue };
            if job.status.is_over() {
                continue;
            }
            let chunks = scan(format!("job-items/{}/", job.id))?;
            let chunks: Vec<Chunk> =
                chunks.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect();
            jobs.insert(job.id.clone(), Replay::of_memory(job, chunks));
        }
        info!(member = self.settings.member, seq = head.seq, jobs = jobs.len(), "this replica writes from now on");
        let pace = Pace::after(signed.as_ref(), &self.settings.keys);
        let mut active = Active { events, memory, head, pace, jobs, read: None, rounds: 0 };
        let address = WriterAddress { member: self.settings.member.clone(), address: self.settings.address.clone() };
        let value = serde_json::to_vec(&address).expect("two texts");
        let effects = Effects { memory: vec![(WRITER.to_owned(), Some(value))], ..Effects::default() };
        self.commit(session, &mut active, effects, None).await?;
        Ok(active)
    }

    /// Decides and writes one request. An error ends the session; the request was answered by then.
    async fn answer(&self, session: &Session, active: &mut Active, request: Request) -> Result<(), Fault> {
        let Request { meta, decide, reply } = request;
        let key = meta.idempotency_key.as_ref().map(|key| answer_key(&meta.actor, key));
        let decided = tokio::task::block_in_place(|| {
            if let Some(key) = &key
                && let Some(answer) = earlier(active, key, &meta)?
            {
                return Ok(Err(answer));
            }
            let mut desk = Desk::new(&self.sources, &active.events, &active.memory, self.clock.millis());
            decide(&mut desk, &Jobs(&active.jobs)).map(Ok)
        });
        let decided = match decided {
            Ok(Ok(decided)) => decided,
            Ok(Err(answered)) => {
                drop(reply.send(Ok(Answered { response: answered, ..Answered::default() })));
                return Ok(());
            }
            Err(fault) => {
                drop(reply.send(Err(fault)));
                return Ok(());
            }
        };
        if meta.dry_run {
            drop(reply.send(Ok(Answered { response: decided.answer, ..Answered::default() })));
            return Ok(());
        }
        let Decided { mut effects, answer, job, changed_job } = decided;
        if let Some(key) = key {
            let kept =
                Answer { digest: meta.digest.to_string(), response: STANDARD.encode(&answer), at: self.clock.millis() };
            effects.memory.push((key, Some(serde_json::to_vec(&kept).expect("texts and a number"))));
        }
        // An entry that only says who looked at something changes no list.
        let changes = !effects.is_empty();
        match self.commit(session, active, effects, Some(self.deed(meta))).await {
            Ok(written) => {
                for replay in job.into_iter().chain(changed_job) {
                    if replay.job.status.is_over() {
                        active.jobs.remove(&replay.job.id);
                    } else {
                        active.jobs.insert(replay.job.id.clone(), replay);
                    }
                }
                let written = if changes { last_of_each(written) } else { Vec::new() };
                drop(reply.send(Ok(Answered { response: answer, written })));
                Ok(())
            }
            Err(fault) => {
                drop(reply.send(Err(unavailable(format!("nothing was done: {}", fault.detail)))));
                Err(fault)
            }
        }
    }

    /// Drives every job that is not over.
    async fn round(&self, session: &Session, active: &mut Active) -> Result<(), Fault> {
        let now = self.clock.millis();
        let (effects, over) = tokio::task::block_in_place(|| {
            let mut desk = Desk::new(&self.sources, &active.events, &active.memory, now);
            let (mut effects, mut over) = (Effects::default(), Vec::new());
            for replay in active.jobs.values_mut() {
                if let Some(more) = desk.round(replay)? {
                    effects.add(more);
                }
                if replay.job.status.is_over() {
                    over.push(replay.job.id.clone());
                }
            }
            active.rounds = active.rounds.wrapping_add(1);
            if active.rounds.is_multiple_of(FORGET_EVERY) {
                effects.memory.extend(outdated(&desk, now)?);
            }
            Ok::<_, Fault>((effects, over))
        })?;
        if active.pace.is_due(&active.head, now) {
            self.commit_signed(session, active, effects).await?;
        } else if !effects.is_empty() {
            self.commit(session, active, effects, None).await?;
        }
        for replay in active.jobs.values_mut() {
            self.settings.metrics.settled(replay.take_settled());
        }
        for id in over {
            if let Some(replay) = active.jobs.remove(&id) {
                let counts = replay.job.counts;
                info!(job = id, status = ?replay.job.status, resolved = counts.resolved, failed = counts.failed, "replay over");
                if replay.job.status == Status::Stopped {
                    error!(job = id, note = replay.job.note, "a replay was stopped");
                }
            }
        }
        Ok(())
    }

    /// Writes `effects` together with a signed head. The head is logged, too: whoever can write the topics cannot reach
    /// what was logged before.
    async fn commit_signed(&self, session: &Session, active: &mut Active, mut effects: Effects) -> Result<(), Fault> {
        let signed = SignedHead::sign(&active.head, self.now(), &self.settings.keys);
        let value = serde_json::to_vec(&signed).expect("numbers and texts");
        effects.memory.push((SIGNED.to_owned(), Some(value)));
        self.commit(session, active, effects, None).await?;
        active.pace.note(&signed);
        let SignedHead { seq, hash, kid, signature, .. } = signed;
        info!(seq, %hash, kid, signature, "the head of the audit trail was signed");
        Ok(())
    }

    /// Signs what came since the last signature. That it could not be done keeps nobody from stopping.
    async fn sign_last(&self, session: &Session, active: &mut Active) {
        if active.pace.has_news(&active.head)
            && let Err(fault) = self.commit_signed(session, active, Effects::default()).await
        {
            warn!(%fault, "the last head of the audit trail was not signed");
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock.millis()).unwrap_or_default()
    }

    fn deed(&self, meta: Meta) -> Deed {
        Deed {
            time: self.now(),
            actor: meta.actor,
            role: meta.role,
            action: meta.action,
            object: meta.object,
            scope: meta.scope,
            params_digest: meta.digest,
            reason: meta.reason,
            result: meta.result,
            request_id: meta.request_id,
        }
    }

    /// Makes everything readable at once; gives what reads next who has read the facts.
    async fn commit(
        &self,
        session: &Session,
        active: &mut Active,
        effects: Effects,
        deed: Option<Deed>,
    ) -> Result<Vec<Next>, Fault> {
        let mut data: Vec<Outgoing> =
            effects.records.into_iter().map(|(topic, record)| outgoing(topic, record)).collect();
        let mut memory = effects.memory;
        let mut head = active.head;
        let result = deed.as_ref().map(|deed| deed.result);
        if let Some(deed) = deed {
            let entry = audit::append(&head, deed);
            head = entry.head();
            let record = Record {
                key: entry.seq.to_string().into_bytes(),
                headers: Headers::new(),
                value: Some(entry.encode()),
            };
            data.push(Outgoing::to_partition(topic::AUDIT, 0, record));
            memory.push((CHAIN.to_owned(), Some(serde_json::to_vec(&head).expect("a number and a text"))));
        }
        let events = effects.events.into_iter().map(|(id, event)| {
            let record = event.record(&id);
            Outgoing::to_partition(topic::DEAD_LETTER_EVENTS, 0, record)
        });
        let memory = memory.into_iter().map(|(key, value)| {
            let record = Record { key: key.into_bytes(), headers: Headers::new(), value };
            Outgoing::to_partition(topic::CONTROL, 0, record)
        });
        let facts: Vec<Outgoing> = events.chain(memory).collect();
        let offsets = match &active.read {
            Some(next) => vec![next.clone()],
            None => session.position(&audit_partition()).into_iter().collect(),
        };
        let written = session.commit(Transaction { data, facts, offsets }).await.map_err(|error| error.fault())?;
        active.head = head;
        if let Some(result) = result {
            self.settings.metrics.audited(result);
        }
        Ok(written.facts)
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

/// Where the chain goes on. The topic is the truth; what is kept beside it, and what was signed, serve where its last
/// entries are gone: a chain that was cut off is not gone on with as if it were whole, its gap stays to be found.
fn whence(last: Option<Head>, kept: Option<Head>, signed: Option<Head>) -> Head {
    let beside = [kept, signed].into_iter().flatten().max_by_key(|head| head.seq);
    match (last, beside) {
        (Some(last), Some(beside)) if beside.seq > last.seq => beside,
        (Some(last), _) => last,
        (None, beside) => beside.unwrap_or(Head::GENESIS),
    }
}

/// A record where it belongs: flows and their pointers keep their order in one partition.
fn outgoing(topic: String, record: Record) -> Outgoing {
    if topic == topic::FLOWS {
        return Outgoing::to_partition(topic, 0, record);
    }
    if topic == topic::COMMANDS {
        let flow = document::FlowName::new(String::from_utf8_lossy(&record.key).into_owned());
        if let Ok(flow) = flow {
            return Outgoing::to_partition(topic, topic::command_partition(&flow), record);
        }
    }
    Outgoing::to(topic, record)
}

fn answer_key(actor: &str, key: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [actor, key] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{ANSWERS}{}", hasher.finalize().to_hex())
}

/// What the same request was answered before.
fn earlier(active: &Active, key: &str, meta: &Meta) -> Result<Option<Vec<u8>>, Fault> {
    let Some(bytes) = active.memory.get(key.as_bytes()).map_err(|error| error.fault())? else { return Ok(None) };
    let Ok(answer) = serde_json::from_slice::<Answer>(&bytes) else { return Ok(None) };
    if answer.digest != meta.digest.to_string() {
        let detail = "the idempotency key was used for another request";
        return Err(Fault::new(document::Code::IdempotencyReused, detail).at_path("$.change.idempotency_key"));
    }
    Ok(STANDARD.decode(answer.response).ok())
}

/// Answers that no request will ask for again.
fn outdated(desk: &Desk<'_>, now: i64) -> Result<Vec<Memory>, Fault> {
    let answers = desk.memories(ANSWERS)?;
    let old = answers.into_iter().filter(|(_, value)| {
        serde_json::from_slice::<Answer>(value).is_ok_and(|answer| now - answer.at > ANSWERS_KEPT)
    });
    Ok(old.map(|(key, _)| (key, None)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Hash;

    #[test]
    fn a_chain_whose_end_was_cut_off_goes_on_behind_the_gap() {
        let head = |seq, text: &str| Some(Head { seq, hash: Hash::of(text.as_bytes()) });
        assert_eq!(whence(None, None, None), Head::GENESIS);
        assert_eq!(Some(whence(head(7, "topic"), head(7, "kept"), head(5, "signed"))), head(7, "topic"));
        assert_eq!(Some(whence(head(4, "topic"), None, head(5, "signed"))), head(5, "signed"));
        assert_eq!(Some(whence(None, head(6, "kept"), head(5, "signed"))), head(6, "kept"));
    }
}
