//! Heads that were signed: against one that was kept elsewhere, a chain cannot be rewritten or cut off unseen.

use chrono::{DateTime, SubsecRound as _, Utc};
use serde::{Deserialize, Serialize};

use super::chain::{Flaw, Tampering};
use super::entry::{Hash, Head};
use crate::access::KeyRing;

/// Key of the latest signed head in the control plane's memory.
pub const SIGNED: &str = "signed-head";
/// Time between two signatures while entries come, milliseconds.
pub const EVERY: i64 = 5 * 60 * 1000;

/// A head with the time it was signed at and the signature of a key that also signs tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedHead {
    /// The version of this form.
    pub v: u8,
    /// The place of the last entry.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed, in UTC, to the millisecond.
    pub time: DateTime<Utc>,
    /// The key: the name that [`crate::access::keys::PublicKey::kid`] gives it.
    pub kid: String,
    /// Ed25519 over [`SignedHead::text`], 128 hex digits.
    pub signature: String,
}

impl SignedHead {
    const VERSION: u8 = 1;

    /// Signs `head` at `time` with the key of `keys` that signs.
    pub fn sign(head: &Head, time: DateTime<Utc>, keys: &KeyRing) -> Self {
        let mut signed = Self {
            v: Self::VERSION,
            seq: head.seq,
            hash: head.hash,
            time: time.trunc_subsecs(3),
            kid: keys.signing().public().kid(),
            signature: String::new(),
        };
        signed.signature = hex::encode(keys.signing().sign(signed.text().as_bytes()));
        signed
    }

    /// What is signed: five lines, each with its end, so that any tool can check it. No token begins so.
    pub fn text(&self) -> String {
        format!(
            "starbridge audit head v1\n{}\n{}\n{}\n{}\n",
            self.seq,
            self.hash,
            self.time.timestamp_millis(),
            self.kid
        )
    }

    /// The head, if a key that is trusted at `now` has signed it.
    ///
    /// # Errors
    /// [`Tampering`] with [`Flaw::HeadForged`] otherwise.
    pub fn check(&self, keys: &KeyRing, now: DateTime<Utc>) -> Result<Head, Tampering> {
        let key = keys.verifying(&self.kid, now).filter(|_| self.v == Self::VERSION);
        let signature = hex::decode(&self.signature).unwrap_or_default();
        match key.is_some_and(|key| key.verifies(self.text().as_bytes(), &signature)) {
            true => Ok(Head { seq: self.seq, hash: self.hash }),
            false => Err(Tampering { seq: self.seq, flaw: Flaw::HeadForged }),
        }
    }
}

/// When the next head is to be signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pace {
    /// The place of the head that was signed last with the key that signs now, and when.
    last: Option<(u64, i64)>,
}

impl Pace {
    /// Goes on from the latest signed head. One of another key counts for nothing: the key that signs now signs at once,
    /// so that the one before it can be taken out of use.
    pub fn after(latest: Option<&SignedHead>, keys: &KeyRing) -> Self {
        let own = latest.filter(|signed| signed.kid == keys.signing().public().kid());
        Self { last: own.map(|signed| (signed.seq, signed.time.timestamp_millis())) }
    }

    /// Whether `head` is to be signed at `now`, unix milliseconds.
    pub fn is_due(&self, head: &Head, now: i64) -> bool {
        self.has_news(head) && self.last.is_none_or(|(_, at)| now - at >= EVERY)
    }

    /// Whether `head` was not signed yet: what is asked at the end.
    pub fn has_news(&self, head: &Head) -> bool {
        head.seq > 0 && self.last.is_none_or(|(seq, _)| seq != head.seq)
    }

    /// Notes that `signed` is durable.
    pub fn note(&mut self, signed: &SignedHead) {
        self.last = Some((signed.seq, signed.time.timestamp_millis()));
    }
}
