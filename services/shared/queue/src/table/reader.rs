//! Reads the state partitions of a worker into its store: one client and one thread, whatever their number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use document::Received;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use super::store::{Change, Mark, Store, Update};
use super::{BARRIER_KEY, Inner, is_own_key};
use crate::admin::ranges;
use crate::cluster::{Cluster, Ear};
use crate::error::{Error, code_of};
use crate::member::{Shared, names};
use crate::message::received;
use crate::offset::TopicPartition;
use crate::producer::settings;
use crate::watchdog::{Pulse, Stalled};

/// A store that was not followed for so long may have missed tombstones that compaction has removed since
/// (`delete.retention.ms` is a day): it is read again.
const STALE: i64 = 12 * 3600;
const POLL: Duration = Duration::from_millis(100);
const RUN: usize = 1000;
/// How much may be lost to a crash; it would only be read again.
const DURABLE_EVERY: Duration = Duration::from_secs(5);
const FOLLOWED_EVERY: Duration = Duration::from_secs(600);
const EXPIRE_EVERY: Duration = Duration::from_secs(6 * 3600);

/// What the session asks of the reader.
pub(crate) enum Order {
    /// Follow these from now on, and say so.
    Attach(Vec<Arc<Inner>>, oneshot::Sender<()>),
    /// Follow these no more.
    Detach(Vec<TopicPartition>),
    /// End.
    Stop,
}

