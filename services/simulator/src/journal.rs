//! The request log and the counts over it. No secrets: no parameters of logins, no session ids, no signatures.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Duration, Instant};

use crate::limit::fullest;

/// Most records kept in memory; the file keeps all.
const KEPT: usize = 200_000;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The work was done, also when it was refused by a rule.
    Executed,
    /// The work was not done: limit, credentials or a fault.
    Refused,
    /// The work was done and the caller was not told.
    Cut,
    /// The work was not done and the connection was closed.
    CutBefore,
}

/// A document that a call carried.
#[derive(Debug, Clone, Serialize)]
pub struct Carried {
    /// Its index.
    #[serde(rename = "DIndex")]
    pub index: usize,
    /// Its number.
    #[serde(rename = "Number")]
    pub number: Option<String>,
    /// `saved`, or the messages of its refusal; absent when the work was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

/// What a query asked for.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// FilterString as it came.
    pub filter: Value,
    /// OrderString.
    pub order: String,
    /// StartRow.
    pub start: usize,
    /// Limit.
    pub limit: usize,
    /// Rows given.
    pub rows: Option<usize>,
}

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Counts calls from 1, in the order in which they arrived.
    pub sequence: u64,
    /// When it arrived: server time in UTC.
    pub time: String,
    /// The method.
    pub method: String,
    /// The form, where it has one.
    pub form: String,
    /// Count of its session.
    pub session: Option<u64>,
    /// What became of it.
    pub outcome: Outcome,
    /// `ok`, `partial`, `msgcode N`, `http N`.
    pub result: String,
    /// The documents it carried.
    pub documents: Vec<Carried>,
    /// What it asked for, for queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<Asked>,
    /// The faults that met it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<crate::fault::Kind>,
    /// From arrival to the end of the work, in milliseconds.
    pub duration_ms: u64,
}

/// The log.
#[derive(Debug)]
pub struct Journal {
    file: Option<File>,
    records: VecDeque<Record>,
    arrivals: Vec<Instant>,
    served: Vec<Instant>,
    methods: BTreeMap<String, Counts>,
    window: Duration,
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
struct Counts {
    calls: u64,
    refused: u64,
}

/// Counts over all calls.
#[derive(Debug, Serialize)]
pub struct Stats {
    calls: usize,
    refused: u64,
    /// Most calls that arrived in any sliding window, refused ones included.
    fullest_minute: usize,
    /// Most calls that were served in any sliding window.
    fullest_minute_served: usize,
    by_method: BTreeMap<String, Counts>,
}

impl Journal {
    /// An empty log, also written to `file`; counts are over windows of `window`.
    pub fn new(file: Option<File>, window: Duration) -> Self {
        Self {
            file,
            records: VecDeque::new(),
            arrivals: Vec::new(),
            served: Vec::new(),
            methods: BTreeMap::new(),
            window,
        }
    }

    /// Counts an arrival; gives its sequence.
    pub fn arrive(&mut self, method: &str, served: bool, now: Instant) -> u64 {
        self.arrivals.push(now);
        let counts = self.methods.entry(method.to_owned()).or_default();
        counts.calls += 1;
        if served {
            self.served.push(now);
        } else {
            counts.refused += 1;
        }
        self.arrivals.len().try_into().unwrap_or(u64::MAX)
    }

    /// Writes a record down.
    pub fn write(&mut self, record: Record) {
        if let Some(file) = &mut self.file {
            let written =
                serde_json::to_string(&record).map_err(std::io::Error::from).and_then(|line| writeln!(file, "{line}"));
            if let Err(error) = written {
                tracing::error!(%error, "the request log cannot be written any more");
                self.file = None;
            }
        }
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// Records after sequence `after`, in the order in which their work ended.
    pub fn after(&self, after: u64) -> Vec<&Record> {
        self.records.iter().filter(|record| record.sequence > after).collect()
    }

    /// Counts over all calls.
    pub fn stats(&self) -> Stats {
        Stats {
            calls: self.arrivals.len(),
            refused: self.methods.values().map(|counts| counts.refused).sum(),
            fullest_minute: fullest(&self.arrivals, self.window),
            fullest_minute_served: fullest(&self.served, self.window),
            by_method: self.methods.clone(),
        }
    }
}
