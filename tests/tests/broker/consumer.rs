//! Members without state.

use std::time::{Duration, Instant};

use queue::{Consumer, Next, Timing};

use crate::child;
use crate::house::*;

/// Joins with a session that outlives the pauses of a busy machine, and is still soon over.
async fn join(group: &str, name: &str, topics: &[&str]) -> Consumer {
    let timing = Timing { session: Duration::from_secs(6), ..Timing::default() };
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Consumer::join_with(&cluster(), group, name, &topics, &timing).await.expect("joined")
}

async fn read(consumer: &Consumer, count: usize) -> Vec<document::Received> {
    let mut all = Vec::new();
    let begun = Instant::now();
    while all.len() < count {
        assert!(begun.elapsed() < LONG, "{} of {count}", all.len());
        all.extend(consumer.poll(count - all.len(), Duration::from_millis(200)).await.expect("polled"));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_goes_on_where_it_was_saved() {
    topic("saved", 1).await;
    fill("saved", 0, 10).await;
    let consumer = join("saved", "saved-0", &["saved"]).await;
    let first = read(&consumer, 4).await;
    assert_eq!(first[3].offset, 3);
    assert_eq!(consumer.position(&at("saved", 0)), Some(next("saved", 0, 0)));
    consumer.commit(&[Next::after(&first[2])]).await.expect("saved");
    assert_eq!(consumer.position(&at("saved", 0)), Some(next("saved", 0, 3)));
    assert_eq!(consumer.lag().await.expect("lag")[0].records(), 7);
    consumer.close().await;
    let consumer = join("saved", "saved-0", &["saved"]).await;
    assert_eq!(read(&consumer, 1).await[0].offset, 3);
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_partition_waits_and_the_others_go_on() {
    topic("paused", 2).await;
    let consumer = join("paused", "paused-0", &["paused"]).await;
    while consumer.assigned().len() < 2 {
        assert_eq!(consumer.poll(1, Duration::from_millis(50)).await.expect("polled"), []);
    }
    consumer.pause(&[at("paused", 0)]);
    fill("paused", 0, 3).await;
    fill("paused", 1, 3).await;
    let others = read(&consumer, 3).await;
    assert!(others.iter().all(|r| r.partition == 1));
    assert_eq!(consumer.poll(10, Duration::from_millis(500)).await.expect("polled"), []);
    consumer.resume(&[at("paused", 0)]);
    let rest = read(&consumer, 3).await;
    assert_eq!(rest.iter().map(|r| (r.partition, r.offset)).collect::<Vec<_>>(), [(0, 0), (0, 1), (0, 2)]);
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_buffer_pauses_and_loses_nothing() {
    topic("full", 3).await;
    for partition in 0..3 {
        fill("full", partition, 4000).await;
    }
    let consumer = join("full", "full-0", &["full"]).await;
    // Nobody takes anything for a while: the client goes on polling, the buffers stop at their limit.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = read(&consumer, 12_000).await;
    for partition in 0..3 {
        let offsets: Vec<i64> = all.iter().filter(|r| r.partition == partition).map(|r| r.offset).collect();
        assert_eq!(offsets, (0..4000).collect::<Vec<i64>>());
    }
    assert_eq!(consumer.poll(10, Duration::from_millis(300)).await.expect("polled"), []);
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subscription_can_change() {
    topic("sub-a", 1).await;
    topic("sub-b", 1).await;
    fill("sub-a", 0, 1).await;
    fill("sub-b", 0, 1).await;
    let consumer = join("sub", "sub-0", &["sub-a"]).await;
    assert_eq!(read(&consumer, 1).await[0].topic, "sub-a");
    consumer.subscribe(&["sub-a".to_owned(), "sub-b".to_owned()]).expect("subscribed");
    assert_eq!(read(&consumer, 1).await[0].topic, "sub-b");
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_member_takes_over_from_a_killed_process() {
    topic("takeover", 2).await;
    fill("takeover", 0, 3).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut child = child::start(folder.path(), &["member", brokers(), "takeover", "takeover-0", "takeover"]).await;
    let heir = join("takeover", "takeover-1", &["takeover"]).await;
    let begun = Instant::now();
    while heir.assigned().is_empty() {
        assert!(begun.elapsed() < LONG, "no share");
        heir.poll(1, Duration::from_millis(50)).await.expect("polled");
    }
    assert_eq!(heir.assigned().len(), 1);
    child.kill().expect("killed");
    let begun = Instant::now();
    while heir.assigned().len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "no takeover");
        heir.poll(10, Duration::from_millis(50)).await.expect("polled");
    }
    heir.close().await;
}

/// Polls until `count` partitions are assigned.
async fn holds(consumer: &Consumer, count: usize) {
    let begun = Instant::now();
    while consumer.assigned().len() < count {
        assert!(begun.elapsed() < LONG, "{count} partitions: {:?}", consumer.assigned());
        consumer.poll(1, Duration::from_millis(50)).await.expect("polled");
    }
}

/// Joins with times that leave the place in the group reserved while a member is away.
async fn reserve(group: &str, name: &str, topics: &[&str]) -> Consumer {
    let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Consumer::join(&cluster(), group, name, &topics).await.expect("joined")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_comes_back_with_more_topics_gets_them() {
    topic("more-a", 2).await;
    topic("more-b", 2).await;
    fill("more-b", 1, 1).await;
    let first = reserve("more", "more-0", &["more-a"]).await;
    holds(&first, 2).await;
    first.close().await;
    let second = reserve("more", "more-0", &["more-a", "more-b"]).await;
    assert_eq!(read(&second, 1).await[0].topic, "more-b");
    assert_eq!(second.assigned().len(), 4);
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_member_of_a_group_comes_back_with_more_topics_gets_them() {
    topic("either-a", 2).await;
    topic("either-b", 2).await;
    topic("either-c", 2).await;
    let zero = reserve("either", "either-0", &["either-a"]).await;
    holds(&zero, 2).await;
    let one = reserve("either", "either-1", &["either-a"]).await;
    holds(&one, 1).await;
    // One of the two leads the group, the other does not.
    one.close().await;
    let one = reserve("either", "either-1", &["either-a", "either-b"]).await;
    eventually("the topic of the second member is read", async || {
        drop(zero.poll(1, Duration::from_millis(50)).await);
        drop(one.poll(1, Duration::from_millis(50)).await);
        one.assigned().iter().filter(|partition| partition.topic == "either-b").count() == 2
    })
    .await;
    zero.close().await;
    let zero = reserve("either", "either-0", &["either-a", "either-c"]).await;
    eventually("the topic of the first member is read", async || {
        drop(zero.poll(1, Duration::from_millis(50)).await);
        drop(one.poll(1, Duration::from_millis(50)).await);
        zero.assigned().iter().filter(|partition| partition.topic == "either-c").count() == 2
    })
    .await;
    zero.close().await;
    one.close().await;
}
