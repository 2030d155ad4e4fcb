//! The stored records of one scheme, with an index on every field that lookups compare.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Query;
use crate::reference::{Path, walk};
use crate::text::interpolate;

/// One stored record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Its unique key.
    pub id: String,
    /// The number of its bill.
    pub number: String,
    /// 0 waiting, 1 repeated, 2 finished, 3 error, 4 not audited, 5 queued.
    #[serde(default)]
    pub status: i64,
    /// The record as it was shaped by its source document.
    pub content: Map<String, Value>,
}

impl Stored {
    /// A path in the whole record: `id`, `number`, `status` or `content` with what is below it.
    pub(super) fn member(&self, path: &Path) -> Option<Cow<'_, Value>> {
        match path.as_str() {
            "id" => return Some(Cow::Owned(Value::String(self.id.clone()))),
            "number" => return Some(Cow::Owned(Value::String(self.number.clone()))),
            "status" => return Some(Cow::Owned(self.status.into())),
            "content" => return Some(Cow::Owned(Value::Object(self.content.clone()))),
            _ => {}
        }
        self.inside(&Path::lenient(path.as_str().strip_prefix("content.")?)).map(Cow::Borrowed)
    }

    /// A path in the content; `id` and `number` are the record's own when the content has none.
    fn field(&self, path: &Path) -> Option<Cow<'_, Value>> {
        match (self.inside(path), path.as_str()) {
            (Some(value), _) => Some(Cow::Borrowed(value)),
            (None, "id" | "number") => self.member(path),
            (None, _) => None,
        }
    }

    fn inside(&self, path: &Path) -> Option<&Value> {
        if let Some(value) = self.content.get(path.as_str()) {
            return Some(value);
        }
        let (first, below) = path.as_str().split_once('.')?;
        walk(self.content.get(first)?, &Path::lenient(below))
    }
}

/// Positions of records by the text of one field, oldest first.
type Index = HashMap<String, Vec<usize>>;

/// The stored records of one scheme, oldest first.
#[derive(Debug, Default)]
pub struct Collection {
    records: Vec<Stored>,
    /// By field; `true` for a path in the whole record. Built when a field is first compared.
    indexes: RwLock<HashMap<(bool, String), Arc<Index>>>,
}

impl Collection {
    /// Takes the records, oldest first.
    pub fn new(records: Vec<Stored>) -> Self {
        Self { records, indexes: RwLock::default() }
    }

    /// The records, oldest first.
    pub fn records(&self) -> &[Stored] {
        &self.records
    }

    /// The answered field of the oldest record that fits, its type kept; null when none fits.
    pub fn find(&self, query: &Query) -> Value {
        let found = match query {
            Query::Find { field, conditions, .. } => {
                self.oldest(conditions).and_then(|record| record.field(field).map(Cow::into_owned))
            }
            Query::Mongo { field, filter, .. } => {
                let record = match filter.demanded() {
                    Some((path, text)) => self
                        .index(true, path)
                        .get(&text)
                        .into_iter()
                        .flatten()
                        .filter_map(|at| self.records.get(*at))
                        .find(|record| filter.matches(record)),
                    None => self.records.iter().find(|record| filter.matches(record)),
                };
                record.and_then(|record| record.member(field).map(Cow::into_owned))
            }
        };
        found.unwrap_or(Value::Null)
    }

    fn oldest(&self, conditions: &[(Path, String)]) -> Option<&Stored> {
        if conditions.iter().any(|(_, wanted)| wanted.is_empty()) {
            return None;
        }
        let (first, rest) = conditions.split_first()?;
        let index = self.index(false, &first.0);
        index.get(&first.1)?.iter().filter_map(|at| self.records.get(*at)).find(|record| {
            rest.iter().all(|(path, wanted)| {
                record.field(path).is_some_and(|value| !value.is_null() && interpolate(&value, false) == *wanted)
            })
        })
    }

    fn index(&self, whole: bool, path: &Path) -> Arc<Index> {
        let key = (whole, path.as_str().to_owned());
        let poisoned = "an index is built before the lock is taken, so nothing panics while it is held";
        if let Some(index) = self.indexes.read().expect(poisoned).get(&key) {
            return Arc::clone(index);
        }
        let mut index = Index::new();
        for (at, record) in self.records.iter().enumerate() {
            let value = if whole { record.member(path) } else { record.field(path) };
            if let Some(value) = value.filter(|value| !value.is_null()) {
                index.entry(interpolate(&value, false)).or_default().push(at);
            }
        }
        let index = Arc::new(index);
        self.indexes.write().expect(poisoned).insert(key, Arc::clone(&index));
        index
    }
}
