//! What the topics of a flow on a broker's disk say of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use chrono::NaiveDateTime;
use history_checker::{
    Checkpoint, Committed, End, Ended, Extracted, History, Intended, Intent, Kind, Mapped, Outcome, Seen, StateWrite,
    Way,
};

use crate::partition::{self, Readable};
use crate::positions::{self, Decisions};
use crate::segment::Record;
use crate::topics::{self, header, needed};

/// Source strings carry no zone: Asia/Shanghai.
const ZONE: i64 = 8 * 3_600;

/// A place in a topic: partition and offset.
type Place = (i32, i64);

/// Reads what the topics of `flow` in the broker's folder `data` say into `history`.
///
/// # Errors
/// A file or a record does not read; names it.
pub fn read(data: &Path, flow: &str, history: &mut History) -> anyhow::Result<()> {
    let mut log = Log { data, flow, decisions: Decisions::read(data)?, letters: Vec::new(), history };
    log.letters()?;
    log.extracts()?;
    log.unmapped();
    let mapped = log.mapped()?;
    log.ledger()?;
    log.loaded(&mapped);
    log.committed(&mapped)
}

struct Log<'a> {
    data: &'a Path,
    flow: &'a str,
    decisions: Decisions,
    letters: Vec<Letter>,
    history: &'a mut History,
}

/// A letter, as far as it stands for an outcome.
struct Letter {
    id: String,
    document: String,
    version: u64,
    stage: String,
    origin: Option<(String, i32, i64)>,
}

/// A record of the mapped topic.
struct Input {
    place: Place,
    key: String,
    document: String,
    version: u64,
}

