//! The flows as they are published: every version that can still be read, and which of them is current.
//!
//! Keys of the topic: `{flow}@{version}` holds a [`FlowBundle`] as JSON, `{flow}/current` the current version as text,
//! `{flow}/paused` a [`Paused`] while the flow rests, `{flow}/deleted` a [`Deleted`] once it was taken away,
//! `{flow}/canary` a [`Canary`] while another version is tried with some documents. A tombstone takes any of them back.

mod record;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use document::{Fault, FlowName, FlowVersion, Headers, Received, Record, topic};
use flow::{Flow, FlowBundle};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tracing::{debug, info, warn};

use crate::admin::{counts, ranges};
use crate::cluster::{Cluster, Ear};
use crate::error::Error;
use crate::message::received;
use crate::offset::{Next, TopicPartition};
use crate::producer::{Outgoing, Producer, settings};

use record::{Entry, current_key, entry, version_key};

pub use record::{Canary, Deleted, Paused, deleting, pausing, pointing, publishing, trying, withdrawing};

const ASK: Duration = Duration::from_secs(20);

/// A version of a flow that can still be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The version.
    pub version: FlowVersion,
    /// When it was written, unix milliseconds.
    pub at: Option<i64>,
}

/// What is known of one version. Compiled when it is first asked for: old versions mostly never are.
#[derive(Debug)]
enum Known {
    Unread,
    Read(Arc<Flow>),
    Refused(Vec<Fault>),
}

/// One version as it was written, and what it compiled to.
#[derive(Debug)]
struct Versioned {
    bundle: Arc<FlowBundle>,
    at: Option<i64>,
    known: Known,
}

#[derive(Debug, Default)]
struct Flows {
    versions: BTreeMap<(FlowName, String), Versioned>,
    current: BTreeMap<FlowName, FlowVersion>,
    paused: BTreeMap<FlowName, Paused>,
    deleted: BTreeMap<FlowName, Deleted>,
    canaries: BTreeMap<FlowName, Canary>,
}

#[derive(Debug)]
struct Inner {
    flows: Mutex<Flows>,
    /// What is read next of the partition that flows are written to.
    next: AtomicI64,
    changes: watch::Sender<u64>,
    cluster: Cluster,
    producer: Producer,
}

/// Follows `starbridge.flows`. Cheap to clone; each clone waits for changes by itself. The last clone ends it.
#[derive(Debug, Clone)]
pub struct FlowRegistry {
    inner: Arc<Inner>,
    changes: watch::Receiver<u64>,
}

