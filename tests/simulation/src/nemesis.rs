//! What goes wrong, and what people do meanwhile.

use std::time::Duration;

use document::{Code, DeadLetter, Mapped, Record, Stage, TargetKey, header};
use loader::core::ledger::Reached;

use crate::log::{Entry, Place, Topic};
use crate::message::{Happening, Message};
use crate::target::Doc;
use crate::variety::Oddity;
use crate::world::{EPOCH, Role, SKEW, World};

/// Most replays of one document at once: the desk keeps a letter until its replay has ended, and a document has few
/// letters. Each may have to wait until no save can be under way any more.
const REPLAYS_AT_ONCE: usize = 3;

impl World {
    /// Bills, foreign documents and quirks of the target, before anything runs.
    pub(crate) fn populate(&mut self) {
        for _ in 0..3 + self.dice.below(9) {
            self.touch_source();
        }
        let ids: Vec<i64> = self.source.bills.keys().copied().collect();
        for id in ids {
            let key = TargetKey(format!("B{id}"));
            match self.dice.below(24) {
                // Only where numbers are unique: elsewhere a document that was there before cannot be told from a copy.
                0 if self.target.unique => self.plant(key),
                1 => {
                    self.target.refuses.insert(key);
                }
                2 => {
                    self.target.unaudited.insert(key);
                }
                3 if self.dice.one_in(3) => {
                    self.target.poison.insert(key);
                }
                _ => {}
            }
        }
    }

    /// A document of somebody else.
    fn plant(&mut self, key: TargetKey) {
        let created = (EPOCH - 86_400) * 1_000;
        let content = b"{\"foreign\":1}".to_vec();
        let doc = Doc { id: format!("foreign-{key}"), content, reached: Reached::Audited, created, ours: false };
        self.target.docs.insert(key, vec![doc]);
    }

    /// Something happens in the source.
    pub(crate) fn touch_source(&mut self) {
        let now = self.seconds();
        let id = self.dice.between(1, 16);
        let large = self.dice.one_in(12);
        let mut lines = if large { 12 + self.dice.below(30) } else { 1 + self.dice.below(5) };
        if self.setting.variety.long_bills && self.second.one_in(10) {
            lines = 10_000;
        }
        let mut content: Vec<i64> = (0..lines).map(|_| self.dice.between(0, 1_000_000)).collect();
        if self.dice.one_in(30) {
            // Mapping will refuse it.
            content[0] = -1;
        }
        if self.setting.variety.odd {
            match self.second.below(30) {
                0 => content.clear(),
                1..=3 => *content.last_mut().expect("it has lines") = Oddity::quantity(&mut self.second),
                _ => {}
            }
        }
        let there = self.source.bills.contains_key(&id);
        let dated = !self.dice.one_in(5);
        match self.dice.below(12) {
            0 if there && self.chaos => {
                self.source.bills.remove(&id);
                self.source.left.insert(id);
                self.trace.note(self.now, || format!("bill {id} leaves the source"));
                return;
            }
            // Approved some time ago, and its commit shows only now.
            1 | 2 if !there => {
                let late = match self.dice.one_in(3) {
                    true => self.dice.between(0, 2 * 86_400),
                    false => self.dice.between(0, 600),
                };
                self.source.put(id, &content, now - late, now, dated);
            }
            // Approved now, and its commit shows in a while.
            3 if !there => {
                let late = self.dice.between(1, 400);
                self.source.put(id, &content, now, now + late, dated);
            }
            4 if !there => {
                let future = self.dice.between(1, 86_400);
                self.source.put(id, &content, now + future, now, dated);
            }
            5 => {
                let rows = if self.setting.variety.long_bills { 300 } else { 1 };
                self.source.clamp = (!self.dice.one_in(3)).then(|| rows * (1 + self.dice.index(6)));
                return;
            }
            6..=8 if there => return,
            _ => self.source.put(id, &content, now, now, dated),
        }
        let bill = &self.source.bills[&id];
        let (date, shown) = (bill.approved - EPOCH, bill.visible - EPOCH);
        self.trace.note(self.now, || format!("bill {id} of {date} has {} lines, shown from {shown} on", content.len()));
    }

    /// Rows come and go while pages are read.
    pub(crate) fn touch_source_while_paging(&mut self) {
        if self.chaos && !self.quiet && self.dice.one_in(self.setting.touches) {
            self.touch_source();
        }
    }

