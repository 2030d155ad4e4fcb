//! What the run came to, for a person and for a program.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Plan, Progress};
use crate::compare::letters::Letter;

/// The outcome of a demonstration.
#[derive(Debug)]
pub struct Summary {
    /// Whether the comparison agreed in every point.
    pub clean: bool,
    report: Value,
    letters: BTreeMap<(String, String), usize>,
    calls: [u64; 2],
    fullest: [u64; 2],
    limit: u32,
    used: f64,
    seconds: f64,
    progress: Progress,
}

fn number(value: &Value, name: &str) -> anyhow::Result<u64> {
    value[name].as_u64().with_context(|| format!("no {name} in {value}"))
}

impl Summary {
    #[expect(clippy::too_many_arguments, reason = "each is one thing the run left behind")]
    pub(super) fn new(
        plan: &Plan,
        progress: &Progress,
        report: &Value,
        clean: bool,
        stats: &[Value; 2],
        target_before: &Value,
        target_log: &str,
        letters: &BTreeMap<String, Letter>,
        seconds: f64,
    ) -> anyhow::Result<Self> {
        let mut reasons = BTreeMap::new();
        for letter in letters.values() {
            *reasons.entry((letter.category.clone(), letter.code.clone())).or_insert(0) += 1;
        }
        let before = number(target_before, "calls")?;
        Ok(Self {
            clean,
            report: report.clone(),
            letters: reasons,
            calls: [number(&stats[0], "calls")?, number(&stats[1], "calls")? - before],
            fullest: [number(&stats[0], "fullest_minute")?, number(&stats[1], "fullest_minute")?],
            limit: plan.calls_per_minute,
            used: share_used(target_log, plan.calls_per_minute)?,
            seconds,
            progress: progress.clone(),
        })
    }

    fn count(&self, name: &str) -> usize {
        match &self.report[name] {
            Value::Array(items) => items.len(),
            Value::Number(number) => number.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or(0),
            _ => 0,
        }
    }

    /// The one JSON object that ends a run.
    pub fn json(&self) -> Value {
        json!({
            "flow": "misc-inbound",
            "source": self.count("source"),
            "applied": self.count("applied"),
            "parked": self.count("parked"),
            "missing": self.count("missing"),
            "duplicate": self.count("duplicate"),
            "different": self.count("different"),
            "extra": self.count("extra"),
            "letters_wrong": self.count("letters"),
            "foreign_changed": self.count("foreign_changed"),
            "calls": self.calls[0] + self.calls[1],
            "calls_source": self.calls[0],
            "calls_target": self.calls[1],
            "fullest_minute": self.fullest[0].max(self.fullest[1]),
            "permitted_share_used": format!("{:.3}", self.used).parse::<serde_json::Number>().ok(),
            "seconds": format!("{:.1}", self.seconds).parse::<serde_json::Number>().ok(),
            "clean": self.clean,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n  orders in the file     {:6}", self.count("source"))?;
        writeln!(f, "  applied                {:6}", self.count("applied"))?;
        writeln!(f, "  parked                 {:6}", self.count("parked"))?;
        for ((category, code), count) in &self.letters {
            writeln!(f, "    {count:4}  {category} ({code})")?;
        }
        for name in ["missing", "duplicate", "different", "extra", "letters", "foreign_changed", "source_different"] {
            if let Some(items) = self.report[name].as_array().filter(|items| !items.is_empty()) {
                writeln!(f, "  {name:22} {:6}", items.len())?;
                for item in items.iter().take(5) {
                    writeln!(f, "    {}", item.as_str().unwrap_or_default())?;
                }
            }
        }
        writeln!(f, "  calls to A, to B       {:6} {:6}", self.calls[0], self.calls[1])?;
        writeln!(
            f,
            "  fullest minute A, B    {:6} {:6}   of {} permitted",
            self.fullest[0], self.fullest[1], self.limit
        )?;
        writeln!(f, "  permitted calls used while work waited at B: {:.0} %", self.used * 100.0)?;
        writeln!(
            f,
            "  read {} and mapped {} bills in {:.1} s",
            self.progress.extracted, self.progress.mapped, self.seconds
        )?;
        write!(f, "  {}", if self.clean { "both sides agree in every bill and line" } else { "THE COMPARISON FAILED" })
    }
}

/// Saves as a share of the calls that were permitted between the first save and the last.
///
/// While documents wait, saves are what the loader spends its permits on; probes and log-ins count as used too.
///
/// # Errors
/// A line of the log does not read.
pub fn share_used(log: &str, limit: u32) -> anyhow::Result<f64> {
    let mut first = None;
    let mut last = None;
    let mut calls = Vec::new();
    for line in log.lines() {
        let entry: Value = serde_json::from_str(line).with_context(|| format!("a line of the request log: {line}"))?;
        let time = entry["time"].as_str().with_context(|| format!("no time in {line}"))?;
        let at = chrono::DateTime::parse_from_rfc3339(time)
            .with_context(|| format!("the time of {line}"))?
            .timestamp_millis();
        calls.push(at);
        if entry["method"].as_str().is_some_and(|method| method.eq_ignore_ascii_case("BatchSave")) {
            first.get_or_insert(at);
            last = Some(at);
        }
    }
    let (Some(first), Some(last)) = (first, last) else { return Ok(0.0) };
    let used = calls.iter().filter(|at| (first..=last).contains(*at)).count();
    #[expect(clippy::cast_precision_loss, reason = "a share of calls, for people")]
    let share = {
        let minutes = ((last - first) as f64 / 60_000.0).max(1.0 / 60.0);
        used as f64 / (minutes * f64::from(limit))
    };
    Ok(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_counts_calls_between_first_and_last_save() {
        let line = |at: i64, method: &str| {
            let time = chrono::DateTime::from_timestamp_millis(at).expect("in range").to_rfc3339();
            format!("{{\"time\":{time:?},\"method\":{method:?}}}\n")
        };
        let log =
            [line(0, "Login"), line(60_000, "BatchSave"), line(90_000, "View"), line(120_000, "BatchSave")].concat();
        assert_eq!(share_used(&log, 4).expect("readable"), 0.75);
        assert_eq!(share_used("", 4).expect("readable"), 0.0);
    }
}
