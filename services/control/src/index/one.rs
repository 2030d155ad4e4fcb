//! One letter, judged by a selector as it was after a certain event.

use document::{DeadLetterId, Fault};
use rusqlite::OptionalExtension as _;

use super::Index;
use super::row::{COLUMN_COUNT, COLUMNS, LetterRow};
use super::schema::failed;
use super::walk::Candidate;
use crate::letter::LetterEvent;
use crate::selector::{Paths, Selector, Unanswered, holds};

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
        let judged = self.judged(id, event, &[selector], now)?;
        Ok(judged.and_then(|(letter, wanted)| wanted.contains(&true).then_some(letter)))
    }

    /// The letter of that id and, one by one, which of `selectors` want it, as [`Index::wanted`] says it of one: many may
    /// judge a letter that is read once.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn judged(
        &self,
        id: &DeadLetterId,
        event: Option<&LetterEvent>,
        selectors: &[&Selector],
        now: i64,
    ) -> Result<Option<(LetterRow, Vec<bool>)>, Fault> {
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
                letter.revision = event.edit.as_ref().map_or(0, |edit| edit.rev);
                letter.state_by = Some(event.by.clone());
                letter.claimed_by.clone_from(&event.claimed_by);
            }
            let judge = |selector: &&Selector| {
                let paths = Paths::of(selector.expression());
                let candidate = Candidate::new(&letter, row, connection, &paths);
                match holds(selector.expression(), &candidate, now) {
                    Ok(wanted) => Ok(wanted),
                    Err(Unanswered::TooLarge) => Ok(false),
                    Err(Unanswered::Failed(fault)) => Err(fault),
                }
            };
            let wanted = selectors.iter().map(judge).collect::<Result<Vec<bool>, Fault>>()?;
            Ok(Some((letter, wanted)))
        })
    }
}
