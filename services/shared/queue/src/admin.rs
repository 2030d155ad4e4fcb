//! Makes topics and asks about them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info};

use crate::cluster::{Cluster, Ear};
use crate::error::{Error, passes};
use crate::offset::{Next, TopicPartition};
use crate::producer::settings;
use crate::topics::TopicSpec;

const TIMEOUT: Duration = Duration::from_secs(15);

/// How far a group is behind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The next offset the group reads; `None` where it never saved one.
    pub committed: Option<i64>,
    /// The first offset that can be read.
    pub start: i64,
    /// The offset after the last decided record.
    pub end: i64,
}

impl Lag {
    /// Records still to be read; control records of transactions count.
    pub fn records(&self) -> i64 {
        (self.end - self.committed.unwrap_or(self.start)).max(0)
    }
}

/// Makes topics and asks about topics and groups.
#[derive(Clone)]
pub struct Admin {
    client: Arc<AdminClient<Ear>>,
    cluster: Arc<Cluster>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("brokers", &self.cluster.brokers).finish_non_exhaustive()
    }
}

impl Admin {
    /// Prepares the client; the brokers are first asked by a request.
    ///
    /// # Errors
    /// [`Error::Settings`].
    pub fn connect(cluster: &Cluster) -> Result<Self, Error> {
        let client = cluster
            .common("starbridge-admin")?
            .create_with_context(Ear::default())
            .map_err(|error| settings(&error))?;
        Ok(Self { client: Arc::new(client), cluster: Arc::new(cluster.clone()) })
    }

    fn explain(&self, error: KafkaError, operation: &'static str, object: impl Into<String>) -> Error {
        self.client.inner().context().explain(error, &self.cluster, operation, object)
    }

