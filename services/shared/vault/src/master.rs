//! Master keys and their rotation.
//!
//! A new key is added on every replica, then seals, then wraps what older keys wrapped; an old key is retired when nothing
//! needs it. Every secret can be opened in between.

use std::collections::BTreeMap;

use document::{Code, Fault};
use rand::CryptoRng;
use secrecy::SecretString;

use super::envelope::{Envelope, Subject, Unopened};
use super::key::Key;

/// The master keys by version, one of which seals.
#[derive(Debug)]
pub struct MasterKeys {
    keys: BTreeMap<u32, Key>,
    sealing: u32,
}

/// Why a secret could not be had, or a key not be changed. Never holds a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no master key of this version.
    #[error("there is no master key of version {version}")]
    UnknownKey {
        /// The version.
        version: u32,
    },
    /// Another key has this version.
    #[error("another master key has version {version}")]
    VersionTaken {
        /// The version.
        version: u32,
    },
    /// The key seals, or wraps something still.
    #[error("master key {version} is still in use")]
    InUse {
        /// The version.
        version: u32,
    },
    /// The envelope does not open.
    #[error(transparent)]
    Unopened(#[from] Unopened),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::UnknownKey { .. } | Error::VersionTaken { .. } | Error::InUse { .. } => {
                Fault::new(Code::MasterKey, error.to_string())
            }
            Error::Unopened(unopened) => unopened.into(),
        }
    }
}

impl MasterKeys {
    /// One key, which seals.
    pub fn new(version: u32, key: Key) -> Self {
        Self { keys: BTreeMap::from([(version, key)]), sealing: version }
    }

    /// Adds a key that opens, and does not seal yet. To add the same key again changes nothing.
    ///
    /// # Errors
    /// [`Error::VersionTaken`] when another key has the version.
    pub fn add(&mut self, version: u32, key: Key) -> Result<(), Error> {
        match self.keys.get(&version) {
            Some(known) if known.expose() != key.expose() => Err(Error::VersionTaken { version }),
            Some(_) => Ok(()),
            None => {
                self.keys.insert(version, key);
                Ok(())
            }
        }
    }

    /// Seals with the key `version` from now on. Every replica has it by then, or could not open what is sealed.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when it was not added.
    pub fn seal_with(&mut self, version: u32) -> Result<(), Error> {
        self.key(version)?;
        self.sealing = version;
        Ok(())
    }

    /// Forgets the key `version`, which wraps none of `envelopes`: all that are kept, as every replica has read them.
    ///
    /// # Errors
    /// [`Error::InUse`] when it seals or wraps one of them, [`Error::UnknownKey`] when there is no such key.
    pub fn retire<'a>(&mut self, version: u32, envelopes: impl IntoIterator<Item = &'a Envelope>) -> Result<(), Error> {
        self.key(version)?;
        if version == self.sealing || envelopes.into_iter().any(|envelope| envelope.master == version) {
            return Err(Error::InUse { version });
        }
        self.keys.remove(&version);
        Ok(())
    }

    /// Seals `secret` for `subject`. Data key and nonces are new each time and come from `rng`.
    pub fn seal(&self, subject: &Subject<'_>, secret: &SecretString, rng: &mut impl CryptoRng) -> Envelope {
        let key = self.keys.get(&self.sealing).expect("the sealing key is never retired");
        Envelope::seal(subject, secret, (self.sealing, key), rng)
    }

    /// The secret that `envelope` seals for `subject`.
    ///
    /// # Errors
    /// [`Error::UnknownKey`] when its master key is not here, [`Error::Unopened`] when it was sealed for another subject
    /// or was changed.
    pub fn open(&self, subject: &Subject<'_>, envelope: &Envelope) -> Result<SecretString, Error> {
        Ok(envelope.open(subject, self.key(envelope.master)?)?)
    }

    /// `envelope` as it is to be kept from now on: wrapped by the key that seals. `None` when it is already.
    ///
    /// # Errors
    /// As [`MasterKeys::open`].
    pub fn rewrap(
        &self,
        subject: &Subject<'_>,
        envelope: &Envelope,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Envelope>, Error> {
        if envelope.master == self.sealing {
            return Ok(None);
        }
        let to = (self.sealing, self.key(self.sealing)?);
        Ok(Some(envelope.rewrap(subject, self.key(envelope.master)?, to, rng)?))
    }

    fn key(&self, version: u32) -> Result<&Key, Error> {
        self.keys.get(&version).ok_or(Error::UnknownKey { version })
    }
}

#[cfg(test)]
mod tests;
