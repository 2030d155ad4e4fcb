//! One letter, judged by a selector as it was after a certain event.

use std::cell::{Cell, OnceCell};

use document::{DeadLetterId, Fault};
use rusqlite::OptionalExtension as _;

use super::Index;
use super::row::{COLUMN_COUNT, COLUMNS, LetterRow};
use super::schema::failed;
use super::walk::Candidate;
use crate::letter::LetterEvent;
use crate::selector::{Selector, Unanswered, holds};

impl Index {
    /// The letter of that id, if `selector` wants it at `now` (unix milliseconds); with `event` as it was right after
    /// that, else as it is. None also when there is no such letter, or when only a body could tell that is too large to be
    /// read.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn wanted(
        &self,
        id: &DeadLetterId,
        event: Option<&LetterEvent>,
        selector: &Selector,
        now: i64,
    ) -> Result<Option<LetterRow>, Fault> {
        self.reading(|connection| {
            let cannot = failed("a letter cannot be read");
            let sql = format!("SELECT {COLUMNS}, letters.row FROM letters WHERE id = ?");
            let found = connection.prepare_cached(&sql).and_then(|mut statement| {
                let read = |row: &rusqlite::Row<'_>| Ok((LetterRow::read(row)?, row.get::<_, i64>(COLUMN_COUNT)?));
                statement.query_row([&id.0], read).optional()
            });
            let Some((mut letter, row)) = found.map_err(&cannot)? else { return Ok(None) };
            if let Some(event) = event {
                letter.state = Some(event.state);
                letter.replay = event.replay.clone().or(letter.replay);
                letter.reason.clone_from(&event.reason);
                letter.edited = event.edit.is_some();
                letter.claimed_by.clone_from(&event.claimed_by);
            }
            let candidate = Candidate { letter: &letter, row, connection, body: OnceCell::new(), bytes: Cell::new(0) };
            match holds(selector.expression(), &candidate, now) {
                Ok(true) => Ok(Some(letter)),
                Ok(false) | Err(Unanswered::TooLarge) => Ok(None),
                Err(Unanswered::Failed(fault)) => Err(fault),
            }
        })
    }
}
