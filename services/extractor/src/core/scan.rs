//! The key-paged scan: every bill from one statement, and no end but an empty page.
//!
//! Pages are cut by the bill's id, `ORDER BY id, line id`, never by row number: rows that enter or leave cannot shift
//! what is still to come. Of each page all bills but the last are complete; the last one may be cut. What is asked
//! next depends on how the page ended:
//!
//! - a **full** page (no shorter than pages known to be cut): from the last bill's id again, inclusively;
//! - a **shorter** page: only what lies beyond its last row. If that is empty, nothing follows; the last bill is read
//!   once more by itself, and if it still is what it was, it is complete and the scan is over. If something follows,
//!   the server clamps pages below our limit: that size counts as full from then on;
//! - a full page that is **one bill**: the rest of that bill until nothing is left, then its first page again; if it
//!   moved in between, the bill is read from its start.
//!
//! So a scan costs its pages and two calls, a scan that finds nothing costs one, and a scan of heads alone costs its
//! pages and one.

use serde_json::Value;

use super::columns::Row;
use super::key::Key;
use crate::error::Rejected;

/// How often a bill may change under the reading before the scan gives up for this time.
pub const MAX_MOVES: u32 = 8;

/// What to ask next. Ids are of the last row or bill known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// From the first bill.
    Start,
    /// This bill and those behind it.
    From(Key),
    /// The bills behind this one.
    After(Key),
    /// The lines of one bill behind a line.
    Rest {
        /// The bill.
        key: Key,
        /// Its last line known.
        entry: Key,
    },
    /// The lines of one bill behind a line, and all bills behind it.
    Beyond {
        /// The bill.
        key: Key,
        /// Its last line known; `None` for a bill without lines.
        entry: Option<Key>,
    },
    /// One bill from its first line.
    Only(Key),
    /// Rows from this number on, for a form without a key.
    Row(u64),
}

/// A complete bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Its inner id; for a form without one, its number.
    pub key: Key,
    /// Its watermark date, as the source wrote it.
    pub stamp: Option<String>,
    /// Its creation date, as the source wrote it.
    pub created: Option<String>,
    /// Its rows in the order of their line ids. Not all of them when `oversized` is set.
    pub rows: Vec<Vec<Value>>,
    /// Its size in bytes, when that is beyond what may be kept.
    pub oversized: Option<u64>,
}

/// A key-paged scan under way. Holds at most one bill.
#[derive(Debug, Clone)]
pub struct Scan {
    state: State,
    /// Pages of this many rows are taken to be cut: our own limit, or less once the server showed a lower one.
    full: usize,
    lines: bool,
    max_bill_bytes: u64,
    moves: u32,
    #[cfg(feature = "ablation")]
    off: Option<super::ablation::Rule>,
}

#[derive(Debug, Clone)]
enum State {
    Page(Position),
    Beyond { held: Held, page: usize },
    Rest { held: Held, last: Key },
    Check { held: Held, over: bool },
    Done,
}

/// The bill at the end of a page.
#[derive(Debug, Clone)]
struct Held {
    key: Key,
    /// All its rows, or its first page alone once it is too large.
    rows: Vec<Row>,
    /// How many of the rows came with its first page.
    first: usize,
    bytes: u64,
}

impl Scan {
    /// A scan from `position` with pages of `limit` rows. `lines`: whether the query reads lines, so that one bill may
    /// have several rows. Of a bill beyond `max_bill_bytes` only the size is kept.
    pub fn new(position: Position, limit: u32, lines: bool, max_bill_bytes: u64) -> Self {
        let full = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
        Self {
            state: State::Page(position),
            full,
            lines,
            max_bill_bytes,
            moves: 0,
            #[cfg(feature = "ablation")]
            off: None,
        }
    }

    /// The same scan with a rule switched off.
    #[cfg(feature = "ablation")]
    pub fn without(mut self, off: Option<super::ablation::Rule>) -> Self {
        self.off = off;
        self
    }

    /// What to ask next; `None` when the scan is over.
    pub fn next(&self) -> Option<Position> {
        match &self.state {
            State::Page(position) => Some(position.clone()),
            State::Beyond { held, .. } => Some(Position::Beyond {
                key: held.key.clone(),
                entry: held.rows.last().and_then(|row| row.entry.clone()),
            }),
            State::Rest { held, last } => Some(Position::Rest { key: held.key.clone(), entry: last.clone() }),
            State::Check { held, .. } => Some(Position::Only(held.key.clone())),
            State::Done => None,
        }
    }

