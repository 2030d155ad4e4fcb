//! What is known while a replica writes, and what it decides. No I/O: whoever holds it makes each [`Batch`] readable as one
//! transaction, or throws all of it away and begins anew from what was committed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use document::{Fault, FlowName, Headers, Record, topic};
use queue::Outgoing;

use super::desk::Desk;
use super::jobs::Rules;
use super::library::{Kept, Library};
use super::request::{Decide, Decided, Jobs, Meta};
use crate::audit::{self, Deed, Head, Outcome};
use crate::core::job::{Chunk, Fate, Job, Replay};
use crate::core::{Effects, Memory};
use crate::mirror::{ANSWERS, Answer, WRITER, Writer as WriterAddress};

/// Key of the end of the audit chain, for when its topic has expired.
const CHAIN: &str = "chain";
/// How long answers are kept for requests that come again.
const ANSWERS_KEPT: i64 = 24 * 3600 * 1000;
/// How long a job is kept once it is over: as long as its letters.
const JOBS_KEPT: i64 = 30 * 24 * 3600 * 1000;
/// The same for jobs that began by themselves, of which there are many.
const TIMED_KEPT: i64 = 24 * 3600 * 1000;
/// Rounds between two looks for what may be forgotten.
const FORGET_EVERY: u32 = 1_000;
/// Rounds between two looks for letters that are due again.
const DUE_EVERY: u32 = 20;

/// What becomes readable together: data before facts.
#[derive(Debug, Default)]
pub struct Batch {
    /// Records for the stages, and audit entries.
    pub data: Vec<Outgoing>,
    /// Events of letters and values of the memory.
    pub facts: Vec<Outgoing>,
    /// How the deeds of its audit entries came out.
    pub audited: Vec<Outcome>,
}

/// What a round comes to.
#[derive(Debug, Default)]
pub struct Round {
    /// What it writes; `None` when nothing.
    pub batch: Option<Batch>,
    /// Jobs that are over with it.
    pub over: Vec<Job>,
    /// Jobs that begin with it.
    pub begun: Vec<Job>,
    /// Letters that have their outcome with it.
    pub settled: Vec<(FlowName, Fate)>,
}

/// What a request comes to.
#[derive(Debug)]
pub enum Step {
    /// It is answered so, and nothing is written.
    Say(Result<Vec<u8>, Fault>),
    /// It is answered so once this is readable.
    Write {
        /// What is written.
        batch: Batch,
        /// The answer.
        answer: Vec<u8>,
        /// Whether there is more in it than the audit entry.
        changes: bool,
    },
}

/// The state of the one writer.
#[derive(Debug)]
pub struct Active<K> {
    kept: K,
    head: Head,
    jobs: BTreeMap<String, Replay>,
    rounds: u32,
}

