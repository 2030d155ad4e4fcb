//! When a loader may write a letter: not while most documents of its flow fail alike, not for want of an answer before it
//! has asked often enough, and not about a conflict with itself.

use std::collections::BTreeMap;
use std::time::Duration;

use document::{Code, DeadLetter, FlowVersion, Record, Stage, TargetKey};
use loader::core::Numbers;
use loader::core::event::{Action, Event, Observation};

use crate::world::World;

/// The letters of one session.
#[derive(Debug, Default)]
pub(crate) struct Letters {
    /// Those of transactions that cannot be read yet.
    written: BTreeMap<u64, Vec<(Code, FlowVersion)>>,
    /// What ended since the flow waited last, and how much of it failed with what.
    ended: usize,
    failed: BTreeMap<(Code, FlowVersion), usize>,
    waits_until: Duration,
    /// Saves by key, and when the first of them was made.
    saves: BTreeMap<Vec<u8>, (u32, Duration)>,
}

impl Letters {
    /// A document is on its way.
    pub(crate) fn save(&mut self, key: &[u8], now: Duration) {
        self.saves.entry(key.to_vec()).or_insert((0, now)).0 += 1;
    }

    fn write(&mut self, id: u64, letters: &[DeadLetter], now: Duration) {
        // What a search ends, what is in doubt and what cannot be read holds no flow back.
        let counts = |code| matches!(code, Code::TargetRequired | Code::TargetRefused | Code::NumberTaken);
        if now >= self.waits_until {
            let counted = letters.iter().filter(|letter| letter.stage == Stage::Load && counts(letter.code));
            let counted = counted.map(|letter| (letter.code, letter.flow_version.clone())).collect();
            self.written.insert(id, counted);
        }
    }

    /// Takes up what a core made of an event. The code that too many documents of the `current` version failed with although
    /// the flow does not wait, and how many ended, if so.
    fn take(
        &mut self,
        event: Option<u64>,
        actions: &[Action],
        current: &FlowVersion,
        now: Duration,
        numbers: &Numbers,
    ) -> Option<(Code, usize, usize)> {
        let trips = |action: &Action| matches!(action, Action::Observe(Observation::Alert(fault)) if fault.code == Code::FlowBreaker);
        if actions.iter().any(trips) {
            let saves = std::mem::take(&mut self.saves);
            *self = Self { waits_until: now + numbers.flow_breaker_pause, saves, ..Self::default() };
        }
        let ended = |action: &&Action| matches!(action, Action::Observe(Observation::Ended { .. }));
        self.ended += actions.iter().filter(ended).count();
        for failed in event.and_then(|id| self.written.remove(&id)).unwrap_or_default() {
            *self.failed.entry(failed).or_default() += 1;
        }
        // Of what ended longer ago nobody has to know.
        let known = numbers.flow_breaker_window.max(numbers.flow_breaker_least);
        let of_current = self.failed.iter().filter(|((_, version), _)| version == current);
        let (code, failed) = of_current.map(|((code, _), count)| (*code, *count)).max_by_key(|(_, count)| *count)?;
        let too_many = failed >= numbers.flow_breaker_least && failed * 2 > self.ended && self.ended <= known;
        too_many.then_some((code, failed, self.ended))
    }
}

impl World {
    /// A loader's core has heard something.
    pub(crate) fn check_breaking(&mut self, node: usize, committed: Option<u64>, actions: &[Action]) {
        let current = self.setting.variety.current(self.now);
        let (now, mut letters) = (self.now, std::mem::take(&mut self.loader(node).letters));
        let wrong = letters.take(committed, actions, &current, now, &self.setting.numbers);
        self.loader(node).letters = letters;
        if let Some((code, failed, ended)) = wrong {
            self.violate(format!("node {node} has written {failed} letters of {ended} ends, all for {code}"));
        }
    }

    /// A loader writes letters.
    pub(crate) fn check_letters(&mut self, node: usize, id: u64, records: &[Record]) {
        let letters: Vec<DeadLetter> =
            records.iter().filter_map(|record| DeadLetter::from_record(record).ok()).collect();
        let now = self.now;
        self.loader(node).letters.write(id, &letters, now);
        for letter in letters {
            let Some(original) = letter.original() else { continue };
            let (attempts, patience) = (self.setting.rules.retry.attempts, self.setting.numbers.poison_patience);
            if letter.code == Code::ReplyLost {
                let (saves, first) = self.loader(node).letters.saves.get(&original.key).copied().unwrap_or((0, now));
                // One more may have been made by an earlier session, of which an intent was left.
                if saves + 1 < attempts && now < first + patience {
                    self.violate(format!(
                        "{} is given up for want of an answer after {saves} saves",
                        letter.document_key
                    ));
                }
            }
            if letter.code == Code::Conflict {
                self.check_conflict(&letter, &original.key);
            }
        }
    }

    /// What we saved and nobody touched since is no conflict. Where people meddle, or what we knew was lost, it may be one.
    fn check_conflict(&mut self, letter: &DeadLetter, key: &[u8]) {
        let variety = &self.setting.variety;
        if variety.ledgers || variety.meddling || variety.renames || letter.body.is_empty() {
            return;
        }
        let key = TargetKey(String::from_utf8_lossy(key).into_owned());
        if let Some([doc]) = self.target.docs.get(&key).map(Vec::as_slice)
            && doc.ours
            && doc.content == letter.body
        {
            self.violate(format!("{key} is called a conflict, and is in the target as it was sent"));
        }
    }
}

/// The transaction that an event says is readable.
pub(crate) fn committed(event: &Event) -> Option<u64> {
    if let Event::Committed(id) = event { Some(*id) } else { None }
}
