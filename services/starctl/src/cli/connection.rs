//! Connections to systems.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SortArgs;
use super::change::ChangeArgs;
use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    #[command(flatten)]
    Online(OnlineCommand),
    #[command(flatten)]
    Offline(OfflineCommand),
}

/// What the control plane does.
#[derive(Debug, Subcommand)]
pub(crate) enum OnlineCommand {
    /// Lists the connections that the control plane can reach.
    List {
        #[command(flatten)]
        sort: SortArgs,
    },
    /// Shows one connection, without secrets.
    Get {
        /// Its name.
        #[arg(value_parser = value::some_text)]
        name: String,
    },
    /// Tries a connection step by step, with advice; exit code 9 when a step fails.
    Test {
        /// Its name.
        #[arg(value_parser = value::some_text)]
        name: String,
        /// The form that is read; the one of a flow that uses the connection where absent.
        #[arg(long, value_parser = value::some_text)]
        form: Option<String>,
        /// Tries a save as well, of a document without anything: a form that demands something refuses it.
        #[arg(long)]
        save: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

/// What needs no server.
#[derive(Debug, Subcommand)]
pub(crate) enum OfflineCommand {
    /// Prints the JSON Schema of a connection in the settings of services: [connections.NAME].
    Schema,
    /// Seals the next secret of a connection into its file, and says what is left to do. Needs no server.
    Rotate(RotateArgs),
}

/// The next secret of a connection.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
    /// The connection, as the settings call it.
    #[arg(value_parser = value::some_text)]
    pub(crate) name: String,
    /// The folder of master keys.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys: PathBuf,
    /// The file that holds its secret sealed, as the settings name it.
    #[arg(long)]
    pub(crate) file: PathBuf,
    /// The file that holds the next secret, which nobody else may read; standard input where absent.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}
