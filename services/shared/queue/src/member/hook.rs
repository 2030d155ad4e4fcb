//! What happens when the group hands partitions out and takes them back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::{info, warn};

use super::shared::{Shared, Start};
use super::{names, offsets, returning, subscribe};
use crate::admin::{Lag, patiently, positions};
use crate::cluster::{Ear, forward_log};
use crate::error::Error;
use crate::offset::{Next, TopicPartition};

/// How long the hook asks for positions, and tries to save some: together below what the watchdog allows.
const ASK: Duration = Duration::from_secs(15);

/// Numbers assignments.
static EPOCHS: AtomicU64 = AtomicU64::new(1);

/// The context of a member's client.
pub(crate) struct Hook {
    pub(crate) ear: Ear,
    shared: Arc<Shared>,
    /// The group has given an assignment before.
    joined: AtomicBool,
}

impl Hook {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { ear: Ear::default(), shared, joined: AtomicBool::new(false) }
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let wanted = partitions(list);
        // Looked at once only: whatever comes of joining again stands.
        if !self.joined.swap(true, Ordering::Relaxed) && self.former(consumer, &wanted) {
            self.join_again(consumer);
        }
        killpoint::reached("member.assign.asked");
        match self.starts(consumer, &wanted) {
            Ok((starts, refused)) => {
                let stopped: Vec<TopicPartition> = refused
                    .iter()
                    .filter_map(|error| match error {
                        Error::DataExpired { at, .. } | Error::TopicRecreated { at, .. } => Some(at.topic_partition()),
                        _ => None,
                    })
                    .collect();
                // Silent ones begin anywhere they can: the client may ask once before it hears of the pause.
                let nexts: Vec<Next> = starts
                    .iter()
                    .map(|start| match stopped.contains(&start.next.topic_partition()) {
                        true => Next { offset: start.first, ..start.next.clone() },
                        false => start.next.clone(),
                    })
                    .collect();
                let begun = offsets(&nexts).and_then(|list| consumer.incremental_assign(&list)).and_then(|()| {
                    // Before the next poll, so that not one record comes through.
                    let quiet = if self.shared.guarded { &wanted } else { &stopped };
                    if quiet.is_empty() { Ok(()) } else { consumer.pause(&names(quiet)) }
                });
                info!(member = self.shared.member, partitions = wanted.len(), "partitions assigned");
                self.shared.assigned(starts, &stopped);
                killpoint::reached("member.assign.taken");
                for error in refused {
                    self.shared.fail(error);
                }
                if let Err(error) = begun {
                    self.fail(error, "beginning to read assigned partitions");
                }
            }
            Err(error) => {
                // The answer is still owed to the group; the session is given up right after it.
                if let Err(error) = consumer.incremental_assign(list).and_then(|()| consumer.pause(list)) {
                    warn!(member = self.shared.member, %error, "assigned partitions cannot be taken over");
                }
                self.fail(error, "asking where assigned partitions begin");
            }
        }
    }

    fn fail(&self, error: KafkaError, operation: &'static str) {
        self.shared.fail(Error::from_kafka(error, &self.shared.brokers, operation, &self.shared.member));
    }

    fn former(&self, consumer: &BaseConsumer<Self>, given: &[TopicPartition]) -> bool {
        returning::former(consumer, &self.shared, given).unwrap_or_else(|error| {
            // One rebalance too many costs less than a topic that nobody reads.
            warn!(member = self.shared.member, %error, "whether every topic is read cannot be asked");
            true
        })
    }

    /// Has the group make another assignment, right after the present one is taken.
    fn join_again(&self, consumer: &BaseConsumer<Self>) {
        info!(member = self.shared.member, "the group does not know the subscription yet, joining again");
        // A subscription amid a rebalance is put off to its end and then joins in any case, even if it is the same. The
        // broker takes it for a changed one, since the client now tells its generation and what it owns.
        if let Err(error) = subscribe(consumer, &self.shared.lock()) {
            self.fail(error, "joining again");
        }
    }

    /// Where each partition begins. Where no position was ever saved, the start of the log is saved now: otherwise
    /// the client could not tell a new partition from one whose data expired. A guarded member leaves that to the
    /// transaction of its first owner record: a saved position without an owner would mean that its state was lost.
    fn starts(
        &self,
        consumer: &BaseConsumer<Self>,
        wanted: &[TopicPartition],
    ) -> Result<(Vec<Start>, Vec<Error>), KafkaError> {
        let asked = positions(consumer, wanted, ASK)?;
        let new: Vec<Next> = asked.iter().filter(|lag| lag.committed.is_none()).map(start_of).collect();
        if !self.shared.guarded && !new.is_empty() {
            let list = offsets(&new)?;
            killpoint::reached("member.assign.first_position");
            patiently(consumer, ASK, |_| consumer.commit(&list, CommitMode::Sync))?;
        }
        let refused = asked.iter().filter_map(out_of_range).collect();
        let starts = asked
            .iter()
            .map(|lag| {
                let name = &lag.topic_partition;
                let next = Next::at(&name.topic, name.partition, lag.committed.unwrap_or(lag.start));
                Start {
                    next,
                    first: lag.start,
                    committed: lag.committed.is_some(),
                    epoch: EPOCHS.fetch_add(1, Ordering::Relaxed),
                }
            })
            .collect();
        Ok((starts, refused))
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        killpoint::reached("member.revoke.asked");
        let leaving = partitions(list);
        let lost = consumer.assignment_lost();
        match self.shared.release {
            Some(wait) if !lost && !self.shared.stopped() => {
                info!(member = self.shared.member, partitions = leaving.len(), "partitions are to move");
                self.shared.revoking(leaving, wait);
            }
            _ => {
                if lost {
                    warn!(member = self.shared.member, partitions = leaving.len(), "partitions lost");
                }
                self.shared.gone(&leaving);
                unassign(consumer, &leaving, &self.shared.member);
            }
        }
    }
}

