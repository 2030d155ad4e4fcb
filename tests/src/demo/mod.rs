//! The demonstration: real orders from one simulated Galaxy to another, and the proof that each arrived.

mod desk;
mod progress;
mod summary;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::compare::orders;
use crate::compare::rules::{self, Expectation};
use crate::fleet::{self, DeskFiles, Galaxy, GalaxyPlan, Stage, StagePlan};
use crate::servers::{Kafka, Redis, binaries, workspace};

use desk::Desk;

pub use progress::Progress;
pub use summary::{Summary, share_used};

/// What to demonstrate.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The orders file.
    pub orders: PathBuf,
    /// Calls that either Galaxy permits in any sliding minute.
    pub calls_per_minute: u32,
    /// Loaders that share the work.
    pub loaders: u32,
    /// Whether to mend the target afterwards and replay every dead letter.
    pub replay: bool,
    /// Whether everything goes on running when the result is out, until it is interrupted.
    pub stay: bool,
    /// Give up after this long.
    pub patience: Duration,
}

/// Everything that runs; dropped, it is gone.
#[derive(Debug)]
struct Running {
    source: Galaxy,
    target: Galaxy,
    stages: Vec<Stage>,
    redis: Redis,
    kafka: Kafka,
    desk: DeskFiles,
}

/// What a person does next, with the demonstration's own letters.
#[derive(Debug)]
pub struct Next {
    /// What the commands are for.
    pub title: &'static str,
    /// Commands that find, explain and replay a letter, or show what became of one that was replayed.
    pub commands: Vec<String>,
    running: Running,
}

impl Next {
    /// Ends every server.
    ///
    /// # Errors
    /// One cannot be ended.
    pub fn end(mut self) -> anyhow::Result<()> {
        for stage in self.running.stages.iter_mut().rev() {
            stage.process().stop(Duration::from_secs(60))?;
        }
        self.running.redis.kill()?;
        self.running.kafka.kill()
    }
}

/// Says a step to the person who watches.
#[expect(clippy::print_stderr, reason = "what happens is told on standard error; standard output carries the result")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// Runs the demonstration with its files in `scratch`.
///
/// # Errors
/// The orders file is bad, something does not start, or not all is done within the plan's patience.
pub async fn run(plan: &Plan, scratch: &Path) -> anyhow::Result<(Summary, Next)> {
    let (orders, lines) = orders::read(&plan.orders)?;
    let expectation = rules::expect(&orders, lines);
    say(&format!("{}: {} orders, {lines} lines", plan.orders.display(), orders.len()));

    say("starting Kafka, Redis and two Galaxies");
    let mut running = start(plan, &expectation, scratch).await?;
    let foreign = scratch.join("foreign.json");
    std::fs::write(&foreign, compare(&["snapshot", "--galaxy", path(&running.target.access_file()?)?])?.1)
        .context("keeping the snapshot")?;
    let before = running.target.admin("/stats", None).await?;

    say("starting extractor, transformer, loader and control plane");
    let begin = Instant::now();
    for stage in stages(plan, &running, scratch) {
        running.stages.push(Stage::start(stage, scratch)?);
    }
    for stage in &mut running.stages {
        stage.ready(Duration::from_secs(60)).await?;
    }
    let progress = watch(&mut running, expectation.source.len(), plan.patience, begin).await?;
    let seconds = begin.elapsed().as_secs_f64();
    let stats = [running.source.admin("/stats", None).await?, running.target.admin("/stats", None).await?];
    let log = std::fs::read_to_string(running.target.request_log()).context("reading the target's request log")?;

    let opened = {
        let (files, folder) = (running.desk.clone(), scratch.to_owned());
        tokio::task::spawn_blocking(move || Desk::open(&files, &folder)).await?
    };
    let desk = opened.context("opening the operator's desk")?;
    let parked = desk.until("state = open", expectation.parked.len())?;
    // Those about missing products are replayed by themselves in time.
    let taken = desk.ids("category = duplicate")?;

    say("comparing both Galaxies with the orders file");
    let (mut clean, mut report) = check(plan, &running, &foreign, &[])?;
    if plan.replay && clean {
        say("creating the missing products in B and removing the foreign documents there");
        crate::mend::target(&running.target, &expectation).await?;
        say("replaying every dead letter by selector");
        desk.replay("category in (reference_missing, duplicate)", "products were created, numbers freed")?;
        desk.until("state = open", 0)?;
        say("comparing both Galaxies with the orders file again");
        (clean, report) = check(plan, &running, &foreign, &["--mended"])?;
    }
    let letters = crate::compare::letters::open(
        running.kafka.brokers(),
        "starbridge.dead-letters",
        "starbridge.dead-letter-events",
    )?;
    let summary = Summary::new(plan, &progress, &report, clean, &stats, &before, &log, &letters, seconds)?;
    if plan.stay && !plan.replay {
        say("creating the missing products in B and removing the foreign documents there, so that a replay succeeds");
        crate::mend::target(&running.target, &expectation).await?;
    }
    let letter = taken.first().or(parked.first()).context("there is no letter")?;
    let starctl = binaries()?.join("starctl");
    let (title, commands) = match plan.replay {
        false => (
            "find, explain and replay one of its dead letters, while it runs (make demo DEMO_STAY=1):",
            commands(&starctl, &desk.config(), letter),
        ),
        true => (
            "see what became of one of its dead letters, while it runs (make demo DEMO_STAY=1 DEMO_REPLAY=1):",
            afterwards(&starctl, &desk.config(), letter),
        ),
    };
    Ok((summary, Next { title, commands, running }))
}

