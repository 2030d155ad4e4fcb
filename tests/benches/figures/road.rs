//! The whole road, a target without limit at its end: documents a second, memory of each service, calls saved.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::DateTime;
use e2e::road::{Road, RoadPlan};
use serde_json::Value;

use crate::figure::{Figure, Output};
use crate::{machine, say};

const RUNS: usize = 5;
/// Every order of the shipped file comes so often.
const COPIES: usize = 4;
/// More than could be made.
const CALLS_PER_MINUTE: u32 = 1_000_000;
const PATIENCE: Duration = Duration::from_secs(300);
const SERVICES: [&str; 3] = ["extractor", "transformer", "loader"];
const ONE_CALL: &str = "one call per document";

/// What one run came to.
#[derive(Debug)]
struct Outcome {
    documents_per_second: f64,
    calls_saved: f64,
    /// Highest and last resident memory of each service, MB.
    memory: [[f64; 2]; 3],
}

/// Carries the orders again and again, each time through servers and services of their own.
///
/// # Errors
/// Something does not start, or not every order arrives as it must.
pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let mut outcomes = Vec::new();
    for number in 1..=RUNS {
        machine::load()?;
        let outcome = run().await?;
        say(&format!("road, run {number} of {RUNS}: {outcome:?}"));
        outcomes.push(outcome);
    }
    let over = |value: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(value).collect::<Vec<f64>>();
    let speed = Figure { name: "documents_end_to_end", unit: "1/s", baseline: None };
    output.write(speed, &over(&|outcome| outcome.documents_per_second))?;
    let saved = Figure { name: "target_calls_saved", unit: "1", baseline: Some(ONE_CALL) };
    output.write(saved, &over(&|outcome| outcome.calls_saved))?;
    for (at, service) in SERVICES.into_iter().enumerate() {
        for (of, kind) in ["peak", "resident"].into_iter().enumerate() {
            let name = format!("memory_{kind}_{service}");
            let memory = Figure { name: &name, unit: "MB", baseline: None };
            output.write(memory, &over(&|outcome| outcome.memory[at][of]))?;
        }
    }
    Ok(())
}

async fn run() -> anyhow::Result<Outcome> {
    let plan = RoadPlan {
        orders: usize::MAX,
        copies: COPIES,
        planted: false,
        calls_per_minute: CALLS_PER_MINUTE,
        ..RoadPlan::default()
    };
    let mut road = Road::lay(plan).await?;
    let before = calls(&road.target.admin("/stats", None).await?)?;
    road.start_stages().await?;
    let documents = road.expectation.source.len();
    arrived(&road, documents).await?;
    let calls = calls(&road.target.admin("/stats", None).await?)? - before;
    let mut memory = [[0.0; 2]; 3];
    for (service, memory) in SERVICES.into_iter().zip(&mut memory) {
        for (field, memory) in ["VmHWM", "VmRSS"].into_iter().zip(memory) {
            for stage in road.of(service) {
                *memory += float(stage.process().memory("status", field)?) / 1e6;
            }
        }
    }
    let ended = road.finish(PATIENCE).await?;
    anyhow::ensure!(ended.report.is_clean(), "not every order arrived as it must: {:#?}", ended.report);
    let documents = float(documents as u64);
    Ok(Outcome {
        documents_per_second: documents / seconds(&road)?,
        calls_saved: 1.0 - float(calls) / documents,
        memory,
    })
}

/// Waits until the target holds `documents` of ours. It alone is asked, and seldom: whoever watches takes from what is
/// measured.
async fn arrived(road: &Road, documents: usize) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let stats = road.target.admin("/stats", None).await?;
        let held = stats["documents"]["STK_MISCELLANEOUS"].as_u64().unwrap_or(0);
        if held >= documents as u64 {
            return Ok(());
        }
        anyhow::ensure!(begin.elapsed() < PATIENCE, "{held} of {documents} orders after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// From the first query of the source to the end of the last save in the target.
fn seconds(road: &Road) -> anyhow::Result<f64> {
    let first = entries(&road.source)?.into_iter().find(|entry| entry["method"] == "ExecuteBillQuery");
    let first = first.context("the source was never asked")?;
    let last = entries(&road.target)?.into_iter().rfind(|entry| entry["method"] == "BatchSave");
    let last = last.context("nothing was saved")?;
    let took = Duration::from_millis(last["duration_ms"].as_u64().context("a save has a duration")?);
    let between = (at(&last)? - at(&first)?).to_std().context("the first query comes before the last save")?;
    Ok((between + took).as_secs_f64())
}

fn entries(galaxy: &e2e::fleet::Galaxy) -> anyhow::Result<Vec<Value>> {
    let text = std::fs::read_to_string(galaxy.request_log()).context("reading a request log")?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| format!("a call: {line}"))).collect()
}

fn at(entry: &Value) -> anyhow::Result<DateTime<chrono::FixedOffset>> {
    let time = entry["time"].as_str().context("a call has a time")?;
    DateTime::parse_from_rfc3339(time).with_context(|| format!("the time {time}"))
}

fn calls(stats: &Value) -> anyhow::Result<u64> {
    stats["calls"].as_u64().with_context(|| format!("no calls in {stats}"))
}

#[expect(clippy::cast_precision_loss, reason = "counts of documents, calls and bytes")]
fn float(count: u64) -> f64 {
    count as f64
}
