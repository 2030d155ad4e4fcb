//! Connections to systems.

use clap::Subcommand;

use super::change::ChangeArgs;
use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Lists the connections that the control plane can reach.
    List,
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
