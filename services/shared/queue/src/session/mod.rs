//! One fence for whoever holds state: a static group member and a transactional producer under one name.
//!
//! Every transaction carries the positions of the input partitions it is about, moved or not, before its records and
//! behind them, and the group's generation as it was when the transaction began: the coordinator refuses an older one. A newly assigned partition
//! is trusted only behind a barrier: a record of ours, committed to its state partitions and read back.

mod keeper;
mod plan;
mod settings;
mod transactor;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use document::Received;
use tokio::sync::mpsc;
use tracing::warn;

pub use settings::{SessionSettings, Timing};

use crate::admin::Lag;
use crate::error::Error;
use crate::member::{Member, MemberSettings};
use crate::offset::{Next, TopicPartition};
use crate::producer::Outgoing;
use crate::table::reader::Reader;
use crate::table::store::Store;
use crate::table::{Inner as TableInner, OWNER_KEY, Table};
use crate::topics;
use transactor::{Committed, Transactor};

/// Own facts a table may have before its worker waits for them to be read back.
const OVERLAY_LIMIT: usize = 100_000;

/// What happens to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Partitions are ours, their barrier is passed, their tables are whole. Their records follow.
    Assigned(Vec<TopicPartition>),
    /// Partitions are to move and are still ours: take nothing new of them, write what is in flight, then
    /// [`Session::release`] them. At the latest [`Timing::release`] later they go anyway.
    Revoking(Vec<TopicPartition>),
    /// Partitions are no longer ours: forget what is known of them.
    Revoked(Vec<TopicPartition>),
    /// Records, in order within each partition.
    Records(Vec<Received>),
    /// Nothing came within the wait.
    Idle,
}

/// What becomes readable together, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Data and dead letters: sent first.
    pub data: Vec<Outgoing>,
    /// What is known from now on (`seen`, ledger entries, checkpoints): sent when all data are acknowledged. A fact
    /// for a state topic names the partition of its input.
    pub facts: Vec<Outgoing>,
    /// Positions of the input partitions this is about. Input partitions of facts that are missing here are added at
    /// the position they have.
    pub offsets: Vec<Next>,
}

/// What was found when a partition was assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Whether the group had saved a position before.
    pub committed: bool,
    /// Whether every state partition had an owner record. `committed` without `owned` means that the state was lost, and
    /// that nobody has put that down yet: the first facts that are written for the partition do.
    pub owned: bool,
}

/// What a transaction came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// From its turn to its end.
    pub took: Duration,
    /// For each record of the data, in their order: what a reader that has it reads next.
    pub data: Vec<Next>,
    /// For each fact, in their order: what a reader that has it reads next.
    pub facts: Vec<Next>,
}

/// What the session, its keeper and running transactions share.
#[derive(Debug)]
struct Inner {
    member: Member,
    transactor: Transactor,
    reader: Reader,
    store: Arc<Store>,
    settings: SessionSettings,
    /// One transaction at a time.
    turn: Arc<tokio::sync::Mutex<()>>,
    tables: Mutex<BTreeMap<TopicPartition, Arc<TableInner>>>,
    origins: Mutex<BTreeMap<TopicPartition, Origin>>,
}

/// A worker that holds state. Every method takes `&self`: share it in an `Arc`, wait for events in one task and commit
/// in another.
///
/// After an error that [recycles](Error::recycles) drop it, forget everything in memory and open a new one.
#[derive(Debug)]
pub struct Session {
    inner: Arc<Inner>,
    keeper: tokio::task::JoinHandle<()>,
}