impl<K: Kept> Active<K> {
    /// Begins from what was committed. `last`: the end of the chain as the audit topic has it; `signed`: as it was signed
    /// last; where they have one.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn begin(kept: K, last: Option<Head>, signed: Option<Head>) -> Result<Self, Fault> {
        let beside: Option<Head> = kept.memory(CHAIN)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let head = whence(last, beside, signed);
        let mut jobs = BTreeMap::new();
        for (_, value) in kept.memories("job/")? {
            let Ok(job) = serde_json::from_slice::<Job>(&value) else { continue };
            if job.is_settled() {
                continue;
            }
            let chunks = kept.memories(&format!("job-items/{}/", job.id))?;
            let chunks: Vec<Chunk> =
                chunks.iter().filter_map(|(_, value)| serde_json::from_slice(value).ok()).collect();
            jobs.insert(job.id.clone(), Replay::of_memory(job, chunks));
        }
        Ok(Self { kept, head, jobs, rounds: 0 })
    }

    /// The end of the audit chain, with everything that was handed out so far.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The jobs that publish, or wait for outcomes.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values().map(|replay| &replay.job)
    }

    /// Says where this replica is reached.
    pub fn announce(&mut self, address: &WriterAddress) -> Batch {
        self.remember(WRITER, serde_json::to_vec(address).expect("two texts"))
    }

    /// Keeps a value of the memory that no request and no job asks for.
    pub fn remember(&mut self, key: &str, value: Vec<u8>) -> Batch {
        self.batch(Effects { memory: vec![(key.to_owned(), Some(value))], ..Effects::default() })
    }

    /// Decides one request.
    pub fn answer(&mut self, library: &dyn Library, now: i64, meta: Meta, decide: Decide) -> Step {
        let key = meta.idempotency_key.as_ref().map(|key| answer_key(&meta.actor, key));
        let decided = (|| {
            if let Some(key) = &key
                && let Some(answer) = self.earlier(key, &meta)?
            {
                return Ok(Err(answer));
            }
            let mut desk = Desk::new(library, &self.kept, now);
            decide(&mut desk, &Jobs(&self.jobs)).map(Ok)
        })();
        let Decided { mut effects, answer, job, changed_job } = match decided {
            Ok(Ok(decided)) if meta.dry_run => return Step::Say(Ok(decided.answer)),
            Ok(Ok(decided)) => decided,
            Ok(Err(answered)) => return Step::Say(Ok(answered)),
            Err(fault) => return Step::Say(Err(fault)),
        };
        if let Some(key) = key {
            let kept = Answer { digest: meta.digest.to_string(), response: STANDARD.encode(&answer), at: now };
            effects.memory.push((key, Some(serde_json::to_vec(&kept).expect("texts and a number"))));
        }
        // An entry that only says who looked at something changes no list.
        let changes = !effects.is_empty();
        effects.deeds.insert(0, deed(meta, now));
        for replay in job.into_iter().chain(changed_job) {
            if replay.job.is_settled() {
                self.jobs.remove(&replay.job.id);
            } else {
                self.jobs.insert(replay.job.id.clone(), replay);
            }
        }
        Step::Write { batch: self.batch(effects), answer, changes }
    }

    /// Drives every job that is not over, begins those that nobody has to ask for, and forgets what is old.
    ///
    /// # Errors
    /// Index or store cannot be read. This state is of no use then.
    pub fn round(&mut self, library: &dyn Library, rules: &Rules, now: i64) -> Result<Round, Fault> {
        let mut desk = Desk::new(library, &self.kept, now);
        let mut effects = Effects::default();
        let mut round = Round::default();
        for replay in self.jobs.values_mut() {
            let before = replay.job.status;
            if let Some(more) = desk.round(replay, rules)? {
                effects.add(more);
            }
            round.settled.extend(replay.take_settled());
            if replay.job.status.is_over() && !before.is_over() {
                round.over.push(replay.job.clone());
            }
        }
        self.jobs.retain(|_, replay| !replay.job.is_settled());
        if let Some(rate) = rules.timed.filter(|_| self.rounds.is_multiple_of(DUE_EVERY)) {
            for replay in desk.timed(self.jobs.values(), rate, &mut effects)? {
                round.begun.push(replay.job.clone());
                self.jobs.insert(replay.job.id.clone(), replay);
            }
        }
        self.rounds = self.rounds.wrapping_add(1);
        if self.rounds.is_multiple_of(FORGET_EVERY) {
            effects.memory.extend(outdated(&desk, now)?);
        }
        round.batch = (!effects.is_empty()).then(|| self.batch(effects));
        Ok(round)
    }

    /// What the same request was answered before.
    fn earlier(&self, key: &str, meta: &Meta) -> Result<Option<Vec<u8>>, Fault> {
        let Some(bytes) = self.kept.memory(key)? else { return Ok(None) };
        let Ok(answer) = serde_json::from_slice::<Answer>(&bytes) else { return Ok(None) };
        if answer.digest != meta.digest.to_string() {
            let detail = "the idempotency key was used for another request";
            return Err(Fault::new(document::Code::IdempotencyReused, detail).at_path("$.change.idempotency_key"));
        }
        Ok(STANDARD.decode(answer.response).ok())
    }

    /// What is to be written, its audit entries in the chain.
    fn batch(&mut self, effects: Effects) -> Batch {
        let mut data: Vec<Outgoing> =
            effects.records.into_iter().map(|(topic, record)| outgoing(topic, record)).collect();
        let mut memory = effects.memory;
        let audited: Vec<Outcome> = effects.deeds.iter().map(|deed| deed.result).collect();
        for deed in effects.deeds {
            let entry = audit::append(&self.head, deed);
            self.head = entry.head();
            let record = Record {
                key: entry.seq.to_string().into_bytes(),
                headers: Headers::new(),
                value: Some(entry.encode()),
            };
            data.push(Outgoing::to_partition(topic::AUDIT, 0, record));
        }
        if !audited.is_empty() {
            let head = serde_json::to_vec(&self.head).expect("a number and a text");
            memory.push((CHAIN.to_owned(), Some(head)));
        }
        let events = effects.events.into_iter().map(|(id, event)| {
            let record = event.record(&id);
            Outgoing::to_partition(topic::DEAD_LETTER_EVENTS, 0, record)
        });
        let memory = memory.into_iter().map(|(key, value)| {
            let record = Record { key: key.into_bytes(), headers: Headers::new(), value };
            Outgoing::to_partition(topic::CONTROL, 0, record)
        });
        Batch { data, facts: events.chain(memory).collect(), audited }
    }
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
        let flow = FlowName::new(String::from_utf8_lossy(&record.key).into_owned());
        if let Ok(flow) = flow {
            return Outgoing::to_partition(topic, topic::command_partition(&flow), record);
        }
    }
    Outgoing::to(topic, record)
}

fn deed(meta: Meta, now: i64) -> Deed {
    Deed {
        time: DateTime::from_timestamp_millis(now).unwrap_or_default(),
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

fn answer_key(actor: &str, key: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [actor, key] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{ANSWERS}{}", hasher.finalize().to_hex())
}

/// Answers that no request will ask for again, and jobs that nobody looks at any more.
fn outdated(desk: &Desk<'_>, now: i64) -> Result<Vec<Memory>, Fault> {
    let mut gone = Vec::new();
    for (key, value) in desk.memories(ANSWERS)? {
        if serde_json::from_slice::<Answer>(&value).is_ok_and(|answer| now - answer.at > ANSWERS_KEPT) {
            gone.push((key, None));
        }
    }
    for (key, value) in desk.memories("job/")? {
        let Ok(job) = serde_json::from_slice::<Job>(&value) else { continue };
        let kept = if job.timed { TIMED_KEPT } else { JOBS_KEPT };
        if job.ended_at.is_some_and(|ended| now - ended > kept) {
            let chunks = desk.memories(&format!("job-items/{}/", job.id))?;
            gone.extend(chunks.into_iter().map(|(key, _)| (key, None)));
            gone.push((key, None));
        }
    }
    Ok(gone)
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
