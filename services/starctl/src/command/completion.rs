//! `starctl completion`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit;
use crate::output::failure::Failure;

/// Prints the script of a shell.
pub(crate) fn run(shell: Shell) -> Result<u8, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "starctl", &mut script);
    io::stdout().write_all(&script)?;
    Ok(exit::DONE)
}
