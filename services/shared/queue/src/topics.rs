//! The topics as they must be made: partitions, clean-up, how long.

use std::time::Duration;

use document::{FlowName, topic};

use crate::cluster::MAX_RECORD_BYTES;

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// How a topic gets rid of what is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleanup {
    /// By age.
    Delete,
    /// The last record of a key stays.
    Compact,
    /// The last record of a key stays, until it is old.
    CompactAndDelete,
}

impl Cleanup {
    /// The value of `cleanup.policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Cleanup::Delete => "delete",
            Cleanup::Compact => "compact",
            Cleanup::CompactAndDelete => "compact,delete",
        }
    }
}

/// One topic as it must be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Its name.
    pub name: String,
    /// Its partitions; fixed for good.
    pub partitions: i32,
    /// How it gets rid of what is old.
    pub cleanup: Cleanup,
    /// How long records are kept; for ever where absent.
    pub retention: Option<Duration>,
    /// How long a superseded record can still be read before compaction may take it.
    pub min_compaction_lag: Option<Duration>,
}

impl TopicSpec {
    fn new(name: impl Into<String>, partitions: i32, cleanup: Cleanup, retention: Option<Duration>) -> Self {
        Self { name: name.into(), partitions, cleanup, retention, min_compaction_lag: None }
    }

    /// The topic's settings by their names in Kafka.
    pub fn config(&self, replication: i32) -> Vec<(&'static str, String)> {
        let retention = match (self.cleanup, self.retention) {
            (Cleanup::Compact, _) | (_, None) => "-1".to_owned(),
            (_, Some(retention)) => retention.as_millis().to_string(),
        };
        let mut config = vec![
            ("cleanup.policy", self.cleanup.as_str().to_owned()),
            ("retention.ms", retention),
            ("max.message.bytes", MAX_RECORD_BYTES.to_string()),
            ("min.insync.replicas", (replication - 1).clamp(1, 2).to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ];
        if let Some(lag) = self.min_compaction_lag {
            config.push(("min.compaction.lag.ms", lag.as_millis().to_string()));
        }
        config
    }
}

/// The topics of the house, one set for all flows. Source: the table in ARCHITECTURE.md.
pub fn house() -> Vec<TopicSpec> {
    use Cleanup::{Compact, CompactAndDelete, Delete};
    vec![
        TopicSpec::new(topic::FLOWS, 1, Compact, None),
        TopicSpec::new(topic::COMMANDS, topic::COMMAND_PARTITIONS, Delete, Some(7 * DAY)),
        TopicSpec::new(topic::EXTRACT_STATE, topic::COMMAND_PARTITIONS, Compact, None),
        // Lookback of three days and one more.
        TopicSpec::new(topic::EXTRACT_SEEN, topic::COMMAND_PARTITIONS, CompactAndDelete, Some(4 * DAY)),
        TopicSpec::new(topic::DEAD_LETTERS, 6, Delete, Some(90 * DAY)),
        // One partition each: the state of the control plane's one writer lies under the number of its input.
        TopicSpec::new(topic::DEAD_LETTER_EVENTS, 1, Compact, None),
        TopicSpec::new(topic::CONTROL, 1, Compact, None),
        TopicSpec::new(topic::AUDIT, 1, Delete, Some(400 * DAY)),
    ]
}

/// The topics of one flow. Mapped and ledger share their count: state lies under its input's partition number.
pub fn of_flow(flow: &FlowName, partitions: i32) -> Vec<TopicSpec> {
    let mut ledger = TopicSpec::new(topic::ledger(flow), partitions, Cleanup::CompactAndDelete, Some(30 * DAY));
    ledger.min_compaction_lag = Some(HOUR);
    vec![
        TopicSpec::new(topic::extracted(flow), partitions, Cleanup::Delete, Some(14 * DAY)),
        TopicSpec::new(topic::mapped(flow), partitions, Cleanup::Delete, Some(14 * DAY)),
        ledger,
    ]
}

/// How long entries of a state topic are kept; for ever where absent.
pub(crate) fn kept(name: &str) -> Option<Duration> {
    let of_flow = topic::flow_of(name).map(|flow| of_flow(&flow, 1)).unwrap_or_default();
    house().into_iter().chain(of_flow).find(|spec| spec.name == name).and_then(|spec| spec.retention)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(spec: &TopicSpec, name: &str) -> Option<String> {
        spec.config(3).into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    #[test]
    fn a_flow_has_three_topics_of_one_count_and_the_ledger_outlives_mapped() {
        let flow = FlowName::new("misc-inbound").expect("valid");
        let specs = of_flow(&flow, 6);
        let names: Vec<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
        assert_eq!(
            names,
            ["starbridge.misc-inbound.extracted", "starbridge.misc-inbound.mapped", "starbridge.misc-inbound.ledger"]
        );
        assert!(specs.iter().all(|spec| spec.partitions == 6));
        assert!(specs[2].retention > specs[1].retention);
        assert_eq!(value(&specs[1], "retention.ms").as_deref(), Some("1209600000"));
        assert_eq!(value(&specs[2], "cleanup.policy").as_deref(), Some("compact,delete"));
        assert_eq!(value(&specs[2], "min.compaction.lag.ms").as_deref(), Some("3600000"));
    }

    #[test]
    fn state_lies_beside_the_commands_and_compacted_topics_keep_for_ever() {
        let specs = house();
        let of = |name: &str| specs.iter().find(|spec| spec.name == name).expect("there").clone();
        assert_eq!(of(topic::COMMANDS).partitions, 32);
        assert_eq!(of(topic::EXTRACT_STATE).partitions, 32);
        assert_eq!(of(topic::EXTRACT_SEEN).partitions, 32);
        assert_eq!(value(&of(topic::FLOWS), "retention.ms").as_deref(), Some("-1"));
        assert_eq!(value(&of(topic::FLOWS), "cleanup.policy").as_deref(), Some("compact"));
        assert_eq!(value(&of(topic::EXTRACT_SEEN), "retention.ms").as_deref(), Some("345600000"));
        assert_eq!(value(&of(topic::DEAD_LETTERS), "max.message.bytes").as_deref(), Some("16777216"));
    }

    #[test]
    fn tables_forget_what_their_topic_forgets() {
        assert_eq!(kept("starbridge.misc-inbound.ledger"), Some(30 * DAY));
        assert_eq!(kept(topic::EXTRACT_SEEN), Some(4 * DAY));
        assert_eq!(kept(topic::EXTRACT_STATE), None);
        assert_eq!(kept("other"), None);
    }

    #[test]
    fn three_replicas_need_two_in_sync_and_one_needs_one() {
        let spec = &house()[0];
        let min = |replication| spec.config(replication).into_iter().find(|(k, _)| *k == "min.insync.replicas");
        assert_eq!(min(3), Some(("min.insync.replicas", "2".to_owned())));
        assert_eq!(min(1), Some(("min.insync.replicas", "1".to_owned())));
        assert_eq!(spec.config(3).last(), Some(&("unclean.leader.election.enable", "false".to_owned())));
    }
}
