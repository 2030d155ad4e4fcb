//! Whether the broker keeps the promises of transactions that everything here stands on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use queue::Cleanup;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::house::*;
use crate::{child, fencing};

fn plain(topic: &str, text: &str) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers()).create().expect("producer");
    raw_send(&producer, topic, text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partition_verification_is_on() {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().expect("admin");
    let resources = [ResourceSpecifier::Broker(1)];
    let described = admin.describe_configs(&resources, &AdminOptions::new()).await.expect("answered");
    let config = described.into_iter().next().expect("one broker").expect("described");
    let value = config.get("transaction.partition.verification.enable").and_then(|entry| entry.value.clone());
    assert_eq!(value.as_deref(), Some("true"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_records_are_invisible() {
    topic("aborted", 1).await;
    let producer = raw_producer("aborted", LONG);
    producer.begin_transaction().expect("begun");
    raw_send(&producer, "aborted", "never");
    producer.abort_transaction(LONG).expect("aborted");
    producer.begin_transaction().expect("begun");
    raw_send(&producer, "aborted", "seen");
    producer.commit_transaction(LONG).expect("committed");
    assert_eq!(raw_all(&raw_consumer("aborted", "read_committed"), 1), ["seen"]);
    assert_eq!(raw_read(&raw_consumer("aborted", "read_uncommitted"), 2, LONG), ["never", "seen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_holds_back_what_comes_after_it() {
    topic("held", 1).await;
    let producer = raw_producer("held", LONG);
    producer.begin_transaction().expect("begun");
    raw_send(&producer, "held", "open");
    plain("held", "after");
    let consumer = raw_consumer("held", "read_committed");
    assert_eq!(raw_read(&consumer, 1, SOON), Vec::<String>::new());
    producer.commit_transaction(LONG).expect("committed");
    assert_eq!(raw_read(&consumer, 2, LONG), ["open", "after"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_producer_of_the_same_name_fences_the_first() {
    topic("zombie", 1).await;
    let zombie = raw_producer("zombie", LONG);
    zombie.begin_transaction().expect("begun");
    raw_send(&zombie, "zombie", "of the zombie");
    let next = raw_producer("zombie", LONG);
    next.begin_transaction().expect("begun");
    raw_send(&next, "zombie", "of the next");
    next.commit_transaction(LONG).expect("committed");
    let error = zombie.commit_transaction(LONG).expect_err("fenced");
    assert!(fencing::is_fence(&error), "{error:?}");
    assert_eq!(raw_all(&raw_consumer("zombie", "read_committed"), 1), ["of the next"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_takes_too_long_is_ended_by_the_broker() {
    topic("timeout", 1).await;
    let producer = raw_producer("timeout", Duration::from_secs(2));
    let begun = Instant::now();
    producer.begin_transaction().expect("begun");
    raw_send(&producer, "timeout", "too late");
    plain("timeout", "after");
    let consumer = raw_consumer("timeout", "read_committed");
    assert_eq!(raw_read(&consumer, 1, LONG), ["after"]);
    // The broker's own clock counts whole milliseconds.
    assert!(begun.elapsed() >= Duration::from_millis(1_990), "{:?}", begun.elapsed());
    assert!(producer.commit_transaction(Duration::from_secs(10)).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_of_its_name_ends_what_a_killed_process_left_open() {
    topic("killed", 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut child = child::start(folder.path(), &["transaction", brokers(), "killed", "killed"]).await;
    child.kill().expect("killed");
    plain("killed", "after");
    let consumer = raw_consumer("killed", "read_committed");
    assert_eq!(raw_read(&consumer, 1, SOON), Vec::<String>::new());
    let begun = Instant::now();
    drop(raw_producer("killed", LONG));
    assert_eq!(raw_read(&consumer, 1, LONG), ["after"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

fn group_consumer(group: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("group.id", group)
        .set("isolation.level", "read_committed")
        .create()
        .expect("consumer")
}

fn committed(consumer: &BaseConsumer, topic: &str) -> Offset {
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, 0);
    let list = consumer.committed_offsets(list, LONG).expect("answered");
    list.find_partition(topic, 0).expect("asked for").offset()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_move_with_their_transaction_or_not_at_all() {
    topic("offsets", 1).await;
    let consumer = group_consumer("offsets");
    let group = consumer.group_metadata().expect("a group");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("offsets", 0, Offset::Offset(7)).expect("offset");
    let producer = raw_producer("offsets", LONG);
    producer.begin_transaction().expect("begun");
    producer.send_offsets_to_transaction(&list, &group, LONG).expect("sent");
    producer.abort_transaction(LONG).expect("aborted");
    assert_eq!(committed(&consumer, "offsets"), Offset::Invalid);
    producer.begin_transaction().expect("begun");
    producer.send_offsets_to_transaction(&list, &group, LONG).expect("sent");
    producer.commit_transaction(LONG).expect("committed");
    assert_eq!(committed(&consumer, "offsets"), Offset::Offset(7));
}

/// The position of a partition can be asked for with the logical offsets as time stamps: `queue` relies on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn start_and_end_come_for_many_partitions_at_once() {
    topic("ends", 3).await;
    fill("ends", 1, 5).await;
    admin().delete_records(&[next("ends", 1, 2)]).await.expect("deleted");
    let lag = admin().lag("ends", &["ends".to_owned()]).await.expect("lag");
    let facts: Vec<_> = lag.iter().map(|l| (l.topic_partition.partition, l.committed, l.start, l.end)).collect();
    assert_eq!(facts, [(0, None, 0, 0), (1, None, 2, 5), (2, None, 0, 0)]);
    let consumer = group_consumer("ends");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("ends", 1, Offset::Offset(4)).expect("offset");
    consumer.commit(&list, CommitMode::Sync).expect("committed");
    let lag = admin().lag("ends", &["ends".to_owned()]).await.expect("lag");
    assert_eq!((lag[1].committed, lag[1].records()), (Some(4), 1));
}

/// The end of a transaction lies behind the last record for ever; it must not look like a record that nobody reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_unread_record_tells_its_age_and_the_end_of_a_transaction_is_none() {
    let mut kept = spec("ages", 2, Cleanup::Delete);
    kept.retention = Some(Duration::from_secs(86_400));
    admin().ensure(&[kept], 1).await.expect("topic");
    topic("ages-for-ever", 1).await;
    assert_eq!(admin().retention("ages").await.expect("asked"), Some(Duration::from_secs(86_400)));
    assert_eq!(admin().retention("ages-for-ever").await.expect("asked"), None);
    assert_eq!(admin().oldest_unread("ages", "ages").await.expect("asked"), None);

    let producer = raw_producer("ages", LONG);
    producer.begin_transaction().expect("begun");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let ago = |seconds: i64| i64::try_from(now).expect("before 2262") - 1_000 * seconds;
    for (partition, timestamp) in [(0, ago(40)), (0, ago(50)), (1, ago(10))] {
        let record = BaseRecord::<[u8], [u8]>::to("ages").partition(partition).payload(b"x").timestamp(timestamp);
        producer.send(record).expect("queued");
    }
    producer.commit_transaction(LONG).expect("committed");
    let oldest = || async { admin().oldest_unread("ages", "ages").await.expect("asked") };
    assert_eq!(oldest().await, Some(ago(40)));
    let consumer = group_consumer("ages");
    let save = |partition, offset| {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset("ages", partition, Offset::Offset(offset)).expect("offset");
        consumer.commit(&list, CommitMode::Sync).expect("committed");
    };
    save(0, 1);
    assert_eq!(oldest().await, Some(ago(50)));
    save(0, 2);
    assert_eq!(oldest().await, Some(ago(10)));
    save(1, 1);
    let lags = admin().lag("ages", &["ages".to_owned()]).await.expect("lag");
    assert!(lags.iter().all(|lag| lag.records() == 1), "{lags:?}");
    assert_eq!(oldest().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_made_once_and_with_its_settings() {
    let flow = document::FlowName::new("made-once").expect("valid");
    let specs = queue::topics::of_flow(&flow, 3);
    admin().ensure(&specs, 1).await.expect("made");
    admin().ensure(&specs, 1).await.expect("there");
    assert_eq!(admin().partitions("starbridge.made-once.ledger").await.expect("asked"), Some(3));
    assert_eq!(admin().partitions("starbridge.never-made.ledger").await.expect("asked"), None);
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().expect("admin");
    let resources = [ResourceSpecifier::Topic("starbridge.made-once.ledger")];
    let described = client.describe_configs(&resources, &AdminOptions::new()).await.expect("answered");
    let config = described.into_iter().next().expect("one topic").expect("described");
    let value = |name: &str| config.get(name).and_then(|entry| entry.value.clone());
    assert_eq!(value("cleanup.policy").as_deref(), Some("compact,delete"));
    assert_eq!(value("retention.ms").as_deref(), Some("2592000000"));
    assert_eq!(value("max.message.bytes").as_deref(), Some("16777216"));
    assert_eq!(value("min.compaction.lag.ms").as_deref(), Some("3600000"));
    let other = spec("starbridge.made-once.ledger", 4, Cleanup::Compact);
    let error = admin().ensure(&[other], 1).await.expect_err("differs");
    assert_eq!(error.code(), document::Code::PartitionsDiffer);
    assert_eq!(error.place().record.as_deref(), Some("starbridge.made-once.ledger"));
}
