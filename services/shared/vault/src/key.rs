//! A symmetric key.

use std::fmt;

use document::{Code, Fault};
use rand::CryptoRng;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};

/// 256 secret bits. They are wiped when the key is dropped, and never shown.
pub struct Key(SecretBox<[u8; 32]>);

impl Key {
    /// Makes a new key from `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| rng.fill_bytes(key)))
    }

    /// Takes the content of a key file: 64 hex digits, as `openssl rand -hex 32` writes them.
    ///
    /// # Errors
    /// A [`Fault`] with [`Code::KeyFile`] when it is not that.
    pub fn from_hex(text: &SecretString) -> Result<Self, Fault> {
        let mut key = Zeroizing::new([0_u8; 32]);
        match hex::decode_to_slice(text.expose_secret().trim(), key.as_mut_slice()) {
            Ok(()) => Ok(Self::from_bytes(&key)),
            Err(_) => Err(Fault::new(Code::KeyFile, "does not hold 64 hexadecimal digits")
                .hint("make one with: openssl rand -hex 32")),
        }
    }

    /// Takes the bytes of a key.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(SecretBox::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(bytes)))
    }

    /// The key as the content of a key file.
    pub fn to_hex(&self) -> SecretString {
        SecretString::from(hex::encode(self.expose()))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_key_survives_its_file() {
        let key = Key::generate(&mut StdRng::seed_from_u64(1));
        let file = SecretString::from(format!("{}\n", key.to_hex().expose_secret()));
        assert_eq!(Key::from_hex(&file).expect("our own file").expose(), key.expose());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for text in ["", "hunter2", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            let fault = Key::from_hex(&SecretString::from(text)).expect_err("no key");
            assert_eq!(fault.code, Code::KeyFile);
            assert!(!fault.to_string().contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn a_key_does_not_print_itself() {
        assert_eq!(format!("{:?}", Key::from_bytes(&[65; 32])), "Key");
    }
}