fn start_of(lag: &Lag) -> Next {
    Next::at(&lag.topic_partition.topic, lag.topic_partition.partition, lag.start)
}

/// What is wrong with a saved position, if anything.
pub(crate) fn out_of_range(lag: &Lag) -> Option<Error> {
    let name = &lag.topic_partition;
    let at = Next::at(&name.topic, name.partition, lag.committed?);
    if at.offset < lag.start {
        Some(Error::DataExpired { at, log_start: lag.start })
    } else if at.offset > lag.end {
        Some(Error::TopicRecreated { at, log_end: lag.end })
    } else {
        None
    }
}

/// Gives partitions back; from here on another member may have them.
pub(crate) fn unassign(consumer: &BaseConsumer<Hook>, leaving: &[TopicPartition], member: &str) {
    if let Err(error) = consumer.incremental_unassign(&names(leaving)) {
        warn!(member, %error, "revoked partitions cannot be given back");
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

impl ClientContext for Hook {
    fn error(&self, error: KafkaError, reason: &str) {
        self.ear.hear(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        forward_log(level, facility, message);
    }
}

impl ConsumerContext for Hook {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, list),
            _ => self.revoke(consumer, list),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;

    fn lag(committed: Option<i64>) -> Lag {
        Lag { topic_partition: TopicPartition::new("t", 2), committed, start: 10, end: 20 }
    }

    #[test]
    fn positions_within_the_log_are_fine() {
        for committed in [None, Some(10), Some(15), Some(20)] {
            assert!(out_of_range(&lag(committed)).is_none(), "{committed:?}");
        }
    }

    #[test]
    fn a_position_before_the_log_has_expired() {
        let error = out_of_range(&lag(Some(9))).expect("expired");
        assert_eq!(error.code(), Code::DataExpired);
        assert_eq!(error.place().record.as_deref(), Some("t/2@9"));
        assert!(!error.recycles());
        assert_eq!(error.topic(), Some("t"));
    }

    #[test]
    fn a_position_beyond_the_log_means_another_topic() {
        let error = out_of_range(&lag(Some(21))).expect("recreated");
        assert_eq!(error.code(), Code::TopicRecreated);
        assert_eq!(error.place().record.as_deref(), Some("t/2@21"));
        assert!(!error.recycles());
    }
}
