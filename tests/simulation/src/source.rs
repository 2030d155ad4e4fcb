//! The source: bills with lines, a clock, and queries answered as a K3Cloud answers them.

use std::collections::BTreeMap;

use ::flow::{Shaped, SourceRecord};
use chrono_tz::{Asia::Shanghai, Tz};
use extractor::core::columns::{Columns, Roles};
use extractor::core::key::Key;
use extractor::core::run::{Ask, Scope};
use extractor::core::scan::Position;
use extractor::core::window;
use serde_json::{Map, Value, json};

/// The zone of the source's dates.
pub(crate) const ZONE: Tz = Shanghai;

/// A bill as the source holds it.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    pub(crate) number: String,
    /// The watermark date, unix seconds.
    pub(crate) approved: i64,
    /// The same, as the source writes it.
    stamp: String,
    /// From then on queries show it, unix seconds.
    pub(crate) visible: i64,
    /// When it was touched last, unix seconds.
    pub(crate) touched: i64,
    /// Whether its date of creation is told.
    pub(crate) dated: bool,
    /// Line id and quantity.
    pub(crate) lines: Vec<(i64, i64)>,
}

impl Bill {
    pub(crate) fn content(&self) -> Vec<i64> {
        self.lines.iter().map(|line| line.1).collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) bills: BTreeMap<i64, Bill>,
    /// Every content that a bill ever had, by number, oldest first.
    pub(crate) history: BTreeMap<String, Vec<Vec<i64>>>,
    /// The server gives no more rows than this.
    pub(crate) clamp: Option<usize>,
    lines: i64,
}

/// The columns of the whole query.
pub(crate) fn columns() -> Columns {
    let declared =
        [("line", "FEntity_FEntryID"), ("no", "FBillNo"), ("qty", "FQty")].map(|(m, k)| (m.to_owned(), k.to_owned()));
    let roles = Roles {
        key: Some("FID"),
        entry: Some("FEntity_FEntryID"),
        stamp: Some("FApproveDate"),
        created: Some("FCreateDate"),
    };
    Columns::new(&declared, roles)
}

/// One record per row: its id is the line, its number the bill's.
pub(crate) fn shape(rows: Vec<Map<String, Value>>) -> Shaped {
    let record = |row: Map<String, Value>| SourceRecord {
        id: row.get("line").map(Value::to_string).unwrap_or_default(),
        number: row.get("no").and_then(Value::as_str).unwrap_or_default().to_owned(),
        content: row,
    };
    Shaped { records: rows.into_iter().map(record).collect(), ..Shaped::default() }
}

fn number(key: &Key) -> i64 {
    match key {
        Key::Integer(number) => *number,
        Key::Text(_) => i64::MAX,
    }
}

impl Source {
    /// A bill comes, or is un-audited, changed and audited again: `approved` is its date, `visible` when it shows.
    pub(crate) fn put(&mut self, id: i64, content: &[i64], approved: i64, visible: i64, dated: bool) {
        let lines = content
            .iter()
            .map(|quantity| {
                self.lines += 1;
                (self.lines, *quantity)
            })
            .collect();
        let stamp = window::local(approved, ZONE);
        let bill = Bill { number: format!("B{id}"), approved, stamp, visible, touched: visible, dated, lines };
        self.history.entry(bill.number.clone()).or_default().push(bill.content());
        self.bills.insert(id, bill);
    }

    fn rows(&self, ask: &Ask, now: i64) -> Vec<(i64, i64, Vec<Value>)> {
        let lower = window::lower_bound(ask.since, ZONE);
        let mut rows = Vec::new();
        for (id, bill) in self.bills.iter().filter(|(_, bill)| bill.visible <= now) {
            let stamp = &bill.stamp;
            let inside = match &ask.scope {
                Scope::Window => *stamp >= lower,
                Scope::Before(until) => *stamp >= lower && *stamp < window::upper_bound(*until, ZONE),
                Scope::Ids(ids) => ids.contains(&Key::Integer(*id)),
            };
            if !inside {
                continue;
            }
            let stamp = json!(stamp.replace(' ', "T"));
            if ask.heads {
                rows.push((*id, 0, vec![json!(id), stamp]));
                continue;
            }
            // A bill without a date of creation may be older than what the ledger remembers.
            let created = if bill.dated { stamp.clone() } else { Value::Null };
            for (line, quantity) in &bill.lines {
                let cells =
                    [json!(line), json!(bill.number), json!(quantity), json!(id), stamp.clone(), created.clone()];
                rows.push((*id, *line, cells.to_vec()));
            }
        }
        rows
    }

    /// Answers a query as the tables stand at `now`, unix seconds.
    pub(crate) fn answer(&self, ask: &Ask, now: i64) -> Vec<Vec<Value>> {
        let mut count = 0;
        let mut wanted = |id: i64, line: i64| match &ask.position {
            Position::Start => true,
            Position::From(key) => id >= number(key),
            Position::After(key) => id > number(key),
            Position::Only(key) => id == number(key),
            Position::Rest { key, entry } => id == number(key) && line > number(entry),
            Position::Beyond { key, entry } => {
                id > number(key) || (id == number(key) && entry.as_ref().is_some_and(|entry| line > number(entry)))
            }
            Position::Row(start) => {
                count += 1;
                count > *start
            }
        };
        let most = usize::try_from(ask.limit).unwrap_or(usize::MAX).min(self.clamp.unwrap_or(usize::MAX));
        let rows = self.rows(ask, now).into_iter();
        rows.filter(|(id, line, _)| wanted(*id, *line)).take(most).map(|(_, _, cells)| cells).collect()
    }
}
