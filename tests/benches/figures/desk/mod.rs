//! The control plane's index: made anew from the log, asked by selectors, and how much memory it takes. And how well its
//! replays keep to their rate.

mod letters;
mod lists;
mod log;
mod rate;
mod rebuild;
mod selectors;
mod sets;

use std::path::Path;

use e2e::servers::Kafka;
use queue::Cluster;

use crate::figure::{Figure, Output};
use crate::{machine, say};
pub(crate) use rate::measure as rate;
pub(crate) use rebuild::{WORD, rebuild};

const LETTERS: u64 = 100_000;
/// For the figure of memory.
const MANY_LETTERS: u64 = 1_000_000;
const SELECTORS: usize = 1_000;
const RUNS: usize = 3;

/// Has the index made anew by processes of their own, and asks it by seeded selectors.
///
/// # Errors
/// The broker does not come up, an index is not what the log says, or a selector does not choose the same letters
/// wherever it may be used.
pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("starbridge-bench-").tempdir()?;
    let kafka = filled(scratch.path(), LETTERS).await?;
    let mut rebuilt = Vec::new();
    for run in 1..=RUNS {
        machine::load()?;
        let told = rebuild::run(&kafka, &scratch.path().join(format!("index-{run}")), LETTERS)?;
        say(&format!("desk, rebuild {run} of {RUNS}: {told:?}"));
        rebuilt.push(told);
    }
    anyhow::ensure!(rebuilt.windows(2).all(|two| two[0].digest == two[1].digest), "two indexes of one log differ");
    let seconds: Vec<f64> = rebuilt.iter().map(|told| told.seconds).collect();
    output.write(Figure { name: "index_rebuild", unit: "s", baseline: None }, &seconds)?;
    let path = rebuild::file(&scratch.path().join("index-1"));
    let asked = selectors::seeded(SELECTORS, LETTERS)?;
    let index = control::index::Index::open(&path).map_err(|fault| anyhow::anyhow!("{fault}"))?;
    lists::measure(output, &index, &asked, RUNS)?;
    sets::measure(output, &index, &asked, LETTERS)
}

/// Has an index of many letters made by a process of its own, which is then asked: what memory it takes.
///
/// # Errors
/// The broker does not come up, or the index is not what the log says.
pub(crate) async fn measure_many(output: &Output) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("starbridge-bench-").tempdir()?;
    let kafka = filled(scratch.path(), MANY_LETTERS).await?;
    machine::load()?;
    let told = rebuild::run(&kafka, scratch.path(), MANY_LETTERS)?;
    say(&format!("desk, {MANY_LETTERS} letters: {told:?}"));
    output.write(Figure { name: "index_rebuild_of_a_million", unit: "s", baseline: None }, &[told.seconds])?;
    output.write(Figure { name: "index_memory_peak_of_a_million", unit: "MiB", baseline: None }, &[told.peak])
}

/// A broker whose log holds so many letters.
async fn filled(scratch: &Path, letters: u64) -> anyhow::Result<Kafka> {
    let folder = scratch.to_owned();
    let kafka = tokio::task::spawn_blocking(move || Kafka::start(&folder)).await??;
    log::write(&Cluster::plaintext(kafka.brokers()), letters).await?;
    Ok(kafka)
}
