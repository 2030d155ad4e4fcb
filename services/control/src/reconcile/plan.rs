//! What a report takes, when one is due, and what brings missing bills again. No I/O.

use chrono::{DateTime, Utc};
use document::{FlowName, Headers, Record};
use flow::Plan;
use serde_json::json;

use super::read::{BILLS, HEADS, KEYS, MOST};
use super::report::Reconciliation;
use crate::core::Memory;

/// Reports of one flow that are kept; older ones go when another one begins.
const KEPT: usize = 100;
/// Of so many the newest, every page of findings is kept; of older ones the first.
const WHOLE: usize = 5;
/// Windows that one report has read again; beyond, one window spans all.
const WINDOWS: usize = 200;

/// How much a report is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Documents of the flow that the ledger knows.
    pub known: u64,
    /// Bills of the source in the window, at most.
    pub source: u64,
    /// Documents of the target's form that were created in the window, at most; whoever made them.
    pub created: u64,
}

/// Calls that a report of this size makes at most: the heads of the source, twice those of the target, what the ledger knows
/// by its keys, at either look, and the sample field by field. What is wrong is compared besides: as many calls again, and a
/// hundred.
pub fn calls(size: &Size, sample: f64) -> usize {
    let known = size.known.min(MOST);
    let pages = |rows: u64, per: u64| rows.min(MOST).div_ceil(per) + 2;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a million"
    )]
    let sampled = (known as f64 * sample * 1.2).ceil() as u64 + 2;
    let page = u64::from(HEADS);
    let heads = pages(size.source, page) + 2 * pages(size.created, page) + 4 * pages(known, KEYS as u64);
    let reading = heads + sampled.div_ceil(BILLS as u64) * 2 + sampled;
    usize::try_from(2 * reading + 100).unwrap_or(usize::MAX)
}

/// Whether a report is due: its flow may run, and an instant of its plan lies behind the last report that was due.
pub fn is_due(plan: &Plan, is_paused: bool, last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    !is_paused && plan.missed(last, now).is_some()
}

/// What is written when a report begins: the report, and the end of earlier ones of its flow that are too many, or of their
/// pages. `known`: those, oldest first.
pub fn begun(report: &Reconciliation, known: Vec<(String, Vec<u8>)>) -> Vec<Memory> {
    let pages = |value: &[u8]| -> Vec<String> {
        let earlier = serde_json::from_slice::<Reconciliation>(value);
        earlier.map(|earlier| earlier.page_keys().collect()).unwrap_or_default()
    };
    let spare = known.len().saturating_sub(KEPT - 1);
    // One begins, so one is not among the newest any more.
    let cut = known.len().checked_sub(WHOLE).filter(|cut| *cut >= spare);
    let mut gone: Vec<String> = cut.map(|cut| pages(&known[cut].1)).unwrap_or_default();
    for (key, value) in known.into_iter().take(spare) {
        // It may have ended when it was among the newest no more.
        gone.extend(pages(&value));
        gone.push(key);
    }
    std::iter::once((report.key(), Some(report.to_bytes()))).chain(gone.into_iter().map(|key| (key, None))).collect()
}

/// The spans of the watermark date, unix seconds, ends excluded, that hold the bills of these dates.
pub fn windows(mut stamps: Vec<i64>) -> Vec<(i64, i64)> {
    stamps.sort_unstable();
    let mut windows: Vec<(i64, i64)> = Vec::new();
    for stamp in stamps {
        match windows.last_mut() {
            Some((_, end)) if *end >= stamp => *end = stamp + 1,
            _ => windows.push((stamp, stamp + 1)),
        }
    }
    match (windows.first(), windows.last()) {
        (Some((from, _)), Some((_, to))) if windows.len() > WINDOWS => vec![(*from, *to)],
        _ => windows,
    }
}

