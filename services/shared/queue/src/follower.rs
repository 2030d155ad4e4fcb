//! Reads whole topics from where it is told, outside any group: how an index is built, and rebuilt.
//!
//! Everything here blocks: an index is written by a thread of its own, which reads with the same hand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use document::Received;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use crate::admin::{Lag, counts, ranges};
use crate::cluster::{Cluster, Ear};
use crate::error::{Error, code_of, passes};
use crate::message::received;
use crate::offset::{Next, TopicPartition};
use crate::producer::settings;

const ASK: Duration = Duration::from_secs(20);

/// Where a partition was found when it was taken up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The partition.
    pub partition: TopicPartition,
    /// The first offset that can be read.
    pub start: i64,
    /// The offset after the last decided record.
    pub end: i64,
    /// Where reading begins.
    pub begin: i64,
    /// The position asked for lies beyond the end: the topic was made anew, and what is known of it must be forgotten.
    pub recreated: bool,
}

/// Follows topics that are made of all their partitions, read-committed.
pub struct Follower {
    consumer: BaseConsumer<Ear>,
    cluster: Cluster,
    followed: BTreeMap<TopicPartition, i64>,
    /// Partitions that were not yet read to the end they had when they were taken up.
    behind: BTreeMap<TopicPartition, i64>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("followed", &self.followed).finish_non_exhaustive()
    }
}

