//! Flows.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::change::{ChangeArgs, ReasonedArgs};
use super::value;
use super::{PageArgs, TenantArgs};

#[derive(Debug, Subcommand)]
pub(crate) enum FlowCommand {
    #[command(flatten)]
    Offline(OfflineCommand),
    #[command(flatten)]
    Online(OnlineCommand),
}

/// What needs no server.
#[derive(Debug, Subcommand)]
pub(crate) enum OfflineCommand {
    /// Reports every fault of flows, documents and case files, with place and hint.
    Lint {
        /// A flow folder, a flow file, a source or target document, or a case file.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
    },
    /// Runs case files against the documents beside them; shows how results differ from what is expected.
    Test {
        /// Case files, `NAME.cases.json`.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Shows the target documents that sample rows become.
    #[command(visible_alias = "preview")]
    Render {
        /// A flow folder or a flow file.
        flow: PathBuf,
        /// JSON list of rows: objects as stored, or lists as a bill query answers them.
        #[arg(long)]
        rows: PathBuf,
        /// Start of the run: unix seconds or RFC 3339; now where absent.
        #[arg(long, value_parser = value::instant)]
        now: Option<i64>,
        /// LAST_SYNC_TIME: unix seconds or RFC 3339; the flow's start_from where absent.
        #[arg(long, value_parser = value::instant)]
        last_sync_time: Option<i64>,
    },
    /// Writes flow files and documents in their canonical form; what they say stays, comments too.
    Fmt {
        /// Flow files, documents, case files; a folder stands for the flow in it.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Writes nothing; exit code 9 when a file would change. A flow whose texts change has another version.
        #[arg(long)]
        check: bool,
    },
    /// Prints the JSON Schema of the flow file.
    Schema,
}

/// What the control plane does.
#[derive(Debug, Subcommand)]
pub(crate) enum OnlineCommand {
    /// Lists the published flows.
    List {
        #[command(flatten)]
        tenant: TenantArgs,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows one flow; with -o json its texts, too.
    Get {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        /// An earlier version instead of the current one.
        #[arg(long = "at", value_name = "VERSION")]
        version: Option<String>,
    },
    /// Tells what a published flow does, whether and when it runs, and what of it is open.
    Describe {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
    },
    /// Checks a flow folder, publishes it and makes it current.
    Apply {
        /// A flow folder or a flow file.
        path: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Shows what differs between a flow folder and what is published.
    Diff {
        /// A flow folder or a flow file.
        path: PathBuf,
    },
    /// Lists the versions of a flow, newest first.
    History {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
    },
    /// Makes an earlier version current again.
    Rollback {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        /// The version to go back to.
        #[arg(long)]
        to: String,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Publishes a flow folder and tries it with a share of the documents, the same ones whenever they come.
    Canary {
        /// A flow folder or a flow file; it may differ from what is current only in what is made of a bill.
        path: PathBuf,
        /// The share of documents, in percent.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..=99))]
        percent: i32,
        /// The ratio of its documents that fail above which it is taken back by itself.
        #[arg(long, value_parser = value::ratio, default_value = "0.05")]
        abort_above: f64,
        /// How many of its documents must have ended before that is judged.
        #[arg(long, value_parser = clap::value_parser!(i64).range(1..), default_value = "20")]
        least: i64,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Makes the version that is tried the current one.
    Promote {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Has all documents go by the current version again.
    Abort {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Takes a flow away: nothing of it is read or carried any more; its versions stay and can be rolled back to.
    Delete {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        /// Deletes it although documents are on their way or letters are open; they stay where they are.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Lets a flow rest: nothing new is read from its source until it is resumed.
    Pause {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lets a flow run again.
    Resume {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        name: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Runs a flow now, besides its schedule.
    Run(RunArgs),
}

/// A run besides the schedule.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The flow.
    #[arg(value_parser = value::flow_name)]
    pub(crate) name: String,
    /// Takes the slow second look at the last days instead of what changed.
    #[arg(long)]
    pub(crate) lookback: bool,
    /// Reads the bills whose watermark date lies from here on: unix seconds or RFC 3339. The watermark stays.
    #[arg(long, value_parser = value::instant, requires = "to", conflicts_with = "lookback")]
    pub(crate) from: Option<i64>,
    /// Up to here, this instant not included.
    #[arg(long, value_parser = value::instant, requires = "from")]
    pub(crate) to: Option<i64>,
    /// Emits bills again that are as they were seen before.
    #[arg(long, requires = "from")]
    pub(crate) again: bool,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}
