//! When faults have stopped: everything ends, and source and target say the same.

use std::time::Duration;

use document::{Code, TargetKey};
use loader::core::rules::OnChange;

use crate::judge::lines_of;
use crate::log::Topic;
use crate::setting::OVERLAP;
use crate::target::Doc;
use crate::variety::Oddity;
use crate::world::{Role, World};

/// Time from the end of the faults in which every document has to end.
pub const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Time from the end of every document in which the services have to know of it.
const HEARD: Duration = Duration::from_secs(10);

impl World {
    /// Stops the faults and lets everything end. Gives how long that took.
    pub(crate) fn settle(&mut self) -> Option<Duration> {
        self.heal();
        let since = self.now;
        // Dates in the future, and commits that are still hidden, come in meanwhile.
        let last = self.source.bills.values().map(|bill| bill.visible).max().unwrap_or(0);
        let mut before = None;
        let mut carried_since = None;
        while self.violation.is_none() && self.now < since + PATIENCE {
            let next = self.now + Duration::from_secs(5);
            self.run(next);
            if self.seconds() <= last + 2 {
                continue;
            }
            let (scans, lookbacks) = *before.get_or_insert((self.judge.scans, self.judge.lookbacks));
            let looked = !self.setting.looks_back() || self.judge.lookbacks >= lookbacks + 2;
            let read_all = self.judge.scans >= scans + 2 && looked;
            if !read_all || !self.is_carried() {
                carried_since = None;
                continue;
            }
            // Commits are heard of a moment later.
            let carried = self.now - *carried_since.get_or_insert(self.now);
            match self.left_with_loaders().or_else(|| self.left_with_transformers()) {
                Some(words) if carried > HEARD => self.violate(words),
                Some(_) => {}
                None => {
                    self.compare();
                    return Some(self.now - since);
                }
            }
        }
        if self.violation.is_none() {
            let words = self.what_is_left();
            self.violate(format!("I8: not everything has ended {} s after the faults: {words}", PATIENCE.as_secs()));
        }
        None
    }

    /// Whether everything that was extracted has an end.
    fn is_carried(&self) -> bool {
        let all = |world: &World, role: Role, topic: Topic| {
            (0..world.setting.partitions).all(|p| world.log.is_read((topic, p), world.position(role, p)))
        };
        all(self, Role::Transformer, Topic::Extracted)
            && all(self, Role::Loader, Topic::Mapped)
            && self.judge.open_intents() == 0
    }

    fn what_is_left(&self) -> String {
        let mut left = Vec::new();
        for partition in 0..self.setting.partitions {
            for (role, topic) in [(Role::Transformer, Topic::Extracted), (Role::Loader, Topic::Mapped)] {
                let position = self.position(role, partition);
                let open: Vec<i64> =
                    self.log.committed((topic, partition), position, i64::MAX).map(|entry| entry.offset).collect();
                if !open.is_empty() {
                    left.push(format!("{role:?} {partition} from {position}: {} records", open.len()));
                }
            }
        }
        format!(
            "{left:?}, {} open intents, {} scans, {} lookbacks",
            self.judge.open_intents(),
            self.judge.scans,
            self.judge.lookbacks
        )
    }

    /// Source against target: every bill is there once, as it was or as it is, or a letter says why not.
    fn compare(&mut self) {
        let mut wrong = Vec::new();
        for bill in self.source.bills.values() {
            // What shows later than a scan reaches back is found by lookbacks alone.
            let late = bill.visible - bill.approved > OVERLAP && !self.setting.looks_back();
            let number = bill.number.as_str();
            let history = self.source.history.get(number).map(Vec::as_slice).unwrap_or_default();
            let was_silent = history.iter().any(|content| Oddity::of(content).is_some_and(Oddity::is_silent));
            // A flow that keeps what it read first keeps to it even where nothing came of that.
            if late || bill.is_silent() || (self.setting.variety.id_check && was_silent) {
                continue;
            }
            let docs = self.target.docs.get(&TargetKey(number.to_owned())).map(Vec::as_slice).unwrap_or_default();
            let ours: Vec<_> = docs.iter().filter(|doc| doc.ours).collect();
            let names = self.names_of(bill);
            let lettered = names.iter().any(|name| self.judge.has_letter(name));
            let [doc] = ours.as_slice() else {
                // Where the target keeps no keys, whoever reads the alerts knows of that.
                let twice = ours.len() > 1;
                if twice && !self.target.renames {
                    wrong.push(format!("I7: {number} is in the target {} times", ours.len()));
                } else if !twice && !lettered {
                    wrong.push(format!("{number} is neither in the target nor in a letter"));
                }
                continue;
            };
            let content = lines_of(&doc.content);
            let known = self.source.history.get(number);
            if !known.zip(content.as_ref()).is_some_and(|(known, content)| known.contains(content)) {
                wrong.push(format!("I10: {number} in the target is not what it ever was in the source"));
            }
            // Where changes are loaded, the newest content is there, or a letter says why that version is not.
            let newest = self.judge.newest_version(number);
            let since = |version| names.iter().any(|name| self.judge.has_letter_since(name, version));
            let told = newest.is_none_or(since);
            let keeps = self.setting.rules.on_change == OnChange::Skip || self.setting.variety.id_check;
            if !keeps && content != Some(bill.content()) && !told {
                wrong.push(format!("{number} in the target is older than in the source, and no letter says so"));
            }
            if doc.reached < self.setting.rules.wanted && !lettered {
                wrong.push(format!("{number} is {:?} and no letter says why", doc.reached));
            }
        }
        for (key, docs) in &self.target.docs {
            if docs.iter().any(|doc| !doc.ours && doc.content != b"{\"foreign\":1}") {
                wrong.push(format!("the foreign document {key} was overwritten"));
            }
        }
        let alone = |docs: &Vec<Doc>| docs.iter().filter(|doc| doc.ours).count() == 1;
        let loaded = self.target.docs.iter().any(|(key, docs)| alone(docs) && !self.judge.has_letter(key.as_str()));
        if self.target.renames && loaded && !self.tally.contains_key(Code::KeyNotKept.as_str()) {
            wrong.push("the target keeps no keys, and nobody was told".to_owned());
        }
        if let Some(first) = wrong.into_iter().next() {
            self.violate(first);
        }
    }
}
