//! The embedded store of a worker: one file, one table per state partition, positions in the same transactions.
//!
//! It is a cache. A file that cannot be read is thrown away; a partition whose entries may be stale is read again.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::Entries;
use crate::error::Error;
use crate::offset::TopicPartition;

/// Memory of a worker's store, whatever its size on disk.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// How long a new session waits for the file of the one before it.
const HANDOVER: Duration = Duration::from_secs(20);

const MARKS: TableDefinition<'static, &'static str, &'static str> = TableDefinition::new("marks");

/// How far a partition was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The last record taken in: its offset.
    pub(crate) offset: i64,
    /// Its time stamp: together with the offset it tells a topic from one made anew under the same name.
    pub(crate) timestamp: i64,
    /// Whether an owner record was among what was taken in.
    pub(crate) owned: bool,
    /// Wall clock when the partition was last followed, unix seconds.
    pub(crate) followed: i64,
}

/// One change of a partition, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: Vec<u8>,
    /// `None` removes.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: i64,
}

/// What is to be written of one partition.
#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) partition: TopicPartition,
    pub(crate) changes: Vec<Change>,
    pub(crate) mark: Mark,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store {
    /// Taken out when the session ends, whoever still holds a table of it: the next session needs the file.
    database: RwLock<Option<Database>>,
    path: PathBuf,
    member: String,
}

/// The database, as long as it is open.
struct Open<'a>(RwLockReadGuard<'a, Option<Database>>);

impl Deref for Open<'_> {
    type Target = Database;
    fn deref(&self) -> &Database {
        self.0.as_ref().expect("looked at when it was made, and read-locked since")
    }
}

fn rows(partition: &TopicPartition) -> String {
    format!("rows {partition}")
}

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

impl Store {
    /// Opens the file of `member` in `folder`, or makes it. Blocks.
    ///
    /// # Errors
    /// [`Error::Store`] when the folder cannot be written, or another process holds the file.
    pub(crate) fn open(folder: &Path, member: &str) -> Result<Self, Error> {
        let path = folder.join(format!("{member}.redb"));
        std::fs::create_dir_all(folder).map_err(|error| Error::store(&path, redb::StorageError::Io(error)))?;
        let started = std::time::Instant::now();
        let mut thrown_away = false;
        loop {
            let opened = Database::builder().set_cache_size(CACHE_BYTES).create(&path);
            match opened {
                Ok(database) => {
                    let store = Self { database: RwLock::new(Some(database)), path, member: member.to_owned() };
                    killpoint::reached("store.opened");
                    store.prepare()?;
                    return Ok(store);
                }
                Err(redb::DatabaseError::DatabaseAlreadyOpen) if started.elapsed() < HANDOVER => {
                    std::thread::park_timeout(Duration::from_millis(50));
                }
                Err(error @ redb::DatabaseError::DatabaseAlreadyOpen) => return Err(Error::store(&path, error)),
                Err(error) if !thrown_away => {
                    warn!(path = %path.display(), %error, "state store cannot be read and is made anew");
                    thrown_away = true;
                    std::fs::remove_file(&path).map_err(|error| Error::store(&path, redb::StorageError::Io(error)))?;
                }
                Err(error) => return Err(Error::store(&path, error)),
            }
        }
    }

    fn prepare(&self) -> Result<(), Error> {
        let database = self.database()?;
        let write = database.begin_write().map_err(|e| self.error(e))?;
        write.open_table(MARKS).map(drop).map_err(|e| self.error(e))?;
        write.commit().map_err(|e| self.error(e))
    }