    /// The next blow.
    pub(crate) fn nemesis(&mut self) {
        if !self.chaos {
            return;
        }
        let wait = self.dice.millis(self.setting.pace / 8, self.setting.pace);
        self.after(wait, Happening::Nemesis);
        self.seldom();
        let node = self.dice.index(self.nodes.len());
        match self.dice.below(16) {
            0 | 1 => {
                let back =
                    if self.dice.one_in(4) { self.dice.millis(1_000, 90_000) } else { self.dice.millis(500, 15_000) };
                self.crash(node, back);
            }
            2 | 3 => {
                let length =
                    if self.dice.one_in(2) { self.dice.millis(46_000, 300_000) } else { self.dice.millis(500, 40_000) };
                self.pause(node, length);
            }
            4..=6 => self.move_something(),
            7 => {
                self.target.down_until = self.now + self.dice.millis(1_000, 120_000);
                self.target.dead = self.dice.one_in(2);
                self.note(|| "the target is down".to_owned());
            }
            8 => {
                let stall = if self.dice.one_in(2) { 5_000 } else { 8_000 };
                self.redis_stalls_until = self.now + self.dice.millis(100, stall);
            }
            9 | 10 => self.replay(),
            12 => self.scribble(),
            13 => self.refuse(),
            11 => {
                if self.setting.skewed {
                    let skew = self.dice.between(-SKEW, SKEW);
                    self.nodes[node].skew = skew;
                    self.note(|| format!("the clock of node {node} jumps"));
                }
            }
            _ => {
                if !self.quiet {
                    self.touch_source();
                }
            }
        }
    }

    /// Now and then a blow falls exactly between two steps of a transaction, or right behind it. Whether one
    /// did; a process that is only stopped goes on where it was, later.
    pub(crate) fn strikes(&mut self, node: usize) -> bool {
        if !self.chaos || !self.dice.one_in(400) {
            return false;
        }
        if self.dice.one_in(3) {
            let back = self.dice.millis(500, 15_000);
            self.crash(node, back);
        } else {
            let long = !self.dice.one_in(3);
            let length = if long { self.dice.millis(46_000, 400_000) } else { self.dice.millis(500, 40_000) };
            self.pause(node, length);
        }
        true
    }

    /// A partition goes to another member of its group.
    fn move_something(&mut self) {
        let role = [Role::Loader, Role::Loader, Role::Extractor, Role::Transformer][self.dice.index(4)];
        let partitions = self.groups.get(&role).map_or(1, |group| group.partitions);
        let partition = i32::try_from(self.dice.below(u64::try_from(partitions).unwrap_or(1))).expect("few");
        self.move_to_another(role, partition);
    }

    pub(crate) fn move_to_another(&mut self, role: Role, partition: i32) {
        let Some(group) = self.groups.get_mut(&role) else { return };
        let owner = group.owners.get(&partition).copied();
        let others: Vec<usize> = group.members.keys().copied().filter(|member| Some(*member) != owner).collect();
        if others.is_empty() {
            return;
        }
        let to = others[self.dice.index(others.len())];
        if let Some(moving) = group.begin_move(partition, to) {
            self.note(|| format!("partition {partition} of {role:?} is to go from node {} to {to}", moving.from));
            self.tell(Duration::from_millis(5), moving.from, Message::Revoking(partition));
        }
    }

    /// Someone at the desk publishes a letter, or any earlier record, once more.
    fn replay(&mut self) {
        let id = self.fresh_id();
        let letters = self.log.read((Topic::Letters, 0), 0, 1_000);
        let letters: Vec<DeadLetter> =
            letters.iter().filter_map(|received| DeadLetter::from_record(&received.record).ok()).collect();
        let mut doubted = false;
        let mut record = if letters.is_empty() || self.dice.one_in(2) {
            let partition = i32::try_from(self.dice.below(u64::try_from(self.setting.partitions).unwrap_or(1)));
            let records = self.log.read((Topic::Mapped, partition.expect("few")), 0, 1_000);
            if records.is_empty() {
                return;
            }
            records[self.dice.index(records.len())].record.clone()
        } else {
            let letter = &letters[self.dice.index(letters.len())];
            if letter.stage == Stage::Transform {
                return;
            }
            let Some(record) = letter.original() else { return };
            // Whoever decides waits until nothing can be under way any more.
            let key = TargetKey(String::from_utf8_lossy(&record.key).into_owned());
            let busy = self.target.executing.get(&key).is_some_and(|count| *count > 0);
            doubted = letter.code == Code::InDoubt && !busy && !self.dice.one_in(3);
            record
        };
        if Mapped::from_record(&record).is_err() {
            return;
        }
        // Nobody replays what makes every save fail: each try takes ten minutes.
        if self.target.poison.contains(&TargetKey(String::from_utf8_lossy(&record.key).into_owned())) {
            return;
        }
        let place = (Topic::Mapped, self.partition_of(&record.key));
        if self.replays_under_way(place, &record.key) >= REPLAYS_AT_ONCE {
            return;
        }
        record.headers.set(header::REPLAY, format!("r{id}"));
        if doubted {
            let key = TargetKey(String::from_utf8_lossy(&record.key).into_owned());
            let docs = self.target.docs.get(&key).map(Vec::as_slice).unwrap_or_default();
            // Whoever decides sees both documents: of an older one in the target nothing can be said in these words.
            let word = match docs.iter().find(|doc| doc.ours) {
                Some(doc) if Some(doc.content.as_slice()) == record.value.as_deref() => {
                    format!("applied as {}", doc.id)
                }
                Some(_) => return,
                None => "absent".to_owned(),
            };
            self.note(|| format!("somebody says of {key}: {word}"));
            // What somebody types by hand need not be a word we know.
            let word = if self.setting.variety.eloquent && self.second.one_in(4) { "perhaps".to_owned() } else { word };
            record.headers.set(header::VERDICT, word);
        }
        let at = self.wall();
        self.note(|| format!("replay r{id} of {}", String::from_utf8_lossy(&record.key)));
        let written = self.log.write_plain(place, record, at);
        self.written(written);
    }

