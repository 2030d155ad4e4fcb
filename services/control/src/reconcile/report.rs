//! A report, as it stands in `starbridge.control` under `reconciliation/{id}`: with the first of its findings, the others
//! page by page under `reconciliation-findings/{id}/{page}`.

use std::collections::BTreeMap;

use document::{DocumentKey, Fault, FlowName, TargetKey};
use serde::{Deserialize, Serialize};

use crate::core::Memory;

/// Before the keys of reports.
pub const REPORTS: &str = "reconciliation/";
/// Before the keys of further pages of their findings.
pub const FINDINGS: &str = "reconciliation-findings/";
/// Findings that stand in the report itself, and in each further page.
pub const PAGE: usize = 1_000;
/// Findings that a report names; of further ones it tells the number.
pub const NAMED: usize = 100_000;

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
    /// The first findings, at most [`PAGE`].
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

    /// Puts findings down, sorted: the first of them. Gives the other pages, as they are written.
    pub fn put(&mut self, mut findings: Vec<Finding>) -> Vec<Memory> {
        findings.sort_by(|a, b| (a.kind, &a.document, &a.target_key).cmp(&(b.kind, &b.document, &b.target_key)));
        self.totals.clear();
        for finding in &findings {
            *self.totals.entry(finding.kind).or_default() += 1;
        }
        findings.truncate(NAMED);
        let rest = findings.split_off(findings.len().min(PAGE));
        self.findings = findings;
        let bytes = |page: &[Finding]| serde_json::to_vec(page).expect("texts");
        (1..).zip(rest.chunks(PAGE)).map(|(number, page)| (self.page_key(number), Some(bytes(page)))).collect()
    }

    /// The key of a further page of findings, from 1; keys sort as pages do.
    pub fn page_key(&self, page: usize) -> String {
        format!("{FINDINGS}{}/{page:08}", self.spec.id)
    }

    /// The keys of its further pages.
    pub fn page_keys(&self) -> impl Iterator<Item = String> {
        let found = usize::try_from(self.totals.values().sum::<u64>()).unwrap_or(usize::MAX);
        let further = found.min(NAMED).saturating_sub(self.findings.len());
        (1..=further.div_ceil(PAGE)).map(|page| self.page_key(page))
    }

    /// So many findings behind the first `from`, and whether there are more. `page` gives a further page, where it is kept.
    pub fn findings(
        &self,
        from: usize,
        count: usize,
        page: impl Fn(&str) -> Option<Vec<Finding>>,
    ) -> (Vec<Finding>, bool) {
        let mut found: Vec<Finding> = self.findings.iter().skip(from).take(count + 1).cloned().collect();
        let mut skip = from.saturating_sub(self.findings.len());
        for key in self.page_keys().skip(skip / PAGE) {
            if found.len() > count {
                break;
            }
            let Some(further) = page(&key) else { break };
            found.extend(further.into_iter().skip(skip % PAGE).take(count + 1 - found.len()));
            skip = 0;
        }
        let more = found.len() > count;
        found.truncate(count);
        (found, more)
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
    fn a_report_names_what_is_wrong_page_by_page_and_counts_all() {
        let mut report = Reconciliation::new(spec());
        assert!(!report.is_clean());
        report.status = Status::Done;
        assert!(report.is_clean());
        let wrong = |count: usize| (0..count).rev().map(|at| finding(Kind::Missing, &format!("{at:06}"))).collect();
        for (count, pages) in [(0, 0), (PAGE, 0), (PAGE + 1, 1), (3_500, 3), (NAMED, 99), (NAMED + 5, 99)] {
            let kept: BTreeMap<String, Option<Vec<u8>>> = report.put(wrong(count)).into_iter().collect();
            assert!(report.page_keys().eq(kept.keys().cloned()), "{count}");
            assert_eq!((kept.len(), report.totals.values().sum::<u64>()), (pages, count as u64), "{count}");
            let read: Reconciliation = serde_json::from_slice(&report.to_bytes()).expect("reads");
            assert_eq!(read, report);
            let page = |key: &str| serde_json::from_slice(kept.get(key)?.as_ref()?).ok();
            for size in [1_000, 700].into_iter().filter(|_| count < 10_000) {
                let mut listed = Vec::new();
                loop {
                    let (found, more) = report.findings(listed.len(), size, page);
                    assert!(found.len() == size || !more);
                    listed.extend(found);
                    if !more {
                        break;
                    }
                }
                let mut all: Vec<Finding> = wrong(count);
                all.reverse();
                assert_eq!(listed, all, "{count} by {size}");
            }
            // A page that is not kept any more ends the list.
            let (found, more) = report.findings(0, 2 * PAGE, |_| None);
            assert_eq!((found.len(), more), (count.min(PAGE), false));
        }
        assert!(!report.is_clean());
        report.put(vec![finding(Kind::ChangedAfterLoad, "b"), finding(Kind::ChangedAfterLoad, "a")]);
        assert_eq!(report.findings[0].document.as_str(), "a");
        assert!(report.is_clean());
        assert_eq!((flow_of(&report.spec.id), flow_of("alone")), ("misc-inbound", "alone"));
    }
}
