//! Looks documents up in the target: which keys are there, how far they are, and whether they are what was sent.
//!
//! One query over the heads tells what is there. An answer without rows settles it; otherwise pages are read until one
//! is empty or every key is found, since servers clamp pages. Only what is there, and only where content matters, is
//! read once more with the fields that were sent. Fields the server does not know are left out and remembered.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{LocalResult, TimeZone};
use chrono_tz::Tz;
use document::TargetKey;
use kingdee::{BillPage, BillQuery, Error, filter};
use serde_json::Value;

use crate::compare::{self, Columns, Row};
use crate::core::event::{Finding, Likeness, Present, ProbeDocument};
use crate::core::ledger::Reached;

/// Rows asked for at once.
const PAGE: u32 = 2_000;
/// Pages of one question, after which the answer counts as endless.
const PAGES: usize = 5_000;
/// Keys and characters of one `in (…)`.
const KEYS: usize = 200;
const KEY_CHARACTERS: usize = 12_000;

const STATUS: &str = "FDocumentStatus";
const CREATED: &str = "FCreateDate";

/// Asks one page; the door to the target.
#[async_trait::async_trait]
pub trait Ask: Send + Sync {
    /// Reads one page, having waited for leave to do so (but for the very first one, whose permit is in hand).
    async fn page(&self, query: &BillQuery) -> Result<BillPage, Error>;
}

/// What a probe is about.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The form.
    pub form: &'a str,
    /// The field that holds the key.
    pub key: &'a str,
    /// The zone of the server's dates.
    pub zone: Tz,
    /// What is looked for.
    pub documents: &'a [ProbeDocument],
}

/// The inner id of a form's documents.
pub fn id_field(form: &str) -> &'static str {
    match form.to_ascii_uppercase().as_str() {
        "BD_MATERIAL" => "FMATERIALID",
        "BD_SUPPLIER" => "FSupplierId",
        "BD_CUSTOMER" => "FCUSTID",
        "BD_STOCK" => "FStockId",
        "ORG_ORGANIZATIONS" => "FOrgID",
        _ => "FID",
    }
}

/// Answers `question`. `unknown` are fields the form is known not to have; more are added.
///
/// # Errors
/// Any [`Error`] of a page: nothing is known then.
pub async fn probe(
    ask: &dyn Ask,
    question: &Question<'_>,
    unknown: &mut BTreeSet<String>,
) -> Result<Vec<Finding>, Error> {
    let heads = heads(ask, question, unknown).await?;
    let mut by_key: BTreeMap<&str, Vec<&Head>> = BTreeMap::new();
    for document in question.documents {
        let key = document.key.as_str();
        let exact = heads.iter().filter(|head| head.number == key);
        // A server whose texts know no case holds the number although it writes it otherwise.
        let alike = || heads.iter().filter(|head| head.number.to_lowercase() == key.to_lowercase());
        let mut found: Vec<&Head> = exact.collect();
        if found.is_empty() {
            found = alike().collect();
        }
        by_key.insert(key, found);
    }
    let only = |key: &TargetKey| match by_key.get(key.as_str()).map(Vec::as_slice) {
        Some([only]) => Some(*only),
        _ => None,
    };
    let sent: Vec<(&TargetKey, Value)> = question
        .documents
        .iter()
        .filter(|document| only(&document.key).is_some())
        .filter_map(|document| Some((&document.key, serde_json::from_slice(document.value.as_deref()?).ok()?)))
        .collect();
    let (columns, contents) =
        if sent.is_empty() { Default::default() } else { contents(ask, question, &sent, unknown).await? };

    let finding = |document: &ProbeDocument| {
        let heads = by_key.get(document.key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let [head] = heads else {
            return if heads.is_empty() { Finding::Absent } else { Finding::Many(heads.len()) };
        };
        let compared = sent.iter().find(|(key, _)| **key == document.key);
        let likeness = match compared {
            Some((_, value)) => {
                let rows = contents.get(&head.id).map(Vec::as_slice).unwrap_or_default();
                compare::compare(value, question.key, &columns, rows)
            }
            None => Likeness::Unclear("content was not asked for".to_owned()),
        };
        Finding::Present(Present { id: head.id.clone(), reached: head.reached, created: head.created, likeness })
    };
    Ok(question.documents.iter().map(finding).collect())
}

/// What the head of a document tells.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    id: String,
    number: String,
    reached: Reached,
    created: Option<i64>,
}

async fn heads(ask: &dyn Ask, question: &Question<'_>, unknown: &mut BTreeSet<String>) -> Result<Vec<Head>, Error> {
    let id = id_field(question.form);
    let keys: Vec<&str> = question.documents.iter().map(|document| document.key.as_str()).collect();
    let mut heads: Vec<Head> = Vec::new();
    'conditions: for condition in filter::is_in_chunks(question.key, &keys, KEYS, KEY_CHARACTERS) {
        let wanted = |head: &Head| keys.contains(&head.number.as_str());
        let mut start = 0;
        for _ in 0..PAGES {
            let optional: Vec<String> = [STATUS, CREATED]
                .iter()
                .filter(|name| !unknown.contains(**name))
                .map(|name| (*name).to_owned())
                .collect();
            let fields = [vec![id.to_owned(), question.key.to_owned()], optional].concat();
            let Some(rows) = rows(ask, question, &fields, 2, &condition, id, start, unknown).await? else { continue };
            if rows.is_empty() {
                continue 'conditions;
            }
            start += rows.len() as u64;
            heads.extend(rows.iter().map(|row| head(row, id, question)));
            let distinct: BTreeSet<&str> =
                heads.iter().filter(|head| wanted(head)).map(|h| h.number.as_str()).collect();
            if distinct.len() == keys.len() {
                continue 'conditions;
            }
        }
        return Err(endless(question));
    }
    heads.dedup_by(|a, b| a.id == b.id);
    Ok(heads)
}

