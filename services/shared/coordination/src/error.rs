//! What can go wrong before anything is agreed on. While running, nothing here fails: it falls back.

use document::{Code, Fault};

/// Settings that cannot work; the process stops before it starts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of Redis.
    #[error("the settings of Redis cannot be used: {0}")]
    Settings(Box<Fault>),
    /// A secret's file.
    #[error("a secret cannot be used: {0}")]
    Secret(Box<Fault>),
    /// A limit that cannot be split.
    #[error("the call limit cannot be split: {0}")]
    Split(Box<Fault>),
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        self.fault().code
    }

    /// What, and where: the setting's name is the path, a secret's file the file.
    pub fn fault(&self) -> &Fault {
        match self {
            Error::Settings(fault) | Error::Secret(fault) | Error::Split(fault) => fault,
        }
    }
}
