//! Tenants.

use clap::Subcommand;

use super::SortArgs;
use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum TenantCommand {
    /// Lists the tenants of the published flows, with what of them is open.
    List {
        #[command(flatten)]
        sort: SortArgs,
    },
    /// Shows the flows of a tenant.
    Get {
        /// The tenant.
        #[arg(value_parser = value::tenant)]
        name: String,
    },
    /// Tells how many calls a minute the systems of a tenant's flows permit, and who else takes from them.
    Quota {
        /// The tenant.
        #[arg(value_parser = value::tenant)]
        name: String,
    },
}
