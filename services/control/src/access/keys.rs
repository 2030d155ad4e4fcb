//! The keys that sign tokens, and their rotation.
//!
//! A new key is first trusted by every replica, then signs; the one before it verifies until its last token has ended.
//! So no token is refused because of a rotation.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault};
use rand::CryptoRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::token::MAX_LIFETIME;

/// How long a key verifies after another one signs: as long as a token may hold, and as long again for replicas that go
/// on signing with it.
pub(super) const OVERLAP: TimeDelta = TimeDelta::hours(2 * MAX_LIFETIME.num_hours());

const PEM_BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const PEM_END: &str = "-----END PRIVATE KEY-----";

/// The public half of a signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// The name under which tokens refer to the key: 16 hex digits of its digest, so that a name never stands for two
    /// keys.
    pub fn kid(&self) -> String {
        blake3::hash(&self.0).to_hex().chars().take(16).collect()
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).is_ok()
    }
}

/// A key that signs tokens. It never shows itself; the library wipes it when it is dropped.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// Makes a new key from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_slice()).expect("every 32 bytes are an Ed25519 seed");
        Self { pair }
    }

    /// Reads a key file: PKCS#8 as PEM, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// A [`Fault`] with [`Code::SigningKey`] when the text is no such key.
    pub fn from_pem(pem: &SecretString) -> Result<Self, Fault> {
        let refused = || {
            Fault::new(Code::SigningKey, "is not an Ed25519 private key in PKCS#8 PEM")
                .hint("make one with: openssl genpkey -algorithm ed25519")
        };
        let body = pem.expose_secret().trim().strip_prefix(PEM_BEGIN).and_then(|rest| rest.strip_suffix(PEM_END));
        let body: Zeroizing<String> = Zeroizing::new(body.ok_or_else(refused)?.split_whitespace().collect());
        let der = Zeroizing::new(STANDARD.decode(body.as_bytes()).map_err(|_| refused())?);
        let pair = Ed25519KeyPair::from_pkcs8(&der).map_err(|_| refused())?;
        Ok(Self { pair })
    }

    /// The key as a key file: PKCS#8 as PEM.
    pub fn to_pem(&self) -> SecretString {
        let der = self.pair.to_pkcs8v1().expect("a key in memory can be encoded");
        let body = Zeroizing::new(STANDARD.encode(der.as_ref()));
        SecretString::from(format!("{PEM_BEGIN}\n{}\n{PEM_END}\n", body.as_str()))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref();
        PublicKey(bytes.try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    /// Signs `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public().kid())
    }
}

/// A key that verifies, and until when.
#[derive(Debug, Clone, Copy)]
struct Verifying {
    public: PublicKey,
    not_after: Option<DateTime<Utc>>,
}

/// The key that signs tokens, and the keys that verify them.
#[derive(Debug)]
pub struct KeyRing {
    signing: SigningKey,
    verifying: BTreeMap<String, Verifying>,
}

impl KeyRing {
    /// A ring of one key, which signs and verifies.
    pub fn new(signing: SigningKey) -> Self {
        let public = signing.public();
        let verifying = BTreeMap::from([(public.kid(), Verifying { public, not_after: None })]);
        Self { signing, verifying }
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// Lets `public` verify as well: the first step of a rotation, done on every replica before any of them signs with
    /// the new key.
    pub fn trust(&mut self, public: PublicKey) {
        self.verifying.entry(public.kid()).or_insert(Verifying { public, not_after: None });
    }

    /// Signs with `next` from `now` on. The key before it verifies for another 24 h; every replica signs with `next` by
    /// the half of it.
    pub fn rotate(&mut self, next: SigningKey, now: DateTime<Utc>) {
        let before = self.signing.public().kid();
        self.retire(&before, now + OVERLAP);
        let public = next.public();
        self.verifying.insert(public.kid(), Verifying { public, not_after: None });
        self.signing = next;
    }

    /// Stops the key `kid` from verifying at `not_after`; at once, with all its tokens, when that is now. Says whether
    /// there is such a key. The signing key is replaced by [`KeyRing::rotate`] first.
    pub fn retire(&mut self, kid: &str, not_after: DateTime<Utc>) -> bool {
        match self.verifying.get_mut(kid) {
            Some(key) => {
                key.not_after = Some(key.not_after.map_or(not_after, |earlier| earlier.min(not_after)));
                true
            }
            None => false,
        }
    }

    /// Every key that verifies at `now`, and whether it is the one that signs.
    pub fn publics(&self, now: DateTime<Utc>) -> Vec<(PublicKey, bool)> {
        let signing = self.signing.public();
        let holds = |key: &&Verifying| key.not_after.is_none_or(|not_after| now < not_after);
        self.verifying.values().filter(holds).map(|key| (key.public, key.public == signing)).collect()
    }

    /// Drops keys that no longer verify at `now`.
    pub fn forget_retired(&mut self, now: DateTime<Utc>) {
        self.verifying.retain(|_, key| key.not_after.is_none_or(|not_after| now < not_after));
    }

    /// The key named `kid`, if it verifies at `now`.
    pub(crate) fn verifying(&self, kid: &str, now: DateTime<Utc>) -> Option<PublicKey> {
        let key = self.verifying.get(kid)?;
        key.not_after.is_none_or(|not_after| now < not_after).then_some(key.public)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = SigningKey::generate(&mut StdRng::seed_from_u64(1));
        let read = SigningKey::from_pem(&key.to_pem()).expect("our own file");
        assert_eq!(read.public(), key.public());
        assert!(read.public().verifies(b"text", &key.sign(b"text")));
    }

    #[test]
    fn a_key_file_of_openssl_is_read() {
        // The private key of RFC 8410, section 10.3.
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";
        let key = SigningKey::from_pem(&SecretString::from(pem)).expect("a key");
        let public = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
        assert_eq!(hex::encode(key.public().0), public);
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let wrong = [
            "",
            "hunter2",
            "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----\nMC4=\n-----END EC PRIVATE KEY-----",
        ];
        for text in wrong {
            let fault = SigningKey::from_pem(&SecretString::from(text)).expect_err("no key");
            assert_eq!(fault.code, Code::SigningKey);
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn a_key_prints_its_name_alone() {
        let key = SigningKey::generate(&mut StdRng::seed_from_u64(2));
        let kid = key.public().kid();
        assert_eq!(kid.len(), 16);
        assert_eq!(format!("{key:?}"), format!("SigningKey({kid})"));
    }

    #[test]
    fn an_earlier_end_of_a_key_is_not_moved_back() {
        let now = DateTime::UNIX_EPOCH;
        let mut rng = StdRng::seed_from_u64(3);
        let mut ring = KeyRing::new(SigningKey::generate(&mut rng));
        let old = ring.signing().public().kid();
        ring.rotate(SigningKey::generate(&mut rng), now);
        assert!(ring.retire(&old, now));
        assert!(ring.retire(&old, now + OVERLAP));
        assert!(ring.verifying(&old, now).is_none());
        ring.forget_retired(now);
        assert!(!ring.retire(&old, now));
    }
}
