//! The soak: documents at a steady rate for hours, with faults, while everything that must not grow is watched.

pub mod sample;
pub mod slope;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::compare::rules::{Bill, Expectation};
use crate::mend::{model, portion};
use crate::road::{Road, RoadPlan};
use sample::{Line, Series};

const FORM: &str = "STK_MISCELLANEOUS";
/// Orders of the real file that are given to the source again and again, under new numbers.
const ORDERS: usize = 500;
/// Of what is known beforehand, how much the source gets at once.
const KNOWN_AT_ONCE: usize = 5_000;
/// Time between two portions of new bills.
const PORTION: Duration = Duration::from_secs(10);
/// Time between two samples.
const SAMPLE: Duration = Duration::from_secs(20);
/// Documents that have not ended this long after the last fault never will.
const DRAIN: Duration = Duration::from_secs(900);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How long.
    pub time: Duration,
    /// Documents that have been carried before the time begins: caches fill until the tables that they are about are larger.
    pub known: usize,
    /// New documents a minute.
    pub rate: usize,
    /// Whether the systems around fail now and then.
    pub faults: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Documents given to the source.
    pub documents: usize,
    /// From the first portion to the last, seconds.
    pub seconds: f64,
    /// Every stage with its figures.
    pub stages: Vec<(String, Vec<Line>)>,
    /// Saves the target got.
    pub saves: u64,
    /// Whether every document arrived as it must.
    pub clean: bool,
}

impl Outcome {
    /// Whether nothing grew and nothing is missing.
    pub fn holds(&self) -> bool {
        self.clean && self.stages.iter().flat_map(|(_, lines)| lines).all(|line| line.holds)
    }

    /// One JSON object.
    pub fn json(&self) -> Value {
        let line = |line: &Line| {
            let percent = (line.growth * 10_000.0).round() / 100.0;
            json!({"measure": line.measure, "first": line.ends.0, "last": line.ends.1, "percent_an_hour": percent,
                "holds": line.holds})
        };
        let stages: BTreeMap<&str, Vec<Value>> =
            self.stages.iter().map(|(name, lines)| (name.as_str(), lines.iter().map(line).collect())).collect();
        json!({"documents": self.documents, "seconds": self.seconds.round(), "saves": self.saves, "clean": self.clean,
            "holds": self.holds(), "stages": stages})
    }
}

/// What happens to the systems around, over and over: faults of the target by chance, and one blow after another.
async fn begin_faults(road: &Road) -> anyhow::Result<()> {
    let faults = json!([
        {"kind": "status", "status": 500, "body": "json", "call": "BatchSave", "probability": 0.01},
        {"kind": "status", "status": 502, "at": "after", "call": "BatchSave", "probability": 0.005},
        {"kind": "odd_dindex", "how": "missing", "call": "BatchSave", "probability": 0.01},
        {"kind": "latency", "ms": 700, "probability": 0.05},
        {"kind": "throttle", "http": true, "ms": 1_000, "probability": 0.005},
    ]);
    road.target.admin("/faults", Some(&faults)).await?;
    let source = json!([
        {"kind": "truncated", "call": "ExecuteBillQuery", "probability": 0.02},
        {"kind": "session_loss", "force": true, "probability": 0.005},
        {"kind": "latency", "ms": 400, "probability": 0.05},
    ]);
    road.source.admin("/faults", Some(&source)).await.map(drop)
}

/// Gives new bills to the source.
async fn give(road: &Road, new: &[(String, Bill)]) -> anyhow::Result<()> {
    if new.is_empty() {
        return Ok(());
    }
    let documents: Vec<Value> = new.iter().map(|(number, bill)| model(number, bill)).collect();
    let order = json!({"form": FORM, "documents": documents});
    road.source.admin("/documents", Some(&order)).await.map(drop).context("giving bills to the source")
}

