//! What a series of runs has to come to as a whole.

use super::row::Row;
use super::summary::{Outcome, p95, recoveries};

/// How the recovery of a loader is called that was killed while a save had no outcome yet.
pub(super) const IN_DOUBT: &str = "loader in doubt";

/// A series of as many runs has seen enough to be judged.
pub const SERIES: usize = 40;
/// Hits of a row, and runs with settling times as shipped.
const LEAST: usize = 3;

/// Seconds that nineteen in twenty recoveries of a kind may take at most; `None` where nothing is promised.
fn limit(of: &str) -> Option<f64> {
    match of {
        "extractor" | "transformer" | "loader" | "control" | "frozen" => Some(60.0),
        IN_DOUBT => Some(180.0),
        "broker" | "leader" => Some(90.0),
        "all" => Some(300.0),
        _ => None,
    }
}

/// What a series falls short of; nothing for one of fewer than [`SERIES`] runs. Runs of named rows do not count.
pub fn shortfalls(runs: &[Outcome]) -> Vec<String> {
    let runs: Vec<&Outcome> = runs.iter().filter(|run| run.only.is_empty()).collect();
    if runs.len() < SERIES {
        return Vec::new();
    }
    let mut short = Vec::new();
    let at_points = runs.iter().any(|run| run.at_points);
    for row in Row::ALL.into_iter().filter(|row| row.elsewhere().is_none() && (at_points || !row.needs_points())) {
        let hits: usize = runs.iter().filter_map(|run| run.rows.get(row.name())).sum();
        if hits < LEAST {
            short.push(format!("{hits} hits of {:?}: {LEAST} are wanted", row.name()));
        }
    }
    let shipped = runs.iter().filter(|run| run.shipped).count();
    if shipped < LEAST {
        short.push(format!("{shipped} runs with settling times as shipped: {LEAST} are wanted"));
    }
    for (of, seconds) in recoveries(runs.iter().copied()) {
        let (took, most) = (p95(&seconds), limit(of));
        if let Some(most) = most.filter(|most| took > *most) {
            short.push(format!("{of}: {took:.1} s to the first new document (p95), {most:.0} s are promised"));
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::super::summary::Recovery;
    use super::*;

    /// A series in which all is well.
    fn series() -> Vec<Outcome> {
        let rows: std::collections::BTreeMap<String, usize> = Row::ALL.map(|row| (row.name().to_owned(), 1)).into();
        let recovery: Vec<Recovery> =
            [("loader", 60.0), (IN_DOUBT, 180.0), ("broker", 90.0), ("all", 300.0), ("disk", 400.0)]
                .into_iter()
                .map(|(of, seconds)| Recovery { of: of.to_owned(), seconds, works: true })
                .collect();
        let run = |seed: u64| Outcome {
            seed,
            shipped: seed.is_multiple_of(10),
            at_points: true,
            rows: rows.clone(),
            recovery: recovery.clone(),
            ..Outcome::default()
        };
        (1..=40).map(run).collect()
    }

    #[test]
    fn a_series_within_its_limits_falls_short_of_nothing_and_a_short_one_is_not_judged() {
        assert_eq!(shortfalls(&series()), Vec::<String>::new());
        assert_eq!(shortfalls(&vec![Outcome::default(); SERIES - 1]), Vec::<String>::new());
    }

    #[test]
    fn a_row_that_was_hit_too_seldom_is_named() {
        let mut runs = series();
        for run in &mut runs[2..] {
            run.rows.remove(Row::Throttle.name());
            // These are tried elsewhere.
            run.rows.remove(Row::StaleEndTxn.name());
        }
        assert_eq!(shortfalls(&runs), ["2 hits of \"throttle replies\": 3 are wanted"]);
    }

    #[test]
    fn rows_that_need_named_places_are_wanted_where_there_are_some() {
        let mut runs = series();
        for run in &mut runs {
            run.rows.remove(Row::Clock.name());
        }
        assert_eq!(shortfalls(&runs), ["0 hits of \"clock jumps; zone changed\": 3 are wanted"]);
        runs.iter_mut().for_each(|run| run.at_points = false);
        assert_eq!(shortfalls(&runs), Vec::<String>::new());
    }

    #[test]
    fn settling_times_as_shipped_are_wanted_three_times() {
        let mut runs = series();
        runs.iter_mut().filter(|run| run.seed > 20).for_each(|run| run.shipped = false);
        assert_eq!(shortfalls(&runs), ["2 runs with settling times as shipped: 3 are wanted"]);
    }

    #[test]
    fn one_recovery_in_twenty_may_be_late_and_not_more() {
        for (at, named) in [
            (0, "loader: 60.1 s to the first new document (p95), 60 s are promised"),
            (1, "loader in doubt: 180.1 s to the first new document (p95), 180 s are promised"),
            (2, "broker: 90.1 s to the first new document (p95), 90 s are promised"),
            (3, "all: 300.1 s to the first new document (p95), 300 s are promised"),
        ] {
            let mut runs = series();
            for run in &mut runs[..2] {
                run.recovery[at].seconds += 0.1;
            }
            assert_eq!(shortfalls(&runs), Vec::<String>::new(), "two of forty");
            runs[2].recovery[at].seconds += 0.1;
            assert_eq!(shortfalls(&runs), [named]);
        }
    }

    #[test]
    fn runs_of_named_rows_do_not_count() {
        let mut runs = series();
        runs[0].only = vec![Row::Poison.name().to_owned()];
        runs[1].rows.clear();
        assert_eq!(shortfalls(&runs), Vec::<String>::new());
    }
}
