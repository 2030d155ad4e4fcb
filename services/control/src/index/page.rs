//! Lists, page by page: each begins after the last row that the one before it looked at.

use std::cell::Cell;
use std::ops::ControlFlow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use document::{Code, DeadLetterId, Fault, FlowName};
use rusqlite::types::Value;
use rusqlite::{params, params_from_iter};
use serde::{Deserialize, Serialize};

use super::Index;
use super::plan::Plan;
use super::row::{LetterRow, count, version_column};
use super::schema::failed;
use super::stretch::stretches;
use super::walk::{Scan, Walk, walk};
use crate::letter::OWN_NAME;
use crate::selector::Selector;

/// The order of a list. Letters that are equal in it are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By the first failure.
    FirstFailed,
    /// By the last failure.
    LastFailed,
    /// By the document's key.
    Document,
    /// By flow, then target key or document key, then version: as letters may be published again.
    Replay,
}

/// Which part of which list.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// The letters to list.
    pub selector: &'a Selector,
    /// Their order.
    pub order: Order,
    /// Whether the last comes first.
    pub descending: bool,
    /// Where the page before ended; none for the first.
    pub page_token: Option<&'a str>,
    /// Most letters on the page.
    pub limit: usize,
    /// The time by which ages are told, unix milliseconds. Later pages keep that of the first.
    pub now: i64,
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found, in order. May be fewer than asked for where a scan limit was reached.
    pub items: Vec<T>,
    /// The token of the next page; none when nothing follows.
    pub next: Option<String>,
    /// How far the scan went, for a selector that needs one.
    pub scan: Option<Scan>,
}

/// How many letters a selector wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// As many as were found.
    pub letters: u64,
    /// How far the scan went, for a selector that needs one; when its limit was reached, there may be more.
    pub scan: Option<Scan>,
}

impl Index {
    /// The letters that a selector wants, in order, without their bodies.
    ///
    /// # Errors
    /// `E_PAGE_TOKEN` for a token of another list; `E_INDEX`.
    pub fn list(&self, list: &List<'_>) -> Result<Page<LetterRow>, Fault> {
        self.page(list, |letter| letter)
    }

    /// The ids of the letters that a selector wants in [`Order::Replay`], for work on many of them.
    ///
    /// # Errors
    /// `E_PAGE_TOKEN` for a token of another list; `E_INDEX`.
    pub fn ids(
        &self,
        selector: &Selector,
        page_token: Option<&str>,
        limit: usize,
        now: i64,
    ) -> Result<Page<DeadLetterId>, Fault> {
        let list = List { selector, order: Order::Replay, descending: false, page_token, limit, now };
        self.page(&list, |letter| letter.id)
    }

