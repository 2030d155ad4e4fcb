//! What can go wrong between us and Kafka, and what to do next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use document::{Code, Fault, Place};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::offset::{Next, TopicPartition};

/// Trouble with Kafka or with what is kept of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings cannot be used.
    #[error("the Kafka settings cannot be used: {detail}")]
    Settings {
        /// Which setting, and why.
        detail: String,
        /// The file it names, when that is the trouble.
        file: Option<PathBuf>,
        /// The system's words.
        #[source]
        source: Option<io::Error>,
    },
    /// The file of a secret is not what it must be.
    #[error("the Kafka settings name a secret that cannot be used: {}", .0.detail)]
    Secret(Box<Fault>),
    /// No broker answered in time.
    #[error("no broker of {brokers} answered: {operation}")]
    Unreachable {
        /// The addresses that were tried.
        brokers: String,
        /// What was asked.
        operation: &'static str,
        /// The client's words.
        #[source]
        source: KafkaError,
    },
    /// User, password or TLS refused.
    #[error("the brokers {brokers} refused the login: {operation}")]
    Auth {
        /// The addresses that were tried.
        brokers: String,
        /// What was asked.
        operation: &'static str,
        /// The client's words.
        #[source]
        source: KafkaError,
    },
    /// Logged in, but not allowed.
    #[error("the Kafka user may not do this: {operation} on {object}")]
    Forbidden {
        /// Topic, group or transactional id.
        object: String,
        /// What was asked.
        operation: &'static str,
        /// The client's words.
        #[source]
        source: KafkaError,
    },
    /// Another one works under this member's name, or its place in the group was given away.
    #[error("member {member} was fenced: {operation}")]
    Fenced {
        /// The member's name.
        member: String,
        /// What was refused.
        operation: &'static str,
        /// The client's words.
        #[source]
        source: KafkaError,
    },
    /// Partitions of a transaction have moved; nothing was sent.
    #[error("no longer owned: {}", list(partitions))]
    NotOwned {
        /// The partitions that moved.
        partitions: Vec<TopicPartition>,
    },
    /// A transaction that no input partition fences; nothing was sent.
    #[error("a transaction names no input partition")]
    Unfenced,
    /// The record can never be written; nothing was sent.
    #[error("a record of {size} bytes for {topic} is over the limit of {limit} bytes")]
    RecordTooLarge {
        /// Where it was to go.
        topic: String,
        /// Its key, as text.
        key: String,
        /// Key, headers and value together, bytes.
        size: usize,
        /// What a record may have, bytes.
        limit: usize,
    },
    /// The topic does not exist.
    #[error("topic {topic} does not exist")]
    TopicMissing {
        /// Its name.
        topic: String,
    },
    /// The topic has another number of partitions than it must.
    #[error("topic {topic} has {found} partitions instead of {wanted}")]
    PartitionsDiffer {
        /// Its name.
        topic: String,
        /// What it must have.
        wanted: i32,
        /// What it has.
        found: i32,
    },
    /// Retention has deleted what was still to be read.
    #[error("records of {at} up to {log_start} expired unread")]
    DataExpired {
        /// The position that cannot be read any more.
        at: Next,
        /// The first offset that can.
        log_start: i64,
    },
    /// The saved position is beyond the end of the topic.
    #[error("position {at} lies beyond the end {log_end}: the topic was made anew")]
    TopicRecreated {
        /// The position that does not exist.
        at: Next,
        /// The end of the partition.
        log_end: i64,
    },
    /// The barrier of newly assigned partitions was not passed in time.
    #[error("no barrier in {} s for {}", waited.as_secs(), list(partitions))]
    Barrier {
        /// The partitions that wait.
        partitions: Vec<TopicPartition>,
        /// How long was waited.
        waited: Duration,
    },
    /// The embedded store failed.
    #[error("the state store {} failed", path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// Its words.
        #[source]
        source: Box<redb::Error>,
    },
    /// The session has to be opened anew.
    #[error("the session of {member} ended: {reason}")]
    Ended {
        /// The member's name.
        member: String,
        /// Why.
        reason: String,
    },
    /// An entry of the flows topic is not what its key says.
    #[error("entry {key} of the flows topic does not read: {detail}")]
    FlowRecord {
        /// The entry's key.
        key: String,
        /// Why.
        detail: String,
    },
    /// Anything else that Kafka says.
    #[error("Kafka refused: {operation} on {object}")]
    Kafka {
        /// What was asked.
        operation: &'static str,
        /// Topic, group or member.
        object: String,
        /// The client's words.
        #[source]
        source: KafkaError,
    },
}

