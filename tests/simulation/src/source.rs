//! The source: bills with lines, a clock, and queries answered as a K3Cloud answers them.

use std::collections::{BTreeMap, BTreeSet};

use ::flow::{Shaped, SourceRecord};
use chrono_tz::{Asia::Shanghai, Tz};
use document::{Code, Fault};
use extractor::core::columns::{Columns, Roles};
use extractor::core::key::Key;
use extractor::core::run::{Ask, Scope};
use extractor::core::scan::Position;
use extractor::core::window;
use serde_json::{Map, Value, json};

use crate::variety::{Form, Oddity};

/// The zone of the source's dates.
pub(crate) const ZONE: Tz = Shanghai;

/// A bill as the source holds it.
#[derive(Debug, Clone)]
pub(crate) struct Bill {
    pub(crate) id: i64,
    pub(crate) number: String,
    /// The watermark date, unix seconds.
    pub(crate) approved: i64,
    /// The same, as the source writes it.
    stamp: String,
    /// From then on queries show it, unix seconds.
    pub(crate) visible: i64,
    /// When it was touched last, unix seconds.
    pub(crate) touched: i64,
    /// Its date of creation, unix seconds: never in the future, and the same however often it is approved.
    created: i64,
    /// Whether that is told.
    pub(crate) dated: bool,
    /// Line id and quantity.
    pub(crate) lines: Vec<(i64, i64)>,
}

impl Bill {
    pub(crate) fn content(&self) -> Vec<i64> {
        self.lines.iter().map(|line| line.1).collect()
    }

    /// Whether the road makes nothing of it as it is.
    pub(crate) fn is_silent(&self) -> bool {
        Oddity::of(&self.content()).is_some_and(Oddity::is_silent)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) bills: BTreeMap<i64, Bill>,
    /// Every content that a bill ever had, by number, oldest first.
    pub(crate) history: BTreeMap<String, Vec<Vec<i64>>>,
    /// Bills that were gone at some time.
    pub(crate) left: BTreeSet<i64>,
    /// The server gives no more rows than this.
    pub(crate) clamp: Option<usize>,
    form: Option<Form>,
    /// Reports as nodes began to read them.
    reports: BTreeMap<usize, Vec<Line>>,
    born: BTreeMap<i64, i64>,
    lines: i64,
}

/// A row that a query may show: the bill, the line, and all there is of it.
#[derive(Debug, Clone)]
struct Line {
    bill: i64,
    line: i64,
    cells: BTreeMap<&'static str, Value>,
}

/// The columns of the whole query.
pub(crate) fn columns(form: Form) -> Columns {
    let declared = [("line", "FEntity_FEntryID"), ("no", "FBillNo"), ("qty", "FQty")];
    let declared = match form {
        Form::Heads => &declared[1..],
        Form::Bills | Form::Texts | Form::Report => &declared[..],
    };
    let declared: Vec<(String, String)> = declared.iter().map(|(m, k)| ((*m).to_owned(), (*k).to_owned())).collect();
    let roles = Roles {
        key: (form != Form::Report).then_some("FID"),
        entry: (form != Form::Heads).then_some("FEntity_FEntryID"),
        stamp: Some("FApproveDate"),
        created: Some("FCreateDate"),
    };
    Columns::new(&declared, roles)
}

/// The columns of the query for heads.
pub(crate) fn heads() -> Columns {
    Columns::header("FID", Some("FApproveDate"))
}

/// One record per row: its id is the line, or the number where there are no lines; its number is the bill's.
pub(crate) fn shape(rows: Vec<Map<String, Value>>) -> Shaped {
    let quantities: Vec<i64> = rows.iter().filter_map(|row| row.get("qty").and_then(Value::as_i64)).collect();
    let mut rows = rows;
    let mut shaped = Shaped::default();
    match Oddity::of(&quantities) {
        Some(Oddity::Filtered) => return shaped,
        Some(Oddity::Unshaped) => {
            let fault = Fault::new(Code::Type, "the quantity is no quantity").at_path("$.qty");
            rows.pop();
            shaped.rejected.push((rows.len(), fault));
        }
        _ => {}
    }
    let record = |row: Map<String, Value>| {
        let number = row.get("no").and_then(Value::as_str).unwrap_or_default().to_owned();
        let id = row.get("line").map_or_else(|| number.clone(), Value::to_string);
        SourceRecord { id, number, content: row }
    };
    shaped.records = rows.into_iter().map(record).collect();
    shaped
}

