//! What the systems are asked for a report.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDateTime, TimeZone as _};
use chrono_tz::Tz;
use document::{Code, DocumentKey, Fault};
use flow::Flow;
use kingdee::{BillQuery, filter};
use serde_json::{Map, Value};

use crate::systems::System;
use crate::systems::look::{Calls, Head, STATUS, text};

/// Rows of a page of heads.
pub const HEADS: u32 = 2_000;
/// Documents that a report may be about.
pub const MOST: u64 = 1_000_000;
/// Keys of one query for heads.
pub const KEYS: usize = 200;
/// Bills whose rows are read with one query.
pub const BILLS: usize = 40;

/// A bill of the source as its head tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Its inner id.
    pub id: String,
    /// The document it is.
    pub document: DocumentKey,
    /// Its watermark date, unix seconds; absent where the flow or the bill has none.
    pub stamp: Option<i64>,
}

/// The local text of an instant.
fn local(at: i64, zone: Tz) -> String {
    let utc = DateTime::from_timestamp(at, 0).unwrap_or_default();
    utc.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The instant of a date as a source writes it.
pub fn instant(text: &str, zone: Tz) -> Option<i64> {
    let text = text.trim().replace('T', " ");
    let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    zone.from_local_datetime(&naive).earliest().map(|instant| instant.timestamp())
}

/// The literal of an inner id.
fn literal(id: &str) -> String {
    if id.parse::<i64>().is_ok() { id.to_owned() } else { filter::quote(id) }
}

/// Reads every row of `query` page by page, each cut by the column `key` (column 0): only an empty page is the end.
async fn pages(
    system: &System,
    query: &BillQuery,
    key: &str,
    what: &str,
    calls: &mut Calls,
    mut take: impl FnMut(&[Value]),
) -> Result<(), Fault> {
    let mut last: Option<String> = None;
    loop {
        let behind = last.as_deref().map(|id| format!("{key} > {}", literal(id)));
        let conditions: Vec<String> = [Some(query.filter.clone()), behind].into_iter().flatten().collect();
        let page =
            BillQuery { filter: filter::and(&conditions), order: format!("{key} ASC"), limit: HEADS, ..query.clone() };
        let rows = system.rows(&page, what.to_owned(), calls).await?;
        let Some(end) = rows.last().map(|row| text(row.first())) else { return Ok(()) };
        let goes_on = match (&last, end.parse::<i64>()) {
            (Some(last), Ok(end)) => last.parse::<i64>().is_ok_and(|last| last < end),
            (Some(last), Err(_)) => *last != end,
            (None, _) => !end.is_empty(),
        };
        if !goes_on {
            let detail = format!("the page behind {key} {} ends at {end}", last.unwrap_or_default());
            return Err(Fault::new(Code::SourceOrder, detail).of_record(query.form_id.clone()));
        }
        rows.iter().for_each(|row| take(row));
        last = Some(end);
    }
}

/// The Kingdee key of the column that names documents.
///
/// # Errors
/// `E_SOURCE_API` where no column of the source document does.
pub fn document_column(flow: &Flow) -> Result<String, Fault> {
    let (id, number) = (flow.source.id_field(), flow.source.number_field());
    let field = if id == number { id } else { number };
    let column = flow.source.columns().iter().find(|column| column.field == field);
    column.map(|column| column.key.clone()).ok_or_else(|| {
        let detail = format!("{field} is no column of the source document, so its bills cannot be told apart by heads");
        Fault::new(Code::SourceApi, detail).of_record(flow.name.as_str())
    })
}

/// What asks for the heads of the bills of the source whose watermark date lies from `from` to before `to`.
fn bills_query(system: &System, flow: &Flow, (from, to): (i64, i64)) -> Result<BillQuery, Fault> {
    let (zone, settings) = (system.settings().zone, &flow.settings.source);
    let own = flow.source.query(&flow.run(to, from))?;
    let mut columns = vec![settings.key.clone(), document_column(flow)?];
    let mut conditions = vec![own.filter.clone()];
    if let Some(stamp) = &settings.watermark {
        columns.push(stamp.clone());
        conditions.push(format!("{stamp} >= {}", filter::quote(&local(from, zone))));
        conditions.push(format!("{stamp} < {}", filter::quote(&local(to, zone))));
    }
    Ok(BillQuery {
        form_id: own.form_id,
        field_keys: columns,
        filter: filter::and(&conditions),
        sub_system_id: own.sub_system_id,
        ..BillQuery::default()
    })
}

/// Every bill of the source whose watermark date lies in the window, its end excluded, by its document.
///
/// # Errors
/// The fault of a call, or of a flow whose source cannot be read by heads.
pub async fn bills(
    system: &System,
    flow: &Flow,
    window: (i64, i64),
    calls: &mut Calls,
) -> Result<BTreeMap<DocumentKey, Bill>, Fault> {
    let (zone, settings) = (system.settings().zone, &flow.settings.source);
    let query = bills_query(system, flow, window)?;
    let mut bills = BTreeMap::new();
    let take = |row: &[Value]| {
        let document = DocumentKey(text(row.get(1)));
        let stamp = instant(&text(row.get(2)), zone);
        bills.entry(document.clone()).or_insert(Bill { id: text(row.first()), document, stamp });
    };
    pages(system, &query, &settings.key, "heads of the source's bills", calls, take).await?;
    Ok(bills)
}

/// The watermark dates, unix seconds, of the bills that the flow sees of these documents. A document that it sees none of is
/// absent; a bill without a date has none.
///
/// # Errors
/// The fault of a call; `E_SOURCE_API` for a flow without a watermark, whose bills no window can bring.
pub async fn stamps(
    system: &System,
    flow: &Flow,
    documents: &[String],
    calls: &mut Calls,
) -> Result<BTreeMap<DocumentKey, Vec<i64>>, Fault> {
    let settings = &flow.settings.source;
    let Some(stamp) = &settings.watermark else {
        let detail = "the flow names no source.watermark, so single bills cannot be read again";
        return Err(Fault::new(Code::SourceApi, detail).of_record(flow.name.as_str()));
    };
    let (zone, column) = (system.settings().zone, document_column(flow)?);
    let own = flow.source.query(&flow.run(0, 0))?;
    let mut found: BTreeMap<DocumentKey, Vec<i64>> = BTreeMap::new();
    for chunk in documents.chunks(KEYS) {
        for condition in filter::is_in_chunks(&column, chunk, KEYS, 12_000) {
            let query = BillQuery {
                form_id: own.form_id.clone(),
                field_keys: vec![settings.key.clone(), column.clone(), stamp.clone()],
                filter: filter::and(&[own.filter.clone(), condition]),
                sub_system_id: own.sub_system_id.clone(),
                ..BillQuery::default()
            };
            let take = |row: &[Value]| {
                let dates = found.entry(DocumentKey(text(row.get(1)))).or_default();
                dates.extend(instant(&text(row.get(2)), zone));
            };
            pages(system, &query, &settings.key, "dates of bills", calls, take).await?;
        }
    }
    Ok(found)
}

/// A bill of the source with its rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rows {
    /// Its watermark date when the rows were read, unix seconds; absent where the flow or the bill has none.
    pub stamp: Option<i64>,
    /// Its rows: each column's member with its value.
    pub rows: Vec<Map<String, Value>>,
}

