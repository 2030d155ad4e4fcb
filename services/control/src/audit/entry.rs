//! One entry of the audit topic.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::words::words;
use crate::access::{Role, Scope};

/// BLAKE3-256. Text form: 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Stands where there is nothing to hash: before the first entry.
    pub const ZERO: Hash = Hash([0; 32]);

    /// The hash of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Hash {
    type Err = hex::FromHexError;
    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut hash = [0_u8; 32];
        hex::decode_to_slice(text, &mut hash).map(|()| Hash(hash))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

words! {
    /// How far a deed came.
    Outcome, "outcome", {
        /// Allowed and about to have its effect.
        Begun = "begun",
        /// It had its effect, or the payload was shown.
        Done = "done",
        /// Allowed, but it did not come to its effect.
        Failed = "failed",
        /// Not allowed.
        Denied = "denied",
    }
}

/// What somebody did or tried to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// When, in UTC; kept to the millisecond.
    pub time: DateTime<Utc>,
    /// Who: the name of the principal.
    pub actor: String,
    /// The role that allowed it; `None` when none did.
    pub role: Option<Role>,
    /// The call: `starbridge.control.v1.FlowService/PauseFlow`.
    pub action: String,
    /// To what: `flow/NAME`, `dead_letter/ID` and so on.
    pub object: String,
    /// Where.
    pub scope: Scope,
    /// The hash of the request's content, which itself may hold what does not belong here.
    pub params_digest: Hash,
    /// Why, in the actor's words.
    pub reason: String,
    /// How far it came.
    pub result: Outcome,
    /// The request, by which several entries about one deed are found.
    pub request_id: String,
}

/// A deed in its place in the chain.
///
/// Its one form in bytes is [`Entry::encode`]: JSON without blanks, members in the order of this struct. Bytes that say
/// the same in another form are no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of this form.
    pub v: u8,
    /// Its place, counted from 1.
    pub seq: u64,
    /// See [`Deed::time`].
    pub time: DateTime<Utc>,
    /// See [`Deed::actor`].
    pub actor: String,
    /// See [`Deed::role`].
    pub role: Option<Role>,
    /// See [`Deed::action`].
    pub action: String,
    /// See [`Deed::object`].
    pub object: String,
    /// See [`Deed::scope`].
    pub scope: Scope,
    /// See [`Deed::params_digest`].
    pub params_digest: Hash,
    /// See [`Deed::reason`].
    pub reason: String,
    /// See [`Deed::result`].
    pub result: Outcome,
    /// See [`Deed::request_id`].
    pub request_id: String,
    /// The hash of the entry before it; [`Hash::ZERO`] in the first.
    pub prev_hash: Hash,
    /// The hash of this entry's bytes as they are with [`Hash::ZERO`] in this place.
    pub hash: Hash,
    /// The members that only a newer version knows, as they stand before `prev_hash`, each with its comma. They are part of
    /// what is hashed.
    #[serde(skip)]
    pub more: String,
}

/// What stands behind the members of newer versions.
const BEFORE_LINK: &str = ",\"prev_hash\":";

impl Entry {
    /// The version that is written and read.
    pub const VERSION: u8 = 1;

    /// The entry's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (before, link) = self.around_more();
        [before, self.more.clone(), link].concat().into_bytes()
    }

    /// Reads an entry from its bytes; `None` when they are not exactly what [`Entry::encode`] gives for it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut entry: Entry = serde_json::from_slice(bytes).ok()?;
        let (before, link) = entry.around_more();
        let more = std::str::from_utf8(bytes).ok()?.strip_prefix(before.as_str())?.strip_suffix(link.as_str())?;
        if entry.v != Self::VERSION || !(more.is_empty() || more.starts_with(",\"")) {
            return None;
        }
        entry.more = more.to_owned();
        Some(entry)
    }

    /// The members of this version, parted where those of newer versions stand.
    fn around_more(&self) -> (String, String) {
        let text = serde_json::to_string(self).expect("texts and numbers can be written");
        // Within a text its quotes would have strokes before them.
        let (before, link) = text.rsplit_once(BEFORE_LINK).expect("the member is always written");
        (before.to_owned(), format!("{BEFORE_LINK}{link}"))
    }

    /// The hash that its content must have.
    pub(super) fn content_hash(&self) -> Hash {
        Hash::of(&Entry { hash: Hash::ZERO, ..self.clone() }.encode())
    }

    /// The end of a chain whose last entry this is.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash }
    }
}

/// The end of a chain: its last entry's place and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The place of the last entry; 0 where there is none.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

impl Head {
    /// The end of the chain without entries.
    pub const GENESIS: Head = Head { seq: 0, hash: Hash::ZERO };
}
