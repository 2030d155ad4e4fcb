//! `make test-faults`: the real processes under faults that are drawn by seed, then healed, drained and compared.
//!
//! Exit 0 when every run holds, 1 when one does not or cannot be made, or when a series of forty falls short of what it has
//! to come to.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use e2e::faults::row::Row;
use e2e::faults::{self, Order, limits, summary};
use e2e::servers::process;

#[derive(Debug, Parser)]
#[command(about = "Runs the real processes under faults drawn by seed, and compares what came of it")]
struct Arguments {
    /// Runs, of as many seeds in a row.
    #[arg(long, default_value_t = 4)]
    runs: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Bills of each run.
    #[arg(long, default_value_t = 2_000)]
    bills: usize,
    /// Settling times as shipped in every run, not only in every tenth.
    #[arg(long)]
    shipped: bool,
    /// Where results.ndjson is, and the files of runs that do not hold.
    #[arg(long, default_value = "target/faults")]
    out: PathBuf,
    /// Keep the files of runs that hold, too.
    #[arg(long)]
    keep: bool,
    /// Let services die at named places, too; they must be built with their feature `killpoints`.
    #[arg(long)]
    points: bool,
    /// Draw nothing but kills and this row of the failure table, by a part of its name; may be given again.
    #[arg(long, value_name = "ROW", value_parser = Row::of)]
    only: Vec<Row>,
    /// Only tell what would befall each run.
    #[arg(long)]
    plan: bool,
    /// Leave out seeds that results.ndjson has for this commit.
    #[arg(long)]
    resume: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result is this program's output")]
#[expect(clippy::print_stderr, reason = "progress goes to the person who watches")]
async fn main() -> ExitCode {
    let Arguments { runs, seed, bills, shipped, out, keep, points, only, resume, plan } = Arguments::parse();
    let order = Order { runs, seed, bills, shipped, out, resume, keep, points, only };
    if plan {
        return match faults::plan(&order) {
            Ok(lines) => {
                println!("{}", lines.join("\n"));
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error:#}");
                ExitCode::FAILURE
            }
        };
    }
    let mut tell = |line: String| eprintln!("{line}");
    let outcome = tokio::select! {
        outcome = faults::run(&order, &mut tell) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let code = match outcome {
        Ok((runs, points)) => {
            println!("{}", summary::table(&runs, points.as_ref()));
            let holds = runs.iter().all(|run| run.violations.is_empty());
            if holds && limits::shortfalls(&runs).is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    };
    process::kill_all();
    code
}