fn list(partitions: &[TopicPartition]) -> String {
    let names: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    names.join(", ")
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Settings { .. } => Code::KafkaSettings,
            Error::Secret(fault) => fault.code,
            Error::Unreachable { .. } => Code::KafkaUnreachable,
            Error::Auth { .. } => Code::KafkaAuth,
            Error::Forbidden { .. } => Code::KafkaForbidden,
            Error::Fenced { .. } => Code::Fenced,
            Error::NotOwned { .. } => Code::NotOwned,
            Error::Unfenced => Code::Unfenced,
            Error::RecordTooLarge { .. } => Code::RecordTooLarge,
            Error::TopicMissing { .. } => Code::TopicMissing,
            Error::PartitionsDiffer { .. } => Code::PartitionsDiffer,
            Error::DataExpired { .. } => Code::DataExpired,
            Error::TopicRecreated { .. } => Code::TopicRecreated,
            Error::Barrier { .. } => Code::BarrierTimeout,
            Error::Store { .. } => Code::StateStore,
            Error::Ended { .. } => Code::SessionEnded,
            Error::FlowRecord { .. } => Code::FlowRecord,
            Error::Kafka { .. } => Code::Kafka,
        }
    }

    /// Where it happened: the file of a setting or store, else the topic, partition, offset, key or member.
    pub fn place(&self) -> Place {
        let record = |text: String| Place { record: Some(text), ..Place::default() };
        match self {
            Error::Settings { file, .. } => {
                Place { file: file.as_ref().map(|file| file.display().to_string()), ..Place::default() }
            }
            Error::Secret(fault) => fault.place.clone(),
            Error::Store { path, .. } => Place { file: Some(path.display().to_string()), ..Place::default() },
            Error::Unreachable { brokers, .. } | Error::Auth { brokers, .. } => record(brokers.clone()),
            Error::Forbidden { object, .. } | Error::Kafka { object, .. } => record(object.clone()),
            Error::Fenced { member, .. } | Error::Ended { member, .. } => record(member.clone()),
            Error::NotOwned { partitions } | Error::Barrier { partitions, .. } => record(list(partitions)),
            Error::Unfenced => Place::default(),
            Error::RecordTooLarge { topic, key, .. } => record(format!("{topic}:{key}")),
            Error::TopicMissing { topic } | Error::PartitionsDiffer { topic, .. } => record(topic.clone()),
            Error::DataExpired { at, .. } | Error::TopicRecreated { at, .. } => record(at.to_string()),
            Error::FlowRecord { key, .. } => record(key.clone()),
        }
    }

    /// The error as a fault of the catalogue, its causes in its words.
    pub fn fault(&self) -> Fault {
        let mut detail = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            detail.push_str(": ");
            detail.push_str(&error.to_string());
            cause = error.source();
        }
        let mut fault = Fault::new(self.code(), detail);
        fault.place = self.place();
        if let Error::Secret(secret) = self {
            fault.hint.clone_from(&secret.hint);
        }
        fault
    }

    /// Whether the session or client that gave this error must be dropped, everything in memory forgotten, and a new
    /// one opened. `false` means that nothing was sent and the same session goes on.
    pub fn recycles(&self) -> bool {
        match self {
            Error::NotOwned { .. }
            | Error::Unfenced
            | Error::RecordTooLarge { .. }
            | Error::TopicMissing { .. }
            | Error::PartitionsDiffer { .. }
            | Error::DataExpired { .. }
            | Error::TopicRecreated { .. }
            | Error::FlowRecord { .. } => false,
            Error::Settings { .. }
            | Error::Secret(_)
            | Error::Unreachable { .. }
            | Error::Auth { .. }
            | Error::Forbidden { .. }
            | Error::Fenced { .. }
            | Error::Barrier { .. }
            | Error::Store { .. }
            | Error::Ended { .. }
            | Error::Kafka { .. } => true,
        }
    }

    /// The topic that has to be stopped, when the error is about one topic's data and not about the session.
    pub fn topic(&self) -> Option<&str> {
        match self {
            Error::DataExpired { at, .. } | Error::TopicRecreated { at, .. } => Some(&at.topic),
            Error::TopicMissing { topic } | Error::PartitionsDiffer { topic, .. } => Some(topic),
            _ => None,
        }
    }

    /// Sorts what the client says about `operation` on `object`.
    pub(crate) fn from_kafka(
        source: KafkaError,
        brokers: &str,
        operation: &'static str,
        object: impl Into<String>,
    ) -> Self {
        use RDKafkaErrorCode as C;
        let object = object.into();
        let brokers = brokers.to_owned();
        match code_of(&source) {
            Some(
                C::BrokerTransportFailure
                | C::AllBrokersDown
                | C::Resolve
                | C::OperationTimedOut
                | C::RequestTimedOut
                | C::TimedOutQueue
                | C::MessageTimedOut
                | C::NetworkException
                | C::BrokerNotAvailable
                | C::CoordinatorNotAvailable
                | C::CoordinatorLoadInProgress
                | C::LeaderNotAvailable
                | C::WaitingForCoordinator,
            ) => Self::Unreachable { brokers, operation, source },
            Some(
                C::Authentication
                | C::SaslAuthenticationFailed
                | C::UnsupportedSASLMechanism
                | C::IllegalSASLState
                | C::SSL,
            ) => Self::Auth { brokers, operation, source },
            Some(
                C::TopicAuthorizationFailed
                | C::GroupAuthorizationFailed
                | C::ClusterAuthorizationFailed
                | C::TransactionalIdAuthorizationFailed,
            ) => Self::Forbidden { object, operation, source },
            Some(
                C::Fenced
                | C::FencedInstanceId
                | C::ProducerFenced
                | C::InvalidProducerEpoch
                | C::IllegalGeneration
                | C::UnknownMemberId
                | C::RebalanceInProgress,
            ) => Self::Fenced { member: object, operation, source },
            Some(C::UnknownTopicOrPartition | C::UnknownTopic | C::UnknownPartition) => {
                Self::TopicMissing { topic: object }
            }
            _ => Self::Kafka { operation, object, source },
        }
    }

    pub(crate) fn store(path: &std::path::Path, source: impl Into<redb::Error>) -> Self {
        Self::Store { path: path.to_owned(), source: Box::new(source.into()) }
    }
}

/// The code inside a client error; admin operations carry theirs where `rdkafka_error_code` does not look.
pub(crate) fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

/// Whether asking again may succeed without anything else being done: brokers and coordinators move and come back.
pub(crate) fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as C;
    matches!(
        code_of(error),
        Some(
            C::RebalanceInProgress
                | C::CoordinatorLoadInProgress
                | C::CoordinatorNotAvailable
                | C::NotCoordinator
                | C::WaitingForCoordinator
                | C::BrokerTransportFailure
                | C::AllBrokersDown
                | C::Resolve
                | C::OperationTimedOut
                | C::RequestTimedOut
                | C::TimedOutQueue
                | C::NetworkException
                | C::BrokerNotAvailable
                | C::ReplicaNotAvailable
                | C::LeaderNotAvailable
                | C::NotLeaderForPartition
                | C::FencedLeaderEpoch
                | C::UnknownLeaderEpoch
                | C::OffsetNotAvailable
                | C::UnstableOffsetCommit
        )
    )
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
