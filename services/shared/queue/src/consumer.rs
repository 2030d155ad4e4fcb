//! A member of a group that keeps no state: reads, and saves positions once everything before them has ended.

use std::sync::Arc;
use std::time::Duration;

use document::Received;

use crate::admin::Lag;
use crate::cluster::Cluster;
use crate::error::Error;
use crate::member::{Member, MemberSettings};
use crate::offset::{Next, TopicPartition};
use crate::session::{Event, Timing};

/// How long a commit is repeated while the group or its coordinator moves.
const COMMIT_LIMIT: Duration = Duration::from_secs(20);

/// A static member of a group. Every method takes `&self`.
///
/// Where the group never saved a position it begins with the start of the log. What was read and not saved is read
/// again by whoever comes next.
#[derive(Debug)]
pub struct Consumer {
    member: Arc<Member>,
}

impl Consumer {
    /// Joins `group` under the fixed name `instance`. Returns before partitions are assigned.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub async fn join(cluster: &Cluster, group: &str, instance: &str, topics: &[String]) -> Result<Self, Error> {
        Self::join_with(cluster, group, instance, topics, &Timing::default()).await
    }

    /// Joins with other times than the usual; of `timing`, `session`, `watchdog` and `stalled` apply.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub async fn join_with(
        cluster: &Cluster,
        group: &str,
        instance: &str,
        topics: &[String],
        timing: &Timing,
    ) -> Result<Self, Error> {
        let settings = MemberSettings {
            cluster: cluster.clone(),
            group: group.to_owned(),
            member: instance.to_owned(),
            guarded: false,
            release: None,
            session: timing.session,
            watchdog: timing.watchdog,
            stalled: timing.stalled.clone(),
        };
        killpoint::reached("consumer.joining");
        let topics = topics.to_vec();
        let joining = tokio::task::spawn_blocking(move || Member::join(&settings, &topics, None));
        let member = joining.await.expect("joining does not panic")?;
        killpoint::reached("consumer.joined");
        Ok(Self { member: Arc::new(member) })
    }

    /// At most `max` records, an equal share of each partition that has some and in order within each; empty when none
    /// came within `wait`. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::DataExpired`], [`Error::TopicRecreated`] (that partition stays silent) and [`Error::TopicMissing`] end
    /// nothing: stop the flow and go on. After all others drop it and join anew.
    pub async fn poll(&self, max: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            match self.next(max, left).await? {
                Event::Records(records) => return Ok(records),
                Event::Idle => return Ok(Vec::new()),
                Event::Assigned(_) | Event::Revoking(_) | Event::Revoked(_) => {}
            }
        }
    }

    /// As [`Consumer::poll`], for who wants to know of comings and goings. [`Event::Revoking`] never comes.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub async fn next(&self, max: usize, wait: Duration) -> Result<Event, Error> {
        self.member.adjust();
        let event = self.member.shared.next(max, wait).await;
        self.member.adjust();
        event
    }

    /// Saves positions and waits until they are. Partitions that have moved are left out: their new owner reads again
    /// what was not saved.
    ///
    /// # Errors
    /// What the coordinator refuses; drop it and join anew.
    pub async fn commit(&self, next: &[Next]) -> Result<(), Error> {
        self.member.shared.alive()?;
        let member = Arc::clone(&self.member);
        let next = next.to_vec();
        killpoint::reached("consumer.commit.asked");
        let committing = tokio::task::spawn_blocking(move || member.commit_blocking(&next, COMMIT_LIMIT));
        let committed = committing.await.expect("committing does not panic");
        killpoint::reached("consumer.commit.answered");
        committed
    }

    /// Replaces the list of topics. The group rebalances: at most once a minute.
    ///
    /// # Errors
    /// What the client says.
    pub fn subscribe(&self, topics: &[String]) -> Result<(), Error> {
        self.member.subscribe(topics)
    }

    /// Takes no more records of these partitions until they are resumed.
    pub fn pause(&self, partitions: &[TopicPartition]) {
        self.member.shared.set_paused(partitions, true);
        self.member.adjust();
    }

    /// Takes records of these partitions again.
    pub fn resume(&self, partitions: &[TopicPartition]) {
        self.member.shared.set_paused(partitions, false);
        self.member.adjust();
    }

    /// The partitions that are ours.
    pub fn assigned(&self) -> Vec<TopicPartition> {
        self.member.shared.opened()
    }

    /// The saved position of a partition that is ours.
    pub fn position(&self, partition: &TopicPartition) -> Option<Next> {
        self.member.shared.saved_of(partition).map(|(next, _)| next)
    }

    /// Saved position, start and end of every partition that is ours.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub async fn lag(&self) -> Result<Vec<Lag>, Error> {
        let member = Arc::clone(&self.member);
        tokio::task::spawn_blocking(move || member.lag_blocking(Duration::from_secs(15)))
            .await
            .expect("asking does not panic")
    }

    /// Leaves and waits for it. The place in the group stays reserved for the name.
    pub async fn close(self) {
        self.member.stop();
        let member = Arc::clone(&self.member);
        drop(self);
        let closing = tokio::task::spawn_blocking(move || {
            if let Ok(member) = Arc::try_unwrap(member) {
                member.close_blocking();
            }
        });
        if closing.await.is_err() {
            tracing::warn!("closing a consumer panicked");
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.member.stop();
    }
}