fn number(key: &Key) -> i64 {
    match key {
        Key::Integer(number) => *number,
        Key::Text(text) => text.trim_start_matches(char::is_alphabetic).parse().unwrap_or(i64::MAX),
    }
}

impl Source {
    /// One without bills yet.
    pub(crate) fn new(form: Form) -> Self {
        Self { form: Some(form), ..Self::default() }
    }

    /// A bill comes, or is un-audited, changed and audited again: `approved` is its date, `visible` when it shows.
    pub(crate) fn put(&mut self, id: i64, content: &[i64], approved: i64, visible: i64, dated: bool) {
        let beyond = if self.form == Some(Form::Heads) { content.len().saturating_sub(1) } else { 0 };
        let lines = content[beyond..]
            .iter()
            .map(|quantity| {
                self.lines += 1;
                (self.lines, *quantity)
            })
            .collect();
        let stamp = window::local(approved, ZONE);
        let created = *self.born.entry(id).or_insert(approved.min(visible));
        let bill =
            Bill { id, created, number: format!("B{id}"), approved, stamp, visible, touched: visible, dated, lines };
        self.history.entry(bill.number.clone()).or_default().push(bill.content());
        self.bills.insert(id, bill);
    }

    /// An id as the source writes it.
    pub(crate) fn id(&self, number: i64) -> Value {
        match self.form {
            Some(Form::Texts) => json!(format!("K{number:05}")),
            _ => json!(number),
        }
    }

    fn rows(&self, ask: &Ask, now: i64) -> Vec<Line> {
        let lower = window::lower_bound(ask.since, ZONE);
        let mut rows = Vec::new();
        for (id, bill) in self.bills.iter().filter(|(_, bill)| bill.visible <= now) {
            let stamp = &bill.stamp;
            let inside = match &ask.scope {
                Scope::Window => *stamp >= lower,
                Scope::Before(until) => *stamp >= lower && *stamp < window::upper_bound(*until, ZONE),
                Scope::Ids(ids) => ids.iter().any(|key| number(key) == *id),
            };
            if !inside {
                continue;
            }
            let stamp = json!(stamp.replace(' ', "T"));
            // A bill without a date of creation may be older than what the ledger remembers.
            let born = window::local(bill.created, ZONE).replace(' ', "T");
            let created = if bill.dated { json!(born) } else { Value::Null };
            // One without lines is a row all the same, and so is every head.
            let alone = [(0, bill.lines.first().map_or(Value::Null, |(_, quantity)| json!(quantity)))];
            let lines: Vec<(i64, Value)> = match ask.heads || bill.lines.is_empty() {
                true => alone.to_vec(),
                false => bill.lines.iter().map(|(line, quantity)| (*line, json!(quantity))).collect(),
            };
            for (line, quantity) in lines {
                let cells = BTreeMap::from([
                    ("FID", self.id(*id)),
                    ("FEntity_FEntryID", if line == 0 { Value::Null } else { self.id(line) }),
                    ("FBillNo", json!(bill.number)),
                    ("FQty", quantity),
                    ("FApproveDate", stamp.clone()),
                    ("FCreateDate", created.clone()),
                ]);
                rows.push(Line { bill: *id, line, cells });
            }
        }
        rows
    }

    /// A report that is asked for from its beginning is made anew.
    pub(crate) fn report(&mut self, node: usize, ask: &Ask, now: i64) {
        if ask.position == Position::Row(0) {
            let report = self.rows(ask, now);
            self.reports.insert(node, report);
        }
    }

    /// Answers a query for `columns` as the tables stand at `now`, unix seconds; a report as it stood when `node` began
    /// to read it.
    pub(crate) fn answer(&self, node: usize, ask: &Ask, columns: &Columns, now: i64) -> Vec<Vec<Value>> {
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
        let rows = match ask.position {
            Position::Row(_) if columns.key().is_none() => self.reports.get(&node).cloned().unwrap_or_default(),
            _ => self.rows(ask, now),
        };
        let cells = |row: Line| {
            let cell = |key: &String| row.cells.get(key.as_str()).cloned().unwrap_or_default();
            columns.keys().iter().map(cell).collect()
        };
        rows.into_iter().filter(|row| wanted(row.bill, row.line)).take(most).map(cells).collect()
    }
}
