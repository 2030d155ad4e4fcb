//! Heads that were signed, to be kept where the topic's writers cannot reach them.

use aws_lc_rs::hmac;
use chrono::{DateTime, SubsecRound as _, Utc};
use document::Fault;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::chain::{Flaw, Tampering};
use super::entry::{Hash, Head};
use crate::vault::Key;

/// A head with the time it was signed at and the signature of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHead {
    /// The version of this form.
    pub v: u8,
    /// The place of the last entry.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    /// When it was signed, in UTC, to the millisecond.
    pub time: DateTime<Utc>,
    /// The key.
    pub kid: String,
    /// HMAC-SHA256 over this as JSON with [`Hash::ZERO`] in this place.
    pub mac: Hash,
}

impl SignedHead {
    const VERSION: u8 = 1;

    fn message(&self) -> Vec<u8> {
        serde_json::to_vec(&SignedHead { mac: Hash::ZERO, ..self.clone() }).expect("texts and numbers can be written")
    }
}

/// A key that signs heads.
#[derive(Debug)]
pub struct HeadKey {
    kid: String,
    key: Key,
}

impl HeadKey {
    /// Takes the content of a key file: 64 hex digits.
    ///
    /// # Errors
    /// A [`Fault`] with [`document::Code::KeyFile`] when it is not that.
    pub fn from_hex(text: &SecretString) -> Result<Self, Fault> {
        Ok(Self::new(Key::from_hex(text)?))
    }

    /// Takes a key.
    pub fn new(key: Key) -> Self {
        let name = blake3::derive_key("starbridge audit head key name v1", key.expose());
        Self { kid: hex::encode(name).chars().take(16).collect(), key }
    }

    /// The name under which signed heads refer to it: 16 hex digits that follow from the key and tell nothing of it.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.key.expose())
    }

    /// Signs `head` at `time`.
    pub fn sign(&self, head: &Head, time: DateTime<Utc>) -> SignedHead {
        let mut signed = SignedHead {
            v: SignedHead::VERSION,
            seq: head.seq,
            hash: head.hash,
            time: time.trunc_subsecs(3),
            kid: self.kid.clone(),
            mac: Hash::ZERO,
        };
        let mac = hmac::sign(&self.hmac(), &signed.message());
        signed.mac = Hash(mac.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes"));
        signed
    }

    /// The head of `signed`, if one of `keys` has signed it.
    ///
    /// # Errors
    /// [`Tampering`] with [`Flaw::HeadForged`] otherwise.
    pub fn check(keys: &[HeadKey], signed: &SignedHead) -> Result<Head, Tampering> {
        let key = keys.iter().find(|key| key.kid == signed.kid && signed.v == SignedHead::VERSION);
        match key.map(|key| hmac::verify(&key.hmac(), &signed.message(), &signed.mac.0)) {
            Some(Ok(())) => Ok(Head { seq: signed.seq, hash: signed.hash }),
            Some(Err(_)) | None => Err(Tampering { seq: signed.seq, flaw: Flaw::HeadForged }),
        }
    }
}