/// Runs the soak. `tell` gets a line now and then.
///
/// # Errors
/// Something does not start, a stage ends, or documents do not end after the faults have.
pub async fn run(plan: &Plan, tell: &mut dyn FnMut(String)) -> anyhow::Result<Outcome> {
    let lay = RoadPlan { orders: ORDERS, planted: false, calls_per_minute: 600, cron: None, ..RoadPlan::default() };
    let mut road = Road::lay(lay).await?;
    let flow = road.flow_folder().join("flow.toml");
    let text = std::fs::read_to_string(&flow).context("reading the flow")?;
    std::fs::write(&flow, text.replace("*/5 * * * *", "* * * * *")).context("writing the flow")?;
    road.start_stages().await?;
    let first = road.expectation.source.clone();
    let orders: Vec<(&String, &Bill)> = first.iter().collect();
    road.until("the first orders end", DRAIN, |applied, _| applied >= first.len()).await?;
    let mut bills = first.clone();
    let mut given = 0;
    while given < plan.known {
        let new = portion(&orders, given + orders.len(), (plan.known - given).min(KNOWN_AT_ONCE));
        given += new.len();
        give(&road, &new).await?;
        bills.extend(new);
        let all = bills.len();
        road.until("what is known beforehand ends", DRAIN, |applied, _| applied >= all).await?;
        tell(format!("{given} of {} known beforehand", plan.known));
    }
    let known = given;
    if plan.faults {
        begin_faults(&road).await?;
    }
    let mut watched: Vec<Series> = road.stages.iter().map(|stage| Series::of(stage.name())).collect();
    let (begin, mut sampled, mut blow) = (Instant::now(), Duration::ZERO, Duration::from_secs(120));
    while begin.elapsed() < plan.time {
        let due = usize::try_from(begin.elapsed().as_secs()).context("seconds")? * plan.rate / 60;
        let new = portion(&orders, given + orders.len(), (known + due).saturating_sub(given));
        given += new.len();
        give(&road, &new).await?;
        bills.extend(new);
        if begin.elapsed() >= sampled {
            sampled = begin.elapsed() + SAMPLE;
            let folder = road.folder().to_owned();
            for (series, stage) in watched.iter_mut().zip(&road.stages) {
                series.look(stage, &folder, begin.elapsed().as_secs_f64()).await?;
            }
        }
        if plan.faults && begin.elapsed() >= blow {
            blow += Duration::from_secs(300);
            road.redis.command("FLUSHALL").context("flushing Redis")?;
            let (applied, letters) = road.ended_now().await?;
            tell(format!("{:>6} s: {given} given, {applied} applied, {letters} letters", begin.elapsed().as_secs()));
        }
        tokio::time::sleep(PORTION).await;
    }
    let seconds = begin.elapsed().as_secs_f64();
    road.source.end_faults().await?;
    road.target.end_faults().await?;
    road.expectation = Expectation { source: bills, ..Expectation::default() }.without_failures();
    let ended = road.finish(DRAIN).await?;
    let clean = ended.report.is_clean();
    if !clean {
        tell(format!("{:#?}", ended.report));
    }
    // A process grows until it has met everything once.
    let warm = (seconds / 3.0).min(1_200.0);
    let given = given - known;
    let documents = u32::try_from(given).map_or(f64::MAX, f64::from) * (1.0 - warm / seconds.max(1.0));
    let stages = watched.iter().map(|series| (series.name.clone(), series.lines(warm, documents))).collect();
    ensure!(given > 0, "no document was given in {seconds} s");
    Ok(Outcome { documents: given, seconds, stages, saves: ended.target_calls("BatchSave"), clean })
}

/// The result for a person.
pub fn table(outcome: &Outcome) -> String {
    let mut lines =
        vec![format!("{:<14} {:<11} {:>14} {:>14} {:>12}", "stage", "measure", "first", "last", "per hour")];
    for (stage, figures) in &outcome.stages {
        for line in figures {
            let verdict = if line.holds { "" } else { "  GROWS" };
            lines.push(format!(
                "{stage:<14} {:<11} {:>14.0} {:>14.0} {:>11.2}%{verdict}",
                line.measure,
                line.ends.0,
                line.ends.1,
                line.growth * 100.0
            ));
        }
    }
    lines.join("\n")
}
