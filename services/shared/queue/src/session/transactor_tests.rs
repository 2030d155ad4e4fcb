use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use document::{Code, Record};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::mocking::{MockCluster, MockCoordinator};
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey as Api, RDKafkaRespErr as E};

use super::*;

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock() -> (Mock, Cluster) {
    let mock: Mock = MockCluster::new(3).expect("a mock cluster");
    for topic in ["in", "out", "state"] {
        mock.create_topic(topic, 1, 1).expect("a topic");
    }
    let cluster = Cluster::plaintext(mock.bootstrap_servers());
    (mock, cluster)
}

fn timing() -> Timing {
    Timing { transaction: Duration::from_secs(6), ..Timing::default() }
}

fn record(topic: &str) -> Outgoing {
    Outgoing::to_partition(topic, 0, Record { key: b"k".to_vec(), value: Some(b"v".to_vec()), ..Record::default() })
}

fn group(cluster: &Cluster) -> ConsumerGroupMetadata {
    group_of(cluster, "g")
}

/// One whose coordinator the transactor has not asked for.
fn another_group(cluster: &Cluster) -> ConsumerGroupMetadata {
    group_of(cluster, "another")
}

fn group_of(cluster: &Cluster, name: &str) -> ConsumerGroupMetadata {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.brokers)
        .set("group.id", name)
        .create()
        .expect("a consumer");
    consumer.group_metadata().expect("a group")
}

fn run(transactor: &Transactor, cluster: &Cluster) -> Result<Committed, Error> {
    let positions = Positions { saved: vec![Next::at("in", 0, 2)], next: vec![Next::at("in", 0, 3)] };
    transactor.run_blocking(&[record("out")], &[record("state")], &positions, &group(cluster))
}

/// One transaction during which the brokers answer `api` with `error` first.
fn with(api: Api, error: E) -> Result<Committed, Error> {
    let (mock, cluster) = mock();
    let transactor = Transactor::open_blocking(&cluster, "m-0", &timing()).expect("opened");
    mock.request_errors(api, &[error]);
    let done = run(&transactor, &cluster);
    transactor.close_blocking();
    done
}

#[test]
fn only_what_is_plainly_to_be_repeated_is_repeated() {
    for fatal in [false, true] {
        for requires_abort in [false, true] {
            for retriable in [false, true] {
                let again = retriable && !fatal && !requires_abort;
                let expected = if again { Verdict::Again } else { Verdict::Recycle };
                assert_eq!(verdict(fatal, requires_abort, retriable), expected);
            }
        }
    }
    for error in [KafkaError::Canceled, KafkaError::Flush(rdkafka::types::RDKafkaErrorCode::OperationTimedOut)] {
        assert_eq!(classify(&error), Verdict::Recycle, "{error:?}");
    }
}

#[test]
fn a_transaction_goes_through() {
    let (_mock, cluster) = mock();
    let transactor = Transactor::open_blocking(&cluster, "m-0", &timing()).expect("opened");
    let first = run(&transactor, &cluster).expect("committed");
    assert_eq!((first.facts.as_slice(), first.repeated), (&[(0, 0)][..], false));
    let second = run(&transactor, &cluster).expect("committed");
    // The commit marker of the first lies between.
    assert!(second.facts[0].1 >= 1, "{second:?}");
    transactor.close_blocking();
}

#[test]
fn what_passes_is_waited_out() {
    for (api, error) in [
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS),
        (Api::AddPartitionsToTxn, E::RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS),
        (Api::AddOffsetsToTxn, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR),
        (Api::Produce, E::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION),
    ] {
        let done = with(api, error);
        assert!(done.is_ok(), "{api:?} {error:?}: {done:?}");
    }
}

/// What the client says of it in its log is no promise: a client that says it otherwise fails here.
#[test]
fn an_end_that_was_sent_twice_is_known() {
    for (api, error, repeated) in [
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR__TRANSPORT, true),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, false),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR__TRANSPORT, false),
        (Api::Produce, E::RD_KAFKA_RESP_ERR__TRANSPORT, false),
    ] {
        let done = with(api, error).expect("committed");
        assert_eq!(done.repeated, repeated, "{api:?} {error:?}");
    }
}

/// Whoever has lost its place writes nothing at all.
#[test]
fn the_fence_stands_before_the_records() {
    let (mock, cluster) = mock();
    let transactor = Transactor::open_blocking(&cluster, "m-0", &timing()).expect("opened");
    mock.request_errors(Api::TxnOffsetCommit, &[E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION]);
    assert_eq!(run(&transactor, &cluster).expect_err("fenced").code(), Code::Fenced);
    transactor.close_blocking();
    let reader: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", &cluster.brokers).set("group.id", "r").create().expect("a reader");
    for topic in ["out", "state"] {
        let (low, high) = reader.fetch_watermarks(topic, 0, Duration::from_secs(5)).expect("asked");
        assert_eq!((low, high), (0, 0), "{topic}");
    }
}

