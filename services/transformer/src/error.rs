//! What ends the stage. Everything else is waited out or becomes a dead letter.

use std::path::PathBuf;

use document::{Code, Fault};

/// The stage stops with its offsets not saved; the next start reads the same records again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka did not take what had to be written before the process was told to be gone.
    #[error("the batch in hand could not be written in time")]
    Drain(#[source] queue::Error),
    /// Not even the place of a record can be written as a dead letter.
    #[error("the dead letter of a record cannot be written")]
    Letter(#[source] queue::Error),
    /// The notes on records in hand cannot be kept.
    #[error("the notes in {} cannot be kept", path.display())]
    Notes {
        /// The folder.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// The entry of the catalogue and the place.
    pub fn fault(&self) -> Fault {
        match self {
            Error::Drain(source) | Error::Letter(source) => source.fault(),
            Error::Notes { path, source } => {
                Fault::new(Code::NotesFile, source.to_string()).in_file(path.display().to_string())
            }
        }
    }
}
