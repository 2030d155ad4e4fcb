//! What must hold at every step, asked of the log, the source and the target alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use document::{Code, DeadLetter, Extracted, Mapped, Record, TargetKey};
use extractor::core::checkpoint::Checkpoint;
use extractor::core::seen::Seen;
use loader::core::ledger::{self, Entry, Intent};
use serde_json::Value;

use crate::flow;
use crate::log::{Decided, Place, Topic};
use crate::message::Save;
use crate::setting::{OVERLAP, SETTLE};
use crate::source::Bill;
use crate::variety::Oddity;
use crate::world::{Role, SKEW, World};

/// Time from the end of the faults in which what was torn by them is made whole.
const SETTLING: Duration = Duration::from_secs(120);

/// What the judge remembers.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    /// Document and version of every readable extracted record, and the newest of each document.
    extracted: BTreeSet<(String, u64)>,
    newest: BTreeMap<String, Newest>,
    mapped: BTreeSet<(String, u64)>,
    letters: BTreeSet<(String, u64)>,
    /// Where the last owner record of a state partition lies, and whose it is.
    owners: BTreeMap<Place, (i64, u64)>,
    /// Documents of bills that left the source.
    retracted: BTreeSet<String>,
    entries: BTreeMap<(i32, TargetKey), Entry>,
    /// What was in the ledger before it was lost or damaged.
    former: BTreeMap<(i32, TargetKey), Vec<Entry>>,
    intents: BTreeMap<(i32, String), Vec<TargetKey>>,
    /// Those of them that nobody can read any more.
    damaged: BTreeSet<(i32, String)>,
    /// Where damaged values lie, by key: what was written before, and is decided later, is overwritten.
    overwritten: BTreeMap<(i32, Vec<u8>), i64>,
    /// What is no record of ours.
    scribbled: BTreeSet<(Place, usize)>,
    watermark: i64,
    /// Scans and lookbacks that were complete.
    pub(crate) scans: u64,
    pub(crate) lookbacks: u64,
    /// When the last one that is complete began, unix seconds.
    looked_back: Option<i64>,
}

/// The newest readable extracted record of a document.
#[derive(Debug, Default)]
struct Newest {
    version: u64,
    /// Its quantities.
    content: Vec<i64>,
    /// Its rows as they were written.
    value: Vec<u8>,
}

/// The quantities of rows, in order.
pub(crate) fn quantities(rows: &[Value], member: &str) -> Vec<i64> {
    rows.iter().filter_map(|row| row.get(member).and_then(Value::as_i64)).collect()
}

/// The quantities of a document as the target holds it; `None` for one of somebody else.
pub(crate) fn lines_of(content: &[u8]) -> Option<Vec<i64>> {
    let value: Value = serde_json::from_slice(content).ok()?;
    Some(quantities(value.get("FEntity")?.as_array()?, "FQty"))
}

impl Judge {
    pub(crate) fn new(watermark: i64) -> Self {
        Self { watermark, ..Self::default() }
    }

    /// What lies there is nothing to judge by.
    pub(crate) fn scribbled(&mut self, at: (Place, usize)) {
        self.scribbled.insert(at);
    }

    /// Whether some letter is about the document.
    pub(crate) fn has_letter(&self, document: &str) -> bool {
        self.letters.range((document.to_owned(), 0)..=(document.to_owned(), u64::MAX)).next().is_some()
    }

    /// Whether a letter is about that version of the document, or a later one.
    pub(crate) fn has_letter_since(&self, document: &str, version: u64) -> bool {
        self.letters.range((document.to_owned(), version)..=(document.to_owned(), u64::MAX)).next().is_some()
    }

    /// Intents that are open, as they read now.
    pub(crate) fn open_intents(&self) -> usize {
        self.intents.keys().filter(|at| !self.damaged.contains(at)).count()
    }

