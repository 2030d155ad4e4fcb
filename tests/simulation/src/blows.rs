//! Blows that only some histories know: what is kept is damaged or lost, people meddle, nobody can log in, processes are
//! asked to end.

use document::{Record, TargetKey};
use loader::core::ledger::Reached;

use crate::log::{Place, Topic};
use crate::target::Doc;
use crate::world::{Role, World};

impl World {
    /// Now and then one more blow, of the kinds that this history knows.
    pub(crate) fn seldom(&mut self) {
        let kind = self.second.below(12);
        let variety = &self.setting.variety;
        match kind {
            0 | 1 if variety.orderly => {
                let node = self.second.index(self.nodes.len());
                if self.nodes[node].role == Role::Loader {
                    self.drain(node);
                }
            }
            2 | 3 if variety.ledgers => self.damage_ledger(),
            4 if variety.ledgers && self.second.one_in(2) => self.lose_ledger(),
            5 if variety.logins => {
                self.target.locked_until = self.now + self.second.millis(10_000, 500_000);
                self.note(|| "nobody can log in to the target".to_owned());
            }
            6 | 7 if variety.meddling => self.meddle(),
            8 if variety.ruin && self.second.one_in(3) => {
                let topic = if self.second.one_in(2) { Topic::State } else { Topic::Seen };
                self.damage((topic, 0));
            }
            _ => {}
        }
    }

    /// Half of a value of a compacted topic is overwritten. Whoever has read it goes on with what it read.
    fn damage(&mut self, place: Place) -> Option<(Vec<u8>, i64)> {
        let mut table = self.log.table(place);
        table.remove(b"owner".as_slice());
        let keys: Vec<Vec<u8>> = table.keys().cloned().collect();
        if keys.is_empty() {
            return None;
        }
        let key = keys[self.second.index(keys.len())].clone();
        let mut value = table.remove(&key)?;
        value.truncate(value.len() / 2);
        // Now and then it is whole, and of a form that nobody knows.
        if self.second.one_in(3) {
            value = b"{\"format\":9,\"id\":1}".to_vec();
        }
        self.note(|| format!("{} in {place:?} is damaged", String::from_utf8_lossy(&key)));
        let at = self.wall();
        let record = Record { key: key.clone(), value: Some(value), ..Record::default() };
        let written = self.log.write_plain(place, record, at);
        self.judge.scribbled(written);
        Some((key, self.log.entry(written).offset))
    }

    fn damage_ledger(&mut self) {
        let partitions = u64::try_from(self.setting.partitions).expect("positive");
        let partition = i32::try_from(self.second.below(partitions)).expect("few");
        if let Some((key, offset)) = self.damage((Topic::Ledger, partition)) {
            self.judge.overwrite(partition, &key, offset);
        }
    }

    /// While no loader runs, somebody makes the topic of the ledger anew.
    fn lose_ledger(&mut self) {
        self.note(|| "the ledger is lost".to_owned());
        for node in 0..self.nodes.len() {
            if self.nodes[node].role == Role::Loader {
                let back = self.second.millis(1_000, 30_000);
                self.crash(node, back);
            }
        }
        // What is still on its way to the old topic finds none.
        self.made_anew = self.ids;
        for partition in 0..self.setting.partitions {
            self.log.lose((Topic::Ledger, partition));
            self.judge.forget_ledger(partition);
        }
    }

    /// Somebody works in the target.
    fn meddle(&mut self) {
        let keys: Vec<TargetKey> = self.source.bills.values().map(|bill| TargetKey(bill.number.clone())).collect();
        if keys.is_empty() {
            return;
        }
        let key = keys[self.second.index(keys.len())].clone();
        if self.second.one_in(2) {
            self.note(|| format!("too little of {key} can be compared from now on"));
            self.target.unclear.insert(key);
            return;
        }
        let created = self.wall();
        let Some(docs) = self.target.docs.get_mut(&key).filter(|docs| !docs.is_empty()) else { return };
        let content = b"{\"foreign\":1}".to_vec();
        let id = format!("copy-{}", docs.len());
        docs.push(Doc { id, content, reached: Reached::Saved, created, ours: false });
        self.note(|| format!("somebody copies {key} in the target"));
    }
}