impl Follower {
    /// Prepares the client; nothing is read until topics are taken up.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn new(cluster: &Cluster, client_id: &str) -> Result<Self, Error> {
        let config = cluster.consumer(client_id, client_id)?;
        let consumer = config.create_with_context(Ear::default()).map_err(|error| settings(&error))?;
        Ok(Self { consumer, cluster: cluster.clone(), followed: BTreeMap::new(), behind: BTreeMap::new() })
    }

    /// Takes up those of `topics` that exist and are not followed yet, each partition from its offset in `from`, or
    /// from its start. Tells where each was found.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub fn follow(&mut self, topics: &[String], from: &BTreeMap<TopicPartition, i64>) -> Result<Vec<Found>, Error> {
        let known: BTreeSet<&str> = self.followed.keys().map(|partition| partition.topic.as_str()).collect();
        let wanted: Vec<&String> = topics.iter().filter(|topic| !known.contains(topic.as_str())).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let metadata = self
            .consumer
            .fetch_metadata(None, ASK)
            .map_err(|error| self.explain(error, "reading the list of topics", "all topics"))?;
        let counts = counts(&metadata);
        killpoint::reached("follower.asking");
        let partitions: Vec<TopicPartition> = wanted
            .into_iter()
            .flat_map(|topic| {
                let count = counts.get(topic).copied().unwrap_or_default();
                (0..count).map(move |partition| TopicPartition::new(topic.clone(), partition))
            })
            .collect();
        let asked = ranges(&self.consumer, &partitions, ASK)
            .map_err(|error| self.explain(error, "asking where topics begin", "topics to follow"))?;
        let found: Vec<Found> = asked
            .into_iter()
            .map(|lag| {
                let known = from.get(&lag.topic_partition).copied();
                let recreated = known.is_some_and(|offset| offset > lag.end);
                let begin = known.filter(|_| !recreated).unwrap_or(lag.start).max(lag.start);
                Found { partition: lag.topic_partition, start: lag.start, end: lag.end, begin, recreated }
            })
            .collect();
        let mut list = TopicPartitionList::with_capacity(found.len());
        for one in &found {
            list.add_partition_offset(&one.partition.topic, one.partition.partition, Offset::Offset(one.begin))
                .map_err(|error| self.explain(error, "beginning to follow", one.partition.to_string()))?;
        }
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| self.explain(error, "beginning to follow", "topics"))?;
        killpoint::reached("follower.following");
        for one in &found {
            self.followed.insert(one.partition.clone(), one.begin);
            if one.begin < one.end {
                self.behind.insert(one.partition.clone(), one.end);
            }
        }
        Ok(found)
    }

    /// At most `max` records of at most about `bytes`, in order within each partition; empty when none came within
    /// `wait`.
    ///
    /// # Errors
    /// [`Error::DataExpired`] when retention has overtaken the reading: forget it and follow anew. What no waiting makes
    /// good, such as a refused login.
    pub fn poll(&mut self, max: usize, bytes: usize, wait: Duration) -> Result<Vec<Received>, Error> {
        let mut records = Vec::new();
        let (mut weight, mut wait) = (0, wait);
        while records.len() < max && weight < bytes {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = received(&message);
                    self.followed.insert(TopicPartition::of(&record), record.offset + 1);
                    weight += crate::message::weight(&record);
                    records.push(record);
                }
                Some(Err(error)) if lost(&error) => return Err(self.lost_place(error)),
                Some(Err(error)) if passes(&error) => tracing::debug!(%error, "the client goes on by itself"),
                Some(Err(error)) => return Err(self.explain(error, "following", "topics")),
                None => break,
            }
            wait = Duration::ZERO;
        }
        self.note_progress()?;
        Ok(records)
    }

    /// Whether everything that was there when its topic was taken up has been read.
    pub fn is_caught_up(&self) -> bool {
        self.behind.is_empty()
    }

    /// The partitions that are followed.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        self.followed.keys().cloned().collect()
    }

    /// How far behind the reading is, by partition. What was read to its end is not behind, whatever control records
    /// lie there.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub fn lags(&self) -> Result<Vec<Lag>, Error> {
        let explain = |error| self.explain(error, "asking where topics end", "topics");
        let mut lags = ranges(&self.consumer, &self.partitions(), ASK).map_err(explain)?;
        let at = self.consumer.position().map_err(explain)?;
        for lag in &mut lags {
            let partition = &lag.topic_partition;
            let at = at.find_partition(&partition.topic, partition.partition).map(|element| element.offset());
            lag.committed = match at {
                Some(Offset::Offset(offset)) => Some(offset),
                // The client has not handed out a record yet.
                _ => self.followed.get(partition).copied(),
            };
        }
        Ok(lags)
    }

    /// The first offset that can still be read of each followed partition of `topic`.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub fn starts(&self, topic: &str) -> Result<Vec<Next>, Error> {
        let partitions: Vec<TopicPartition> =
            self.followed.keys().filter(|partition| partition.topic == topic).cloned().collect();
        let lags = ranges(&self.consumer, &partitions, ASK)
            .map_err(|error| self.explain(error, "asking where topics begin", topic))?;
        Ok(lags
            .iter()
            .map(|lag| Next::at(&lag.topic_partition.topic, lag.topic_partition.partition, lag.start))
            .collect())
    }

    /// The ends may be control records, which are never handed out: the client's own position decides.
    fn note_progress(&mut self) -> Result<(), Error> {
        if self.behind.is_empty() {
            return Ok(());
        }
        let at = self.consumer.position().map_err(|error| self.explain(error, "following", "topics"))?;
        self.behind.retain(|partition, end| {
            let at = at.find_partition(&partition.topic, partition.partition).map(|element| element.offset());
            !matches!(at, Some(Offset::Offset(offset)) if offset >= *end)
        });
        Ok(())
    }

    fn lost_place(&self, error: KafkaError) -> Error {
        let partitions: Vec<TopicPartition> = self.followed.keys().cloned().collect();
        match ranges(&self.consumer, &partitions, ASK) {
            Ok(lags) => {
                let lost = lags.iter().find(|lag| self.followed.get(&lag.topic_partition) < Some(&lag.start));
                lost.map_or_else(
                    || self.explain(error, "following", "topics"),
                    |lag| Error::DataExpired {
                        at: Next::at(
                            &lag.topic_partition.topic,
                            lag.topic_partition.partition,
                            self.followed.get(&lag.topic_partition).copied().unwrap_or_default(),
                        ),
                        log_start: lag.start,
                    },
                )
            }
            Err(error) => self.explain(error, "asking where topics begin", "topics"),
        }
    }

    fn explain(&self, error: KafkaError, operation: &'static str, object: impl Into<String>) -> Error {
        self.consumer.context().explain(error, &self.cluster, operation, object)
    }
}

