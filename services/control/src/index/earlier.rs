//! How a letter failed before it failed last.

use document::{Code, DeadLetterId, Fault};
use rusqlite::{Transaction, params};

use super::Index;
use super::row::parsed;

/// Of a letter, at most so many earlier failures are told: the latest of them.
const TOLD: i64 = 50;

/// One failure of a letter that a later one has taken the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Which failure it was: 1 for the first.
    pub attempt: u32,
    /// When, unix milliseconds.
    pub failed_at: i64,
    /// Its code.
    pub code: Code,
    /// The flow version it was handled by.
    pub flow_version: String,
    /// The field at fault.
    pub field: Option<String>,
    /// What was said, as it was written.
    pub message: String,
    /// The replay that it came of.
    pub replay: Option<String>,
    /// The trace, 32 hex digits.
    pub trace: Option<String>,
}

impl Index {
    /// The failures of a letter before its last one, oldest first; the latest 50 of them. None for a letter that has failed
    /// once, and none whose record has expired.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn earlier(&self, id: &DeadLetterId) -> Result<Vec<Earlier>, Fault> {
        let latest_first = self.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT attempts, failed, code, flow_version, field, message, replay, trace FROM earlier \
                     WHERE id = ? ORDER BY offset DESC LIMIT ?",
                )?
                .query_map(params![id.0, TOLD], |row| {
                    Ok(Earlier {
                        attempt: row.get(0)?,
                        failed_at: row.get(1)?,
                        code: parsed(row, 2, |text| text.parse().ok())?,
                        flow_version: row.get(3)?,
                        field: row.get(4)?,
                        message: row.get(5)?,
                        replay: row.get(6)?,
                        trace: row.get(7)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<Earlier>>>()
        });
        Ok(latest_first?.into_iter().rev().collect())
    }
}

/// Keeps what the index has of a letter's last failure, before the next one takes its place.
pub(super) fn keep(transaction: &Transaction<'_>, id: &DeadLetterId) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT OR REPLACE INTO earlier (id, partition, offset, attempts, failed, code, flow_version, field, message, \
             replay, trace) SELECT id, partition, offset, attempts, last_failed, code, flow_version, field, \
             (SELECT value ->> 1 FROM json_each(headers) WHERE value ->> 0 = 'dl-message'), \
             failed_replay, trace FROM letters JOIN bodies USING (row) WHERE id = ?",
        )?
        .execute([&id.0])
        .map(drop)
}
