//! What the writer decides from: the committed state of letters and jobs, and what the topics tell.

use std::collections::BTreeMap;
use std::sync::Arc;

use document::{Code, DeadLetterId, Fault, FlowName, FlowVersion};
use flow::Flow;

use super::library::{Kept, Library};
use crate::core::letters::{By, Wish, moved};
use crate::core::{Effects, End, Letter};
use crate::index::{self, Ended};
use crate::letter::LetterEvent;

/// One decision's view of everything, with what this decision has changed laid over it.
pub struct Desk<'a> {
    /// Unix milliseconds.
    pub now: i64,
    pub(super) library: &'a dyn Library,
    kept: &'a dyn Kept,
    overlay: BTreeMap<DeadLetterId, LetterEvent>,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("now", &self.now).field("overlay", &self.overlay).finish_non_exhaustive()
    }
}

impl<'a> Desk<'a> {
    /// A view of what is committed.
    pub fn new(library: &'a dyn Library, kept: &'a dyn Kept, now: i64) -> Self {
        Self { now, library, kept, overlay: BTreeMap::new() }
    }

    /// A value of the control plane's memory.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn memory(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.kept.memory(key)
    }

    /// Every value whose key begins so.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn memories(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        self.kept.memories(prefix)
    }

    /// A version of a flow; `None` when it is not published, or cannot be used.
    pub fn flow(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Flow>> {
        self.library.flow(flow, version)
    }

    /// A letter as it stands, with its record; `None` when there is none of this id.
    ///
    /// # Errors
    /// Index or store cannot be read; the letter's last event cannot.
    pub fn letter(&self, id: &DeadLetterId) -> Result<Option<(Letter, index::Letter)>, Fault> {
        let Some(found) = self.library.letter(id)? else { return Ok(None) };
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
        let Some(bytes) = self.kept.event(id)? else { return Ok(None) };
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
        let newest = self.library.ends(letter)?.into_iter().max_by_key(|entry| (entry.version, entry.at));
        Ok(newest.map(|entry| End {
            version: entry.version,
            applied: entry.end == Some(Ended::Applied),
            letter: entry.letter.map(DeadLetterId),
            replays: entry.replays,
            dropped: entry.dropped.map(|dropped| (dropped.version, dropped.replay)),
            in_target: entry.target.map(|target| target.version),
        }))
    }
}