    fn options() -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
    }

    /// The number of partitions of `topic`; `None` when there is no such topic.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub async fn partitions(&self, topic: &str) -> Result<Option<i32>, Error> {
        Ok(self.counts().await?.remove(topic))
    }

    /// Every topic with its number of partitions.
    async fn counts(&self) -> Result<BTreeMap<String, i32>, Error> {
        let client = Arc::clone(&self.client);
        // Asking for one topic by name would make it where a broker is set to; asking for all never does.
        let asked = tokio::task::spawn_blocking(move || {
            client.inner().fetch_metadata(None, TIMEOUT).map(|metadata| counts(&metadata))
        });
        asked
            .await
            .expect("asking does not panic")
            .map_err(|error| self.explain(error, "reading the list of topics", "all topics"))
    }

    /// Makes the topics that do not exist and checks the partition count of those that do.
    ///
    /// # Errors
    /// [`Error::PartitionsDiffer`] for the first topic whose count is another; partitions are never added, since keys
    /// would move. [`Error::Forbidden`] when the user may not create topics.
    pub async fn ensure(&self, specs: &[TopicSpec], replication: i32) -> Result<(), Error> {
        let present = self.counts().await?;
        let mut missing = Vec::new();
        for spec in specs {
            match present.get(&spec.name) {
                Some(found) => same_count(spec, *found)?,
                None => missing.push(spec),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let configs: Vec<Vec<(&'static str, String)>> = missing.iter().map(|spec| spec.config(replication)).collect();
        let topics: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&configs)
            .map(|(spec, config)| {
                let topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(replication));
                config.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let made = self
            .client
            .create_topics(&topics, &Self::options())
            .await
            .map_err(|error| self.explain(error, "making topics", "new topics"))?;
        let mut raced = false;
        for result in made {
            match result {
                Ok(topic) => info!(topic, "topic made"),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => raced = true,
                Err((topic, code)) => return Err(self.explain(KafkaError::AdminOp(code), "making a topic", topic)),
            }
        }
        if raced {
            // Another replica was quicker: what it made is checked as if it had always been there.
            let present = self.counts().await?;
            for spec in missing {
                if let Some(found) = present.get(&spec.name) {
                    same_count(spec, *found)?;
                }
            }
        }
        Ok(())
    }

    /// How far `group` is behind in every partition of `topics`.
    ///
    /// # Errors
    /// [`Error::TopicMissing`]; what keeps the brokers from answering.
    pub async fn lag(&self, group: &str, topics: &[String]) -> Result<Vec<Lag>, Error> {
        let counts = self.counts().await?;
        let mut partitions = Vec::new();
        for topic in topics {
            let count = counts.get(topic).ok_or_else(|| Error::TopicMissing { topic: topic.clone() })?;
            partitions.extend((0..*count).map(|partition| TopicPartition::new(topic, partition)));
        }
        let config = self.cluster.consumer("starbridge-lag", group)?;
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<Ear> = config.create_with_context(Ear::default())?;
            positions(&consumer, &partitions, TIMEOUT)
        });
        asked.await.expect("asking does not panic").map_err(|error| self.explain(error, "reading the lag", group))
    }

    /// How long records of `topic` are kept; `None` when for ever.
    ///
    /// # Errors
    /// What keeps the brokers from answering; [`Error::Forbidden`] when the user may not read the topic's settings.
    pub async fn retention(&self, topic: &str) -> Result<Option<Duration>, Error> {
        let operation = "reading the settings of a topic";
        let asked = self.client.describe_configs(&[ResourceSpecifier::Topic(topic)], &Self::options()).await;
        let mut answers = asked.map_err(|error| self.explain(error, operation, topic))?;
        let answer = answers.pop().unwrap_or(Err(RDKafkaErrorCode::UnknownTopicOrPartition));
        let settings = answer.map_err(|code| self.explain(KafkaError::AdminOp(code), operation, topic))?;
        let millis = settings.get("retention.ms").and_then(|entry| entry.value.as_ref()?.parse().ok());
        // Minus one stands for ever.
        Ok(millis.map(Duration::from_millis))
    }

    /// The time stamp of the oldest record of `topic` that `group` has still to read, unix milliseconds; `None` when it
    /// has read them all. What lies behind its positions and is no record, such as the end of a transaction, is none.
    ///
    /// # Errors
    /// [`Error::TopicMissing`]; what keeps the brokers from answering.
    pub async fn oldest_unread(&self, group: &str, topic: &str) -> Result<Option<i64>, Error> {
        let count = self.partitions(topic).await?.ok_or_else(|| Error::TopicMissing { topic: topic.to_owned() })?;
        let partitions: Vec<_> = (0..count).map(|partition| TopicPartition::new(topic, partition)).collect();
        let mut config = self.cluster.consumer("starbridge-lag", group)?;
        config.set("enable.partition.eof", "true").set("queued.min.messages", "1");
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<Ear> = config.create_with_context(Ear::default())?;
            oldest(&consumer, &positions(&consumer, &partitions, TIMEOUT)?)
        });
        asked.await.expect("asking does not panic").map_err(|error| self.explain(error, "reading the lag", group))
    }

    /// Deletes the records before each position, whatever the topic's retention.
    ///
    /// # Errors
    /// What the brokers refuse.
    pub async fn delete_records(&self, before: &[Next]) -> Result<(), Error> {
        let mut list = TopicPartitionList::new();
        for next in before {
            list.add_partition_offset(&next.topic, next.partition, Offset::Offset(next.offset))
                .map_err(|error| self.explain(error, "deleting records", next.to_string()))?;
        }
        self.client
            .delete_records(&list, &Self::options())
            .await
            .map(drop)
            .map_err(|error| self.explain(error, "deleting records", "records"))
    }

    /// Deletes topics, with everything in them.
    ///
    /// # Errors
    /// What the brokers refuse.
    pub async fn delete_topics(&self, names: &[&str]) -> Result<(), Error> {
        let deleted = self
            .client
            .delete_topics(names, &Self::options())
            .await
            .map_err(|error| self.explain(error, "deleting topics", names.join(", ")))?;
        for result in deleted {
            if let Err((topic, code)) = result {
                return Err(self.explain(KafkaError::AdminOp(code), "deleting a topic", topic));
            }
        }
        Ok(())
    }
}

/// Every topic with its number of partitions.
pub(crate) fn counts(metadata: &rdkafka::metadata::Metadata) -> BTreeMap<String, i32> {
    let usable = metadata.topics().iter().filter(|topic| topic.error().is_none());
    usable.map(|topic| (topic.name().to_owned(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))).collect()
}

fn same_count(spec: &TopicSpec, found: i32) -> Result<(), Error> {
    if found == spec.partitions {
        return Ok(());
    }
    Err(Error::PartitionsDiffer { topic: spec.name.clone(), wanted: spec.partitions, found })
}

/// Saved position, start and end of each partition, with three requests whatever their number.
pub(crate) fn positions<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Lag>, KafkaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let committed = patiently(consumer, timeout, |once| {
        read(&consumer.committed_offsets(list(partitions, Offset::Invalid)?, once)?)
    })?;
    let mut lags = ranges(consumer, partitions, timeout)?;
    for lag in &mut lags {
        lag.committed = committed.get(&lag.topic_partition).copied();
    }
    Ok(lags)
}