fn lost(error: &KafkaError) -> bool {
    matches!(code_of(error), Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}

/// Reads single records, or a short stretch of a partition, for a person who looks at one document.
#[derive(Debug, Clone)]
pub struct Peek {
    cluster: Cluster,
    client_id: String,
}

impl Peek {
    /// Looks with this client name.
    pub fn new(cluster: &Cluster, client_id: &str) -> Self {
        Self { cluster: cluster.clone(), client_id: client_id.to_owned() }
    }

    /// The record at `at`; `None` when it has expired, was compacted away, or is not decided.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub async fn record(&self, at: Next) -> Result<Option<Received>, Error> {
        let offset = at.offset;
        let found = self.stretch(at, 1, move |record| record.offset == offset).await?;
        Ok(found.into_iter().next())
    }

    /// The records from `at` on that `wanted` takes, of at most `most` that are looked at.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub async fn stretch(
        &self,
        at: Next,
        most: usize,
        wanted: impl Fn(&Received) -> bool + Send + 'static,
    ) -> Result<Vec<Received>, Error> {
        let peek = self.clone();
        let looking = tokio::task::spawn_blocking(move || peek.stretch_blocking(&at, most, wanted));
        looking.await.expect("looking does not panic")
    }

    /// The first offset of a partition whose record is not older than `millis` (unix); the end when all are.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub async fn at_time(&self, partition: TopicPartition, millis: i64) -> Result<Next, Error> {
        let peek = self.clone();
        let asking = tokio::task::spawn_blocking(move || {
            let consumer = peek.consumer()?;
            let explain =
                |error| consumer.context().explain(error, &peek.cluster, "asking for a time", partition.to_string());
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(millis))
                .map_err(explain)?;
            let found = consumer.offsets_for_times(list, ASK).map_err(explain)?;
            let offset = found.elements().first().map(rdkafka::topic_partition_list::TopicPartitionListElem::offset);
            match offset {
                Some(Offset::Offset(offset)) if offset >= 0 => {
                    Ok(Next::at(&partition.topic, partition.partition, offset))
                }
                _ => {
                    let lags = ranges(&consumer, std::slice::from_ref(&partition), ASK).map_err(explain)?;
                    let end = lags.first().map_or(0, |lag| lag.end);
                    Ok(Next::at(&partition.topic, partition.partition, end))
                }
            }
        });
        asking.await.expect("asking does not panic")
    }

    fn consumer(&self) -> Result<BaseConsumer<Ear>, Error> {
        let config = self.cluster.consumer(&self.client_id, &self.client_id)?;
        config.create_with_context(Ear::default()).map_err(|error| settings(&error))
    }

    fn stretch_blocking(
        &self,
        at: &Next,
        most: usize,
        wanted: impl Fn(&Received) -> bool,
    ) -> Result<Vec<Received>, Error> {
        let consumer = self.consumer()?;
        let explain = |error| consumer.context().explain(error, &self.cluster, "looking at records", at.to_string());
        let partition = at.topic_partition();
        let lags = ranges(&consumer, std::slice::from_ref(&partition), ASK).map_err(explain)?;
        let Some(lag) = lags.first() else { return Ok(Vec::new()) };
        let begin = at.offset.max(lag.start);
        if begin >= lag.end {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&at.topic, at.partition, Offset::Offset(begin)).map_err(explain)?;
        consumer.assign(&list).map_err(explain)?;
        let (mut found, mut looked) = (Vec::new(), 0);
        let until = Instant::now() + ASK;
        while looked < most && Instant::now() < until {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    let record = received(&message);
                    looked += 1;
                    if wanted(&record) {
                        found.push(record);
                    }
                }
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => return Err(explain(error)),
                None => {}
            }
            let position = consumer.position().map_err(explain)?;
            let position = position.find_partition(&at.topic, at.partition).map(|element| element.offset());
            if matches!(position, Some(Offset::Offset(offset)) if offset >= lag.end) {
                break;
            }
        }
        Ok(found)
    }
}