/// The reader's handle.
#[derive(Debug)]
pub(crate) struct Reader {
    orders: Sender<Order>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// One followed partition.
struct Followed {
    inner: Arc<Inner>,
    mark: Mark,
    /// Record the store ended with, to be met again first: another one there means another topic.
    probe: Option<(i64, i64)>,
    changes: Vec<Change>,
    dirty: bool,
}

impl Reader {
    /// Starts the client and its thread.
    pub(crate) fn start(
        cluster: &Cluster,
        member: &str,
        group: &str,
        store: Arc<Store>,
        shared: Arc<Shared>,
        watch: (Duration, Option<Stalled>),
        keep: fn(&str) -> Option<Duration>,
    ) -> Result<Self, Error> {
        let config = cluster.consumer(&format!("{member}-tables"), &format!("{group}-tables"))?;
        let consumer: BaseConsumer<Ear> =
            config.create_with_context(Ear::default()).map_err(|error| settings(&error))?;
        let (orders, received) = channel();
        let pulse = Pulse::watch(&format!("{member}-tables"), watch.0, watch.1);
        let mut work = Work {
            consumer,
            store,
            shared,
            followed: BTreeMap::new(),
            keep,
            last: Instant::now(),
            touched: Instant::now(),
            expired: None,
        };
        let thread = std::thread::Builder::new()
            .name(format!("tables {member}"))
            .spawn(move || work.run(&received, &pulse))
            .map_err(|source| Error::Settings {
                detail: "the thread that reads tables cannot be started".to_owned(),
                file: None,
                source: Some(source),
            })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Gives an order. A reader that has ended takes none; why it ended is the session's error.
    pub(crate) fn order(&self, order: Order) {
        drop(self.orders.send(order));
    }

    /// Ends it and waits. Blocks.
    pub(crate) fn close_blocking(mut self) {
        self.order(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reads tables panicked");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.order(Order::Stop);
    }
}

struct Work {
    consumer: BaseConsumer<Ear>,
    store: Arc<Store>,
    shared: Arc<Shared>,
    followed: BTreeMap<TopicPartition, Followed>,
    keep: fn(&str) -> Option<Duration>,
    last: Instant,
    touched: Instant,
    expired: Option<Instant>,
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Work {
    fn run(&mut self, orders: &Receiver<Order>, pulse: &Pulse) {
        let ended = loop {
            pulse.beat();
            match self.round(orders) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let ended = ended.and_then(|()| self.write(true));
        if let Err(error) = ended {
            if matches!(error, Error::Store { .. }) {
                self.store.discard();
            }
            self.shared.fail(error);
        }
        self.store.close();
    }

    fn explain(&self, error: KafkaError, operation: &'static str) -> Error {
        Error::from_kafka(error, &self.shared.brokers, operation, &self.shared.member)
    }

    /// One round; `false` ends.
    fn round(&mut self, orders: &Receiver<Order>) -> Result<bool, Error> {
        loop {
            match orders.try_recv() {
                Ok(Order::Attach(tables, attached)) => {
                    self.attach(tables)?;
                    // Whoever gave the order may have left.
                    attached.send(()).unwrap_or_default();
                }
                Ok(Order::Detach(partitions)) => self.detach(&partitions)?,
                Ok(Order::Stop) | Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(false),
                Err(std::sync::mpsc::TryRecvError::Empty) => break,
            }
        }
        let mut wait = POLL;
        for _ in 0..RUN {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => {
                    let record = received(&message);
                    self.take(record)?;
                }
                Some(Err(error)) => self.trouble(error)?,
                None => break,
            }
            wait = Duration::ZERO;
        }
        let durable = self.last.elapsed() >= DURABLE_EVERY;
        self.write(durable)?;
        if self.expired.is_none_or(|at| at.elapsed() >= EXPIRE_EVERY) {
            self.expire()?;
        }
        Ok(true)
    }

    fn attach(&mut self, tables: Vec<Arc<Inner>>) -> Result<(), Error> {
        if tables.is_empty() {
            return Ok(());
        }
        killpoint::reached("table.attaching");
        let wanted: Vec<TopicPartition> = tables.iter().map(|inner| inner.partition.clone()).collect();
        let asked = ranges(&self.consumer, &wanted, Duration::from_secs(25))
            .map_err(|error| self.explain(error, "asking where state partitions begin"))?;
        let mut list = TopicPartitionList::with_capacity(tables.len());
        for (inner, lag) in tables.into_iter().zip(asked) {
            let name = inner.partition.clone();
            let mark = match self.store.mark(&name)? {
                Some(mark) if mark.offset < lag.start || mark.offset >= lag.end => {
                    info!(partition = %name, offset = mark.offset, start = lag.start, end = lag.end, "state partition is another one or has moved on; it is read again");
                    None
                }
                Some(mark) if now() - mark.followed > STALE => {
                    info!(partition = %name, "state store is old; the partition is read again");
                    None
                }
                mark => mark,
            };
            if mark.is_none() {
                self.store.forget(&name)?;
            }
            let begin = mark.as_ref().map_or(Offset::Offset(lag.start), |mark| Offset::Offset(mark.offset));
            list.add_partition_offset(&name.topic, name.partition, begin)
                .map_err(|error| self.explain(error, "beginning to read state partitions"))?;
            let probe = mark.as_ref().map(|mark| (mark.offset, mark.timestamp));
            let mark = mark.unwrap_or(Mark { offset: -1, timestamp: 0, owned: false, followed: now() });
            self.followed.insert(name, Followed { inner, mark, probe, changes: Vec::new(), dirty: false });
        }
        self.consumer
            .incremental_assign(&list)
            .map_err(|error| self.explain(error, "beginning to read state partitions"))
    }

    fn detach(&mut self, partitions: &[TopicPartition]) -> Result<(), Error> {
        let known: Vec<TopicPartition> =
            partitions.iter().filter(|name| self.followed.contains_key(name)).cloned().collect();
        if known.is_empty() {
            return Ok(());
        }
        for name in &known {
            if let Some(followed) = self.followed.get_mut(name) {
                followed.touch();
            }
        }
        killpoint::reached("table.detaching");
        self.write(true)?;
        for name in &known {
            self.followed.remove(name);
        }
        self.consumer
            .incremental_unassign(&names(&known))
            .map_err(|error| self.explain(error, "ending to read state partitions"))
    }

    fn take(&mut self, record: Received) -> Result<(), Error> {
        let name = TopicPartition::of(&record);
        let Some(followed) = self.followed.get_mut(&name) else { return Ok(()) };
        let timestamp = record.timestamp.unwrap_or_default();
        if let Some(probe) = followed.probe.take()
            && record.offset == probe.0
        {
            if timestamp == probe.1 {
                // Already taken in by whoever wrote the store.
                return Ok(());
            }
            warn!(partition = %name, "state topic was made anew; its store is read again");
            return self.again(&name);
        }
        killpoint::reached("table.record.read");
        followed.mark.offset = record.offset;
        followed.mark.timestamp = timestamp;
        followed.dirty = true;
        followed.changes.push(Change { key: record.record.key, value: record.record.value, timestamp });
        Ok(())
    }

    /// Reads a partition from its start.
    fn again(&mut self, name: &TopicPartition) -> Result<(), Error> {
        let Some(followed) = self.followed.remove(name) else { return Ok(()) };
        self.store.forget(name)?;
        self.consumer
            .incremental_unassign(&names(std::slice::from_ref(name)))
            .map_err(|error| self.explain(error, "reading a state partition again"))?;
        self.attach(vec![followed.inner])
    }

    /// Writes what has come, and tells who waits for it.
    fn write(&mut self, durable: bool) -> Result<(), Error> {
        if self.touched.elapsed() >= FOLLOWED_EVERY {
            self.touched = Instant::now();
            self.followed.values_mut().for_each(Followed::touch);
        }
        let mut updates = Vec::new();
        let mut news = Vec::new();
        for (name, followed) in &mut self.followed {
            if !followed.dirty {
                continue;
            }
            followed.dirty = false;
            let mut changes = std::mem::take(&mut followed.changes);
            let count = changes.len() as u64;
            let mut barrier = None;
            for own in changes.extract_if(.., |change| is_own_key(&change.key)) {
                match own.value {
                    Some(value) if own.key == BARRIER_KEY => barrier = Some((value, followed.mark.owned)),
                    Some(_) => followed.mark.owned = true,
                    None => {}
                }
            }
            if followed.mark.owned {
                followed.inner.own();
            }
            news.push((Arc::clone(&followed.inner), count, barrier, followed.mark.offset));
            updates.push(Update { partition: name.clone(), changes, mark: followed.mark.clone() });
        }
        if updates.is_empty() {
            return Ok(());
        }
        killpoint::reached("table.writing");
        self.store.apply(&updates, durable)?;
        killpoint::reached("table.written");
        if durable {
            self.last = Instant::now();
        }
        for (inner, count, barrier, offset) in news {
            inner.read_back(offset);
            inner.progress.send_modify(|progress| {
                progress.records += count;
                if let Some((barrier, owned)) = barrier {
                    progress.barrier = Some(barrier);
                    progress.owned = owned;
                }
            });
        }
        Ok(())
    }

    fn expire(&mut self) -> Result<(), Error> {
        self.expired = Some(Instant::now());
        for name in self.followed.keys() {
            if let Some(keep) = (self.keep)(&name.topic) {
                let before = (now() - i64::try_from(keep.as_secs()).unwrap_or(i64::MAX)).saturating_mul(1000);
                let removed = self.store.expire(name, before)?;
                debug!(partition = %name, removed, "old entries removed");
            }
        }
        Ok(())
    }

    fn trouble(&self, error: KafkaError) -> Result<(), Error> {
        use rdkafka::error::RDKafkaErrorCode as C;
        match code_of(&error) {
            // The store is newer or older than the log: the next session compares and reads again.
            Some(C::AutoOffsetReset | C::OffsetOutOfRange) => Err(Error::Ended {
                member: self.shared.member.clone(),
                reason: "the position of a state partition is out of range".to_owned(),
            }),
            Some(C::TopicAuthorizationFailed | C::GroupAuthorizationFailed | C::Authentication | C::SSL | C::Fatal) => {
                Err(self.explain(error, "reading state partitions"))
            }
            _ => Ok(()),
        }
    }
}

impl Followed {
    fn touch(&mut self) {
        self.mark.followed = now();
        // Nothing known is not worth a mark.
        self.dirty |= self.mark.offset >= 0;
    }
}
