//! Partitions that wait, with the records that were read of them already.

use std::collections::BTreeMap;

use document::{Code, Fault, FlowName, FlowVersion, Received};
use queue::TopicPartition;

use super::Released;

/// Why a partition waits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The next record names a flow version that is not here.
    VersionLate {
        /// The flow.
        flow: FlowName,
        /// The version the record names.
        version: FlowVersion,
    },
    /// Most records of this version fail alike.
    Failing {
        /// The flow.
        flow: FlowName,
        /// The version that fails.
        version: FlowVersion,
    },
}

impl Reason {
    /// The flow that waits.
    pub fn flow(&self) -> &FlowName {
        match self {
            Reason::VersionLate { flow, .. } | Reason::Failing { flow, .. } => flow,
        }
    }

    /// The word in metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Reason::VersionLate { .. } => "version_late",
            Reason::Failing { .. } => "failing",
        }
    }
}

/// One partition that waits.
#[derive(Debug)]
pub struct Hold {
    partition: TopicPartition,
    reason: Reason,
    /// Offset of the first record that waits.
    from: i64,
    records: Vec<Received>,
    /// Whether records were let go because they took too much memory.
    forgotten: bool,
}

impl Hold {
    /// A hold without records yet.
    pub fn new(partition: TopicPartition, reason: Reason, from: i64) -> Self {
        Self { partition, reason, from, records: Vec::new(), forgotten: false }
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }

    /// What to tell operators; `words` is what the records fail with.
    pub fn fault(&self, words: Option<String>) -> Fault {
        let place = format!("{}@{}", self.partition, self.from);
        match &self.reason {
            Reason::VersionLate { flow, version } => {
                let detail = format!("version {version} of flow {flow} is not published here, the partition waits");
                Fault::new(Code::FlowVersionLate, detail).of_record(place)
            }
            Reason::Failing { flow, version } => {
                let words = words.unwrap_or_else(|| "the same fault".to_owned());
                let detail = format!("most records of version {version} of flow {flow} fail with {words}, it waits");
                Fault::new(Code::MappingBreaker, detail).of_record(place)
            }
        }
    }
}

/// Key, headers and value of a record, bytes.
fn size_of(received: &Received) -> usize {
    let record = &received.record;
    let headers: usize = record.headers.iter().map(|(name, text)| name.len() + text.len()).sum();
    record.key.len() + headers + record.value.as_ref().map_or(0, Vec::len)
}

/// All partitions that wait. Their records are kept up to a limit of bytes; beyond it they are let go, to be read
/// again from the saved position when the wait is over.
#[derive(Debug)]
pub struct Holds {
    by_partition: BTreeMap<TopicPartition, Hold>,
    bytes: usize,
    max_bytes: usize,
}

impl Holds {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { by_partition: BTreeMap::new(), bytes: 0, max_bytes }
    }

    /// Whether a partition waits.
    pub fn contains(&self, partition: &TopicPartition) -> bool {
        self.by_partition.contains_key(partition)
    }

    /// The partitions that wait.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.by_partition.keys().cloned().collect()
    }

    /// Number of waiting partitions by reason.
    pub fn reasons(&self) -> BTreeMap<Reason, usize> {
        let mut reasons = BTreeMap::new();
        for hold in self.by_partition.values() {
            *reasons.entry(hold.reason.clone()).or_default() += 1;
        }
        reasons
    }

    /// Bytes of the records that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn begin(&mut self, mut hold: Hold, records: Vec<Received>) {
        let partition = hold.partition.clone();
        // The partition may wait already, for a record behind these: what is kept of it comes after them.
        let behind = self.by_partition.remove(&partition);
        hold.forgotten |= behind.as_ref().is_some_and(|behind| behind.forgotten);
        let behind = behind.map(|behind| behind.records).unwrap_or_default();
        self.by_partition.insert(partition.clone(), hold);
        self.recount();
        for received in records.into_iter().chain(behind) {
            self.append(&partition, received);
        }
    }

    pub(super) fn append(&mut self, partition: &TopicPartition, received: Received) {
        let Some(hold) = self.by_partition.get_mut(partition) else { return };
        let size = size_of(&received);
        if hold.forgotten {
            return;
        }
        if self.bytes + size > self.max_bytes {
            hold.forgotten = true;
            self.bytes -= hold.records.drain(..).map(|record| size_of(&record)).sum::<usize>();
            return;
        }
        self.bytes += size;
        hold.records.push(received);
    }

    pub(super) fn clear(&mut self) {
        self.by_partition.clear();
        self.bytes = 0;
    }

    pub(super) fn keep_only(&mut self, assigned: &[TopicPartition]) {
        self.by_partition.retain(|partition, _| assigned.contains(partition));
        self.recount();
    }

    fn recount(&mut self) {
        self.bytes = self.by_partition.values().flat_map(|hold| &hold.records).map(size_of).sum();
    }

    pub(super) fn release(&mut self, over: impl Fn(&Reason) -> bool) -> Released {
        let mut released = Released::default();
        let done: Vec<TopicPartition> = self
            .by_partition
            .iter()
            .filter(|(_, hold)| over(&hold.reason))
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in done {
            if let Some(hold) = self.by_partition.remove(&partition) {
                released.rejoin |= hold.forgotten;
                released.records.extend(hold.records);
                released.resume.push(partition);
            }
        }
        self.recount();
        released
    }
}

