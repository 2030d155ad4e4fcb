//! What goes wrong, by its code and its place.

use std::time::Duration;

use document::Code;
use queue::{Cleanup, Cluster, Consumer, Error, Event, Outgoing, Producer, Session};

use crate::house::*;

async fn join(group: &str, topics: &[&str]) -> Consumer {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Consumer::join(&cluster(), group, &format!("{group}-0"), &topics).await.expect("joined")
}

/// The first error; the group is given time to settle.
async fn fault(consumer: &Consumer) -> Error {
    let begun = std::time::Instant::now();
    loop {
        assert!(begun.elapsed() < LONG, "no error");
        if let Err(error) = consumer.poll(100, Duration::from_millis(200)).await {
            return error;
        }
    }
}

/// Saves `offset` for partition 0 of `topic` in `group`.
async fn save(group: &str, topic: &str, offset: i64) {
    let consumer = join(group, &[topic]).await;
    while consumer.assigned().is_empty() {
        consumer.poll(1, Duration::from_millis(50)).await.expect("polled");
    }
    consumer.commit(&[next(topic, 0, offset)]).await.expect("saved");
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_expired_unread_stop_their_partition_only() {
    topic("expired", 2).await;
    fill("expired", 0, 5).await;
    fill("expired", 1, 2).await;
    save("expired", "expired", 1).await;
    admin().delete_records(&[next("expired", 0, 3)]).await.expect("deleted");
    let consumer = join("expired", &["expired"]).await;
    let mut read = Vec::new();
    let error = loop {
        match consumer.poll(100, LONG).await {
            Ok(records) => read.extend(records),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::DataExpired);
    assert_eq!(error.place().record.as_deref(), Some("expired/0@1"));
    assert!(!error.recycles());
    while read.len() < 2 {
        read.extend(consumer.poll(100, LONG).await.expect("the other partition goes on"));
    }
    assert!(read.iter().all(|r| r.partition == 1));
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_expire_under_a_waiting_reader_are_noticed() {
    topic("overtaken", 1).await;
    let consumer = join("overtaken", &["overtaken"]).await;
    while consumer.assigned().is_empty() {
        consumer.poll(1, Duration::from_millis(50)).await.expect("polled");
    }
    consumer.pause(&[at("overtaken", 0)]);
    fill("overtaken", 0, 5).await;
    admin().delete_records(&[next("overtaken", 0, 4)]).await.expect("deleted");
    consumer.resume(&[at("overtaken", 0)]);
    let error = fault(&consumer).await;
    assert_eq!(error.code(), Code::DataExpired);
    assert_eq!(error.place().record.as_deref(), Some("overtaken/0@0"));
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_beyond_the_end_means_a_topic_made_anew() {
    topic("recreated", 1).await;
    fill("recreated", 0, 2).await;
    save("recreated", "recreated", 100).await;
    let consumer = join("recreated", &["recreated"]).await;
    let error = fault(&consumer).await;
    assert_eq!(error.code(), Code::TopicRecreated);
    assert_eq!(error.place().record.as_deref(), Some("recreated/0@100"));
    assert_eq!(error.topic(), Some("recreated"));
    assert!(!error.recycles());
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_topic_is_named_and_waited_for() {
    topic("present", 1).await;
    let consumer = join("missing", &["present", "missing-yet"]).await;
    let error = fault(&consumer).await;
    assert_eq!(error.code(), Code::TopicMissing);
    assert_eq!(error.place().record.as_deref(), Some("missing-yet"));
    assert!(!error.recycles());
    topic("missing-yet", 1).await;
    eventually("the new topic is read", async || {
        drop(consumer.poll(1, Duration::from_millis(50)).await);
        consumer.assigned().len() == 2
    })
    .await;
    consumer.close().await;

    let producer = Producer::connect(&cluster(), "missing").expect("producer");
    let error = producer.send_all(vec![Outgoing::to("never-made", record("k", "v"))]).await.expect_err("missing");
    assert_eq!(error.code(), Code::TopicMissing);
    assert_eq!(error.place().record.as_deref(), Some("never-made"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_of_another_partition_count_stops_its_flow_only() {
    let good = pair("fits", 1).await;
    admin().ensure(&[spec("misfit.in", 2, Cleanup::Delete)], 1).await.expect("topic");
    admin().ensure(&[spec("misfit.state", 3, Cleanup::Compact)], 1).await.expect("topic");
    let folder = tempfile::tempdir().expect("folder");
    let session =
        Session::open(settings("misfit", "misfit-0", &[&good, "misfit.in"], folder.path())).await.expect("opened");
    let (mut fault, mut ours) = (None, Vec::new());
    while fault.is_none() || ours.is_empty() {
        match session.next(1, LONG).await {
            Ok(Event::Assigned(partitions)) => ours.extend(partitions),
            Ok(other) => panic!("{other:?}"),
            Err(error) => fault = Some(error),
        }
    }
    let error = fault.expect("seen");
    assert_eq!(error.code(), Code::PartitionsDiffer);
    assert_eq!(error.place().record.as_deref(), Some("misfit.state"));
    assert!(!error.recycles());
    assert_eq!(ours, [at(&good, 0)]);
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_do_not_answer_are_named() {
    // Nothing listens on port 9 of the loopback.
    let nobody = Cluster::plaintext("127.0.0.1:9");
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = settings("nobody", "nobody-0", &["nobody"], folder.path());
    settings.cluster = nobody;
    settings.timing.transaction = Duration::from_secs(1);
    let error = Session::open(settings).await.expect_err("nobody answers");
    assert_eq!(error.code(), Code::KafkaUnreachable, "{error:?}");
    assert_eq!(error.place().record.as_deref(), Some("127.0.0.1:9"));
    assert!(error.recycles());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_sixteen_mebibytes_is_too_large_and_one_just_below_is_not() {
    topic("large", 1).await;
    let producer = Producer::connect(&cluster(), "large").expect("producer");
    let of = |bytes: usize| {
        // Text that does not compress, or the broker would see less.
        let mut seed = 1_u64;
        let value = (0..bytes)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 56) as u8
            })
            .collect();
        let record = document::Record { key: b"big".to_vec(), value: Some(value), ..Default::default() };
        vec![Outgoing::to_partition("large", 0, record)]
    };
    let error = producer.send_all(of(queue::MAX_RECORD_BYTES)).await.expect_err("too large");
    assert_eq!(error.code(), Code::RecordTooLarge);
    assert_eq!(error.place().record.as_deref(), Some("large:big"));
    producer.send_all(of(queue::MAX_RECORD_BYTES - 600)).await.expect("fits");
    let all = all_of("large", 1).await;
    assert_eq!(all[0].record.value.as_ref().map(Vec::len), Some(queue::MAX_RECORD_BYTES - 600));
}