fn kept<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// Takes over the transactional id, opens the store and joins the group. Partitions come as events.
    ///
    /// # Errors
    /// [`Error::Settings`], [`Error::Store`], and what keeps the brokers from answering within twice the transaction's
    /// time.
    pub async fn open(settings: SessionSettings) -> Result<Self, Error> {
        let (notices, notified) = mpsc::unbounded_channel();
        let opening = tokio::task::spawn_blocking(move || {
            let s = &settings;
            let store = Arc::new(Store::open(&s.data_dir, &s.member)?);
            killpoint::reached("session.open.stored");
            // First the producer: what an earlier session of this name left open is decided before its group place,
            // and with it the positions, are asked for.
            let transactor = Transactor::open_blocking(&s.cluster, &s.member, &s.timing)?;
            killpoint::reached("session.open.taken_over");
            let member = Member::join(
                &MemberSettings {
                    cluster: s.cluster.clone(),
                    group: s.group.clone(),
                    member: s.member.clone(),
                    guarded: true,
                    release: Some(s.timing.release),
                    session: s.timing.session,
                    watchdog: s.timing.watchdog,
                    stalled: s.timing.stalled.clone(),
                },
                &s.topics,
                Some(notices),
            )?;
            killpoint::reached("session.open.joined");
            let reader = Reader::start(
                &s.cluster,
                &s.member,
                &s.group,
                Arc::clone(&store),
                Arc::clone(&member.shared),
                (s.timing.watchdog, s.timing.stalled.clone()),
                topics::kept,
            )?;
            killpoint::reached("session.open.reading");
            Ok(Arc::new(Inner {
                member,
                transactor,
                reader,
                store,
                turn: Arc::default(),
                tables: Mutex::default(),
                origins: Mutex::default(),
                settings,
            }))
        });
        let inner = opening.await.expect("opening does not panic")?;
        let keeper = tokio::spawn(keeper::run(Arc::clone(&inner), notified));
        Ok(Self { inner, keeper })
    }

    /// The next event: at most `max` records, an equal share of each partition that has some; [`Event::Idle`] when
    /// nothing comes within `wait`. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::DataExpired`], [`Error::TopicRecreated`] (that partition stays silent) and [`Error::TopicMissing`] end
    /// nothing: stop the flow and go on. All others recycle.
    pub async fn next(&self, max: usize, wait: Duration) -> Result<Event, Error> {
        self.inner.member.adjust();
        let event = self.inner.member.shared.next(max, wait).await;
        // Room was made: what was paused for want of it may be fetched again.
        self.inner.member.adjust();
        event
    }

    /// Makes one transaction and waits until it is committed. Facts are in their tables when
    /// it returns. Runs to its end even if the future is dropped.
    ///
    /// # Errors
    /// [`Error::NotOwned`], [`Error::Unfenced`] and [`Error::RecordTooLarge`] before anything is sent: after
    /// `NotOwned` take the event that says so, forget those partitions and commit the rest. Every other error leaves
    /// open whether the transaction took place, and recycles; a group that moves on while a transaction is under way
    /// is one of them.
    pub async fn commit(&self, mut transaction: Transaction) -> Result<Written, Error> {
        let facts = transaction.facts.len();
        transaction.facts.extend(self.inner.owner_records(&transaction.facts));
        let mut written = self.inner.commit(transaction).await?;
        written.facts.truncate(facts);
        Ok(written)
    }

    /// The table of a state partition; `None` until the barrier is passed and once the partition has gone.
    pub fn table(&self, topic: &str, partition: i32) -> Option<Table> {
        let name = TopicPartition::new(topic, partition);
        let inner = kept(&self.inner.tables).get(&name).cloned()?;
        let input = plan::input_of(&name, self.inner.settings.state_topics, &self.inner.member.shared.owned())?;
        self.inner.member.shared.is_open(&input).then(|| Table::new(inner))
    }

    /// The saved position of a partition that is ours.
    pub fn position(&self, partition: &TopicPartition) -> Option<Next> {
        self.inner.member.shared.saved_of(partition).map(|(next, _)| next)
    }

    /// What was found when the partition was assigned; `None` until its barrier is passed.
    pub fn origin(&self, partition: &TopicPartition) -> Option<Origin> {
        kept(&self.inner.origins).get(partition).copied()
    }

    /// The partitions that are ours, barrier passed.
    pub fn assigned(&self) -> Vec<TopicPartition> {
        self.inner.member.shared.opened()
    }

    /// Replaces the list of input topics. The group rebalances: at most once a minute.
    ///
    /// # Errors
    /// What the client says.
    pub fn subscribe(&self, topics: &[String]) -> Result<(), Error> {
        self.inner.member.subscribe(topics)
    }

    /// Takes no more records of these partitions until they are resumed.
    pub fn pause(&self, partitions: &[TopicPartition]) {
        self.inner.member.shared.set_paused(partitions, true);
        self.inner.member.adjust();
    }

    /// Takes records of these partitions again.
    pub fn resume(&self, partitions: &[TopicPartition]) {
        self.inner.member.shared.set_paused(partitions, false);
        self.inner.member.adjust();
    }

    /// Lets partitions go that [`Event::Revoking`] named. All of one event go together, with the last.
    pub fn release(&self, partitions: &[TopicPartition]) {
        self.inner.member.shared.release(partitions);
    }

    /// Saved position, start and end of every partition that is ours.
    ///
    /// # Errors
    /// What keeps the brokers from answering.
    pub async fn lag(&self) -> Result<Vec<Lag>, Error> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || inner.member.lag_blocking(Duration::from_secs(15)))
            .await
            .expect("asking does not panic")
    }

    /// Ends it: waits for a running transaction, writes the store and leaves. The member's place in the group stays
    /// reserved for its name.
    pub async fn close(self) {
        self.keeper.abort();
        let inner = Arc::clone(&self.inner);
        let turn = Arc::clone(&inner.turn).lock_owned().await;
        inner.member.shared.end("the session was closed");
        drop(turn);
        drop(self);
        let closing = tokio::task::spawn_blocking(move || {
            inner.member.stop();
            // Tasks that were told to end may hold it a moment longer.
            let mut inner = inner;
            for _ in 0..200 {
                match Arc::try_unwrap(inner) {
                    Ok(whole) => {
                        whole.reader.close_blocking();
                        whole.member.close_blocking();
                        whole.transactor.close_blocking();
                        return;
                    }
                    Err(shared) => inner = shared,
                }
                std::thread::park_timeout(Duration::from_millis(10));
            }
        });
        if closing.await.is_err() {
            warn!("closing a session panicked");
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.keeper.abort();
        self.inner.member.stop();
    }
}

