//! What a report takes, when one is due, and what brings missing bills again. No I/O.

use document::{FlowName, Headers, Record};
use serde_json::json;

use super::read::{BILLS, KEYS};
use super::report::Reconciliation;
use crate::core::Memory;

/// Reports of one flow that are kept; older ones go when another one begins.
const KEPT: usize = 100;
/// Documents that a report may be about.
const MOST: u64 = 1_000_000;
/// Windows that one report has read again; beyond, one window spans all.
const WINDOWS: usize = 200;

/// Calls that a report on so many documents makes at most: heads of both sides twice over, the target by keys, and the
/// sample field by field. What is wrong is compared besides: as many calls again, and a hundred.
pub fn calls(documents: u64, sample: f64) -> usize {
    let documents = documents.min(MOST);
    let pages = |per: u64| documents.div_ceil(per) + 2;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a million"
    )]
    let sampled = (documents as f64 * sample * 1.2).ceil() as u64 + 2;
    let reading = 2 * pages(2_000) + 2 * pages(KEYS as u64) + sampled.div_ceil(BILLS as u64) * 2 + sampled;
    usize::try_from(2 * reading + 100).unwrap_or(usize::MAX)
}

/// What is written when a report begins: the report, and the end of earlier ones of its flow that are too many. `known`:
/// those, oldest first.
pub fn begun(report: &Reconciliation, known: Vec<(String, Vec<u8>)>) -> Vec<Memory> {
    let spare = known.len().saturating_sub(KEPT - 1);
    let gone = known.into_iter().take(spare).map(|(key, _)| (key, None));
    std::iter::once((report.key(), Some(report.to_bytes()))).chain(gone).collect()
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
    use super::*;

    #[test]
    fn calls_grow_with_the_documents_and_the_share_that_is_compared() {
        assert_eq!(calls(0, 0.0), 2 * (4 + 4 + 2 + 2) + 100);
        // Heads of 5,000 documents twice on either side, and a hundredth of them field by field.
        assert_eq!(calls(5_000, 0.01), 2 * (10 + 54 + 4 + 62) + 100);
        assert!(calls(5_000, 1.0) > 12_000 && calls(u64::MAX, 1.0) < 3_000_000);
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
