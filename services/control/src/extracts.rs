//! How far the sources of flows have been read, as the extractor's own checkpoints in `starbridge.extract-state` tell it.
//!
//! Of a checkpoint only what the desk shows or waits for is read; what else is in it is the extractor's own.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use document::{BackfillId, BackfillMark, BackfillMarks, FlowName, Received};
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::sync::watch;

/// What a flow's checkpoint says.
#[derive(Debug, Clone, Default, Deserialize)]
struct Extract {
    #[serde(default)]
    watermark: Option<i64>,
    #[serde(default)]
    completed: Option<i64>,
    #[serde(default)]
    scan: Option<IgnoredAny>,
    #[serde(default)]
    backfills: BackfillMarks,
}

/// How far the source of a flow has been read. Times are unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// When a scan was last complete.
    pub completed: Option<i64>,
    /// Every bill whose watermark date was below this when a scan began has been read.
    pub watermark: Option<i64>,
    /// Whether a scan is under way.
    pub scanning: bool,
}

/// The last checkpoint of every flow, in memory. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Extracts {
    known: Arc<RwLock<BTreeMap<FlowName, Extract>>>,
    changes: watch::Sender<u64>,
}

impl Extracts {
    /// Takes in records, in the order of their partitions. What is no checkpoint of a flow is passed over: the topic also
    /// holds what the session needs.
    pub fn apply(&self, batch: &[Received]) {
        if batch.is_empty() {
            return;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for received in batch {
            let Ok(key) = String::from_utf8(received.record.key.clone()) else { continue };
            let Ok(flow) = FlowName::new(key) else { continue };
            match &received.record.value {
                None => drop(known.remove(&flow)),
                Some(value) => {
                    if let Ok(extract) = serde_json::from_slice(value) {
                        known.insert(flow, extract);
                    }
                }
            }
        }
        drop(known);
        self.changes.send_modify(|change| *change += 1);
    }

    /// How far a backfill of a flow has been read; nothing of it where the extractor has not begun.
    pub fn mark(&self, flow: &FlowName, id: BackfillId) -> BackfillMark {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(flow).and_then(|extract| extract.backfills.get(id)).copied().unwrap_or_default()
    }

    /// How far a flow has been read; `None` where the extractor has not begun.
    pub fn reading(&self, flow: &FlowName) -> Option<Reading> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let Extract { watermark, completed, scan, .. } = known.get(flow)?;
        Some(Reading { completed: *completed, watermark: *watermark, scanning: scan.is_some() })
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::{Record, topic};

    fn received(key: &str, value: Option<&str>) -> Received {
        let record = Record {
            key: key.as_bytes().to_vec(),
            value: value.map(|value| value.as_bytes().to_vec()),
            ..Record::default()
        };
        Received { topic: topic::EXTRACT_STATE.to_owned(), partition: 3, offset: 1, timestamp: None, record }
    }

    #[test]
    fn the_last_checkpoint_tells_how_far_a_backfill_is() {
        let extracts = Extracts::default();
        let mut changes = extracts.changes();
        let (flow, id) = (FlowName::new("misc").expect("valid"), BackfillId::new(0xab));
        assert_eq!(extracts.mark(&flow, id), BackfillMark::default());
        let marks = r#"{"format":1,"watermark":7,"config":"","backfills":{"000000000000000000000000000000ab":{"read_to":9,"emitted":2,"unchanged":1,"letters":0,"at":5}}}"#;
        extracts.apply(&[
            received("misc", Some(r#"{"format":1,"watermark":6,"config":""}"#)),
            received("misc", Some(marks)),
            received("Not A Flow", Some("{}")),
            received("other", Some("owner")),
        ]);
        assert!(changes.has_changed().expect("open"));
        changes.mark_unchanged();
        let mark = BackfillMark { read_to: Some(9), emitted: 2, unchanged: 1, letters: 0, at: 5 };
        assert_eq!(extracts.mark(&flow, id), mark);
        let read = Reading { completed: None, watermark: Some(7), scanning: false };
        assert_eq!(
            (extracts.reading(&flow), extracts.reading(&FlowName::new("none").expect("valid"))),
            (Some(read), None)
        );
        let going_on = r#"{"format":1,"watermark":8,"config":"","completed":5,"scan":{"run_time":9,"since":1}}"#;
        extracts.apply(&[received("misc", Some(going_on))]);
        let read = Reading { completed: Some(5), watermark: Some(8), scanning: true };
        assert_eq!(extracts.reading(&flow), Some(read));
        extracts.apply(&[received("misc", None)]);
        assert_eq!(extracts.mark(&flow, id), BackfillMark::default());
    }
}
