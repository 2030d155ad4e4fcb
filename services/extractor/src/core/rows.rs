//! Paging by row number, for a form without a key. The weaker way: rows that enter or leave while it goes on shift
//! what is still to come, so a bill may be missed until the lookback and one may be read torn.

use std::collections::HashSet;

use serde_json::Value;

use super::columns::Row;
use super::key::Key;
use super::scan::{Bill, Position};
use crate::error::Rejected;

/// Most rows one scan can watch over; 8 bytes are kept of each.
pub const MAX_ROWS: usize = 2_000_000;

/// A row-number scan under way. Holds at most one bill and a mark per row seen.
#[derive(Debug, Clone)]
pub struct RowScan {
    number: usize,
    start: u64,
    held: Option<Bill>,
    seen: HashSet<u64>,
    done: bool,
}

impl RowScan {
    /// A scan that takes rows of equal text in column `number` for one bill.
    pub fn new(number: usize) -> Self {
        Self { number, start: 0, held: None, seen: HashSet::new(), done: false }
    }

    /// What to ask next; `None` when the scan is over.
    pub fn next(&self) -> Option<Position> {
        (!self.done).then_some(Position::Row(self.start))
    }

    /// Takes the answer to [`RowScan::next`] and gives the bills that it completes.
    ///
    /// # Errors
    /// [`Rejected::Repeated`] when a row came before: the source leaves the paging parameters aside, or rows moved;
    /// [`Rejected::TooManyRows`].
    pub fn accept(&mut self, rows: Vec<Row>) -> Result<Vec<Bill>, Rejected> {
        if rows.is_empty() {
            self.done = true;
            return Ok(self.held.take().into_iter().collect());
        }
        let mut bills = Vec::new();
        for (at, row) in rows.into_iter().enumerate() {
            let number = text(row.cells.get(self.number));
            if !self.seen.insert(mark(&row.cells)) {
                return Err(Rejected::Repeated { row: at, id: number });
            }
            if self.seen.len() > MAX_ROWS {
                return Err(Rejected::TooManyRows(MAX_ROWS));
            }
            self.start += 1;
            match &mut self.held {
                Some(bill) if bill.key == Key::Text(number.clone()) => bill.rows.push(row.cells),
                held => bills.extend(held.replace(Bill {
                    key: Key::Text(number),
                    stamp: row.stamp,
                    created: row.created,
                    rows: vec![row.cells],
                    oversized: None,
                })),
            }
        }
        Ok(bills)
    }
}

fn text(cell: Option<&Value>) -> String {
    match cell {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// 64 bits of a hash over the whole row: a form without a key has nothing smaller that names a row.
fn mark(cells: &[Value]) -> u64 {
    let digest = document::Digest::of_value(&Value::Array(cells.to_vec()));
    let mut head = [0_u8; 8];
    head.copy_from_slice(&digest.0[..8]);
    u64::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;
    use serde_json::json;

    fn page(rows: &[(&str, i64)]) -> Vec<Row> {
        rows.iter()
            .map(|(number, line)| Row {
                key: None,
                entry: None,
                stamp: None,
                created: None,
                cells: vec![json!(number), json!(line)],
            })
            .collect()
    }

    fn numbers(bills: Vec<Bill>) -> Vec<(String, usize)> {
        bills.into_iter().map(|bill| (bill.key.to_string(), bill.rows.len())).collect()
    }

    #[test]
    fn a_bill_goes_on_over_a_page_and_the_end_is_an_empty_page() {
        let mut scan = RowScan::new(0);
        assert_eq!(scan.next(), Some(Position::Row(0)));
        let first = scan.accept(page(&[("A", 1), ("B", 1)])).expect("rows");
        assert_eq!(numbers(first), [("A".to_owned(), 1)]);
        assert_eq!(scan.next(), Some(Position::Row(2)));
        assert_eq!(numbers(scan.accept(page(&[("B", 2)])).expect("rows")), []);
        assert_eq!(numbers(scan.accept(page(&[])).expect("the end")), [("B".to_owned(), 2)]);
        assert_eq!(scan.next(), None);
    }

    #[test]
    fn the_same_rows_again_are_an_error() {
        let mut scan = RowScan::new(0);
        scan.accept(page(&[("A", 1), ("B", 1)])).expect("rows");
        let rejected = scan.accept(page(&[("A", 1), ("B", 1)])).expect_err("the source ignores StartRow");
        assert_eq!(rejected, Rejected::Repeated { row: 0, id: "A".to_owned() });
        let fault = rejected.fault("misc");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::SourceRepeatedPage, Some("$[0]")));
    }
    #[test]
    fn more_rows_than_can_be_watched_over_end_the_scan() {
        let mut scan = RowScan::new(0);
        // Marks of rows that came before.
        scan.seen = (1..MAX_ROWS as u64).collect();
        scan.accept(page(&[("A", 1)])).expect("the last one that is allowed");
        assert_eq!(scan.accept(page(&[("A", 2)])), Err(Rejected::TooManyRows(MAX_ROWS)));
    }
}
