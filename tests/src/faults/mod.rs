//! The real processes under faults: a nemesis draws what happens by seed, then everything is healed, drained and compared.

mod deck;
pub mod deed;
mod dice;
pub mod limits;
pub mod nemesis;
pub mod points;
pub mod proxy;
pub mod row;
pub mod run;
pub mod summary;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::servers::workspace;
use points::Points;
use row::Row;
use run::Plan;
use summary::Outcome;

/// Every so many seeds a run has its settling times as shipped.
const SHIPPED_EVERY: u64 = 10;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// How many runs, of as many seeds in a row.
    pub runs: u64,
    /// The first seed.
    pub seed: u64,
    /// Bills of each.
    pub bills: usize,
    /// Whether settling times are as shipped in all of them, and not only in every tenth.
    pub shipped: bool,
    /// Where the results and the files of runs that do not hold are.
    pub out: PathBuf,
    /// Whether runs that the results have for this commit are left out.
    pub resume: bool,
    /// Whether the files of runs that hold are kept, too.
    pub keep: bool,
    /// Whether services die at named places; they must be built with `killpoints`.
    pub points: bool,
    /// The only rows that are drawn beside kills; all when there are none.
    pub only: Vec<Row>,
}

/// Runs one after the other, each result written as it comes; gives those of this order, with those it left out, and the
/// places that services were to die at. `tell` gets what happens.
///
/// # Errors
/// A run cannot be made or its result not be kept.
pub async fn run(order: &Order, tell: &mut dyn FnMut(String)) -> anyhow::Result<(Vec<Outcome>, Option<Points>)> {
    std::fs::create_dir_all(&order.out).with_context(|| format!("making {}", order.out.display()))?;
    let out = order.out.canonicalize().context("the folder of the results")?;
    let file = out.join("results.ndjson");
    let commit = commit()?;
    let points = if order.points { Some(Points::find()?) } else { None };
    let seeds = order.seed..order.seed.saturating_add(order.runs);
    let mut runs = Vec::new();
    if order.resume {
        runs = summary::read(&file)?;
        runs.retain(|run| {
            (run.commit.as_str(), run.bills, run.at_points) == (commit.as_str(), order.bills, order.points)
                && run.only == names(&order.only)
                && seeds.contains(&run.seed)
        });
    }
    let done: BTreeSet<u64> = runs.iter().map(|run| run.seed).collect();
    for seed in seeds.filter(|seed| !done.contains(seed)) {
        let shipped = order.is_shipped(seed);
        tell(format!("seed {seed}, commit {commit}{}", if shipped { ", settling times as shipped" } else { "" }));
        let plan = Plan { seed, bills: order.bills, shipped, keep: order.keep };
        let mut outcome = run::run(plan, points.as_ref(), &order.only, &out, tell).await?;
        outcome.commit.clone_from(&commit);
        tell(format!(
            "seed {seed}: {} applied, {} parked, {} missing, {} duplicate, {} torn, {} different in {} s{}",
            outcome.applied,
            outcome.parked,
            outcome.missing,
            outcome.duplicate,
            outcome.torn,
            outcome.different,
            outcome.seconds,
            if outcome.violations.is_empty() { "" } else { ": DOES NOT HOLD" },
        ));
        append(&file, &outcome)?;
        runs.push(outcome);
    }
    Ok((runs, points))
}

/// What would befall the runs of this order, a line each.
///
/// # Errors
/// The named places cannot be read from the sources.
pub fn plan(order: &Order) -> anyhow::Result<Vec<String>> {
    let points = if order.points { Some(Points::find()?) } else { None };
    let mut lines = Vec::new();
    for seed in order.seed..order.seed.saturating_add(order.runs) {
        let shipped = order.is_shipped(seed);
        let brokers = nemesis::brokers(seed);
        lines.push(format!(
            "seed {seed}: brokers {brokers}{}",
            if shipped { ", settling times as shipped" } else { "" }
        ));
        let blows = nemesis::schedule(seed, points.as_ref(), shipped, &order.only);
        lines.extend(blows.iter().map(|blow| format!("    {blow}")));
    }
    Ok(lines)
}

impl Order {
    fn is_shipped(&self, seed: u64) -> bool {
        self.shipped || seed.is_multiple_of(SHIPPED_EVERY)
    }
}

fn names(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.name().to_owned()).collect()
}

fn append(file: &Path, outcome: &Outcome) -> anyhow::Result<()> {
    let line = serde_json::to_string(outcome).context("a result as JSON")? + "\n";
    let mut file = std::fs::File::options().create(true).append(true).open(file).context("opening the results")?;
    file.write_all(line.as_bytes()).context("writing a result")
}

/// The commit of the sources; ends in `-dirty` when they are not as committed.
pub(crate) fn commit() -> anyhow::Result<String> {
    let output = Command::new("git")
        .current_dir(workspace())
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output()
        .context("running git")?;
    ensure!(output.status.success(), "git does not know the commit: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout).context("a commit")?.trim().to_owned())
}
