//! What can be asked of dead letters at once: a SQLite file that is a view of three kinds of topics.
//!
//! | topic | table |
//! |---|---|
//! | `starbridge.dead-letters` | `letters`, `bodies`: the last record of each id, until it expires |
//! | `starbridge.dead-letter-events` | `events`, and the event columns of `letters`; either may come first |
//! | `starbridge.<flow>.ledger` | `ends`: what the loader knows of each target key |
//!
//! The file holds nothing that Kafka does not: it is a pure function of the records that are readable there, so that
//! one filled anew has the same [`Index::digest`]. A record that cannot be read is kept in a list of its own and never
//! dropped. Rows and positions change in one transaction.
//!
//! Everything here blocks; asynchronous callers move it to a blocking thread. One connection writes while a few
//! others read what was committed.

mod apply;
mod choose;
mod digest;
mod earlier;
mod ends;
pub(crate) mod ledger;
mod one;
mod outcomes;
mod page;
mod plan;
mod row;
mod schema;
mod standing;
mod stats;
mod stretch;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use document::{DeadLetter, DeadLetterId, Fault, Headers, Record};
use rusqlite::{Connection, OptionalExtension as _};

pub use apply::Applied;
pub use choose::{Chosen, Reach};
pub use earlier::Earlier;
pub use ends::{Unfinished, Unreadable, UnreadableAt};
pub use ledger::{Dropped, End, Ended, Entry, InTarget, Reached};
pub use outcomes::Outcomes;
pub use page::{Count, List, Order, Page};
pub use row::LetterRow;
pub use standing::Standing;
pub use stats::{AgeBucket, Stats};
pub use walk::{MAX_BODY_BYTES, Scan, ScanLimits};

use crate::letter::LetterEvent;
use schema::failed;

/// Connections that read. More callers than these wait for one.
const READERS: usize = 4;

/// The next offset to read, by topic and partition.
pub type Positions = BTreeMap<(String, i32), i64>;

/// A letter with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What lists show of it.
    pub row: LetterRow,
    /// The letter as its last record has it, with the body.
    pub letter: DeadLetter,
    /// The last thing that happened to it; none when nothing did, or when that is unreadable.
    pub event: Option<LetterEvent>,
    /// The partition of the dead-letter topic its last record lies in.
    pub partition: i32,
    /// The offset of that record.
    pub offset: i64,
}

impl Letter {
    /// The payload that a replay would publish now, bytes as they are: that of the last edit, else the original.
    pub fn published(&self) -> &[u8] {
        let edit = self.event.as_ref().and_then(|event| event.edit.as_ref());
        edit.map_or(&self.letter.body, |edit| &edit.body)
    }
}

/// The index of dead letters. Shared by reference between threads.
#[derive(Debug)]
pub struct Index {
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    returned: Condvar,
    limits: ScanLimits,
}

impl Index {
    /// Opens the index at `path`, or makes an empty one. One that is damaged or was made by another build is thrown
    /// away: [`Index::positions`] is then empty, and everything is to be read again.
    ///
    /// # Errors
    /// `E_INDEX` when the file can neither be opened nor made.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let writer = schema::open_writer(path)?;
        let readers = (0..READERS).map(|_| schema::open_reader(path)).collect::<Result<_, _>>()?;
        Ok(Self {
            writer: Mutex::new(writer),
            readers: Mutex::new(readers),
            returned: Condvar::new(),
            limits: ScanLimits::default(),
        })
    }

    /// Bounds scans by `limits` instead of the defaults.
    #[must_use]
    pub fn with_limits(mut self, limits: ScanLimits) -> Self {
        self.limits = limits;
        self
    }

    /// From where to read each partition on. Partitions that were never read are not in it.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn positions(&self) -> Result<Positions, Fault> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached("SELECT topic, partition, next FROM positions")?;
            let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
            rows.collect::<rusqlite::Result<Positions>>()
        })
    }

    /// The letter of that id with its body and its last event.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn get(&self, id: &DeadLetterId) -> Result<Option<Letter>, Fault> {
        let sql = format!(
            "SELECT {}, letters.partition, letters.offset, headers, body, \
             (SELECT value FROM events WHERE events.id = letters.id) \
             FROM letters JOIN bodies USING (row) WHERE id = ?",
            row::COLUMNS
        );
        let damaged = |doing: &str, error: &dyn std::fmt::Display| {
            Fault::new(document::Code::Index, format!("{doing}: {error}")).of_record(id.0.clone())
        };
        let found = self.read(|connection| {
            let mut statement = connection.prepare_cached(&sql)?;
            statement
                .query_row([&id.0], |row| {
                    let at = row::COLUMN_COUNT;
                    let texts: (String, Vec<u8>, Option<Vec<u8>>) =
                        (row.get(at + 2)?, row.get(at + 3)?, row.get(at + 4)?);
                    Ok((LetterRow::read(row)?, row.get(at)?, row.get(at + 1)?, texts))
                })
                .optional()
        })?;
        let Some((row, partition, offset, (headers, body, event))) = found else { return Ok(None) };
        let headers: Vec<(String, String)> =
            serde_json::from_str(&headers).map_err(|error| damaged("headers do not read", &error))?;
        let record = Record { key: id.0.clone().into_bytes(), headers: Headers::from_iter(headers), value: Some(body) };
        let letter = DeadLetter::from_record(&record).map_err(|error| damaged("the letter does not read", &error))?;
        let event = event
            .map(|value| LetterEvent::read(&value))
            .transpose()
            .map_err(|error| damaged("the event does not read", &error))?;
        Ok(Some(Letter { row, letter, event, partition, offset }))
    }

    /// Runs a query on one of the reading connections, waiting for one if need be.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Fault> {
        self.reading(|connection| query(connection).map_err(failed("the index cannot be read")))
    }

    /// As [`Index::read`], for queries with faults of their own.
    fn reading<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, Fault> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = loop {
            match readers.pop() {
                Some(connection) => break connection,
                None => readers = self.returned.wait(readers).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(readers);
        let lent = Lent { index: self, connection: Some(connection) };
        query(lent.connection.as_ref().expect("it is taken out only when dropped"))
    }
}

/// A connection that goes back to the pool, also from a query that panics.
struct Lent<'a> {
    index: &'a Index,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.index.readers.lock().unwrap_or_else(PoisonError::into_inner).extend(self.connection.take());
        self.index.returned.notify_one();
    }
}

#[cfg(test)]
mod tests;
