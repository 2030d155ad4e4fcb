//! What the writer decides from: the committed state of letters and jobs, the index, the published flows.

use std::collections::BTreeMap;
use std::sync::Arc;

use document::{Code, DeadLetterId, Fault, FlowName, Record, Stage, TraceParent, topic};
use queue::{FlowRegistry, Next, Peek, Table};

use crate::core::job::{Begin, Fate, Item, Replay, Under};
use crate::core::letters::{By, Wish, moved, replayable};
use crate::core::observe::{Outcome, outcome};
use crate::core::replay::{Manner, record};
use crate::core::{Effects, End, Letter};
use crate::index::{self, Ended, Index};
use crate::letter::{LetterEvent, State};

/// The name under which the control plane itself acts.
pub const OWN_NAME: &str = "control";
/// Published letters of a job whose outcome is looked for in one round.
const LOOKED_AT: usize = 500;
/// Letters that a job publishes in one round.
const PUBLISHED: usize = 200;
/// A letter without an outcome is published again, under the same id, after this long.
const EMIT_AGAIN: i64 = 30 * 60 * 1000;

/// What does not change while a replica writes.
#[derive(Debug, Clone)]
pub struct Sources {
    /// What can be asked of letters.
    pub index: Arc<Index>,
    /// The published flows.
    pub flows: FlowRegistry,
    /// Looks at single records of the topics.
    pub peek: Peek,
}

/// One decision's view of everything, with what this decision has changed laid over it.
#[derive(Debug)]
pub struct Desk<'a> {
    /// What does not change.
    pub sources: &'a Sources,
    /// Unix milliseconds.
    pub now: i64,
    events: &'a Table,
    memory: &'a Table,
    overlay: BTreeMap<DeadLetterId, LetterEvent>,
}

impl<'a> Desk<'a> {
    /// A view of what is committed.
    pub fn new(sources: &'a Sources, events: &'a Table, memory: &'a Table, now: i64) -> Self {
        Self { sources, now, events, memory, overlay: BTreeMap::new() }
    }

