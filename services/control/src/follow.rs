//! One thread reads what the stages and the writer have written, into the index and the mirror.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use document::{Fault, FlowName, Received, topic};
use queue::{Cluster, Error, FlowRegistry, Follower, Next, TopicPartition};
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::extracts::Extracts;
use crate::index::Index;
use crate::metrics::ControlMetrics;
use crate::mirror::Mirror;

/// Records taken into the index in one of its transactions.
const BATCH: usize = 5_000;
/// Bytes of them.
const BATCH_BYTES: usize = 16 << 20;
/// Rounds between two looks for topics of new flows; a round is at most as long as [`WAIT`].
const LOOK_EVERY: u32 = 20;
/// Rounds between two looks for records that have expired.
const PRUNE_EVERY: u32 = 6_000;
const WAIT: Duration = Duration::from_millis(100);
/// Time between two looks at how far behind the reading is.
const LAG_EVERY: Duration = Duration::from_secs(15);

/// How far the reading is, for whoever asks.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    caught_up: Arc<AtomicBool>,
    rounds: watch::Sender<u64>,
    /// What is read next of each partition of which something was read since the start.
    read: watch::Sender<BTreeMap<TopicPartition, i64>>,
}

impl Progress {
    /// Whether every topic was read to the end it had when it was taken up.
    pub fn is_caught_up(&self) -> bool {
        self.caught_up.load(Ordering::Acquire)
    }

    /// Hears whenever something was read.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// Waits until all of `written` has been read, so that whoever changed something sees it changed; no longer than
    /// `patience`, for what was written stays written. Whether it has been read.
    pub async fn has_read(&self, written: &[Next], patience: Duration) -> bool {
        let mut read = self.read.subscribe();
        let all = read.wait_for(|read| {
            written.iter().all(|next| {
                let partition = TopicPartition::new(next.topic.clone(), next.partition);
                read.get(&partition).is_some_and(|read| *read >= next.offset)
            })
        });
        tokio::time::timeout(patience, all).await.is_ok_and(|seen| seen.is_ok())
    }

    /// Entries of flows before this offset have been taken in.
    fn took_flows(&self, next: i64) {
        let flows = TopicPartition::new(topic::FLOWS.to_owned(), 0);
        self.read.send_if_modified(|read| read.insert(flows, next) != Some(next));
    }

    fn took(&self, records: &[Received]) {
        if !records.is_empty() {
            self.read.send_modify(|read| {
                for record in records {
                    read.insert(TopicPartition::of(record), Next::after(record).offset);
                }
            });
        }
    }
}

/// What the thread is made of.
pub struct Feed {
    /// The brokers.
    pub cluster: Cluster,
    /// The name of this replica.
    pub member: String,
    /// What it fills.
    pub index: Arc<Index>,
    /// What it fills.
    pub mirror: Mirror,
    /// What it fills.
    pub extracts: Extracts,
    /// The flows whose ledgers are read.
    pub flows: FlowRegistry,
    /// Time.
    pub clock: Clock,
    /// Watched while it goes round.
    pub heartbeat: Heartbeat,
    /// Shows how far behind it is.
    pub metrics: ControlMetrics,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("member", &self.member).finish_non_exhaustive()
    }
}

/// Why a stretch of reading ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Queue(#[from] Error),
    #[error("{0}")]
    Index(Fault),
}