    /// A value of the ledger was damaged: what it said held until then.
    pub(crate) fn overwrite(&mut self, partition: i32, key: &[u8], offset: i64) {
        self.overwritten.insert((partition, key.to_vec()), offset);
        self.forget_entry(partition, key);
    }

    fn forget_entry(&mut self, partition: i32, key: &[u8]) {
        let name = String::from_utf8_lossy(key).into_owned();
        if let Some(batch) = name.strip_prefix(ledger::INTENT_PREFIX) {
            self.damaged.insert((partition, batch.to_owned()));
        }
        let at = (partition, TargetKey(name.trim_start_matches("doc/").to_owned()));
        if let Some(entry) = self.entries.remove(&at) {
            self.former.entry(at).or_default().push(entry);
        }
    }

    /// The ledger of a partition was lost.
    pub(crate) fn forget_ledger(&mut self, partition: i32) {
        let keys: Vec<TargetKey> = self.entries.keys().filter(|at| at.0 == partition).map(|at| at.1.clone()).collect();
        for key in keys {
            self.forget_entry(partition, key.as_str().as_bytes());
        }
        self.intents.retain(|at, _| at.0 != partition);
        self.owners.remove(&(Topic::Ledger, partition));
    }

    /// A record of a ledger became readable that is lost or overwritten already.
    fn written_too_late(&mut self, partition: i32, record: &Record) {
        let name = String::from_utf8_lossy(&record.key).into_owned();
        let (Some(target), Some(bytes)) = (name.strip_prefix("doc/"), &record.value) else { return };
        if let Ok(entry) = ledger::read::<Entry>(&name, bytes) {
            self.former.entry((partition, TargetKey(target.to_owned()))).or_default().push(entry);
        }
    }

    /// The newest version of a document that was extracted.
    pub(crate) fn newest_version(&self, document: &str) -> Option<u64> {
        self.newest.get(document).map(|newest| newest.version)
    }
}

impl World {
    /// A transaction was decided.
    pub(crate) fn decided(&mut self, decided: &Decided) {
        self.note(|| {
            let how = if decided.committed { "committed" } else { "aborted" };
            format!("transaction of session {}: {how}", decided.session)
        });
        if decided.committed {
            let order = |topic: Topic| match topic {
                Topic::Extracted | Topic::Mapped | Topic::Letters => 0,
                Topic::Seen | Topic::Ledger => 1,
                Topic::State => 2,
            };
            let mut written = decided.written.clone();
            written.sort_by_key(|((topic, _), _)| order(*topic));
            for at in written {
                self.written(at);
            }
            for (role, partition, offset) in &decided.offsets {
                self.save_position(*role, *partition, *offset);
            }
        }
        let places: BTreeSet<Place> = decided.written.iter().map(|(place, _)| *place).collect();
        for place in places {
            self.wake_readers(place);
        }
    }

