//! The tables, and how a connection to them is set up.
//!
//! The file is a cache of Kafka: one that is damaged or of another build is thrown away and filled again.

use std::path::Path;

use document::{Code, Fault};
use rusqlite::{Connection, ErrorCode, OpenFlags};

/// Raised with every change of the tables.
const SCHEMA_VERSION: i64 = 6;
/// Page cache of the one writing connection, KiB.
const WRITER_CACHE: i64 = 16 * 1024;
/// Page cache of each reading connection, KiB.
const READER_CACHE: i64 = 8 * 1024;
/// Of a new file, bytes. A scan of the letters takes half the reads that it takes with SQLite's own 4 KiB.
const PAGE_SIZE: i64 = 8 * 1024;

/// `version` columns hold u64 moved down by 2^63, which keeps the order. A letter's state is null while its last event
/// is unreadable. Messages are masked; as they were written they stand in the headers. Bodies have a table of their own, so that a scan of the letters does not pass them. The
/// indexes by time have what is asked most along with them: a list is filtered on the index, in order, and only the rows
/// that fit are fetched.
const TABLES: &str = "
CREATE TABLE positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE letters (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL, flow TEXT NOT NULL, flow_version TEXT NOT NULL,
    stage TEXT NOT NULL, category TEXT NOT NULL, code TEXT NOT NULL, state TEXT,
    document TEXT NOT NULL, version INTEGER NOT NULL, target_key TEXT,
    order_key TEXT NOT NULL AS (coalesce(target_key, document)) VIRTUAL,
    field TEXT, attempts INTEGER NOT NULL,
    first_failed INTEGER NOT NULL, last_failed INTEGER NOT NULL, retry_at INTEGER,
    failed_replay TEXT, event_replay TEXT, replay TEXT AS (coalesce(event_replay, failed_replay)) VIRTUAL,
    reason TEXT, revision INTEGER NOT NULL, edited INTEGER NOT NULL AS (revision > 0) VIRTUAL,
    claimed_by TEXT, event_by TEXT, trace TEXT,
    origin_topic TEXT, origin_partition INTEGER, origin_offset INTEGER,
    message TEXT NOT NULL,
    partition INTEGER NOT NULL, offset INTEGER NOT NULL
) STRICT;
CREATE INDEX letters_by_first_failed ON letters (first_failed, id, flow, category, code, state, stage, attempts);
CREATE INDEX letters_by_last_failed ON letters (last_failed, id, flow, category, code, state, stage, attempts);
CREATE INDEX letters_by_replay ON letters (replay);
CREATE INDEX letters_by_document ON letters (document, id);
CREATE INDEX letters_by_order_key ON letters (flow, order_key, version, id);
CREATE INDEX letters_by_retry ON letters (flow, retry_at) WHERE state = 'open' AND retry_at IS NOT NULL;
CREATE INDEX letters_by_position ON letters (partition, offset);

CREATE TABLE bodies (row INTEGER PRIMARY KEY, headers TEXT NOT NULL, body BLOB NOT NULL) STRICT;

CREATE TABLE earlier (
    id TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    attempts INTEGER NOT NULL, failed INTEGER NOT NULL, code TEXT NOT NULL, flow_version TEXT NOT NULL,
    field TEXT, message TEXT NOT NULL, replay TEXT, trace TEXT,
    PRIMARY KEY (id, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    id TEXT PRIMARY KEY, value BLOB,
    partition INTEGER NOT NULL, offset INTEGER NOT NULL
) STRICT;

CREATE TABLE ends (
    flow TEXT NOT NULL, target_key TEXT NOT NULL, document TEXT NOT NULL, value BLOB NOT NULL,
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (target_key, flow)
) STRICT;
CREATE INDEX ends_by_document ON ends (document, flow);
CREATE INDEX ends_by_position ON ends (flow, partition, offset);

CREATE TABLE intents (
    flow TEXT NOT NULL, key TEXT NOT NULL,
    partition INTEGER NOT NULL, offset INTEGER NOT NULL,
    PRIMARY KEY (flow, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE unreadable (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, offset INTEGER NOT NULL, key BLOB NOT NULL, fault TEXT NOT NULL,
    PRIMARY KEY (topic, partition, offset)
) STRICT, WITHOUT ROWID;
";

/// The fault of an operation of the store that failed.
pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> Fault {
    move |error| Fault::new(Code::Index, format!("{doing}: {error}"))
}

/// The one connection that writes, to a file that has the tables of this build.
///
/// # Errors
/// `E_INDEX` when the file can neither be opened nor made.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Fault> {
    let at = |fault: Fault| fault.in_file(path.display().to_string());
    match try_writer(path) {
        Ok(Some(connection)) => return Ok(connection),
        Ok(None) => {}
        Err(error) if is_damage(&error) => {}
        Err(error) => return Err(at(failed("the index cannot be opened")(error))),
    }
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(at(Fault::new(Code::Index, format!("the old index cannot be removed: {error}"))));
            }
            _ => {}
        }
    }
    match try_writer(path) {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => Err(at(Fault::new(Code::Index, "a new index is not of this build's schema"))),
        Err(error) => Err(at(failed("the index cannot be made")(error))),
    }
}

/// None when the file has the tables of another build.
fn try_writer(path: &Path) -> rusqlite::Result<Option<Connection>> {
    let mut connection = Connection::open(path)?;
    set_up(&connection, WRITER_CACHE)?;
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // After a power cut the last transactions may be gone, rows and positions together: they are read again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    match (version, tables) {
        (SCHEMA_VERSION, _) => {}
        (0, 0) => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        _ => return Ok(None),
    }
    transaction.commit()?;
    Ok(Some(connection))
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// A connection that only reads.
///
/// # Errors
/// `E_INDEX`.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        set_up(&connection, READER_CACHE)?;
        Ok(connection)
    };
    open().map_err(|error| failed("the index cannot be opened")(error).in_file(path.display().to_string()))
}

fn set_up(connection: &Connection, cache: i64) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(32);
    connection.pragma_update(None, "cache_size", -cache)?;
    // No query sorts more than a page of rows, and a read-only file system has no place for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", "OFF")
}
