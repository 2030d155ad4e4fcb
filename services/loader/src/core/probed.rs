//! What probes find, and what that proves for the reason the document was looked up.

use std::time::Duration;

use document::{Code, Fault, Stage};

use super::Core;
use super::event::{CallId, Finding, Likeness, Observation, Present, ProbeReply, Refusal, Trouble};
use super::ledger::{End, Reached};
use super::partition::{ItemRef, Purpose, State};
use super::replies::joined;

/// When a question was asked, and when its answer is final.
#[derive(Debug, Clone, Copy)]
struct Asked {
    settle: Duration,
    sent: Duration,
    dice: f64,
}

impl Asked {
    /// What is absent stays absent only if the question was asked after everything had settled.
    fn settled(self) -> bool {
        self.sent >= self.settle
    }
}

impl Core {
    pub(super) fn probed(&mut self, id: CallId, reply: ProbeReply) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.release_place(&call.target);
        match reply {
            ProbeReply::Throttled(after) => {
                call.items.iter().for_each(|at| self.restore(at));
                self.throttled(&call.target, after);
            }
            ProbeReply::Failed(trouble) => {
                self.observe(Observation::Retry { flow: call.flow.clone(), layer: "probe", class: "failed" });
                let refused = match &trouble {
                    Trouble::Refused(reason) => Some(reason.clone()),
                    Trouble::Unreachable(_) | Trouble::Login(_) | Trouble::Late => None,
                };
                for at in &call.items {
                    self.probe_failed(at, refused.as_deref(), call.rules.retry.attempts);
                }
                self.trouble(&call, trouble, call.rules.retry.attempts);
            }
            ProbeReply::Found(findings) => {
                self.answered(&call.target);
                // One throw for all, so that they are asked about together again.
                let dice = self.unit();
                for (at, finding) in call.items.iter().zip(findings) {
                    let Some(State::Calling(before)) = self.item(at).map(|item| item.state.clone()) else { continue };
                    let State::Probe { purpose, settle, .. } = *before else { continue };
                    self.found(at, purpose, finding, Asked { settle, sent: call.sent, dice });
                }
            }
        }
    }

    fn probe_failed(&mut self, at: &ItemRef, refused: Option<&str>, attempts: u32) {
        self.restore(at);
        let Some(item) = self.item_mut(at) else { return };
        item.probes += 1;
        let (Some(reason), State::Probe { purpose, settle, .. }) = (refused, item.state.clone()) else { return };
        if item.probes < attempts {
            return;
        }
        // The query itself is wrong; no waiting will make it right.
        item.probes = 0;
        match purpose {
            Purpose::Resolve | Purpose::Refused(_) => {
                self.park_in_doubt(at, Code::InDoubt, format!("the target refuses to be asked: {reason}"));
            }
            Purpose::LookUp | Purpose::Status(_) | Purpose::BeforeUpdate | Purpose::Kept => {
                let due = self.now.mono + self.numbers.throttle_wait;
                self.observe(Observation::Alert(
                    Fault::new(Code::FlowBreaker, format!("the target refuses to be asked: {reason}"))
                        .of_record(at.partition.flow.to_string()),
                ));
                self.set_state(at, State::Probe { purpose, due, settle });
            }
        }
    }

    fn found(&mut self, at: &ItemRef, purpose: Purpose, finding: Finding, asked: Asked) {
        let settled = asked.settled();
        let present = match finding {
            Finding::Many(count) => {
                let detail = format!("the target holds {count} documents of this key");
                let key = self.item(at).map(|item| item.key().to_string()).unwrap_or_default();
                self.observe(Observation::Alert(
                    Fault::new(Code::DuplicateInTarget, detail.clone())
                        .of_record(format!("{} {key}", at.partition.flow)),
                ));
                return self.park_in_doubt(at, Code::DuplicateInTarget, detail);
            }
            Finding::Absent => None,
            Finding::Present(present) => Some(present),
        };
        match (purpose, present) {
            (Purpose::LookUp, None) if settled => {
                self.close_intent(at);
                self.set_state(at, State::Ready);
            }
            (Purpose::Resolve, None) if settled => self.known_absent(at),
            (purpose @ (Purpose::LookUp | Purpose::Resolve), None) => self.ask_again(at, purpose, asked),
            (Purpose::LookUp, Some(present)) => self.met_by_look_up(at, present),
            (Purpose::Resolve, Some(present)) => self.met_by_resolve(at, present, asked),
            (Purpose::Refused(refusals), None) => {
                self.park(at, Stage::Load, joined(&refusals), End::Parked);
            }
            (Purpose::Refused(refusals), Some(present)) => self.met_after_refusal(at, &refusals, present),
            (Purpose::Status(_) | Purpose::BeforeUpdate, None) => {
                self.park_plainly(at, Code::Conflict, "the document is gone from the target".to_owned());
            }
            (Purpose::Kept, present) => self.saved_and_sought(at, present),
            (Purpose::Status(refusals), Some(present)) => self.status_read(at, &refusals, present),
            (Purpose::BeforeUpdate, Some(present)) => self.before_update(at, &present),
        }
    }

    /// Asks once more: by the schedule of waits first, then when everything has settled.
    fn ask_again(&mut self, at: &ItemRef, purpose: Purpose, asked: Asked) {
        let settle = asked.settle;
        let Some(item) = self.item_mut(at) else { return };
        let Some(rules) = item.rules.clone() else { return };
        let tries = u32::try_from(rules.retry.waits.len()).unwrap_or(u32::MAX);
        item.probes += 1;
        let probes = item.probes;
        let next = self.now.mono + self.numbers.wait(&rules.retry, probes, asked.dice);
        let due = if probes < tries { next.min(settle.max(self.now.mono)) } else { settle.max(self.now.mono) };
        self.set_state(at, State::Probe { purpose, due, settle });
    }

    fn known_absent(&mut self, at: &ItemRef) {
        let not_kept = self.queue_of(at).is_some_and(|queue| queue.keys_kept == Some(false));
        if not_kept {
            self.verdict(at, "in_doubt");
            let detail = "the target does not keep the keys it is sent, so nothing can be looked up by them";
            return self.park_in_doubt(at, Code::InDoubt, detail.to_owned());
        }
        self.resolved_absent(at);
    }

    /// A saved document was looked for by its key, to see whether the target keeps keys.
    fn saved_and_sought(&mut self, at: &ItemRef, present: Option<Present>) {
        let Some(item) = self.item(at) else { return };
        let (key, entry) = (item.key().clone(), item.entry.as_ref());
        let id = entry.and_then(|entry| entry.target.as_ref()).map(|target| target.id.clone());
        if present.is_some_and(|present| Some(present.id) == id) {
            if let Some(queue) = self.queue_of(at) {
                queue.keys_kept.get_or_insert(true);
            }
        } else {
            self.keys_are_not_kept(at, format!("{key} was saved and is not found by that name"));
        }
        self.go_on_or_end(at);
    }

    fn verdict(&mut self, at: &ItemRef, verdict: &'static str) {
        self.observe(Observation::Resolved { flow: at.partition.flow.clone(), verdict });
    }

    /// A document that the ledger does not know is in the target.
    fn met_by_look_up(&mut self, at: &ItemRef, present: Present) {
        match present.likeness {
            Likeness::Same => {
                self.note_in_target(at, present.id, present.reached);
                self.go_on_or_end(at);
            }
            Likeness::Different(detail) => self.park_plainly(at, Code::Conflict, detail),
            Likeness::Unclear(detail) => self.park_in_doubt(at, Code::InDoubt, detail),
        }
    }

    /// Whether a document of the target was there before we ever meant to save ours: before that by the clock of whoever
    /// meant it, and before its record was written by the clock of whoever wrote that. One of them may run a day ahead, and
    /// what we saved ourselves must not be taken for somebody else's.
    fn older_than_ours(&self, at: &ItemRef, present: &Present) -> bool {
        let allowance = i64::try_from(self.numbers.clock_allowance.as_millis()).unwrap_or(i64::MAX);
        let Some(item) = self.item(at) else { return false };
        let ours = item.first_intent.map(|first| item.timestamp.map_or(first, |written| written.min(first)));
        matches!((present.created, ours), (Some(created), Some(ours)) if created < ours.saturating_sub(allowance))
    }

    /// A document is there whose save has an unknown outcome.
    fn met_by_resolve(&mut self, at: &ItemRef, present: Present, asked: Asked) {
        let Some(item) = self.item(at) else { return };
        let wanted = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.wanted);
        let together = item.rules.as_ref().is_some_and(|rules| rules.together);
        let update = item.update.is_some();
        let foreign = !update && self.older_than_ours(at, &present);
        match present.likeness {
            Likeness::Same if together && !foreign && present.reached < wanted && !asked.settled() => {
                // The call may still be between its steps.
                self.ask_again(at, Purpose::Resolve, asked);
            }
            Likeness::Same if !foreign => {
                self.verdict(at, "applied");
                self.note_in_target(at, present.id, present.reached);
                self.leave_group(at);
                self.go_on_or_end(at);
            }
            Likeness::Unclear(detail) if !foreign => {
                self.verdict(at, "in_doubt");
                self.park_in_doubt(at, Code::InDoubt, detail);
            }
            // That something else is there does not tell that ours is not coming, and the key may not be given away yet.
            _ if !asked.settled() => self.ask_again(at, Purpose::Resolve, asked),
            // An update that did not happen is made again, by id.
            Likeness::Different(_) if update => self.resolved_absent(at),
            likeness => {
                let detail = match likeness {
                    Likeness::Different(detail) if !foreign => detail,
                    _ => "the document in the target is older than ours".to_owned(),
                };
                self.verdict(at, "conflict");
                self.park_plainly(at, Code::Conflict, detail);
            }
        }
    }

    /// A document is there although its save was refused.
    fn met_after_refusal(&mut self, at: &ItemRef, refusals: &[Refusal], present: Present) {
        let Some(item) = self.item(at) else { return };
        let taken = refusals.iter().any(|refusal| refusal.code == Code::NumberTaken);
        let first_try = item.unknowns == 0 && !self.may_be_ours_from_before(at);
        let wanted = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.wanted);
        // A number that was taken at our first try was taken by someone else, whatever the content.
        let foreign = item.update.is_some() || (taken && first_try) || self.older_than_ours(at, &present);
        match present.likeness {
            Likeness::Same if !foreign => {
                let (reached, id) = (present.reached, present.id);
                self.note_in_target(at, id, reached);
                if taken || reached >= wanted {
                    return self.go_on_or_end(at);
                }
                self.write_progress(at);
                self.park_at_step(at, reached, refusals);
            }
            Likeness::Unclear(detail) if !foreign => self.park_in_doubt(at, Code::InDoubt, detail),
            Likeness::Same | Likeness::Different(_) | Likeness::Unclear(_) => {
                self.park(at, Stage::Load, joined(refusals), End::Parked);
            }
        }
    }

    /// A saved document could not be taken further.
    fn park_at_step(&mut self, at: &ItemRef, reached: Reached, refusals: &[Refusal]) {
        let (stage, code) = match reached {
            Reached::Saved => (Stage::Submit, Code::SubmitFailed),
            Reached::Submitted | Reached::Audited => (Stage::Audit, Code::AuditFailed),
        };
        let refusal = Refusal { code, category: code.category(), ..joined(refusals) };
        self.park(at, stage, refusal, End::Parked);
    }

    fn status_read(&mut self, at: &ItemRef, refusals: &[Refusal], present: Present) {
        let Some(item) = self.item(at) else { return };
        let Some(target) = item.entry.as_ref().and_then(|entry| entry.target.clone()) else { return };
        if target.id != present.id {
            let detail = format!("document {} was replaced by {} in the target", target.id, present.id);
            return self.park_plainly(at, Code::Conflict, detail);
        }
        let wanted = item.rules.as_ref().map_or(Reached::Saved, |rules| rules.wanted);
        let spent = item.rules.as_ref().is_some_and(|rules| item.advances >= rules.retry.attempts);
        let connection = item.rules.as_ref().map(|rules| rules.connection.clone()).unwrap_or_default();
        let moved = present.reached != target.reached;
        // The document keeps its version in the entry: what is in the target is still what was saved.
        self.note_reached(at, present.reached);
        if present.reached >= wanted {
            return self.end_applied(at);
        }
        if !refusals.is_empty() && !moved {
            return self.park_at_step(at, present.reached, refusals);
        }
        if spent {
            if let Some(item) = self.item_mut(at) {
                item.advances = 0;
            }
            let now = self.now.mono;
            if self.targets.get_mut(&connection).is_some_and(|target| target.breaker.open(now, &self.numbers)) {
                self.breaker_moved(&connection, "submits or audits have no outcome");
            }
        }
        self.write_progress(at);
        self.set_state(at, State::Advance { due: self.now.mono });
    }

    fn before_update(&mut self, at: &ItemRef, present: &Present) {
        let Some(item) = self.item(at) else { return };
        if item.update.as_ref() != Some(&present.id) {
            let known = item.update.clone().unwrap_or_default();
            let detail = format!("document {known} was replaced by {} in the target", present.id);
            return self.park_plainly(at, Code::Conflict, detail);
        }
        if present.reached >= Reached::Submitted {
            let detail = format!("document {} is not open for changes", present.id);
            return self.park_plainly(at, Code::AuditedInTarget, detail);
        }
        self.set_state(at, State::Ready);
    }
}
