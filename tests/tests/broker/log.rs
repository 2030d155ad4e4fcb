//! Compaction, retention and deletion on the real log.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::house::*;

async fn special(name: &str, settings: &[(&str, &str)]) {
    let client: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers()).create().expect("admin");
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
    let made = client.create_topics(&[topic], &AdminOptions::new()).await.expect("answered");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_keeps_the_last_of_each_key() {
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "500"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("max.compaction.lag.ms", "500"),
    ];
    special("compacted", &settings).await;
    for _ in 0..3 {
        fill("compacted", 0, 20).await;
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    eventually("old values go", async || {
        // A record of another key rolls the segment: only closed ones are compacted.
        let producer = queue::Producer::connect(&cluster(), "roll").expect("producer");
        let roll = queue::Outgoing::to_partition("compacted", 0, record("roll", "x"));
        producer.send_all(vec![roll]).await.expect("sent");
        let left = raw_read(&raw_consumer("compacted", "read_committed"), 60, Duration::from_secs(2));
        let of_k0 = left.iter().filter(|text| text.as_str() == "v0").count();
        of_k0 == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_takes_what_is_old() {
    special("retained", &[("cleanup.policy", "delete"), ("retention.ms", "500"), ("segment.ms", "200")]).await;
    fill("retained", 0, 5).await;
    eventually("the start moves", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fill("retained", 0, 1).await;
        admin().lag("retained", &["retained".to_owned()]).await.expect("lag")[0].start >= 5
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_deleted_up_to_a_position() {
    topic("deleted", 1).await;
    fill("deleted", 0, 6).await;
    admin().delete_records(&[next("deleted", 0, 4)]).await.expect("deleted");
    assert_eq!(raw_all(&raw_consumer("deleted", "read_committed"), 2), ["v4", "v5"]);
}
