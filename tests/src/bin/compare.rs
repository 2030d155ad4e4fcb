//! `compare`: what two Galaxies hold, against what the orders file says they must.
//!
//! Exit 0 only when everything agrees; 1 when something differs; 2 when the comparison itself could not be made.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use e2e::compare::webapi::{Access, Bills, Galaxy};
use e2e::compare::{letters, orders, report, rules};

#[derive(Debug, Parser)]
#[command(about = "Compares two Galaxies with what the orders file says they must hold")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write down every bill that a Galaxy holds, as JSON on standard output.
    Snapshot {
        /// JSON file with url, acct_id, user, app_id and app_secret.
        #[arg(long)]
        galaxy: PathBuf,
    },
    /// Compare; the report goes to standard output as JSON.
    Check {
        /// The orders file.
        #[arg(long)]
        orders: PathBuf,
        /// Access to the source, as for `snapshot`.
        #[arg(long)]
        source: PathBuf,
        /// Access to the target, as for `snapshot`.
        #[arg(long)]
        target: PathBuf,
        /// Snapshot of the target from before the run: the foreign bills.
        #[arg(long)]
        foreign: PathBuf,
        /// Kafka, as host:port.
        #[arg(long)]
        brokers: String,
        /// Topic of the dead letters.
        #[arg(long, default_value = "starbridge.dead-letters")]
        letters: String,
        /// Topic of what became of them.
        #[arg(long, default_value = "starbridge.dead-letter-events")]
        events: String,
        /// What was planted was mended since: every order must be in the target.
        #[arg(long)]
        mended: bool,
    },
}

fn access(path: &Path) -> anyhow::Result<Access> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))
}

async fn bills(path: &Path) -> anyhow::Result<Bills> {
    Galaxy::login(&access(path)?).await?.bills().await
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Snapshot { galaxy } => {
            println!("{}", serde_json::to_string(&bills(&galaxy).await?)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { orders, source, target, foreign, brokers, letters, events, mended } => {
            let (orders, lines) = orders::read(&orders)?;
            let mut expectation = rules::expect(&orders, lines);
            let mut foreign: Bills = serde_json::from_slice(&std::fs::read(&foreign).context("reading the snapshot")?)
                .context("reading the snapshot")?;
            if mended {
                // The foreign bills that held our numbers were removed.
                foreign.retain(|number, _| !expectation.held_numbers.contains(number));
                expectation = expectation.without_failures();
            }
            let read = move || letters::open(&brokers, &letters, &events);
            let letters = tokio::task::spawn_blocking(read).await??;
            let report =
                report::compare(&expectation, &bills(&source).await?, &bills(&target).await?, &foreign, &letters);
            println!("{}", serde_json::to_string(&report)?);
            Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(1) })
        }
    }
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the reason of a failure goes to the person who called")]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("compare: {error:#}");
            ExitCode::from(2)
        }
    }
}
