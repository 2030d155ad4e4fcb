//! Looks documents up in a system: which keys are there, and what a document holds.
//!
//! Every look has a number of calls that it may make; what was not asked is said, never guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use coordination::Lane;
use document::{Code, Fault};
use kingdee::{BillQuery, Error, Form, filter};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use super::System;

/// Rows asked for at once.
const PAGE: u32 = 2_000;
/// Keys of one query, and characters of them.
const KEYS: usize = 200;
const KEY_CHARACTERS: usize = 12_000;
/// How long what a form demands is believed, in milliseconds.
const FORM_KEPT: i64 = 10 * 60 * 1000;
/// Forms that are remembered of one system.
const FORMS: usize = 200;

/// The field that says how far a document is.
pub const STATUS: &str = "FDocumentStatus";
const CREATED: &str = "FCreateDate";

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The WebAPI method.
    pub method: &'static str,
    /// The form.
    pub form: String,
    /// What was asked, in words.
    pub asked: String,
    /// What came back, in words.
    pub answered: String,
    /// How long it took.
    pub took: Duration,
}

/// The calls of one look.
#[derive(Debug)]
pub struct Calls {
    /// Those that were made, in order.
    pub made: Vec<Call>,
    most: usize,
    until: Instant,
}

impl Calls {
    /// None yet; at most so many, from now on for so long.
    pub fn at_most(most: usize, within: Duration) -> Self {
        Self { made: Vec::new(), most, until: Instant::now() + within }
    }

    /// Whether no further call may be made.
    pub fn are_spent(&self) -> bool {
        self.made.len() >= self.most || Instant::now() >= self.until
    }
}

/// A document as its head tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its inner id.
    pub id: String,
    /// Its key, as the system writes it.
    pub key: String,
    /// Its status (`A`, `B`, `C`, …); empty where the form has none.
    pub status: String,
    /// When it was created, in the words of the system's local time; empty where the form does not say.
    pub created: String,
}

/// Which of some keys are in a system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Existing {
    /// Those that are.
    pub found: BTreeSet<String>,
    /// How many were asked for, from the first; the others are not known.
    pub asked: usize,
}

impl System {
    /// What a form holds and demands, as the system said within ten minutes.
    ///
    /// # Errors
    /// The fault of the call; `E_REPLY_SHAPE` when the answer describes no form.
    pub async fn form(&self, id: &str, calls: &mut Calls, now: i64) -> Result<Arc<Form>, Fault> {
        let mut forms = self.forms.lock().await;
        if let Some((at, form)) = forms.get(id)
            && (0..FORM_KEPT).contains(&(now - at))
        {
            return Ok(Arc::clone(form));
        }
        self.leave(calls).await.ok_or_else(|| self.spent(calls))?;
        let begun = Instant::now();
        let answer = timeout_at(calls.until, self.client.query_business_info(id)).await;
        let answer = answer.unwrap_or_else(|_| Err(late("QueryBusinessInfo", begun)));
        let read = answer.as_ref().ok().and_then(Form::read);
        let answered = match (&answer, &read) {
            (Err(error), _) => error.to_string(),
            (_, None) => "no form".to_owned(),
            (_, Some(form)) => format!("{} fields of the head, {} parts", form.head.len(), form.entities.len()),
        };
        let asked = "what the form holds and demands".to_owned();
        let call = Call { method: "QueryBusinessInfo", form: id.to_owned(), asked, answered, took: begun.elapsed() };
        calls.made.push(call);
        answer.map_err(|error| error.exact_fault())?;
        let form = read.ok_or_else(|| {
            Fault::new(Code::ReplyShape, "QueryBusinessInfo answered with something that describes no form")
                .of_record(id)
                .at_path("$.Result.NeedReturnData")
        })?;
        let form = Arc::new(form);
        if forms.len() >= FORMS {
            forms.clear();
        }
        forms.insert(id.to_owned(), (now, Arc::clone(&form)));
        Ok(form)
    }

    /// The documents whose field `key` is `value`.
    ///
    /// # Errors
    /// The fault of the call.
    pub async fn heads(&self, form: &Form, key: &str, value: &str, calls: &mut Calls) -> Result<Vec<Head>, Fault> {
        let mut columns = vec![form.primary_key.clone(), key.to_owned()];
        let has = |name: &str| form.head.contains_key(&name.to_lowercase());
        columns.extend([STATUS, CREATED].into_iter().filter(|name| has(name)).map(str::to_owned));
        let query = BillQuery {
            form_id: form.id.clone(),
            field_keys: columns.clone(),
            filter: filter::equals(key, value),
            order: form.primary_key.clone(),
            limit: PAGE,
            ..BillQuery::default()
        };
        let rows = self.rows(&query, format!("documents whose {key} is {value}"), calls).await?;
        let mut heads: Vec<Head> = Vec::new();
        for row in rows {
            let cell = |name: &str| text(columns.iter().position(|column| column == name).and_then(|at| row.get(at)));
            let head =
                Head { id: cell(&form.primary_key), key: cell(key), status: cell(STATUS), created: cell(CREATED) };
            if !heads.iter().any(|known| known.id == head.id) {
                heads.push(head);
            }
        }
        Ok(heads)
    }

