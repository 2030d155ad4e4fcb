//! ExecuteBillQuery and BillQuery: rows of one form, filtered, ordered, paged.

use std::cmp::Ordering;
use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::filter::{Column, Condition, MAX_ENTITIES, Row, parse};
use crate::reply::{Body, Problem, Reply, empty_parameter, unknown_form};
use crate::schema::Slot;
use crate::store::{Document, Store};
use crate::value::Seen;

/// Ceiling of `Limit`.
#[derive(Debug, Clone, Copy)]
pub struct Ceiling {
    /// Most rows of a reply.
    pub rows: usize,
    /// Whether more is refused instead of cut.
    pub refuse: bool,
}

/// The package of a query, read without regard to the case of its keys.
#[derive(Debug)]
pub struct Package<'a>(pub &'a Map<String, Value>);

impl Package<'_> {
    /// A member.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0
            .get(key)
            .or_else(|| self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
    }

    /// A member as text; nothing when absent or null.
    pub fn text(&self, key: &str) -> String {
        match self.get(key) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// A member as a count; 0 when absent, negative or no number.
    pub fn count(&self, key: &str) -> usize {
        self.text(key).trim().parse().unwrap_or(0)
    }

    /// A flag with its default.
    pub fn flag(&self, key: &str, default: bool) -> bool {
        self.get(key).and_then(crate::value::read_bool).unwrap_or(default)
    }

    /// A member as a list of texts: an array, or comma-separated text.
    pub fn list(&self, key: &str) -> Vec<String> {
        let texts: Vec<String> = match self.get(key) {
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| match item {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                })
                .collect(),
            _ => self.text(key).split(',').map(|text| text.trim().to_owned()).collect(),
        };
        texts.into_iter().filter(|text| !text.trim().is_empty()).collect()
    }
}

struct Plan {
    table: usize,
    keys: Vec<String>,
    columns: Vec<Column>,
    condition: Option<Condition>,
    order: Vec<(Column, bool)>,
    /// Entities that the query reads.
    joined: Vec<usize>,
    /// Only head keys were asked for: one row per document.
    per_document: bool,
    start: usize,
    end: usize,
}

/// Runs a query. `objects` is BillQuery: objects by key instead of arrays.
///
/// # Errors
///
/// MsgCode 4, 8 or 9, as the page says.
pub fn run(store: &Store, data: &Map<String, Value>, ceiling: Ceiling, objects: bool) -> Result<Reply, Problem> {
    let plan = plan(store, &Package(data), ceiling)?;
    let rows = select(store, &plan);
    let mut text = String::with_capacity(64 + rows.len() * plan.columns.len() * 16);
    text.push('[');
    for (index, row) in rows.iter().enumerate() {
        text.push_str(match (index, objects) {
            (0, false) => "[",
            (0, true) => "{",
            (_, false) => ",[",
            (_, true) => ",{",
        });
        for (at, (column, key)) in plan.columns.iter().zip(&plan.keys).enumerate() {
            if at > 0 {
                text.push(',');
            }
            if objects {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
            }
            column.see(store, row).write(&mut text);
        }
        text.push(if objects { '}' } else { ']' });
    }
    text.push(']');
    Ok(Reply { body: Body::Text(text), result: "ok".to_owned(), documents: Vec::new(), rows: Some(rows.len()) })
}

fn plan(store: &Store, package: &Package<'_>, ceiling: Ceiling) -> Result<Plan, Problem> {
    let form = package.text("FormId");
    if form.trim().is_empty() {
        return Err(Problem::new(5, "业务对象标识不能为空"));
    }
    let table = store.find(&form).ok_or_else(|| unknown_form(&form))?;
    let keys = package.list("FieldKeys");
    if keys.is_empty() {
        return Err(empty_parameter("FieldKeys"));
    }
    let columns = keys.iter().map(|key| Column::find(store, table, key)).collect::<Result<Vec<_>, _>>()?;
    let condition = parse(store, table, package.get("FilterString").unwrap_or(&Value::Null))?;
    let order = order(store, table, &package.text("OrderString"))?;

    let mut joined = Vec::new();
    let mut join = |column: &Column| {
        if let Some(entity) = column.slot.entity()
            && !joined.contains(&entity)
        {
            joined.push(entity);
        }
    };
    columns.iter().for_each(&mut join);
    let per_document = columns.iter().all(|column| column.slot.entity().is_none());
    order.iter().for_each(|(column, _)| join(column));
    if let Some(condition) = &condition {
        condition.columns(&mut join);
    }

    let limit = package.count("Limit");
    if limit > ceiling.rows && ceiling.refuse {
        return Err(Problem::new(8, format!("Limit超过了允许的最大行数{}。", ceiling.rows)));
    }
    let limit = if limit == 0 { ceiling.rows } else { limit.min(ceiling.rows) };
    let start = package.count("StartRow");
    let top = package.count("TopRowCount");
    let end = start.saturating_add(limit).min(if top == 0 { usize::MAX } else { top });
    Ok(Plan { table, keys, columns, condition, order, joined, per_document, start, end })
}

