//! The dead letters, read from their topic by header names alone.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::Message as _;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _};
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
    let mut letters = BTreeMap::new();
    each(brokers, topic, |message| {
        let required = |name: &str| {
            header(message, name).with_context(|| format!("a letter at offset {} has no {name}", message.offset()))
        };
        let letter = Letter {
            record: required("dl-record-key")?,
            category: required("dl-category")?,
            code: required("dl-code")?,
            message: required("dl-message")?,
        };
        letters.insert(required("dl-id")?, letter);
        Ok(())
    })?;
    Ok(letters)
}

/// The letters of `topic` that still wait for somebody: those whose last state in `events`, read by hand, is none of the
/// ends. A topic of events that does not exist says nothing.
///
/// # Errors
/// The broker cannot be reached within a minute, or a record is not of the contract.
pub fn open(brokers: &str, topic: &str, events: &str) -> anyhow::Result<BTreeMap<String, Letter>> {
    let mut letters = read(brokers, topic)?;
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    each(brokers, events, |message| {
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        let value: serde_json::Value = serde_json::from_slice(message.payload().unwrap_or_default())
            .with_context(|| format!("the event at offset {}", message.offset()))?;
        if let Some(state) = value["state"].as_str() {
            states.insert(key, state.to_owned());
        }
        Ok(())
    })?;
    letters
        .retain(|id, _| !matches!(states.get(id).map(String::as_str), Some("resolved" | "superseded" | "discarded")));
    Ok(letters)
}

/// Key and text of header `name` of every record of `topic` that is committed now and has it.
///
/// # Errors
/// The broker cannot be reached within a minute.
pub fn records(brokers: &str, topic: &str, name: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut records = Vec::new();
    each(brokers, topic, |message| {
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        records.extend(header(message, name).map(|value| (key, value)));
        Ok(())
    })?;
    Ok(records)
}

/// Text of header `name` of every record of `topic` that is committed now and has it, and when the record was written, unix
/// milliseconds.
///
/// # Errors
/// The broker cannot be reached within a minute, or a record has no time.
pub fn times(brokers: &str, topic: &str, name: &str) -> anyhow::Result<Vec<(String, i64)>> {
    let mut times = Vec::new();
    each(brokers, topic, |message| {
        let Some(value) = header(message, name) else { return Ok(()) };
        let time = message.timestamp().to_millis();
        times.push((value, time.with_context(|| format!("the record at offset {} has no time", message.offset()))?));
        Ok(())
    })?;
    Ok(times)
}

/// The last value of every key of `topic` that is committed now; `None` where it was taken back.
///
/// # Errors
/// The broker cannot be reached within a minute.
pub fn latest(brokers: &str, topic: &str) -> anyhow::Result<BTreeMap<String, Option<String>>> {
    let mut latest = BTreeMap::new();
    each(brokers, topic, |message| {
        let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
        latest.insert(key, message.payload().map(|value| String::from_utf8_lossy(value).into_owned()));
        Ok(())
    })?;
    Ok(latest)
}

/// The names of all topics.
///
/// # Errors
/// The broker does not answer.
pub fn topics(brokers: &str) -> anyhow::Result<Vec<String>> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().context("making a consumer")?;
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(10)).context("asking for topics")?;
    Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
}

/// Key, headers and value of every record of `topic` that is committed now, as one text each.
///
/// # Errors
/// The broker cannot be reached within a minute.
pub fn texts(brokers: &str, topic: &str) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    each(brokers, topic, |message| {
        let mut bytes = message.key().unwrap_or_default().to_vec();
        for header in message.headers().iter().flat_map(|headers| headers.iter()) {
            bytes.extend_from_slice(header.key.as_bytes());
            bytes.extend_from_slice(header.value.unwrap_or_default());
        }
        bytes.extend_from_slice(message.payload().unwrap_or_default());
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
        Ok(())
    })?;
    Ok(texts)
}

fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let value = message.headers()?.iter().find(|header| header.key == name)?.value?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Shows every record of `topic` that is committed now.
fn each(
    brokers: &str,
    topic: &str,
    mut visit: impl FnMut(&BorrowedMessage<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
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
    if ends.is_empty() {
        return Ok(());
    }
    consumer.assign(&assignment).context("assigning")?;
    let begin = Instant::now();
    while !ends.is_empty() {
        if begin.elapsed() > Duration::from_secs(60) {
            bail!("the end of {topic} was not reached within a minute");
        }
        if let Some(polled) = consumer.poll(Duration::from_millis(100)) {
            visit(&polled.context("reading the topic")?)?;
        }
        // Transaction markers take offsets too, so progress is the position and not the last record.
        let position = consumer.position().context("asking for the position")?;
        ends.retain(|partition, end| {
            let at = position.find_partition(topic, *partition).and_then(|element| element.offset().to_raw());
            at.is_none_or(|at| at < *end)
        });
    }
    Ok(())
}