#[cfg(test)]
mod tests {
    use document::Record;

    use super::*;

    fn flow() -> FlowName {
        FlowName::new("misc").expect("a flow's name")
    }

    fn late() -> Reason {
        Reason::VersionLate { flow: flow(), version: "v1".into() }
    }

    fn failing() -> Reason {
        Reason::Failing { flow: flow(), version: "v1".into() }
    }

    /// A record of ten bytes.
    fn received(partition: i32, offset: i64) -> Received {
        let record = Record { key: b"k".to_vec(), value: Some(vec![0; 9]), ..Record::default() };
        Received { topic: "t".to_owned(), partition, offset, timestamp: None, record }
    }

    #[test]
    fn a_wait_that_begins_before_another_one_of_its_partition_keeps_what_waits_behind() {
        let partition = TopicPartition::new("t", 0);
        let mut holds = Holds::new(1_000);
        holds.begin(Hold::new(partition.clone(), late(), 5), vec![received(0, 5), received(0, 6)]);
        holds.begin(Hold::new(partition.clone(), failing(), 3), vec![received(0, 3), received(0, 4)]);
        assert_eq!(holds.bytes(), 40);
        let released = holds.release(|reason| matches!(reason, Reason::Failing { .. }));
        let offsets: Vec<i64> = released.records.iter().map(|received| received.offset).collect();
        assert_eq!((offsets, released.rejoin, released.resume), (vec![3, 4, 5, 6], false, vec![partition]));
        assert_eq!(holds.bytes(), 0);
    }
    #[test]
    fn each_reason_to_wait_has_a_word_of_its_own_in_the_metrics() {
        assert_eq!((late().as_str(), failing().as_str()), ("version_late", "failing"));
        assert_eq!((late().flow(), failing().flow()), (&flow(), &flow()));
    }
    #[test]
    fn records_are_kept_up_to_the_last_byte_of_the_limit_and_only_the_partition_that_goes_beyond_lets_go() {
        let (a, b) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1));
        let mut holds = Holds::new(30);
        holds.begin(Hold::new(a.clone(), late(), 1), vec![received(0, 1)]);
        holds.begin(Hold::new(b.clone(), failing(), 1), vec![received(1, 1), received(1, 2)]);
        assert_eq!(holds.bytes(), 30);
        holds.append(&b, received(1, 3));
        assert_eq!(holds.bytes(), 10);
        // Of what was let go nothing is kept later on: it would be a gap.
        holds.append(&b, received(1, 4));
        assert_eq!(holds.bytes(), 10);
        let released = holds.release(|reason| *reason == late());
        assert_eq!((released.records.len(), released.rejoin, released.resume), (1, false, vec![a]));
        let released = holds.release(|_| true);
        assert_eq!((released.records.len(), released.rejoin, released.resume), (0, true, vec![b]));
    }

    #[test]
    fn what_was_let_go_is_read_again_though_an_earlier_wait_of_its_partition_begins() {
        let partition = TopicPartition::new("t", 0);
        let mut holds = Holds::new(15);
        holds.begin(Hold::new(partition.clone(), late(), 5), vec![received(0, 5), received(0, 6)]);
        holds.begin(Hold::new(partition, failing(), 3), vec![received(0, 3)]);
        let released = holds.release(|_| true);
        assert_eq!((released.records.len(), released.rejoin), (0, true));
    }

    #[test]
    fn a_record_takes_its_key_its_headers_and_its_value() {
        let mut with_headers = received(0, 1);
        with_headers.record.headers.set("sb-tenant", "acme");
        with_headers.record.headers.set("sb-flow", "misc");
        let mut holds = Holds::new(1_000);
        holds.begin(Hold::new(TopicPartition::new("t", 0), late(), 1), vec![with_headers]);
        assert_eq!(holds.bytes(), 10 + "sb-tenantacmesb-flowmisc".len());
    }
}
