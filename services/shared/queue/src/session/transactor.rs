//! The transactional producer, and the one order in which a transaction is made.
//!
//! A transaction is never aborted: the client repeats a request that timed out, and what comes late may meet the next
//! transaction. After any error that is not plainly to be repeated, and after an end that was sent twice, the producer
//! is given up; the `init_transactions` of the next one ends what is open under a new epoch, and what comes late then
//! is refused.
//!
//! The fence stands at either side of the records. Behind them it keeps a commit from one who has lost its place; before
//! them it keeps such a one from writing facts at all, which an end that comes late could make readable.

use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka::util::Timeout;
use tracing::{debug, warn};

use super::Timing;
use super::plan::Positions;
use crate::cluster::{Cluster, Reporter};
use crate::error::Error;
use crate::member::offsets;
use crate::offset::Next;
use crate::producer::{Client, Outgoing, send_blocking, settings};
use crate::watchdog::{Pulse, Stalled};

/// A connection that carries nothing for so long is closed. Opening another one takes milliseconds.
const IDLE: Duration = Duration::from_secs(2);
/// A transaction that has not ended so long after its time is waited for in vain.
const LATE: Duration = Duration::from_secs(5);

/// What to do about an error of a transactional call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same call again.
    Again,
    /// Give the session up.
    Recycle,
}

/// Sorts the marks of a transactional error. Only what is plainly to be repeated is repeated.
pub(crate) fn verdict(fatal: bool, requires_abort: bool, retriable: bool) -> Verdict {
    if retriable && !fatal && !requires_abort { Verdict::Again } else { Verdict::Recycle }
}

/// Sorts an error. What carries no marks is not classified and recycles.
pub(crate) fn classify(error: &KafkaError) -> Verdict {
    match error {
        KafkaError::Transaction(error) => verdict(error.is_fatal(), error.txn_requires_abort(), error.is_retriable()),
        _ => Verdict::Recycle,
    }
}

/// A transactional producer.
pub(crate) struct Transactor {
    /// Taken out when the producer ends.
    client: Option<Client>,
    cluster: Cluster,
    member: String,
    limit: Duration,
    stalled: Option<Stalled>,
}

impl std::fmt::Debug for Transactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transactor").field("member", &self.member).finish_non_exhaustive()
    }
}

/// What came of a transaction.
#[derive(Debug)]
pub(crate) struct Committed {
    /// Where each record of the data lies: partition and offset.
    pub(crate) data: Vec<(i32, i64)>,
    /// Where each fact lies: partition and offset.
    pub(crate) facts: Vec<(i32, i64)>,
    /// How long the commit itself took.
    pub(crate) commit: Duration,
    /// The commit was sent more than once: what was sent first may still come.
    pub(crate) repeated: bool,
}

impl Transactor {
    /// Makes the producer, and ends what an earlier one of the same name left open. Blocks.
    pub(crate) fn open_blocking(cluster: &Cluster, member: &str, timing: &Timing) -> Result<Self, Error> {
        let limit = timing.transaction;
        let mut config = cluster.producer(member)?;
        config
            .set("transactional.id", member)
            .set("transaction.timeout.ms", limit.as_millis().to_string())
            // Reports come before the transaction runs out, and none waits for company: a transaction is a batch.
            .set("message.timeout.ms", (limit * 2 / 3).as_millis().to_string())
            .set("socket.timeout.ms", (limit / 3).as_millis().clamp(1000, 10_000).to_string())
            .set("request.timeout.ms", (limit / 3).as_millis().clamp(1000, 10_000).to_string())
            // A request for a coordinator that is lost while it moves is thought of again when a connection comes or goes;
            // where none does, an idle one is closed in time.
            .set("connections.max.idle.ms", IDLE.as_millis().to_string())
            .set("linger.ms", "0.5")
            // The one way to hear that it sent an end twice.
            .set("debug", "eos")
            .set_log_level(RDKafkaLogLevel::Debug);
        let client = config.create_with_context(Reporter::default()).map_err(|error| settings(&error))?;
        let (cluster, stalled) = (cluster.clone(), timing.stalled.clone());
        let transactor = Self { client: Some(client), cluster, member: member.to_owned(), limit, stalled };
        killpoint::reached("transaction.opening");
        // What is open under this name is given up by the broker after its own time; that is waited out.
        transactor.repeat("taking over the transactional id", limit * 2, || {
            transactor.client().init_transactions(Timeout::After(limit))
        })?;
        Ok(transactor)
    }