fn order(store: &Store, table: usize, text: &str) -> Result<Vec<(Column, bool)>, Problem> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| {
            let words: Vec<&str> = part.split_whitespace().collect();
            let descending = match words.as_slice() {
                [_] => false,
                [_, direction] if direction.eq_ignore_ascii_case("asc") => false,
                [_, direction] if direction.eq_ignore_ascii_case("desc") => true,
                _ => return Err(crate::reply::bad_filter(&format!("{part:?} is not an order"))),
            };
            let key = words.first().copied().unwrap_or_default();
            Ok((Column::find(store, table, key)?, descending))
        })
        .collect()
}

fn select<'a>(store: &'a Store, plan: &'a Plan) -> Vec<Row<'a>> {
    // Documents lie in the order of their ids and rows in the order of theirs, so this order needs no sorting and the
    // scan can stop at the end of the page.
    let natural = match plan.order.as_slice() {
        [] => true,
        [(first, false), rest @ ..] if first.is_plain(Slot::Pk) => match rest {
            [] => true,
            [(second, false)] => matches!(second.slot, Slot::EntryPk(_) | Slot::EntrySeq(_)) && plan.joined.len() == 1,
            _ => false,
        },
        _ => false,
    };
    let enough = if natural { plan.end } else { usize::MAX };
    let mut rows = Vec::new();
    let mut seen = HashSet::new();
    for document in candidates(store, plan) {
        if rows.len() >= enough {
            break;
        }
        let row = Row { document, entries: [None; MAX_ENTITIES] };
        expand(row, &plan.joined, &mut |row| {
            let met = plan.condition.as_ref().is_none_or(|condition| condition.test(store, &row) == Some(true));
            // Sorting comes first where it could choose among the rows of a document.
            if met && !(natural && plan.per_document && !seen.insert(row.document.id)) {
                rows.push(row);
            }
        });
    }
    if !natural {
        rows = sorted(store, plan, &rows);
        if plan.per_document {
            rows.retain(|row| seen.insert(row.document.id));
        }
    }
    let end = plan.end.min(rows.len());
    rows.truncate(end);
    rows.drain(..plan.start.min(end));
    rows
}

/// The rows in the order asked for; rows that tie stay as they lie.
fn sorted<'a>(store: &'a Store, plan: &Plan, rows: &[Row<'a>]) -> Vec<Row<'a>> {
    let mut keyed: Vec<(Vec<Seen<'a>>, &Row<'a>)> =
        rows.iter().map(|row| (plan.order.iter().map(|(column, _)| column.see(store, row)).collect(), row)).collect();
    keyed.sort_by(|(left, _), (right, _)| {
        let orders = plan.order.iter().zip(left.iter().zip(right)).map(|((_, descending), (left, right))| {
            let order = left.order(*right);
            if *descending { order.reverse() } else { order }
        });
        orders.fold(Ordering::Equal, Ordering::then)
    });
    keyed.into_iter().map(|(_, row)| *row).collect()
}

/// The documents that can match: by key bounds or by number where the filter names them, else all.
fn candidates<'a>(store: &'a Store, plan: &'a Plan) -> Box<dyn Iterator<Item = &'a Document> + 'a> {
    let table = store.table(plan.table);
    let Some(condition) = &plan.condition else { return Box::new(table.documents().values()) };
    // Stored numbers may end in blanks, which comparison ignores and the index does not: then all are read.
    if table.has_plain_numbers()
        && let Some(texts) = condition.texts_of(Slot::Head(table.form.number))
    {
        let mut ids: Vec<i64> =
            texts.iter().flat_map(|text| table.by_number(text.trim_end_matches(' '))).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        return Box::new(ids.into_iter().filter_map(|id| table.get(id)));
    }
    let (low, high) = condition.key_bounds();
    if low > high {
        return Box::new(std::iter::empty());
    }
    Box::new(table.documents().range(low..=high).map(|(_, document)| document))
}

/// Calls `visit` with every combination of rows of the joined entities; a document without rows has one empty row.
fn expand<'a>(row: Row<'a>, joined: &[usize], visit: &mut impl FnMut(Row<'a>)) {
    let Some((entity, rest)) = joined.split_first() else { return visit(row) };
    let entries = row.document.entries.get(*entity).map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        return expand(row, rest, visit);
    }
    for (index, entry) in entries.iter().enumerate() {
        let mut row = row;
        if let Some(slot) = row.entries.get_mut(*entity) {
            *slot = Some((index + 1, entry));
        }
        expand(row, rest, visit);
    }
}
