//! `starctl`: the operator's command line. What is here works offline: it knows the flows, and no server.
//!
//! Data goes to standard output, everything else to standard error; the exit code says how it went ([`exit`]).

mod cli;
mod exit;
mod flow_command;
mod output;
mod place;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = output::Output::new(cli.output, cli.lang);
    let outcome = match &cli.command {
        cli::Command::Flow { command } => flow_command::run(command, &output),
        cli::Command::Version => output.line(concat!("starctl ", env!("CARGO_PKG_VERSION"))).map(|()| exit::DONE),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => output.failure(&failure),
    }
}
