//! Drills: one thing at a time is taken away from a road that bills trickle along, every wait and deadline as it is shipped,
//! and the time is taken until a new bill stands in the target. Then the road is drained and compared.

pub mod drill;
pub mod kind;
pub mod summary;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::faults::commit;
use drill::Drill;
use kind::Kind;
use summary::{Line, Results};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which drills.
    pub kinds: Vec<Kind>,
    /// Where the results are, and the files of roads that do not hold.
    pub out: PathBuf,
    /// Whether what the results have for this commit is not done again.
    pub resume: bool,
}

/// Does every drill as often as it must be done, each result written as it comes. `tell` gets what happens.
///
/// # Errors
/// A road cannot be laid or its results not be kept.
pub async fn run(order: &Order, tell: &mut dyn FnMut(String)) -> anyhow::Result<Results> {
    std::fs::create_dir_all(&order.out).with_context(|| format!("making {}", order.out.display()))?;
    let out = order.out.canonicalize().context("the folder of the results")?;
    let (file, commit) = (out.join("results.ndjson"), commit()?);
    let mut results = Results::read(&file, &commit)?;
    if !order.resume {
        results = Results { last_road: results.last_road, ..Results::default() };
    }
    for kind in &order.kinds {
        // A kill may turn out to be of another kind than was meant, so this ends at some time in any case.
        for _ in 0..kind.times() {
            if results.of(*kind).len() >= kind.times() {
                break;
            }
            results.last_road += 1;
            road(*kind, &mut results, &file, &out, &commit, tell).await?;
        }
    }
    Ok(results)
}

/// Lays a road, lets blows of a kind fall on it, and judges it. A blow that it does not survive is its last.
async fn road(
    kind: Kind,
    results: &mut Results,
    file: &Path,
    out: &Path,
    commit: &str,
    tell: &mut dyn FnMut(String),
) -> anyhow::Result<()> {
    let number = results.last_road;
    tell(format!("road {number}, commit {commit}: {kind}"));
    let mut drill = Drill::begin(kind, number, out, tell).await?;
    let mut failed = None;
    for _ in 0..kind.on_one_road() {
        let done = results.of(kind).len();
        if done >= kind.times() {
            break;
        }
        match drill.blow(kind, results.blows.len()).await {
            Ok(blow) => {
                append(file, &Line::Blow(blow.clone()))?;
                results.blows.push(blow);
            }
            Err(error) => {
                failed = Some(format!("{error:#}"));
                break;
            }
        }
    }
    let judged = drill.end(commit, failed).await;
    tell(format!(
        "road {number}: {} bills, {} applied, {} missing, {} duplicate, {} torn, {} different{}",
        judged.bills,
        judged.applied,
        judged.missing,
        judged.duplicate,
        judged.torn,
        judged.different,
        if judged.violations.is_empty() { "" } else { ": DOES NOT HOLD" },
    ));
    append(file, &Line::Judged(judged.clone()))?;
    results.roads.push(judged);
    Ok(())
}

fn append(file: &Path, line: &Line) -> anyhow::Result<()> {
    let line = serde_json::to_string(line).context("a result as JSON")? + "\n";
    let mut file = std::fs::File::options().create(true).append(true).open(file).context("opening the results")?;
    file.write_all(line.as_bytes()).context("writing a result")
}
