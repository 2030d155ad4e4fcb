//! What the broker keeps about itself: committed positions of groups, and when transactions were decided.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;

use crate::partition::{self, Readable};
use crate::segment::Cursor;

/// Committed positions: group, topic, partition → the next offset to read.
pub type Positions = BTreeMap<(String, String, i32), i64>;

/// Reads the committed positions of every group.
///
/// # Errors
/// A file or a record does not read.
pub fn read(data: &Path) -> anyhow::Result<Positions> {
    const TOPIC: &str = "__consumer_offsets";
    let mut positions = Positions::new();
    for number in partition::numbers(data, TOPIC)? {
        for readable in partition::read(data, TOPIC, number)?.readable {
            let at = readable.record.offset;
            take(&mut positions, &readable).with_context(|| format!("{TOPIC}-{number}, offset {at}"))?;
        }
    }
    Ok(positions)
}

fn take(positions: &mut Positions, readable: &Readable) -> anyhow::Result<()> {
    let mut key = Cursor(readable.record.key.as_deref().context("no key")?);
    // Other versions are about members of groups.
    if i16::from_be_bytes(key.array()?) > 1 {
        return Ok(());
    }
    let key = (key.short_text()?, key.short_text()?, i32::from_be_bytes(key.array()?));
    match readable.record.value.as_deref() {
        None => drop(positions.remove(&key)),
        Some(value) => {
            let mut value = Cursor(value);
            let _version: [u8; 2] = value.array()?;
            positions.insert(key, i64::from_be_bytes(value.array()?));
        }
    }
    Ok(())
}

/// When transactions were decided to be committed: producer id → times, in order. A client is told so then; markers may
/// come later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions(BTreeMap<i64, Vec<i64>>);

impl Decisions {
    /// Reads what the transaction coordinator wrote down.
    ///
    /// # Errors
    /// A file or a record does not read.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        const TOPIC: &str = "__transaction_state";
        let mut decisions = Self::default();
        for number in partition::numbers(data, TOPIC)? {
            for readable in partition::read(data, TOPIC, number)?.readable {
                let at = readable.record.offset;
                decisions.take(&readable).with_context(|| format!("{TOPIC}-{number}, offset {at}"))?;
            }
        }
        decisions.0.values_mut().for_each(|times| times.sort_unstable());
        Ok(decisions)
    }

    fn take(&mut self, readable: &Readable) -> anyhow::Result<()> {
        const PREPARE_COMMIT: u8 = 2;
        let Some(value) = readable.record.value.as_deref() else { return Ok(()) };
        let mut value = Cursor(value);
        let _version: [u8; 2] = value.array()?;
        let producer = i64::from_be_bytes(value.array()?);
        let _epoch_and_timeout: [u8; 6] = value.array()?;
        let [status] = value.array()?;
        if status == PREPARE_COMMIT {
            self.0.entry(producer).or_default().push(readable.record.time);
        }
        Ok(())
    }

    /// When what `readable` tells was decided: at its marker, or before it when the coordinator decided before.
    pub fn of(&self, readable: &Readable) -> i64 {
        let times = readable.producer.and_then(|(id, _)| self.0.get(&id)).map(Vec::as_slice).unwrap_or_default();
        let before = times.get(..times.partition_point(|time| *time <= readable.since)).unwrap_or_default();
        before.last().copied().filter(|time| *time >= readable.record.time).unwrap_or(readable.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Record;

    fn readable(key: &[u8], value: Option<&[u8]>, time: i64, since: i64) -> Readable {
        let (key, value) = (Some(key.to_vec()), value.map(<[u8]>::to_vec));
        Readable { record: Record { offset: 0, time, key, value, headers: Vec::new() }, producer: Some((7, 0)), since }
    }

    #[test]
    fn the_last_position_counts() {
        let mut positions = Positions::new();
        let key = b"\0\x01\0\x01g\0\x01t\0\0\0\x02";
        let mut commit = |value| take(&mut positions, &readable(key, value, 0, 0)).expect("taken");
        commit(Some(b"\0\x03\0\0\0\0\0\0\0\x05\0\0"));
        commit(Some(b"\0\x03\0\0\0\0\0\0\0\x09\0\0"));
        assert_eq!(positions, Positions::from([(("g".to_owned(), "t".to_owned(), 2), 9)]));
        take(&mut positions, &readable(b"\0\x02\0\x01g", Some(b""), 0, 0)).expect("a group's members");
        take(&mut positions, &readable(key, None, 0, 0)).expect("taken");
        assert_eq!(positions, Positions::new());
    }

    #[test]
    fn a_decision_counts_from_when_it_was_made() {
        let mut decisions = Decisions::default();
        for (time, status) in [(100, 1), (200, 2), (210, 4), (300, 2)] {
            let value = [&[0, 0][..], &7_i64.to_be_bytes(), &[0, 0, 0, 0, 0, 0, status]].concat();
            decisions.take(&readable(b"", Some(&value), time, time)).expect("taken");
        }
        assert_eq!(decisions.of(&readable(b"", None, 150, 205)), 200);
        // Its own decision is not known: the marker is.
        assert_eq!(decisions.of(&readable(b"", None, 220, 290)), 290);
        assert_eq!(decisions.of(&readable(b"", None, 250, 300)), 300);
    }
}
