//! An in-memory log as Kafka keeps it: partitions, transactions by producer and epoch, read committed.
//!
//! A transaction is open from its first write until an end is applied to it, whoever's end that is: an end names only
//! the producer and its epoch, so one that comes late meets whatever is open then.

use std::collections::BTreeMap;
use std::time::Duration;

use document::{Received, Record, topic};

use crate::flow;
use crate::world::Role;

/// The topics of the road.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    Extracted,
    Mapped,
    Letters,
    State,
    Seen,
    Ledger,
}

impl Topic {
    pub(crate) fn name(self) -> String {
        match self {
            Topic::Extracted => topic::extracted(&flow()),
            Topic::Mapped => topic::mapped(&flow()),
            Topic::Ledger => topic::ledger(&flow()),
            Topic::Letters => topic::DEAD_LETTERS.to_owned(),
            Topic::State => topic::EXTRACT_STATE.to_owned(),
            Topic::Seen => topic::EXTRACT_SEEN.to_owned(),
        }
    }
}

/// A partition of a topic.
pub(crate) type Place = (Topic, i32);
/// The key-value pairs of a compacted partition.
pub(crate) type Table = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) offset: i64,
    pub(crate) at: i64,
    pub(crate) record: Record,
    /// The session that wrote it; 0 for writes without a transaction.
    pub(crate) session: u64,
    status: Status,
}

impl Entry {
    fn is_owner(&self) -> bool {
        self.record.key == b"owner"
    }
}

#[derive(Debug, Default)]
struct Part {
    entries: Vec<Entry>,
    next: i64,
    /// Everything before this index is decided.
    decided: usize,
    /// Everything before this index is gone.
    lost: usize,
}

#[derive(Debug)]
struct Open {
    since: Duration,
    session: u64,
    written: Vec<(Place, usize)>,
    offsets: Vec<(Role, i32, i64)>,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u64,
    open: Option<Open>,
    /// How the last transaction ended.
    last: Option<bool>,
}

/// The epoch was taken over, or there is nothing to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// A transaction that was decided.
#[derive(Debug)]
pub(crate) struct Decided {
    pub(crate) session: u64,
    pub(crate) committed: bool,
    pub(crate) written: Vec<(Place, usize)>,
    pub(crate) offsets: Vec<(Role, i32, i64)>,
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    parts: BTreeMap<Place, Part>,
    producers: BTreeMap<String, Producer>,
}

impl Log {
    fn append(&mut self, place: Place, record: Record, at: i64, session: u64, status: Status) -> (Place, usize) {
        let part = self.parts.entry(place).or_default();
        part.entries.push(Entry { offset: part.next, at, record, session, status });
        part.next += 1;
        (place, part.entries.len() - 1)
    }

    /// A write without a transaction, readable at once unless something undecided lies before it.
    pub(crate) fn write_plain(&mut self, place: Place, record: Record, at: i64) -> (Place, usize) {
        self.append(place, record, at, 0, Status::Committed)
    }

    /// Takes a producer over: what is open of it is aborted, and its epoch grows.
    pub(crate) fn init(&mut self, producer: &str) -> (u64, Option<Decided>) {
        let state = self.producers.entry(producer.to_owned()).or_default();
        state.epoch += 1;
        state.last = None;
        let (epoch, open) = (state.epoch, state.open.take());
        (epoch, open.map(|open| self.decide(open, false)))
    }

    fn opened(&mut self, producer: &str, epoch: u64, session: u64, now: Duration) -> Result<&mut Open, Refused> {
        let state = self.producers.get_mut(producer).filter(|state| state.epoch == epoch).ok_or(Refused)?;
        let fresh = || Open { since: now, session, written: Vec::new(), offsets: Vec::new() };
        Ok(state.open.get_or_insert_with(fresh))
    }

    /// Writes inside the transaction that is open, or opens one.
    pub(crate) fn write(
        &mut self,
        (producer, epoch, session): (&str, u64, u64),
        records: &[(Place, Record)],
        now: Duration,
        at: i64,
    ) -> Result<(), Refused> {
        self.opened(producer, epoch, session, now)?;
        let written: Vec<_> = records
            .iter()
            .map(|(place, record)| self.append(*place, record.clone(), at, session, Status::Open))
            .collect();
        self.opened(producer, epoch, session, now)?.written.extend(written);
        Ok(())
    }

    /// Adds positions to the transaction that is open, or opens one. The group has agreed.
    pub(crate) fn add_offsets(
        &mut self,
        (producer, epoch, session): (&str, u64, u64),
        role: Role,
        offsets: &[(i32, i64)],
        now: Duration,
    ) -> Result<(), Refused> {
        let offsets = offsets.iter().map(|(partition, offset)| (role, *partition, *offset));
        self.opened(producer, epoch, session, now)?.offsets.extend(offsets);
        Ok(())
    }

    /// Whether a producer still has this epoch.
    pub(crate) fn is_current(&self, producer: &str, epoch: u64) -> bool {
        self.producers.get(producer).is_some_and(|state| state.epoch == epoch)
    }

    /// Ends what is open. An end that came before is confirmed once more.
    pub(crate) fn end(&mut self, producer: &str, epoch: u64, commit: bool) -> Result<Option<Decided>, Refused> {
        let state = self.producers.get_mut(producer).filter(|state| state.epoch == epoch).ok_or(Refused)?;
        match state.open.take() {
            Some(open) => {
                state.last = Some(commit);
                Ok(Some(self.decide(open, commit)))
            }
            None if state.last == Some(commit) => Ok(None),
            None => Err(Refused),
        }
    }

