//! A partition as a reader of committed records sees it: which records count, by whom and since when.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::segment::{self, Batch, Cursor, Producer, Record};

/// A record that a reader of committed records is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable {
    /// The record.
    pub record: Record,
    /// Who wrote it.
    pub producer: Option<Producer>,
    /// When it became readable: the time of the marker behind it, its own without a transaction; unix milliseconds.
    pub since: i64,
}

/// What the files of a partition come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Partition {
    /// Committed records before the first open transaction, by offset.
    pub readable: Vec<Readable>,
    /// Records of transactions that were aborted.
    pub aborted: usize,
    /// Records of open transactions, and those behind the first of them.
    pub open: usize,
}

/// Reads the partition `topic`-`number` in the broker's folder.
///
/// # Errors
/// A file does not read.
pub fn read(data: &Path, topic: &str, number: i32) -> anyhow::Result<Partition> {
    let folder = data.join(format!("{topic}-{number}"));
    let mut batches = Vec::new();
    for file in segments(&folder)? {
        batches.extend(segment::read(&file)?);
    }
    judge(batches).with_context(|| format!("in {}", folder.display()))
}

/// The numbers of the partitions of `topic` that the broker's folder has.
///
/// # Errors
/// The folder cannot be read.
pub fn numbers(data: &Path, topic: &str) -> anyhow::Result<Vec<i32>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(data).with_context(|| format!("reading {}", data.display()))? {
        let name = entry?.file_name();
        let number: Option<i32> =
            name.to_str().and_then(|name| name.strip_prefix(topic)?.strip_prefix('-')?.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The files of a partition in the order of their first offset.
fn segments(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Decides what is readable by the markers among `batches`.
fn judge(batches: Vec<Batch>) -> anyhow::Result<Partition> {
    let mut partition = Partition::default();
    let mut open: BTreeMap<i64, Vec<(Record, Producer)>> = BTreeMap::new();
    for batch in batches {
        if batch.control {
            let Some(((producer, _), marker)) = batch.producer.zip(batch.records.first()) else { continue };
            let ended = open.remove(&producer).unwrap_or_default();
            match kind(marker)? {
                0 => partition.aborted += ended.len(),
                1 => partition.readable.extend(ended.into_iter().map(|(record, producer)| Readable {
                    record,
                    producer: Some(producer),
                    since: marker.time,
                })),
                other => bail!("offset {}: a marker of the kind {other}", marker.offset),
            }
            continue;
        }
        let producer = batch.producer;
        match producer.filter(|_| batch.transactional) {
            Some(producer) => {
                open.entry(producer.0).or_default().extend(batch.records.into_iter().map(|record| (record, producer)));
            }
            None => {
                let readable = |record: Record| Readable { since: record.time, record, producer };
                partition.readable.extend(batch.records.into_iter().map(readable));
            }
        }
    }
    // Nobody reads past the first transaction that is not decided.
    let undecided = open.values().flatten().map(|(record, _)| record.offset).min().unwrap_or(i64::MAX);
    partition.readable.sort_by_key(|readable| readable.record.offset);
    let read = partition.readable.partition_point(|readable| readable.record.offset < undecided);
    partition.open = open.values().map(Vec::len).sum::<usize>() + partition.readable.len() - read;
    partition.readable.truncate(read);
    Ok(partition)
}

/// What a marker says: 0 aborts, 1 commits.
fn kind(marker: &Record) -> anyhow::Result<i16> {
    let mut key = Cursor(marker.key.as_deref().unwrap_or_default());
    let _version: [u8; 2] = key.array()?;
    Ok(i16::from_be_bytes(key.array()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: i64) -> Record {
        Record { offset, time: offset * 10, key: None, value: None, headers: Vec::new() }
    }

    fn data(producer: Producer, offsets: std::ops::Range<i64>) -> Batch {
        Batch { producer: Some(producer), transactional: true, control: false, records: offsets.map(record).collect() }
    }

    fn marker(producer: Producer, offset: i64, kind: u8) -> Batch {
        let records = vec![Record { key: Some(vec![0, 0, 0, kind]), ..record(offset) }];
        Batch { producer: Some(producer), transactional: true, control: true, records }
    }

    fn offsets(partition: &Partition) -> Vec<(i64, i64)> {
        partition.readable.iter().map(|readable| (readable.record.offset, readable.since)).collect()
    }

    #[test]
    fn markers_decide_and_give_the_time() {
        let partition = judge(vec![
            data((7, 0), 0..2),
            data((8, 0), 2..3),
            marker((8, 1), 3, 0),
            Batch { transactional: false, ..data((9, 0), 4..5) },
            marker((7, 0), 5, 1),
        ])
        .expect("judged");
        assert_eq!(offsets(&partition), [(0, 50), (1, 50), (4, 40)]);
        assert_eq!((partition.aborted, partition.open), (1, 0));
    }

    #[test]
    fn nothing_is_read_behind_what_is_undecided() {
        let partition = judge(vec![
            data((7, 0), 0..1),
            marker((7, 0), 1, 1),
            data((7, 0), 2..3),
            data((8, 0), 3..4),
            marker((8, 0), 4, 1),
        ])
        .expect("judged");
        assert_eq!(offsets(&partition), [(0, 10)]);
        assert_eq!(partition.open, 2);
    }

    #[test]
    fn another_kind_of_marker_is_named() {
        let error = judge(vec![marker((7, 0), 3, 9)]).expect_err("unknown");
        assert_eq!(error.to_string(), "offset 3: a marker of the kind 9");
    }
}
