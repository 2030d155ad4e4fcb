//! What a run left behind. Times are milliseconds of one clock; records are those that read_committed shows.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// A run after its faults have healed and it has drained.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct History {
    /// Bill versions that the source showed.
    pub source: Vec<Sighting>,
    /// Records of the extracted topic.
    pub extracted: Vec<Extracted>,
    /// What the extractor remembers as emitted.
    pub seen: Vec<Seen>,
    /// Checkpoints of the extractor, oldest first.
    pub checkpoints: Vec<Checkpoint>,
    /// Writes to partitions of state, in any order.
    pub state: Vec<StateWrite>,
    /// Offsets that the transformer's and the loader's groups have committed.
    pub committed: Vec<Committed>,
    /// What became of the records of both inputs.
    pub outcomes: Vec<Outcome>,
    /// Records of the mapped topic.
    pub mapped: Vec<Mapped>,
    /// Intents of the ledger in the order of their log.
    pub intents: Vec<Intent>,
    /// Ends of documents in the order of their log.
    pub ends: Vec<Ended>,
    /// Calls that reached the target.
    pub calls: Vec<Call>,
    /// Bills that stand in the target.
    pub target: Vec<Bill>,
    /// What each number that must be applied has to look like in the target.
    pub expected: Vec<Bill>,
    /// Numbers that stand in the target by others' doing.
    pub foreign: Vec<String>,
    /// When Redis was stopped, flushed or damaged.
    pub redis: Vec<i64>,
    /// When calls reached the source.
    pub source_calls: Vec<i64>,
    /// Most calls that the source permits in any sliding minute.
    pub source_limit: usize,
    /// Most calls that the target permits in any sliding minute.
    pub limit: usize,
    /// How long after a save of unknown outcome its absence proves nothing: network and longest execution.
    pub settle: i64,
    /// Within which time a version must reach an end.
    pub end_within: i64,
    /// Spans in which no work was possible: they do not count for that.
    pub blackouts: Vec<(i64, i64)>,
    /// How long calls may stand still after Redis was hurt.
    pub stall: i64,
}

/// A bill version that the source showed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sighting {
    /// The source's key.
    pub document: String,
    /// Its watermark field, in seconds.
    pub stamp: i64,
}

/// A record of the extracted topic, or a letter of the extractor that stands for one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Extracted {
    /// The source's key.
    pub document: String,
    /// The version given.
    pub version: u64,
    /// The digest of the body; a letter has none.
    pub digest: Option<String>,
    /// The bill's watermark field, in seconds.
    pub stamp: i64,
}

/// What the extractor remembers as emitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// The source's key.
    pub document: String,
    /// The version given.
    pub version: u64,
    /// The digest of the body.
    pub digest: String,
}

/// A checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Everything with an older stamp has been emitted; in seconds.
    pub watermark: i64,
    /// The last version given; 0 before the first.
    pub last_version: u64,
    /// Up to which version the transaction behind it may give out; whoever goes on from here begins above.
    pub granted: Option<u64>,
}

/// A record in a partition of state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateWrite {
    /// The topic's partition.
    pub partition: (String, i32),
    /// Its place there.
    pub offset: i64,
    /// Id and epoch of its producer, as the batch has them.
    pub producer: (i64, i16),
    /// Whether it is an owner's barrier.
    pub barrier: bool,
}

/// A stage of which inputs are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Way {
    /// From the extracted to the mapped topic.
    Transform,
    /// From the mapped topic to the target.
    Load,
}

/// Every record of a partition before `to` is committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Committed {
    /// The stage.
    pub way: Way,
    /// The input's partition.
    pub partition: i32,
    /// The offsets that hold records.
    pub records: Vec<i64>,
    /// The committed offset.
    pub to: i64,
}

/// What became of an input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// The stage.
    pub way: Way,
    /// The input's partition.
    pub partition: i32,
    /// The input's offset.
    pub offset: i64,
    /// The identity of what came out; copies share it.
    pub identity: String,
    /// What it was.
    pub kind: Kind,
}

/// A kind of outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// A record of the next topic, or an end in the ledger.
    Output,
    /// A letter.
    Letter,
    /// Passed over, and counted.
    Skip,
}

/// A record of the mapped topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mapped {
    /// The target key.
    pub key: String,
    /// The version.
    pub version: u64,
    /// When the loader could read it.
    pub at: i64,
}

/// An intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intent {
    /// When its commit had finished.
    pub at: i64,
    /// When it was closed.
    pub closed: Option<i64>,
    /// What it names.
    pub documents: Vec<Intended>,
}

/// A document of an intent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Intended {
    /// The target key.
    pub key: String,
    /// The version.
    pub version: u64,
}

/// How a version ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// It stands in the target.
    Applied,
    /// A newer one does, or will.
    Superseded,
    /// A letter holds it.
    Parked,
    /// A named person gave it up.
    Discarded,
}

/// The end of a version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ended {
    /// The target key.
    pub key: String,
    /// The version.
    pub version: u64,
    /// How.
    pub end: End,
    /// When.
    pub at: i64,
}

/// A call that reached the target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// When it arrived.
    pub at: i64,
    /// When its work ended.
    pub until: i64,
    /// The documents that it was to save.
    pub saves: Vec<Sent>,
    /// The numbers it asked for.
    pub probe: Option<Probe>,
}

/// A document of a save.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sent {
    /// The target key.
    pub key: String,
    /// What the caller was told.
    pub told: Told,
}

/// What a caller was told of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// Saved.
    Saved,
    /// Refused by a rule, or not looked at: nothing was created.
    Rejected,
    /// The reply is whole and says nothing of it; the work is over.
    Unclear,
    /// No whole reply: the work may still go on.
    Open,
}

/// A query by numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probe {
    /// The numbers asked for.
    pub asked: Vec<String>,
    /// The numbers found.
    pub found: Vec<String>,
}

/// A bill as the target's WebAPI shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Its number.
    pub key: String,
    /// The header's fields.
    pub fields: BTreeMap<String, Field>,
    /// The rows' fields, in order.
    pub rows: Vec<BTreeMap<String, Field>>,
}

/// A value of a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Field {
    /// A text, compared as it is.
    Text(String),
    /// A number, compared by its exact value: a target may pad it.
    Number(Decimal),
}
