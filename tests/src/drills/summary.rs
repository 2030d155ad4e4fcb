//! What drills ended with: a line of JSON for each blow and one for each road, and what they come to together.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::faults::summary::p95;

/// One blow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Blow {
    /// The road it fell on.
    pub road: u64,
    /// What was taken away.
    pub kind: Kind,
    /// From the blow to the first bill in the target that came to the source after it, seconds.
    pub first_new_s: f64,
    /// From the blow until every bill that came before it stood in the target, seconds.
    pub all_before_s: f64,
    /// Saves whose outcome the loader had to find out afterwards.
    pub resolved: u64,
}

/// One road, drained and compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Which.
    pub road: u64,
    /// The commit of the sources.
    pub commit: String,
    /// Bills that came to the source.
    pub bills: usize,
    /// Bills that stand in the target as they must.
    pub applied: usize,
    /// Bills that are not in the target and must be.
    pub missing: usize,
    /// Numbers that the target holds more than once.
    pub duplicate: usize,
    /// Bills without all of their lines.
    pub torn: usize,
    /// Bills that differ otherwise.
    pub different: usize,
    /// Whether the history checker could judge it: what it reads must not have been taken away.
    pub history: bool,
    /// Everything that is not as it must be.
    pub violations: Vec<String>,
    /// Where its files are, when something is not as it must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// A line of the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// A blow.
    Blow(Blow),
    /// The end of a road.
    Judged(Judged),
}

/// Blows, with the roads they fell on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    /// The blows.
    pub blows: Vec<Blow>,
    /// The roads.
    pub roads: Vec<Judged>,
    /// The last road of any commit, judged or not.
    pub last_road: u64,
}

impl Results {
    /// The results in `file` that belong to `commit`; none when there is no such file. Blows on a road that was never
    /// judged do not count.
    ///
    /// # Errors
    /// A line is none of ours.
    pub fn read(file: &Path, commit: &str) -> anyhow::Result<Self> {
        let mut results = Self::default();
        if !file.exists() {
            return Ok(results);
        }
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        for (at, line) in text.lines().enumerate() {
            let line = serde_json::from_str(line).with_context(|| format!("line {} of {}", at + 1, file.display()))?;
            let (Line::Blow(Blow { road, .. }) | Line::Judged(Judged { road, .. })) = line;
            results.last_road = results.last_road.max(road);
            match line {
                Line::Blow(blow) => results.blows.push(blow),
                Line::Judged(judged) if judged.commit == commit => results.roads.push(judged),
                Line::Judged(_) => {}
            }
        }
        let judged: BTreeSet<u64> = results.roads.iter().map(|road| road.road).collect();
        results.blows.retain(|blow| judged.contains(&blow.road));
        Ok(results)
    }

    /// The blows of one kind.
    pub fn of(&self, kind: Kind) -> Vec<&Blow> {
        self.blows.iter().filter(|blow| blow.kind == kind).collect()
    }

    /// Everything that is not as it must be, over `kinds`.
    pub fn violations(&self, kinds: &[Kind]) -> Vec<String> {
        let mut found = Vec::new();
        for road in &self.roads {
            found.extend(road.violations.iter().map(|violation| format!("road {}: {violation}", road.road)));
            found.extend(road.kept.iter().map(|kept| format!("road {}: kept in {kept}", road.road)));
        }
        for kind in kinds {
            let blows = self.of(*kind);
            if blows.len() < kind.times() {
                found.push(format!("{kind}: {} of {} blows", blows.len(), kind.times()));
            }
            let first = p95(&blows.iter().map(|blow| blow.first_new_s).collect::<Vec<f64>>());
            if first > kind.limit() {
                found.push(format!("{kind}: first new bill after {first:.1} s, at most {} s", kind.limit()));
            }
            // What the open save carried is what waits for it to settle.
            let before = p95(&blows.iter().map(|blow| blow.all_before_s).collect::<Vec<f64>>());
            if *kind == Kind::OpenIntent && before > kind.limit() {
                found.push(format!("{kind}: bills from before after {before:.1} s, at most {} s", kind.limit()));
            }
        }
        found
    }

