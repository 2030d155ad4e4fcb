//! Stored records of other schemes, as the lookups of a flow see them.

use std::collections::HashMap;
use std::fmt::Debug;

use serde_json::Value;

use crate::lookup::{Collection, Query, Stored};

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

/// Stored records in memory.
#[derive(Debug, Default)]
pub struct Shelf {
    schemes: HashMap<String, Collection>,
}

impl Shelf {
    /// Puts the records of one scheme, oldest first, in place of those it had.
    pub fn put(&mut self, scheme: impl Into<String>, records: Vec<Stored>) {
        self.schemes.insert(scheme.into(), Collection::new(records));
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
