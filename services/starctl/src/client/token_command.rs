//! A program that tells the token: what reads it from a keyring, or signs in at the house's own door.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use document::{Code, Fault};
use secrecy::{ExposeSecret as _, SecretString};

use crate::exit;
use crate::output::failure::Failure;

/// No token is longer, bytes.
const LONGEST: u64 = 64 * 1024;

/// Between two looks whether the program has ended.
const LOOK: Duration = Duration::from_millis(10);

/// Runs the program without a shell and takes what it writes to standard output. It shares the terminal, so that it can
/// ask. What it wrote is in no error.
pub(super) fn run(program: &str, arguments: &[String], limit: Duration) -> Result<SecretString, Failure> {
    let cannot = |detail: String| {
        let fault =
            Fault::new(Code::NotSignedIn, format!("{program} tells no token: {detail}")).at_path("token_command");
        Failure::of(fault, exit::DENIED)
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| cannot(format!("it cannot be started: {error}")))?;
    let mut output = child.stdout.take().expect("standard output is a pipe").take(LONGEST);
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = String::new();
        let read = output.read_to_string(&mut text).map(|_| SecretString::from(text.trim()));
        // Nobody listens any more once the time is over.
        drop(told.send(read));
    });
    let begun = Instant::now();
    let read = heard.recv_timeout(limit);
    let status = loop {
        match child.try_wait().map_err(|error| cannot(error.to_string()))? {
            Some(status) => break status,
            None if begun.elapsed() < limit => std::thread::park_timeout(LOOK),
            None => {
                let ended = child.kill().and_then(|()| child.wait());
                let still = ended.err().map(|error| format!(", and it cannot be ended: {error}")).unwrap_or_default();
                return Err(cannot(format!("no end of it within {} s{still}", limit.as_secs())));
            }
        }
    };
    if !status.success() {
        return Err(cannot(format!("it ended with {status}")));
    }
    let token = read.map_err(|error| cannot(error.to_string()))?.map_err(|error| cannot(error.to_string()))?;
    if token.expose_secret().is_empty() {
        return Err(cannot("it wrote nothing".to_owned()));
    }
    Ok(token)
}