/// The rows of bills, by inner id.
///
/// # Errors
/// The fault of a call.
pub async fn rows(
    system: &System,
    flow: &Flow,
    ids: &[String],
    calls: &mut Calls,
) -> Result<BTreeMap<String, Rows>, Fault> {
    let (zone, settings) = (system.settings().zone, &flow.settings.source);
    let own = flow.source.query(&flow.run(0, 0))?;
    let mut keys: Vec<String> = own.columns.iter().map(|column| column.key.clone()).collect();
    keys.extend(settings.watermark.clone());
    keys.push(settings.key.clone());
    let mut order = format!("{} ASC", settings.key);
    if let Some(entry) = flow.entry_key() {
        order = format!("{order},{entry} ASC");
    }
    let mut found: BTreeMap<String, Rows> = BTreeMap::new();
    for chunk in ids.chunks(BILLS) {
        let literals: Vec<String> = chunk.iter().map(|id| literal(id)).collect();
        let mut start_row = 0;
        loop {
            let query = BillQuery {
                form_id: own.form_id.clone(),
                field_keys: keys.clone(),
                filter: format!("{} in ({})", settings.key, literals.join(",")),
                order: order.clone(),
                start_row,
                limit: HEADS,
                sub_system_id: own.sub_system_id.clone(),
                ..BillQuery::default()
            };
            let page = system.rows(&query, format!("the rows of {} bills", chunk.len()), calls).await?;
            if page.is_empty() {
                break;
            }
            start_row += page.len() as u64;
            for mut row in page {
                let bill = found.entry(text(row.pop().as_ref())).or_default();
                if settings.watermark.is_some() {
                    bill.stamp = instant(&text(row.pop().as_ref()), zone);
                }
                let members = own.columns.iter().map(|column| column.field.clone()).zip(row);
                bill.rows.push(members.collect());
            }
        }
    }
    Ok(found)
}

