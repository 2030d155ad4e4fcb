//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Looks after Starbridge flows.
#[derive(Debug, Parser)]
#[command(name = "starctl", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Form of the data on standard output.
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Form::Text, global = true)]
    pub(crate) output: Form,
    /// Language of what the catalogue says of a code.
    #[arg(long, value_enum, default_value_t = Language::En, global = true)]
    pub(crate) lang: Language,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Form of the data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Text,
    Json,
}

/// Language of causes and ways out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    En,
    Zh,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Flows: their files, documents and cases.
    Flow {
        #[command(subcommand)]
        command: FlowCommand,
    },
    /// Prints the version.
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FlowCommand {
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
    Render {
        /// A flow folder or a flow file.
        flow: PathBuf,
        /// JSON list of rows: objects as stored, or lists as a bill query answers them.
        #[arg(long)]
        rows: PathBuf,
        /// Start of the run: unix seconds or RFC 3339; now where absent.
        #[arg(long, value_parser = instant)]
        now: Option<i64>,
        /// LAST_SYNC_TIME: unix seconds or RFC 3339; the flow's start_from where absent.
        #[arg(long, value_parser = instant)]
        last_sync_time: Option<i64>,
    },
    /// Prints the JSON Schema of the flow file.
    Schema,
}

fn instant(text: &str) -> Result<i64, String> {
    let of_date = || chrono::DateTime::parse_from_rfc3339(text).map(|instant| instant.timestamp());
    text.parse().or_else(|_| of_date()).map_err(|_| "neither unix seconds nor RFC 3339".to_owned())
}