impl FlowRegistry {
    /// Reads `starbridge.flows` to its present end, then follows it on a thread of its own.
    ///
    /// # Errors
    /// [`Error::TopicMissing`] when nobody has made the topic yet; what keeps the brokers from answering.
    pub async fn follow(cluster: &Cluster, client_id: &str) -> Result<Self, Error> {
        let (changes, changed) = watch::channel(0);
        let inner = Arc::new(Inner {
            flows: Mutex::default(),
            next: AtomicI64::new(0),
            changes,
            cluster: cluster.clone(),
            producer: Producer::connect(cluster, &format!("{client_id}-flows"))?,
        });
        let config = cluster.consumer(&format!("{client_id}-flows"), &format!("{client_id}-flows"))?;
        let reading = Arc::clone(&inner);
        let begun = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer<Ear> =
                config.create_with_context(Ear::default()).map_err(|error| settings(&error))?;
            let ends = reading.begin(&consumer)?;
            killpoint::reached("registry.begun");
            reading.catch_up(&consumer, ends)?;
            killpoint::reached("registry.caught_up");
            let following = Arc::downgrade(&reading);
            drop(reading);
            std::thread::Builder::new()
                .name("flows".to_owned())
                .spawn(move || {
                    while let Some(inner) = following.upgrade() {
                        inner.poll(&consumer, Duration::from_millis(200));
                    }
                })
                .map(drop)
                .map_err(|source| Error::Settings {
                    detail: "the thread that follows flows cannot be started".to_owned(),
                    file: None,
                    source: Some(source),
                })
        });
        begun.await.expect("reading flows does not panic")?;
        Ok(Self { inner, changes: changed })
    }

    /// A version of a flow; `None` while it is not readable (yet, or any more), or does not compile.
    pub fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Flow>> {
        self.inner.get(flow, version)
    }

    /// Why a version that is readable cannot be used; empty when it can, or is not there.
    pub fn faults(&self, flow: &FlowName, version: &FlowVersion) -> Vec<Fault> {
        drop(self.get(flow, version));
        match self.inner.lock().versions.get(&(flow.clone(), version.0.clone())).map(|version| &version.known) {
            Some(Known::Refused(faults)) => faults.clone(),
            _ => Vec::new(),
        }
    }

    /// The texts of a version; `None` when it is not readable (yet, or any more).
    pub fn bundle(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<FlowBundle>> {
        let flows = self.inner.lock();
        flows.versions.get(&(flow.clone(), version.0.clone())).map(|version| Arc::clone(&version.bundle))
    }

    /// The versions of a flow that can still be read, the newest first.
    pub fn versions(&self, flow: &FlowName) -> Vec<Published> {
        let flows = self.inner.lock();
        let of_flow = flows.versions.range((flow.clone(), String::new())..).take_while(|((name, _), _)| name == flow);
        let mut versions: Vec<Published> = of_flow
            .map(|((_, version), known)| Published { version: FlowVersion(version.clone()), at: known.at })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.at));
        versions
    }

    /// The version that `flow/current` names, whether it can be used or not.
    pub fn pointer(&self, flow: &FlowName) -> Option<FlowVersion> {
        self.inner.lock().current.get(flow).cloned()
    }

    /// Who lets the flow rest; `None` while it may run.
    pub fn paused(&self, flow: &FlowName) -> Option<Paused> {
        self.inner.lock().paused.get(flow).cloned()
    }

    /// Who took the flow away; `None` for one that was not, or was published again since.
    pub fn deleted(&self, flow: &FlowName) -> Option<Deleted> {
        self.inner.lock().deleted.get(flow).cloned()
    }

    /// The version that is tried with some documents of the flow; `None` where all go by the current one.
    pub fn canary(&self, flow: &FlowName) -> Option<Canary> {
        self.inner.lock().canaries.get(flow).cloned()
    }

    /// The current version of every flow, by name; flows whose current version does not compile are left out.
    pub fn current(&self) -> Vec<Arc<Flow>> {
        let current = self.inner.lock().current.clone();
        current.into_iter().filter_map(|(flow, version)| self.inner.get(&flow, &version)).collect()
    }

    /// The name of every flow that has a current version, whether that compiles or not.
    pub fn names(&self) -> Vec<FlowName> {
        self.inner.lock().current.keys().cloned().collect()
    }

    /// The offset behind the last entry that was taken in; entries are written to one partition.
    pub fn next(&self) -> i64 {
        self.inner.next.load(Ordering::Acquire)
    }

    /// Waits until something was published since this clone looked last.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The sender lives as long as this clone: it cannot be gone. Waiting is the harmless answer.
            std::future::pending::<()>().await;
        }
    }

    /// Publishes `bundle` and makes it the current version of `flow`: the version first, then, acknowledged, the
    /// pointer, so that no pointer ever leads nowhere. A bundle that is current already is not written again.
    ///
    /// # Errors
    /// [`Error::FlowRecord`] when the bundle does not compile or is another flow's; what keeps it from being written.
    pub async fn publish(&self, flow: &FlowName, bundle: &FlowBundle) -> Result<FlowVersion, Error> {
        let version = bundle.version();
        let key = version_key(flow, &version);
        let wrong = |detail: String| Error::FlowRecord { key: key.clone(), detail };
        match flow::compile(bundle) {
            Ok(compiled) if compiled.flow.name == *flow => {}
            Ok(compiled) => return Err(wrong(format!("the bundle is flow {}", compiled.flow.name))),
            Err(faults) => return Err(wrong(texts(&faults))),
        }
        {
            let flows = self.inner.lock();
            let known = flows.versions.contains_key(&(flow.clone(), version.0.clone()));
            if known && flows.current.get(flow) == Some(&version) {
                return Ok(version);
            }
        }
        let value = serde_json::to_vec(bundle).map_err(|error| wrong(error.to_string()))?;
        self.write(&key, Some(value)).await?;
        self.write(&current_key(flow), Some(version.0.clone().into_bytes())).await?;
        info!(flow = %flow, version = %version, "flow published");
        Ok(version)
    }

    /// Takes the current pointer of `flow` back; its versions stay readable for records that name them.
    ///
    /// # Errors
    /// What keeps it from being written.
    pub async fn withdraw(&self, flow: &FlowName) -> Result<(), Error> {
        self.write(&current_key(flow), None).await
    }

    async fn write(&self, key: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        let record = Record { key: key.as_bytes().to_vec(), headers: Headers::new(), value };
        // One partition whatever the topic has: versions and pointers keep their order.
        self.inner.producer.send_all(vec![Outgoing::to_partition(topic::FLOWS, 0, record)]).await
    }
}

