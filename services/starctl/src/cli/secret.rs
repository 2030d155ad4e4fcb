//! Sealed secrets.

use std::path::PathBuf;

use clap::Subcommand;

use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Makes the next master key in a folder; from then on it seals.
    Key {
        /// The folder of master keys: one file a key, named by its version.
        folder: PathBuf,
    },
    /// Seals the secret of a connection: reads it from standard input and writes the file that the settings name.
    Seal {
        /// The folder of master keys.
        #[arg(long)]
        keys: PathBuf,
        /// The connection it is for, as the settings call it.
        #[arg(long, value_parser = value::some_text)]
        connection: String,
        /// The file to write.
        file: PathBuf,
    },
    /// Wraps sealed files with the newest master key; the secrets in them stay.
    Rewrap {
        /// The folder of master keys.
        #[arg(long)]
        keys: PathBuf,
        /// Every sealed file.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Takes an old master key away, once none of the sealed files needs it.
    Retire {
        /// The folder of master keys.
        #[arg(long)]
        keys: PathBuf,
        /// The version to take away.
        version: u32,
        /// Every sealed file.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}