#[test]
fn whoever_was_fenced_gives_up() {
    for (api, error) in [
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_PRODUCER_FENCED),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
        (Api::AddPartitionsToTxn, E::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID),
    ] {
        let error_given = with(api, error).expect_err("fenced");
        assert_eq!(error_given.code(), Code::Fenced, "{api:?} {error:?}: {error_given:?}");
        assert_eq!(error_given.place().record.as_deref(), Some("m-0"));
        assert!(error_given.recycles());
    }
}

#[test]
fn whatever_else_happens_recycles() {
    for (api, error) in [
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED),
        (Api::EndTxn, E::RD_KAFKA_RESP_ERR_UNKNOWN),
        (Api::AddPartitionsToTxn, E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
        (Api::TxnOffsetCommit, E::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED),
        (Api::Produce, E::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
        (Api::Produce, E::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE),
    ] {
        let given = with(api, error).expect_err("given up");
        assert!(given.recycles(), "{api:?} {error:?}: {given:?}");
        if error == E::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED {
            assert_eq!((given.code(), given.place().record.as_deref()), (Code::KafkaForbidden, Some("m-0")));
        }
    }
}

#[test]
fn taking_over_waits_for_a_coordinator_and_not_for_a_refusal() {
    let (mock, cluster) = mock();
    mock.request_errors(
        Api::InitProducerId,
        &[E::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, E::RD_KAFKA_RESP_ERR_NOT_COORDINATOR],
    );
    Transactor::open_blocking(&cluster, "m-1", &timing()).expect("opened").close_blocking();
    mock.request_errors(Api::InitProducerId, &[E::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED]);
    let error = Transactor::open_blocking(&cluster, "m-2", &timing()).expect_err("refused");
    assert_eq!((error.code(), error.place().record.as_deref()), (Code::KafkaForbidden, Some("m-2")));
}

#[test]
fn a_coordinator_that_moves_is_followed() {
    let (mock, cluster) = mock();
    mock.coordinator(MockCoordinator::Transaction("m-0".to_owned()), 1).expect("placed");
    mock.coordinator(MockCoordinator::Group("g".to_owned()), 1).expect("placed");
    let transactor = Transactor::open_blocking(&cluster, "m-0", &timing()).expect("opened");
    run(&transactor, &cluster).expect("committed");
    mock.coordinator(MockCoordinator::Transaction("m-0".to_owned()), 2).expect("moved");
    mock.coordinator(MockCoordinator::Group("g".to_owned()), 3).expect("moved");
    run(&transactor, &cluster).expect("committed after the move");
    transactor.close_blocking();
}

#[test]
fn a_lost_request_for_a_coordinator_is_made_again() {
    let (mock, cluster) = mock();
    let transactor = Transactor::open_blocking(&cluster, "m-0", &timing()).expect("opened");
    // Every connection that it takes is there, and none that comes or goes reminds the client of what it lost.
    run(&transactor, &cluster).expect("committed");
    let group = another_group(&cluster);
    std::thread::park_timeout(Duration::from_millis(500));
    mock.request_errors(Api::FindCoordinator, &[E::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE]);
    let positions = Positions { saved: vec![Next::at("in", 0, 2)], next: vec![Next::at("in", 0, 3)] };
    transactor.run_blocking(&[record("out")], &[], &positions, &group).expect("committed within its time");
    transactor.close_blocking();
}

/// However it comes to stand still: the broker's answer does not come, and no limit of a call ends it.
#[test]
fn a_transaction_that_never_ends_is_noticed() {
    let (mock, cluster) = mock();
    let noticed = Arc::new(AtomicBool::new(false));
    let stalled: Stalled = {
        let noticed = Arc::clone(&noticed);
        Arc::new(move || noticed.store(true, Ordering::SeqCst))
    };
    let timing = Timing { transaction: Duration::from_secs(2), stalled: Some(stalled), ..Timing::default() };
    let transactor = Transactor::open_blocking(&cluster, "m-0", &timing).expect("opened");
    run(&transactor, &cluster).expect("committed");
    let group = another_group(&cluster);
    // So many that it is not found within the watched time.
    mock.request_errors(Api::FindCoordinator, &[E::RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE; 1_000]);
    let positions = Positions { saved: vec![Next::at("in", 0, 2)], next: vec![Next::at("in", 0, 3)] };
    // It never returns; it ends with this process.
    let hung = std::thread::spawn(move || transactor.run_blocking(&[], &[], &positions, &group).is_ok());
    let begun = Instant::now();
    while !noticed.load(Ordering::SeqCst) && !hung.is_finished() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert!(!hung.is_finished(), "the client found its way: {:?}", hung.join());
    assert!(noticed.load(Ordering::SeqCst));
    std::mem::forget(mock);
}
