//! The records of the topic: their keys, what they say, and how they are written.

use document::{FlowName, FlowVersion, Headers, Record};
use flow::FlowBundle;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Who lets a flow rest, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Who.
    pub by: String,
    /// Why, in words.
    pub reason: String,
    /// Since when, unix milliseconds.
    pub at: i64,
}

/// Who took a flow away, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Who.
    pub by: String,
    /// Why, in words.
    pub reason: String,
    /// When, unix milliseconds.
    pub at: i64,
    /// The version that was current.
    pub version: FlowVersion,
}

/// A version that some of a flow's documents are tried with, beside the current one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Canary {
    /// The version.
    pub version: FlowVersion,
    /// The share of documents, 1 to 99 of a hundred; the same documents whenever they come.
    pub percent: u8,
    /// The ratio of its documents that fail, above which it is taken back by itself: 0 to 1.
    pub abort_above: f64,
    /// How many of its documents must have ended before that is judged.
    pub least: u64,
    /// Who tries it.
    pub by: String,
    /// Why, in words.
    pub reason: String,
    /// Since when, unix milliseconds.
    pub at: i64,
}

pub(super) fn version_key(flow: &FlowName, version: &FlowVersion) -> String {
    format!("{flow}@{version}")
}

pub(super) fn current_key(flow: &FlowName) -> String {
    format!("{flow}/current")
}

fn paused_key(flow: &FlowName) -> String {
    format!("{flow}/paused")
}

/// The records that publish `bundle` and make it current, in their order. For who writes them beside other records.
pub fn publishing(flow: &FlowName, bundle: &FlowBundle) -> [Record; 2] {
    let version = bundle.version();
    let value = serde_json::to_vec(bundle).expect("a bundle is a plain structure of text");
    let record =
        |key: String, value: Vec<u8>| Record { key: key.into_bytes(), headers: Headers::new(), value: Some(value) };
    [record(version_key(flow, &version), value), pointing(flow, &version)]
}

/// The record that makes a published version current.
pub fn pointing(flow: &FlowName, version: &FlowVersion) -> Record {
    let value = Some(version.0.clone().into_bytes());
    Record { key: current_key(flow).into_bytes(), headers: Headers::new(), value }
}

/// The record that lets a flow rest, or run again.
pub fn pausing(flow: &FlowName, paused: Option<&Paused>) -> Record {
    let value = paused.map(|paused| serde_json::to_vec(paused).expect("two texts and a number"));
    Record { key: paused_key(flow).into_bytes(), headers: Headers::new(), value }
}

/// The record that takes a flow away, or says that it is there again.
pub fn deleting(flow: &FlowName, deleted: Option<&Deleted>) -> Record {
    let value = deleted.map(|deleted| serde_json::to_vec(deleted).expect("texts and a number"));
    Record { key: format!("{flow}/deleted").into_bytes(), headers: Headers::new(), value }
}

/// The record that makes some documents go by another version, or none any more.
pub fn trying(flow: &FlowName, canary: Option<&Canary>) -> Record {
    let value = canary.map(|canary| serde_json::to_vec(canary).expect("texts and finite numbers"));
    Record { key: format!("{flow}/canary").into_bytes(), headers: Headers::new(), value }
}

/// The record that leaves a flow without a current version; its versions stay readable for records that name them.
pub fn withdrawing(flow: &FlowName) -> Record {
    Record { key: current_key(flow).into_bytes(), headers: Headers::new(), value: None }
}

/// What one record of the topic says.
#[derive(Debug, PartialEq)]
pub(super) enum Entry {
    Version(FlowName, FlowVersion, Option<Box<FlowBundle>>),
    Current(FlowName, Option<FlowVersion>),
    Paused(FlowName, Option<Paused>),
    Deleted(FlowName, Option<Deleted>),
    Canary(FlowName, Option<Canary>),
}