    /// Replays of a key that no loader has ended yet, as far as offsets tell.
    fn replays_under_way(&self, place: Place, key: &[u8]) -> usize {
        let from = self.position(Role::Loader, place.1);
        let replays = |entry: &&Entry| entry.record.key == key && entry.record.headers.get(header::REPLAY).is_some();
        self.log.committed(place, from, i64::MAX).filter(replays).count()
    }

    /// A time in which the target or a person says no.
    fn refuse(&mut self) {
        let until = self.now + self.dice.millis(1_000, 60_000);
        match self.dice.below(3) {
            0 => {
                self.target.closed_until = until;
                self.note(|| "the target refuses every document".to_owned());
            }
            1 => {
                self.target.mute_until = until;
                self.note(|| "the target refuses every question".to_owned());
            }
            _ => {
                self.rests_until = until;
                self.note(|| "the flow rests".to_owned());
            }
        }
    }

    /// Something that is no record of ours lies in a topic, or a record of ours whose value was cut.
    fn scribble(&mut self) {
        let topic = if self.dice.one_in(2) { Topic::Extracted } else { Topic::Mapped };
        let partitions = u64::try_from(self.setting.partitions).expect("positive");
        let place = (topic, i32::try_from(self.dice.below(partitions)).expect("few"));
        let records = self.log.read(place, 0, 1_000);
        let record = if records.is_empty() || self.dice.one_in(2) {
            Record { key: b"?".to_vec(), value: Some(b"{".to_vec()), ..Record::default() }
        } else {
            let mut record = records[self.dice.index(records.len())].record.clone();
            if let Some(value) = &mut record.value {
                value.truncate(value.len() / 2);
            }
            record
        };
        self.note(|| format!("somebody scribbles into {place:?}"));
        let at = self.wall();
        let written = self.log.write_plain(place, record, at);
        self.judge.scribbled(written);
        self.written(written);
    }

    /// Faults stop: everybody runs, everything answers.
    pub(crate) fn heal(&mut self) {
        self.note(|| "faults stop".to_owned());
        self.chaos = false;
        self.calm_since = Some(self.now);
        self.quiet = true;
        self.target.trouble = 0;
        self.target.down_until = self.now;
        self.target.closed_until = self.now;
        self.target.mute_until = self.now;
        self.rests_until = self.now;
        self.target.locked_until = self.now;
        // Somebody mends the target: alone in a quiet flow, each version of such a document takes ten minutes to convict.
        self.target.poison.clear();
        self.redis_stalls_until = self.now;
        self.source.clamp = None;
        for node in 0..self.nodes.len() {
            if let Some(until) = self.nodes[node].paused_until
                && until > self.now
            {
                // A stopped process goes on, as it would have later.
                self.nodes[node].paused_until = None;
                self.wake(node, until);
                let session = self.nodes[node].session.as_ref().map_or(0, |session| session.id);
                let role = self.nodes[node].role;
                let known = self.groups[&role].members.get(&node) == Some(&session);
                let message = if known { Message::Rejoined } else { Message::Lost };
                self.tell(Duration::from_millis(50), node, message);
            }
            self.start(node);
            // Whoever was refused too often tries no more, until it is started with the right password.
            if self.setting.variety.logins && self.nodes[node].role == Role::Loader {
                self.crash(node, Duration::from_secs(1));
            }
        }
    }
}