    fn client(&self) -> &Client {
        self.client.as_ref().expect("only taken out by the destructor")
    }

    /// Ends the producer and waits for it. Blocks.
    pub(crate) fn close_blocking(mut self) {
        drop(self.client.take());
    }

    fn explain(&self, error: KafkaError, operation: &'static str, object: &str) -> Error {
        // A client that has become unusable says only that it threw things away; why, it says when asked.
        let (error, object) = match self.client().client().fatal_error() {
            Some((code, _)) => (KafkaError::Global(code), self.member.as_str()),
            None => (error, object),
        };
        self.client().context().ear.explain(error, &self.cluster, operation, object)
    }

    /// Calls until it succeeds, as long as the error is plainly one to call again for. Gives whether it was called again.
    fn repeat(
        &self,
        operation: &'static str,
        limit: Duration,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<bool, Error> {
        let started = Instant::now();
        let mut again = false;
        loop {
            match call() {
                Ok(()) => return Ok(again),
                Err(error) if classify(&error) == Verdict::Again && started.elapsed() < limit => {
                    again = true;
                    debug!(member = self.member, %error, operation, "once more");
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                Err(error) => {
                    warn!(member = self.member, %error, operation, "transaction given up");
                    return Err(self.explain(error, operation, &self.member));
                }
            }
        }
    }

    /// Makes one transaction: positions as they are saved, data, every report, facts, every report, positions as they will
    /// be, commit. Blocks. Every error means that the producer is to be given up.
    pub(crate) fn run_blocking(
        &self,
        data: &[Outgoing],
        facts: &[Outgoing],
        positions: &Positions,
        group: &ConsumerGroupMetadata,
    ) -> Result<Committed, Error> {
        // The Kafka client can lose a request to a coordinator that moved, and then waits for its answer for ever, whatever
        // limit a call is given: nothing else of the process would notice. By then the broker has given the transaction up.
        let name = format!("transaction of {}", self.member);
        let _pulse = Pulse::watch(&name, self.limit + LATE, self.stalled.clone());
        let begun = self.client().begin_transaction();
        begun.map_err(|error| self.explain(error, "beginning a transaction", &self.member))?;
        killpoint::reached("transaction.begun");
        self.send_positions(&positions.saved, group)?;
        killpoint::reached("transaction.fenced");
        let data = self.send(data, "sending data")?;
        killpoint::reached("transaction.data.acknowledged");
        let facts = self.send(facts, "sending facts")?;
        killpoint::reached("transaction.facts.acknowledged");
        self.send_positions(&positions.next, group)?;
        killpoint::reached("transaction.positions.sent");
        let started = Instant::now();
        self.client().context().lost_end();
        let again = self.repeat("committing", self.limit, || self.client().commit_transaction(Timeout::Never))?;
        killpoint::reached("transaction.committed");
        let repeated = self.client().context().lost_end() || again;
        Ok(Committed { data, facts, commit: started.elapsed(), repeated })
    }

    fn send_positions(&self, next: &[Next], group: &ConsumerGroupMetadata) -> Result<(), Error> {
        let list = offsets(next).map_err(|error| self.explain(error, "naming positions", &self.member))?;
        // Without a limit of its own each call has what is left of the transaction.
        self.repeat("sending positions", self.limit, || {
            self.client().send_offsets_to_transaction(&list, group, Timeout::Never)
        })?;
        Ok(())
    }

    fn send(&self, records: &[Outgoing], operation: &'static str) -> Result<Vec<(i32, i64)>, Error> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        send_blocking(self.client(), records, self.limit)
            .map_err(|(error, topic)| self.explain(error, operation, &topic))
    }
}

impl Drop for Transactor {
    fn drop(&mut self) {
        // It waits for threads of its own: not on the caller's.
        let client = self.client.take();
        let disposing = std::thread::Builder::new().name("dispose".to_owned()).spawn(move || drop(client));
        if let Err(error) = disposing {
            warn!(%error, "the producer is ended on this thread");
        }
    }
}

#[cfg(test)]
#[path = "transactor_tests.rs"]
mod tests;
