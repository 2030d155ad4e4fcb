//! Schedules.

use clap::{Args, Subcommand};

use super::flow::RunArgs;
use super::value;
use super::{SortArgs, TenantArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Lists the schedules of the published flows, each with its next firing.
    List {
        #[command(flatten)]
        after: AfterArgs,
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        sort: SortArgs,
    },
    /// Tells the next firings of a flow's schedule.
    Next {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        /// How many.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
        #[command(flatten)]
        after: AfterArgs,
    },
    /// Runs a flow now, besides its schedule: the same as flow run.
    Trigger(RunArgs),
}

/// From when on firings are reckoned.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AfterArgs {
    /// Reckons the firings after this instant: unix seconds or RFC 3339; now where absent.
    #[arg(long, value_parser = value::instant)]
    pub(crate) after: Option<i64>,
}
