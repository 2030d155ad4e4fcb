//! The polling thread of a member.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::hook::{Hook, out_of_range, unassign};
use super::{MemberSettings, Shared, names};
use crate::admin::positions;
use crate::error::{Error, code_of, passes};
use crate::message::received;
use crate::offset::TopicPartition;
use crate::watchdog::Pulse;

/// How long a poll waits when nothing comes.
const POLL: Duration = Duration::from_millis(100);
/// Records taken from the client before they are handed over.
const RUN: usize = 500;

pub(crate) fn spawn(
    consumer: Arc<BaseConsumer<Hook>>,
    shared: Arc<Shared>,
    settings: &MemberSettings,
) -> Result<JoinHandle<()>, Error> {
    let pulse = Pulse::watch(&settings.member, settings.watchdog, settings.stalled.clone());
    std::thread::Builder::new()
        .name(format!("poll {}", settings.member))
        .spawn(move || {
            run(&consumer, &shared, &pulse);
            drop(pulse);
            leave(consumer);
        })
        .map_err(|source| Error::Settings {
            detail: "the polling thread cannot be started".to_owned(),
            file: None,
            source: Some(source),
        })
}

/// Drops the client here, where waiting for its threads holds up nobody.
fn leave(mut consumer: Arc<BaseConsumer<Hook>>) {
    loop {
        match Arc::try_unwrap(consumer) {
            Ok(last) => return drop(last),
            Err(shared) => consumer = shared,
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn run(consumer: &Arc<BaseConsumer<Hook>>, shared: &Shared, pulse: &Pulse) {
    // A member that nobody holds any more is one that nobody can stop.
    while !shared.stopped() && Arc::strong_count(consumer) > 1 {
        pulse.beat();
        let mut records = Vec::new();
        let mut wait = POLL;
        while records.len() < RUN {
            match consumer.poll(wait) {
                Some(Ok(message)) => records.push(received(&message)),
                Some(Err(error)) => trouble(consumer, shared, error),
                None => break,
            }
            wait = Duration::ZERO;
        }
        killpoint::reached("member.poll.received");
        shared.received(records);
        killpoint::reached("member.poll.handed_over");
        adjust(consumer, shared);
        depart(consumer, shared);
    }
    depart(consumer, shared);
    killpoint::reached("member.polling.ends");
    debug!(member = shared.member, "polling ends");
}

/// Tells the client what to pause and what to fetch again.
pub(crate) fn adjust(consumer: &BaseConsumer<Hook>, shared: &Shared) {
    // Deciding and telling go together: two threads that decided one after the other must not tell the client the
    // other way round.
    let _one = shared.telling();
    let (pause, resume) = shared.turn_over();
    for (partitions, done) in [(&pause, consumer.pause(&names(&pause))), (&resume, consumer.resume(&names(&resume)))] {
        if let Err(error) = done {
            warn!(member = shared.member, partitions = partitions.len(), %error, "fetching cannot be turned");
        }
    }
}

/// Gives back what was to move, when its wait is over.
fn depart(consumer: &BaseConsumer<Hook>, shared: &Shared) {
    if shared.lock().leaving.is_none() {
        return;
    }
    if let Some(leaving) = shared.due(Instant::now(), consumer.assignment_lost()) {
        shared.gone(&leaving);
        killpoint::reached("member.partitions.gone");
        unassign(consumer, &leaving, &shared.member);
    }
}

fn trouble(consumer: &BaseConsumer<Hook>, shared: &Shared, error: KafkaError) {
    use RDKafkaErrorCode as C;
    let operation = "reading";
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        shared.fail(match Error::from_kafka(error, &shared.brokers, operation, &shared.member) {
            Error::Kafka { operation, object, source } => Error::Fenced { member: object, operation, source },
            error => error,
        });
        return;
    }
    match code_of(&error) {
        Some(C::AutoOffsetReset | C::OffsetOutOfRange) => lost_place(consumer, shared),
        Some(C::UnknownTopicOrPartition | C::UnknownTopic) => missing(consumer, shared),
        Some(C::UnknownPartition) => debug!(member = shared.member, %error, "the client goes on by itself"),
        _ if passes(&error) => debug!(member = shared.member, %error, "the client goes on by itself"),
        _ => shared.fail(Error::from_kafka(error, &shared.brokers, operation, &shared.member)),
    }
}

/// A position is out of range and the client does not say which: all are compared with their logs.
fn lost_place(consumer: &BaseConsumer<Hook>, shared: &Shared) {
    let owned = shared.owned();
    let found = consumer.position().and_then(|at| {
        let mut lags = positions(consumer, &owned, Duration::from_secs(20))?;
        for lag in &mut lags {
            let name = &lag.topic_partition;
            if let Some(offset) = position(&at, name) {
                lag.committed = Some(offset);
            }
        }
        Ok(lags)
    });
    match found {
        Ok(lags) => {
            let errors: Vec<Error> = lags.iter().filter_map(out_of_range).collect();
            if errors.is_empty() {
                shared.fail(Error::Ended {
                    member: shared.member.clone(),
                    reason: "a position was out of range and is not any more".to_owned(),
                });
            }
            for error in errors {
                // Told once: the client may say it again for what it had asked for before.
                if let Error::DataExpired { at, .. } | Error::TopicRecreated { at, .. } = &error
                    && shared.silence(&at.topic_partition())
                {
                    shared.fail(error);
                }
            }
        }
        Err(error) => shared.fail(Error::from_kafka(error, &shared.brokers, "comparing positions", &shared.member)),
    }
}

fn position(at: &TopicPartitionList, name: &TopicPartition) -> Option<i64> {
    match at.find_partition(&name.topic, name.partition)?.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

/// A topic of the subscription does not exist and the client does not say which.
fn missing(consumer: &BaseConsumer<Hook>, shared: &Shared) {
    match consumer.fetch_metadata(None, Duration::from_secs(20)) {
        Ok(metadata) => {
            let present: BTreeSet<&str> =
                metadata.topics().iter().filter(|topic| topic.error().is_none()).map(|topic| topic.name()).collect();
            let subscribed = shared.lock().subscribed.clone();
            for topic in subscribed.into_iter().filter(|topic| !present.contains(topic.as_str())) {
                shared.fail(Error::TopicMissing { topic });
            }
        }
        Err(error) => debug!(member = shared.member, %error, "the list of topics cannot be read"),
    }
}
