//! `starctl`: the operator's command line. It looks at flows offline, and speaks with the control plane about everything
//! else.
//!
//! Data goes to standard output, everything else to standard error; the exit code says how it went ([`exit`]).

mod about;
mod cli;
mod client;
mod command;
mod context;
mod exit;
mod message;
mod output;
mod place;
mod private_file;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

fn main() -> ExitCode {
    let matches = about::translated(cli::Cli::command()).get_matches();
    match cli::Cli::from_arg_matches(&matches) {
        Ok(cli) => command::run(&cli),
        Err(error) => error.exit(),
    }
}