    /// Open letters of a flow whose timed fault is due again at `now`, unix milliseconds, in the order in which they are
    /// published; at most `limit`, those that are due longest. None that somebody claims, or that a person had the last
    /// word on.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn due(&self, flow: &FlowName, now: i64, limit: usize) -> Result<Vec<DeadLetterId>, Fault> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM (SELECT id, order_key, version FROM letters INDEXED BY letters_by_retry \
                 WHERE flow = ? AND state = 'open' AND retry_at IS NOT NULL AND retry_at <= ? \
                 AND claimed_by IS NULL AND (event_by IS NULL OR event_by = ?) ORDER BY retry_at LIMIT ?) \
                 ORDER BY order_key, version, id",
            )?;
            let ids = statement.query_map(params![flow.as_str(), now, OWN_NAME, limit], |row| row.get(0))?;
            ids.map(|id| id.map(DeadLetterId)).collect()
        })
    }

    /// How many letters a selector wants at `now`, unix milliseconds.
    ///
    /// # Errors
    /// `E_INDEX`.
    pub fn count(&self, selector: &Selector, now: i64) -> Result<Count, Fault> {
        let plan = Plan::of(selector.expression(), now);
        if plan.residual.is_none() {
            let sql = format!("SELECT count(*) FROM letters WHERE {}", plan.condition);
            let letters = self.read(|connection| {
                connection.prepare(&sql)?.query_row(params_from_iter(&plan.values), |row| count(row, 0))
            })?;
            return Ok(Count { letters, scan: None });
        }
        let mut letters = 0;
        let everything = Walk { plan: &plan, limits: self.limits, now, by: "", rest: "", rest_values: &[] };
        let scan = self.reading(|connection| {
            walk(connection, &everything, |_, wanted| {
                letters += u64::from(wanted);
                ControlFlow::Continue(())
            })
        })?;
        Ok(Count { letters, scan: Some(scan) })
    }

    fn page<T>(&self, list: &List<'_>, item: impl Fn(LetterRow) -> T) -> Result<Page<T>, Fault> {
        let token = list.page_token.map(|text| Token::read(text, list)).transpose()?;
        let now = token.as_ref().map_or(list.now, |token| token.now);
        let plan = Plan::of(list.selector.expression(), now);
        let mut items = Vec::new();
        let mut last = token.as_ref().map(|token| token.after.clone());
        let more = Cell::new(false);
        let mut on_letter = |letter: LetterRow, wanted| {
            if items.len() >= list.limit {
                more.set(true);
                return ControlFlow::Break(());
            }
            last = Some(list.order.keys(&letter));
            if wanted {
                items.push(item(letter));
            }
            ControlFlow::Continue(())
        };
        let scan = self.reading(|connection| {
            // All of it as of one instant.
            let snapshot = connection.unchecked_transaction().map_err(failed("the letters cannot be read"))?;
            let ordered = (list.order, list.descending);
            let after = token.map(|token| token.after);
            let mut scan = Scan::default();
            for stretch in stretches(&snapshot, &plan, ordered, after, list.limit)? {
                let (mut rest, mut rest_values) = stretch.sql(list.order, list.descending);
                if plan.residual.is_none() {
                    // Where SQLite sorts, it keeps but a page.
                    rest.push_str(" LIMIT ?");
                    let enough = i64::try_from(list.limit).unwrap_or(i64::MAX).saturating_add(1);
                    rest_values.push(Value::Integer(enough));
                }
                let (by, limits) = (&stretch.by(list.order), self.limits);
                let part = Walk { plan: &plan, limits, now, by, rest: &rest, rest_values: &rest_values };
                scan = walk(&snapshot, &part, &mut on_letter)?;
                if more.get() {
                    break;
                }
            }
            Ok(scan)
        })?;
        let next = (more.get() || scan.limit_reached)
            .then_some(last)
            .flatten()
            .map(|after| Token { of: fingerprint(list), now, after }.write());
        Ok(Page { items, next, scan: plan.residual.is_some().then_some(scan) })
    }
}

impl Order {
    /// The columns; together they are unlike for any two letters.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Order::FirstFailed => &["first_failed", "id"],
            Order::LastFailed => &["last_failed", "id"],
            Order::Document => &["document", "id"],
            Order::Replay => &["flow", "order_key", "version", "id"],
        }
    }

    /// The index that has them.
    pub(super) fn index(self) -> &'static str {
        match self {
            Order::FirstFailed => "letters_by_first_failed",
            Order::LastFailed => "letters_by_last_failed",
            Order::Document => "letters_by_document",
            Order::Replay => "letters_by_order_key",
        }
    }

    /// The values of the columns.
    fn keys(self, letter: &LetterRow) -> Vec<Key> {
        let id = Key::Text(letter.id.0.clone());
        match self {
            Order::FirstFailed => vec![Key::Number(letter.first_failed), id],
            Order::LastFailed => vec![Key::Number(letter.last_failed), id],
            Order::Document => vec![Key::Text(letter.document.0.clone()), id],
            Order::Replay => {
                let key = letter.target_key.as_ref().map_or(&letter.document.0, |key| &key.0);
                let version = version_column(letter.version.0);
                vec![Key::Text(letter.flow.as_str().to_owned()), Key::Text(key.clone()), Key::Number(version), id]
            }
        }
    }
}

/// A value of a column that orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Key {
    Number(i64),
    Text(String),
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Number(number) => Value::Integer(number),
            Key::Text(text) => Value::Text(text),
        }
    }
}

/// Where a page ended. Written as JSON in base64, so that nobody takes it for something to be put together by hand.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    of: String,
    now: i64,
    after: Vec<Key>,
}

/// What a token belongs to: selector, order and direction.
fn fingerprint(list: &List<'_>) -> String {
    let told = format!("{:?} {} {}", list.order, list.descending, list.selector);
    blake3::hash(told.as_bytes()).to_hex().chars().take(16).collect()
}

impl Token {
    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a token is plain JSON"))
    }

    fn read(text: &str, list: &List<'_>) -> Result<Self, Fault> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let token: Option<Token> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let Some(token) = token.filter(|token| token.after.len() == list.order.columns().len()) else {
            return Err(Fault::new(Code::PageToken, "the page token does not read"));
        };
        if token.of != fingerprint(list) {
            return Err(Fault::new(Code::PageToken, "the page token belongs to another selector or order"));
        }
        Ok(token)
    }
}