    /// A record became readable, as far as its own transaction is concerned.
    pub(crate) fn written(&mut self, at: (Place, usize)) {
        let place = at.0;
        let entry = self.log.entry(at);
        let (offset, session, record) = (entry.offset, entry.session, entry.record.clone());
        if self.judge.scribbled.contains(&at) {
            return self.wake_readers(place);
        }
        let damaged_at = self.judge.overwritten.get(&(place.1, record.key.clone())).copied();
        if self.log.is_lost(at) || (place.0 == Topic::Ledger && damaged_at.is_some_and(|later| offset < later)) {
            return self.judge.written_too_late(place.1, &record);
        }
        match place.0 {
            Topic::Extracted => match Extracted::from_record(&record) {
                Ok(extracted) => {
                    let (document, version) = (extracted.document_key.0.clone(), extracted.version.0);
                    let content = quantities(&extracted.rows().unwrap_or_default(), "qty");
                    if !self.source.history.get(&document).is_some_and(|known| known.contains(&content)) {
                        self.violate(format!("I10: {document} was never {content:?} in the source: torn"));
                    }
                    self.check_news(&document, &extracted.value);
                    self.judge.extracted.insert((document.clone(), version));
                    let newest = self.judge.newest.entry(document).or_default();
                    if version >= newest.version {
                        *newest = Newest { version, content, value: extracted.value };
                    }
                }
                Err(error) => self.violate(format!("an extracted record does not read: {error}")),
            },
            Topic::Mapped => match Mapped::from_record(&record) {
                Ok(mapped) => {
                    self.judge.mapped.insert((mapped.document_key.0, mapped.version.0));
                }
                Err(error) => self.violate(format!("a mapped record does not read: {error}")),
            },
            Topic::Letters => match DeadLetter::from_record(&record) {
                Ok(letter) => {
                    self.trace.note(self.now, || {
                        format!(
                            "letter: {} v{} {}: {}",
                            letter.document_key, letter.version, letter.code, letter.message
                        )
                    });
                    let due = letter.retry_at.is_none_or(|at| at > letter.last_failed_at);
                    let counted = letter.attempts > 0 && letter.first_failed_at <= letter.last_failed_at + 2 * SKEW;
                    if !due || !counted || letter.category != letter.code.category() {
                        self.violate(format!("a letter says of itself what cannot be: {letter:?}"));
                    }
                    if letter.code == Code::SourceRetracted {
                        self.judge.retracted.insert(letter.document_key.0.clone());
                    }
                    self.judge.letters.insert((letter.document_key.0, letter.version.0));
                }
                Err(error) => self.violate(format!("a letter does not read: {error}")),
            },
            Topic::State | Topic::Seen | Topic::Ledger => {
                self.check_owner(place, offset, session, &record.key);
                let value = record.value.as_deref();
                match place.0 {
                    Topic::State => self.check_checkpoint(&record.key, value),
                    Topic::Seen => self.check_seen(&record.key, value),
                    _ => self.check_ledger(place.1, &record.key, value),
                }
            }
        }
        self.wake_readers(place);
    }

    /// What is as it was, its line ids among it, is not emitted once more, unless somebody asks for that or the bill had left
    /// the source. While faults happen a record may be readable whose checkpoint is not, and is then emitted again.
    fn check_news(&mut self, document: &str, value: &[u8]) {
        let calm = self.calm_since.is_some_and(|since| self.now > since + SETTLING) && !self.is_read_again();
        let known = self.judge.newest.get(document).is_some_and(|known| known.value == value);
        if calm && known && !self.judge.retracted.contains(document) {
            self.violate(format!("{document} is emitted again as it was"));
        }
    }

    /// I3: behind the record of an owner nothing of another one becomes readable.
    fn check_owner(&mut self, place: Place, offset: i64, session: u64, key: &[u8]) {
        let owner = self.judge.owners.get(&place).copied();
        if key == b"owner" {
            if owner.is_none_or(|(at, _)| at < offset) {
                self.judge.owners.insert(place, (offset, session));
            }
            return;
        }
        if let Some((at, owner)) = owner
            && at < offset
            && owner != session
        {
            self.violate(format!(
                "I3: session {session} wrote to {place:?} behind the record of its new owner {owner}"
            ));
        }
    }

    fn check_checkpoint(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(bytes) = value.filter(|_| key != b"owner") else { return };
        let checkpoint = match Checkpoint::from_bytes(&flow(), bytes) {
            Ok(checkpoint) => checkpoint,
            Err(fault) => return self.violate(format!("the checkpoint does not read: {fault}")),
        };
        let before = self.judge.watermark;
        if checkpoint.watermark < before {
            return self.violate(format!("W moved back from {before} to {}", checkpoint.watermark));
        }
        self.judge.watermark = checkpoint.watermark;
        if checkpoint.scan.is_none() && checkpoint.watermark > before {
            self.judge.scans += 1;
            self.check_scanned(checkpoint.watermark + SETTLE);
        }
        if checkpoint.looked_back > self.judge.looked_back {
            self.judge.looked_back = checkpoint.looked_back;
            self.judge.lookbacks += 1;
        }
    }

