//! A deterministic source and a deterministic log, for the tests of the core.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::columns::{Columns, Roles};
use super::emit::Rules;
use super::key::Key;
use super::run::{Answer, Ask, LookbackPlan, Plan, Scope};
use super::scan::Position;
use super::window;
use document::{FlowName, Tenant, TraceParent};
use flow::{Shaped, SourceRecord};

pub(crate) mod log;
mod road;

/// 2024-03-14 16:00:00 in Shanghai.
pub(crate) const NOON: i64 = 1_710_403_200;
pub(crate) const ZONE: chrono_tz::Tz = chrono_tz::Asia::Shanghai;

/// A bill as the source holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub number: String,
    /// When it became due, unix seconds; the text of it is the watermark date.
    pub approved: i64,
    /// The text of that date.
    pub stamp: String,
    /// When the row becomes visible to queries, whatever its date says.
    pub visible: i64,
    /// Line id and content.
    pub lines: Vec<(i64, i64)>,
}

/// The source's tables and clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    pub bills: BTreeMap<i64, Held>,
    pub now: i64,
    /// The server gives no more rows than this, whatever was asked.
    pub clamp: Option<usize>,
    pub calls: u32,
    next_line: i64,
}

pub(crate) fn columns() -> Columns {
    let declared =
        [("line", "FEntity_FEntryID"), ("no", "FBillNo"), ("qty", "FQty")].map(|(m, k)| (m.to_owned(), k.to_owned()));
    Columns::new(
        &declared,
        Roles { key: Some("FID"), entry: Some("FEntity_FEntryID"), stamp: Some("FApproveDate"), created: None },
    )
}

pub(crate) fn plan(limit: u32) -> Plan {
    Plan {
        rules: Rules {
            tenant: Tenant::default(),
            flow: FlowName::new("misc-inbound").expect("valid"),
            flow_version: "v1".into(),
            canary: None,
            zone: ZONE,
            columns: columns(),
            by_number: true,
            id_check: false,
            max_record_bytes: 1 << 20,
        },
        config: "c1".to_owned(),
        overlap: 600,
        settle: 30,
        limit,
        number_column: None,
        max_bill_bytes: 1 << 20,
        max_batch_bytes: 16 << 20,
        lookback: Some(LookbackPlan {
            reach: 3 * 86_400,
            columns: Columns::header("FID", Some("FApproveDate")),
            limit: 2_000,
            chunk: 50,
            conclusive: true,
            shrunk_ratio: 0.05,
        }),
        #[cfg(feature = "ablation")]
        off: None,
    }
}

/// One record per row: id = line, number = bill number.
pub(crate) fn shape(rows: Vec<Map<String, Value>>) -> Shaped {
    let record = |row: Map<String, Value>| SourceRecord {
        id: row.get("line").map(Value::to_string).unwrap_or_default(),
        number: row.get("no").and_then(Value::as_str).unwrap_or_default().to_owned(),
        content: row,
    };
    Shaped { records: rows.into_iter().map(record).collect(), ..Shaped::default() }
}

/// Traces that differ.
pub(crate) fn mint() -> impl FnMut() -> TraceParent {
    let mut count = 0_u64;
    move || {
        count += 1;
        let mut trace_id = [1_u8; 16];
        trace_id[8..].copy_from_slice(&count.to_be_bytes());
        TraceParent { trace_id, span_id: [1; 8], flags: 1 }
    }
}

impl Source {
    pub(crate) fn at(now: i64) -> Self {
        Self { now, next_line: 1, ..Self::default() }
    }

    /// Adds a bill that is approved now, with lines of these quantities.
    pub(crate) fn add(&mut self, id: i64, quantities: &[i64]) {
        let (approved, visible) = (self.now, self.now);
        self.add_at(id, quantities, approved, visible);
    }

    pub(crate) fn add_at(&mut self, id: i64, quantities: &[i64], approved: i64, visible: i64) {
        let lines = quantities
            .iter()
            .map(|quantity| {
                self.next_line += 1;
                (self.next_line, *quantity)
            })
            .collect();
        self.bills.insert(
            id,
            Held { number: format!("B{id}"), approved, stamp: window::local(approved, ZONE), visible, lines },
        );
    }

    /// Un-audits, changes and audits a bill again.
    pub(crate) fn change(&mut self, id: i64, quantities: &[i64]) {
        let visible = self.now;
        if self.bills.contains_key(&id) {
            self.add_at(id, quantities, self.now, visible);
        }
    }

    fn rows(&self, ask: &Ask) -> Vec<(i64, Vec<Value>)> {
        let bound = window::lower_bound(ask.since, ZONE);
        let mut rows = Vec::new();
        for (id, bill) in &self.bills {
            let in_scope = match &ask.scope {
                Scope::Window => bill.stamp >= bound,
                Scope::Before(until) => bill.stamp >= bound && bill.stamp < window::upper_bound(*until, ZONE),
                Scope::Ids(ids) => ids.contains(&Key::Integer(*id)),
            };
            if !in_scope || bill.visible > self.now {
                continue;
            }
            let stamp = json!(bill.stamp.replace(' ', "T"));
            if ask.heads {
                rows.push((0, vec![json!(id), stamp]));
            } else {
                for (line, quantity) in &bill.lines {
                    rows.push((
                        *line,
                        vec![json!(line), json!(bill.number), json!(quantity), json!(id), stamp.clone()],
                    ));
                }
            }
        }
        rows
    }

    /// Answers as the server would at this instant.
    pub(crate) fn answer(&mut self, ask: &Ask) -> Answer {
        self.calls += 1;
        let id_at = if ask.heads { 0 } else { 3 };
        let number = |key: &Key| match key {
            Key::Integer(number) => *number,
            Key::Text(text) => panic!("this source has numbers for ids, not {text}"),
        };
        let mut rows: Vec<Vec<Value>> = Vec::new();
        let mut skipped = 0;
        for (line, row) in self.rows(ask) {
            let id = row[id_at].as_i64().expect("an id");
            let wanted = match &ask.position {
                Position::Start => true,
                Position::From(key) => id >= number(key),
                Position::After(key) => id > number(key),
                Position::Only(key) => id == number(key),
                Position::Rest { key, entry } => id == number(key) && line > number(entry),
                Position::Beyond { key, entry } => {
                    id > number(key) || (id == number(key) && entry.as_ref().is_some_and(|entry| line > number(entry)))
                }
                Position::Row(start) => {
                    skipped += 1;
                    skipped > *start
                }
            };
            if wanted {
                rows.push(row);
            }
        }
        let limit = usize::try_from(ask.limit).expect("fits").min(self.clamp.unwrap_or(usize::MAX));
        rows.truncate(limit);
        Answer { rows, server_time: Some(self.now), local_time: self.now, elapsed: 0 }
    }
}
