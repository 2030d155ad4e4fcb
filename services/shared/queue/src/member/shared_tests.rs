use std::sync::Arc;

use document::{Code, Record};

use super::*;
use crate::cluster::Cluster;

fn shared(guarded: bool, release: Option<Duration>) -> Arc<Shared> {
    let settings = MemberSettings {
        cluster: Cluster::plaintext("b"),
        group: "g".to_owned(),
        member: "m".to_owned(),
        guarded,
        release,
        session: Duration::from_secs(45),
        watchdog: Duration::from_secs(60),
        stalled: None,
    };
    Arc::new(Shared::new(&settings, None))
}

fn at(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn start(partition: i32, offset: i64, epoch: u64) -> Start {
    Start { next: Next::at("t", partition, offset), first: 0, committed: true, epoch }
}

fn received(partition: i32, offset: i64) -> Received {
    Received { topic: "t".to_owned(), partition, offset, timestamp: Some(1), record: Record::default() }
}

fn run(partition: i32, offsets: std::ops::Range<i64>) -> Vec<Received> {
    offsets.map(|offset| received(partition, offset)).collect()
}

fn offsets(event: Option<Result<Event, Error>>) -> Vec<(i32, i64)> {
    match event {
        Some(Ok(Event::Records(records))) => records.iter().map(|r| (r.partition, r.offset)).collect(),
        other => panic!("no records: {other:?}"),
    }
}

#[test]
fn partitions_take_equal_shares_in_turn() {
    let shared = shared(false, None);
    shared.assigned(vec![start(0, 0, 1), start(1, 0, 2)], &[]);
    assert!(matches!(shared.take(9), Some(Ok(Event::Assigned(partitions))) if partitions == [at(0), at(1)]));
    shared.received([run(0, 0..6), run(1, 0..2)].concat());
    assert_eq!(offsets(shared.take(4)), [(0, 0), (0, 1), (1, 0), (1, 1)]);
    shared.received(run(1, 2..3));
    // The other one is first now, and a share that is not used goes to who has more.
    assert_eq!(offsets(shared.take(4)), [(1, 2), (0, 2), (0, 3), (0, 4)]);
    assert_eq!(offsets(shared.take(4)), [(0, 5)]);
    assert!(shared.take(4).is_none());
    assert_eq!(shared.lock().bytes, 0);
}

#[test]
fn records_of_strangers_and_records_seen_before_are_dropped() {
    let shared = shared(false, None);
    shared.assigned(vec![start(0, 5, 1)], &[]);
    shared.take(1);
    shared.received([run(0, 3..7), run(1, 0..3), run(0, 5..8)].concat());
    assert_eq!(offsets(shared.take(9)), [(0, 5), (0, 6), (0, 7)]);
}

#[test]
fn a_guarded_partition_gives_nothing_until_it_is_opened() {
    let shared = shared(true, None);
    shared.assigned(vec![start(0, 0, 1)], &[]);
    shared.received(run(0, 0..2));
    assert!(shared.take(9).is_none());
    assert!(!shared.is_open(&at(0)));
    assert_eq!(shared.open(&[start(0, 0, 1)]), [at(0)]);
    assert!(matches!(shared.take(9), Some(Ok(Event::Assigned(partitions))) if partitions == [at(0)]));
    assert_eq!(offsets(shared.take(9)), [(0, 0), (0, 1)]);
}

#[test]
fn a_barrier_of_an_earlier_assignment_opens_nothing() {
    let shared = shared(true, None);
    shared.assigned(vec![start(0, 0, 1)], &[]);
    shared.gone(&[at(0)]);
    shared.assigned(vec![start(0, 0, 2)], &[]);
    assert!(shared.open(&[start(0, 0, 1)]).is_empty());
    assert!(!shared.holds(&start(0, 0, 1)) && shared.holds(&start(0, 0, 2)));
    // Nobody was told of it, so nobody is told that it went.
    shared.gone(&[at(0)]);
    assert!(shared.take(1).is_none());
}

#[test]
fn a_revocation_waits_for_its_release_or_its_deadline() {
    let wait = Duration::from_secs(15);
    let shared = shared(false, Some(wait));
    shared.assigned(vec![start(0, 0, 1), start(1, 0, 2)], &[]);
    shared.take(1);
    shared.received(run(0, 0..2));
    shared.revoking(vec![at(0), at(1)], wait);
    assert!(matches!(shared.take(9), Some(Ok(Event::Revoking(partitions))) if partitions == [at(0), at(1)]));
    // Still ours, but silent.
    assert!(shared.take(9).is_none());
    assert!(shared.saved_of(&at(0)).is_some());
    let now = Instant::now();
    assert_eq!(shared.due(now, false), None);
    shared.release(&[at(0)]);
    assert_eq!(shared.due(now, false), None);
    shared.release(&[at(1)]);
    assert_eq!(shared.due(now, false), Some(vec![at(0), at(1)]));
    shared.gone(&[at(0), at(1)]);
    assert!(matches!(shared.take(9), Some(Ok(Event::Revoked(partitions))) if partitions == [at(0), at(1)]));
    assert!(shared.saved_of(&at(0)).is_none());

    shared.assigned(vec![start(0, 0, 3)], &[]);
    shared.revoking(vec![at(0)], wait);
    assert_eq!(shared.due(Instant::now(), true), Some(vec![at(0)]), "lost partitions do not wait");
    shared.revoking(vec![at(0)], wait);
    assert_eq!(shared.due(Instant::now() + wait, false), Some(vec![at(0)]), "nor do late ones");
}

#[test]
fn partitions_nobody_knows_of_go_without_asking() {
    let shared = shared(true, Some(Duration::from_secs(15)));
    shared.assigned(vec![start(0, 0, 1)], &[]);
    shared.revoking(vec![at(0)], Duration::from_secs(15));
    assert_eq!(shared.due(Instant::now(), false), Some(vec![at(0)]));
    assert!(shared.take(1).is_none());
}

#[test]
fn a_full_partition_is_held_until_little_is_left() {
    let shared = shared(false, None);
    shared.assigned(vec![start(0, 0, 1), start(1, 0, 2)], &[]);
    shared.take(1);
    assert_eq!(shared.turn_over(), (vec![], vec![]));
    shared.received(run(0, 0..1000));
    assert_eq!(shared.turn_over(), (vec![at(0)], vec![]));
    shared.take(700);
    assert_eq!(shared.turn_over(), (vec![], vec![]));
    shared.take(100);
    assert_eq!(shared.turn_over(), (vec![], vec![at(0)]));
}

#[test]
fn a_pause_keeps_what_is_there() {
    let shared = shared(false, None);
    shared.assigned(vec![start(0, 0, 1)], &[]);
    shared.take(1);
    shared.received(run(0, 0..2));
    shared.set_paused(&[at(0)], true);
    assert!(shared.take(9).is_none());
    assert_eq!(shared.turn_over(), (vec![at(0)], vec![]));
    shared.set_paused(&[at(0)], false);
    assert_eq!(shared.turn_over(), (vec![], vec![at(0)]));
    assert_eq!(offsets(shared.take(9)), [(0, 0), (0, 1)]);
}

#[test]
fn an_error_that_recycles_ends_the_member_and_comes_once() {
    let shared = shared(false, None);
    shared.assigned(vec![start(0, 0, 1)], &[]);
    shared.received(run(0, 0..2));
    assert!(shared.silence(&at(0)) && !shared.silence(&at(0)), "told once");
    let stopped = || Error::DataExpired { at: Next::at("t", 0, 0), log_start: 4 };
    shared.fail(stopped());
    shared.fail(Error::Ended { member: "m".to_owned(), reason: "first".to_owned() });
    shared.fail(Error::Ended { member: "m".to_owned(), reason: "second".to_owned() });
    assert!(matches!(shared.take(9), Some(Ok(Event::Assigned(_)))));
    let codes: Vec<Code> = (0..4).map(|_| shared.take(9).expect("an error").expect_err("an error").code()).collect();
    assert_eq!(codes, [Code::DataExpired, Code::SessionEnded, Code::SessionEnded, Code::SessionEnded]);
    let last = shared.alive().expect_err("ended");
    assert!(last.to_string().contains("first") && !last.to_string().contains("second"), "{last}");
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_idle_and_a_bell_is_never_missed() {
    let shared = shared(false, None);
    assert_eq!(shared.next(1, Duration::from_secs(5)).await.expect("idle"), Event::Idle);
    let waiting = {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move { shared.next(1, Duration::from_secs(3600)).await })
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    shared.assigned(vec![start(0, 0, 1)], &[]);
    assert_eq!(waiting.await.expect("joined").expect("an event"), Event::Assigned(vec![at(0)]));
}

#[test]
fn saved_positions_never_go_back() {
    let shared = shared(false, None);
    shared.assigned(vec![start(0, 4, 1)], &[]);
    shared.saved(&[Next::at("t", 0, 9), Next::at("t", 7, 1)]);
    shared.saved(&[Next::at("t", 0, 6)]);
    assert_eq!(shared.saved_of(&at(0)), Some((Next::at("t", 0, 9), true)));
    assert_eq!(shared.owned_of(&[Next::at("t", 0, 1), Next::at("t", 7, 1)]), [Next::at("t", 0, 9)]);
    assert_eq!(shared.owned_of(&[Next::at("t", 0, 12)]), [Next::at("t", 0, 12)]);
}
