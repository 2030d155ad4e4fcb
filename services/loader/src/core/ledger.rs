//! The durable memory of a partition: what became of each target key, and which saves may be on their way.
//!
//! | key | value |
//! |---|---|
//! | `doc/{target key}` | [`Entry`] |
//! | `intent/{batch}` | [`Intent`]; deleted once every document in it has its entry or is proven absent |
//! | `since` | [`Since`]: what was loaded before is not known |
//! | `owner` | written by the session at each assignment |
//!
//! Values are JSON with a version number `v`; one that this build does not know is unreadable, never guessed at.

use document::{Code, Digest, DocumentKey, FlowVersion, Record, TargetKey, Version};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The schema this build writes and reads.
pub const SCHEMA: u8 = 1;
/// Prefix of the keys of intents.
pub const INTENT_PREFIX: &str = "intent/";
/// Key of [`Since`].
pub const SINCE_KEY: &str = "since";
/// Replays of one version that are remembered.
const REPLAYS_KEPT: usize = 16;

/// How far a document is in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// Saved; also drafts and documents sent back for another audit.
    Saved,
    /// Handed in for audit.
    Submitted,
    /// Audited.
    Audited,
}

/// How the last version seen of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// In the target, as far as the flow wants it.
    Applied,
    /// In the dead-letter topic; what is in the target is known.
    Parked,
    /// In the dead-letter topic; what is in the target is not known. The key is held.
    InDoubt,
}

/// What is in the target under the key, by our own doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InTarget {
    /// Its id.
    pub id: String,
    /// The version it holds.
    pub version: Version,
    /// The digest of that version's source content.
    pub digest: Digest,
    /// How far it is.
    pub reached: Reached,
}

/// A replay that was dropped because its version was handled or overtaken; told to whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The version it carried.
    pub version: Version,
    /// The replay.
    pub replay: String,
}

/// What became of a target key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    v: u8,
    /// The source document that has the key.
    pub document: DocumentKey,
    /// The last version handled, or in progress.
    pub version: Version,
    /// The definition it was handled by.
    pub flow_version: FlowVersion,
    /// The digest of that version's source content.
    pub digest: Digest,
    /// How it ended; `None` while steps are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// The replays of this version that ended, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replays: Vec<String>,
    /// The id of the letter it ended in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Failures of this version so far.
    #[serde(default)]
    pub attempts: u32,
    /// When this version failed first, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<i64>,
    /// What is in the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<InTarget>,
    /// The last replay that was dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// A newer version that the flow does not load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Version>,
    /// When this was written, unix milliseconds.
    pub at: i64,
}

impl Entry {
    /// The entry of a version that has only begun.
    pub fn begun(document: DocumentKey, version: Version, flow_version: FlowVersion, digest: Digest, at: i64) -> Self {
        Self {
            v: SCHEMA,
            document,
            version,
            flow_version,
            digest,
            end: None,
            replays: Vec::new(),
            letter: None,
            code: None,
            attempts: 0,
            first_failed_at: None,
            target: None,
            dropped: None,
            changed: None,
            at,
        }
    }

    /// Notes that `replay` of this version ended.
    pub fn note_replay(&mut self, replay: &str) {
        if !self.replays.iter().any(|known| known == replay) {
            self.replays.push(replay.to_owned());
            let surplus = self.replays.len().saturating_sub(REPLAYS_KEPT);
            self.replays.drain(..surplus);
        }
    }
}

/// One document of an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intended {
    /// Its key in the target.
    pub key: TargetKey,
    /// Its version.
    pub version: Version,
    /// The digest of its source content.
    pub digest: Digest,
    /// Where its record is in the input partition.
    pub offset: i64,
    /// When the first save of this version was intended, unix milliseconds.
    pub first: i64,
}

/// A save that may be on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    v: u8,
    /// When it was written, unix milliseconds.
    pub at: i64,
    /// How long after the commit it may still be sent, milliseconds.
    pub send_within: u64,
    /// The documents of this partition in it.
    pub documents: Vec<Intended>,
}

impl Intent {
    /// An intent of this build's schema.
    pub fn new(at: i64, send_within: u64, documents: Vec<Intended>) -> Self {
        Self { v: SCHEMA, at, send_within, documents }
    }
}

/// What was loaded before this instant is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Since {
    v: u8,
    /// Unix milliseconds.
    pub at: i64,
}

