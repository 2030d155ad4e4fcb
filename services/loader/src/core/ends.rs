//! How records end: applied, superseded, skipped, parked with a letter; and what the ledger says of it.

use document::{Code, DeadLetter, Fault, Stage, topic};

use super::Core;
use super::event::{Ended, Observation, Refusal};
use super::ledger::{Dropped, End, Entry, InTarget, Reached};
use super::outbox::{Ending, LetterNote};
use super::partition::{Item, ItemRef, Partition, State};

impl Core {
    /// Ends a record that is a copy, or older than what is known, or a change that the flow does not load.
    pub(super) fn drop_stale(&mut self, at: &ItemRef, outcome: Ended) {
        self.close_matching_left_open(at);
        let now = self.now.wall;
        let Some(item) = self.item_mut(at) else { return };
        let (version, replay) = (item.version(), item.mapped.replay.clone());
        let Some(entry) = &mut item.entry else { return self.end_quietly(at, outcome) };
        entry.at = now;
        match (outcome, replay) {
            // Versions come in any order: a copy of an older one says nothing new.
            (Ended::Skipped, _) => entry.changed = entry.changed.max(Some(version)),
            // Whoever asked for the replay learns from the ledger that there was nothing left to do.
            (_, Some(replay)) => {
                // A copy of a replay that ended says nothing new; told as dropped it would hide how that one ended.
                let known = entry.version == version && entry.replays.contains(&replay);
                let dropped = Some(Dropped { version, replay });
                if known || entry.dropped == dropped {
                    return self.end_quietly(at, outcome);
                }
                entry.dropped = dropped;
            }
            (_, None) => return self.end_quietly(at, outcome),
        }
        let entry = entry.clone();
        self.write_end(at, outcome, Some(entry), None);
    }

    /// Ends a record that is in the target, as far as its flow wants it.
    pub(super) fn end_applied(&mut self, at: &ItemRef) {
        self.end_standing(at, Ended::Applied);
    }

    /// The same, told as `outcome`.
    pub(super) fn end_standing(&mut self, at: &ItemRef, outcome: Ended) {
        let mut entry = self.entry_of(at);
        entry.end = Some(End::Applied);
        entry.letter = None;
        entry.code = None;
        entry.changed = entry.changed.filter(|changed| *changed > entry.version);
        self.write_end(at, outcome, Some(entry), None);
    }

    /// Notes that the document is in the target.
    pub(super) fn note_in_target(&mut self, at: &ItemRef, id: String, reached: Reached) {
        let mut entry = self.entry_of(at);
        let Some(item) = self.item_mut(at) else { return };
        let (version, digest) = (item.version(), item.mapped.digest);
        entry.target = Some(InTarget { id, version, digest, reached });
        item.entry = Some(entry);
    }