    fn database(&self) -> Result<Open<'_>, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            return Ok(Open(database));
        }
        Err(Error::Ended { member: self.member.clone(), reason: "its store is closed".to_owned() })
    }

    /// Closes the file. Tables of it answer with an error from here on.
    pub(crate) fn close(&self) {
        drop(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
    }

    fn error(&self, source: impl Into<redb::Error>) -> Error {
        Error::store(&self.path, source)
    }

    /// Unlinks the file, so that the next session begins with an empty one.
    pub(crate) fn discard(&self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            warn!(path = %self.path.display(), %error, "damaged state store cannot be removed");
        }
    }

    /// How far `partition` was read; `None` when nothing is known of it.
    pub(crate) fn mark(&self, partition: &TopicPartition) -> Result<Option<Mark>, Error> {
        let database = self.database()?;
        let read = database.begin_read().map_err(|e| self.error(e))?;
        let marks = read.open_table(MARKS).map_err(|e| self.error(e))?;
        let text = marks.get(partition.to_string().as_str()).map_err(|e| self.error(e))?;
        // A mark of an older shape counts as none: the partition is read again.
        Ok(text.and_then(|text| serde_json::from_str(text.value()).ok()))
    }

    /// Writes entries and positions together. Durable ones survive a crash with all that was written before them.
    pub(crate) fn apply(&self, updates: &[Update], durable: bool) -> Result<(), Error> {
        let database = self.database()?;
        let mut write = database.begin_write().map_err(|e| self.error(e))?;
        if !durable {
            write.set_durability(Durability::None).map_err(|e| self.error(e))?;
        }
        {
            let mut marks = write.open_table(MARKS).map_err(|e| self.error(e))?;
            for update in updates {
                let name = rows(&update.partition);
                let mut table = write.open_table(definition(&name)).map_err(|e| self.error(e))?;
                for change in &update.changes {
                    match &change.value {
                        Some(value) => {
                            let row = [change.timestamp.to_be_bytes().as_slice(), value].concat();
                            table.insert(change.key.as_slice(), row.as_slice()).map(drop)
                        }
                        None => table.remove(change.key.as_slice()).map(drop),
                    }
                    .map_err(|e| self.error(e))?;
                }
                let mark = serde_json::to_string(&update.mark).expect("a mark is plain numbers");
                marks
                    .insert(update.partition.to_string().as_str(), mark.as_str())
                    .map(drop)
                    .map_err(|e| self.error(e))?;
            }
        }
        killpoint::reached("store.committing");
        write.commit().map_err(|e| self.error(e))
    }

    /// Forgets a partition.
    pub(crate) fn forget(&self, partition: &TopicPartition) -> Result<(), Error> {
        let database = self.database()?;
        let write = database.begin_write().map_err(|e| self.error(e))?;
        write.delete_table(definition(&rows(partition))).map(drop).map_err(|e| self.error(e))?;
        {
            let mut marks = write.open_table(MARKS).map_err(|e| self.error(e))?;
            marks.remove(partition.to_string().as_str()).map(drop).map_err(|e| self.error(e))?;
        }
        write.commit().map_err(|e| self.error(e))
    }

    /// The value of `key`.
    pub(crate) fn get(&self, partition: &TopicPartition, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let database = self.database()?;
        let read = database.begin_read().map_err(|e| self.error(e))?;
        let name = rows(partition);
        let table = match read.open_table(definition(&name)) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(self.error(error)),
        };
        let row = table.get(key).map_err(|e| self.error(e))?;
        Ok(row.map(|row| row.value().get(8..).unwrap_or_default().to_vec()))
    }

    /// At most `limit` entries whose key begins with `prefix` and comes after `after`, in the order of keys.
    pub(crate) fn page(
        &self,
        partition: &TopicPartition,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Entries, Error> {
        use std::ops::Bound;
        let database = self.database()?;
        let read = database.begin_read().map_err(|e| self.error(e))?;
        let name = rows(partition);
        let table = match read.open_table(definition(&name)) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(self.error(error)),
        };
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let range = table.range::<&[u8]>((from, Bound::Unbounded)).map_err(|e| self.error(e))?;
        let mut entries = Vec::new();
        for row in range {
            let (key, row) = row.map_err(|e| self.error(e))?;
            if !key.value().starts_with(prefix) || entries.len() >= limit {
                break;
            }
            entries.push((key.value().to_vec(), row.value().get(8..).unwrap_or_default().to_vec()));
        }
        Ok(entries)
    }

    /// Removes entries written before `before` (unix milliseconds); gives how many.
    pub(crate) fn expire(&self, partition: &TopicPartition, before: i64) -> Result<u64, Error> {
        let database = self.database()?;
        let write = database.begin_write().map_err(|e| self.error(e))?;
        let mut removed = 0;
        {
            let name = rows(partition);
            let mut table = write.open_table(definition(&name)).map_err(|e| self.error(e))?;
            table
                .retain(|_, row| {
                    let stamp = row.first_chunk::<8>().map_or(i64::MAX, |bytes| i64::from_be_bytes(*bytes));
                    removed += u64::from(stamp < before);
                    stamp >= before
                })
                .map_err(|e| self.error(e))?;
        }
        write.commit().map_err(|e| self.error(e))?;
        Ok(removed)
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
