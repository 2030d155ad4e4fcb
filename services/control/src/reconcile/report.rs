//! A report, as it stands in `starbridge.control` under `reconciliation/{id}`.

use std::collections::BTreeMap;

use document::{DocumentKey, Fault, FlowName, TargetKey};
use serde::{Deserialize, Serialize};

/// Before the keys of reports.
pub const REPORTS: &str = "reconciliation/";
/// Findings of one kind that a report names; of further ones it tells the number.
pub const NAMED: usize = 1_000;

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// Its id: the flow, a colon, and a name that sorts by time.
    pub id: String,
    /// The flow.
    pub flow: FlowName,
    /// The first instant of the watermark date, unix seconds.
    pub from: i64,
    /// The instant behind the last one, unix seconds.
    pub to: i64,
    /// The share of documents that is compared field by field, 0 to 1.
    pub sample: f64,
    /// How long a document may be on its way, and what looks wrong waits for its second look; seconds.
    pub grace: i64,
    /// Calls it makes at most.
    pub calls: usize,
    /// Who asked.
    pub by: String,
    /// When, unix milliseconds.
    pub at: i64,
    /// Why.
    pub reason: String,
}

/// How far a report is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The systems are being asked.
    Running,
    /// Whole.
    Done,
    /// Given up; it says nothing about any document.
    Failed,
}

/// What is wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The source has it, and it is neither in the target nor anywhere on record with another end.
    Missing,
    /// The target has it several times.
    Duplicate,
    /// The target has it with other content.
    Different,
    /// The target has it as it was loaded, and the source has changed it since.
    ChangedAfterLoad,
    /// The target has it and the source does not.
    Extra,
    /// A person decided that the target has it, or has it not, and that does not hold.
    WrongVerdict,
}

impl Kind {
    /// Every one, in the order of reports.
    pub const ALL: [Kind; 6] =
        [Kind::Missing, Kind::Duplicate, Kind::Different, Kind::WrongVerdict, Kind::Extra, Kind::ChangedAfterLoad];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Duplicate => "duplicate",
            Kind::Different => "different",
            Kind::ChangedAfterLoad => "changed_after_load",
            Kind::Extra => "extra",
            Kind::WrongVerdict => "wrong_verdict",
        }
    }
}

/// One document that something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub kind: Kind,
    /// Its key in the source; empty where the source knows none.
    pub document: DocumentKey,
    /// Its key in the target, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_key: Option<TargetKey>,
    /// Its ids in the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub target_ids: Vec<String>,
    /// What exactly, in words; no values of the document.
    pub detail: String,
}

/// Documents by what is on record of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Bills of the source in the window.
    pub source: u64,
    /// Applied, and in the target.
    pub applied: u64,
    /// In an open dead letter.
    pub parked: u64,
    /// In a dead letter, and nobody knows whether the target has them.
    pub in_doubt: u64,
    /// Discarded by a person.
    pub discarded: u64,
    /// On their way: begun, or younger than the time of grace.
    pub on_the_way: u64,
    /// Compared field by field.
    pub compared: u64,
}

/// A report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// What it is about.
    pub spec: Spec,
    /// How far it is.
    pub status: Status,
    /// When the source was asked first, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<i64>,
    /// When it was over, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Calls that were made.
    #[serde(default)]
    pub calls_made: usize,
    /// The documents.
    #[serde(default)]
    pub counts: Counts,
    /// How many findings there are of each kind.
    #[serde(default)]
    pub totals: BTreeMap<Kind, u64>,
    /// The findings, at most [`NAMED`] of each kind.
    #[serde(default)]
    pub findings: Vec<Finding>,
    /// Missing bills that are read again, because the flow says so.
    #[serde(default)]
    pub read_again: usize,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}

impl Reconciliation {
    /// A report that has just been asked for.
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            status: Status::Running,
            as_of: None,
            ended_at: None,
            calls_made: 0,
            counts: Counts::default(),
            totals: BTreeMap::new(),
            findings: Vec::new(),
            read_again: 0,
            fault: None,
        }
    }

    /// Its key.
    pub fn key(&self) -> String {
        format!("{REPORTS}{}", self.spec.id)
    }

    /// Its record's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers")
    }

    /// Whether it is whole and nothing is wrong. What changed after its load is for the flow to take or leave.
    pub fn is_clean(&self) -> bool {
        let wrong = self.totals.iter().filter(|(kind, _)| **kind != Kind::ChangedAfterLoad).map(|(_, count)| count);
        self.status == Status::Done && wrong.sum::<u64>() == 0
    }

    /// Puts findings down, sorted.
    pub fn put(&mut self, mut findings: Vec<Finding>) {
        findings.sort_by(|a, b| (a.kind, &a.document, &a.target_key).cmp(&(b.kind, &b.document, &b.target_key)));
        self.totals.clear();
        self.findings.clear();
        for finding in findings {
            let total = self.totals.entry(finding.kind).or_default();
            *total += 1;
            if *total <= NAMED as u64 {
                self.findings.push(finding);
            }
        }
    }
}

/// The flow in the id of a report: what stands before the colon.
pub fn flow_of(id: &str) -> &str {
    id.split_once(':').map_or(id, |(flow, _)| flow)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        let flow = FlowName::new("misc-inbound").expect("valid");
        Spec {
            id: "misc-inbound:1".to_owned(),
            flow,
            from: 1,
            to: 2,
            sample: 0.01,
            grace: 900,
            calls: 10,
            by: "li".to_owned(),
            at: 3,
            reason: String::new(),
        }
    }

    fn finding(kind: Kind, document: &str) -> Finding {
        Finding { kind, document: document.into(), target_key: None, target_ids: Vec::new(), detail: "x".to_owned() }
    }

    #[test]
    fn a_report_names_so_many_and_counts_all() {
        let mut report = Reconciliation::new(spec());
        assert!(!report.is_clean());
        report.status = Status::Done;
        assert!(report.is_clean());
        report.put((0..1_500).map(|at| finding(Kind::Missing, &format!("{at:04}"))).collect());
        assert_eq!((report.findings.len(), report.totals[&Kind::Missing]), (NAMED, 1_500));
        assert!(!report.is_clean());
        report.put(vec![finding(Kind::ChangedAfterLoad, "b"), finding(Kind::ChangedAfterLoad, "a")]);
        assert_eq!(report.findings[0].document.as_str(), "a");
        assert!(report.is_clean());
        let read: Reconciliation = serde_json::from_slice(&report.to_bytes()).expect("reads");
        assert_eq!(read, report);
        assert_eq!((flow_of(&report.spec.id), flow_of("alone")), ("misc-inbound", "alone"));
    }
}
