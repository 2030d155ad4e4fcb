//! `make demo`: carries real orders from one simulated Galaxy to another and compares both sides.
//!
//! Exit 0 when everything agrees, 1 when something differs or fails, 2 when the orders file is bad, 130 on Ctrl-C.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use e2e::compare::orders::OrdersError;
use e2e::demo::{self, Plan};
use e2e::servers::process;
use tempfile::TempDir;

#[derive(Debug, Parser)]
#[command(about = "Carries real orders from one simulated Galaxy to another and compares both sides")]
struct Arguments {
    /// CSV with the columns of tests/data/superstore-orders.csv.
    #[arg(long)]
    orders: PathBuf,
    /// Calls that either Galaxy permits in any sliding minute.
    #[arg(long, default_value_t = 100)]
    calls_per_minute: u32,
    /// Loaders that share the work.
    #[arg(long, default_value_t = 1)]
    loaders: u32,
    /// Afterwards create the missing products in B, remove the foreign documents there, and replay every dead letter.
    #[arg(long)]
    replay: bool,
    /// Leave everything running when the result is out, until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// Work in this folder and leave it behind, with every log, instead of a scratch folder that is removed.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 900)]
    patience_s: u64,
}

#[expect(clippy::print_stdout, reason = "the summary is this program's output")]
#[expect(clippy::print_stderr, reason = "the reason of a failure goes to the person who watches")]
async fn run(arguments: Arguments, scratch: PathBuf) -> ExitCode {
    let plan = Plan {
        orders: arguments.orders,
        calls_per_minute: arguments.calls_per_minute,
        loaders: arguments.loaders,
        replay: arguments.replay,
        stay: arguments.stay,
        patience: Duration::from_secs(arguments.patience_s),
    };
    match demo::run(&plan, &scratch).await {
        Ok((summary, next)) => {
            println!("{summary}\n\n  {}", next.title);
            next.commands.iter().for_each(|command| println!("    {command}"));
            println!("\n{}", summary.json());
            if plan.stay {
                eprintln!("everything goes on running; Ctrl-C ends it");
                std::future::pending::<()>().await;
            }
            if let Err(error) = next.end() {
                eprintln!("demo: {error:#}");
                return ExitCode::from(1);
            }
            if summary.clean { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::from(if error.is::<OrdersError>() { 2 } else { 1 })
        }
    }
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the reason of a failure goes to the person who watches")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let scratch = match scratch(arguments.keep.as_deref()) {
        Ok(scratch) => scratch,
        Err(error) => {
            eprintln!("demo: no scratch folder: {error}");
            return ExitCode::from(1);
        }
    };
    let kept = arguments.keep.is_some();
    let running = tokio::spawn(run(arguments, scratch.path().to_owned()));
    let code = tokio::select! {
        ended = running => ended.unwrap_or(ExitCode::from(1)),
        _ = tokio::signal::ctrl_c() => ExitCode::from(130),
    };
    // Children first: a broker that still writes would bring the folder back.
    process::kill_all();
    if kept {
        eprintln!("demo: everything is left in {}", scratch.keep().display());
    } else if let Err(error) = scratch.close() {
        eprintln!("demo: the scratch folder stays behind: {error}");
    }
    // The task may still be starting something; ending the process ends that too.
    std::process::exit(if code == ExitCode::SUCCESS { 0 } else { exit_number(code) })
}

/// A folder to work in: `keep`, or one that goes away again.
fn scratch(keep: Option<&Path>) -> std::io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    match keep {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            builder.prefix("run-").tempdir_in(folder)
        }
        None => builder.prefix("starbridge-demo-").tempdir(),
    }
}

/// The number in an exit code, which the standard library does not give back.
fn exit_number(code: ExitCode) -> i32 {
    [1, 2, 130].into_iter().find(|number| ExitCode::from(*number) == code).map_or(1, i32::from)
}
