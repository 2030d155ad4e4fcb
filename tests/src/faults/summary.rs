//! What runs ended with: one line of JSON each, and what they come to together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::limits::shortfalls;
use super::nemesis::SERVICES;
use super::points::Points;
use super::row::Row;
use super::run::Plan;
use crate::history::Verdict;
use crate::road::Ended;

/// From a blow to the first document that went further.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recovery {
    /// What was killed: a service, `loader in doubt` with a save that had no outcome yet, `broker`, or `all` for all services
    /// and Redis.
    pub of: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether it ever did.
    pub works: bool,
}

impl Recovery {
    /// What was waited for in vain, and how long.
    pub fn never(&self) -> Option<(String, f64)> {
        (!self.works).then(|| (self.of.clone(), self.seconds))
    }
}

/// What one run ended with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What drew the blows.
    pub seed: u64,
    /// The commit of the sources.
    pub commit: String,
    /// Bills that arrived at the source.
    pub bills: usize,
    /// Whether settling times were as shipped.
    pub shipped: bool,
    /// Whether services were made to die at named places, too.
    #[serde(default)]
    pub at_points: bool,
    /// The only rows that were drawn beside kills; all when there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// How often each row of the failure table was hit.
    pub rows: BTreeMap<String, usize>,
    /// What happened, in order.
    pub blows: Vec<String>,
    /// Bills that are not in the target and must be.
    pub missing: usize,
    /// Numbers that the target holds more than once.
    pub duplicate: usize,
    /// Bills without all of their lines.
    pub torn: usize,
    /// Bills that differ otherwise.
    pub different: usize,
    /// Bills that stand in the target as they must.
    pub applied: usize,
    /// Bills whose letter is the one it must be.
    pub parked: usize,
    /// From laying the road to the comparison.
    pub seconds: f64,
    /// From the end of the last fault to the end of the last bill.
    pub drain_seconds: f64,
    /// Processes that ended by themselves and were started again.
    pub restarts: usize,
    /// Processes that did not end within a minute when asked.
    pub slow_stops: usize,
    /// Most calls that source and target got in any sliding minute.
    pub fullest_minute: [u64; 2],
    /// From each kill to the first new document.
    pub recovery: Vec<Recovery>,
    /// Where services died that were to die at a named place: service and place.
    #[serde(default)]
    pub deaths: Vec<String>,
    /// Where services stood still that were to stand still at a named place.
    #[serde(default)]
    pub standstills: Vec<String>,
    /// Places that services were to die at, and did not come by in time.
    #[serde(default)]
    pub never_came_by: Vec<String>,
    /// Deaths and standstills alike, of a run whose line was written before they were told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<String>,
    /// How many things the history checker judged each invariant by.
    #[serde(default)]
    pub judged: BTreeMap<String, usize>,
    /// Everything that is not as it must be.
    pub violations: Vec<String>,
    /// Where the run's files are, when something is not as it must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

impl Outcome {
    /// Nothing yet.
    pub(super) fn of(plan: Plan, at_points: bool, only: &[Row]) -> Self {
        let only = super::names(only);
        Self { seed: plan.seed, bills: plan.bills, shipped: plan.shipped, at_points, only, ..Self::default() }
    }

    /// A blow that was struck did not hit this row after all.
    pub(super) fn missed(&mut self, row: Row) {
        if let Some(hits) = self.rows.get_mut(row.name()) {
            *hits = hits.saturating_sub(1);
        }
    }

    /// Takes over what the comparison says.
    pub(super) fn take(&mut self, ended: &Ended) {
        let report = &ended.report;
        (self.applied, self.parked) = (report.applied, report.parked);
        (self.missing, self.duplicate) = (report.missing.len(), report.duplicate.len());
        (self.torn, self.different) = (report.torn.len(), report.different.len());
        self.fullest_minute =
            [&ended.source, &ended.target].map(|stats| stats["fullest_minute"].as_u64().unwrap_or(u64::MAX));
        self.violations.extend(report.deviations());
    }
}

impl Outcome {
    /// Takes over what the history checker says. Redis is not hurt in every run.
    pub(super) fn take_verdict(&mut self, verdict: Verdict) {
        for blind in verdict.blind().into_iter().filter(|invariant| *invariant != "I12") {
            self.violations.push(format!("{blind}: nothing to look at"));
        }
        self.violations.extend(verdict.breaches());
        self.judged = verdict.invariants.into_iter().map(|judged| (judged.invariant, judged.looked_at)).collect();
    }
}

