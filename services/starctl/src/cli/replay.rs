//! Replay jobs.

use clap::Subcommand;

use super::PageArgs;
use super::change::{ChangeArgs, ReasonedArgs};
use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum ReplayCommand {
    /// Lists jobs, newest first.
    List {
        #[command(flatten)]
        page: PageArgs,
        /// Only those that are not over.
        #[arg(long)]
        active: bool,
    },
    /// Shows one job as it stands.
    Get {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
    },
    /// Follows a job until it is over; exit code 6 when some of its letters failed again.
    Watch {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
    },
    /// Lets the plan of another person run, after you have looked at it.
    Approve {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
        /// The digest of the plan you have seen; that of the job as it is now where absent.
        #[arg(long, value_parser = value::some_text)]
        plan_digest: Option<String>,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Stops publishing; what is published goes on.
    Pause {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Goes on publishing.
    Resume {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Ends a job; letters that were not published yet stay open.
    Cancel {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lists the letters of a job with their outcomes.
    Report {
        /// The job.
        #[arg(value_parser = value::replay_id)]
        id: String,
    },
}