/// How a person finds, explains and replays a letter whose cause is gone.
pub fn commands(starctl: &Path, config: &Path, letter: &str) -> Vec<String> {
    let starctl = format!("{} --config {}", starctl.display(), config.display());
    vec![
        format!("{starctl} dlq list -l 'state = open'"),
        format!("{starctl} dlq get {letter}"),
        format!("{starctl} dlq replay {letter} --reason 'the number is free' --yes --wait"),
    ]
}

/// How a person sees that a letter was replayed and what came of it.
fn afterwards(starctl: &Path, config: &Path, letter: &str) -> Vec<String> {
    let starctl = format!("{} --config {}", starctl.display(), config.display());
    vec![
        format!("{starctl} dlq list -l 'state = resolved'"),
        format!("{starctl} dlq get {letter}"),
        format!("{starctl} replay list"),
    ]
}

async fn start(plan: &Plan, expectation: &Expectation, scratch: &Path) -> anyhow::Result<Running> {
    let folder = scratch.to_owned();
    let kafka = tokio::task::spawn_blocking(move || Kafka::shared(&folder));
    let list = |name: &str, lines: &BTreeSet<String>| -> anyhow::Result<PathBuf> {
        let path = scratch.join(name);
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    };
    let unknown = list("unknown-products.txt", &expectation.unknown_products)?;
    let held = list("held-numbers.txt", &expectation.held_numbers)?;
    let limit = plan.calls_per_minute.to_string();
    let redis = Redis::shared(scratch)?;
    let source =
        GalaxyPlan::new("galaxy-a").option("--orders", plan.orders.clone()).option("--calls-per-minute", limit.clone());
    let target = GalaxyPlan::new("galaxy-b")
        .option("--base-data-from", plan.orders.clone())
        .option("--unknown-products", unknown)
        .option("--held-numbers", held)
        .option("--calls-per-minute", limit);
    let source = Galaxy::start(source, scratch)?;
    let target = Galaxy::start(target, scratch)?;
    let desk = DeskFiles::make(scratch)?;
    let kafka = kafka.await.context("starting Kafka")??;
    Ok(Running { source, target, stages: Vec::new(), redis, kafka, desk })
}

/// The services' settings: the shipped flow, the two Galaxies, one scan at the start.
fn stages(plan: &Plan, running: &Running, scratch: &Path) -> Vec<StagePlan> {
    let kafka = format!("[kafka]\nbrokers = {:?}\n\n", running.kafka.brokers());
    let redis = format!("[redis]\nurl = {:?}\n\n", running.redis.url());
    let connections = fleet::connections(&[&running.source, &running.target], plan.calls_per_minute);
    let flows = workspace().join("deploy/flows/misc-inbound").display().to_string();
    let mut stages = vec![
        StagePlan {
            service: "extractor",
            ordinal: 0,
            settings: format!(
                "{kafka}{redis}[flows]\nfolders = [{flows:?}]\nrun_at_start = true\nreplication = 1\n\n{connections}"
            ),
            worker: String::new(),
        },
        StagePlan { service: "transformer", ordinal: 0, settings: kafka.clone(), worker: String::new() },
    ];
    for ordinal in 0..plan.loaders {
        stages.push(StagePlan {
            service: "loader",
            ordinal,
            // Nobody creates the missing products while all of this runs; the first try by itself comes afterwards.
            settings: format!("{kafka}{redis}[retry]\ntimed_faults = [\"10m\", \"1h\"]\n\n{connections}"),
            worker: String::new(),
        });
    }
    // It looks at documents of both Galaxies: for doubts, dry runs and edits.
    let settings = format!("{kafka}{redis}{}\n{connections}", running.desk.settings(scratch, 0, 1));
    stages.push(StagePlan { service: "control", ordinal: 0, settings, worker: String::new() });
    stages
}

/// Shows progress until every order has ended.
async fn watch(running: &mut Running, orders: usize, patience: Duration, begin: Instant) -> anyhow::Result<Progress> {
    let mut shown = progress::Display::new(orders);
    loop {
        let mut progress = Progress::default();
        for stage in &mut running.stages {
            if let Some(status) = stage.process().ended()? {
                bail!("{} ended with {status}:\n{}", stage.name(), stage.process().last_words());
            }
            // A scrape that fails is taken again a moment later.
            if let Ok(metrics) = stage.metrics().await {
                progress.add(&metrics);
            }
        }
        shown.show(&progress, begin.elapsed());
        if progress.ended() >= orders {
            shown.end();
            return Ok(progress);
        }
        if begin.elapsed() > patience {
            shown.end();
            bail!("{} of {orders} orders have not ended after {patience:?}", orders - progress.ended());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Compares both Galaxies with the orders file: whether they agree, and the report.
fn check(plan: &Plan, running: &Running, foreign: &Path, more: &[&str]) -> anyhow::Result<(bool, Value)> {
    let (source, target) = (running.source.access_file()?, running.target.access_file()?);
    let mut arguments = vec!["check", "--orders", path(&plan.orders)?, "--source", path(&source)?];
    arguments.extend(["--target", path(&target)?, "--foreign", path(foreign)?, "--brokers", running.kafka.brokers()]);
    arguments.extend(more);
    let (clean, report) = compare(&arguments)?;
    Ok((clean, serde_json::from_str(&report).context("reading the report")?))
}

/// Runs the comparison as a process of its own: whether it agreed, and what it printed.
fn compare(arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let output =
        Command::new(binaries()?.join("compare")).args(arguments).output().context("running the comparison")?;
    let text = String::from_utf8(output.stdout).context("the comparison's output")?;
    match output.status.code() {
        Some(0) => Ok((true, text)),
        Some(1) => Ok((false, text)),
        _ => bail!("{}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

fn path(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
