//! A partition of a compacted topic as a map.
//!
//! Entries and position come from committed reads only and lie in an embedded store beside the service; what this
//! worker has committed itself and not yet read back is laid over it, so that it is seen at once.

pub(crate) mod overlay;
pub(crate) mod reader;
pub(crate) mod store;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::Error;
use crate::offset::TopicPartition;
use overlay::{Fact, Overlay};
use store::Store;

/// Entries of a scan: key and value.
pub type Entries = Vec<(Vec<u8>, Vec<u8>)>;

/// The key of the record that every new owner of a state partition writes and waits for.
pub(crate) const BARRIER_KEY: &[u8] = b"@barrier";

/// The key of the record that says that what a state partition holds is all there ever was, or that what it lacks has been put
/// down there. It stands with the first facts and not with the barrier: a new owner that finds nothing may die before it has
/// said so, and the next one must find nothing, too.
pub(crate) const OWNER_KEY: &[u8] = b"@owner";

/// Whether a record of a state topic is the session's own. No flow, document, letter or intent can be called so.
pub fn is_own_key(key: &[u8]) -> bool {
    key == BARRIER_KEY || key == OWNER_KEY
}

/// How far a table is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Counts what was taken in since the table was attached.
    pub(crate) records: u64,
    /// The barrier seen last.
    pub(crate) barrier: Option<Vec<u8>>,
    /// Whether there was an owner record before that one.
    pub(crate) owned: bool,
}

/// What table, reader and session share of one state partition.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) partition: TopicPartition,
    store: Arc<Store>,
    overlay: Mutex<Overlay>,
    pub(crate) progress: watch::Sender<Progress>,
    owned: AtomicBool,
}

impl Inner {
    pub(crate) fn new(partition: TopicPartition, store: Arc<Store>) -> Self {
        Self {
            partition,
            store,
            overlay: Mutex::default(),
            progress: watch::Sender::default(),
            owned: AtomicBool::new(false),
        }
    }

    fn overlay(&self) -> MutexGuard<'_, Overlay> {
        self.overlay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lays a committed fact over the store.
    pub(crate) fn committed(&self, key: Vec<u8>, value: Option<Vec<u8>>, offset: i64) {
        if key == OWNER_KEY {
            self.own();
        } else if !is_own_key(&key) {
            self.overlay().put(key, Fact { value, offset });
        }
    }

    /// There is an owner record.
    pub(crate) fn own(&self) {
        self.owned.store(true, Ordering::Release);
    }

    /// Whether there is an owner record, as far as is known.
    pub(crate) fn is_owned(&self) -> bool {
        self.owned.load(Ordering::Acquire)
    }

    /// Own facts not yet read back.
    pub(crate) fn waiting(&self) -> usize {
        self.overlay().len()
    }

    /// Drops what the store holds by now.
    pub(crate) fn read_back(&self, offset: i64) {
        self.overlay().read_back(offset);
    }
}

/// A partition of a compacted topic as a map. Cheap to clone; reads the disk where memory does not have it.
///
/// It belongs to its session: once that has ended every call is an [`Error::Ended`].
#[derive(Clone, Debug)]
pub struct Table {
    inner: Arc<Inner>,
}

impl Table {
    pub(crate) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// The state partition this is.
    pub fn partition(&self) -> &TopicPartition {
        &self.inner.partition
    }

    /// The value of `key`; `None` when there is none or it was removed.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        if let Some(fact) = self.inner.overlay().get(key) {
            return Ok(fact.value.clone());
        }
        self.inner.store.get(&self.inner.partition, key)
    }

    /// Every entry whose key begins with `prefix`, in the order of keys, all in memory: for prefixes that have few.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn scan_prefix(&self, prefix: &[u8]) -> Result<Entries, Error> {
        self.scan_page(prefix, None, usize::MAX)
    }

    /// At most `limit` entries whose key begins with `prefix` and comes after `after`, in the order of keys. Fewer
    /// than `limit` means that there are no more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn scan_page(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Entries, Error> {
        // Copied before the store is read: a fact that is read back meanwhile is then seen twice, never not at all.
        let facts: Vec<(Vec<u8>, Option<Vec<u8>>)> = {
            let overlay = self.inner.overlay();
            overlay
                .of_prefix(prefix)
                .filter(|(key, _)| after.is_none_or(|after| key.as_slice() > after))
                .map(|(key, fact)| (key.clone(), fact.value.clone()))
                .collect()
        };
        // Removed keys may shadow entries of the store: so many more are taken.
        let stored = self.inner.store.page(&self.inner.partition, prefix, after, limit.saturating_add(facts.len()))?;
        let mut merged: std::collections::BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            stored.into_iter().map(|(key, value)| (key, Some(value))).collect();
        merged.extend(facts);
        Ok(merged.into_iter().filter_map(|(key, value)| Some((key, value?))).take(limit).collect())
    }
}
