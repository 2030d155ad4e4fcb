//! Takes a token from a file, a pipe, or a terminal that does not show it.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;

use document::{Code, Fault};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;

use crate::exit;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::private_file;

pub(super) fn read(from: Option<&Path>, output: &Output) -> Result<SecretString, Failure> {
    let text = match from {
        Some(path) => private_file::read(path)?.ok_or_else(|| Failure::of(super::no_file(path), exit::NOT_FOUND))?,
        None if io::stdin().is_terminal() => hidden(output)?,
        None => line()?,
    };
    match text.trim() {
        "" => Err(Failure::of(Fault::new(Code::NotSignedIn, "no token was given"), exit::USAGE)),
        token => Ok(SecretString::from(token)),
    }
}

fn line() -> Result<String, Failure> {
    let mut text = String::new();
    io::stdin().lock().read_line(&mut text)?;
    Ok(text)
}

/// A line that is typed without being shown.
fn hidden(output: &Output) -> Result<String, Failure> {
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin).map_err(io::Error::from)?;
    let mut silent = shown.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    // Before the question: who answers at once must not be shown either.
    tcsetattr(&stdin, OptionalActions::Now, &silent).map_err(io::Error::from)?;
    let asked = write!(io::stderr(), "{}", output.pick("Token: ", "令牌："));
    let typed = asked.map_err(Failure::Output).and_then(|()| line());
    tcsetattr(&stdin, OptionalActions::Now, &shown).map_err(io::Error::from)?;
    writeln!(io::stderr())?;
    typed
}
