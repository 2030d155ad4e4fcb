//! A transformer's own account, held by the judge: what waits there, and what most records fail with.

use std::collections::BTreeMap;

use document::{Code, Extracted, Fault, FlowVersion, Received};
use transformer::core::hold::Holds;
use transformer::core::{BreakerSettings, Handled, Reason};

/// So many times the least number of records are looked back on, at most.
const LOOKED_BACK: usize = 10;

/// What one version of a flow came to.
#[derive(Debug, Default)]
struct Count {
    records: usize,
    /// By what they failed with: the code, and the field without its position in a list.
    failed: BTreeMap<(Code, String), usize>,
}

/// The account of one session.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Bytes of what waits, by partition.
    waits: BTreeMap<i32, usize>,
    /// It was more than may be kept, some time since nothing waited.
    overflowed: bool,
    counts: BTreeMap<FlowVersion, Count>,
    failing: Vec<FlowVersion>,
}

fn without_positions(path: &str) -> String {
    let mut inside = false;
    let outside = |c: &char| {
        inside = (inside || *c == '[') && *c != ']';
        !inside || *c == '['
    };
    path.chars().filter(outside).collect()
}

/// Key, headers and value, bytes.
fn size_of(received: &Received) -> usize {
    let headers = received.record.headers.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>();
    received.record.key.len() + received.record.value.as_ref().map_or(0, Vec::len) + headers
}

/// Where the records of a batch lie, and how many bytes they have.
pub(crate) fn sizes(batch: &[Received]) -> BTreeMap<(i32, i64), usize> {
    batch.iter().map(|received| ((received.partition, received.offset), size_of(received))).collect()
}

impl Account {
    /// These partitions go on.
    pub(crate) fn release(&mut self, partition: i32) {
        self.waits.remove(&partition);
    }

    /// Partitions that are gone wait no more.
    pub(crate) fn keep_only(&mut self, left: &[i32]) {
        self.waits.retain(|partition, _| left.contains(partition));
    }

    /// Whether there was room for everything that waits.
    pub(crate) fn had_room(&self) -> bool {
        !self.overflowed
    }

    /// Of the records that were `given` the others wait. What is wrong with what is kept of them, if anything.
    pub(crate) fn hold(
        &mut self,
        mut given: BTreeMap<(i32, i64), usize>,
        handled: &[Handled],
        holds: &Holds,
        most: usize,
    ) -> (usize, Option<String>) {
        for handled in handled {
            given.remove(&(handled.received.partition, handled.received.offset));
        }
        for ((partition, _), bytes) in &given {
            *self.waits.entry(*partition).or_default() += bytes;
        }
        let bytes: usize = self.waits.values().sum();
        self.overflowed = bytes > most || (self.overflowed && bytes > 0);
        let wrong = (!self.overflowed && holds.bytes() != bytes)
            .then(|| format!("I17: {} bytes wait by its own account, and {bytes} do", holds.bytes()));
        (given.len(), wrong)
    }

    /// Counts what became of records of the `current` version; `held` of the same batch wait. A flow whose records fail alike
    /// waits before more letters are written, and no other does.
    pub(crate) fn count(
        &mut self,
        handled: &[Handled],
        held: usize,
        holds: &Holds,
        current: &FlowVersion,
        settings: BreakerSettings,
    ) -> Option<String> {
        let count = self.counts.entry(current.clone()).or_default();
        let mut letters = BTreeMap::<_, usize>::new();
        for handled in handled {
            let Ok(extracted) = Extracted::from_record(&handled.received.record) else { continue };
            // What cannot be read, or kills its reader, says nothing of the flow.
            let apart = |fault: &Fault| matches!(fault.code, Code::RecordUnreadable | Code::RecordQuarantined);
            if extracted.flow_version != *current || handled.fault.as_ref().is_some_and(apart) {
                continue;
            }
            count.records += 1;
            let alike =
                |fault: &Fault| (fault.code, fault.place.path.as_deref().map(without_positions).unwrap_or_default());
            if let Some(fault) = &handled.fault {
                *count.failed.entry(alike(fault)).or_default() += 1;
                *letters.entry(alike(fault)).or_default() += 1;
            }
        }
        let fails = |reason: &Reason| matches!(reason, Reason::Failing { version, .. } if version == current);
        let failing = holds.reasons().keys().any(fails);
        let newly = failing && !self.failing.contains(current);
        if newly {
            self.failing.push(current.clone());
        }
        let records = count.records;
        let short = records <= settings.records * LOOKED_BACK;
        let wrong =
            |worst: usize, records: usize| records >= settings.records && worst * 100 > records * settings.percent;
        // It may be that one that did not fail made them enough to decide: then the next letter is held back.
        let failed = letters.keys().filter_map(|alike| count.failed.get(alike)).max().copied().unwrap_or(0);
        if !self.failing.contains(current) && short && wrong(failed, records) {
            return Some(format!("letters are written for {failed} of {records} records that fail alike"));
        }
        let worst = count.failed.values().max().copied().unwrap_or(0);
        // All of those that wait may have failed like the others, and no more.
        (newly && short && !wrong(worst + held, records + held))
            .then(|| format!("the flow waits, and at most {} of {} records fail alike", worst + held, records + held))
    }
}
