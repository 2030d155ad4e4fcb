//! How well a replay keeps to the rate it was given: letters of a whole road, replayed by its control plane as an operator
//! asks for it, and when Kafka got each record.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use e2e::compare::letters;
use e2e::fleet::Starctl;
use e2e::road::{Road, RoadPlan};
use serde_json::json;

use crate::figure::{Figure, Output, slope};
use crate::{machine, say};

/// Letters a second.
const RATES: [u16; 2] = [8, 20];
/// How long each replay publishes.
const SECONDS: u16 = 30;
/// Replays of each rate.
const RUNS: usize = 3;
/// More than could be made: what a replay waits for is its rate alone.
const CALLS_PER_MINUTE: u32 = 1_000_000;
/// The flow would wait where document after document is refused for the same reason.
const LOADER: &str = "[flow_breaker]\nrecords = 1000000\n";
/// Documents of one save at most, each of which is refused at first.
const BATCH: usize = 50;
const PATIENCE: Duration = Duration::from_secs(300);
/// Where a replay of letters of the loader publishes.
const TOPIC: &str = "starbridge.misc-inbound.mapped";

/// Has a target refuse every order, mends it, and replays the letters in jobs one after the other.
///
/// # Errors
/// Something does not start, a letter is not replayed once and applied, or an order arrives otherwise than it must.
pub(crate) async fn measure(output: &Output) -> anyhow::Result<()> {
    let jobs: Vec<u16> = (0..RUNS).flat_map(|_| RATES).collect();
    let orders: usize = jobs.iter().map(|rate| usize::from(rate * SECONDS)).sum();
    let mut road = refused(orders).await?;
    let mut ids: Vec<String> = road.letters().await?.into_keys().collect();
    let (files, folder) = (road.desk.clone(), road.folder().to_owned());
    let desk = tokio::task::spawn_blocking(move || Starctl::open(&files, folder, &["operator"], PATIENCE)).await??;
    for rate in &jobs {
        machine::load()?;
        let of_job = ids.split_off(ids.len() - usize::from(rate * SECONDS));
        let (desk, rate) = (desk.clone(), rate.to_string());
        tokio::task::spawn_blocking(move || replay(&desk, &of_job, &rate)).await??;
    }
    let published = published(&road).await?;
    anyhow::ensure!(published.len() == jobs.len(), "{} jobs published, of {}", published.len(), jobs.len());
    let mut ratios: BTreeMap<u16, Vec<f64>> = BTreeMap::new();
    for (rate, times) in jobs.iter().zip(&published) {
        let (letters, seconds) = (times.len(), times[times.len() - 1] - times[0]);
        anyhow::ensure!(letters == usize::from(rate * SECONDS), "{letters} records of a job at {rate}/s");
        let ratio = slope(times) / f64::from(*rate);
        say(&format!("desk, a replay at {rate}/s: {letters} letters in {seconds:.2} s, {ratio:.4} of its rate"));
        ratios.entry(*rate).or_default().push(ratio);
    }
    arrived(&mut road).await?;
    for (rate, ratios) in ratios {
        let name = format!("replay_at_{rate}_a_second");
        output.write(Figure { name: &name, unit: "1", baseline: Some("the rate that was asked for") }, &ratios)?;
    }
    Ok(())
}

/// A road whose every order ended as a dead letter, the cause of which is gone.
async fn refused(orders: usize) -> anyhow::Result<Road> {
    let plan = RoadPlan {
        orders,
        planted: false,
        documents: Some(BATCH),
        calls_per_minute: CALLS_PER_MINUTE,
        controls: 1,
        loader: LOADER,
        ..RoadPlan::default()
    };
    let mut road = Road::lay(plan).await?;
    let every: Vec<usize> = (0..BATCH).collect();
    let refusal = json!({"kind": "refuse_save", "indexes": every, "message": "closed for stock-taking", "count": 0});
    road.fault(refusal).await?;
    road.start_stages().await?;
    road.until("every order is refused", PATIENCE, |_, letters| letters == orders).await?;
    road.target.end_faults().await?;
    Ok(road)
}

/// Replays the letters and waits until each is applied.
fn replay(desk: &Starctl, ids: &[String], rate: &str) -> anyhow::Result<()> {
    let mut words = vec!["dlq", "replay"];
    words.extend(ids.iter().map(String::as_str));
    words.extend(["--reason", "stock was taken", "--rate", rate, "--yes", "--wait"]);
    desk.done(&words).map(drop)
}

/// When the records of each job were written, in seconds and in order; the jobs in theirs.
async fn published(road: &Road) -> anyhow::Result<Vec<Vec<f64>>> {
    let brokers = road.kafka.brokers().to_owned();
    let read = tokio::task::spawn_blocking(move || letters::times(&brokers, TOPIC, "sb-replay")).await?;
    let mut jobs: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (job, time) in read.context("reading what was published")? {
        jobs.entry(job).or_default().push(time);
    }
    let mut jobs: Vec<Vec<i64>> = jobs.into_values().collect();
    jobs.iter_mut().for_each(|times| times.sort_unstable());
    jobs.sort_unstable();
    let seconds = |times: Vec<i64>| {
        let first = times[0];
        times.into_iter().map(|time| seconds(time - first)).collect()
    };
    Ok(jobs.into_iter().map(seconds).collect())
}

/// Asserts that every order arrived as it must.
async fn arrived(road: &mut Road) -> anyhow::Result<()> {
    for stage in road.stages.iter_mut().rev() {
        stage.process().stop(PATIENCE)?;
    }
    let ended = road.compare_with(BTreeMap::new()).await?;
    anyhow::ensure!(ended.report.is_clean(), "not every order arrived as it must: {:#?}", ended.report);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1e3
}