fn texts(faults: &[Fault]) -> String {
    let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn explain(&self, consumer: &BaseConsumer<Ear>, error: KafkaError, operation: &'static str) -> Error {
        consumer.context().explain(error, &self.cluster, operation, topic::FLOWS)
    }

    /// Assigns every partition of the topic from its start; gives the ends to catch up with.
    fn begin(&self, consumer: &BaseConsumer<Ear>) -> Result<Vec<Next>, Error> {
        let metadata = consumer
            .fetch_metadata(None, ASK)
            .map_err(|error| self.explain(consumer, error, "reading the list of topics"))?;
        let Some(count) = counts(&metadata).remove(topic::FLOWS) else {
            return Err(Error::TopicMissing { topic: topic::FLOWS.to_owned() });
        };
        let partitions: Vec<TopicPartition> = (0..count).map(|p| TopicPartition::new(topic::FLOWS, p)).collect();
        let asked = ranges(consumer, &partitions, ASK)
            .map_err(|error| self.explain(consumer, error, "asking where flows begin"))?;
        let mut list = TopicPartitionList::new();
        for lag in &asked {
            list.add_partition_offset(topic::FLOWS, lag.topic_partition.partition, Offset::Offset(lag.start))
                .map_err(|error| self.explain(consumer, error, "beginning to read flows"))?;
        }
        consumer.assign(&list).map_err(|error| self.explain(consumer, error, "beginning to read flows"))?;
        let some = asked.into_iter().filter(|lag| lag.end > lag.start);
        Ok(some.map(|lag| Next::at(topic::FLOWS, lag.topic_partition.partition, lag.end)).collect())
    }

    /// Reads until every partition is at the end it had. Ends count records that compaction took, so the position of
    /// the client decides, not the last record seen.
    fn catch_up(&self, consumer: &BaseConsumer<Ear>, ends: Vec<Next>) -> Result<(), Error> {
        let mut open = ends;
        let mut silent = std::time::Instant::now();
        while !open.is_empty() {
            if self.poll(consumer, Duration::from_millis(50)) {
                silent = std::time::Instant::now();
            }
            let at = consumer.position().map_err(|error| self.explain(consumer, error, "reading flows"))?;
            open.retain(|end| {
                let offset = at.find_partition(topic::FLOWS, end.partition).map(|element| element.offset());
                !matches!(offset, Some(Offset::Offset(offset)) if offset >= end.offset)
            });
            // The tail may have been compacted away or be control records: silence is an end too.
            if silent.elapsed() > Duration::from_secs(3) {
                break;
            }
        }
        Ok(())
    }

    /// Takes what is there; `true` when there was something.
    fn poll(&self, consumer: &BaseConsumer<Ear>, wait: Duration) -> bool {
        let mut some = false;
        let mut wait = wait;
        loop {
            match consumer.poll(wait) {
                Some(Ok(message)) => {
                    let received = received(&message);
                    self.take(&received);
                    if received.partition == 0 {
                        self.next.store(received.offset + 1, Ordering::Release);
                    }
                    some = true;
                }
                Some(Err(error)) => debug!(%error, "the client goes on by itself"),
                None => break,
            }
            wait = Duration::ZERO;
        }
        if some {
            self.changes.send_modify(|change| *change += 1);
        }
        some
    }

    fn take(&self, received: &Received) {
        killpoint::reached("registry.record.read");
        match entry(&received.record) {
            Ok(Entry::Version(flow, version, Some(bundle))) => {
                let fresh = || Versioned { bundle: Arc::from(bundle), at: received.timestamp, known: Known::Unread };
                self.lock().versions.entry((flow, version.0)).or_insert_with(fresh);
            }
            Ok(Entry::Version(flow, version, None)) => {
                self.lock().versions.remove(&(flow, version.0));
            }
            Ok(Entry::Current(flow, Some(version))) => {
                self.lock().current.insert(flow, version);
            }
            Ok(Entry::Current(flow, None)) => {
                self.lock().current.remove(&flow);
            }
            Ok(Entry::Paused(flow, Some(paused))) => {
                self.lock().paused.insert(flow, paused);
            }
            Ok(Entry::Paused(flow, None)) => {
                self.lock().paused.remove(&flow);
            }
            Ok(Entry::Deleted(flow, Some(deleted))) => {
                self.lock().deleted.insert(flow, deleted);
            }
            Ok(Entry::Deleted(flow, None)) => {
                self.lock().deleted.remove(&flow);
            }
            Ok(Entry::Canary(flow, Some(canary))) => {
                self.lock().canaries.insert(flow, canary);
            }
            Ok(Entry::Canary(flow, None)) => {
                self.lock().canaries.remove(&flow);
            }
            Err(error) => {
                warn!(fault = %error.fault(), offset = received.offset, "entry of the flows topic passed over")
            }
        }
    }

    fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<Flow>> {
        let key = (flow.clone(), version.0.clone());
        let bundle = match self.lock().versions.get(&key)? {
            Versioned { known: Known::Read(flow), .. } => return Some(Arc::clone(flow)),
            Versioned { known: Known::Refused(_), .. } => return None,
            Versioned { known: Known::Unread, bundle, .. } => Arc::clone(bundle),
        };
        // Compiled without the lock: it takes a while, and twice does no harm.
        let known = match flow::compile(&bundle) {
            Ok(compiled) if compiled.flow.name == *flow => Known::Read(Arc::new(compiled.flow)),
            Ok(compiled) => {
                let detail = format!("the bundle under {flow} is flow {}", compiled.flow.name);
                Known::Refused(vec![
                    Fault::new(document::Code::FlowRecord, detail).of_record(version_key(flow, version)),
                ])
            }
            Err(faults) => Known::Refused(faults),
        };
        if let Known::Refused(faults) = &known {
            warn!(flow = %flow, version = %version, faults = texts(faults), "published flow cannot be used");
        }
        let result = match &known {
            Known::Read(flow) => Some(Arc::clone(flow)),
            Known::Unread | Known::Refused(_) => None,
        };
        if let Some(version) = self.lock().versions.get_mut(&key) {
            version.known = known;
        }
        result
    }
}