    /// I1: what was due and could be seen before the scan began that has just ended is in the log, as it is.
    fn check_scanned(&mut self, began: i64) {
        let now = self.seconds();
        let missing = self.source.bills.values().find(|bill| {
            let timely = bill.visible - bill.approved <= OVERLAP;
            let settled = bill.visible < began - 2 && bill.touched < began - 2;
            // A date that the watermark has passed, or will pass: one in the future is seen by every scan.
            if !timely || !settled || bill.visible > now {
                return false;
            }
            let known = self.judge.newest.get(&bill.number);
            // A flow that keeps what it loaded has the bill as it once was.
            let keeps = self.setting.variety.id_check;
            let is_there = known.is_some_and(|known| keeps || known.content == bill.content());
            !is_there && !bill.is_silent() && !self.names_of(bill).iter().any(|name| self.judge.has_letter(name))
        });
        if let Some(bill) = missing {
            let words =
                format!("I1: {} is not in the log as it is, and a scan is over that had to see it", bill.number);
            self.violate(words);
        }
    }

    /// What letters may call a bill: by its number, or by its id where no row of it could be shaped.
    pub(crate) fn names_of(&self, bill: &Bill) -> [String; 2] {
        let id = self.source.id(bill.id);
        [bill.number.clone(), id.as_str().map_or_else(|| id.to_string(), str::to_owned)]
    }

    /// I2: what is called seen can be read.
    fn check_seen(&mut self, key: &[u8], value: Option<&[u8]>) {
        let Some(bytes) = value.filter(|_| key != b"owner") else { return };
        let name = String::from_utf8_lossy(key).into_owned();
        let seen = match Seen::from_bytes(&name, bytes) {
            Ok(seen) => seen,
            Err(fault) => return self.violate(format!("a seen entry does not read: {fault}")),
        };
        for document in seen.documents {
            let at = (document.key.0, document.version.0);
            if !self.judge.extracted.contains(&at) && !self.judge.letters.contains(&at) {
                self.violate(format!("I2: {} v{} is called seen and cannot be read", at.0, at.1));
            }
        }
    }

    fn check_ledger(&mut self, partition: i32, key: &[u8], value: Option<&[u8]>) {
        let name = String::from_utf8_lossy(key).into_owned();
        if let Some(batch) = name.strip_prefix(ledger::INTENT_PREFIX) {
            let at = (partition, batch.to_owned());
            match value {
                None => {
                    self.judge.intents.remove(&at);
                }
                Some(bytes) => match ledger::read::<Intent>(&name, bytes) {
                    Ok(intent) => {
                        let keys = intent.documents.into_iter().map(|document| document.key).collect();
                        self.judge.intents.insert(at, keys);
                    }
                    Err(error) => self.violate(error.to_string()),
                },
            }
            return;
        }
        let (Some(target), Some(bytes)) = (name.strip_prefix("doc/"), value) else { return };
        let entry = match ledger::read::<Entry>(&name, bytes) {
            Ok(entry) => entry,
            Err(error) => return self.violate(error.to_string()),
        };
        let at = (partition, TargetKey(target.to_owned()));
        if let Some(before) = self.judge.entries.get(&at) {
            let held = |entry: &Entry| entry.target.as_ref().map(|target| target.version);
            // I9: the version handled never goes back, nor does the one in the target.
            if entry.version < before.version {
                let words = format!("I9: {target} goes back from v{} to v{}", before.version, entry.version);
                self.violate(words);
            } else if held(&entry) < held(before) {
                let words =
                    format!("I9: {target} goes back in the target, from {:?} to {:?}", held(before), held(&entry));
                self.violate(words);
            }
        }
        self.judge.entries.insert(at, entry);
    }