impl Inner {
    async fn commit(self: &Arc<Self>, transaction: Transaction) -> Result<Written, Error> {
        self.drain_overlays().await;
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let inner = Arc::clone(self);
        // On a thread that may block, and holding its turn itself: it goes on when the caller has gone.
        let running = tokio::task::spawn_blocking(move || {
            let done = inner.commit_blocking(&transaction);
            drop(turn);
            done
        });
        running.await.expect("a transaction does not panic")
    }

    /// The owner records that go with `facts`: whoever writes the first facts of a state partition has put down what it lacks.
    fn owner_records(&self, facts: &[Outgoing]) -> Vec<Outgoing> {
        let names = facts.iter().filter_map(|fact| Some(TopicPartition::new(fact.topic.clone(), fact.partition?)));
        let names: BTreeSet<TopicPartition> = names.collect();
        let tables = kept(&self.tables);
        let unowned = names.iter().filter(|name| tables.get(name).is_some_and(|table| !table.is_owned()));
        unowned.map(|name| keeper::own_fact(name, OWNER_KEY, &self.own_record())).collect()
    }

    fn commit_blocking(&self, transaction: &Transaction) -> Result<Written, Error> {
        let shared = &self.member.shared;
        shared.alive()?;
        for record in transaction.data.iter().chain(&transaction.facts) {
            record.check_size()?;
        }
        let started = Instant::now();
        killpoint::reached("session.commit.asked");
        // Read before anything is sent: whatever the group does from here on, the positions carry this generation.
        let (positions, group) = self.member.fenced(|state| {
            let saved = |name: &TopicPartition| state.partitions.get(name).map(|partition| partition.saved);
            let owned: Vec<TopicPartition> = state.partitions.keys().cloned().collect();
            plan::fence(transaction, self.settings.state_topics, &owned, saved)
        })?;
        killpoint::reached("session.commit.fenced");
        let committed = self.transactor.run_blocking(&transaction.data, &transaction.facts, &positions, &group);
        match committed {
            Ok(committed) => {
                killpoint::reached("session.commit.done");
                self.know(&transaction.facts, &committed);
                shared.saved(&positions.next);
                killpoint::reached("session.commit.known");
                if committed.repeated || committed.commit > self.settings.timing.slow_commit {
                    let Committed { commit, repeated, .. } = committed;
                    warn!(member = shared.member, seconds = commit.as_secs(), repeated, "slow commit");
                    shared.end("a commit was slow or sent twice: what was sent first may still come");
                }
                let next = |records: &[Outgoing], at: &[(i32, i64)]| -> Vec<Next> {
                    let records = records.iter().zip(at);
                    records
                        .map(|(record, (partition, offset))| Next::beyond(&record.topic, *partition, *offset))
                        .collect()
                };
                let (data, facts) = (&transaction.data, &transaction.facts);
                let (data, facts) = (next(data, &committed.data), next(facts, &committed.facts));
                Ok(Written { took: started.elapsed(), data, facts })
            }
            Err(error) => {
                shared.end(&format!("a transaction failed: {}", error.fault().detail));
                Err(error)
            }
        }
    }

    /// Lays committed facts over their tables.
    fn know(&self, facts: &[Outgoing], committed: &Committed) {
        let tables = kept(&self.tables);
        for (fact, (partition, offset)) in facts.iter().zip(&committed.facts) {
            if let Some(table) = tables.get(&TopicPartition::new(fact.topic.clone(), *partition)) {
                table.committed(fact.record.key.clone(), fact.record.value.clone(), *offset);
            }
        }
    }

    /// Waits while a table is far behind its own facts: memory has an end.
    async fn drain_overlays(&self) {
        while self.member.shared.alive().is_ok()
            && kept(&self.tables).values().any(|table| table.waiting() > OVERLAY_LIMIT)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