/// Every run that `file` tells of; none when there is no such file.
///
/// # Errors
/// A line is not a run.
pub fn read(file: &Path) -> anyhow::Result<Vec<Outcome>> {
    if !file.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let line = |(at, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("line {} of {}", at + 1, file.display()))
    };
    text.lines().enumerate().map(line).collect()
}

/// The 95th percentile: the smallest value that no more than a twentieth of all exceed.
pub(crate) fn p95(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len() * 95).div_ceil(100);
    sorted.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// Seconds from each blow to the first document that went further, by what was struck.
pub(super) fn recoveries<'a>(runs: impl Iterator<Item = &'a Outcome>) -> BTreeMap<&'a str, Vec<f64>> {
    let mut recoveries: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for recovery in runs.flat_map(|run| &run.recovery) {
        recoveries.entry(&recovery.of).or_default().push(recovery.seconds);
    }
    recoveries
}

/// What they come to at named places; of each service also, where `points` are known, which of them were hit.
fn places(runs: &[Outcome], points: Option<&Points>) -> Vec<String> {
    let all = |of: fn(&Outcome) -> &Vec<String>| runs.iter().flat_map(of).map(String::as_str).collect::<Vec<&str>>();
    let mut lines = Vec::new();
    for (what, at) in [
        ("deaths", all(|run| &run.deaths)),
        ("standstills", all(|run| &run.standstills)),
        ("deaths and standstills, of runs that did not tell them apart,", all(|run| &run.points)),
    ] {
        let places: BTreeSet<&str> = at.iter().copied().collect();
        if !places.is_empty() {
            lines.push(format!("{} {what} at {} named places", at.len(), places.len()));
        }
    }
    let Some(points) = points else { return lines };
    let (died, missed): (BTreeSet<&str>, BTreeSet<&str>) =
        (all(|run| &run.deaths).into_iter().collect(), all(|run| &run.never_came_by).into_iter().collect());
    for service in SERVICES {
        let (mut hit, mut vain, mut never) = (0, Vec::new(), Vec::new());
        for point in points.of(service) {
            let place = format!("{service} {point}");
            if died.contains(place.as_str()) {
                hit += 1;
            } else if missed.contains(place.as_str()) {
                vain.push(point.as_str());
            } else {
                never.push(point.as_str());
            }
        }
        let list = |places: &[&str]| if places.is_empty() { "none".to_owned() } else { places.join(" ") };
        lines.push(format!(
            "{service} died at {hit} of {} places; was to, and did not come by: {}; never: {}",
            points.of(service).len(),
            list(&vain),
            list(&never)
        ));
    }
    lines
}

