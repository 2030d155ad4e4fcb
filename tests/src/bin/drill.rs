//! `make drills`: how long it takes until a new bill stands in the target after something was taken away.
//!
//! Exit 0 when every limit holds and every road is as it must be, 1 when not, or when a drill cannot be made.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use e2e::drills::kind::Kind;
use e2e::drills::{self, Order};
use e2e::servers::process;

#[derive(Debug, Parser)]
#[command(about = "Takes away one thing at a time and measures the time to the first new bill in the target")]
struct Arguments {
    /// Which drills, comma separated; all of them as it is.
    #[arg(long, value_delimiter = ',')]
    kinds: Vec<Kind>,
    /// Where results.ndjson is, and the files of roads that do not hold.
    #[arg(long, default_value = "target/drills")]
    out: PathBuf,
    /// Go on with what results.ndjson has for this commit.
    #[arg(long)]
    resume: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the result is this program's output")]
#[expect(clippy::print_stderr, reason = "progress goes to the person who watches")]
async fn main() -> ExitCode {
    let Arguments { mut kinds, out, resume } = Arguments::parse();
    if kinds.is_empty() {
        kinds = Kind::ALL.to_vec();
    }
    let order = Order { kinds, out, resume };
    let mut tell = |line: String| eprintln!("{line}");
    let outcome = tokio::select! {
        outcome = drills::run(&order, &mut tell) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let code = match outcome {
        Ok(results) => {
            println!("{}", results.table(&order.kinds));
            if results.violations(&order.kinds).is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    };
    process::kill_all();
    code
}
