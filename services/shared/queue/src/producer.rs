//! Sends records and waits for every report.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use document::Record;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ThreadedProducer};

use crate::cluster::{Cluster, MAX_RECORD_BYTES, RECORD_OVERHEAD, Reporter};
use crate::error::Error;

/// A record and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The topic.
    pub topic: String,
    /// The partition; by the key's hash where absent.
    pub partition: Option<i32>,
    /// What is written.
    pub record: Record,
}

impl Outgoing {
    /// A record whose key decides the partition.
    pub fn to(topic: impl Into<String>, record: Record) -> Self {
        Self { topic: topic.into(), partition: None, record }
    }

    /// A record for one partition.
    pub fn to_partition(topic: impl Into<String>, partition: i32, record: Record) -> Self {
        Self { topic: topic.into(), partition: Some(partition), record }
    }

    /// Key, headers and value, bytes.
    pub fn size(&self) -> usize {
        let headers: usize = self.record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        self.record.key.len() + headers + self.record.value.as_ref().map_or(0, Vec::len)
    }

    /// Refuses what the brokers would refuse, before anything is sent.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`].
    pub fn check_size(&self) -> Result<(), Error> {
        let limit = MAX_RECORD_BYTES - RECORD_OVERHEAD;
        match self.size() {
            size if size <= limit => Ok(()),
            size => Err(Error::RecordTooLarge {
                topic: self.topic.clone(),
                key: String::from_utf8_lossy(&self.record.key).into_owned(),
                size,
                limit,
            }),
        }
    }
}

/// Where a record came to lie.
pub(crate) type Place = Result<(i32, i64), KafkaError>;

#[derive(Debug, Default)]
struct Reports {
    waiting: usize,
    places: Vec<Option<Place>>,
}

/// The reports of one batch: counts them in, wakes who waits when the last is there.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    reports: Mutex<Reports>,
    last: Condvar,
}

/// What travels with a record through the client and comes back with its report.
#[derive(Debug)]
pub(crate) struct Report {
    batch: Arc<Batch>,
    index: usize,
}

impl Report {
    pub(crate) fn arrived(self, result: &DeliveryResult<'_>) {
        let place = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.batch.settle(self.index, place);
    }
}

impl Batch {
    fn lock(&self) -> std::sync::MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expect(self: &Arc<Self>) -> Report {
        let mut reports = self.lock();
        reports.waiting += 1;
        reports.places.push(None);
        Report { batch: Arc::clone(self), index: reports.places.len() - 1 }
    }

    fn settle(&self, index: usize, place: Place) {
        let mut reports = self.lock();
        reports.places[index] = Some(place);
        reports.waiting -= 1;
        if reports.waiting == 0 {
            self.last.notify_all();
        }
    }

    fn take(&self) -> Vec<Place> {
        let missing = || Err(KafkaError::Canceled);
        self.lock().places.drain(..).map(|place| place.unwrap_or_else(missing)).collect()
    }

    /// Waits for the last report on a blocking thread. Every record has its report at the latest after
    /// `message.timeout.ms`; the limit only guards against a client that has died.
    fn wait_blocking(&self, limit: Duration) -> Vec<Place> {
        let reports = self.lock();
        let waited = self
            .last
            .wait_timeout_while(reports, limit, |reports| reports.waiting > 0)
            .unwrap_or_else(PoisonError::into_inner);
        drop(waited);
        self.take()
    }
}

/// The client below both producers.
pub(crate) type Client = ThreadedProducer<Reporter>;

/// Hands `records` to the client and gives the batch their reports go to.
///
/// A full queue is waited out: it empties as reports come in.
pub(crate) fn enqueue(client: &Client, records: &[Outgoing], limit: Duration) -> (Arc<Batch>, Option<KafkaError>) {
    let batch = Arc::new(Batch::default());
    let started = std::time::Instant::now();
    for outgoing in records {
        let headers = outgoing
            .record
            .headers
            .iter()
            .fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let mut record =
            BaseRecord::<[u8], [u8], Box<Report>>::with_opaque_to(&outgoing.topic, Box::new(batch.expect()))
                .key(outgoing.record.key.as_slice())
                .headers(headers);
        if let Some(partition) = outgoing.partition {
            record = record.partition(partition);
        }
        if let Some(value) = &outgoing.record.value {
            record = record.payload(value.as_slice());
        }
        loop {
            match client.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                    if started.elapsed() < limit =>
                {
                    record = refused;
                    std::thread::park_timeout(Duration::from_millis(2));
                }
                Err((error, refused)) => {
                    refused.delivery_opaque.batch.settle(refused.delivery_opaque.index, Err(error.clone()));
                    return (batch, Some(error));
                }
            }
        }
    }
    (batch, None)
}

