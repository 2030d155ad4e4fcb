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
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &cluster.brokers)
        .set("group.id", "g")
        .create()
        .expect("a consumer");
    consumer.group_metadata().expect("a group")
}

fn run(transactor: &Transactor, cluster: &Cluster) -> Result<Committed, Error> {
    transactor.run_blocking(&[record("out")], &[record("state")], &[Next::at("in", 0, 3)], &group(cluster))
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
    assert_eq!(first.facts, [(0, 0)]);
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
