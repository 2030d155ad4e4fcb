//! Reconciliations.

use std::time::Duration;

use clap::Subcommand;

use super::PageArgs;
use super::change::ChangeArgs;
use super::value;

#[derive(Debug, Subcommand)]
pub(crate) enum ReconcileCommand {
    /// Begins a report; with --dry-run it only says how many calls it makes at most.
    Start {
        /// The flow.
        #[arg(value_parser = value::flow_name)]
        flow: String,
        /// The first instant of the watermark date: unix seconds or RFC 3339; three days ago where absent.
        #[arg(long, value_parser = value::instant)]
        from: Option<i64>,
        /// The instant behind the last one; now where absent.
        #[arg(long, value_parser = value::instant)]
        to: Option<i64>,
        /// The share of documents that is compared field by field.
        #[arg(long, value_parser = value::ratio, default_value = "0.01")]
        sample: f64,
        /// How long a document may be on its way, and what looks wrong waits for its second look.
        #[arg(long, value_parser = value::duration, default_value = "15m")]
        grace: Duration,
        /// Waits until the report is over and shows it.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Lists reports, newest first, without their findings.
    List {
        /// Those of this flow; of all where absent.
        #[arg(value_parser = value::flow_name)]
        flow: Option<String>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows one report with its findings; exit code 6 when there are some.
    Get {
        /// The report.
        #[arg(value_parser = value::reconciliation_id)]
        id: String,
    },
    /// Waits until a report is over and shows it; exit code 6 when something does not agree.
    Watch {
        /// The report.
        #[arg(value_parser = value::reconciliation_id)]
        id: String,
    },
}
