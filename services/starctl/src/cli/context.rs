//! Contexts.

use clap::Subcommand;

use super::TenantArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// Lists the contexts.
    List,
    /// Makes a context the current one.
    Use {
        /// Its name.
        name: String,
    },
    /// Makes a context, or changes it by what is given: --endpoint, --ca-cert, --client-cert, --client-key, --server-name, --token-file, --timeout, --lang, --utc.
    Set {
        /// Its name.
        name: String,
        /// Whether dangerous changes make the user type the flow's name.
        #[arg(long, value_name = "BOOL")]
        production: Option<bool>,
        /// A program whose standard output is the token, once for it and once for each of its arguments; run without a shell.
        #[arg(long, value_name = "WORD", allow_hyphen_values = true, conflicts_with = "token_file")]
        token_command: Vec<String>,
        #[command(flatten)]
        tenant: TenantArgs,
    },
    /// Shows what holds: the context with flags and environment laid over it.
    View,
    /// Deletes a context. Its token file stays.
    Delete {
        /// Its name.
        name: String,
    },
}
