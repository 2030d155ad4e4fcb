//! What the log must hold: I1–I4, I8, I9.

use std::collections::{BTreeMap, BTreeSet};

use crate::{End, History, Invariant, Kind, StateWrite, Violation, Way, violation};

pub(crate) fn check(history: &History) -> Vec<Violation> {
    let mut found = lost_at_source(history);
    found.extend(facts_without_records(history));
    found.extend(late_writers(history));
    found.extend(conservation(history));
    found.extend(limbo(history));
    found.extend(monotonic(history));
    found
}

fn lost_at_source(history: &History) -> Vec<Violation> {
    let watermark = history.checkpoints.iter().map(|checkpoint| checkpoint.watermark).max().unwrap_or(i64::MIN);
    let mut emitted: BTreeMap<&str, i64> = BTreeMap::new();
    for record in &history.extracted {
        let newest = emitted.entry(&record.document).or_insert(record.stamp);
        *newest = record.stamp.max(*newest);
    }
    let passed = history.source.iter().filter(|bill| bill.stamp < watermark);
    passed
        .filter(|bill| emitted.get(bill.document.as_str()).is_none_or(|stamp| *stamp < bill.stamp))
        .map(|bill| violation(Invariant::I1, format!("{}: of {} and passed by {watermark}", bill.document, bill.stamp)))
        .collect()
}

fn facts_without_records(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let records: BTreeSet<(&str, u64, Option<&str>)> = history
        .extracted
        .iter()
        .map(|record| (record.document.as_str(), record.version, record.digest.as_deref()))
        .collect();
    for seen in &history.seen {
        let stands = |digest| records.contains(&(seen.document.as_str(), seen.version, digest));
        if !stands(Some(seen.digest.as_str())) && !stands(None) {
            found.push(violation(Invariant::I2, format!("{}@{}: seen, and no record", seen.document, seen.version)));
        }
    }
    let versions: BTreeSet<u64> = records.iter().map(|(_, version, _)| *version).collect();
    let mut before = (i64::MIN, 0);
    let mut granted = BTreeSet::new();
    for checkpoint in &history.checkpoints {
        let last = checkpoint.last_version;
        // Whoever goes on from a checkpoint takes what it granted for given.
        if last != 0 && !versions.contains(&last) && !granted.contains(&last) {
            found.push(violation(Invariant::I2, format!("checkpoint: {last} is its last version, and no record")));
        }
        let now = (checkpoint.watermark, last);
        if now.0 < before.0 || now.1 < before.1 {
            found.push(violation(Invariant::I2, format!("checkpoint: goes back from {before:?} to {now:?}")));
        }
        before = now;
        granted.extend(checkpoint.granted);
    }
    let mut given: BTreeMap<u64, (&str, Option<&str>)> = BTreeMap::new();
    for (document, version, digest) in records {
        let first = *given.entry(version).or_insert((document, digest));
        let other = first.1.zip(digest).is_some_and(|(first, digest)| first != digest);
        if first.0 != document || other {
            found.push(violation(Invariant::I2, format!("{version}: given to {} and to {document}", first.0)));
        }
    }
    found
}

fn late_writers(history: &History) -> Vec<Violation> {
    let mut partitions: BTreeMap<&(String, i32), Vec<&StateWrite>> = BTreeMap::new();
    for write in &history.state {
        partitions.entry(&write.partition).or_default().push(write);
    }
    let mut found = Vec::new();
    for (partition, mut writes) in partitions {
        writes.sort_by_key(|write| write.offset);
        let mut owner = None;
        for write in writes {
            if write.barrier {
                owner = Some(write.producer);
            } else if owner != Some(write.producer) {
                let (producer, offset) = (write.producer, write.offset);
                found.push(violation(
                    Invariant::I3,
                    format!("{partition:?}@{offset}: by {producer:?} under the barrier of {owner:?}"),
                ));
            }
        }
    }
    found
}

/// Where an input lies.
type Place = (Way, i32, i64);

fn conservation(history: &History) -> Vec<Violation> {
    let mut outcomes: BTreeMap<Place, BTreeSet<(Kind, &str)>> = BTreeMap::new();
    for outcome in &history.outcomes {
        let place = (outcome.way, outcome.partition, outcome.offset);
        outcomes.entry(place).or_default().insert((outcome.kind, &outcome.identity));
    }
    let mut found = Vec::new();
    for committed in &history.committed {
        for offset in committed.records.iter().filter(|offset| **offset < committed.to) {
            let place = (committed.way, committed.partition, *offset);
            let count = outcomes.get(&place).map_or(0, BTreeSet::len);
            if count != 1 {
                found.push(violation(Invariant::I4, format!("{place:?}: committed, with {count} outcomes")));
            }
        }
    }
    found
}

/// A version that a newer one overtook has ended with it.
fn limbo(history: &History) -> Vec<Violation> {
    let mut ends: BTreeMap<&str, Vec<(u64, i64)>> = BTreeMap::new();
    for end in &history.ends {
        ends.entry(&end.key).or_default().push((end.version, end.at));
    }
    let mut found = Vec::new();
    for record in &history.mapped {
        let name = format!("{}@{}", record.key, record.version);
        let ends = ends.get(record.key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let at = ends.iter().filter(|(version, _)| *version >= record.version).map(|(_, at)| *at).min();
        match at.map(|at| possible(history, record.at, at)) {
            None => found.push(violation(Invariant::I8, format!("{name}: no end"))),
            Some(took) if took > history.end_within => {
                found.push(violation(Invariant::I8, format!("{name}: ended after {took} ms")));
            }
            Some(_) => {}
        }
    }
    for intent in history.intents.iter().filter(|intent| intent.closed.is_none()) {
        let keys: Vec<&str> = intent.documents.iter().map(|document| document.key.as_str()).collect();
        found.push(violation(Invariant::I8, format!("{keys:?}: the intent of {} is open", intent.at)));
    }
    found
}

/// How much of a span work was possible in.
fn possible(history: &History, from: i64, to: i64) -> i64 {
    let mut spans = history.blackouts.clone();
    spans.sort_unstable();
    let (mut took, mut reached) = (to - from, from);
    for (begin, end) in spans {
        let (begin, end) = (begin.max(reached), end.min(to));
        took -= (end - begin).max(0);
        reached = reached.max(end);
    }
    took
}

fn monotonic(history: &History) -> Vec<Violation> {
    let mut applied: BTreeMap<&str, u64> = BTreeMap::new();
    let mut found = Vec::new();
    for end in history.ends.iter().filter(|end| end.end == End::Applied) {
        let newest = applied.entry(&end.key).or_insert(end.version);
        if end.version < *newest {
            found.push(violation(Invariant::I9, format!("{}: {} applied after {newest}", end.key, end.version)));
        }
        *newest = end.version.max(*newest);
    }
    found
}
