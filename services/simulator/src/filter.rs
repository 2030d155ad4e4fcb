//! FilterString: SQL-like text or the array form, parsed once and bound to the fields of a form.
//!
//! Truth has three values as in SQL. Texts compare by code point with trailing blanks left out of account, `LIKE` sees
//! every blank, case counts. Dates are written as text and read by the type of the field they meet.

mod array;
mod condition;
mod parse;

use crate::reply::{Problem, unknown_field};
use crate::schema::{Field, Slot};
use crate::store::{Document, Entry, Store};
use crate::value::{Kind, Seen};

pub use condition::Condition;
pub use parse::parse;

/// Most entities with rows that a form can have.
pub const MAX_ENTITIES: usize = 8;

/// One row of a query: a document and one row of each entity that the query reads.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// The document.
    pub document: &'a Document,
    /// By entity index: sequence from 1, and the row.
    pub entries: [Option<(usize, &'a Entry)>; MAX_ENTITIES],
}

/// A key or property path of a query, found once.
#[derive(Debug, Clone)]
pub struct Column {
    /// The slot in the form itself.
    pub slot: Slot,
    /// Further steps through base data: table and slot.
    hops: Vec<(usize, Slot)>,
    /// The type at the end of the path.
    pub class: Class,
}

/// Types as far as comparisons care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Texts and enumeration codes.
    Text,
    /// Numbers and internal ids.
    Number,
    /// Dates.
    Time,
    /// Check fields.
    Bool,
}

impl Column {
    /// Finds `path` (a key, or keys joined by points through base data) in the form at `table`.
    ///
    /// # Errors
    ///
    /// MsgCode 9 for a key that is not there.
    pub fn find(store: &Store, table: usize, path: &str) -> Result<Self, Problem> {
        let path = path.trim();
        let form = &store.table(table).form;
        if let Some(slot) = form.slot(path) {
            return Ok(Self { slot, hops: Vec::new(), class: class(form.field(slot)) });
        }
        let mut keys = path.split('.').map(str::trim);
        let unknown = || unknown_field(path);
        let slot = keys.next().and_then(|key| form.slot(key)).ok_or_else(unknown)?;
        let mut field = form.field(slot);
        let mut hops = Vec::new();
        for key in keys {
            let Some(Kind::BaseData(target)) = field.map(|field| &field.kind) else { return Err(unknown()) };
            let at = store.find(target).ok_or_else(unknown)?;
            let form = &store.table(at).form;
            let slot = form.slot(key).filter(|slot| slot.entity().is_none()).ok_or_else(unknown)?;
            field = form.field(slot);
            hops.push((at, slot));
        }
        Ok(Self { slot, hops, class: class(field) })
    }

    /// What the column holds in a row.
    pub fn see<'a>(&self, store: &'a Store, row: &Row<'a>) -> Seen<'a> {
        let entry = self.slot.entity().and_then(|entity| row.entries.get(entity).copied().flatten());
        let mut seen = Store::seen(row.document, entry, self.slot);
        for (table, slot) in &self.hops {
            let Seen::Int(id) = seen else { return Seen::Null };
            let Some(document) = store.table(*table).get(id) else { return Seen::Null };
            seen = Store::seen(document, None, *slot);
        }
        seen
    }

    /// Whether this is the plain slot, without steps through base data.
    pub fn is_plain(&self, slot: Slot) -> bool {
        self.hops.is_empty() && self.slot == slot
    }
}

fn class(field: Option<&Field>) -> Class {
    match field.map(|field| &field.kind) {
        // Keys and sequences have no field of their own.
        None => Class::Number,
        Some(kind) => match kind {
            Kind::Text | Kind::Enum(_) | Kind::Flex => Class::Text,
            Kind::Int | Kind::Decimal(_) | Kind::BaseData(_) => Class::Number,
            Kind::Date | Kind::DateTime => Class::Time,
            Kind::Bool => Class::Bool,
        },
    }
}
