use std::time::Duration;

use super::*;

fn kafka(code: RDKafkaErrorCode) -> KafkaError {
    KafkaError::Global(code)
}

fn sorted(code: RDKafkaErrorCode) -> Error {
    Error::from_kafka(kafka(code), "b:9092", "asking", "object")
}

#[test]
fn what_the_client_says_is_sorted_by_code_and_place() {
    use RDKafkaErrorCode as C;
    for (code, expected, place) in [
        (C::BrokerTransportFailure, Code::KafkaUnreachable, "b:9092"),
        (C::OperationTimedOut, Code::KafkaUnreachable, "b:9092"),
        (C::MessageTimedOut, Code::KafkaUnreachable, "b:9092"),
        (C::Authentication, Code::KafkaAuth, "b:9092"),
        (C::SSL, Code::KafkaAuth, "b:9092"),
        (C::TopicAuthorizationFailed, Code::KafkaForbidden, "object"),
        (C::TransactionalIdAuthorizationFailed, Code::KafkaForbidden, "object"),
        (C::Fenced, Code::Fenced, "object"),
        (C::FencedInstanceId, Code::Fenced, "object"),
        (C::IllegalGeneration, Code::Fenced, "object"),
        (C::UnknownTopic, Code::TopicMissing, "object"),
        (C::UnknownTopicOrPartition, Code::TopicMissing, "object"),
        (C::InvalidMessage, Code::Kafka, "object"),
    ] {
        let error = sorted(code);
        assert_eq!(error.code(), expected, "{code:?}");
        assert_eq!(error.place().record.as_deref(), Some(place), "{code:?}");
        assert_eq!(error.recycles(), expected != Code::TopicMissing, "{code:?}");
    }
}

#[test]
fn the_code_of_an_admin_answer_is_found() {
    let error = KafkaError::AdminOp(RDKafkaErrorCode::ClusterAuthorizationFailed);
    assert_eq!(Error::from_kafka(error, "b", "making a topic", "t").code(), Code::KafkaForbidden);
}

#[test]
fn a_fault_tells_the_whole_chain() {
    let fault = sorted(RDKafkaErrorCode::Authentication).fault();
    assert_eq!(fault.code, Code::KafkaAuth);
    assert!(fault.detail.starts_with("the brokers b:9092 refused the login: asking: "), "{}", fault.detail);
    assert!(fault.detail.contains("Authentication"), "{}", fault.detail);
}

#[test]
fn partitions_and_members_are_the_place_of_what_concerns_them() {
    let partitions = vec![TopicPartition::new("t", 1), TopicPartition::new("u", 2)];
    let barrier = Error::Barrier { partitions: partitions.clone(), waited: Duration::from_secs(90) };
    assert_eq!((barrier.code(), barrier.place().record.as_deref()), (Code::BarrierTimeout, Some("t/1, u/2")));
    assert_eq!(barrier.to_string(), "no barrier in 90 s for t/1, u/2");
    let moved = Error::NotOwned { partitions };
    assert_eq!((moved.code(), moved.recycles()), (Code::NotOwned, false));
    let ended = Error::Ended { member: "loader-0-0".to_owned(), reason: "over".to_owned() };
    assert_eq!((ended.code(), ended.place().record.as_deref()), (Code::SessionEnded, Some("loader-0-0")));
}

#[test]
fn only_what_moves_by_itself_passes() {
    use RDKafkaErrorCode as C;
    for code in [C::NotCoordinator, C::FencedLeaderEpoch, C::OperationTimedOut, C::RebalanceInProgress] {
        assert!(passes(&kafka(code)), "{code:?}");
    }
    for code in [C::IllegalGeneration, C::UnknownMemberId, C::FencedInstanceId, C::Authentication, C::InvalidTopic] {
        assert!(!passes(&kafka(code)), "{code:?}");
    }
}
