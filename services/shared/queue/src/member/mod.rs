//! A member of a group: polls on its own thread, keeps what it owns, holds records until they are asked for.
//!
//! The thread never waits for anybody: backpressure is a pause at the client, a revocation that must wait is answered
//! later, between two polls.

mod hook;
mod returning;
mod shared;
mod thread;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

pub(crate) use hook::Hook;
pub(crate) use shared::{Notice, Shared, Start};

use crate::admin::{Lag, positions};
use crate::cluster::Cluster;
use crate::error::{Error, passes};
use crate::offset::{Next, TopicPartition};
use crate::producer::settings;
use crate::watchdog::Stalled;

/// What a member is made of.
#[derive(Clone)]
pub(crate) struct MemberSettings {
    pub(crate) cluster: Cluster,
    pub(crate) group: String,
    pub(crate) member: String,
    /// Partitions give no records until they are opened, and have no position saved by the member itself.
    pub(crate) guarded: bool,
    /// How long a revoked partition waits for its release; not at all where absent.
    pub(crate) release: Option<Duration>,
    pub(crate) session: Duration,
    pub(crate) watchdog: Duration,
    pub(crate) stalled: Option<Stalled>,
}

/// A member and its thread.
pub(crate) struct Member {
    consumer: Arc<BaseConsumer<Hook>>,
    pub(crate) shared: Arc<Shared>,
    thread: std::thread::JoinHandle<()>,
    cluster: Cluster,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member").field("member", &self.shared.member).finish_non_exhaustive()
    }
}

impl Member {
    /// Makes the client, subscribes and starts to poll. Returns at once; the group forms in the background.
    pub(crate) fn join(
        settings_of: &MemberSettings,
        topics: &[String],
        notices: Option<tokio::sync::mpsc::UnboundedSender<Notice>>,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(settings_of, notices));
        let mut config = settings_of.cluster.member(&settings_of.group, &settings_of.member)?;
        let session = settings_of.session.as_millis();
        config
            .set("session.timeout.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 15).clamp(200, 3000).to_string())
            .set("topic.metadata.refresh.interval.ms", "10000");
        let consumer: BaseConsumer<Hook> =
            config.create_with_context(Hook::new(Arc::clone(&shared))).map_err(|error| settings(&error))?;
        let consumer = Arc::new(consumer);
        let thread = thread::spawn(Arc::clone(&consumer), Arc::clone(&shared), settings_of)?;
        let member = Self { consumer, shared, thread, cluster: settings_of.cluster.clone() };
        member.subscribe(topics)?;
        Ok(member)
    }

    fn explain(&self, error: KafkaError, operation: &'static str) -> Error {
        self.consumer.context().ear.explain(error, &self.cluster, operation, &self.shared.member)
    }

    /// Replaces the subscription; the group rebalances.
    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<(), Error> {
        let mut state = self.shared.lock();
        state.subscribed = topics.to_vec();
        subscribe(&self.consumer, &state).map_err(|error| self.explain(error, "subscribing"))
    }

    /// Brings the client's pauses in line with what is wanted now.
    pub(crate) fn adjust(&self) {
        thread::adjust(&self.consumer, &self.shared);
    }

    /// Runs `with` under the lock that the revoke hook takes, together with the group metadata of that very moment.
    pub(crate) fn fenced<T>(
        &self,
        with: impl FnOnce(&mut shared::State) -> Result<T, Error>,
    ) -> Result<(T, ConsumerGroupMetadata), Error> {
        let mut state = self.shared.lock();
        let metadata = self.consumer.group_metadata().ok_or_else(|| Error::Ended {
            member: self.shared.member.clone(),
            reason: "the client has no group".to_owned(),
        })?;
        with(&mut state).map(|value| (value, metadata))
    }

    /// Saves positions outside any transaction. What is no longer owned is left out. Blocks.
    pub(crate) fn commit_blocking(&self, next: &[Next], limit: Duration) -> Result<(), Error> {
        let started = std::time::Instant::now();
        loop {
            let owned = self.shared.owned_of(next);
            if owned.is_empty() {
                return Ok(());
            }
            let list = offsets(&owned).map_err(|error| self.explain(error, "saving positions"))?;
            match self.consumer.commit(&list, CommitMode::Sync) {
                Ok(()) => {
                    self.shared.saved(&owned);
                    return Ok(());
                }
                Err(error) if passes(&error) && started.elapsed() < limit => {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                Err(error) => return Err(self.explain(error, "saving positions")),
            }
        }
    }

    /// Saved position, start and end of everything that is ours. Blocks.
    pub(crate) fn lag_blocking(&self, limit: Duration) -> Result<Vec<Lag>, Error> {
        let owned = self.shared.owned();
        positions(&self.consumer, &owned, limit).map_err(|error| self.explain(error, "reading the lag"))
    }

    /// Stops the thread without waiting for it.
    pub(crate) fn stop(&self) {
        self.shared.stop();
    }

    /// Stops the thread and waits until the client has left. Blocks.
    pub(crate) fn close_blocking(self) {
        self.stop();
        let Self { consumer, shared, thread, .. } = self;
        drop(consumer);
        if thread.join().is_err() {
            tracing::error!(member = shared.member, "the polling thread panicked");
        }
    }

    /// Every topic with its number of partitions. Blocks.
    pub(crate) fn counts_blocking(&self, limit: Duration) -> Result<BTreeMap<String, i32>, Error> {
        let metadata = self
            .consumer
            .fetch_metadata(None, limit)
            .map_err(|error| self.explain(error, "reading the list of topics"))?;
        Ok(crate::admin::counts(&metadata))
    }
}

/// Tells the client the subscription; under its lock, so that an older one never follows a newer one.
fn subscribe(consumer: &BaseConsumer<Hook>, state: &shared::State) -> Result<(), KafkaError> {
    if state.subscribed.is_empty() {
        consumer.unsubscribe();
        return Ok(());
    }
    let names: Vec<&str> = state.subscribed.iter().map(String::as_str).collect();
    consumer.subscribe(&names)
}

/// A client's list of positions.
pub(crate) fn offsets(next: &[Next]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(next.len());
    for n in next {
        list.add_partition_offset(&n.topic, n.partition, Offset::Offset(n.offset))?;
    }
    Ok(list)
}

/// A client's list of partitions.
pub(crate) fn names(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for p in partitions {
        list.add_partition(&p.topic, p.partition);
    }
    list
}
