//! Where the letters stand, for those who watch from outside: counts by few words, no selector.

use std::collections::BTreeMap;

use document::Fault;
use rusqlite::Connection;

use super::Index;
use crate::letter::State;

/// Letters of one flow, stage, category and state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The flow.
    pub flow: String,
    /// The step they failed in, under its word.
    pub stage: String,
    /// The category, under its word.
    pub category: String,
    /// Where they stand; `None` for those whose last event is unreadable.
    pub state: Option<State>,
    /// How many.
    pub letters: u64,
    /// When the oldest of them failed first, unix milliseconds.
    pub oldest: i64,
}

impl Index {
    /// Where all letters stand, in the order of their words.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn standing(&self) -> Result<Vec<Standing>, Fault> {
        self.read(counted)
    }
}

/// Columns with a word of the group.
const WORDS: usize = 4;
/// After each of them; no word has it.
const BETWEEN: char = ' ';

/// Counts as the rows go by: SQLite would sort all of them first to group them.
fn counted(connection: &Connection) -> rusqlite::Result<Vec<Standing>> {
    let mut statement = connection.prepare_cached("SELECT flow, stage, category, state, first_failed FROM letters")?;
    let mut rows = statement.query([])?;
    let mut groups: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    let mut words = String::new();
    while let Some(row) = rows.next()? {
        words.clear();
        for column in 0..WORDS {
            words.push_str(row.get_ref(column)?.as_str_or_null()?.unwrap_or_default());
            words.push(BETWEEN);
        }
        let first_failed: i64 = row.get(WORDS)?;
        match groups.get_mut(&words) {
            Some((letters, oldest)) => (*letters, *oldest) = (*letters + 1, first_failed.min(*oldest)),
            None => drop(groups.insert(words.clone(), (1, first_failed))),
        }
    }
    let standing = |(words, (letters, oldest)): (String, (u64, i64))| {
        let mut words = words.split(BETWEEN).map(str::to_owned);
        let mut word = || words.next().unwrap_or_default();
        let (flow, stage, category, state) = (word(), word(), word(), word());
        Standing { flow, stage, category, state: state.parse().ok(), letters, oldest }
    };
    Ok(groups.into_iter().map(standing).collect())
}