    /// Aborts what has been open for longer than `limit`, under a new epoch.
    pub(crate) fn expire(&mut self, now: Duration, limit: Duration) -> Vec<Decided> {
        let mut expired = Vec::new();
        for state in self.producers.values_mut() {
            if let Some(open) = state.open.take_if(|open| open.since + limit <= now) {
                state.epoch += 1;
                state.last = None;
                expired.push(open);
            }
        }
        expired.into_iter().map(|open| self.decide(open, false)).collect()
    }

    fn decide(&mut self, open: Open, commit: bool) -> Decided {
        for (place, index) in &open.written {
            if let Some(entry) = self.parts.get_mut(place).and_then(|part| part.entries.get_mut(*index)) {
                entry.status = if commit { Status::Committed } else { Status::Aborted };
            }
        }
        // A marker takes an offset of its own in every partition that was written to.
        let mut places: Vec<Place> = open.written.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        for place in places {
            if let Some(part) = self.parts.get_mut(&place) {
                part.next += 1;
            }
        }
        Decided { session: open.session, committed: commit, written: open.written, offsets: open.offsets }
    }

    /// Whether positions of `partition` are part of an undecided transaction.
    pub(crate) fn is_unstable(&self, role: Role, partition: i32) -> bool {
        let mut open = self.producers.values().filter_map(|state| state.open.as_ref());
        open.any(|open| open.offsets.iter().any(|(group, at, _)| *group == role && *at == partition))
    }

    /// One entry.
    pub(crate) fn entry(&self, (place, index): (Place, usize)) -> &Entry {
        &self.parts[&place].entries[index]
    }

    /// Index of the first undecided entry.
    fn stable(&mut self, place: Place) -> usize {
        let Some(part) = self.parts.get_mut(&place) else { return 0 };
        while part.entries.get(part.decided).is_some_and(|entry| entry.status != Status::Open) {
            part.decided += 1;
        }
        part.decided
    }

    /// What can be read of a partition from an offset on.
    pub(crate) fn read(&mut self, place: Place, from: i64, most: usize) -> Vec<Received> {
        let stable = self.stable(place);
        let Some(part) = self.parts.get(&place) else { return Vec::new() };
        let start = part.entries.partition_point(|entry| entry.offset < from);
        part.entries[start.min(stable)..stable]
            .iter()
            .filter(|entry| entry.status == Status::Committed)
            .take(most)
            .map(|entry| Received {
                topic: place.0.name(),
                partition: place.1,
                offset: entry.offset,
                timestamp: Some(entry.at),
                record: entry.record.clone(),
            })
            .collect()
    }

    /// Records that were committed between two offsets, readable or not.
    pub(crate) fn committed(&self, place: Place, from: i64, to: i64) -> impl Iterator<Item = &Entry> {
        let part = self.parts.get(&place);
        let start = part.map_or(0, |part| part.entries.partition_point(|entry| entry.offset < from));
        let entries = part.map_or(&[][..], |part| &part.entries[start..]);
        entries.iter().take_while(move |entry| entry.offset < to).filter(|entry| entry.status == Status::Committed)
    }

    /// Whether everything that was committed lies before `position`.
    pub(crate) fn is_read(&self, place: Place, position: i64) -> bool {
        self.committed(place, position, i64::MAX).next().is_none()
    }

    /// Whether the last readable record of a key in a partition has this value.
    pub(crate) fn says(&mut self, place: Place, key: &[u8], value: &[u8]) -> bool {
        let stable = self.stable(place);
        let Some(part) = self.parts.get(&place) else { return false };
        let mut readable = part.entries[..stable].iter().rev().filter(|entry| entry.status == Status::Committed);
        readable.find(|entry| entry.record.key == key).is_some_and(|entry| entry.record.value.as_deref() == Some(value))
    }

    /// What was written to the partition so far is gone.
    pub(crate) fn lose(&mut self, place: Place) {
        if let Some(part) = self.parts.get_mut(&place) {
            part.lost = part.entries.len();
        }
    }

    /// Whether what lies there is gone.
    pub(crate) fn is_lost(&self, (place, index): (Place, usize)) -> bool {
        self.parts.get(&place).is_some_and(|part| index < part.lost)
    }

    /// Whether owners are forgotten, and nobody has put down yet that they are.
    pub(crate) fn is_orphaned(&mut self, place: Place, mark: &[u8]) -> bool {
        let lost = self.parts.get(&place).is_some_and(|part| part.entries[..part.lost].iter().any(Entry::is_owner));
        lost && !self.table(place).contains_key(mark)
    }

    /// A compacted partition as it reads now: nothing behind the first undecided record.
    pub(crate) fn table(&mut self, place: Place) -> Table {
        let stable = self.stable(place);
        let mut table = Table::new();
        let Some(part) = self.parts.get(&place) else { return table };
        let readable = part.entries.iter().take(stable).skip(part.lost);
        for entry in readable.filter(|entry| entry.status == Status::Committed) {
            match &entry.record.value {
                Some(value) => table.insert(entry.record.key.clone(), value.clone()),
                None => table.remove(&entry.record.key),
            };
        }
        table
    }
}