fn head(row: &Row, id: &str, question: &Question<'_>) -> Head {
    let reached = match row.get(STATUS).and_then(Value::as_str).map(str::trim) {
        Some("B") => Reached::Submitted,
        Some("C") => Reached::Audited,
        _ => Reached::Saved,
    };
    let created = row.get(CREATED).and_then(Value::as_str).and_then(compare::date).and_then(|naive| {
        match question.zone.from_local_datetime(&naive) {
            LocalResult::Single(time) => Some(time.timestamp_millis()),
            // The later one: a document must not look older than it is.
            LocalResult::Ambiguous(_, late) => Some(late.timestamp_millis()),
            LocalResult::None => None,
        }
    });
    Head { id: text(row.get(id)), number: text(row.get(question.key)), reached, created }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

type Contents = BTreeMap<String, Vec<Row>>;

/// The fields that were sent, of every document in `sent`, by inner id, in the order of lines.
async fn contents(
    ask: &dyn Ask,
    question: &Question<'_>,
    sent: &[(&TargetKey, Value)],
    unknown: &mut BTreeSet<String>,
) -> Result<(Columns, Contents), Error> {
    let id = id_field(question.form);
    let values: Vec<&Value> = sent.iter().map(|(_, value)| value).collect();
    let keys: Vec<&str> = sent.iter().map(|(key, _)| key.as_str()).collect();
    let mut columns = compare::columns(&values, unknown);
    let mut found: Contents = BTreeMap::new();
    'conditions: for condition in filter::is_in_chunks(question.key, &keys, KEYS, KEY_CHARACTERS) {
        let mut start = 0;
        for _ in 0..PAGES {
            let mut fields = vec![id.to_owned()];
            let mut order = id.to_owned();
            if let Some((entity, lines)) = columns.lines.as_ref().filter(|(_, lines)| !lines.is_empty()) {
                let entry_id = format!("{entity}_FEntryID");
                if !unknown.contains(&entry_id) {
                    order = format!("{id} ASC, {entry_id} ASC");
                    fields.push(entry_id);
                }
                fields.extend(lines.iter().cloned());
            }
            fields.extend(columns.head.iter().filter(|column| *column != id).cloned());
            let Some(rows) = rows(ask, question, &fields, 1, &condition, &order, start, unknown).await? else {
                // A field less: everything read so far stays as it is, the rest is asked for without it.
                columns = compare::columns(&values, unknown);
                continue;
            };
            if rows.is_empty() {
                continue 'conditions;
            }
            start += rows.len() as u64;
            for row in rows {
                found.entry(text(row.get(id))).or_default().push(row);
            }
        }
        return Err(endless(question));
    }
    Ok((columns, found))
}

fn endless(question: &Question<'_>) -> Error {
    let found = format!("more than {PAGES} pages for {} keys of {}", question.documents.len(), question.form);
    Error::Shape { method: "ExecuteBillQuery".to_owned(), found }
}

/// One page as rows by column; `None` when a field turned out to be unknown and was put down as such. The first
/// `needed` fields must be known.
#[expect(clippy::too_many_arguments, reason = "one place that asks; a struct for it would be named and used once")]
async fn rows(
    ask: &dyn Ask,
    question: &Question<'_>,
    fields: &[String],
    needed: usize,
    condition: &str,
    order: &str,
    start: u64,
    unknown: &mut BTreeSet<String>,
) -> Result<Option<Vec<Row>>, Error> {
    let query = BillQuery {
        form_id: question.form.to_owned(),
        field_keys: fields.to_vec(),
        filter: condition.to_owned(),
        order: order.to_owned(),
        start_row: start,
        limit: PAGE,
        ..BillQuery::default()
    };
    match ask.page(&query).await {
        Ok(page) => {
            let named = |row: Vec<Value>| fields.iter().cloned().zip(row).collect();
            Ok(Some(page.rows.into_iter().map(named).collect()))
        }
        Err(Error::Refused { form, error }) => {
            let name = error.unknown_field();
            // The server may name the field without its property, or in another case.
            let same = |field: &String, name: &str| {
                let head = field.split('.').next().unwrap_or(field);
                field.eq_ignore_ascii_case(name) || head.eq_ignore_ascii_case(name)
            };
            let lost: Vec<String> = match &name {
                Some(name) => fields.iter().skip(needed).filter(|field| same(field, name)).cloned().collect(),
                None => Vec::new(),
            };
            if lost.is_empty() {
                return Err(Error::Refused { form, error });
            }
            unknown.extend(lost);
            Ok(None)
        }
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests;
