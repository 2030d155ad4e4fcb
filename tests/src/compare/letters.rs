//! The dead letters, read from their topic by header names alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// One dead letter, as far as the comparison looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// `dl-record-key`.
    pub record: String,
    /// `dl-category`.
    pub category: String,
    /// `dl-code`.
    pub code: String,
    /// `dl-message`.
    pub message: String,
}

/// Reads every letter of `topic` that is committed now, the last one of each `dl-id`.
///
/// # Errors
/// The broker cannot be reached within a minute, or a record lacks a header of the contract.
pub fn read(brokers: &str, topic: &str) -> anyhow::Result<BTreeMap<String, Letter>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "comparison")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .context("making a consumer")?;
    let timeout = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(Some(topic), timeout).context("asking for the topic")?;
    let partitions: Vec<i32> =
        metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(|partition| partition.id())).collect();
    let mut assignment = TopicPartitionList::new();
    let mut ends = BTreeMap::new();
    for partition in partitions {
        let (low, high) = consumer.fetch_watermarks(topic, partition, timeout).context("asking for the ends")?;
        if high > low {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).context("assigning")?;
            ends.insert(partition, high);
        }
    }
    let mut letters = BTreeMap::new();
    if ends.is_empty() {
        return Ok(letters);
    }
    consumer.assign(&assignment).context("assigning")?;
    let begin = Instant::now();
    while !ends.is_empty() {
        if begin.elapsed() > Duration::from_secs(60) {
            bail!("the end of {topic} was not reached within a minute");
        }
        if let Some(polled) = consumer.poll(Duration::from_millis(100)) {
            let message = polled.context("reading the topic")?;
            let header = |name: &str| -> anyhow::Result<String> {
                message
                    .headers()
                    .and_then(|headers| headers.iter().find(|header| header.key == name)?.value)
                    .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                    .with_context(|| format!("a letter at offset {} has no {name}", message.offset()))
            };
            let letter = Letter {
                record: header("dl-record-key")?,
                category: header("dl-category")?,
                code: header("dl-code")?,
                message: header("dl-message")?,
            };
            letters.insert(header("dl-id")?, letter);
        }
        // Transaction markers take offsets too, so progress is the position and not the last record.
        let position = consumer.position().context("asking for the position")?;
        ends.retain(|partition, end| {
            let at = position.find_partition(topic, *partition).and_then(|element| element.offset().to_raw());
            at.is_none_or(|at| at < *end)
        });
    }
    Ok(letters)
}
