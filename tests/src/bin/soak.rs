//! `make soak`: documents at a steady rate for hours, with faults; nothing may grow and nothing may be missing.
//!
//! Exit 0 when everything holds, 1 when something grows, is missing or fails.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::servers::process;
use e2e::soak::{self, Plan};

#[derive(Debug, Parser)]
#[command(about = "Carries documents at a steady rate for hours, with faults, and watches what must not grow")]
struct Arguments {
    /// How long, in hours; parts of an hour too.
    #[arg(long, default_value_t = 0.5)]
    hours: f64,
    /// Documents to be carried before the time begins.
    #[arg(long, default_value_t = 150_000)]
    known: usize,
    /// New documents a minute.
    #[arg(long, default_value_t = 1_200)]
    rate: usize,
    /// Leave the systems around in peace.
    #[arg(long)]
    calm: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result is this program's output")]
#[expect(clippy::print_stderr, reason = "progress goes to the person who watches")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let time = Duration::from_secs_f64(arguments.hours.max(0.0) * 3_600.0);
    let plan = Plan { time, known: arguments.known, rate: arguments.rate, faults: !arguments.calm };
    let mut tell = |line: String| eprintln!("{line}");
    let outcome = tokio::select! {
        outcome = soak::run(&plan, &mut tell) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let code = match outcome {
        Ok(outcome) => {
            println!("{}\n\n{}", soak::table(&outcome), outcome.json());
            if outcome.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    };
    process::kill_all();
    code
}