    /// Takes the answer to [`Scan::next`] and gives the bills that it completes, in order of their ids.
    ///
    /// # Errors
    /// [`Rejected`] when the rows are not what was asked: ids going down or standing outside what was asked for, a
    /// line twice, several rows for a head; or when a bill keeps changing. The scan is then of no further use.
    pub fn accept(&mut self, rows: Vec<Row>) -> Result<Vec<Bill>, Rejected> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Page(position) => self.page(&position, rows),
            State::Beyond { held, page } => {
                let entry = held.rows.last().and_then(|row| row.entry.clone());
                check_order(&rows, self.lines)?;
                check_inside(&rows, &Position::Beyond { key: held.key.clone(), entry })?;
                self.state = if rows.is_empty() {
                    State::Check { held, over: true }
                } else {
                    self.full = self.full.min(page);
                    State::Page(Position::From(held.key))
                };
                Ok(Vec::new())
            }
            State::Rest { held, last } => self.rest(held, last, rows),
            State::Check { held, over } => self.check(held, over, rows),
            State::Done => Ok(Vec::new()),
        }
    }

    fn page(&mut self, position: &Position, rows: Vec<Row>) -> Result<Vec<Bill>, Rejected> {
        check_order(&rows, self.lines)?;
        check_inside(&rows, position)?;
        let page = rows.len();
        let mut bills = grouped(rows)?;
        let Some(last) = bills.pop() else {
            return Ok(Vec::new());
        };
        #[cfg(feature = "ablation")]
        if let Some(over) = self.off.and_then(|rule| rule.ends(page, self.full)) {
            self.state = if over { State::Done } else { State::Page(Position::After(last.key.clone())) };
            bills.push(last);
            return Ok(bills.into_iter().map(Held::into_bill).collect());
        }
        if !self.lines {
            // A head is one row: nothing of it can be missing.
            self.state = State::Page(Position::After(last.key.clone()));
            bills.push(last);
            return Ok(bills.into_iter().map(Held::into_bill).collect());
        }
        let alone = bills.is_empty();
        if !alone {
            self.moves = 0;
        }
        self.state = match last.rows.last().and_then(|row| row.entry.clone()) {
            _ if page < self.full => State::Beyond { held: last, page },
            Some(entry) if alone => {
                let bytes = last.rows.iter().map(size).sum();
                State::Rest { held: Held { bytes, ..last }, last: entry }
            }
            // A bill without lines is one row, and that row is here.
            None if alone => State::Check { held: last, over: false },
            _ => State::Page(Position::From(last.key)),
        };
        Ok(bills.into_iter().map(Held::into_bill).collect())
    }

    fn rest(&mut self, mut held: Held, last: Key, rows: Vec<Row>) -> Result<Vec<Bill>, Rejected> {
        check_order(&rows, self.lines)?;
        check_inside(&rows, &Position::Rest { key: held.key.clone(), entry: last.clone() })?;
        let head = held.rows.first().and_then(|row| row.stamp.clone());
        match rows.last().and_then(|row| row.entry.clone()) {
            None => self.state = State::Check { held, over: false },
            // Every line carries its head's date: another one says at once that the bill moved.
            Some(_) if rows.iter().any(|row| row.stamp != head) => return self.moved(held.key),
            Some(entry) => {
                held.bytes += rows.iter().map(size).sum::<u64>();
                if held.bytes > self.max_bill_bytes {
                    held.rows.truncate(held.first);
                } else {
                    held.rows.extend(rows);
                }
                self.state = State::Rest { held, last: entry };
            }
        }
        Ok(Vec::new())
    }

    /// The bill changed between two statements: it is read from its start.
    fn moved(&mut self, key: Key) -> Result<Vec<Bill>, Rejected> {
        self.moves += 1;
        if self.moves > MAX_MOVES {
            return Err(Rejected::KeepsMoving { key });
        }
        self.state = State::Page(Position::From(key));
        Ok(Vec::new())
    }

    /// The bill's first page once more: if every row is what it was, the date of its head among them, the bill did
    /// not change between the statements it was read by.
    fn check(&mut self, mut held: Held, over: bool, rows: Vec<Row>) -> Result<Vec<Bill>, Rejected> {
        check_order(&rows, self.lines)?;
        check_inside(&rows, &Position::Only(held.key.clone()))?;
        let oversized = held.bytes > self.max_bill_bytes;
        let same = rows.len() >= held.first
            && (oversized || rows.len() <= held.rows.len())
            && rows.iter().zip(&held.rows).all(|(now, before)| now == before);
        if !same {
            return self.moved(held.key);
        }
        self.moves = 0;
        self.state = if over { State::Done } else { State::Page(Position::After(held.key.clone())) };
        if oversized {
            held.rows.truncate(1);
        }
        let oversized = oversized.then_some(held.bytes);
        Ok(vec![Bill { oversized, ..held.into_bill() }])
    }
}

