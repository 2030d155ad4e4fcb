//! What the records of our topics say, in types of this crate alone.

use anyhow::Context as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::segment::Record;

/// The key of what an owner of a state partition writes first.
pub const BARRIER: &[u8] = b"@barrier";

/// The key of what says that the partition lacks nothing, or that what it lacks was put down.
pub const OWNER: &[u8] = b"@owner";

/// A checkpoint of the extractor. Key: the flow.
#[derive(Debug, Deserialize)]
pub struct Checkpoint {
    /// Unix seconds.
    pub watermark: i64,
    /// The last version given.
    pub last_version: Option<u64>,
    /// Up to which version the next transaction may give.
    pub granted: Option<u64>,
}

/// What was emitted of a bill. Key: flow, a slash, its id.
#[derive(Debug, Deserialize)]
pub struct Seen {
    /// The bill's watermark date as the source wrote it.
    pub stamp: Option<String>,
    /// The documents it gave.
    #[serde(default)]
    pub documents: Vec<SeenDocument>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub struct SeenDocument {
    /// Its key.
    pub key: String,
    /// The digest of its content.
    pub digest: String,
    /// Its version.
    pub version: u64,
}

/// What became of a target key. Key in the ledger: `doc/` and the target key.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// The last version handled.
    pub version: u64,
    /// How it ended; none while it is under way.
    pub end: Option<EntryEnd>,
}

/// How a version ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryEnd {
    /// In the target.
    Applied,
    /// In a letter.
    Parked,
    /// In a letter, and nobody knows whether in the target.
    InDoubt,
}

/// Saves that may be on their way. Key in the ledger: `intent/` and the batch.
#[derive(Debug, Deserialize)]
pub struct Intent {
    /// What it is about.
    pub documents: Vec<IntentDocument>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub struct IntentDocument {
    /// The target key.
    pub key: String,
    /// Its version.
    pub version: u64,
}

/// The key as text.
///
/// # Errors
/// There is none, or it is no text.
pub fn key(record: &Record) -> anyhow::Result<String> {
    String::from_utf8(record.key.clone().context("no key")?).context("a key that is no text")
}

/// The value as `T`; none for a tombstone.
///
/// # Errors
/// It does not read.
pub fn value<T: DeserializeOwned>(record: &Record) -> anyhow::Result<Option<T>> {
    record.value.as_deref().map(serde_json::from_slice).transpose().context("its value")
}

/// A header that may be missing. The last of its name counts.
pub fn header<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    record.headers.iter().rfind(|(found, _)| found == name).map(|(_, text)| text.as_str())
}

/// A header that must be there.
///
/// # Errors
/// It is not.
pub fn needed<'a>(record: &'a Record, name: &str) -> anyhow::Result<&'a str> {
    header(record, name).with_context(|| format!("no header {name}"))
}
