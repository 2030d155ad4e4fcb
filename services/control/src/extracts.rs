//! How far the sources of flows have been read, as the extractor's own checkpoints in `starbridge.extract-state` tell it.
//!
//! Of a checkpoint only what the desk shows or waits for is read; what else is in it is the extractor's own.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use document::{BackfillId, BackfillMark, BackfillMarks, FlowName, Received};
use serde::Deserialize;
use tokio::sync::watch;

/// What a flow's checkpoint says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Extract {
    #[serde(default)]
    backfills: BackfillMarks,
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
        extracts.apply(&[received("misc", None)]);
        assert_eq!(extracts.mark(&flow, id), BackfillMark::default());
    }
}
