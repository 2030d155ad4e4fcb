//! What is published of a flow: three texts and the version their content gives.

use document::FlowVersion;
use serde::{Deserialize, Serialize};

/// A flow as it is published and kept: the texts, unread.
///
/// Shape: `{"flow": "<flow.toml>", "source": "<JSON>", "target": "<JSON>"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowBundle {
    /// Text of the flow file (TOML).
    pub flow: String,
    /// Text of the source document (JSON).
    pub source: String,
    /// Text of the target document (JSON).
    pub target: String,
}

impl FlowBundle {
    /// The version of this content: the first 16 hex digits of BLAKE3 over the three texts, each led by its length,
    /// so that moving text from one part to the next makes another version.
    pub fn version(&self) -> FlowVersion {
        let mut hasher = blake3::Hasher::new();
        for part in [&self.flow, &self.source, &self.target] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let hex = hasher.finalize().to_hex();
        FlowVersion(hex.chars().take(16).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(flow: &str, source: &str, target: &str) -> FlowBundle {
        FlowBundle { flow: flow.to_owned(), source: source.to_owned(), target: target.to_owned() }
    }

    #[test]
    fn the_version_is_the_content() {
        let version = bundle("a", "b", "c").version();
        assert_eq!(version.as_str().len(), 16);
        assert_eq!(version, bundle("a", "b", "c").version());
        for other in [bundle("ab", "", "c"), bundle("a", "bc", ""), bundle("a", "b", "d")] {
            assert_ne!(version, other.version());
        }
    }
}
