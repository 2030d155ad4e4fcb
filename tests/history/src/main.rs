//! `history check`: exit 0 when a history is clean, 1 when it is not, 2 when it cannot be read.

use std::process::ExitCode;

use clap::Parser as _;
use history::command::{self, Arguments};

#[tokio::main]
#[expect(clippy::print_stdout, reason = "the verdict is this program's output")]
#[expect(clippy::print_stderr, reason = "what cannot be read is told to whoever asked")]
async fn main() -> ExitCode {
    match command::run(Arguments::parse()).await {
        Ok(verdict) => {
            print!("{}", verdict.text);
            ExitCode::from(u8::from(!verdict.clean))
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