/// The command that has a window read again, whatever was seen of its bills.
pub fn command(flow: &FlowName, (from, to): (i64, i64)) -> Record {
    let value = json!({"flow": flow, "command": "window", "from": from, "to": to, "again": true});
    Record {
        key: flow.as_str().as_bytes().to_vec(),
        headers: Headers::new(),
        value: Some(value.to_string().into_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::reconcile::report::{FINDINGS, Finding, Kind, PAGE, REPORTS, Spec};

    #[test]
    fn calls_grow_with_the_documents_and_the_share_that_is_compared() {
        let size = |known, source, created| Size { known, source, created };
        assert_eq!(calls(&Size::default(), 0.0), 2 * (2 + 4 + 8 + 4) + 100);
        // Heads of 5,000 documents on either side, and a hundredth of them field by field.
        assert_eq!(calls(&size(5_000, 8_000, 8_000), 0.01), 2 * (6 + 12 + 108 + 66) + 100);
        let most = size(u64::MAX, u64::MAX, u64::MAX);
        assert!(calls(&size(5_000, 8_000, 8_000), 1.0) > 12_000 && calls(&most, 1.0) < 3_000_000);
        // A ledger that knows nothing any more, and a form that others fill: one call for each page of either.
        assert_eq!(calls(&size(0, 128_000, 2_000), 1.0), 2 * (66 + 6 + 8 + 4) + 100);
        assert_eq!(calls(&size(0, 2_000, 128_000), 1.0), 2 * (3 + 132 + 8 + 4) + 100);
    }

    #[test]
    fn of_earlier_reports_as_many_are_kept_and_the_newest_with_every_page() {
        let flow = FlowName::new("f").expect("valid");
        let finding = |at: usize| Finding {
            kind: Kind::Missing,
            document: format!("{at:05}").as_str().into(),
            target_key: None,
            target_ids: Vec::new(),
            detail: String::new(),
        };
        let mut kept: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for number in 0..130 {
            let spec = Spec {
                id: format!("f:{number:03}"),
                flow: flow.clone(),
                from: 1,
                to: 2,
                sample: 0.0,
                grace: 0,
                calls: 1,
                by: String::new(),
                at: number,
                reason: String::new(),
            };
            let mut report = Reconciliation::new(spec);
            let known = kept.iter().filter(|(key, _)| key.starts_with(REPORTS));
            let begun = begun(&report, known.map(|(key, value)| (key.clone(), value.clone())).collect());
            // It ends before the next one begins, with two pages besides the first.
            let pages = report.put((0..2 * PAGE + 1).map(finding).collect());
            let ended = (report.key(), Some(report.to_bytes()));
            for (key, value) in begun.into_iter().chain(pages).chain([ended]) {
                match value {
                    Some(value) => drop(kept.insert(key, value)),
                    None => drop(kept.remove(&key)),
                }
            }
            let of = |prefix: &str| kept.keys().filter(|key| key.starts_with(prefix)).count();
            let known = usize::try_from(number).expect("positive") + 1;
            assert_eq!((of(REPORTS), of(FINDINGS)), (known.min(KEPT), 2 * known.min(WHOLE)), "{number}");
        }
    }

    #[test]
    fn a_report_is_due_once_an_instant_and_never_while_the_flow_is_paused() {
        let at = |text: &str| -> DateTime<Utc> { text.parse().expect("an instant") };
        let hourly = Plan::new("17 * * * *", chrono_tz::Tz::UTC).expect("a cron");
        let (last, now) = (at("2024-03-14T09:17:30Z"), at("2024-03-14T10:20:00Z"));
        assert!(is_due(&hourly, false, last, now));
        assert!(!is_due(&hourly, true, last, now));
        assert!(!is_due(&hourly, false, now, at("2024-03-14T11:16:59Z")));
        assert!(is_due(&hourly, false, now, at("2024-03-14T11:17:00Z")));
    }

    #[test]
    fn windows_hold_every_date_and_are_not_too_many() {
        assert_eq!(windows(vec![9, 5, 6, 5]), [(5, 7), (9, 10)]);
        assert_eq!(windows(Vec::new()), []);
        assert_eq!(windows((0..500).map(|at| at * 10).collect()), [(0, 4_991)]);
        let record = command(&FlowName::new("f").expect("valid"), (5, 7));
        let value = String::from_utf8(record.value.expect("a value")).expect("text");
        assert_eq!(value, r#"{"flow":"f","command":"window","from":5,"to":7,"again":true}"#);
    }
}
