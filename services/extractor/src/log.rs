//! The door to Kafka: what is known of a flow, and the one way to write.

use std::sync::Arc;

use async_trait::async_trait;
use document::{Fault, topic};
use queue::{Next, Outgoing, Session, Table, TopicPartition, Transaction};
use runtime::Shutdown;
use tokio::sync::{mpsc, oneshot};

/// Most bytes that one transaction gathers from several runs.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Runs that may wait for a transaction before others wait to be taken down.
const WAITING: usize = 64;

/// What one run, or one command, wants to have written.
#[derive(Debug, Clone, Default)]
pub struct Portion {
    /// Records and letters.
    pub data: Vec<Outgoing>,
    /// Entries of the seen table.
    pub seen: Vec<Outgoing>,
    /// Entries of the state table: written when everything else is.
    pub state: Vec<Outgoing>,
    /// Positions of the commands.
    pub offsets: Vec<Next>,
    /// Asked as soon as its run lost its partition: from then on it must not be written, not even should the partition
    /// come back in the meantime.
    pub void: Shutdown,
}

/// Keys and values of a table.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// What is known, and the way to make more known. Every error means that the caller is no longer the owner, or that the
/// log does not answer: it must stop and forget.
#[async_trait]
pub trait Log: Send + Sync {
    /// The flow's entry of the state table.
    ///
    /// # Errors
    /// As the trait says.
    fn checkpoint(&self, partition: i32, flow: &str) -> Result<Option<Vec<u8>>, Fault>;

    /// An entry of the seen table.
    ///
    /// # Errors
    /// As the trait says.
    fn seen(&self, partition: i32, key: &str) -> Result<Option<Vec<u8>>, Fault>;

    /// At most `limit` entries of the seen table behind `after`, in the order of keys.
    ///
    /// # Errors
    /// As the trait says.
    fn seen_page(&self, partition: i32, prefix: &str, after: Option<&[u8]>, limit: usize) -> Result<Entries, Fault>;

    /// Writes all of it or nothing.
    ///
    /// # Errors
    /// As the trait says; whether it was written is then open.
    async fn commit(&self, portion: Portion) -> Result<(), Fault>;
}

/// The log as a session sees it. Portions of several runs go into one transaction.
#[derive(Debug)]
pub struct KafkaLog {
    session: Arc<Session>,
    waiting: mpsc::Sender<(Portion, oneshot::Sender<Result<(), Fault>>)>,
}

impl KafkaLog {
    /// A log over `session`; a task of its own commits until the log is dropped.
    pub fn new(session: Arc<Session>) -> Self {
        let (waiting, portions) = mpsc::channel(WAITING);
        tokio::spawn(commit_all(Arc::clone(&session), portions));
        Self { session, waiting }
    }

    fn table(&self, topic: &str, partition: i32) -> Result<Table, Fault> {
        self.session
            .table(topic, partition)
            .ok_or_else(|| queue::Error::NotOwned { partitions: vec![TopicPartition::new(topic, partition)] }.fault())
    }
}

#[async_trait]
impl Log for KafkaLog {
    fn checkpoint(&self, partition: i32, flow: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.table(topic::EXTRACT_STATE, partition)?.get(flow.as_bytes()).map_err(|error| error.fault())
    }

    fn seen(&self, partition: i32, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        self.table(topic::EXTRACT_SEEN, partition)?.get(key.as_bytes()).map_err(|error| error.fault())
    }

    fn seen_page(&self, partition: i32, prefix: &str, after: Option<&[u8]>, limit: usize) -> Result<Entries, Fault> {
        let table = self.table(topic::EXTRACT_SEEN, partition)?;
        table.scan_page(prefix.as_bytes(), after, limit).map_err(|error| error.fault())
    }

    async fn commit(&self, portion: Portion) -> Result<(), Fault> {
        let gone = || queue::Error::Unfenced.fault();
        let (done, outcome) = oneshot::channel();
        self.waiting.send((portion, done)).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

type Waiting = (Portion, oneshot::Sender<Result<(), Fault>>);

async fn commit_all(session: Arc<Session>, mut portions: mpsc::Receiver<Waiting>) {
    while let Some(first) = portions.recv().await {
        let mut bytes = size(&first.0);
        let mut group = vec![first];
        while bytes < GROUP_BYTES
            && let Ok(next) = portions.try_recv()
        {
            bytes += size(&next.0);
            group.push(next);
        }
        // Dropping the answer's sender tells a run that it is void.
        group.retain(|(portion, _)| !portion.void.is_requested());
        let (group, tellings): (Vec<Portion>, Vec<_>) = group.into_iter().unzip();
        if group.is_empty() {
            continue;
        }
        let alone = group.len() == 1;
        killpoint::reached("log.group.made");
        let together = session.commit(joined(group.clone())).await;
        killpoint::reached("log.group.committed");
        let recycles = together.as_ref().err().is_some_and(queue::Error::recycles);
        let fault = together.err().map(|error| error.fault());
        for (portion, telling) in group.into_iter().zip(tellings) {
            let outcome = match &fault {
                None => Ok(()),
                // Nothing was sent: one that is no longer ours must not take the others with it.
                Some(_) if !recycles && !alone => {
                    session.commit(joined(vec![portion])).await.map(drop).map_err(|error| error.fault())
                }
                Some(fault) => Err(fault.clone()),
            };
            if telling.send(outcome).is_err() {
                tracing::debug!("a run was gone before its commit was");
            }
        }
        if recycles {
            return;
        }
    }
}

fn size(portion: &Portion) -> usize {
    [&portion.data, &portion.seen, &portion.state].into_iter().flatten().map(Outgoing::size).sum()
}

/// One transaction of many portions: all data, then everything seen, then every checkpoint.
fn joined(portions: Vec<Portion>) -> Transaction {
    let mut transaction = Transaction::default();
    let mut states = Vec::new();
    for portion in portions {
        transaction.data.extend(portion.data);
        transaction.facts.extend(portion.seen);
        states.extend(portion.state);
        transaction.offsets.extend(portion.offsets);
    }
    transaction.facts.extend(states);
    transaction
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Record;

    fn record(name: &str) -> Outgoing {
        Outgoing::to(name, Record { key: b"k".to_vec(), ..Record::default() })
    }

    #[test]
    fn checkpoints_come_last_whatever_run_they_are_of() {
        let portion = |number: u32| Portion {
            data: vec![record(&format!("data-{number}"))],
            seen: vec![record(&format!("seen-{number}"))],
            state: vec![record(&format!("state-{number}"))],
            offsets: vec![Next::at("starbridge.commands", 3, i64::from(number))],
            void: Shutdown::new(),
        };
        let transaction = joined(vec![portion(1), portion(2)]);
        let names = |records: &[Outgoing]| records.iter().map(|r| r.topic.clone()).collect::<Vec<_>>();
        assert_eq!(names(&transaction.data), ["data-1", "data-2"]);
        assert_eq!(names(&transaction.facts), ["seen-1", "seen-2", "state-1", "state-2"]);
        assert_eq!(transaction.offsets.len(), 2);
    }
}