/// What all of them come to, for a person; `points` where services were to die at them.
pub fn table(runs: &[Outcome], points: Option<&Points>) -> String {
    let mut lines = Vec::new();
    let commits: BTreeSet<&str> = runs.iter().map(|run| run.commit.as_str()).collect();
    for commit in commits {
        let seeds: Vec<String> =
            runs.iter().filter(|run| run.commit == commit).map(|run| run.seed.to_string()).collect();
        lines.push(format!("commit {commit}: seeds {}", seeds.join(" ")));
    }
    let sum = |of: fn(&Outcome) -> usize| runs.iter().map(of).sum::<usize>();
    lines.push(format!(
        "{} runs, {} bills: {} applied, {} parked, {} missing, {} duplicate, {} torn, {} different; {} processes ended \
         by themselves",
        runs.len(),
        sum(|run| run.bills),
        sum(|run| run.applied),
        sum(|run| run.parked),
        sum(|run| run.missing),
        sum(|run| run.duplicate),
        sum(|run| run.torn),
        sum(|run| run.different),
        sum(|run| run.restarts),
    ));
    lines.push(format!("{} runs with settling times as shipped", sum(|run| usize::from(run.shipped))));
    lines.push(String::new());
    lines.push(format!("{:>5}  row of the failure table", "hits"));
    for row in Row::ALL {
        let hits: usize = runs.iter().filter_map(|run| run.rows.get(row.name())).sum();
        let elsewhere = row.elsewhere().map(|place| format!(" (not drawn; {place})")).unwrap_or_default();
        let parts = row.left_out().iter().map(|(what, place)| format!(" (but not {what}; {place})"));
        lines.push(format!("{hits:>5}  {}{elsewhere}{}", row.name(), parts.collect::<String>()));
    }
    lines.extend(places(runs, points));
    lines.push(String::new());
    lines.push(format!(
        "{:<15} {:>5} {:>8} {:>8}  from kill to first new document",
        "killed", "kills", "p95 s", "most s"
    ));
    for (of, seconds) in recoveries(runs.iter()) {
        let most = seconds.iter().copied().fold(0.0, f64::max);
        lines.push(format!("{of:<15} {:>5} {:>8.1} {most:>8.1}", seconds.len(), p95(&seconds)));
    }
    for run in runs.iter().filter(|run| !run.violations.is_empty()) {
        lines.push(String::new());
        let shipped = if run.shipped { " --shipped" } else { "" };
        let points = if run.at_points { " --points" } else { "" };
        let only: String = run.only.iter().map(|row| format!(" --only {row:?}")).collect();
        let again = format!("faults --runs 1 --seed {} --bills {}{shipped}{points}{only}", run.seed, run.bills);
        lines.push(format!("VIOLATION, seed {}: again by `{again}`", run.seed));
        lines.extend(run.violations.iter().map(|violation| format!("  {violation}")));
        lines.extend(run.kept.iter().map(|kept| format!("  kept in {kept}")));
    }
    let short = shortfalls(runs);
    if !short.is_empty() {
        lines.push(String::new());
        lines.extend(short.iter().map(|short| format!("FALLS SHORT: {short}")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, seconds: f64) -> Outcome {
        let recovery = vec![Recovery { of: "loader".to_owned(), seconds, works: true }];
        let rows = [(Row::Kill.name().to_owned(), 2)].into();
        Outcome { seed, commit: "abc".to_owned(), bills: 9, applied: 9, rows, recovery, ..Outcome::default() }
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("results.ndjson");
        assert_eq!(read(&file).expect("none"), []);
        let runs = [run(1, 3.5), run(2, 4.0)];
        let lines: Vec<String> = runs.iter().map(|run| serde_json::to_string(run).expect("JSON")).collect();
        std::fs::write(&file, lines.join("\n")).expect("written");
        assert_eq!(read(&file).expect("two"), runs);
        std::fs::write(&file, "{}").expect("written");
        assert!(format!("{:#}", read(&file).expect_err("no run")).contains("line 1 of"));
    }

    #[test]
    fn the_summary_names_seeds_rows_recovery_and_what_does_not_hold() {
        let mut bad = run(4, 30.0);
        bad.violations.push("missing: 1 [\"A\"]".to_owned());
        let text = table(&[run(3, 5.0), bad], None);
        for part in [
            "commit abc: seeds 3 4",
            "2 runs, 18 bills: 18 applied",
            "    4  kill -9 any service at any step",
            "    0  committed offsets expired; data expired (but not data that expired; tests/tests/broker: its partition \
             stops for good)",
            "    0  stale EndTxn applied to next transaction (not drawn; make test-sim: only a log in memory can lie so)",
            "loader              2     30.0     30.0",
            "VIOLATION, seed 4: again by `faults --runs 1 --seed 4 --bills 9`",
            "  missing: 1 [\"A\"]",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn the_summary_tells_deaths_from_standstills_and_names_places_that_were_not_hit() {
        let points = Points::find().expect("the sources");
        let places = points.of("loader");
        let [died, vain, never] = [0, 1, 2].map(|at| &places[at]);
        let mut one = run(1, 5.0);
        one.deaths = vec![format!("loader {died}"), format!("loader {died}")];
        one.standstills = vec!["loader request.signed".to_owned()];
        one.never_came_by = vec![format!("loader {vain}")];
        let text = table(&[one], Some(&points));
        for part in [
            "2 deaths at 1 named places".to_owned(),
            "1 standstills at 1 named places".to_owned(),
            format!(
                "loader died at 1 of {} places; was to, and did not come by: {vain}; never: {never} ",
                places.len()
            ),
            "control died at 0 of".to_owned(),
        ] {
            assert!(text.contains(&part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_line_that_does_not_tell_them_apart_is_read_and_told_as_such() {
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("results.ndjson");
        let mut line = serde_json::to_value(run(1, 3.5)).expect("JSON");
        for new in ["deaths", "standstills", "never_came_by"] {
            line.as_object_mut().expect("a run").remove(new);
        }
        line["points"] = serde_json::json!(["loader request.signed", "control writer.active"]);
        std::fs::write(&file, line.to_string()).expect("written");
        let text = table(&read(&file).expect("a run"), None);
        let told = "2 deaths and standstills, of runs that did not tell them apart, at 2 named places";
        assert!(text.contains(told), "{text}");
    }

    #[test]
    fn the_percentile_leaves_a_twentieth_above() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        assert_eq!((p95(&values), p95(&[7.0]), p95(&[])), (38.0, 7.0, 0.0));
    }
}