/// Start and end of each partition; saved positions are not asked for.
pub(crate) fn ranges<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    partitions: &[TopicPartition],
    timeout: Duration,
) -> Result<Vec<Lag>, KafkaError> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let (start, end) = patiently(consumer, timeout, |once| {
        // The logical offsets are what the list-offsets request calls the earliest and the latest time stamp.
        let start = read(&consumer.offsets_for_times(list(partitions, Offset::Beginning)?, once)?)?;
        let end = read(&consumer.offsets_for_times(list(partitions, Offset::End)?, once)?)?;
        Ok((start, end))
    })?;
    let missing = KafkaError::OffsetFetch(RDKafkaErrorCode::UnknownPartition);
    partitions
        .iter()
        .map(|name| match (start.get(name), end.get(name)) {
            (Some(start), Some(end)) => {
                Ok(Lag { topic_partition: name.clone(), committed: None, start: *start, end: *end })
            }
            _ => Err(missing.clone()),
        })
        .collect()
}

/// The oldest of the first unread records of partitions of one topic.
fn oldest<C: ConsumerContext>(consumer: &BaseConsumer<C>, lags: &[Lag]) -> Result<Option<i64>, KafkaError> {
    let unread = lags.iter().filter(|lag| lag.records() > 0);
    let mut list = TopicPartitionList::new();
    for lag in unread {
        let first = lag.committed.unwrap_or(lag.start).max(lag.start);
        list.add_partition_offset(&lag.topic_partition.topic, lag.topic_partition.partition, Offset::Offset(first))?;
    }
    let mut open: BTreeSet<i32> = list.elements().iter().map(|element| element.partition()).collect();
    consumer.assign(&list)?;
    let (mut oldest, begun) = (None, std::time::Instant::now());
    while !open.is_empty() {
        if begun.elapsed() > TIMEOUT {
            return Err(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut));
        }
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) if open.remove(&message.partition()) => {
                oldest = [oldest, message.timestamp().to_millis()].into_iter().flatten().min();
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                open.remove(&partition);
            }
            Some(Err(error)) => return Err(error),
            Some(Ok(_)) | None => {}
        }
    }
    Ok(oldest)
}

fn list(partitions: &[TopicPartition], offset: Offset) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for name in partitions {
        list.add_partition_offset(&name.topic, name.partition, offset)?;
    }
    Ok(list)
}

/// Asks again while brokers and coordinators move; `ask` is given the time of one attempt.
pub(crate) fn patiently<C: ConsumerContext, T>(
    consumer: &BaseConsumer<C>,
    timeout: Duration,
    ask: impl Fn(Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let begun = std::time::Instant::now();
    let once = timeout / 3;
    loop {
        match ask(once) {
            Err(error) if passes(&error) && begun.elapsed() + once < timeout => {
                debug!(%error, "asking once more");
                // What the client remembers of leaders may be of before; asking for everything makes it look again.
                if consumer.fetch_metadata(None, once).is_err() {
                    std::thread::park_timeout(Duration::from_millis(100));
                }
                std::thread::park_timeout(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

/// The real offsets of a list; partitions without one are left out.
fn read(list: &TopicPartitionList) -> Result<BTreeMap<TopicPartition, i64>, KafkaError> {
    let mut offsets = BTreeMap::new();
    for element in list.elements() {
        element.error()?;
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert(TopicPartition::new(element.topic(), element.partition()), offset);
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;

    #[test]
    fn lag_counts_from_the_saved_position_or_the_start() {
        let mut lag = Lag { topic_partition: TopicPartition::new("t", 0), committed: Some(7), start: 3, end: 10 };
        assert_eq!(lag.records(), 3);
        lag.committed = None;
        assert_eq!(lag.records(), 7);
        lag.committed = Some(12);
        assert_eq!(lag.records(), 0);
    }

    #[test]
    fn another_partition_count_is_refused() {
        let spec = crate::topics::house().remove(0);
        assert!(same_count(&spec, 1).is_ok());
        let error = same_count(&spec, 2).expect_err("differs");
        assert_eq!(error.code(), Code::PartitionsDiffer);
        assert_eq!(error.place().record.as_deref(), Some("starbridge.flows"));
        assert_eq!(error.topic(), Some("starbridge.flows"));
    }
}