    /// The rows of one document, in the order of its lines: each column by its name.
    ///
    /// # Errors
    /// The fault of the call.
    pub async fn lines(
        &self,
        form: &Form,
        id: &str,
        columns: &[String],
        line_id: Option<&str>,
        calls: &mut Calls,
    ) -> Result<Vec<Map<String, Value>>, Fault> {
        let mut order = form.primary_key.clone();
        if let Some(line_id) = line_id {
            order = format!("{order} ASC, {line_id} ASC");
        }
        let query = BillQuery {
            form_id: form.id.clone(),
            field_keys: columns.to_vec(),
            filter: filter::equals(&form.primary_key, id),
            order,
            limit: PAGE,
            ..BillQuery::default()
        };
        let rows = self.rows(&query, format!("{} fields of document {id}", columns.len()), calls).await?;
        Ok(rows.into_iter().map(|row| columns.iter().cloned().zip(row).collect()).collect())
    }

    /// Which of `keys` the field `key` of `form` has, as far as `calls` go: a query asks for 200 of them.
    ///
    /// # Errors
    /// The fault of the call; what was found before is lost then.
    pub async fn existing(&self, form: &str, key: &str, keys: &[String], calls: &mut Calls) -> Result<Existing, Fault> {
        let mut existing = Existing::default();
        for chunk in keys.chunks(KEYS) {
            let wanted: BTreeSet<&str> = chunk.iter().map(String::as_str).collect();
            let mut found = BTreeSet::new();
            for condition in filter::is_in_chunks(key, chunk, KEYS, KEY_CHARACTERS) {
                let mut start_row = 0;
                // Servers clamp pages: only an empty one is the end, unless nothing is left to be found.
                while found.len() < wanted.len() {
                    let Some(_) = self.leave(calls).await else {
                        // What is there is there; of the rest of this chunk nothing is known.
                        existing.found.extend(found);
                        return Ok(existing);
                    };
                    let query = BillQuery {
                        form_id: form.to_owned(),
                        field_keys: vec![key.to_owned()],
                        filter: condition.clone(),
                        order: key.to_owned(),
                        start_row,
                        limit: PAGE,
                        ..BillQuery::default()
                    };
                    let asked = format!("which of {} keys are there", chunk.len());
                    let rows = self.ask(&query, asked, calls).await?;
                    if rows.is_empty() {
                        break;
                    }
                    start_row += rows.len() as u64;
                    found.extend(rows.iter().map(|row| text(row.first())).filter(|key| wanted.contains(key.as_str())));
                }
            }
            existing.found.extend(found);
            existing.asked += chunk.len();
        }
        Ok(existing)
    }

    pub(crate) async fn rows(
        &self,
        query: &BillQuery,
        asked: String,
        calls: &mut Calls,
    ) -> Result<Vec<Vec<Value>>, Fault> {
        self.leave(calls).await.ok_or_else(|| self.spent(calls))?;
        self.ask(query, asked, calls).await
    }

    /// Makes a call for which there is leave.
    async fn ask(&self, query: &BillQuery, asked: String, calls: &mut Calls) -> Result<Vec<Vec<Value>>, Fault> {
        let begun = Instant::now();
        let answer = timeout_at(calls.until, self.client.execute_bill_query(query)).await;
        let answer = answer.unwrap_or_else(|_| Err(late("ExecuteBillQuery", begun)));
        let answered = match &answer {
            Ok(page) => format!("{} rows", page.rows.len()),
            Err(error) => error.to_string(),
        };
        let call =
            Call { method: "ExecuteBillQuery", form: query.form_id.clone(), asked, answered, took: begun.elapsed() };
        calls.made.push(call);
        answer.map(|page| page.rows).map_err(|error: Error| error.exact_fault())
    }

    /// Waits for leave to make one more call; nothing comes where the calls or their time are used up.
    async fn leave(&self, calls: &Calls) -> Option<()> {
        if calls.are_spent() {
            return None;
        }
        timeout_at(calls.until, self.quota.permit(Lane::Replay)).await.ok().map(drop)
    }

    /// The fault of a look that has no calls or no time left.
    pub fn spent(&self, calls: &Calls) -> Fault {
        let detail =
            format!("{} calls were made, and no more may be, or no leave came for one in time", calls.made.len());
        Fault::new(Code::ErpTimeout, detail).of_record(self.client.account())
    }
}

fn late(method: &str, begun: Instant) -> Error {
    Error::TimedOut { method: method.to_owned(), limit: begun.elapsed() }
}

pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Forms that a system described, with the time of their answer.
pub(super) type Forms = tokio::sync::Mutex<BTreeMap<String, (i64, Arc<Form>)>>;