impl Log<'_> {
    fn topic(&self, kind: &str) -> String {
        format!("starbridge.{}.{kind}", self.flow)
    }

    /// Gives every readable record of a topic to `take`, with the number of its partition.
    fn each(
        &mut self,
        topic: &str,
        mut take: impl FnMut(&mut Self, i32, &Readable) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for number in partition::numbers(self.data, topic)? {
            for readable in partition::read(self.data, topic, number)?.readable {
                let offset = readable.record.offset;
                take(self, number, &readable).with_context(|| format!("{topic}-{number}, offset {offset}"))?;
            }
        }
        Ok(())
    }

    /// A record in a partition of state. Whether it is an owner's barrier or its mark, and says nothing else.
    fn state(&mut self, topic: &str, partition: i32, readable: &Readable) -> bool {
        let key = readable.record.key.as_deref();
        let barrier = key == Some(topics::BARRIER);
        self.history.state.push(StateWrite {
            partition: (topic.to_owned(), partition),
            offset: readable.record.offset,
            producer: readable.producer.unwrap_or((-1, -1)),
            barrier,
        });
        barrier || key == Some(topics::OWNER)
    }

    /// Letters of the flow; those of the loader are ends, too.
    fn letters(&mut self) -> anyhow::Result<()> {
        self.each("starbridge.dead-letters", |log, _, readable| {
            let record = &readable.record;
            if needed(record, "dl-flow")? != log.flow {
                return Ok(());
            }
            let origin = match header(record, "dl-origin-topic") {
                None => None,
                Some(topic) => Some((
                    topic.to_owned(),
                    needed(record, "dl-origin-partition")?.parse()?,
                    needed(record, "dl-origin-offset")?.parse()?,
                )),
            };
            log.letters.push(Letter {
                id: needed(record, "dl-id")?.to_owned(),
                document: needed(record, "dl-record-key")?.to_owned(),
                version: needed(record, "dl-record-version")?.parse()?,
                stage: needed(record, "dl-stage")?.to_owned(),
                origin,
            });
            let stage = needed(record, "dl-stage")?;
            if let Some(key) = header(record, "sb-target-key").filter(|_| stage != "extract" && stage != "transform") {
                log.history.ends.push(Ended {
                    key: key.to_owned(),
                    version: needed(record, "dl-record-version")?.parse()?,
                    end: End::Parked,
                    at: readable.since,
                });
            }
            Ok(())
        })
    }

    /// Checkpoints, what was seen, and the extracted topic.
    fn extracts(&mut self) -> anyhow::Result<()> {
        const STATE: &str = "starbridge.extract-state";
        const SEEN: &str = "starbridge.extract-seen";
        self.each(STATE, |log, partition, readable| {
            if log.state(STATE, partition, readable) || topics::key(&readable.record)? != log.flow {
                return Ok(());
            }
            let Some(checkpoint) = topics::value::<topics::Checkpoint>(&readable.record)? else { return Ok(()) };
            log.history.checkpoints.push(Checkpoint {
                watermark: checkpoint.watermark,
                last_version: checkpoint.last_version.unwrap_or_default(),
                granted: checkpoint.granted,
            });
            Ok(())
        })?;
        let mut stamps = BTreeMap::new();
        let prefix = format!("{}/", self.flow);
        self.each(SEEN, |log, partition, readable| {
            if log.state(SEEN, partition, readable) || !topics::key(&readable.record)?.starts_with(&prefix) {
                return Ok(());
            }
            let Some(seen) = topics::value::<topics::Seen>(&readable.record)? else { return Ok(()) };
            let stamp = seen.stamp.as_deref().map(instant).transpose()?;
            for topics::SeenDocument { key, digest, version } in seen.documents {
                let newest = stamps.entry((key.clone(), version)).or_insert(i64::MIN);
                *newest = stamp.unwrap_or(i64::MIN).max(*newest);
                log.history.seen.push(Seen { document: key, version, digest });
            }
            Ok(())
        })?;
        let topic = self.topic("extracted");
        self.each(&topic, |log, _, readable| {
            let record = &readable.record;
            let (document, version) = (needed(record, "sb-document-key")?.to_owned(), version(record)?);
            let digest = Some(needed(record, "sb-digest")?.to_owned());
            log.history.extracted.push(Extracted { document, version, digest, stamp: i64::MIN });
            Ok(())
        })?;
        let extracts = self.letters.iter().filter(|letter| letter.stage == "extract");
        let stand_ins = extracts.map(|letter| {
            let (document, version) = (letter.document.clone(), letter.version);
            Extracted { document, version, digest: None, stamp: i64::MIN }
        });
        self.history.extracted.extend(stand_ins);
        for record in &mut self.history.extracted {
            let stamp = stamps.get(&(record.document.clone(), record.version));
            record.stamp = stamp.copied().unwrap_or(i64::MIN);
        }
        Ok(())
    }

    /// Letters of the transformer are outcomes of its inputs.
    fn unmapped(&mut self) {
        let topic = self.topic("extracted");
        for letter in self.letters.iter().filter(|letter| letter.stage == "transform") {
            let Some((_, partition, offset)) = letter.origin.as_ref().filter(|origin| origin.0 == topic) else {
                continue;
            };
            self.history.outcomes.push(Outcome {
                way: Way::Transform,
                partition: *partition,
                offset: *offset,
                identity: letter.id.clone(),
                kind: Kind::Letter,
            });
        }
    }

    fn mapped(&mut self) -> anyhow::Result<Vec<Input>> {
        let mut inputs = Vec::new();
        let topic = self.topic("mapped");
        self.each(&topic, |log, partition, readable| {
            let record = &readable.record;
            let (key, version) = (topics::key(record)?, version(record)?);
            if let Some(source) = header(record, "sb-source") {
                let (partition, offset) = source.split_once('@').context("sb-source is no place")?;
                log.history.outcomes.push(Outcome {
                    way: Way::Transform,
                    partition: partition.parse()?,
                    offset: offset.parse()?,
                    identity: format!("{key}@{version}"),
                    kind: Kind::Output,
                });
            }
            log.history.mapped.push(Mapped { key: key.clone(), version, at: readable.since });
            let document = needed(record, "sb-document-key")?.to_owned();
            inputs.push(Input { place: (partition, record.offset), key, document, version });
            Ok(())
        })?;
        Ok(inputs)
    }

    /// Intents and ends.
    fn ledger(&mut self) -> anyhow::Result<()> {
        let topic = self.topic("ledger");
        let mut open: BTreeMap<(i32, String), usize> = BTreeMap::new();
        self.each(&topic, |log, partition, readable| {
            if log.state(&topic, partition, readable) {
                return Ok(());
            }
            let record = &readable.record;
            let key = topics::key(record)?;
            if let Some(target) = key.strip_prefix("doc/") {
                let entry = topics::value::<topics::Entry>(record)?;
                let Some((entry, end)) = entry.and_then(|entry| entry.end.map(|end| (entry, end))) else {
                    return Ok(());
                };
                let end = match end {
                    topics::EntryEnd::Applied => End::Applied,
                    topics::EntryEnd::Parked | topics::EntryEnd::InDoubt => End::Parked,
                };
                // The broker's clock: the one of the service that wrote it may have been wrong.
                let at = readable.since;
                log.history.ends.push(Ended { key: target.to_owned(), version: entry.version, end, at });
            } else if key.starts_with("intent/") {
                let at = log.decisions.of(readable);
                // Written again, it takes the place of the one before it.
                if let Some(before) =
                    open.remove(&(partition, key.clone())).and_then(|at| log.history.intents.get_mut(at))
                {
                    before.closed = Some(readable.since);
                }
                if let Some(intent) = topics::value::<topics::Intent>(record)? {
                    let documents = intent.documents.into_iter();
                    let documents =
                        documents.map(|document| Intended { key: document.key, version: document.version }).collect();
                    open.insert((partition, key), log.history.intents.len());
                    log.history.intents.push(Intent { at, closed: None, documents });
                }
            }
            Ok(())
        })
    }

    /// What became of the loader's inputs: an end of that version or a newer one, else a letter.
    fn loaded(&mut self, inputs: &[Input]) {
        let mut newest: BTreeMap<&str, u64> = BTreeMap::new();
        for end in &self.history.ends {
            let known = newest.entry(&end.key).or_default();
            *known = end.version.max(*known);
        }
        let letters: BTreeSet<(&str, u64)> = self
            .letters
            .iter()
            .filter(|letter| letter.stage != "extract" && letter.stage != "transform")
            .map(|letter| (letter.document.as_str(), letter.version))
            .collect();
        let mut outcomes = Vec::new();
        for input in inputs {
            let ended = newest.get(input.key.as_str()).is_some_and(|version| *version >= input.version);
            let kind = match ended {
                true => Kind::Output,
                false if letters.contains(&(input.document.as_str(), input.version)) => Kind::Letter,
                false => continue,
            };
            let identity = format!("{}@{}", input.key, input.version);
            let (partition, offset) = input.place;
            outcomes.push(Outcome { way: Way::Load, partition, offset, identity, kind });
        }
        self.history.outcomes.extend(outcomes);
    }

    /// What the groups of transformer and loader have committed.
    fn committed(&mut self, mapped: &[Input]) -> anyhow::Result<()> {
        let (extracted_topic, mapped_topic) = (self.topic("extracted"), self.topic("mapped"));
        let mut extracted = Vec::new();
        self.each(&extracted_topic, |_, partition, readable| {
            extracted.push((partition, readable.record.offset));
            Ok(())
        })?;
        let mapped: Vec<Place> = mapped.iter().map(|input| input.place).collect();
        for ((_, topic, partition), to) in positions::read(self.data)? {
            let (way, places) = match topic {
                topic if topic == extracted_topic => (Way::Transform, &extracted),
                topic if topic == mapped_topic => (Way::Load, &mapped),
                _ => continue,
            };
            let records = places.iter().filter(|place| place.0 == partition).map(|place| place.1).collect();
            self.history.committed.push(Committed { way, partition, records, to });
        }
        Ok(())
    }
}

fn version(record: &Record) -> anyhow::Result<u64> {
    needed(record, "sb-version")?.parse().context("sb-version")
}

/// Unix seconds of a date of the source.
///
/// # Errors
/// It is none.
pub fn instant(text: &str) -> anyhow::Result<i64> {
    let date = NaiveDateTime::parse_from_str(&text.replace(' ', "T"), "%Y-%m-%dT%H:%M:%S%.f");
    Ok(date.with_context(|| format!("{text:?} is no date"))?.and_utc().timestamp() - ZONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_the_source_are_local() {
        assert_eq!(instant("1970-01-01T08:00:00").expect("a date"), 0);
        assert_eq!(instant("1970-01-01 08:00:01.900").expect("a date"), 1);
        assert!(instant("yesterday").is_err());
    }
}