    /// The position of a group is saved: what lies before it has an end.
    pub(crate) fn save_position(&mut self, role: Role, partition: i32, offset: i64) {
        let before = self.position(role, partition);
        if offset < before {
            return self.violate(format!("{role:?}: position of {partition} goes back from {before} to {offset}"));
        }
        if let Some(group) = self.groups.get_mut(&role) {
            group.positions.insert(partition, offset);
        }
        let without_end = match role {
            Role::Extractor => None,
            Role::Transformer => self.unmapped((Topic::Extracted, partition), before, offset),
            Role::Loader => self.unended((Topic::Mapped, partition), before, offset),
        };
        if let Some(words) = without_end {
            self.violate(words);
        }
    }

    /// I4 of the transformer: a record without bill and without letter.
    fn unmapped(&self, place: Place, from: i64, to: i64) -> Option<String> {
        self.log.committed(place, from, to).find_map(|entry| {
            let extracted = Extracted::from_record(&entry.record).ok()?;
            let at = (extracted.document_key.0.clone(), extracted.version.0);
            let rows = quantities(&extracted.rows().unwrap_or_default(), "qty");
            let skipped = Oddity::of(&rows) == Some(Oddity::Skipped);
            let ended = skipped || self.judge.mapped.contains(&at) || self.judge.letters.contains(&at);
            (!ended).then(|| format!("I4: {} v{} at {place:?}@{} was not mapped", at.0, at.1, entry.offset))
        })
    }

    /// I4 of the loader: a record without an end in ledger or letters.
    fn unended(&self, place: Place, from: i64, to: i64) -> Option<String> {
        self.log.committed(place, from, to).find_map(|record| {
            let mapped = Mapped::from_record(&record.record).ok()?;
            let (key, version) = (&mapped.target_key, mapped.version);
            let entry = self.judge.entries.get(&(place.1, key.clone()));
            (!self.has_end(place.1, &mapped))
                .then(|| format!("I4: {key} v{version} at {place:?}@{} has no end: {entry:?}", record.offset))
        })
    }

    /// Whether ledger or letters say what became of a record of that partition.
    pub(crate) fn has_end(&self, partition: i32, mapped: &Mapped) -> bool {
        let at = (partition, mapped.target_key.clone());
        let former = self.judge.former.get(&at).into_iter().flatten();
        let ended = self.judge.entries.get(&at).into_iter().chain(former).any(|entry| {
            entry.version > mapped.version
                || (entry.version == mapped.version && entry.end.is_some())
                || entry.changed >= Some(mapped.version)
                || entry.target.as_ref().is_some_and(|target| target.digest == mapped.digest)
        });
        ended || self.judge.letters.contains(&(mapped.document_key.0.clone(), mapped.version.0))
    }

    /// A save is about to be on the wire: I5, I6, I10, I11.
    pub(crate) fn check_save(&mut self, save: &Save) {
        self.check_size(save);
        for (index, document) in save.sent.iter().enumerate() {
            let key = &document.key;
            let intended = self.judge.intents.values().any(|keys| keys.contains(key));
            if !intended {
                return self.violate(format!("I5: {key} is sent without an intent that can be read"));
            }
            if save.sent.iter().skip(index + 1).any(|other| other.key == *key) {
                return self.violate(format!("{key} is twice in one save"));
            }
            if self.target.executing.get(key).is_some_and(|count| *count > 0) {
                return self.violate(format!("I6: {key} is sent while an earlier save of it may still be executed"));
            }
            let docs = self.target.docs.get(key).map(Vec::as_slice).unwrap_or_default();
            if document.update.is_none() && docs.iter().any(|doc| doc.ours) && !self.target.renames {
                return self.violate(format!("I6: {key} is sent as new although the target has it from us"));
            }
            let known = self.source.history.get(key.as_str());
            let content = lines_of(&document.value);
            if !known.zip(content).is_some_and(|(known, content)| known.contains(&content)) {
                return self.violate(format!("I10: {key} is sent with lines that its bill never had"));
            }
        }
    }
}