/// The heads of the documents whose field `field` of `form` has one of `keys`, by key; with their status.
///
/// # Errors
/// The fault of a call.
pub async fn heads(
    system: &System,
    form: &kingdee::Form,
    field: &str,
    keys: &[String],
    calls: &mut Calls,
) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
    let mut found: BTreeMap<String, Vec<Head>> = BTreeMap::new();
    for chunk in keys.chunks(KEYS) {
        for condition in filter::is_in_chunks(field, chunk, KEYS, 12_000) {
            let mut columns = vec![form.primary_key.clone(), field.to_owned()];
            columns.extend(form.head.contains_key(&STATUS.to_lowercase()).then(|| STATUS.to_owned()));
            let query =
                BillQuery { form_id: form.id.clone(), field_keys: columns, filter: condition, ..BillQuery::default() };
            let take = |row: &[Value]| put(&mut found, row);
            pages(system, &query, &form.primary_key, "documents with keys of ours", calls, take).await?;
        }
    }
    Ok(found)
}

/// What asks for the heads of every document of `form` that was created from `from` to before `to`. Nothing where the form does
/// not say when its documents were created.
fn created_query(system: &System, form: &kingdee::Form, field: &str, (from, to): (i64, i64)) -> Option<BillQuery> {
    const CREATED: &str = "FCreateDate";
    let zone = system.settings().zone;
    let bounds = [
        format!("{CREATED} >= {}", filter::quote(&local(from, zone))),
        format!("{CREATED} < {}", filter::quote(&local(to, zone))),
    ];
    form.head.contains_key(&CREATED.to_lowercase()).then(|| BillQuery {
        form_id: form.id.clone(),
        field_keys: vec![form.primary_key.clone(), field.to_owned()],
        filter: filter::and(&bounds),
        ..BillQuery::default()
    })
}

/// The heads of every document of `form` that was created in the window, its end excluded, by key. Nothing where the form does
/// not say when its documents were created.
///
/// # Errors
/// The fault of a call.
pub async fn created(
    system: &System,
    form: &kingdee::Form,
    field: &str,
    window: (i64, i64),
    calls: &mut Calls,
) -> Result<BTreeMap<String, Vec<Head>>, Fault> {
    let mut found = BTreeMap::new();
    if let Some(query) = created_query(system, form, field, window) {
        let take = |row: &[Value]| put(&mut found, row);
        pages(system, &query, &form.primary_key, "documents that were created in the window", calls, take).await?;
    }
    Ok(found)
}

/// How many bills [`bills`] would give, at most.
///
/// # Errors
/// As [`bills`].
pub async fn bills_at_most(system: &System, flow: &Flow, window: (i64, i64), calls: &mut Calls) -> Result<u64, Fault> {
    let query = bills_query(system, flow, window)?;
    at_most(system, &query, &flow.settings.source.key, "whether the source has more bills", calls).await
}

/// How many documents [`created`] would give, at most.
///
/// # Errors
/// The fault of a call.
pub async fn created_at_most(
    system: &System,
    form: &kingdee::Form,
    field: &str,
    window: (i64, i64),
    calls: &mut Calls,
) -> Result<u64, Fault> {
    match created_query(system, form, field, window) {
        Some(query) => at_most(system, &query, &form.primary_key, "whether the target has more documents", calls).await,
        None => Ok(0),
    }
}

/// How many rows `query` has, at most: no call tells their number, but one row behind the first 2,000, 4,000, 8,000 … that is
/// not there does. Up to [`MOST`], which takes ten calls.
async fn at_most(system: &System, query: &BillQuery, key: &str, what: &str, calls: &mut Calls) -> Result<u64, Fault> {
    let mut most = u64::from(HEADS);
    while most < MOST {
        let behind = BillQuery { order: format!("{key} ASC"), start_row: most, limit: 1, ..query.clone() };
        if system.rows(&behind, format!("{what} than {most}"), calls).await?.is_empty() {
            break;
        }
        most *= 2;
    }
    Ok(most)
}

fn put(found: &mut BTreeMap<String, Vec<Head>>, row: &[Value]) {
    let (id, key, status) = (text(row.first()), text(row.get(1)), text(row.get(2)));
    let head = Head { id, key, status, created: String::new() };
    let heads = found.entry(head.key.clone()).or_default();
    if !heads.iter().any(|known| known.id == head.id) {
        heads.push(head);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written_in_the_zone_of_the_source() {
        let zone = Tz::Asia__Shanghai;
        assert_eq!(local(1_710_403_200, zone), "2024-03-14 16:00:00");
        assert_eq!(instant("2024-03-14T16:00:00.127", zone), Some(1_710_403_200));
        assert_eq!(instant("2024-03-14 16:00:00", zone), Some(1_710_403_200));
        assert_eq!((instant("", zone), instant("soon", zone)), (None, None));
        assert_eq!((literal("42"), literal("4'2")), ("42".to_owned(), "'4''2'".to_owned()));
    }
}
