//! The request log of a simulated Galaxy: one line of JSON for each call, in the order in which their work ended.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use history_checker::{Call, Probe, Sent, Told};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Line {
    time: DateTime<Utc>,
    method: String,
    outcome: Outcome,
    result: String,
    #[serde(default)]
    documents: Vec<Document>,
    query: Option<Query>,
    duration_ms: i64,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Worked on, and the caller was told.
    Executed,
    /// Not worked on, and the caller was told.
    Refused,
    /// Worked on, and the caller was not told.
    Cut,
    /// Not worked on, and the caller was not told.
    CutBefore,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Number")]
    number: Option<String>,
    ended: Option<String>,
}

#[derive(Deserialize)]
struct Query {
    filter: Value,
}

/// How the log says that a document was saved.
const SAVED: &str = "saved";

/// Reads the calls of `log` in the order of their arrival.
///
/// # Errors
/// It cannot be read, or a line is no call; names the line.
pub fn read(log: &Path) -> anyhow::Result<Vec<Call>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
    parse(&text).with_context(|| format!("in {}", log.display()))
}

fn parse(text: &str) -> anyhow::Result<Vec<Call>> {
    let mut calls = Vec::new();
    // When a number was first there by a save.
    let mut there: BTreeMap<String, i64> = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line: Line = serde_json::from_str(line).with_context(|| format!("line {}", number + 1))?;
        let at = line.time.timestamp_millis();
        let until = at + line.duration_ms;
        let mut saves = Vec::new();
        if matches!(line.method.as_str(), "Save" | "BatchSave") {
            for document in line.documents {
                let Some(key) = document.number else { continue };
                let saved = document.ended.as_deref() == Some(SAVED);
                if saved {
                    let first = there.entry(key.clone()).or_insert(until);
                    *first = until.min(*first);
                }
                saves.push(Sent { key, told: told(line.outcome, &line.result, saved) });
            }
        }
        let answered = line.outcome == Outcome::Executed;
        let probe = line.query.filter(|_| answered).and_then(|query| {
            let asked = literals(query.filter.as_str()?);
            (!asked.is_empty()).then_some(Probe { asked, found: Vec::new() })
        });
        calls.push(Call { at, until, saves, probe });
    }
    calls.sort_by_key(|call| call.at);
    // The log counts rows and does not name them: what was saved by then was found.
    for call in &mut calls {
        let until = call.until;
        if let Some(probe) = &mut call.probe {
            let found = probe.asked.iter().filter(|key| there.get(*key).is_some_and(|since| *since <= until));
            probe.found = found.cloned().collect();
        }
    }
    Ok(calls)
}

/// What the caller could know by the reply.
fn told(outcome: Outcome, result: &str, saved: bool) -> Told {
    match outcome {
        Outcome::Executed if saved => Told::Saved,
        Outcome::Executed => Told::Rejected,
        // The target's own words, or a limit's: nothing was done.
        Outcome::Refused if result.starts_with("msgcode") || result == "http 429" => Told::Rejected,
        // Anything else in place of a reply may hide that it was.
        Outcome::Refused => Told::Unclear,
        Outcome::Cut | Outcome::CutBefore => Told::Open,
    }
}

/// The texts between single quotes, in which two stand for one.
fn literals(filter: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = filter.chars().peekable();
    while rest.any(|it| it == '\'') {
        let mut text = String::new();
        while let Some(it) = rest.next() {
            if it == '\'' && rest.next_if_eq(&'\'').is_none() {
                break;
            }
            text.push(it);
        }
        found.push(text);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(second: u32, method: &str, outcome: &str, rest: &str) -> String {
        let (outcome, result) = outcome.split_once(':').unwrap_or((outcome, "ok"));
        format!(
            "{{\"sequence\":1,\"time\":\"2026-01-01T00:00:{second:02}.500Z\",\"method\":{method:?},\"form\":\"F\",\
             \"session\":1,\"outcome\":{outcome:?},\"result\":{result:?},{rest},\"duration_ms\":250}}\n"
        )
    }

    fn saved(second: u32, outcome: &str, ended: &str) -> String {
        let documents = format!("\"documents\":[{{\"DIndex\":0,\"Number\":\"A'1\",\"ended\":{ended:?}}}]");
        line(second, "BatchSave", outcome, &documents)
    }

    #[test]
    fn a_save_says_what_its_caller_was_told() {
        let log = [
            saved(1, "executed", "saved"),
            saved(2, "executed", "no such stock"),
            saved(3, "cut", "saved"),
            saved(4, "refused:msgcode 13", ""),
            saved(5, "refused:http 429", ""),
            saved(6, "refused:http 502", ""),
            saved(7, "cut_before:cut", ""),
        ];
        let calls = parse(&log.concat()).expect("a log");
        let told: Vec<Told> = calls.iter().map(|call| call.saves[0].told).collect();
        let (rejected, open) = (Told::Rejected, Told::Open);
        assert_eq!(told, [Told::Saved, rejected, open, rejected, rejected, Told::Unclear, open]);
        assert_eq!(calls[0].until - calls[0].at, 250);
        assert_eq!(calls[1].at - calls[0].at, 1_000);
    }

    #[test]
    fn a_query_found_what_was_saved_before_it_was_answered() {
        let asks = "\"documents\":[],\"query\":{\"filter\":\"FBillNo in ('A''1','B')\",\"order\":\"\",\"start\":0,\
                    \"limit\":0,\"rows\":0}";
        let query = |second, outcome| line(second, "ExecuteBillQuery", outcome, asks);
        let log = [query(1, "executed"), saved(2, "cut", "saved"), query(3, "executed"), query(4, "refused")];
        let calls = parse(&log.concat()).expect("a log");
        let probes: Vec<&Probe> = calls.iter().filter_map(|call| call.probe.as_ref()).collect();
        assert_eq!(probes.len(), 2);
        assert_eq!(probes[0].asked, ["A'1", "B"]);
        assert_eq!(probes[0].found, Vec::<String>::new());
        assert_eq!(probes[1].found, ["A'1"]);
    }

    #[test]
    fn a_line_that_is_no_call_is_named() {
        let log = saved(1, "executed", "saved") + "{}\n";
        assert!(format!("{:#}", parse(&log).expect_err("no call")).contains("line 2"));
    }
}
