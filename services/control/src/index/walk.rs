//! Row after row through the letters that a selector wants, within the limits of a scan.

use std::cell::{Cell, OnceCell};
use std::ops::ControlFlow;

use document::Fault;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value as Json;

use super::plan::Plan;
use super::row::{COLUMN_COUNT, COLUMNS, LetterRow};
use super::schema::failed;
use crate::selector::{Fact, Facts, Field, Paths, Unanswered, holds};

/// Bodies above this many bytes are not read by a scan; how many there were is told.
pub const MAX_BODY_BYTES: i64 = 2 << 20;

/// How far a selector may go through letters that the columns cannot rule out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanLimits {
    /// Letters.
    pub rows: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Default for ScanLimits {
    fn default() -> Self {
        Self { rows: 50_000, bytes: 32 << 20 }
    }
}

/// How far a selector went that columns alone cannot answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scan {
    /// Letters that were looked at.
    pub rows: u64,
    /// Bytes of the bodies that were read.
    pub bytes: u64,
    /// Letters that were left out because their body is above [`MAX_BODY_BYTES`].
    pub too_large: u64,
    /// Whether a limit ended the scan. What lies behind was not looked at.
    pub limit_reached: bool,
}

/// What to walk through.
pub(super) struct Walk<'a> {
    pub(super) plan: &'a Plan,
    pub(super) limits: ScanLimits,
    /// Unix milliseconds.
    pub(super) now: i64,
    /// After `FROM letters`: an index, by whose order the rows then come.
    pub(super) by: &'a str,
    /// After the plan's condition: further conditions, order and limit.
    pub(super) rest: &'a str,
    /// The values of its places.
    pub(super) rest_values: &'a [Value],
}

/// Goes through the letters that the condition leaves, and tells of each whether the selector wants it, until
/// `on_letter` has enough or a limit is reached.
///
/// # Errors
/// `E_INDEX`.
pub(super) fn walk(
    connection: &Connection,
    walk: &Walk<'_>,
    mut on_letter: impl FnMut(LetterRow, bool) -> ControlFlow<()>,
) -> Result<Scan, Fault> {
    let cannot = failed("the letters cannot be read");
    let sql =
        format!("SELECT {COLUMNS}, letters.row FROM letters {} WHERE {} {}", walk.by, walk.plan.condition, walk.rest);
    let mut statement = connection.prepare(&sql).map_err(&cannot)?;
    let values = params_from_iter(walk.plan.values.iter().chain(walk.rest_values));
    let mut rows = statement.query(values).map_err(&cannot)?;
    let paths = walk.plan.residual.as_ref().map(Paths::of);
    let mut scan = Scan::default();
    while let Some(row) = rows.next().map_err(&cannot)? {
        let letter = LetterRow::read(row).map_err(&cannot)?;
        let wanted = match walk.plan.residual.as_ref().zip(paths.as_ref()) {
            None => true,
            Some(_) if scan.rows >= walk.limits.rows || scan.bytes >= walk.limits.bytes => {
                scan.limit_reached = true;
                break;
            }
            Some((residual, paths)) => {
                let row = row.get(COLUMN_COUNT).map_err(&cannot)?;
                let candidate = Candidate::new(&letter, row, connection, paths);
                let answer = holds(residual, &candidate, walk.now);
                scan.rows += 1;
                scan.bytes += candidate.bytes.get();
                match answer {
                    Ok(wanted) => wanted,
                    Err(Unanswered::TooLarge) => {
                        scan.too_large += 1;
                        false
                    }
                    Err(Unanswered::Failed(fault)) => return Err(fault),
                }
            }
        };
        if on_letter(letter, wanted).is_break() {
            break;
        }
    }
    Ok(scan)
}

/// A letter whose body is fetched when it is asked for.
pub(super) struct Candidate<'a> {
    letter: &'a LetterRow,
    row: i64,
    connection: &'a Connection,
    /// What is asked of the body.
    paths: &'a Paths<'a>,
    /// None within when the body is no JSON.
    body: OnceCell<Option<Json>>,
    bytes: Cell<u64>,
}

impl Facts for Candidate<'_> {
    fn fact(&self, field: Field) -> Option<Fact<'_>> {
        self.letter.fact(field)
    }

    fn body(&self) -> Result<Option<&Json>, Unanswered> {
        if let Some(body) = self.body.get() {
            return Ok(body.as_ref());
        }
        let body = self.fetch()?;
        Ok(self.body.get_or_init(|| body).as_ref())
    }
}

impl<'a> Candidate<'a> {
    /// The letter of that row.
    pub(super) fn new(letter: &'a LetterRow, row: i64, connection: &'a Connection, paths: &'a Paths<'a>) -> Self {
        Self { letter, row, connection, paths, body: OnceCell::new(), bytes: Cell::new(0) }
    }

    fn fetch(&self) -> Result<Option<Json>, Unanswered> {
        let cannot = failed("a body cannot be read");
        let read = self
            .connection
            .prepare_cached("SELECT CASE WHEN length(body) <= ? THEN body END FROM bodies WHERE row = ?")
            .and_then(|mut statement| {
                statement.query_row((MAX_BODY_BYTES, self.row), |row| {
                    let bytes = row.get_ref(0)?.as_blob_or_null()?;
                    Ok(bytes.map(|bytes| (bytes.len() as u64, self.paths.part(bytes))))
                })
            })
            .map_err(|error| Unanswered::Failed(cannot(error)))?;
        let (bytes, body) = read.ok_or(Unanswered::TooLarge)?;
        self.bytes.set(bytes);
        Ok(body)
    }
}