    /// A value of the control plane's memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn memory(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.memory.get(key.as_bytes()).map_err(|error| error.fault())
    }

    /// Every value whose key begins so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn memories(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let entries = self.memory.scan_prefix(prefix.as_bytes()).map_err(|error| error.fault())?;
        Ok(entries.into_iter().map(|(key, value)| (String::from_utf8_lossy(&key).into_owned(), value)).collect())
    }

    /// A letter as it stands, with its record; `None` when there is none of this id.
    ///
    /// # Errors
    /// Index or store cannot be read; the letter's last event cannot.
    pub fn letter(&self, id: &DeadLetterId) -> Result<Option<(Letter, index::Letter)>, Fault> {
        let Some(found) = self.sources.index.get(id)? else { return Ok(None) };
        let event = match self.overlay.get(id) {
            Some(event) => Some(event.clone()),
            None => self.event(id)?,
        };
        let letter = &found.letter;
        let known = Letter {
            id: id.clone(),
            flow: letter.flow.clone(),
            document: letter.document_key.clone(),
            target: found.row.target_key.clone(),
            version: letter.version,
            stage: letter.stage,
            category: letter.category,
            code: letter.code,
            attempts: letter.attempts,
            last_failed_at: letter.last_failed_at,
            retry_at: letter.retry_at,
            failed_in: letter.replay.clone(),
            has_original: letter.original().is_some(),
            event,
        };
        Ok(Some((known, found)))
    }

    /// A letter that must be there.
    ///
    /// # Errors
    /// `E_LETTER_UNKNOWN`, and as [`Desk::letter`].
    pub fn known_letter(&self, id: &DeadLetterId) -> Result<(Letter, index::Letter), Fault> {
        self.letter(id)?.ok_or_else(|| {
            Fault::new(Code::LetterUnknown, "there is no dead letter of this id").of_record(id.0.clone())
        })
    }

    fn event(&self, id: &DeadLetterId) -> Result<Option<LetterEvent>, Fault> {
        let Some(bytes) = self.events.get(id.0.as_bytes()).map_err(|error| error.fault())? else { return Ok(None) };
        let read = LetterEvent::read(&bytes);
        read.map(Some).map_err(|error| Fault::new(Code::LetterState, error.to_string()).of_record(id.0.clone()))
    }

    /// Moves a letter, for the rest of this decision too.
    ///
    /// # Errors
    /// As [`moved`].
    pub fn move_letter(&mut self, letter: &Letter, wish: &Wish, by: &By, effects: &mut Effects) -> Result<(), Fault> {
        let event = moved(letter, wish, by)?;
        self.note(letter.id.clone(), event, effects);
        Ok(())
    }

    /// Notes an event of a letter, for the rest of this decision too.
    pub fn note(&mut self, id: DeadLetterId, event: LetterEvent, effects: &mut Effects) {
        self.overlay.insert(id.clone(), event.clone());
        effects.events.push((id, event));
    }

    /// What the ledger says of a letter's document; the newest word where it has several target keys.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn end_of(&self, letter: &Letter) -> Result<Option<End>, Fault> {
        let index = &self.sources.index;
        let found = match &letter.target {
            Some(target) => index.ends_of_target(target, Some(&letter.flow))?,
            None => index.ends_of_document(&letter.document, Some(&letter.flow))?,
        };
        let newest = found.into_iter().map(|end| end.entry).max_by_key(|entry| (entry.version, entry.at));
        Ok(newest.map(|entry| End {
            version: entry.version,
            applied: entry.end == Some(Ended::Applied),
            letter: entry.letter.map(DeadLetterId),
            replays: entry.replays,
            dropped: entry.dropped.map(|dropped| (dropped.version, dropped.replay)),
            in_target: entry.target.map(|target| target.version),
        }))
    }

    /// One round of a job: what became of what it published, and what it publishes now. `None` when nothing changed.
    ///
    /// # Errors
    /// Index or store cannot be read; nothing of the round may be kept then.
    pub fn round(&mut self, replay: &mut Replay) -> Result<Option<Effects>, Fault> {
        let mut effects = Effects::default();
        let mut changed = false;
        let published: Vec<(usize, Item)> =
            replay.published().take(LOOKED_AT).map(|(number, item)| (number, item.clone())).collect();
        for (number, item) in published {
            changed |= self.look(replay, number, &item, &mut effects)?;
        }
        for number in replay.due(self.now, PUBLISHED) {
            changed = true;
            let id = replay.items[number].id.clone();
            if let Err(fault) = self.publish(replay, number, &id, &mut effects) {
                replay.note(number, Fate::Skipped, fault.detail);
            }
        }
        let status = replay.job.status;
        replay.conclude(self.now);
        if !changed && replay.job.status == status {
            return Ok(None);
        }
        effects.memory.extend(replay.write());
        Ok(Some(effects))
    }

    /// Looks for the outcome of a published letter; `true` when something changed.
    fn look(&mut self, replay: &mut Replay, number: usize, item: &Item, effects: &mut Effects) -> Result<bool, Fault> {
        let Some((letter, _)) = self.letter(&item.id)? else {
            replay.note(number, Fate::Skipped, "the letter has expired".to_owned());
            return Ok(true);
        };
        let job = replay.job.id.clone();
        let published_at = item.published_at.unwrap_or_default();
        let end = self.end_of(&letter)?;
        let (wish, fate, why) = match outcome(&letter, &job, published_at, end.as_ref()) {
            Outcome::Unknown if self.now - published_at < EMIT_AGAIN => return Ok(false),
            Outcome::Unknown => {
                let original = self.original(&letter, replay)?;
                effects.records.push(self.record(&letter, original, replay)?);
                replay.note_published(number, self.now);
                return Ok(true);
            }
            Outcome::Applied => (Wish::Resolve, Fate::Resolved, String::new()),
            Outcome::Superseded(why) => (Wish::Supersede, Fate::Superseded, why),
            Outcome::FailedAgain => (Wish::Reappear, Fate::Failed, format!("failed again: {}", letter.code)),
            Outcome::FailedLater(other) => (Wish::Supersede, Fate::Failed, format!("went on and failed as {other}")),
        };
        let by =
            By { name: OWN_NAME.to_owned(), reason: Some(why.clone()).filter(|why| !why.is_empty()), at: self.now };
        // Somebody may have moved the letter meanwhile; what became of the replay is noted all the same.
        if letter.state() == State::Replaying {
            self.move_letter(&letter, &wish, &by, effects)?;
        }
        replay.note(number, fate, why);
        Ok(true)
    }

    fn publish(
        &mut self,
        replay: &mut Replay,
        number: usize,
        id: &DeadLetterId,
        effects: &mut Effects,
    ) -> Result<(), Fault> {
        let (letter, _) = self.known_letter(id)?;
        replayable(&letter, replay.job.options.verdict.is_some())?;
        let by = |reason: String| By { name: replay.job.by.clone(), reason: Some(reason), at: self.now };
        let cap = replay.job.options.attempt_cap;
        if letter.failures() > cap {
            let why = format!("failed {} times, more than the cap of {cap}", letter.failures());
            self.move_letter(&letter, &Wish::Park, &by(why.clone()), effects)?;
            replay.note(number, Fate::Skipped, why);
            return Ok(());
        }
        let original = self.original(&letter, replay)?;
        effects.records.push(self.record(&letter, original, replay)?);
        let wish = Wish::Publish(replay.job.id.clone());
        self.move_letter(&letter, &wish, &by(replay.job.reason.clone()), effects)?;
        replay.note_published(number, self.now);
        Ok(())
    }

    /// The record that a stage gets again, from where the job begins the road.
    fn original(&self, letter: &Letter, replay: &Replay) -> Result<(Stage, Record), Fault> {
        let (_, found) = self.known_letter(&letter.id)?;
        let impossible = |detail: &str| Fault::new(Code::ReplayImpossible, detail).of_record(letter.id.0.clone());
        if replay.job.options.from == Begin::Failed || letter.stage == Stage::Transform {
            let record = found.letter.original().ok_or_else(|| impossible("the letter holds no record to publish"))?;
            return Ok((letter.stage, record));
        }
        let at =
            source_of(&found).ok_or_else(|| impossible("the letter does not say which bill it was mapped from"))?;
        let looked = tokio::runtime::Handle::current().block_on(self.sources.peek.record(at));
        let found = looked.map_err(|error| error.fault())?;
        let found =
            found.ok_or_else(|| impossible("the bill it was mapped from has expired; fetch it from its source"))?;
        Ok((Stage::Transform, found.record))
    }

    fn record(
        &self,
        letter: &Letter,
        (stage, original): (Stage, Record),
        replay: &Replay,
    ) -> Result<(String, Record), Fault> {
        let options = &replay.job.options;
        let flow_version = match &options.under {
            Under::Version(version) => Some(version.as_str().into()),
            // What was mapped already stays what its mapping made of it.
            Under::Current if stage == Stage::Transform => Some(self.current(&letter.flow)?),
            Under::Current | Under::Original => None,
        };
        let edit = letter.event.as_ref().and_then(|event| event.edit.as_ref()).filter(|_| stage == letter.stage);
        let manner = Manner {
            job: &replay.job.id,
            flow_version,
            edit,
            verdict: options.verdict.as_deref(),
            trace: TraceParent { trace_id: rand::random(), span_id: rand::random(), flags: 1 },
        };
        let mut at_stage = letter.clone();
        at_stage.stage = stage;
        record(&at_stage, original, &manner)
    }

    fn current(&self, flow: &FlowName) -> Result<document::FlowVersion, Fault> {
        let current = self.sources.flows.current();
        let found = current.iter().find(|known| known.name == *flow).map(|known| known.version.clone());
        found.ok_or_else(|| {
            Fault::new(Code::FlowUnknown, "the flow has no current version that can be used")
                .of_record(flow.to_string())
        })
    }
}

/// Where the bill lies that a letter's record was mapped from.
pub fn source_of(letter: &index::Letter) -> Option<Next> {
    let (partition, offset) = letter.letter.headers.get("sb-source")?.split_once('@')?;
    let topic = topic::extracted(&letter.letter.flow);
    Some(Next::at(&topic, partition.parse().ok()?, offset.parse().ok()?))
}
