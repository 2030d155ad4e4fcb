//! Dead letters, documents in doubt, single records.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::change::{ChangeArgs, ReasonedArgs};
use super::value;
use super::{PageArgs, TenantArgs};
use crate::context::Context;

/// Which letters a change is about.
#[derive(Debug, Clone, Args)]
#[group(id = "selection", required = true, multiple = false)]
pub(crate) struct SelectionArgs {
    /// Ids of letters.
    #[arg(value_name = "ID", value_parser = value::letter_id)]
    pub(crate) ids: Vec<String>,
    /// A selector: 'flow=misc-inbound and category in (reference_missing, validation) and age>10m'.
    #[arg(short = 'l', long, value_parser = value::some_text)]
    pub(crate) selector: Option<String>,
}

/// Which letters are shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelectorArgs {
    /// A selector: 'flow=misc-inbound and category in (reference_missing, validation) and age>10m'. All where absent.
    #[arg(short = 'l', long)]
    pub(crate) selector: Option<String>,
    /// Only says in words what the selector takes.
    #[arg(long, requires = "selector")]
    pub(crate) selector_explain: bool,
    #[command(flatten)]
    pub(crate) tenant: TenantArgs,
}

impl SelectorArgs {
    /// The selector, narrowed to the tenant that is meant; empty for all letters.
    pub(crate) fn text(&self, context: &Context) -> String {
        match (self.tenant.chosen(context), self.selector.as_deref()) {
            (None, selector) => selector.unwrap_or_default().to_owned(),
            (Some(tenant), None) => format!("tenant = \"{tenant}\""),
            (Some(tenant), Some(selector)) => format!("tenant = \"{tenant}\" and ({selector})"),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum LetterCommand {
    /// Lists letters without their payload.
    List {
        #[command(flatten)]
        selector: SelectorArgs,
        #[command(flatten)]
        page: PageArgs,
        /// Counts everything the selector takes, too.
        #[arg(long)]
        count: bool,
    },
    /// Shows one letter with its payload, cause and way out.
    Get {
        /// Its id, or the first 8 characters or more of it.
        #[arg(value_parser = value::letter_id)]
        id: String,
        /// Shows the payload as it is. Needs a permission of its own and is audited.
        #[arg(long)]
        unmask: bool,
    },
    /// Counts letters by flow, state, stage, category, code and age.
    Stats {
        #[command(flatten)]
        selector: SelectorArgs,
    },
    /// Shows every change of letters, from now on, until it is interrupted; a lost connection is made good.
    Tail {
        #[command(flatten)]
        selector: SelectorArgs,
        /// Goes on behind the change that had this position.
        #[arg(long)]
        position: Option<String>,
    },
    /// Says in words what a selector takes, and whether payloads are read for it.
    ExplainSelector {
        /// The selector.
        selector: String,
    },
    /// Changes the payload that a replay will publish; the original is kept.
    Edit {
        /// The letter.
        #[arg(value_parser = value::letter_id)]
        id: String,
        /// Sets one value: FEntity[0].FQty=12 or /FEntity/0/FQty=12. The value is JSON, a text in double quotes.
        #[arg(long = "set", value_name = "PATH=JSON", required_unless_present = "patch", conflicts_with = "patch")]
        set: Vec<String>,
        /// A JSON Patch (RFC 6902) in a file.
        #[arg(long, value_name = "FILE")]
        patch: Option<PathBuf>,
        /// The revision that the change is made for; the letter's present one where absent.
        #[arg(long)]
        expected_revision: Option<u32>,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Says that you work on letters. Their state stays, and so does what others may do.
    Claim {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Says that nobody works on letters any more, whoever did.
    Unclaim {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Writes letters with the payload that a replay would publish to a file: a header line, then a JSON line each.
    Export {
        #[command(flatten)]
        selection: SelectionArgs,
        /// The new file. Nobody else may read it.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Writes payloads as they are, sealed with the key. Needs a permission of its own.
        #[arg(long, requires = "key")]
        unmask: bool,
        /// Seals every line with the key in this file: 64 hex digits, as openssl rand -hex 32 writes them.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Why, in words; written to the audit trail.
        #[arg(long, value_parser = value::some_text)]
        reason: Option<String>,
    },
    /// Compares a file of letters with what they are now; with --as-edit, records what was changed in it as edits.
    Import {
        /// The file.
        file: PathBuf,
        /// The key of a sealed file.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// Takes a changed file, and records an edit of each letter whose payload is another one; originals are kept.
        #[arg(long, requires = "reason")]
        as_edit: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Prints a sealed file of letters as it was before it was sealed.
    Unseal {
        /// The file.
        file: PathBuf,
        /// The key it was sealed with.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Gives letters up for good.
    Discard {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Sets letters aside, so that no replay by selector takes them.
    Park {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Reads the bills of letters anew from their source, instead of sending what lies in the letters; a later replay of them ends superseded.
    Refetch {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        change: ReasonedArgs,
    },
    /// Opens parked letters again.
    #[command(visible_alias = "unpark")]
    Reopen {
        #[command(flatten)]
        selection: SelectionArgs,
        /// Discarded ones too, for those who may.
        #[arg(long)]
        discarded: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Publishes letters again, as a job.
    Replay {
        #[command(flatten)]
        selection: SelectionArgs,
        #[command(flatten)]
        how: ReplayArgs,
        #[command(flatten)]
        change: ReasonedArgs,
        /// Waits until every letter has its outcome; exit code 6 when some failed again.
        #[arg(long, conflicts_with = "dry_run")]
        wait: bool,
    },
}

/// How a replay is done.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    /// Letters a second, at most: 20 or 20/s. The server's default where absent.
    #[arg(long, value_parser = value::rate)]
    pub(crate) rate: Option<f64>,
    /// Refuses a selection with more letters than this.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) max: Option<i64>,
    /// The flow version to handle them by: current, original, or a version.
    #[arg(long, default_value = "current")]
    pub(crate) flow_version: String,
    /// Where the road begins again: the step that failed, or the mapping of the bill as its source gave it.
    #[arg(long, default_value = "failed", value_parser = ["failed", "transform"])]
    pub(crate) from_stage: String,
    /// Letters that have failed more often than this are parked instead.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) attempt_cap: u32,
    /// Ends the job when more than this share of at least 20 outcomes are failures: 0.2. Never where absent.
    #[arg(long, value_parser = value::ratio)]
    pub(crate) stop_on_failure_ratio: Option<f64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DoubtCommand {
    /// Lists the documents in doubt.
    List {
        #[command(flatten)]
        selector: SelectorArgs,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Shows one document in doubt: where it would be, and what the ledger says. The target is not asked.
    Get {
        /// The letter.
        #[arg(value_parser = value::letter_id)]
        id: String,
    },
    /// Looks into the target now, and shows our document beside the one that is there. Changes nothing.
    Check {
        /// The letter.
        #[arg(value_parser = value::letter_id)]
        id: String,
        /// Shows the documents as they are. Needs a permission of its own and is audited.
        #[arg(long)]
        unmask: bool,
    },
    /// Settles a document by your word, after you have looked into the target.
    Resolve {
        /// The letter.
        #[arg(value_parser = value::letter_id)]
        id: String,
        /// What you found.
        #[arg(long, value_enum)]
        verdict: Verdict,
        /// The document's id in the target.
        #[arg(long, required_if_eq("verdict", "applied"))]
        target_id: Option<String>,
        #[command(flatten)]
        change: ReasonedArgs,
    },
}

/// What a person found in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verdict {
    /// The document is not there: it may be saved.
    Absent,
    /// The document is there, under the id that is given.
    Applied,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RecordCommand {
    /// Tells how a document went through every stage.
    #[command(override_usage = "starctl record trace [FLOW] KEY")]
    Trace {
        /// The flow, where several know such a document; then the document's key in the source or in the target.
        #[arg(value_names = ["FLOW", "KEY"], num_args = 1..=2, required = true)]
        document: Vec<String>,
    },
}
