//! One broker for all tests of a program.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::Context as _;

use super::Kafka;

/// The broker that every test of this program shares. Tests keep apart by the names of their topics and groups.
///
/// It ends with the program, and its folder goes with it: a shell that waits for our end of a pipe removes it, so that
/// this holds for a program that is killed too.
#[derive(Debug)]
pub struct SharedKafka;

impl SharedKafka {
    /// The broker, started by whoever asks first.
    ///
    /// # Panics
    /// When it does not come up: without a broker there is nothing to test.
    pub fn get() -> &'static Kafka {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(|| match begin() {
            Ok(kafka) => kafka,
            Err(error) => panic!("no Kafka to test against: {error:?}"),
        })
    }
}

fn begin() -> anyhow::Result<Kafka> {
    let scratch = tempfile::Builder::new().prefix("starbridge-kafka-").tempdir().context("making a scratch folder")?;
    let folder = scratch.keep();
    // The pipe is never written to and never closed by us: it closes when we end.
    let sweeper = Command::new("sh")
        .args(["-c", "cat >/dev/null; sleep 1; rm -rf \"$1\"", "sweeper"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting the sweeper")?;
    let mut pipe = sweeper.stdin.context("the sweeper has a pipe")?;
    pipe.flush().context("the sweeper listens")?;
    std::mem::forget(pipe);
    Kafka::shared(&folder)
}