/// Reads a record of the topic.
pub(super) fn entry(record: &Record) -> Result<Entry, Error> {
    let key = String::from_utf8_lossy(&record.key).into_owned();
    let wrong = |detail: String| Error::FlowRecord { key: key.clone(), detail };
    let name = |text: &str| FlowName::new(text).map_err(|error| wrong(error.to_string()));
    if let Some(flow) = key.strip_suffix("/current") {
        let version = record.value.as_ref().map(|value| String::from_utf8(value.clone())).transpose();
        let version = version.map_err(|error| wrong(error.to_string()))?;
        return Ok(Entry::Current(name(flow)?, version.map(FlowVersion)));
    }
    if let Some(flow) = key.strip_suffix("/paused") {
        let paused = record.value.as_ref().map(|value| serde_json::from_slice(value)).transpose();
        return Ok(Entry::Paused(name(flow)?, paused.map_err(|error| wrong(error.to_string()))?));
    }
    if let Some(flow) = key.strip_suffix("/deleted") {
        let deleted = record.value.as_ref().map(|value| serde_json::from_slice(value)).transpose();
        return Ok(Entry::Deleted(name(flow)?, deleted.map_err(|error| wrong(error.to_string()))?));
    }
    if let Some(flow) = key.strip_suffix("/canary") {
        let canary = record.value.as_ref().map(|value| serde_json::from_slice(value)).transpose();
        return Ok(Entry::Canary(name(flow)?, canary.map_err(|error| wrong(error.to_string()))?));
    }
    let Some((flow, version)) = key.split_once('@') else {
        return Err(wrong(
            "the key is none of flow@version, flow/current, flow/paused, flow/deleted and flow/canary".to_owned(),
        ));
    };
    let (flow, version) = (name(flow)?, FlowVersion(version.to_owned()));
    let Some(value) = &record.value else { return Ok(Entry::Version(flow, version, None)) };
    let bundle: FlowBundle = serde_json::from_slice(value).map_err(|error| wrong(error.to_string()))?;
    match bundle.version() {
        content if content == version => Ok(Entry::Version(flow, version, Some(Box::new(bundle)))),
        content => Err(wrong(format!("its content is version {content}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use document::Code;

    use super::*;

    fn bundle() -> FlowBundle {
        let text = |text: &str| text.to_owned();
        FlowBundle { flow: text("f"), source: text("{}"), target: text("{}"), collections: BTreeMap::new() }
    }

    fn name() -> FlowName {
        FlowName::new("misc-inbound").expect("valid")
    }

    fn record(key: &str, value: Option<&[u8]>) -> Record {
        Record { key: key.as_bytes().to_vec(), headers: Headers::new(), value: value.map(<[u8]>::to_vec) }
    }

    #[test]
    fn whatever_may_be_published_fits_a_record() {
        const { assert!(flow::MAX_BUNDLE_BYTES < crate::MAX_RECORD_BYTES - crate::cluster::RECORD_OVERHEAD - 1_024) }
    }

    #[test]
    fn versions_and_pointers_are_told_by_their_keys() {
        let version = bundle().version();
        let json = serde_json::to_vec(&bundle()).expect("plain");
        let key = version_key(&name(), &version);
        assert_eq!(key, format!("misc-inbound@{version}"));
        assert_eq!(
            entry(&record(&key, Some(&json))).expect("reads"),
            Entry::Version(name(), version.clone(), Some(Box::new(bundle())))
        );
        assert_eq!(entry(&record(&key, None)).expect("reads"), Entry::Version(name(), version.clone(), None));
        assert_eq!(current_key(&name()), "misc-inbound/current");
        assert_eq!(
            entry(&record("misc-inbound/current", Some(version.0.as_bytes()))).expect("reads"),
            Entry::Current(name(), Some(version))
        );
        assert_eq!(entry(&record("misc-inbound/current", None)).expect("reads"), Entry::Current(name(), None));
        let paused = Paused { by: "li".to_owned(), reason: "盘点".to_owned(), at: 7 };
        assert_eq!(entry(&pausing(&name(), Some(&paused))).expect("reads"), Entry::Paused(name(), Some(paused)));
        assert_eq!(entry(&pausing(&name(), None)).expect("reads"), Entry::Paused(name(), None));
        let deleted = Deleted { by: "li".into(), reason: "停用".into(), at: 7, version: "00ff".into() };
        assert_eq!(entry(&deleting(&name(), Some(&deleted))).expect("reads"), Entry::Deleted(name(), Some(deleted)));
        assert_eq!(entry(&deleting(&name(), None)).expect("reads"), Entry::Deleted(name(), None));
        let (by, reason) = ("li".to_owned(), "新映射".to_owned());
        let canary = Canary { version: "00ff".into(), percent: 5, abort_above: 0.25, least: 20, by, reason, at: 7 };
        assert_eq!(entry(&trying(&name(), Some(&canary))).expect("reads"), Entry::Canary(name(), Some(canary)));
        assert_eq!(entry(&trying(&name(), None)).expect("reads"), Entry::Canary(name(), None));
        assert_eq!(entry(&withdrawing(&name())).expect("reads"), Entry::Current(name(), None));
    }

    #[test]
    fn an_entry_that_is_not_what_its_key_says_is_refused() {
        let json = serde_json::to_vec(&bundle()).expect("plain");
        for (key, value) in [
            ("misc-inbound@0000000000000000", json.as_slice()),
            ("misc-inbound", b"x".as_slice()),
            ("misc-inbound@0", b"{}".as_slice()),
            ("Not A Name/current", b"0".as_slice()),
        ] {
            let error = entry(&record(key, Some(value))).expect_err(key);
            assert_eq!(error.code(), Code::FlowRecord);
            assert_eq!(error.place().record.as_deref(), Some(key));
            assert!(!error.recycles());
        }
    }
}
