//! The fence: what the group coordinator refuses, and what a session makes of it.

use std::time::Duration;

use document::Code;
use queue::{Event, Outgoing, Session, SessionSettings, Transaction};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::house::*;

/// Whether `error` says that somebody else has taken over.
pub(crate) fn is_fence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        error.rdkafka_error_code(),
        Some(
            C::Fenced
                | C::ProducerFenced
                | C::InvalidProducerEpoch
                | C::FencedInstanceId
                | C::IllegalGeneration
                | C::UnknownMemberId
        )
    )
}

fn member(group: &str, instance: &str, topic: &str) -> BaseConsumer {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("group.id", group)
        .set("group.instance.id", instance)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "300")
        .set("enable.auto.commit", "false")
        .set("log_level", "0")
        .create()
        .expect("consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    consumer
}

fn poll_until(consumers: &[&BaseConsumer], holds: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONG, "the group does not settle");
        for consumer in consumers {
            drop(consumer.poll(Duration::from_millis(20)));
        }
    }
}

fn owns(consumer: &BaseConsumer) -> usize {
    consumer.assignment().map_or(0, |list| list.count())
}

fn offsets(topic: &str) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(3)).expect("offset");
    list
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_with_a_stale_generation_is_refused() {
    topic("stale", 2).await;
    let first = member("stale", "stale-a", "stale");
    poll_until(&[&first], || owns(&first) == 2);
    let old = first.group_metadata().expect("a group");
    let second = member("stale", "stale-b", "stale");
    poll_until(&[&first, &second], || owns(&first) == 1 && owns(&second) == 1);
    let producer = raw_producer("stale", LONG);
    producer.begin_transaction().expect("begun");
    let error = producer.send_offsets_to_transaction(&offsets("stale"), &old, LONG).expect_err("refused");
    assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::IllegalGeneration), "{error:?}");
    let KafkaError::Transaction(marks) = &error else { panic!("{error:?}") };
    assert!(!marks.is_retriable() && marks.txn_requires_abort());

    // The present generation passes, and an empty list passes unchecked: which is why one is never sent.
    let other = raw_producer("stale-b", LONG);
    other.begin_transaction().expect("begun");
    other.send_offsets_to_transaction(&TopicPartitionList::new(), &old, LONG).expect("unchecked");
    let present = first.group_metadata().expect("a group");
    other.send_offsets_to_transaction(&offsets("stale"), &present, LONG).expect("accepted");
    other.commit_transaction(LONG).expect("committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_a_member_whose_name_was_taken_is_refused() {
    topic("taken", 1).await;
    let first = member("taken", "taken-a", "taken");
    poll_until(&[&first], || owns(&first) == 1);
    let old = first.group_metadata().expect("a group");
    let second = member("taken", "taken-a", "taken");
    poll_until(&[&second], || owns(&second) == 1);
    let producer = raw_producer("taken", LONG);
    producer.begin_transaction().expect("begun");
    let error = producer.send_offsets_to_transaction(&offsets("taken"), &old, LONG).expect_err("refused");
    assert!(is_fence(&error), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_of_one_name_cannot_both_commit() {
    let input = pair("twins", 1).await;
    fill(&input, 0, 2).await;
    let (one, two) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let zombie = Session::open(settings("twins", "twins-0", &[&input], one.path())).await.expect("opened");
    assigned(&zombie, 1).await;
    assert_eq!(records(&zombie, 2).await.len(), 2);
    let heir = Session::open(settings("twins", "twins-0", &[&input], two.path())).await.expect("opened");
    assigned(&heir, 1).await;

    let fact = |value: &str| Outgoing::to_partition("twins.state", 0, record("doc/1", value));
    let transaction =
        |value: &str| Transaction { data: Vec::new(), facts: vec![fact(value)], offsets: vec![next(&input, 0, 2)] };
    let error = zombie.commit(transaction("zombie")).await.expect_err("fenced");
    assert!(error.recycles(), "{error:?}");
    // Whichever comes first: what its reader heard meanwhile, or the answer to its commit.
    assert!([Code::Fenced, Code::SessionEnded].contains(&error.code()), "{error:?}");
    assert!(error.fault().detail.contains("fenced"), "{error:?}");
    assert_eq!(error.place().record.as_deref(), Some("twins-0"));
    // From here on it says so whatever it is asked.
    assert_eq!(zombie.commit(transaction("zombie")).await.expect_err("ended").code(), Code::SessionEnded);

    heir.commit(transaction("heir")).await.expect("committed");
    let table = heir.table("twins.state", 0).expect("a table");
    assert_eq!(table.get(b"doc/1").expect("read"), Some(b"heir".to_vec()));
    zombie.close().await;
    heir.close().await;
}

/// Handles one event; gives how many records were written on.
async fn work(session: &Session, moved: &mut usize) -> Result<usize, queue::Error> {
    match session.next(7, Duration::from_millis(50)).await? {
        Event::Records(read) => {
            let data = read.iter().map(|r| Outgoing::to("moving.out", r.record.clone())).collect();
            let offsets = read.iter().map(queue::Next::after).collect();
            session.commit(Transaction { data, facts: Vec::new(), offsets }).await?;
            Ok(read.len())
        }
        Event::Revoking(partitions) => {
            // Still ours: what is in flight can be written.
            let offsets = partitions.iter().filter_map(|p| session.position(p)).collect();
            session.commit(Transaction { offsets, ..Transaction::default() }).await?;
            session.release(&partitions);
            Ok(0)
        }
        Event::Revoked(partitions) => {
            *moved += partitions.len();
            Ok(0)
        }
        Event::Assigned(_) | Event::Idle => Ok(0),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_move_between_sessions_without_loss_or_copy() {
    let input = pair("moving", 4).await;
    topic("moving.out", 1).await;
    for partition in 0..4 {
        fill(&input, partition, 30).await;
    }
    let (one, two) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let of = |member: &str, folder: &tempfile::TempDir| settings("moving", member, &[&input], folder.path());
    let mut workers: [(SessionSettings, Option<Session>); 2] =
        [(of("moving-0", &one), None), (of("moving-1", &two), None)];
    workers[0].1 = Some(Session::open(workers[0].0.clone()).await.expect("opened"));
    assigned(workers[0].1.as_ref().expect("open"), 4).await;

    let (mut done, mut moved) = (0, 0);
    let begun = std::time::Instant::now();
    while done < 120 || moved < 2 {
        // On a busy machine a member is thrown out now and then, and comes back.
        assert!(begun.elapsed() < 4 * LONG, "{done} of 120, {moved} moved");
        for (settings, slot) in &mut workers {
            if slot.is_none() {
                *slot = Some(Session::open(settings.clone()).await.expect("opened"));
            }
            let session = slot.as_ref().expect("just opened");
            match work(session, &mut moved).await {
                Ok(written) => done += written,
                // A transaction that was under way when the group moved on: given up, nothing of it is readable.
                Err(error) if error.recycles() => {
                    let ended = slot.take().expect("just worked");
                    ended.close().await;
                }
                Err(queue::Error::NotOwned { .. }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    let [first, second] = workers.map(|(_, session)| session.expect("open"));
    eventually("each has its half", async || {
        for session in [&first, &second] {
            if let Ok(Event::Revoking(partitions)) = session.next(1, Duration::from_millis(50)).await {
                session.release(&partitions);
            }
        }
        first.assigned().len() == 2 && second.assigned().len() == 2
    })
    .await;
    let out = all_of("moving.out", 120).await;
    assert_eq!(out.len(), 120);
    let stranger = first.assigned().into_iter().next().expect("one");
    let error = second
        .commit(Transaction { offsets: vec![next(&stranger.topic, stranger.partition, 1)], ..Transaction::default() })
        .await
        .expect_err("not owned");
    assert_eq!(error.code(), Code::NotOwned);
    assert_eq!(error.place().record, Some(stranger.to_string()));
    assert!(!error.recycles());
    first.close().await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_is_held_back_by_an_open_transaction() {
    let input = pair("barrier", 1).await;
    let producer = raw_producer("barrier-other", LONG);
    producer.begin_transaction().expect("begun");
    raw_send(&producer, "barrier.state", "intent");
    let folder = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("barrier", "barrier-0", &[&input], folder.path())).await.expect("opened");
    assert_eq!(session.next(1, Duration::from_secs(5)).await.expect("an event"), Event::Idle);
    assert!(session.table("barrier.state", 0).is_none());
    producer.commit_transaction(LONG).expect("committed");
    assigned(&session, 1).await;
    let table = session.table("barrier.state", 0).expect("a table");
    assert_eq!(table.get(b"intent").expect("read"), Some(b"intent".to_vec()));
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barrier_that_stands_still_is_an_error() {
    let input = pair("standing", 1).await;
    let producer = raw_producer("standing-other", LONG);
    producer.begin_transaction().expect("begun");
    raw_send(&producer, "standing.state", "intent");
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = settings("standing", "standing-0", &[&input], folder.path());
    settings.timing.barrier = Duration::from_secs(1);
    let session = Session::open(settings).await.expect("opened");
    let error = session.next(1, LONG).await.expect_err("late");
    assert_eq!(error.code(), Code::BarrierTimeout);
    assert_eq!(error.place().record.as_deref(), Some("standing.state/0"));
    assert!(error.recycles());
    producer.abort_transaction(LONG).expect("aborted");
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_commit_gives_the_session_up_after_it() {
    let input = pair("slow", 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let mut settings = settings("slow", "slow-0", &[&input], folder.path());
    // Every commit is slower than this, that of the barrier too.
    settings.timing.slow_commit = Duration::ZERO;
    let session = Session::open(settings).await.expect("opened");
    let error = loop {
        match session.next(1, LONG).await {
            Ok(Event::Idle) => panic!("the session goes on"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Code::SessionEnded);
    assert_eq!(error.place().record.as_deref(), Some("slow-0"));
    assert!(error.recycles());
    session.close().await;
}
