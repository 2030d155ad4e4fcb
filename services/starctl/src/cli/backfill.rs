//! Backfills.

use std::time::Duration;

use clap::Subcommand;

use super::PageArgs;
use super::change::ChangeArgs;
use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum BackfillCommand {
    /// Begins to read a part of the past, window after window; with --dry-run it only says how many windows there are.
    Start {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        flow: String,
        /// The first instant of the watermark date: unix seconds or RFC 3339.
        #[arg(long, value_parser = value::instant)]
        from: i64,
        /// The instant behind the last one; now where absent.
        #[arg(long, value_parser = value::instant)]
        to: Option<i64>,
        /// The length of a window.
        #[arg(long, value_parser = value::duration, default_value = "1d")]
        chunk: Duration,
        /// Documents a minute at most, on average; as fast as the stages allow where absent.
        #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
        rate: Option<i32>,
        /// Emits also bills that are as they were seen before, as new versions.
        #[arg(long)]
        again: bool,
        /// Waits until the backfill is over and shows it.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lists backfills, newest first.
    List {
        /// Those of this flow; of all where absent.
        #[arg(value_parser = value::flow_name)]
        flow: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows one backfill as it stands.
    Get {
        /// The backfill.
        #[arg(value_parser = value::backfill_id)]
        id: String,
    },
    /// Follows a backfill until it is over.
    Watch {
        /// The backfill.
        #[arg(value_parser = value::backfill_id)]
        id: String,
    },
    /// Begins no further window; the one in hand is read to its end.
    Pause {
        /// The backfill.
        #[arg(value_parser = value::backfill_id)]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Goes on where it rested.
    Resume {
        /// The backfill.
        #[arg(value_parser = value::backfill_id)]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Ends a backfill; what was read stays read, and the window in hand is read to its end.
    Cancel {
        /// The backfill.
        #[arg(value_parser = value::backfill_id)]
        id: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
}
