//! Replies to saves, submits and audits, and what they prove.

use std::time::Duration;

use document::{Code, Fault, FlowName, Stage};

use super::event::{Advance, AdvanceReply, CallId, Observation, Outcome, Refusal, SaveReply, Step, Trouble, Unknown};
use super::ledger::{End, Reached};
use super::partition::{ItemRef, Purpose, State};
use super::{Call, Core, Evidence, Fate, Kind};

/// Batches whose fate is remembered.
const FATES_KEPT: usize = 512;

impl Core {
    pub(super) fn saved(&mut self, id: CallId, reply: SaveReply) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.release_place(&call.target);
        let mine: Vec<(usize, ItemRef)> = call
            .items
            .iter()
            .enumerate()
            .filter(|(_, at)| self.item(at).is_some_and(|item| item.intent.is_some() && item.intent == call.batch))
            .map(|(index, at)| (index, at.clone()))
            .collect();
        let items: Vec<ItemRef> = mine.iter().map(|(_, at)| at.clone()).collect();
        match reply {
            SaveReply::NotSent(trouble) => {
                self.note_fate(&call, Fate::NeverSent);
                self.retry(&call.flow, "save", "not_sent");
                items.iter().for_each(|at| self.close_intent(at));
                self.give_back(&items);
                self.set_idle(&call.target, &call.flow, call.group);
                self.trouble(&call, trouble, call.rules.retry.connect + 1);
            }
            SaveReply::Throttled(after) => {
                self.note_fate(&call, Fate::NeverSent);
                self.retry(&call.flow, "save", "throttled");
                items.iter().for_each(|at| self.close_intent(at));
                self.give_back(&items);
                self.set_idle(&call.target, &call.flow, call.group);
                self.throttled(&call.target, after);
            }
            SaveReply::Done(outcomes) => {
                self.note_fate(&call, Fate::Closed);
                self.answered(&call.target);
                self.save_passed(&call);
                for (index, at) in mine {
                    match outcomes.get(index).cloned().unwrap_or(Outcome::Unknown) {
                        Outcome::Saved { id, number } => self.document_saved(&call, &at, id, &number),
                        Outcome::Rejected(refusals) => self.document_rejected(&at, refusals),
                        Outcome::Unknown => {
                            let reason = "the reply does not say what became of it".to_owned();
                            self.set_aside(&call, vec![at], None, self.now.mono, reason, Evidence::Answer);
                        }
                    }
                }
                if let Some(group) = call.group {
                    self.search_on(&call.target, &call.flow, group);
                }
            }
            SaveReply::UnknownClosed(why) => {
                self.note_fate(&call, Fate::Closed);
                self.outcome_unknown(&call, items, self.now.mono, why, Evidence::Answer);
            }
            SaveReply::UnknownOpen(why) => {
                // After the failure nothing more was written, and after connecting nothing was held back.
                let last_byte = (call.sent + self.numbers.connect_allowance).min(self.now.mono);
                self.note_fate(&call, Fate::OpenSince(last_byte));
                self.outcome_unknown(&call, items, last_byte + self.numbers.settle(), why, Evidence::Silence);
            }
        }
    }

    fn note_fate(&mut self, call: &Call, fate: Fate) {
        if let Some(batch) = &call.batch {
            // A fate matters only where the intent stays open beyond this core; the oldest are forgotten first come.
            while self.fates.len() >= FATES_KEPT {
                self.fates.pop_first();
            }
            self.fates.insert(batch.clone(), fate);
        }
    }

    fn retry(&mut self, flow: &FlowName, layer: &'static str, class: &'static str) {
        self.observe(Observation::Retry { flow: flow.clone(), layer, class });
    }

    /// Records that were not sent wait again where they waited before.
    pub(super) fn give_back(&mut self, items: &[ItemRef]) {
        for at in items {
            let searched = self.item(at).is_some_and(|item| item.group.is_some());
            self.set_state(at, if searched { State::Grouped } else { State::Ready });
        }
    }

    /// The target answered.
    pub(super) fn answered(&mut self, name: &str) {
        let Some(target) = self.targets.get_mut(name) else { return };
        target.answered();
        if target.breaker.success(&self.numbers) {
            self.breaker_moved(name, "the target answers");
        }
    }

    /// A call could not be made or answered. `limit` failures in a row open the breaker.
    pub(super) fn trouble(&mut self, call: &Call, trouble: Trouble, limit: u32) {
        let name = call.target.as_str();
        let now = self.now.mono;
        match trouble {
            Trouble::Late => {}
            Trouble::Login(reason) => {
                let Some(target) = self.targets.get_mut(name) else { return };
                if target.breaker.login_refused(now, &self.numbers) {
                    self.breaker_moved(name, &reason);
                    self.observe(Observation::Alert(Fault::new(Code::AuthFailed, reason).of_record(name)));
                }
            }
            Trouble::Unreachable(reason) | Trouble::Refused(reason) => {
                let fails = self.targets.get(name).map_or(0, |target| target.fails);
                let wait = self.wait(&call.rules.retry, fails);
                let Some(target) = self.targets.get_mut(name) else { return };
                target.not_before = Some(now + wait);
                self.failed(name, limit, &reason);
            }
        }
    }

    /// Counts a failure of a target.
    fn failed(&mut self, name: &str, limit: u32, reason: &str) {
        let now = self.now.mono;
        let Some(target) = self.targets.get_mut(name) else { return };
        target.fails += 1;
        let mut moved = target.breaker.failure(now, &self.numbers);
        if target.fails >= limit && target.breaker.level() == 0 {
            moved |= target.breaker.open(now, &self.numbers);
        }
        if target.breaker.level() == 2 {
            // The breaker's own wait takes over.
            target.not_before = None;
        }
        if moved {
            self.breaker_moved(name, reason);
        }
    }

    pub(super) fn breaker_moved(&mut self, name: &str, reason: &str) {
        let Some(target) = self.targets.get(name) else { return };
        let state = target.breaker.level();
        self.observe(Observation::Breaker { target: name.to_owned(), state, reason: reason.to_owned() });
    }

    pub(super) fn throttled(&mut self, name: &str, after: Option<Duration>) {
        let until = self.now.mono + after.unwrap_or(self.numbers.throttle_wait);
        if let Some(target) = self.targets.get_mut(name) {
            target.not_before = Some(target.not_before.map_or(until, |other| other.max(until)));
        }
    }

    fn document_saved(&mut self, call: &Call, at: &ItemRef, id: String, number: &str) {
        let Some(item) = self.item(at) else { return };
        let (key, update) = (item.key().clone(), item.update.is_some());
        let reached = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.reached_by_save());
        self.note_in_target(at, id, reached);
        self.leave_group(at);
        if !update && !call.rules.told_by_save && self.queue_of(at).is_some_and(|queue| queue.keys_kept.is_none()) {
            // Only a look tells, and one is enough for as long as this core lives.
            self.write_progress(at);
            let now = self.now.mono;
            return self.set_state(at, State::Probe { purpose: Purpose::Kept, due: now, settle: now });
        }
        if !update && call.rules.told_by_save && !number.is_empty() && number != key.as_str() {
            self.keys_are_not_kept(at, format!("{key} was stored as {number}"));
        }
        self.go_on_or_end(at);
    }

    /// The target did not keep the key of a document that it has just saved.
    pub(super) fn keys_are_not_kept(&mut self, at: &ItemRef, detail: String) {
        let Some(queue) = self.queue_of(at) else { return };
        if queue.keys_kept.replace(false) != Some(false) {
            let key = self.item(at).map(|item| item.key().to_string()).unwrap_or_default();
            let record = format!("{} {key}", at.partition.flow);
            self.observe(Observation::Alert(Fault::new(Code::KeyNotKept, detail).of_record(record)));
        }
    }

    fn document_rejected(&mut self, at: &ItemRef, refusals: Vec<Refusal>) {
        let Some(item) = self.item(at) else { return };
        let together = item.rules.as_ref().is_some_and(|rules| rules.together);
        let taken = refusals.iter().any(|refusal| refusal.code == Code::NumberTaken);
        let perhaps_ours = item.unknowns > 0 || self.may_be_ours_from_before(at);
        self.leave_group(at);
        if together || (taken && perhaps_ours) {
            // It may have been saved all the same: by this call up to a failing audit, or by an earlier one.
            let now = self.now.mono;
            self.set_state(at, State::Probe { purpose: Purpose::Refused(refusals), due: now, settle: now });
        } else {
            self.park(at, Stage::Load, joined(&refusals), End::Parked);
        }
    }

    /// Whether the ledger cannot exclude that we saved the document in a former life.
    pub(super) fn may_be_ours_from_before(&self, at: &ItemRef) -> bool {
        self.numbers.verify_first
            || self.partitions.get(&at.partition).is_some_and(|partition| partition.trusted_from.is_some())
    }

    /// `evidence` is what a failure of this kind says unless the reason says otherwise.
    fn outcome_unknown(
        &mut self,
        call: &Call,
        items: Vec<ItemRef>,
        settle: Duration,
        why: Unknown,
        evidence: Evidence,
    ) {
        self.retry(&call.flow, "save", "unknown");
        let (reason, evidence) = match why {
            Unknown::SessionLost => ("the session was lost".to_owned(), Evidence::None),
            Unknown::CallRefused(reason) => {
                // Nothing about the documents, and nothing that a retry in a second would change.
                let now = self.now.mono;
                let target = self.targets.get_mut(&call.target);
                if target.is_some_and(|target| target.breaker.open(now, &self.numbers)) {
                    self.breaker_moved(&call.target, &reason);
                }
                (reason, Evidence::None)
            }
            Unknown::Other(reason) => (reason, evidence),
        };
        if evidence != Evidence::None {
            self.failed(&call.target, call.rules.retry.attempts, &reason);
        }
        self.set_aside(call, items, call.group, settle, reason, evidence);
    }

    pub(super) fn advanced(&mut self, id: CallId, reply: AdvanceReply) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.release_place(&call.target);
        let Kind::Advance(step) = call.kind else { return };
        let layer = if step == Step::Submit { "submit" } else { "audit" };
        match reply {
            AdvanceReply::Throttled(after) => {
                self.retry(&call.flow, layer, "throttled");
                call.items.iter().for_each(|at| self.restore(at));
                self.throttled(&call.target, after);
            }
            AdvanceReply::Failed(trouble) => {
                self.retry(&call.flow, layer, "failed");
                call.items.iter().for_each(|at| self.read_status_again(&call, at));
                self.trouble(&call, trouble, call.rules.retry.attempts);
            }
            AdvanceReply::Done(outcomes) => {
                self.answered(&call.target);
                for (index, at) in call.items.iter().enumerate() {
                    if !self.item(at).is_some_and(|item| matches!(item.state, State::Calling(_))) {
                        continue;
                    }
                    match outcomes.get(index).cloned().unwrap_or(Advance::Unknown) {
                        Advance::Done => {
                            let reached = if step == Step::Submit { Reached::Submitted } else { Reached::Audited };
                            self.note_reached(at, reached);
                            self.go_on_or_end(at);
                        }
                        Advance::Refused(refusals) => {
                            let (purpose, now) = (Purpose::Status(refusals), self.now.mono);
                            self.set_state(at, State::Probe { purpose, due: now, settle: now });
                        }
                        Advance::Unknown => self.read_status_again(&call, at),
                    }
                }
            }
        }
    }

    /// Puts a record back into the state in which a call found it.
    pub(super) fn restore(&mut self, at: &ItemRef) {
        let Some(State::Calling(before)) = self.item(at).map(|item| item.state.clone()) else { return };
        self.set_state(at, *before);
    }

    fn read_status_again(&mut self, call: &Call, at: &ItemRef) {
        let Some(item) = self.item_mut(at).filter(|item| matches!(item.state, State::Calling(_))) else { return };
        item.advances += 1;
        let tries = item.advances - 1;
        let (due, settle) = (self.now.mono + self.wait(&call.rules.retry, tries), self.now.mono);
        self.set_state(at, State::Probe { purpose: Purpose::Status(Vec::new()), due, settle });
    }

    /// Notes how far a document of ours is.
    pub(super) fn note_reached(&mut self, at: &ItemRef, reached: Reached) {
        let Some(item) = self.item_mut(at) else { return };
        if let Some(target) = item.entry.as_mut().and_then(|entry| entry.target.as_mut()) {
            if reached > target.reached {
                item.advances = 0;
            }
            target.reached = reached;
        }
    }
}

/// Several business errors of one document as one; a taken number and a fault that does not pass by itself come first.
pub(super) fn joined(refusals: &[Refusal]) -> Refusal {
    let rank = |refusal: &Refusal| (refusal.code != Code::NumberTaken, refusal.timed);
    let first = refusals.iter().min_by_key(|refusal| rank(refusal)).cloned().unwrap_or_else(|| Refusal {
        field: None,
        message: "refused without a reason".to_owned(),
        code: Code::TargetRefused,
        category: Code::TargetRefused.category(),
        timed: false,
    });
    let mut messages: Vec<&str> = refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    messages.dedup();
    // Base data that is missing may be on its way in another flow.
    let timed = first.timed || first.code == Code::ReferenceMissing;
    let message = if messages.is_empty() { first.message.clone() } else { messages.join("; ") };
    Refusal { message, timed, ..first }
}