/// Sends `records` and waits for every report, on a blocking thread.
pub(crate) fn send_blocking(
    client: &Client,
    records: &[Outgoing],
    limit: Duration,
) -> Result<Vec<(i32, i64)>, (KafkaError, String)> {
    let (batch, refused) = enqueue(client, records, limit);
    killpoint::reached("producer.handed_over");
    let places = batch.wait_blocking(limit);
    killpoint::reached("producer.reported");
    if let Some(error) = refused {
        let topic = records.get(places.len().saturating_sub(1)).map(|r| r.topic.clone()).unwrap_or_default();
        return Err((error, topic));
    }
    places
        .into_iter()
        .zip(records)
        .map(|(place, outgoing)| place.map_err(|error| (error, outgoing.topic.clone())))
        .collect()
}

/// How long a record may stay without a report before the client counts as dead: beyond `message.timeout.ms`.
pub(crate) const REPORT_LIMIT: Duration = Duration::from_secs(25);

/// Sends records outside any transaction: idempotent, acknowledged by all, in order per key.
#[derive(Clone)]
pub struct Producer {
    client: Arc<Client>,
    cluster: Arc<Cluster>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("brokers", &self.cluster.brokers).finish_non_exhaustive()
    }
}

impl Producer {
    /// Prepares a producer; the brokers are first asked when something is sent.
    ///
    /// # Errors
    /// [`Error::Settings`] when the settings or a file they name cannot be used.
    pub fn connect(cluster: &Cluster, client_id: &str) -> Result<Self, Error> {
        let client =
            cluster.producer(client_id)?.create_with_context(Reporter::default()).map_err(|error| settings(&error))?;
        Ok(Self { client: Arc::new(client), cluster: Arc::new(cluster.clone()) })
    }

    /// Sends the records in their order and waits until every one is acknowledged by all replicas in sync.
    ///
    /// # Errors
    /// [`Error::RecordTooLarge`] before anything is sent; else what the client says of the first record that was not
    /// acknowledged within 20 s. Then others of the same call may have been written: sending all of them again leaves
    /// copies, which whoever reads must drop by identity.
    pub async fn send_all(&self, records: Vec<Outgoing>) -> Result<(), Error> {
        for record in &records {
            record.check_size()?;
        }
        killpoint::reached("producer.asked");
        if records.is_empty() {
            return Ok(());
        }
        let client = Arc::clone(&self.client);
        let sent = tokio::task::spawn_blocking(move || send_blocking(&client, &records, REPORT_LIMIT))
            .await
            .expect("sending does not panic");
        match sent {
            Ok(_) => Ok(()),
            Err((error, topic)) => {
                use rdkafka::producer::Producer as _;
                Err(self.client.context().ear.explain(error, &self.cluster, "sending records", topic))
            }
        }
    }
}

pub(crate) fn settings(error: &KafkaError) -> Error {
    Error::Settings { detail: error.to_string(), file: None, source: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::{Code, Headers};

    fn outgoing(bytes: usize) -> Outgoing {
        let mut headers = Headers::new();
        headers.set("ab", "cde");
        Outgoing::to("t", Record { key: b"k1".to_vec(), headers, value: Some(vec![b'x'; bytes]) })
    }

    #[test]
    fn size_counts_key_headers_and_value() {
        assert_eq!(outgoing(10).size(), 2 + 5 + 10);
        let tombstone = Outgoing::to_partition("t", 3, Record { key: b"k".to_vec(), ..Record::default() });
        assert_eq!((tombstone.size(), tombstone.partition), (1, Some(3)));
    }

    #[test]
    fn a_record_over_the_limit_is_refused_with_its_key() {
        assert!(outgoing(MAX_RECORD_BYTES - RECORD_OVERHEAD - 7).check_size().is_ok());
        let error = outgoing(MAX_RECORD_BYTES - RECORD_OVERHEAD - 6).check_size().expect_err("too large");
        assert_eq!(error.code(), Code::RecordTooLarge);
        assert_eq!(error.place().record.as_deref(), Some("t:k1"));
        assert!(!error.recycles());
    }

    #[test]
    fn a_batch_waits_for_its_last_report() {
        let batch = Arc::new(Batch::default());
        let (first, second) = (batch.expect(), batch.expect());
        let waiter = {
            let batch = Arc::clone(&batch);
            std::thread::spawn(move || batch.wait_blocking(Duration::from_secs(10)))
        };
        second.batch.settle(second.index, Ok((1, 8)));
        assert!(!waiter.is_finished());
        first.batch.settle(first.index, Ok((0, 7)));
        assert_eq!(waiter.join().expect("joined"), vec![Ok((0, 7)), Ok((1, 8))]);
    }

    #[test]
    fn a_report_that_never_comes_counts_as_a_failure() {
        let batch = Arc::new(Batch::default());
        let _never = batch.expect();
        assert_eq!(batch.wait_blocking(Duration::from_millis(5)), vec![Err(KafkaError::Canceled)]);
    }
}
