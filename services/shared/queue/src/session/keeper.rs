//! Takes newly assigned partitions through their barrier, and keeps their owner records young.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use document::{Headers, Record};
use futures::future::join_all;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tracing::{debug, info};

use super::{Inner, Origin, Transaction, kept};
use crate::error::Error;
use crate::member::{Notice, Start};
use crate::offset::TopicPartition;
use crate::producer::Outgoing;
use crate::table::reader::Order;
use crate::table::{BARRIER_KEY, Inner as TableInner, OWNER_KEY};

pub(super) async fn run(inner: Arc<Inner>, mut notices: UnboundedReceiver<Notice>) {
    let mut barriers = JoinSet::new();
    let mut refresh = tokio::time::interval(inner.settings.timing.owner);
    refresh.tick().await;
    loop {
        tokio::select! {
            // Comings and goings are taken strictly in their order: a partition may go and come back.
            notice = notices.recv() => match notice {
                Some(Notice::Assigned(starts)) => match inner.attach(starts).await {
                    Ok(attaching) => {
                        barriers.spawn(guarded(Arc::clone(&inner), attaching));
                    }
                    Err(error) => inner.member.shared.fail(error),
                },
                Some(Notice::Gone(partitions)) => inner.forget(&partitions),
                None => return,
            },
            _ = refresh.tick() => {
                let open = inner.member.shared.opened();
                barriers.spawn(refreshed(Arc::clone(&inner), open));
            }
            Some(ended) = barriers.join_next() => if ended.is_err() {
                inner.member.shared.end("the barrier panicked");
            }
        }
    }
}

/// Partitions whose state is about to be read.
struct Attaching {
    starts: Vec<Start>,
    tables: Vec<Arc<TableInner>>,
    /// The reader follows the tables.
    attached: oneshot::Receiver<()>,
}

async fn guarded(inner: Arc<Inner>, attaching: Attaching) {
    if let Err(error) = inner.barrier(attaching).await {
        inner.member.shared.fail(error);
    }
}

async fn refreshed(inner: Arc<Inner>, open: Vec<TopicPartition>) {
    // A failed transaction ends the session by itself.
    if let Err(error) = inner.own(&open, &inner.own_record(), None).await {
        debug!(%error, "owner records were not written again");
    }
}

impl Inner {
    /// The state partitions of an input partition.
    fn states(&self, input: &TopicPartition) -> Vec<TopicPartition> {
        let topics = (self.settings.state_topics)(&input.topic);
        topics.into_iter().map(|topic| TopicPartition::new(topic, input.partition)).collect()
    }

