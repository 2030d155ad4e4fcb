//! What is published of a flow: its texts and the version their content gives.

use std::collections::BTreeMap;

use document::{Code, Fault, FlowVersion};
use serde::{Deserialize, Serialize};

use crate::file;
use crate::flow::FLOW_FILE;

/// Most bytes of a bundle as it is published: a Kafka record must hold it.
pub const MAX_BUNDLE_BYTES: usize = 15 << 20;

/// A flow as it is published and kept: the texts, unread.
///
/// Shape: `{"flow": "<flow.toml>", "source": "<JSON>", "target": "<JSON>", "collections": {"<scheme>": "<JSON>"}}`, the
/// last one absent where the flow has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowBundle {
    /// Text of the flow file (TOML).
    pub flow: String,
    /// Text of the source document (JSON).
    pub source: String,
    /// Text of the target document (JSON).
    pub target: String,
    /// Texts of the collection files (JSON), by the scheme whose records they hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub collections: BTreeMap<String, String>,
}

/// The files that a flow file names, all beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNames {
    /// The source document.
    pub source: String,
    /// The target document.
    pub target: String,
    /// The collection files, by scheme.
    pub collections: BTreeMap<String, String>,
}

impl FileNames {
    /// The names that the text of a flow file gives, as far as it can be read: what is wrong with it, compiling says.
    ///
    /// # Errors
    /// [`Code::FlowsFolder`] for a name that leads out of the flow's folder.
    pub fn of(flow: &str) -> Result<Self, Fault> {
        let reading = file::read(FLOW_FILE, flow);
        let file = &reading.file;
        let documents = [("$.source.document", &file.source.document), ("$.target.document", &file.target.document)];
        let documents = documents.map(|(path, name)| (path.to_owned(), name));
        let collections = file.collections.iter().map(|(scheme, name)| (format!("$.collections.{scheme}"), name));
        for (path, name) in documents.into_iter().chain(collections) {
            if name.contains(['/', '\\']) || name == ".." {
                let detail = format!("{name:?} is not a file beside the flow file");
                return Err(reading.fault(Code::FlowsFolder, &path, detail));
            }
        }
        let file = reading.file;
        Ok(Self { source: file.source.document, target: file.target.document, collections: file.collections })
    }
}

impl FlowBundle {
    /// The version of this content: the first 16 hex digits of BLAKE3 over the texts, each led by its length, so that
    /// moving text from one part to the next makes another version.
    pub fn version(&self) -> FlowVersion {
        let mut hasher = blake3::Hasher::new();
        let collections = self.collections.iter().flat_map(|(scheme, text)| [scheme, text]);
        for part in [&self.flow, &self.source, &self.target].into_iter().chain(collections) {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let hex = hasher.finalize().to_hex();
        FlowVersion(hex.chars().take(16).collect())
    }

    /// Whether it can be published.
    ///
    /// # Errors
    /// [`Code::FlowTooLarge`] when a Kafka record would not hold it.
    pub fn check_size(&self) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(self).expect("texts are JSON").len();
        if bytes <= MAX_BUNDLE_BYTES {
            return Ok(());
        }
        let detail =
            format!("the texts of the flow have {bytes} bytes as they are published, {MAX_BUNDLE_BYTES} are allowed");
        let fault = Fault::new(Code::FlowTooLarge, detail).in_file(FLOW_FILE).at_path("$.collections");
        Err(fault.hint("keep only the fields and records in the collection files that lookups need"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(flow: &str, source: &str, target: &str, collections: &[(&str, &str)]) -> FlowBundle {
        let collections = collections.iter().map(|(scheme, text)| ((*scheme).to_owned(), (*text).to_owned())).collect();
        FlowBundle { flow: flow.to_owned(), source: source.to_owned(), target: target.to_owned(), collections }
    }

    #[test]
    fn the_version_is_the_content() {
        let version = bundle("a", "b", "c", &[]).version();
        assert_eq!(version.as_str().len(), 16);
        assert_eq!(version, bundle("a", "b", "c", &[]).version());
        for other in [
            bundle("ab", "", "c", &[]),
            bundle("a", "bc", "", &[]),
            bundle("a", "b", "d", &[]),
            bundle("a", "b", "c", &[("u", "[]")]),
        ] {
            assert_ne!(version, other.version());
        }
        let records = bundle("a", "b", "c", &[("u", "[1]"), ("v", "[]")]);
        assert_ne!(records.version(), bundle("a", "b", "c", &[("u", "[]"), ("v", "[1]")]).version());
    }

    #[test]
    fn a_flow_without_collections_is_published_as_before() {
        let text = r#"{"flow":"a","source":"b","target":"c"}"#;
        let bundle = bundle("a", "b", "c", &[]);
        assert_eq!(serde_json::to_string(&bundle).expect("JSON"), text);
        assert_eq!(serde_json::from_str::<FlowBundle>(text).expect("a bundle"), bundle);
    }

    #[test]
    fn a_bundle_that_no_record_holds_is_refused() {
        // A line break takes two bytes in JSON.
        let text = "\n".repeat(MAX_BUNDLE_BYTES / 2);
        let fault = bundle("a", "b", "c", &[("u", &text)]).check_size().expect_err("too large");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::FlowTooLarge, Some("$.collections")));
        assert!(bundle("a", "b", "c", &[("u", &"x".repeat(MAX_BUNDLE_BYTES / 2))]).check_size().is_ok());
    }

    #[test]
    fn files_are_named_by_the_flow_file_and_lie_beside_it() {
        let names =
            FileNames::of("[source]\ndocument = \"s.json\"\n[collections]\n255f = \"m.json\"\n").expect("names");
        assert_eq!((names.source.as_str(), names.target.as_str()), ("s.json", "target.json"));
        assert_eq!(names.collections, BTreeMap::from([("255f".to_owned(), "m.json".to_owned())]));
        for (text, path) in [
            ("[source]\ndocument = \"../s.json\"", "$.source.document"),
            ("[collections]\nu = \"/etc/passwd\"", "$.collections.u"),
        ] {
            let fault = FileNames::of(text).expect_err("outside");
            assert_eq!((fault.code, fault.place.path.as_deref()), (Code::FlowsFolder, Some(path)));
        }
    }
}