    /// Goes on to the missing steps, or ends the record when none is missing.
    pub(super) fn go_on_or_end(&mut self, at: &ItemRef) {
        let Some(item) = self.item(at) else { return };
        let wanted = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.wanted);
        if item.reached().is_some_and(|reached| reached >= wanted) {
            return self.end_applied(at);
        }
        self.write_progress(at);
        self.set_state(at, State::Advance { due: self.now.mono });
    }

    /// Puts down how far the document is, so that it is never saved again.
    pub(super) fn write_progress(&mut self, at: &ItemRef) {
        let entry = self.entry_of(at);
        self.close_intent(at);
        let Some(item) = self.item_mut(at) else { return };
        item.entry = Some(entry.clone());
        let key = (at.partition.clone(), item.key().clone());
        self.pending.entries.insert(key, entry);
    }

    /// Parks a record for a reason of our own.
    pub(super) fn park_plainly(&mut self, at: &ItemRef, code: Code, detail: String) {
        self.park(at, Stage::Load, plain(code, detail), End::Parked);
    }

    /// Parks a record whose key is held: what is in the target under it is not known.
    pub(super) fn park_in_doubt(&mut self, at: &ItemRef, code: Code, detail: String) {
        self.park(at, Stage::Load, plain(code, detail), End::InDoubt);
    }

    /// Parks a newer version behind a key in doubt. The entry stays with the version that is in doubt.
    pub(super) fn park_held(&mut self, at: &ItemRef, detail: String) {
        let orphan = self.item(at).is_some_and(|item| item.intent.is_some());
        if orphan {
            let mut entry = self.entry_of(at);
            entry.end = Some(End::InDoubt);
            entry.code = Some(Code::InDoubt);
            if let Some(item) = self.item_mut(at) {
                item.entry = Some(entry);
            }
            return self.park_in_doubt(at, Code::InDoubt, detail);
        }
        self.letter_only(at, plain(Code::InDoubt, detail));
    }

    /// Parks a record without touching its key's entry, which is another document's.
    pub(super) fn park_beside_entry(&mut self, at: &ItemRef, code: Code, detail: String) {
        self.letter_only(at, plain(code, detail));
    }

    /// Writes a letter and ends the record; the ledger says nothing of it.
    pub(super) fn letter_only(&mut self, at: &ItemRef, refusal: Refusal) {
        if refusal.code != Code::InDoubt && self.flow_breaker_trips(at, refusal.code) {
            return self.withhold(at, refusal.code);
        }
        let letter = self.letter(at, Stage::Load, &refusal, 1, self.now.wall);
        self.write_end(at, Ended::Parked, None, Some((letter, refusal)));
    }

    /// Parks a record with a letter.
    pub(super) fn park(&mut self, at: &ItemRef, stage: Stage, refusal: Refusal, end: End) {
        // What a search ends is held against saves that pass, and doubt must be written down: neither is held back.
        let searched = matches!(refusal.code, Code::PoisonDocument | Code::ReplyLost);
        let held_back = end == End::Parked && !searched;
        if held_back && self.flow_breaker_trips(at, refusal.code) {
            if self.item(at).is_some_and(Item::is_in_target) {
                self.write_progress(at);
            }
            self.close_intent(at);
            return self.withhold(at, refusal.code);
        }
        let now = self.now.wall;
        let mut entry = self.entry_of(at);
        entry.end = Some(end);
        entry.code = Some(refusal.code);
        entry.attempts += 1;
        let first = *entry.first_failed_at.get_or_insert(now);
        let letter = self.letter(at, stage, &refusal, entry.attempts, first);
        entry.letter = Some(letter.id().0);
        self.write_end(at, Ended::Parked, Some(entry), Some((letter, refusal)));
    }

    /// The entry of the record's own version, begun where there is none; an older version's target is kept.
    pub(super) fn entry_of(&self, at: &ItemRef) -> Entry {
        let item = self.item(at).expect("only called for records in hand");
        let mapped = &item.mapped;
        let begun = || {
            let (document, flow_version) = (mapped.document_key.clone(), mapped.flow_version.clone());
            Entry::begun(document, mapped.version, flow_version, mapped.digest, self.now.wall)
        };
        match &item.entry {
            Some(entry) if entry.version == mapped.version && entry.document == mapped.document_key => {
                let mut entry = entry.clone();
                entry.at = self.now.wall;
                entry.flow_version = mapped.flow_version.clone();
                entry
            }
            Some(older) => {
                let mut entry = begun();
                entry.target.clone_from(&older.target);
                entry.changed = older.changed;
                entry
            }
            None => begun(),
        }
    }

    fn letter(&self, at: &ItemRef, stage: Stage, refusal: &Refusal, attempts: u32, first: i64) -> DeadLetter {
        let item = self.item(at).expect("only called for records in hand");
        let mapped = &item.mapped;
        let letter = DeadLetter {
            tenant: mapped.tenant.clone(),
            flow: mapped.flow.clone(),
            flow_version: mapped.flow_version.clone(),
            document_key: mapped.document_key.clone(),
            version: mapped.version,
            stage,
            category: refusal.category,
            code: refusal.code,
            message: refusal.message.clone(),
            field: refusal.field.clone(),
            origin: Some((topic::mapped(&at.partition.flow), at.partition.partition, at.offset)),
            origin_timestamp: item.timestamp,
            attempts,
            first_failed_at: first,
            last_failed_at: self.now.wall,
            retry_at: refusal.timed.then(|| self.now.wall.saturating_add(self.numbers.due_after(attempts))),
            replay: mapped.replay.clone(),
            trace: Some(mapped.trace).filter(|trace| trace.trace_id != [0; 16]),
            headers: item.headers.clone(),
            claim_check: false,
            body: item.value.to_vec(),
        };
        if letter.body.len() > self.numbers.letter_bytes { letter.without_body() } else { letter }
    }

    /// Ends a record with something to write; it is gone once that is committed.
    fn write_end(&mut self, at: &ItemRef, outcome: Ended, entry: Option<Entry>, letter: Option<(DeadLetter, Refusal)>) {
        self.close_intent(at);
        self.leave_group(at);
        self.set_state(at, State::Ending);
        if letter.is_none() {
            self.note_end(at, None);
        }
        let Some(item) = self.item_mut(at) else { return };
        let key = (at.partition.clone(), item.key().clone());
        if let Some(mut entry) = entry {
            if let Some(replay) = item.mapped.replay.clone().filter(|_| entry.version == item.mapped.version) {
                entry.note_replay(&replay);
            }
            item.entry = Some(entry.clone());
            self.pending.entries.insert(key, entry);
        }
        let letter = letter.map(|(letter, refusal)| {
            let (stage, document) = (letter.stage, letter.document_key.to_string());
            LetterNote { stage, category: refusal.category, code: refusal.code, document, record: letter.into_record() }
        });
        self.pending.ends.push(Ending { at: at.clone(), outcome, letter });
    }

    /// Ends a record with nothing to write.
    fn end_quietly(&mut self, at: &ItemRef, outcome: Ended) {
        self.note_end(at, None);
        self.tell_end(at, outcome);
        self.remove(at);
    }

    /// Tells how a record ended.
    pub(super) fn tell_end(&mut self, at: &ItemRef, outcome: Ended) {
        let Some(item) = self.item(at) else { return };
        let observed = i64::try_from(item.version().0 / 1_000).unwrap_or(i64::MAX);
        let flow = at.partition.flow.clone();
        self.observe(Observation::Ended { flow, outcome, observed });
    }

    /// Takes an ended record out and frees its key.
    pub(super) fn remove(&mut self, at: &ItemRef) {
        self.unqueue(at);
        if self.item(at).is_none() {
            return;
        }
        let Some(partition) = self.partitions.get_mut(&at.partition) else { return };
        let Some(item) = partition.items.remove(&at.offset) else { return };
        partition.bytes = partition.bytes.saturating_sub(item.value.len());
        if let Some(holders) = partition.keys.get_mut(item.key()) {
            holders.retain(|offset| *offset != at.offset);
            if holders.is_empty() {
                partition.keys.remove(item.key());
            } else {
                self.pending.freed.push((at.partition.clone(), item.key().clone()));
            }
        }
    }

    /// Takes the record out of the intent that carries it, which is closed once nobody is in it.
    pub(super) fn close_intent(&mut self, at: &ItemRef) {
        let Some(item) = self.item_mut(at) else { return };
        let key = item.key().clone();
        let Some(batch) = item.intent.take() else { return };
        if self.partitions.get_mut(&at.partition).is_some_and(|partition| partition.leave_intent(&batch, &key)) {
            self.pending.left.insert((at.partition.clone(), batch));
        }
    }

    /// Closes what an earlier owner left open for a record that turns out to have ended already.
    fn close_matching_left_open(&mut self, at: &ItemRef) {
        let Some(item) = self.item(at) else { return };
        let (key, version) = (item.key().clone(), item.version());
        let Some(partition) = self.partitions.get_mut(&at.partition) else { return };
        let same = |left: &super::partition::LeftOpen| left.version == version && left.offset == at.offset;
        let Some(left) = partition.left_open.get(&key).filter(|left| same(left)).cloned() else { return };
        partition.left_open.remove(&key);
        if Partition::leave_intent(partition, &left.batch, &key) {
            self.pending.left.insert((at.partition.clone(), left.batch));
        }
    }

    /// Notes an end for the flow's breaker. The code that too many failed with, if any.
    fn note_end(&mut self, at: &ItemRef, code: Option<Code>) -> Option<Code> {
        let version = self.item(at)?.mapped.flow_version.clone();
        let numbers = self.numbers.clone();
        self.queue_of(at)?.breakers.entry(version).or_default().ended(code, &numbers)
    }

    /// Whether the letter of a record is held back until the flow goes on. A version that was replaced, or is only tried
    /// with some documents, gets no better by waiting, and nothing else of the flow waits for it.
    fn flow_breaker_trips(&mut self, at: &ItemRef, code: Code) -> bool {
        if self.item(at).is_some_and(|item| !item.current) {
            return false;
        }
        let paused = self.queue_of(at).is_some_and(|queue| queue.paused_until.is_some());
        self.note_end(at, Some(code)).is_some() || paused
    }

    /// Holds back the letter of a record, and of all others of its flow that failed alike and are not committed yet.
    fn withhold(&mut self, at: &ItemRef, code: Code) {
        let until = self.now.mono + self.numbers.flow_breaker_pause;
        let Some(item) = self.item(at) else { return };
        let (flow, version) = (at.partition.flow.clone(), item.mapped.flow_version.clone());
        let newly = self.queue_of(at).is_some_and(|queue| queue.paused_until.replace(until).is_none());
        if newly {
            self.observe(Observation::Alert(
                Fault::new(Code::FlowBreaker, format!("most documents fail with {code}; the flow waits"))
                    .of_record(format!("{flow}@{version}")),
            ));
        }
        let alike = |ending: &Ending| {
            ending.at.partition.flow == flow && ending.letter.as_ref().is_some_and(|letter| letter.code == code)
        };
        let (back, keep) = std::mem::take(&mut self.pending.ends).into_iter().partition(alike);
        self.pending.ends = keep;
        let mut back: Vec<ItemRef> = Vec::from_iter(back).into_iter().map(|ending: Ending| ending.at).collect();
        back.push(at.clone());
        for at in back {
            let Some(item) = self.item(&at) else { continue };
            let key = (at.partition.clone(), item.key().clone());
            if let Some(entry) = self.pending.entries.get_mut(&key) {
                // What is in the target stays written down; that it is parked does not.
                if entry.target.as_ref().is_some_and(|target| target.digest == entry.digest) {
                    entry.end = None;
                    entry.letter = None;
                } else {
                    self.pending.entries.remove(&key);
                }
            }
            self.leave_group(&at);
            self.set_state(&at, State::Withheld);
        }
    }
}

fn plain(code: Code, message: String) -> Refusal {
    Refusal { field: None, message, code, category: code.category(), timed: false }
}
