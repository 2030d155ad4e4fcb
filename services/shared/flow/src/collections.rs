//! Stored records of other schemes, as the lookups of a flow see them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use document::{Code, Fault};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::lookup::{Collection, Query, Stored};
use crate::strict;
use crate::text::interpolate;

/// The stored records that `_findCollection` and `_mongoQuery` look into, by scheme id.
pub trait Collections: Debug + Send + Sync {
    /// What the lookup finds; null when nothing matches or the scheme is unknown.
    fn find(&self, query: &Query) -> Value;

    /// Whether the scheme is known at all.
    fn knows(&self, scheme: &str) -> bool;
}

/// No stored records: every lookup finds nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCollections;

impl Collections for NoCollections {
    fn find(&self, _query: &Query) -> Value {
        Value::Null
    }

    fn knows(&self, _scheme: &str) -> bool {
        false
    }
}

/// A stored record as people write it: id and number may be JSON numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Written {
    id: Value,
    #[serde(default)]
    number: Value,
    #[serde(default)]
    status: i64,
    #[serde(default)]
    content: Map<String, Value>,
}

impl Written {
    pub(crate) fn stored(self) -> Stored {
        let (id, number) = (interpolate(&self.id, false), interpolate(&self.number, false));
        Stored { id, number, status: self.status, content: self.content }
    }
}

/// Stored records in memory. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    schemes: HashMap<String, Arc<Collection>>,
}

impl Shelf {
    /// Puts the records of one scheme, oldest first, in place of those it had.
    pub fn put(&mut self, scheme: impl Into<String>, records: Vec<Stored>) {
        self.schemes.insert(scheme.into(), Arc::new(Collection::new(records)));
    }

    /// Puts the records that the text of collection file `name` holds:
    /// `[{"id": 1, "number": "M1", "content": {…}}, …]`, oldest first.
    ///
    /// # Errors
    /// [`Code::Json`] or [`Code::CollectionFile`] with the place of what is not in the form.
    pub fn put_file(&mut self, scheme: impl Into<String>, name: &str, text: &str) -> Result<(), Fault> {
        let records: Vec<Written> = strict::read(name, text, Code::CollectionFile)?;
        self.put(scheme, records.into_iter().map(Written::stored).collect());
        Ok(())
    }

    /// The schemes whose records are here, in order of their ids.
    pub fn schemes(&self) -> Vec<&str> {
        let mut schemes: Vec<&str> = self.schemes.keys().map(String::as_str).collect();
        schemes.sort_unstable();
        schemes
    }
}

impl Collections for Shelf {
    fn find(&self, query: &Query) -> Value {
        self.schemes.get(query.collection()).map_or(Value::Null, |collection| collection.find(query))
    }

    fn knows(&self, scheme: &str) -> bool {
        self.schemes.contains_key(scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_file_is_read_as_case_files_write_records_or_names_what_is_wrong() {
        let mut shelf = Shelf::default();
        let text = r#"[{"id": 1, "number": "M1", "content": {"FID": 814}}, {"id": "2"}]"#;
        shelf.put_file("u", "materials.json", text).expect("records");
        assert_eq!(shelf.schemes(), ["u"]);
        let query = crate::lookup::Lookup::parse_find_collection("find FID from u where number=M1").expect("a lookup");
        let run = crate::Run { now: 0, last_sync_time: 0, zone: chrono_tz::UTC, page: None };
        assert_eq!(shelf.find(&query.bind(&Value::Null, &run).expect("bound")), Value::from(814));
        for (text, code, path) in [
            ("[", Code::Json, None),
            (r#"{"id": 1}"#, Code::CollectionFile, Some("$")),
            (r#"[{"id": 1}, {"nummer": "x"}]"#, Code::CollectionFile, Some("$[1].nummer")),
            (r#"[{"number": "x"}]"#, Code::CollectionFile, Some("$[0]")),
        ] {
            let fault = shelf.put_file("u", "materials.json", text).expect_err(text);
            assert_eq!((fault.code, fault.place.path.as_deref()), (code, path), "{fault}");
            assert_eq!(fault.place.file.as_deref(), Some("materials.json"));
            assert!(fault.place.line.is_some());
        }
    }
}
