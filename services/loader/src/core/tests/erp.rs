//! The world's target: what it does with saves, audits and queries, and what must hold whenever it is called.

use std::collections::BTreeSet;
use std::time::Duration;

use document::{Code, Stage, TargetKey};

use super::super::event::*;
use super::super::ledger::{self, End, Intent, Reached};
use super::world::{Delivery, World, refusal};

/// What happens to one save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    NotSent,
    Login,
    Throttled,
    /// 500 with its JSON; nothing was done.
    ClosedNothing,
    /// 500 with its JSON; everything was done.
    ClosedDone,
    SessionLost,
    /// Connection cut before the work.
    OpenNothing,
    /// Connection cut after the work.
    OpenDone,
    /// Connection cut at once, the work done later.
    OpenLate(Duration),
    /// Every document is refused, for all of these reasons.
    Refused(Vec<Refusal>),
    /// The reply forgets this index.
    Uncovered(usize),
    /// Saved, then the audit fails and the document stays.
    AuditKeep(usize),
    /// Saved, then the audit fails and all is undone.
    AuditRollback(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doc {
    pub(super) id: String,
    pub(super) content: Vec<u8>,
    pub(super) reached: Reached,
    pub(super) created: i64,
}

impl World {
    pub(super) fn save(&mut self, errand: Errand, documents: Vec<SaveDocument>, deadline: Duration) {
        assert!(self.now <= deadline, "sent after its deadline");
        let keys: Vec<TargetKey> = documents.iter().map(|document| document.key.clone()).collect();
        let distinct: BTreeSet<&TargetKey> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len(), "a key twice in a batch");
        for document in &documents {
            let key = &document.key;
            // I5: the intent is readable.
            let intended = self.ledger.values.iter().any(|((_, name), value)| {
                name.starts_with(b"intent/")
                    && ledger::read::<Intent>("intent", value)
                        .is_ok_and(|intent| intent.documents.iter().any(|document| document.key == *key))
            });
            assert!(intended, "{key} is sent without an intent");
            // I11: nothing else of this key is on its way from us.
            assert!(!self.in_flight.values().flatten().any(|other| other == key), "{key} is on its way twice");
            // I6: nothing sent before can still create it, and it was not created.
            assert!(!self.executing.contains(key), "{key} is sent while an earlier save may still be executed");
            let ours = self.target.get(key).into_iter().flatten().any(|doc| doc.content == *document.value);
            assert!(!ours || document.update.is_some(), "{key} is sent although the target has it");
        }
        self.saves.push(keys.clone());
        self.save_times.push(self.now);
        self.lanes.push(errand.lane);
        self.in_flight.insert(errand.call, keys.clone());
        let mut fault = self.script.pop_front().unwrap_or(Fault::None);
        if self.saves_down || keys.iter().any(|key| self.poison.contains(key)) {
            fault = Fault::ClosedNothing;
        }
        let broken = |(key, left): (&TargetKey, &mut u32)| {
            let breaks = *left > 0 && keys.contains(key);
            *left -= u32::from(breaks);
            breaks
        };
        if self.unanswered.iter_mut().any(broken) {
            fault = Fault::OpenNothing;
        }
        if !errand.rules.together && matches!(fault, Fault::AuditKeep(_) | Fault::AuditRollback(_)) {
            fault = Fault::None;
        }
        let reached = errand.rules.reached_by_save();
        let unknown = |text: &str| Unknown::Other(text.to_owned());
        let latency = self.latency;
        let reply = match fault {
            Fault::NotSent => SaveReply::NotSent(Trouble::Unreachable("refused".to_owned())),
            Fault::Login => SaveReply::NotSent(Trouble::Login("wrong secret".to_owned())),
            Fault::Throttled => SaveReply::Throttled(None),
            Fault::ClosedNothing => SaveReply::UnknownClosed(unknown("500")),
            Fault::SessionLost => SaveReply::UnknownClosed(Unknown::SessionLost),
            Fault::OpenNothing => SaveReply::UnknownOpen(unknown("reset")),
            Fault::ClosedDone => {
                self.execute(&documents, reached);
                SaveReply::UnknownClosed(unknown("500"))
            }
            Fault::OpenDone => {
                self.executing.extend(keys);
                self.deliver(latency / 2, Delivery::Execute { documents, reached });
                SaveReply::UnknownOpen(unknown("reset"))
            }
            Fault::OpenLate(late) => {
                assert!(late <= self.truth, "the world keeps A1");
                self.executing.extend(keys);
                self.deliver(late, Delivery::Execute { documents, reached });
                SaveReply::UnknownOpen(unknown("timeout"))
            }
            Fault::None => SaveReply::Done(self.execute(&documents, reached)),
            Fault::Refused(refusals) => SaveReply::Done(vec![Outcome::Rejected(refusals); documents.len()]),
            Fault::Uncovered(index) => {
                let mut outcomes = self.execute(&documents, reached);
                let index = index % outcomes.len();
                outcomes[index] = Outcome::Unknown;
                SaveReply::Done(outcomes)
            }
            Fault::AuditKeep(index) | Fault::AuditRollback(index) => {
                let mut outcomes = self.execute(&documents, reached);
                let index = index % outcomes.len();
                let key = &keys[index];
                if matches!(outcomes[index], Outcome::Saved { .. }) {
                    outcomes[index] = Outcome::Rejected(vec![refusal(Code::TargetRefused, "库存不足，不能审核")]);
                    if matches!(fault, Fault::AuditKeep(_)) {
                        let docs = self.target.get_mut(key).expect("just saved");
                        docs.last_mut().expect("just saved").reached = Reached::Submitted;
                    } else {
                        self.target.remove(key);
                    }
                }
                SaveReply::Done(outcomes)
            }
        };
        self.deliver(latency, Delivery::ToCore(self.life, Event::Saved { call: errand.call, reply }));
    }

    pub(super) fn execute(&mut self, documents: &[SaveDocument], reached: Reached) -> Vec<Outcome> {
        let created = self.wall();
        let mut outcomes = Vec::new();
        for document in documents {
            if let Some(refusal) = self.refuses.get(&document.key) {
                outcomes.push(Outcome::Rejected(vec![refusal.clone()]));
                continue;
            }
            let docs = self.target.entry(document.key.clone()).or_default();
            if let Some(id) = &document.update {
                let doc = docs.iter_mut().find(|doc| doc.id == *id).expect("an update names a document that is there");
                assert!(doc.reached < Reached::Submitted, "an audited document is changed");
                doc.content = document.value.to_vec();
                outcomes.push(Outcome::Saved { id: id.clone(), number: document.key.to_string() });
                continue;
            }
            if self.unique && !docs.is_empty() {
                outcomes.push(Outcome::Rejected(vec![refusal(Code::NumberTaken, "编码唯一")]));
                continue;
            }
            let id = format!("{}-{}", document.key, docs.len() + 1);
            let content = document.value.to_vec();
            docs.push(Doc { id: id.clone(), content, reached, created });
            assert!(docs.len() == 1, "I7: {} is in the target twice", document.key);
            let number = if self.renumbers { format!("N-{id}") } else { document.key.to_string() };
            outcomes.push(Outcome::Saved { id, number });
        }
        outcomes
    }

    pub(super) fn advance(&mut self, call: CallId, step: Step, documents: &[AdvanceDocument]) {
        self.advances.push((step, documents.iter().map(|document| document.key.clone()).collect()));
        let mut outcomes = Vec::new();
        let silent = self.silent_steps > 0;
        self.silent_steps -= usize::from(silent);
        for document in documents {
            if silent {
                outcomes.push(Advance::Unknown);
                continue;
            }
            let docs = self.target.get_mut(&document.key).expect("only what was saved is taken further");
            let doc = docs.iter_mut().find(|doc| doc.id == document.id).expect("by its id");
            let goal = if step == Step::Submit { Reached::Submitted } else { Reached::Audited };
            if self.audit_refused.contains(&document.key) || doc.reached >= goal {
                outcomes.push(Advance::Refused(vec![refusal(Code::TargetRefused, "不能审核")]));
            } else {
                doc.reached = goal;
                outcomes.push(Advance::Done);
            }
        }
        let reply = AdvanceReply::Done(outcomes);
        self.deliver(self.latency, Delivery::ToCore(self.life, Event::Advanced { call, reply }));
    }

    pub(super) fn finding(&self, document: &ProbeDocument) -> Finding {
        match self.target.get(&document.key).map(Vec::as_slice) {
            None | Some([]) => Finding::Absent,
            Some(_) if self.forgets_keys => Finding::Absent,
            Some([doc]) => {
                let likeness = match &document.value {
                    _ if self.unclear => Likeness::Unclear("nothing to compare".to_owned()),
                    None => Likeness::Unclear("not asked".to_owned()),
                    Some(value) if doc.content == **value => Likeness::Same,
                    Some(_) => Likeness::Different("FNote differs".to_owned()),
                };
                let (id, reached, created) = (doc.id.clone(), doc.reached, Some(doc.created));
                Finding::Present(Present { id, reached, created, likeness })
            }
            Some(many) => Finding::Many(many.len()),
        }
    }

    pub(super) fn letters_of(&self, key: &str) -> Vec<(Stage, Code)> {
        let key = format!("FID-{key}");
        self.letters.iter().filter(|l| l.document_key.as_str() == key).map(|l| (l.stage, l.code)).collect()
    }

    pub(super) fn end_of(&self, key: &str) -> Option<End> {
        let key = TargetKey::from(key);
        self.log.keys().find_map(|p| self.entry(*p, &key)).and_then(|entry| entry.end)
    }

    pub(super) fn foreign(&mut self, key: &str, created: i64) {
        let doc = Doc { id: "777".to_owned(), content: b"{\"other\":1}".to_vec(), reached: Reached::Audited, created };
        self.target.insert(key.into(), vec![doc]);
    }
}