    /// For a person.
    pub fn table(&self, kinds: &[Kind]) -> String {
        let sum = |of: fn(&Judged) -> usize| self.roads.iter().map(of).sum::<usize>();
        let mut lines = vec![
            format!(
                "{} roads, {} bills: {} applied, {} missing, {} duplicate, {} torn, {} different; {} roads judged by their \
                 history, too",
                self.roads.len(),
                sum(|road| road.bills),
                sum(|road| road.applied),
                sum(|road| road.missing),
                sum(|road| road.duplicate),
                sum(|road| road.torn),
                sum(|road| road.different),
                sum(|road| usize::from(road.history)),
            ),
            String::new(),
            format!(
                "{:<12} {:>5} {:>9} {:>8} {:>8} {:>8}   {:>8} {:>8}  from the blow to the first new bill; to the last \
                 older one",
                "gone", "blows", "median s", "p95 s", "most s", "limit s", "p95 s", "most s"
            ),
        ];
        for kind in kinds {
            let column = |of: fn(&Blow) -> f64| {
                let mut values: Vec<f64> = self.of(*kind).into_iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values
            };
            let (first, before) = (column(|blow| blow.first_new_s), column(|blow| blow.all_before_s));
            let last = |values: &[f64]| values.last().copied().unwrap_or_default();
            lines.push(format!(
                "{:<12} {:>5} {:>9.1} {:>8.1} {:>8.1} {:>8.0}   {:>8.1} {:>8.1}",
                kind.name(),
                first.len(),
                first.get(first.len() / 2).copied().unwrap_or_default(),
                p95(&first),
                last(&first),
                kind.limit(),
                p95(&before),
                last(&before),
            ));
        }
        let violations = self.violations(kinds);
        if !violations.is_empty() {
            lines.push(String::new());
            lines.extend(violations.into_iter().map(|violation| format!("VIOLATION: {violation}")));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blow(road: u64, kind: Kind, first: f64, before: f64) -> Blow {
        Blow { road, kind, first_new_s: first, all_before_s: before, resolved: 0 }
    }

    fn judged(road: u64, commit: &str) -> Judged {
        Judged { road, commit: commit.to_owned(), bills: 9, applied: 9, history: true, ..Judged::default() }
    }

    #[test]
    fn only_blows_on_roads_that_were_judged_under_this_commit_count() {
        let folder = tempfile::tempdir().expect("scratch");
        let file = folder.path().join("results.ndjson");
        assert_eq!(Results::read(&file, "a").expect("none"), Results::default());
        let lines = [
            Line::Blow(blow(1, Kind::Loader, 3.0, 4.0)),
            Line::Judged(judged(1, "a")),
            Line::Blow(blow(2, Kind::Loader, 5.0, 6.0)),
            Line::Judged(judged(2, "b")),
            Line::Blow(blow(3, Kind::Loader, 7.0, 8.0)),
        ];
        let text: Vec<String> = lines.iter().map(|line| serde_json::to_string(line).expect("JSON")).collect();
        std::fs::write(&file, text.join("\n")).expect("written");
        let read = Results::read(&file, "a").expect("one");
        assert_eq!((read.blows, read.roads), (vec![blow(1, Kind::Loader, 3.0, 4.0)], vec![judged(1, "a")]));
        assert_eq!(read.last_road, 3, "a number is not given twice");
        std::fs::write(&file, "{}").expect("written");
        assert!(format!("{:#}", Results::read(&file, "a").expect_err("none of ours")).contains("line 1 of"));
    }

    #[test]
    fn too_late_too_seldom_and_unclean_are_violations() {
        let many = |kind, first, before| vec![blow(1, kind, first, before); 20];
        let good = Results { blows: many(Kind::Loader, 60.0, 400.0), roads: vec![judged(1, "a")], last_road: 1 };
        assert_eq!(good.violations(&[Kind::Loader]), Vec::<String>::new());
        assert_eq!(good.violations(&[Kind::Control]), ["control: 0 of 20 blows"]);
        let late = Results { blows: many(Kind::Loader, 60.1, 0.0), ..Results::default() };
        assert_eq!(late.violations(&[Kind::Loader]), ["loader: first new bill after 60.1 s, at most 60 s"]);
        let open = Results { blows: many(Kind::OpenIntent, 1.0, 181.0), ..Results::default() };
        assert_eq!(
            open.violations(&[Kind::OpenIntent]),
            ["open-intent: bills from before after 181.0 s, at most 180 s"]
        );
        let torn =
            Judged { violations: vec!["missing: 1".to_owned()], kept: Some("there".to_owned()), ..judged(4, "a") };
        let unclean = Results { roads: vec![torn], ..Results::default() };
        assert_eq!(unclean.violations(&[]), ["road 4: missing: 1", "road 4: kept in there"]);
        let table = unclean.table(&[Kind::Loader]);
        for part in ["1 roads, 9 bills: 9 applied", "VIOLATION: road 4: missing: 1", "VIOLATION: loader: 0 of 20 blows"]
        {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
    }
}
