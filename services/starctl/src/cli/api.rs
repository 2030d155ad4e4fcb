//! Interfaces of other systems.

use clap::{Args, Subcommand};

use super::{SortArgs, TenantArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    /// Lists the interfaces that the documents of a flow may name.
    List {
        #[command(flatten)]
        flows: FlowsArgs,
        #[command(flatten)]
        sort: SortArgs,
    },
    /// Shows one interface.
    Get {
        /// Its name, as documents write it: executeBillQuery.
        name: String,
        #[command(flatten)]
        flows: FlowsArgs,
    },
}

/// Whether the control plane is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct FlowsArgs {
    /// Tells which published flows use it. Asks the control plane; nothing else here does.
    #[arg(long)]
    pub(crate) flows: bool,
    #[command(flatten)]
    pub(crate) tenant: TenantArgs,
}
