//! The target: what it holds, and what becomes of a save on its way there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use document::{Code, TargetKey};
use loader::core::event::{
    Advance, AdvanceDocument, Finding, Likeness, Outcome, Present, ProbeDocument, Refusal, Step,
};
use loader::core::ledger::Reached;

use crate::dice::Dice;

/// A document of the target.
#[derive(Debug, Clone)]
pub(crate) struct Doc {
    pub(crate) id: String,
    pub(crate) content: Vec<u8>,
    pub(crate) reached: Reached,
    pub(crate) created: i64,
    /// Whether we made it.
    pub(crate) ours: bool,
}

/// One document on its way.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) key: TargetKey,
    pub(crate) value: Vec<u8>,
    pub(crate) update: Option<String>,
}

/// What happens to a save, decided when it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// Answered document by document.
    Plain,
    /// No connection.
    NotSent,
    /// Refused unread.
    Throttled,
    /// 500 with its JSON; nothing, or the first so many documents, were done.
    Closed(usize),
    /// The session was lost.
    SessionLost,
    /// The connection breaks; of the work so many documents are done, then or later.
    Open(usize, Duration),
    /// The reply forgets one document.
    Uncovered(usize),
    /// Saved, then the audit of one fails and it stays.
    AuditKeep(usize),
    /// Saved, then the audit of one fails and it is undone.
    AuditRollback(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Target {
    pub(crate) docs: BTreeMap<TargetKey, Vec<Doc>>,
    /// Whether numbers are unique.
    pub(crate) unique: bool,
    /// Refused by a rule of the target, always.
    pub(crate) refuses: BTreeSet<TargetKey>,
    /// Submits and audits of these are refused.
    pub(crate) unaudited: BTreeSet<TargetKey>,
    /// Saves that carry one of these fail as a whole.
    pub(crate) poison: BTreeSet<TargetKey>,
    /// Saves on the wire or being executed, by key.
    pub(crate) executing: BTreeMap<TargetKey, u32>,
    /// Everything but queries fails until then; queries too where `dead`.
    pub(crate) down_until: Duration,
    pub(crate) dead: bool,
    /// Until then a rule refuses every document.
    pub(crate) closed_until: Duration,
    /// Until then every question is refused, whatever it is about.
    pub(crate) mute_until: Duration,
    /// Until then nobody can log in.
    pub(crate) locked_until: Duration,
    /// It gives documents numbers of its own.
    pub(crate) renames: bool,
    /// Too little of these can be compared.
    pub(crate) unclear: BTreeSet<TargetKey>,
    /// One in so many calls goes wrong.
    pub(crate) trouble: u64,
    pub(crate) ids: u64,
}

pub(crate) fn refusal(code: Code, message: &str) -> Refusal {
    Refusal { field: None, message: message.to_owned(), code, category: code.category(), timed: false }
}

/// Says more of a refusal than that it is one: the field, that it may pass, a second reason, or nothing at all.
pub(crate) fn embellish(dice: &mut Dice, outcome: &mut Outcome) {
    let Outcome::Rejected(refusals) = outcome else { return };
    let Some(first) = refusals.first_mut() else { return };
    // That a number is taken is told as it is.
    if first.code == Code::NumberTaken {
        return;
    }
    match dice.below(6) {
        0 => first.timed = true,
        1 => first.field = Some("FQty".to_owned()),
        2 => (first.code, first.category) = (Code::ReferenceMissing, Code::ReferenceMissing.category()),
        3 => refusals.push(refusal(Code::TargetRequired, "仓库必填")),
        4 => refusals.clear(),
        _ => {}
    }
}

impl Target {
    /// Whether nobody can log in now.
    pub(crate) fn refuses_logins(&self, now: Duration) -> bool {
        now < self.locked_until
    }

    /// What becomes of a save of so many documents that is made now.
    pub(crate) fn course(&self, dice: &mut Dice, now: Duration, sent: &[Sent], together: bool) -> Course {
        if sent.iter().any(|document| self.poison.contains(&document.key)) {
            return Course::Closed(0);
        }
        if now < self.down_until {
            return match (self.dead, dice.below(3)) {
                (true, 0) => Course::NotSent,
                (true, _) => Course::Open(0, Duration::ZERO),
                (false, _) => Course::Closed(0),
            };
        }
        if !dice.one_in(self.trouble) {
            return Course::Plain;
        }
        let some = dice.index(sent.len() + 1);
        match dice.below(13) {
            0 => Course::NotSent,
            1 => Course::Throttled,
            2 => Course::Closed(0),
            3 => Course::Closed(some),
            4 => Course::SessionLost,
            5 => Course::Open(0, Duration::ZERO),
            6 => Course::Open(some, Duration::ZERO),
            // Within the time a request may take, the last of it by preference.
            7 | 8 => Course::Open(sent.len(), dice.millis(0, 115_000)),
            9 => Course::Open(some, dice.millis(100_000, 115_000)),
            10 => Course::Uncovered(dice.index(sent.len().max(1))),
            11 if together => Course::AuditKeep(dice.index(sent.len().max(1))),
            12 if together => Course::AuditRollback(dice.index(sent.len().max(1))),
            _ => Course::Open(sent.len(), dice.millis(0, 2_000)),
        }
    }

    /// Does the work of a save. What is wrong with it, if anything, is the second part.
    pub(crate) fn execute(
        &mut self,
        now: Duration,
        sent: &[Sent],
        reached: Reached,
        wall: i64,
    ) -> (Vec<Outcome>, Option<String>) {
        let mut wrong = None;
        if now < self.closed_until {
            let refused = || Outcome::Rejected(vec![refusal(Code::TargetRefused, "期间已关闭")]);
            return (sent.iter().map(|_| refused()).collect(), None);
        }
        let outcomes = sent.iter().map(|document| self.execute_one(document, reached, wall, &mut wrong)).collect();
        (outcomes, wrong)
    }

    fn execute_one(&mut self, sent: &Sent, reached: Reached, wall: i64, wrong: &mut Option<String>) -> Outcome {
        if self.refuses.contains(&sent.key) {
            return Outcome::Rejected(vec![refusal(Code::TargetRequired, "必填")]);
        }
        let number = sent.key.to_string();
        let docs = self.docs.entry(sent.key.clone()).or_default();
        if let Some(id) = &sent.update {
            let Some(doc) = docs.iter_mut().find(|doc| doc.id == *id) else {
                *wrong = Some(format!("an update of {number} names document {id}, which is not there"));
                return Outcome::Unknown;
            };
            if doc.reached >= Reached::Submitted || !doc.ours {
                *wrong = Some(format!("{number} is changed though it is audited or another's"));
            }
            doc.content.clone_from(&sent.value);
            return Outcome::Saved { id: id.clone(), number };
        }
        if self.unique && !docs.is_empty() {
            return Outcome::Rejected(vec![refusal(Code::NumberTaken, "编码唯一")]);
        }
        self.ids += 1;
        let id = self.ids.to_string();
        let number = if self.renames { format!("N{id}") } else { number };
        docs.push(Doc { id: id.clone(), content: sent.value.clone(), reached, created: wall, ours: true });
        let ours = docs.iter().filter(|doc| doc.ours).count();
        // Where the target keeps no keys (A3) two of them may come of lost replies: that is told, not prevented.
        if ours > 1 && !self.renames {
            *wrong = Some(format!("I7: the target holds {ours} documents of {number}"));
        }
        Outcome::Saved { id, number }
    }

    /// Spoils the audit of the document at `index`, as [`Course::AuditKeep`] or [`Course::AuditRollback`] say.
    pub(crate) fn spoil(&mut self, outcomes: &mut [Outcome], sent: &[Sent], index: usize, keeps: bool) {
        let (Some(outcome), Some(document)) = (outcomes.get_mut(index), sent.get(index)) else { return };
        // An update of what is there cannot be undone to nothing.
        if !matches!(outcome, Outcome::Saved { .. }) || document.update.is_some() {
            return;
        }
        *outcome = Outcome::Rejected(vec![refusal(Code::TargetRefused, "库存不足，不能审核")]);
        let Some(docs) = self.docs.get_mut(&document.key) else { return };
        match docs.last_mut().filter(|_| keeps) {
            Some(doc) => doc.reached = Reached::Submitted,
            None => {
                docs.pop();
            }
        }
    }

    pub(crate) fn find(&self, document: &ProbeDocument) -> Finding {
        match self.docs.get(&document.key).map(Vec::as_slice).unwrap_or_default() {
            [] => Finding::Absent,
            _ if self.renames => Finding::Absent,
            [doc] => {
                let likeness = match &document.value {
                    Some(_) if self.unclear.contains(&document.key) => Likeness::Unclear("few fields".to_owned()),
                    None => Likeness::Unclear("not asked".to_owned()),
                    Some(value) if doc.content == **value => Likeness::Same,
                    Some(_) => Likeness::Different("FQty differs".to_owned()),
                };
                let (id, reached, created) = (doc.id.clone(), doc.reached, Some(doc.created));
                Finding::Present(Present { id, reached, created, likeness })
            }
            many => Finding::Many(many.len()),
        }
    }

    pub(crate) fn advance(&mut self, step: Step, documents: &[AdvanceDocument]) -> Vec<Advance> {
        let goal = if step == Step::Submit { Reached::Submitted } else { Reached::Audited };
        let refused = |message: &str| Advance::Refused(vec![refusal(Code::TargetRefused, message)]);
        let mut outcomes = Vec::new();
        for document in documents {
            let docs = self.docs.get_mut(&document.key).map(Vec::as_mut_slice).unwrap_or_default();
            let doc = docs.iter_mut().find(|doc| doc.id == document.id);
            outcomes.push(match doc {
                None => refused("单据不存在"),
                Some(doc) if doc.reached >= goal => refused("单据已审核"),
                Some(_) if self.unaudited.contains(&document.key) => refused("不能审核"),
                Some(doc) => {
                    doc.reached = goal;
                    Advance::Done
                }
            });
        }
        outcomes
    }
}
