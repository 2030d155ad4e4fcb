//! A sealed secret: AES-256-GCM under a data key of its own, which a master key wraps.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use document::{Code, Fault};
use rand::CryptoRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::key::Key;

/// What is sealed. An envelope opens for its own subject only, so none can be put in another's place, an older version
/// of a secret in the place of a newer one neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject<'a> {
    /// What the secret is for: `connection password`.
    pub purpose: &'a str,
    /// Whose it is: the connection's name.
    pub name: &'a str,
    /// The version of the secret, counted from 1.
    pub version: u64,
}

impl Subject<'_> {
    /// The data that an envelope's parts are bound to. Each part has its length before it, so no two subjects share one.
    fn bound(&self, part: &str, master: u32) -> Vec<u8> {
        let (version, master) = (self.version.to_be_bytes(), master.to_be_bytes());
        let parts: [&[u8]; 5] = [part.as_bytes(), self.purpose.as_bytes(), self.name.as_bytes(), &version, &master];
        let with_length = |part: &&[u8]| [(part.len() as u64).to_be_bytes().as_slice(), part].concat();
        parts.iter().flat_map(with_length).collect()
    }

    fn of_secret(&self) -> Vec<u8> {
        // The secret stays as it is when its data key is wrapped anew.
        self.bound("secret", 0)
    }

    fn of_data_key(&self, master: u32) -> Vec<u8> {
        self.bound("data key", master)
    }
}

/// A sealed secret as it is kept. JSON, its bytes as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// The version of this form.
    pub v: u8,
    /// The version of the master key that wraps the data key.
    pub master: u32,
    /// Nonce, wrapped data key and tag.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    wrapped: Vec<u8>,
    /// Nonce, sealed secret and tag.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    sealed: Vec<u8>,
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

/// An envelope that does not open: it is for something else, or was changed, or its master key is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed secret does not open")]
pub struct Unopened;

impl From<Unopened> for Fault {
    fn from(unopened: Unopened) -> Self {
        Fault::new(Code::SealedSecret, unopened.to_string())
    }
}

impl Envelope {
    const VERSION: u8 = 1;

    /// Seals `secret` under a new data key, wrapped with the master key `key` of version `master`.
    pub(super) fn seal(
        subject: &Subject<'_>,
        secret: &SecretString,
        (master, key): (u32, &Key),
        rng: &mut impl CryptoRng,
    ) -> Self {
        let data_key = Key::generate(rng);
        let sealed = encrypt(&data_key, &subject.of_secret(), secret.expose_secret().as_bytes(), rng);
        let wrapped = encrypt(key, &subject.of_data_key(master), data_key.expose(), rng);
        Self { v: Self::VERSION, master, wrapped, sealed }
    }

    /// The secret, the data key being wrapped with `key`.
    pub(super) fn open(&self, subject: &Subject<'_>, key: &Key) -> Result<SecretString, Unopened> {
        let secret = decrypt(&self.data_key(subject, key)?, &subject.of_secret(), &self.sealed)?;
        let text = std::str::from_utf8(&secret).map_err(|_| Unopened)?;
        Ok(SecretString::from(text))
    }

    /// The same sealed secret with its data key wrapped by `to` instead of `from`.
    pub(super) fn rewrap(
        &self,
        subject: &Subject<'_>,
        from: &Key,
        (master, to): (u32, &Key),
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Unopened> {
        let data_key = self.data_key(subject, from)?;
        let wrapped = encrypt(to, &subject.of_data_key(master), data_key.expose(), rng);
        Ok(Self { v: Self::VERSION, master, wrapped, sealed: self.sealed.clone() })
    }

    fn data_key(&self, subject: &Subject<'_>, key: &Key) -> Result<Key, Unopened> {
        if self.v != Self::VERSION {
            return Err(Unopened);
        }
        let bytes = decrypt(key, &subject.of_data_key(self.master), &self.wrapped)?;
        bytes.as_slice().try_into().map(Key::from_bytes).map_err(|_| Unopened)
    }
}

fn cipher(key: &Key) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.expose()).expect("32 bytes are an AES-256 key"))
}

/// Nonce, ciphertext and tag of `plain`, bound to `aad`.
fn encrypt(key: &Key, aad: &[u8], plain: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let mut nonce = [0_u8; NONCE_LEN];
    rng.fill_bytes(&mut nonce);
    // Room for the tag from the start: a buffer that grows would leave a copy of the plain text behind.
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + AES_256_GCM.tag_len()));
    text.extend_from_slice(plain);
    cipher(key)
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut *text)
        .expect("a secret is far shorter than 64 GiB");
    [nonce.as_slice(), text.as_slice()].concat()
}

fn decrypt(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopened> {
    let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(Unopened)?;
    let mut text = Zeroizing::new(text.to_vec());
    let plain = cipher(key)
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), text.as_mut_slice())
        .map_err(|_| Unopened)?
        .len();
    text.truncate(plain);
    Ok(text)
}
