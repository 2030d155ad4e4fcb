//! `simulate`: runs histories by their seeds. Exit 1 when something happened in one of them that must never happen.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "Runs simulated histories of the whole road")]
struct Arguments {
    /// How many histories.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Ends with the first history in which something must never have happened.
    #[arg(long)]
    until_caught: bool,
    /// Runs this one alone and tells its story.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> std::io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    simulation::keep_panics();
    if let Some(seed) = arguments.seed {
        let outcome = simulation::run(seed, None, true);
        for line in &outcome.trace {
            writeln!(out, "{line}")?;
        }
        let words = outcome.violation.as_deref().unwrap_or("no violation");
        writeln!(out, "seed {seed}: {words}; {} steps, trace {}", outcome.steps, outcome.hash)?;
        return Ok(if outcome.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let began = Instant::now();
    let (caught, ran) = simulation::sweep(arguments.first, arguments.seeds, None, arguments.until_caught);
    for outcome in &caught {
        let words = outcome.violation.as_deref().unwrap_or_default();
        writeln!(out, "seed {}: {words} (make test-sim SEED={})", outcome.seed, outcome.seed)?;
    }
    let seconds = began.elapsed().as_secs_f64();
    writeln!(out, "{ran} histories from seed {}, {} violations, {seconds:.1} s", arguments.first, caught.len())?;
    Ok(if caught.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
