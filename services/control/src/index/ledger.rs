//! The loader's ledger as far as the control plane reads it.

use document::{Code, DocumentKey, FlowName, FlowVersion, RecordError, TargetKey, Version};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The schema this build reads.
const SCHEMA: u8 = 1;
/// Before the target key in the ledger's keys; other keys are the loader's own business, but for its intents.
const ENTRY_PREFIX: &str = "doc/";

/// Before the name of a batch in the ledger's keys: a save that may be on its way.
const INTENT_PREFIX: &str = "intent/";

/// How far a document is in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Saved.
    Saved,
    /// Handed in for audit.
    Submitted,
    /// Audited.
    Audited,
}

/// How the last version seen of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// In the target, as far as the flow wants it.
    Applied,
    /// In the dead-letter topic; what is in the target is known.
    Parked,
    /// In the dead-letter topic; what is in the target is not known.
    InDoubt,
}

/// What is in the target under the key, by our own doing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InTarget {
    /// Its id.
    pub id: String,
    /// The version it holds.
    pub version: Version,
    /// How far it is.
    pub reached: Reached,
}

/// A replay that was dropped because its version was handled or overtaken.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Dropped {
    /// The version it carried.
    pub version: Version,
    /// The replay.
    pub replay: String,
}

/// What became of a target key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The flow it belongs to.
    pub flow: FlowName,
    /// The document's key in the target.
    pub target_key: TargetKey,
    /// What the loader noted.
    pub entry: Entry,
}

/// What the loader noted of a target key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Entry {
    /// The source document that has the key.
    pub document: DocumentKey,
    /// The last version handled, or in progress.
    pub version: Version,
    /// The definition it was handled by.
    pub flow_version: FlowVersion,
    /// How it ended; `None` while steps are missing.
    pub end: Option<Ended>,
    /// The replays of this version that ended, oldest first.
    #[serde(default)]
    pub replays: Vec<String>,
    /// The id of the letter it ended in.
    pub letter: Option<String>,
    /// Why.
    pub code: Option<Code>,
    /// What is in the target.
    pub target: Option<InTarget>,
    /// The last replay that was dropped.
    pub dropped: Option<Dropped>,
    /// A newer version that the flow does not load.
    pub changed: Option<Version>,
    /// When this was noted, unix milliseconds.
    pub at: i64,
}

/// A save that may be on its way, as far as it is about one target key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Intent {
    /// The batch that it went with.
    pub(crate) batch: String,
    /// How many documents of the partition went with it.
    pub(crate) documents: usize,
    /// The version that was to be saved.
    pub(crate) version: Version,
    /// When it was begun, unix milliseconds.
    pub(crate) at: i64,
}

/// The target key of a ledger key, for the entries of documents.
pub(crate) fn target_key(key: &[u8]) -> Option<TargetKey> {
    let key = std::str::from_utf8(key).ok()?;
    key.strip_prefix(ENTRY_PREFIX).map(TargetKey::from)
}

/// The batch of a ledger key, for the intents.
pub(crate) fn intent(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key).ok()?.strip_prefix(INTENT_PREFIX)
}

/// What the intent of `batch` says of a target key; nothing where it is not about it, or does not read.
pub(crate) fn read_intent(batch: &str, key: &TargetKey, value: &[u8]) -> Option<Intent> {
    #[derive(Deserialize)]
    struct Written {
        at: i64,
        documents: Vec<Intended>,
    }
    #[derive(Deserialize)]
    struct Intended {
        key: TargetKey,
        version: Version,
    }
    let written: Written = of_schema(value, "an intent of a ledger").ok()?;
    let of_key = written.documents.iter().find(|document| document.key == *key)?;
    let (documents, version) = (written.documents.len(), of_key.version);
    Some(Intent { batch: batch.to_owned(), documents, version, at: written.at })
}

/// Reads the value of an entry.
///
/// # Errors
/// [`RecordError::ValueUnreadable`] when the bytes are not JSON of this schema.
pub(crate) fn read(value: &[u8]) -> Result<Entry, RecordError> {
    of_schema(value, "an entry of a ledger")
}

fn of_schema<T: DeserializeOwned>(value: &[u8], expected: &'static str) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Schema {
        v: u8,
    }
    let unreadable = |detail: String| RecordError::ValueUnreadable { expected, detail };
    let schema: Schema = serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))?;
    if schema.v != SCHEMA {
        return Err(unreadable(format!("schema {} is not {SCHEMA}", schema.v)));
    }
    serde_json::from_slice(value).map_err(|error| unreadable(error.to_string()))
}