impl Held {
    fn into_bill(self) -> Bill {
        let head = self.rows.first();
        Bill {
            key: self.key,
            stamp: head.and_then(|row| row.stamp.clone()),
            created: head.and_then(|row| row.created.clone()),
            rows: self.rows.into_iter().map(|row| row.cells).collect(),
            oversized: None,
        }
    }
}

/// Rows of equal id, together. They are in order.
fn grouped(rows: Vec<Row>) -> Result<Vec<Held>, Rejected> {
    let mut bills: Vec<Held> = Vec::new();
    for (at, row) in rows.into_iter().enumerate() {
        let key = row.key.clone().ok_or(Rejected::WithoutKey { row: at })?;
        match bills.last_mut() {
            Some(bill) if bill.key == key => {
                bill.rows.push(row);
                bill.first += 1;
            }
            _ => bills.push(Held { key, rows: vec![row], first: 1, bytes: 0 }),
        }
    }
    Ok(bills)
}

/// Ids must not go down, no line may come twice, and a head has one row.
fn check_order(rows: &[Row], lines: bool) -> Result<(), Rejected> {
    let mut closed: Vec<&Key> = Vec::new();
    for (at, pair) in rows.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        let (Some(key), Some(next)) = (&before.key, &after.key) else { continue };
        let down = || Rejected::GoesDown { row: at + 1, before: key.to_string(), after: next.to_string() };
        if key == next {
            if !lines {
                return Err(Rejected::HeadTwice { row: at + 1, key: key.clone() });
            }
            match (&before.entry, &after.entry) {
                (Some(a), Some(b)) if a == b => {
                    return Err(Rejected::LineTwice { row: at + 1, key: key.clone(), entry: b.to_string() });
                }
                (Some(a), Some(b)) if !b.is_surely_below(a) && a.is_like(b) => {}
                (None, Some(_)) => {}
                _ => return Err(down()),
            }
        } else if !key.is_like(next) || next.is_surely_below(key) || closed.contains(&next) {
            return Err(down());
        } else if matches!(key, Key::Text(_)) {
            // Texts have no order we know, but a bill that was left must not come back.
            closed.push(key);
        }
    }
    Ok(())
}

/// A source that leaves our filter aside is not to be trusted with the end of its data.
fn check_inside(rows: &[Row], position: &Position) -> Result<(), Rejected> {
    for (at, row) in rows.iter().enumerate() {
        let Some(key) = &row.key else { continue };
        let inside = match position {
            Position::Start | Position::Row(_) => true,
            Position::From(from) => key.is_like(from) && !key.is_surely_below(from),
            Position::After(after) => key.is_like(after) && key != after && !key.is_surely_below(after),
            Position::Only(only) => key == only,
            Position::Rest { key: bill, entry } => key == bill && is_behind(row, Some(entry)),
            Position::Beyond { key: bill, entry } => {
                key.is_like(bill) && !key.is_surely_below(bill) && (key != bill || is_behind(row, entry.as_ref()))
            }
        };
        if !inside {
            return Err(Rejected::Outside { row: at, key: key.clone() });
        }
    }
    Ok(())
}

fn is_behind(row: &Row, entry: Option<&Key>) -> bool {
    match (&row.entry, entry) {
        (Some(found), Some(known)) => found.is_like(known) && found != known && !found.is_surely_below(known),
        (Some(_), None) => true,
        (None, _) => false,
    }
}

/// About how many bytes a row takes as JSON.
fn size(row: &Row) -> u64 {
    fn of(value: &Value) -> u64 {
        match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(number) => 1 + number.to_string().len() as u64,
            Value::String(text) => 3 + text.len() as u64,
            Value::Array(items) => 2 + items.iter().map(of).sum::<u64>(),
            Value::Object(members) => {
                2 + members.iter().map(|(name, member)| 4 + name.len() as u64 + of(member)).sum::<u64>()
            }
        }
    }
    row.cells.iter().map(of).sum()
}

#[cfg(test)]
mod tests;
