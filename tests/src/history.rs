//! The history checker over a road that has come to its end: a program of its own judges what everyone left behind.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::road::Road;
use crate::servers::binaries;

/// What the checker cannot see itself.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// How long a save of unknown outcome may still be at work, milliseconds.
    pub settle: u64,
    /// When Redis was hurt, unix milliseconds.
    pub redis: Vec<i64>,
    /// Spans in which no work was possible, unix milliseconds.
    pub blackouts: Vec<(i64, i64)>,
    /// Numbers whose bill a person gave another date than that of its order: in the source, or in a letter.
    pub dates: Vec<(String, String)>,
    /// Where the history is kept, if it is.
    pub keep: Option<PathBuf>,
}

/// What it says.
#[derive(Debug, Deserialize)]
pub struct Verdict {
    /// How each invariant fared.
    pub invariants: Vec<Judged>,
    /// Every breach.
    pub violations: Vec<Violation>,
}

/// How an invariant fared.
#[derive(Debug, Deserialize)]
pub struct Judged {
    /// `I1` to `I13`.
    pub invariant: String,
    /// How many things it was judged by.
    pub looked_at: usize,
}

/// One breach.
#[derive(Debug, Deserialize)]
pub struct Violation {
    /// `I1` to `I13`.
    pub invariant: String,
    /// Whose history it is and what is wrong with it.
    pub detail: String,
}

impl Verdict {
    /// The invariants that had nothing to look at.
    pub fn blind(&self) -> Vec<&str> {
        let blind = self.invariants.iter().filter(|judged| judged.looked_at == 0);
        blind.map(|judged| judged.invariant.as_str()).collect()
    }

    /// The breaches, a line for each invariant.
    pub fn breaches(&self) -> Vec<String> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for violation in &self.violations {
            found.entry(&violation.invariant).or_default().push(&violation.detail);
        }
        let line = |(invariant, details): (&str, Vec<&str>)| {
            format!("{invariant}: {} {:?}", details.len(), details.get(..10).unwrap_or(&details))
        };
        found.into_iter().map(line).collect()
    }
}

/// Now, as the checker counts time: unix milliseconds.
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// Lets the checker judge `road`, whose stages have ended.
///
/// # Errors
/// It cannot read something.
pub async fn check(road: &Road, known: Known) -> anyhow::Result<Verdict> {
    let mut command = Command::new(binaries()?.join("history"));
    command.args(["check", "--json", "--allow-empty"]);
    let files = [
        ("--orders", road.folder().join("orders.csv")),
        ("--kafka-data", road.kafka.data().context("this Kafka is not ours")?),
        ("--source", road.source.access_file()?),
        ("--target", road.target.access_file()?),
        ("--source-log", road.source.request_log()),
        ("--target-log", road.target.request_log()),
    ];
    for (name, file) in files.into_iter().chain(known.keep.map(|file| ("--keep", file))) {
        command.arg(name).arg(file);
    }
    let mut option = |name: &str, value: &dyn ToString| {
        command.arg(name).arg(value.to_string());
    };
    option("--limit", &road.limit());
    option("--settle", &known.settle);
    let expectation = &road.expectation;
    expectation.parked.keys().for_each(|number| option("--poisoned", number));
    expectation.held_numbers.iter().for_each(|number| option("--held", number));
    known.dates.iter().for_each(|(number, date)| option("--dated", &format!("{date}={number}")));
    known.redis.iter().for_each(|time| option("--redis-hurt", time));
    known.blackouts.iter().for_each(|(from, to)| option("--blackout", &format!("{from}..{to}")));
    let output = tokio::task::spawn_blocking(move || command.output()).await?.context("running the history checker")?;
    match output.status.code() {
        Some(0 | 1) => serde_json::from_slice(&output.stdout).context("the history checker's verdict"),
        _ => bail!("the history checker ends with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}