impl Feed {
    /// Starts the thread. It ends with the process: what it holds may be lost at any instant.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub fn start(self) -> std::io::Result<Progress> {
        let progress = Progress::default();
        let told = progress.clone();
        std::thread::Builder::new().name("index".to_owned()).spawn(move || self.run(&told))?;
        Ok(progress)
    }

    fn run(&self, progress: &Progress) {
        let mut failures = 0;
        loop {
            let Err(error) = self.read(progress, &mut failures);
            failures += 1;
            let wait = Backoff::HOUSE.wait(failures, None, rand::random());
            warn!(%error, wait_ms = wait.as_millis(), "the index is not being fed; reading begins again");
            let until = self.clock.monotonic() + wait;
            while self.clock.monotonic() < until {
                self.heartbeat.beat();
                std::thread::park_timeout(WAIT);
            }
        }
    }

    fn read(&self, progress: &Progress, failures: &mut u32) -> Result<std::convert::Infallible, Ended> {
        let mut follower = Follower::new(&self.cluster, &format!("{}-index", self.member))?;
        killpoint::reached("index.reading");
        let (mut round, mut lag_told) = (0_u32, None::<Duration>);
        loop {
            self.heartbeat.beat();
            if round.is_multiple_of(LOOK_EVERY) {
                self.take_up(&mut follower)?;
            }
            if round % PRUNE_EVERY == PRUNE_EVERY - 1 {
                self.prune(&follower)?;
            }
            round = round.wrapping_add(1);
            let now = self.clock.monotonic();
            if lag_told.is_none_or(|told| now >= told + LAG_EVERY) {
                lag_told = Some(now);
                self.metrics.index_lag(&follower.lags()?);
            }
            let asked_at = self.now();
            let records = follower.poll(BATCH, BATCH_BYTES, WAIT)?;
            let (control, rest): (Vec<Received>, Vec<Received>) =
                records.into_iter().partition(|record| record.topic == topic::CONTROL);
            let (extracts, indexed): (Vec<Received>, Vec<Received>) =
                rest.into_iter().partition(|record| record.topic == topic::EXTRACT_STATE);
            killpoint::reached("index.records.read");
            self.index.apply(&indexed).map_err(Ended::Index)?;
            killpoint::reached("index.applied");
            self.mirror.apply(&control);
            self.extracts.apply(&extracts);
            progress.took(&indexed);
            progress.took_flows(self.flows.next());
            killpoint::reached("index.told");
            progress.took(&control);
            if indexed.is_empty() && control.is_empty() && extracts.is_empty() && follower.is_caught_up() {
                // Nothing came within the wait: what was written before the question has been read.
                self.mirror.heard_all_to(asked_at);
                if !progress.caught_up.swap(true, Ordering::AcqRel) {
                    info!(partitions = follower.partitions().len(), "the index has read everything");
                }
                *failures = 0;
            }
            if !indexed.is_empty() {
                progress.rounds.send_modify(|rounds| *rounds += 1);
            }
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock.millis()).unwrap_or_default()
    }

    fn take_up(&self, follower: &mut Follower) -> Result<(), Ended> {
        let house = [topic::DEAD_LETTERS, topic::DEAD_LETTER_EVENTS, topic::CONTROL, topic::EXTRACT_STATE];
        let mut topics: Vec<String> = house.map(str::to_owned).into();
        topics.extend(self.flows.names().iter().map(|flow: &FlowName| topic::ledger(flow)));
        killpoint::reached("index.taking_up");
        let positions = self.index.positions().map_err(Ended::Index)?;
        // Mirror and extracts are in memory: their topics have no position and are read from their start.
        let from: BTreeMap<TopicPartition, i64> = positions
            .into_iter()
            .map(|((topic, partition), next)| (TopicPartition::new(topic, partition), next))
            .collect();
        for found in follower.follow(&topics, &from)? {
            let TopicPartition { topic, partition } = &found.partition;
            if found.recreated {
                info!(partition = %found.partition, "the topic was made anew; what it held is forgotten");
                self.index.forget(topic, *partition).map_err(Ended::Index)?;
            } else if from.get(&found.partition).is_some_and(|position| found.start > *position) {
                self.index.prune(topic, *partition, found.start).map_err(Ended::Index)?;
            }
        }
        Ok(())
    }

    fn prune(&self, follower: &Follower) -> Result<(), Ended> {
        for next in follower.starts(topic::DEAD_LETTERS)? {
            self.index.prune(&next.topic, next.partition, next.offset).map_err(Ended::Index)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Record;

    fn at(topic: &str, offset: i64) -> Received {
        Received { topic: topic.to_owned(), partition: 0, offset, timestamp: None, record: Record::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_changes_something_waits_until_all_of_it_was_read_and_not_for_ever() {
        let progress = Progress::default();
        let written = [Next::beyond("events", 0, 7), Next::beyond("memory", 0, 3)];
        let waiting = tokio::spawn({
            let (progress, written) = (progress.clone(), written.clone());
            async move { progress.has_read(&written, Duration::from_secs(3_600)).await }
        });
        progress.took(&[at("events", 7)]);
        assert!(!progress.has_read(&written, Duration::from_secs(5)).await, "half of it is not all of it");
        assert!(!waiting.is_finished());
        progress.took(&[at("memory", 2), at("memory", 9)]);
        assert!(waiting.await.expect("waited"));
        assert!(progress.has_read(&[], Duration::ZERO).await, "nothing was written");
    }
}