impl Since {
    /// A mark of this build's schema.
    pub fn new(at: i64) -> Self {
        Self { v: SCHEMA, at }
    }
}

/// A ledger value that this build cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ledger entry {key:?} is unreadable: {detail}")]
pub struct Unreadable {
    /// The entry's key.
    pub key: String,
    /// Why.
    pub detail: String,
}

/// Reads a ledger value.
///
/// # Errors
/// [`Unreadable`] when the bytes are not JSON of this schema.
pub fn read<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Result<T, Unreadable> {
    #[derive(Deserialize)]
    struct Schema {
        v: u8,
    }
    let unreadable = |detail: String| Unreadable { key: key.to_owned(), detail };
    let schema: Schema = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
    if schema.v != SCHEMA {
        return Err(unreadable(format!("schema {} is not {SCHEMA}", schema.v)));
    }
    serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))
}

/// The key of a document's entry.
pub fn entry_key(key: &TargetKey) -> String {
    format!("doc/{key}")
}

/// The key of an intent.
pub fn intent_key(batch: &str) -> String {
    format!("{INTENT_PREFIX}{batch}")
}

/// The record that writes `value` under `key`.
pub fn record<T: Serialize>(key: String, value: &T) -> Record {
    let bytes = serde_json::to_vec(value).expect("ledger values are plain structures of text and numbers");
    Record { key: key.into_bytes(), value: Some(bytes), ..Record::default() }
}

/// The record that deletes `key`.
pub fn tombstone(key: String) -> Record {
    Record { key: key.into_bytes(), ..Record::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry() -> Entry {
        Entry::begun("FID-1".into(), Version(7), "v1".into(), Digest([3; 16]), 99)
    }

    #[test]
    fn another_schema_is_unreadable_and_names_its_key() {
        let mut value = serde_json::to_value(entry()).expect("JSON");
        value["v"] = 2.into();
        let read: Result<Entry, _> = read("doc/A", value.to_string().as_bytes());
        assert_eq!(read, Err(Unreadable { key: "doc/A".to_owned(), detail: "schema 2 is not 1".to_owned() }));
        assert!(super::read::<Entry>("doc/A", b"{").is_err());
    }

    #[test]
    fn replays_are_remembered_up_to_a_bound() {
        let mut entry = entry();
        for n in 0..40 {
            entry.note_replay(&n.to_string());
            entry.note_replay(&n.to_string());
        }
        assert_eq!(entry.replays.len(), 16);
        assert_eq!(entry.replays.first().map(String::as_str), Some("24"));
    }

    prop_compose! {
        fn entries()(document in "\\PC{0,40}", version: u64, digest: [u8; 16], end in 0_usize..4, replays in prop::collection::vec("[a-z0-9]{1,8}", 0..5),
                     id in prop::option::of("\\PC{1,20}"), attempts: u32, at: i64, changed: Option<u64>, coded: bool) -> Entry {
            let mut entry = Entry::begun(DocumentKey(document), Version(version), "f".into(), Digest(digest), at);
            entry.end = [None, Some(End::Applied), Some(End::Parked), Some(End::InDoubt)][end];
            entry.replays = replays;
            entry.target = id.map(|id| InTarget { id, version: Version(version), digest: Digest(digest), reached: Reached::Submitted });
            entry.attempts = attempts;
            entry.changed = changed.map(Version);
            entry.code = coded.then_some(Code::NumberTaken);
            entry
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn entries_survive_the_topic(entry in entries(), key in "\\PC{1,60}") {
            let record = record(entry_key(&TargetKey(key.clone())), &entry);
            prop_assert_eq!(String::from_utf8_lossy(&record.key), format!("doc/{key}"));
            let back: Entry = read(&key, record.value.as_deref().expect("a value")).expect("readable");
            prop_assert_eq!(back, entry);
        }

        #[test]
        fn intents_survive_the_topic(at: i64, within: u64, docs in prop::collection::vec(("[^a]{1,12}", any::<u64>(), any::<[u8; 16]>(), any::<i64>()), 0..4)) {
            let documents = docs.into_iter().map(|(key, version, digest, offset)| Intended {
                key: TargetKey(key), version: Version(version), digest: Digest(digest), offset, first: at,
            }).collect();
            let intent = Intent::new(at, within, documents);
            let record = record(intent_key("b1"), &intent);
            let back: Intent = read("intent/b1", record.value.as_deref().expect("a value")).expect("readable");
            prop_assert_eq!(back, intent);
        }
    }
}
