//! What the tests of the broker share: names of their own, raw clients, waiting.

use std::time::Duration;

use document::{Headers, Received, Record};
use e2e::servers::SharedKafka;
use queue::{
    Admin, Cleanup, Cluster, Event, Next, Outgoing, Session, SessionSettings, Timing, TopicPartition, TopicSpec,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

/// How long something may take that must happen.
pub(crate) const LONG: Duration = Duration::from_secs(40);
/// How long is waited for what must not happen.
pub(crate) const SOON: Duration = Duration::from_millis(1500);

pub(crate) fn brokers() -> &'static str {
    // Every test but the first finds it set up.
    drop(
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init(),
    );
    SharedKafka::get().brokers()
}

pub(crate) fn cluster() -> Cluster {
    Cluster::plaintext(brokers())
}

pub(crate) fn admin() -> Admin {
    Admin::connect(&cluster()).expect("admin")
}

pub(crate) fn spec(name: &str, partitions: i32, cleanup: Cleanup) -> TopicSpec {
    TopicSpec { name: name.to_owned(), partitions, cleanup, retention: None, min_compaction_lag: None }
}

/// Makes `name` with `partitions`, kept for ever.
pub(crate) async fn topic(name: &str, partitions: i32) {
    admin().ensure(&[spec(name, partitions, Cleanup::Delete)], 1).await.expect("topic");
}

/// Makes the input topic `{name}.in` and its state topic `{name}.state`.
pub(crate) async fn pair(name: &str, partitions: i32) -> String {
    let input = format!("{name}.in");
    let specs =
        [spec(&input, partitions, Cleanup::Delete), spec(&format!("{name}.state"), partitions, Cleanup::Compact)];
    admin().ensure(&specs, 1).await.expect("topics");
    input
}

pub(crate) fn states(input: &str) -> Vec<String> {
    vec![input.replace(".in", ".state")]
}

/// Times that keep tests short.
pub(crate) fn timing() -> Timing {
    Timing {
        transaction: Duration::from_secs(10),
        session: Duration::from_secs(6),
        release: Duration::from_secs(5),
        barrier: Duration::from_secs(30),
        ..Timing::default()
    }
}

pub(crate) fn settings(name: &str, member: &str, topics: &[&str], folder: &std::path::Path) -> SessionSettings {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let mut settings = SessionSettings::new(cluster(), name, member, topics, states, folder);
    settings.timing = timing();
    settings
}

pub(crate) fn record(key: &str, value: &str) -> Record {
    let mut headers = Headers::new();
    headers.set("sb-flow", "流程");
    Record { key: key.as_bytes().to_vec(), headers, value: Some(value.as_bytes().to_vec()) }
}

pub(crate) fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// Writes `count` records, `k0` to `k{count - 1}`, to one partition.
pub(crate) async fn fill(topic: &str, partition: i32, count: usize) {
    let producer = queue::Producer::connect(&cluster(), "fill").expect("producer");
    let records = (0..count)
        .map(|i| Outgoing::to_partition(topic, partition, record(&format!("k{i}"), &format!("v{i}"))))
        .collect();
    producer.send_all(records).await.expect("sent");
}

/// The next event that is not idle.
pub(crate) async fn event(session: &Session) -> Event {
    match session.next(500, LONG).await.expect("an event") {
        Event::Idle => panic!("no event in {LONG:?}"),
        event => event,
    }
}

/// Waits for assignments until `count` partitions are there.
pub(crate) async fn assigned(session: &Session, count: usize) -> Vec<TopicPartition> {
    let mut all = Vec::new();
    while all.len() < count {
        match event(session).await {
            Event::Assigned(partitions) => all.extend(partitions),
            other => panic!("not an assignment: {other:?}"),
        }
    }
    all.sort();
    all
}

/// Waits for `count` records, whatever else happens.
pub(crate) async fn records(session: &Session, count: usize) -> Vec<Received> {
    let mut all = Vec::new();
    while all.len() < count {
        if let Event::Records(records) = event(session).await {
            all.extend(records);
        }
    }
    all
}

/// A raw transactional producer, initialised.
pub(crate) fn raw_producer(id: &str, timeout: Duration) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("transactional.id", id)
        .set("transaction.timeout.ms", timeout.as_millis().to_string())
        .set("message.timeout.ms", timeout.as_millis().to_string())
        .set("log_level", "0")
        .create()
        .expect("producer");
    producer.init_transactions(LONG).expect("initialised");
    producer
}

/// Sends one record to partition 0 and waits for its report.
pub(crate) fn raw_send(producer: &BaseProducer, topic: &str, text: &str) {
    producer.send(BaseRecord::to(topic).partition(0).key(text).payload(text)).expect("queued");
    producer.flush(LONG).expect("sent");
}

/// A raw consumer of partition 0 from the start.
pub(crate) fn raw_consumer(topic: &str, isolation: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("group.id", format!("raw-{topic}"))
        .set("isolation.level", isolation)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "false")
        .set("fetch.wait.max.ms", "50")
        .create()
        .expect("consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).expect("offset");
    consumer.assign(&list).expect("assigned");
    consumer
}

/// What comes until `count` records are there or `wait` is over.
pub(crate) fn raw_read(consumer: &BaseConsumer, count: usize, wait: Duration) -> Vec<String> {
    let begun = std::time::Instant::now();
    let mut texts = Vec::new();
    while texts.len() < count && begun.elapsed() < wait {
        if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50)) {
            texts.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
        }
    }
    texts
}

/// The `count` records that must come, however long that takes, and what comes right behind them though it must not.
pub(crate) fn raw_all(consumer: &BaseConsumer, count: usize) -> Vec<String> {
    let mut texts = raw_read(consumer, count, LONG);
    texts.extend(raw_read(consumer, 1, SOON));
    texts
}

/// Everything readable in a topic, once `count` records are there.
pub(crate) async fn all_of(topic: &str, count: usize) -> Vec<Received> {
    let name = format!("all-of-{topic}-{count}");
    let consumer = queue::Consumer::join(&cluster(), &name, &name, &[topic.to_owned()]).await.expect("joined");
    let mut all = Vec::new();
    let begun = std::time::Instant::now();
    while all.len() < count && begun.elapsed() < LONG {
        all.extend(consumer.poll(1000, Duration::from_millis(200)).await.expect("records"));
    }
    // What is too many comes right behind.
    all.extend(consumer.poll(1000, Duration::from_millis(300)).await.expect("records"));
    consumer.close().await;
    all
}

/// Waits until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn next(topic: &str, partition: i32, offset: i64) -> Next {
    Next::at(topic, partition, offset)
}
