//! What was emitted of a bill, as it stands in `starbridge.extract-seen`.

use document::{Code, Digest, DocumentKey, Fault, FlowName, Version};
use serde::{Deserialize, Serialize};

use super::key::Key;

/// The form this version writes.
pub const FORMAT: u32 = 1;

/// The entry of one bill. Key: [`seen_key`].
///
/// Shape: JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// [`FORMAT`].
    pub format: u32,
    /// The bill's inner id.
    pub id: Key,
    /// Its watermark date when it was read, as the source wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// The documents it gave; none when the flow's condition left it out.
    #[serde(default)]
    pub documents: Vec<SeenDocument>,
    /// In how many lookbacks running it was not found.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u32,
    /// Whether a letter says that it left the source.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retracted: bool,
}

/// One document of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenDocument {
    /// Its key.
    pub key: DocumentKey,
    /// The content that was emitted or set aside.
    pub digest: Digest,
    /// The version it was given.
    pub version: Version,
    /// The content it has now, where the flow takes no second one (`idCheck`): changed after load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_after_load: Option<Digest>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What every entry of `flow` begins with.
pub fn prefix(flow: &FlowName) -> String {
    format!("{flow}/")
}

/// The entry of a bill: `flow/id`.
pub fn seen_key(flow: &FlowName, id: &Key) -> String {
    format!("{flow}/{id}")
}

impl Seen {
    /// A bill of which nothing is known.
    pub fn new(id: Key) -> Self {
        Self { format: FORMAT, id, stamp: None, documents: Vec::new(), missing: 0, retracted: false }
    }

    /// The document of that key.
    pub fn document(&self, key: &DocumentKey) -> Option<&SeenDocument> {
        self.documents.iter().find(|document| document.key == *key)
    }

    /// The entry's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers are JSON")
    }

    /// Reads an entry's value.
    ///
    /// # Errors
    /// A fault with [`Code::SeenUnreadable`]: the flow stops, for without it a bill that was loaded looks new.
    pub fn from_bytes(key: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let unreadable = |detail: String| {
            Fault::new(Code::SeenUnreadable, detail).of_record(format!("{}/{key}", document::topic::EXTRACT_SEEN))
        };
        let seen: Self = serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        if seen.format == FORMAT {
            Ok(seen)
        } else {
            Err(unreadable(format!("format {} where {FORMAT} is known", seen.format)).at_path("$.format"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_topic() {
        let seen = Seen {
            stamp: Some("2024-03-14T09:00:00".to_owned()),
            documents: vec![SeenDocument {
                key: "QTRK-1".into(),
                digest: Digest([3; 16]),
                version: Version(7),
                changed_after_load: Some(Digest([4; 16])),
            }],
            missing: 1,
            ..Seen::new(Key::Integer(501))
        };
        assert_eq!(Seen::from_bytes("misc/501", &seen.to_bytes()), Ok(seen));
    }

    #[test]
    fn an_entry_that_does_not_read_is_named() {
        for bytes in [&b"no"[..], br#"{"format":9,"id":1}"#] {
            let fault = Seen::from_bytes("misc/501", bytes).expect_err("unreadable");
            assert_eq!(fault.code, Code::SeenUnreadable);
            assert_eq!(fault.place.record.as_deref(), Some("starbridge.extract-seen/misc/501"));
        }
    }

    #[test]
    fn entries_of_one_flow_share_a_prefix_no_other_has() {
        let (a, ab) = (FlowName::new("a").expect("valid"), FlowName::new("a-b").expect("valid"));
        assert!(seen_key(&a, &Key::Integer(1)).starts_with(&prefix(&a)));
        assert!(!seen_key(&ab, &Key::Integer(1)).starts_with(&prefix(&a)));
    }
    #[test]
    fn an_entry_holds_nothing_that_goes_without_saying() {
        // One entry a bill is kept for good: what is not there takes no room.
        let plain = Seen::new(Key::Integer(501));
        assert_eq!(plain.to_bytes(), br#"{"format":1,"id":501,"documents":[]}"#);
        let gone = Seen { missing: 2, retracted: true, ..plain };
        assert_eq!(gone.to_bytes(), br#"{"format":1,"id":501,"documents":[],"missing":2,"retracted":true}"#);
    }
}