    /// The value of a record of the session itself.
    pub(super) fn own_record(&self) -> Vec<u8> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        serde_json::json!({ "member": self.settings.member, "nonce": uuid::Uuid::new_v4().to_string(), "at": at })
            .to_string()
            .into_bytes()
    }

    /// Commits `value` to the state partitions of `inputs`, and their positions with it: that of a new partition is
    /// saved here for the first time. With `barrier` it is their barrier, and for those inputs that had no saved position an
    /// owner record, too: nothing can be missing yet. Without, it is the owner record of those that have one. Gives the
    /// inputs it was written for: those that moved meanwhile are left out.
    async fn own(
        self: &Arc<Self>,
        inputs: &[TopicPartition],
        value: &[u8],
        barrier: Option<&BTreeSet<TopicPartition>>,
    ) -> Result<Vec<TopicPartition>, Error> {
        let mut inputs = inputs.to_vec();
        loop {
            let saved = |name: &TopicPartition| self.member.shared.saved_of(name).map(|(next, _)| next);
            inputs.retain(|name| saved(name).is_some());
            if inputs.is_empty() {
                return Ok(inputs);
            }
            let mut facts = Vec::new();
            for input in &inputs {
                for state in self.states(input) {
                    let owned = match barrier {
                        Some(new) => new.contains(input),
                        None => kept(&self.tables).get(&state).is_some_and(|table| table.is_owned()),
                    };
                    let keys = barrier.map(|_| BARRIER_KEY).into_iter().chain(owned.then_some(OWNER_KEY));
                    facts.extend(keys.map(|key| own_fact(&state, key, value)));
                }
            }
            let offsets = inputs.iter().filter_map(saved).collect();
            match self.commit(Transaction { data: Vec::new(), facts, offsets }).await {
                Ok(_) => return Ok(inputs),
                // Some moved between looking and beginning: the rest is tried again.
                Err(Error::NotOwned { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Begins to read the state of newly assigned partitions. Those whose state topics do not fit them stay closed.
    async fn attach(self: &Arc<Self>, starts: Vec<Start>) -> Result<Attaching, Error> {
        let inner = Arc::clone(self);
        let counting = tokio::task::spawn_blocking(move || inner.member.counts_blocking(Duration::from_secs(20)));
        let counts = counting.await.expect("counting does not panic")?;
        let mut refused = BTreeSet::new();
        for topic in starts.iter().map(|start| start.next.topic.as_str()).collect::<BTreeSet<&str>>() {
            let wanted = counts.get(topic).copied().unwrap_or_default();
            for state in (self.settings.state_topics)(topic) {
                let error = match counts.get(&state) {
                    Some(found) if *found == wanted => continue,
                    Some(found) => Error::PartitionsDiffer { topic: state, wanted, found: *found },
                    None => Error::TopicMissing { topic: state },
                };
                refused.insert(topic.to_owned());
                self.member.shared.fail(error);
            }
        }
        let starts: Vec<Start> = starts
            .into_iter()
            .filter(|start| !refused.contains(&start.next.topic) && self.member.shared.holds(start))
            .collect();
        let tables: Vec<Arc<TableInner>> = starts
            .iter()
            .flat_map(|start| self.states(&start.next.topic_partition()))
            .map(|state| Arc::new(TableInner::new(state, Arc::clone(&self.store))))
            .collect();
        kept(&self.tables).extend(tables.iter().map(|table| (table.partition.clone(), Arc::clone(table))));
        killpoint::reached("barrier.attaching");
        let (follows, attached) = oneshot::channel();
        self.reader.order(Order::Attach(tables.clone(), follows));
        Ok(Attaching { starts, tables, attached })
    }

    /// Writes the barrier, waits until that very record is read, then announces the partitions.
    async fn barrier(self: &Arc<Self>, attaching: Attaching) -> Result<(), Error> {
        let Attaching { starts, tables, attached } = attaching;
        if starts.is_empty() {
            return Ok(());
        }
        let begun = tokio::time::Instant::now();
        // Not before its tables are followed: partitions that were lost and came back at once may still be read for the
        // tables of before, and a barrier that went to these would be seen by nobody.
        if attached.await.is_err() {
            // The reader has ended, and the session with it.
            return Ok(());
        }
        let inputs: Vec<TopicPartition> = starts.iter().map(|start| start.next.topic_partition()).collect();
        let barrier = self.own_record();
        let new = starts.iter().filter(|start| !start.committed).map(|start| start.next.topic_partition()).collect();
        killpoint::reached("barrier.begun");
        let written: BTreeSet<TopicPartition> = self.own(&inputs, &barrier, Some(&new)).await?.into_iter().collect();
        killpoint::reached("barrier.written");
        let states: BTreeSet<TopicPartition> = written.iter().flat_map(|input| self.states(input)).collect();
        let waits =
            tables.iter().filter(|table| states.contains(&table.partition)).map(|table| self.seen(table, &barrier));
        let seen = join_all(waits).await;
        killpoint::reached("barrier.seen");
        if self.member.shared.alive().is_err() {
            return Ok(());
        }
        let mut late = Vec::new();
        let mut before = BTreeSet::new();
        for (name, seen) in seen {
            match seen {
                Seen::Unowned => {}
                Seen::Owned => drop(before.insert(name)),
                Seen::Late => late.push(name),
                // Its partition cannot be opened: the assignment it was made for holds no more.
                Seen::Gone => {}
            }
        }
        if !late.is_empty() {
            return Err(Error::Barrier { partitions: late, waited: self.settings.timing.barrier });
        }
        let ready: Vec<Start> =
            starts.into_iter().filter(|start| written.contains(&start.next.topic_partition())).collect();
        {
            let mut origins = kept(&self.origins);
            for start in ready.iter().filter(|start| self.member.shared.holds(start)) {
                let input = start.next.topic_partition();
                let owned = self.states(&input).iter().all(|state| before.contains(state));
                origins.insert(input, Origin { committed: start.committed, owned });
            }
        }
        let opened = self.member.shared.open(&ready);
        killpoint::reached("barrier.opened");
        self.member.adjust();
        let millis = begun.elapsed().as_millis();
        info!(member = self.settings.member, partitions = opened.len(), millis, "barrier passed");
        Ok(())
    }

    /// Waits until `table` has read `barrier`.
    async fn seen(&self, table: &TableInner, barrier: &[u8]) -> (TopicPartition, Seen) {
        let name = table.partition.clone();
        let mut progress = table.progress.subscribe();
        let mut records = 0;
        let mut since = tokio::time::Instant::now();
        loop {
            {
                let now = progress.borrow_and_update();
                if now.barrier.as_deref() == Some(barrier) {
                    return (name, if now.owned { Seen::Owned } else { Seen::Unowned });
                }
                if now.records > records {
                    records = now.records;
                    since = tokio::time::Instant::now();
                }
            }
            let known = kept(&self.tables).get(&name).is_some_and(|known| std::ptr::eq(Arc::as_ptr(known), table));
            if !known || self.member.shared.alive().is_err() {
                return (name, Seen::Gone);
            }
            if since.elapsed() >= self.settings.timing.barrier {
                return (name, Seen::Late);
            }
            // Looked at again now and then: a partition may go without its table saying anything.
            drop(tokio::time::timeout(Duration::from_millis(500), progress.changed()).await);
        }
    }

    /// Drops what is known of partitions that have gone.
    fn forget(&self, inputs: &[TopicPartition]) {
        let states: Vec<TopicPartition> = inputs.iter().flat_map(|input| self.states(input)).collect();
        {
            let mut tables = kept(&self.tables);
            let mut origins = kept(&self.origins);
            states.iter().for_each(|state| drop(tables.remove(state)));
            inputs.iter().for_each(|input| {
                origins.remove(input);
            });
        }
        self.reader.order(Order::Detach(states));
    }
}

/// A record of the session itself.
pub(super) fn own_fact(state: &TopicPartition, key: &[u8], value: &[u8]) -> Outgoing {
    let record = Record { key: key.to_vec(), headers: Headers::new(), value: Some(value.to_vec()) };
    Outgoing::to_partition(state.topic.clone(), state.partition, record)
}

/// How a table stands to a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// Read, and no owner record before it.
    Unowned,
    /// Read, behind an owner record.
    Owned,
    /// Not read, and nothing else either.
    Late,
    /// Its partition has moved, or the session has ended.
    Gone,
}
