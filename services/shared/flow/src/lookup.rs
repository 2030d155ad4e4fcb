//! Lookups in the stored records of another scheme: `_findCollection` and `_mongoQuery`.
//!
//! A statement is split once, before any reference is filled, so data with blanks or quotes cannot change it. For each
//! record it is bound to values ([`Lookup::bind`]) and the resulting [`Query`] is put to a [`Collection`], which keeps
//! an index on every field that was compared.

use document::{Code, Fault};
use serde_json::Value;

use crate::function::{Run, Scope, render, resolve};
use crate::reference::{Path, Reference, Template, parse_template};

mod collection;
mod filter;
mod split;

pub use collection::{Collection, Stored};
pub use filter::{Comparison, Filter, Operand};

/// The word a `_findCollection` statement begins with, with its blank.
pub const FIND_COLLECTION: &str = "_findCollection ";

/// The word a `_mongoQuery` statement begins with, with its blank.
pub const MONGO_QUERY: &str = "_mongoQuery ";

/// A split statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookup {
    /// `_findCollection find F from UUID where a=X b=Y`.
    Find {
        /// The field that is answered, a path in `content`.
        field: Path,
        /// The scheme whose records are searched.
        collection: String,
        /// Fields and what each must equal; all must hold.
        conditions: Vec<(Path, Template)>,
    },
    /// `_mongoQuery UUID findField=P where={…}`.
    Mongo {
        /// The field that is answered, a path in the whole record.
        field: Path,
        /// The scheme whose records are searched.
        collection: String,
        /// The filter, with its references still open.
        filter: Filter,
    },
}

impl Lookup {
    /// Splits a statement by its first word; nothing when the text is not a lookup.
    ///
    /// # Errors
    /// As the two readers below.
    pub fn parse(text: &str) -> Option<Result<Self, Fault>> {
        if text.starts_with(FIND_COLLECTION) {
            return Some(Self::parse_find_collection(text));
        }
        text.starts_with(MONGO_QUERY).then(|| Self::parse_mongo_query(text))
    }

    /// Splits `_findCollection find F from UUID where a=X b=Y`; the first word may be left out.
    ///
    /// # Errors
    /// `E_LOOKUP` with the column when a word is missing or a condition is not `name=X`.
    pub fn parse_find_collection(text: &str) -> Result<Self, Fault> {
        let words = split::words(text)?;
        let words: Vec<&split::Word> = words.iter().collect();
        let skipped = usize::from(words.first().is_some_and(|word| word.text == "_findCollection"));
        let end = text.chars().count() + 1;
        let word_at = |at: usize, expected: &str| match words.get(skipped + at) {
            Some(word) => Ok(*word),
            None => Err(misplaced(end, format!("the statement ends before {expected}"))),
        };
        for (at, keyword) in [(0, "find"), (2, "from"), (4, "where")] {
            let word = word_at(at, &format!("{keyword:?}"))?;
            if word.text != keyword {
                return Err(misplaced(word.column, format!("{keyword:?} expected, {:?} found", word.text)));
            }
        }
        let field = Path::lenient(&word_at(1, "the field")?.text);
        let collection = word_at(3, "the collection")?.text.clone();
        word_at(5, "a condition")?;
        let conditions = words.iter().skip(skipped + 5).map(|word| split::condition(word)).collect::<Result<_, _>>()?;
        Ok(Self::Find { field, collection, conditions })
    }

    /// Splits `_mongoQuery UUID findField=P where={…}`; the first word may be left out.
    ///
    /// # Errors
    /// `E_LOOKUP` with the column when a part is missing, the filter is not JSON or an operator is unknown.
    pub fn parse_mongo_query(text: &str) -> Result<Self, Fault> {
        let body = text.strip_prefix(MONGO_QUERY).unwrap_or(text);
        let begin = text.chars().count() - body.chars().count() + 1;
        let expected = "\"_mongoQuery UUID findField=P where={…}\" expected";
        let (collection, rest) = body.split_once(' ').ok_or_else(|| misplaced(begin, expected.to_owned()))?;
        let after = |count: &str| begin + count.chars().count() + 1;
        let rest_column = after(collection);
        let rest_text = rest.strip_prefix("findField=").ok_or_else(|| misplaced(rest_column, expected.to_owned()))?;
        let (field, filter) =
            rest_text.split_once(" where=").ok_or_else(|| misplaced(rest_column, expected.to_owned()))?;
        if collection.is_empty() || field.is_empty() {
            return Err(misplaced(begin, expected.to_owned()));
        }
        let filter_column = text.chars().count() - filter.chars().count() + 1;
        let json: Value = serde_json::from_str(filter)
            .map_err(|error| misplaced(filter_column, format!("the filter is not JSON: {error}")))?;
        let filter = Filter::parse(&json).map_err(|fault| fault.at_column(filter_column.to_string()))?;
        Ok(Self::Mongo { field: Path::lenient(field), collection: collection.to_owned(), filter })
    }

    /// The scheme whose records are searched.
    pub fn collection(&self) -> &str {
        match self {
            Self::Find { collection, .. } | Self::Mongo { collection, .. } => collection,
        }
    }

    /// The references of the statement, in order.
    pub fn references(&self) -> Vec<&Reference> {
        match self {
            Self::Find { conditions, .. } => conditions.iter().flat_map(|(_, wanted)| wanted.references()).collect(),
            Self::Mongo { filter, .. } => filter.references(),
        }
    }

    /// Fills the references of the statement.
    ///
    /// # Errors
    /// `E_FILTER` when a filter of a reference cannot read its value; `E_LOOKUP` when a pattern made of values is not
    /// one.
    pub fn bind(&self, scope: &dyn Scope, run: &Run) -> Result<Query, Fault> {
        match self {
            Self::Find { field, collection, conditions } => {
                let conditions = conditions
                    .iter()
                    .map(|(path, wanted)| Ok((path.clone(), render(wanted, scope, run, false)?)))
                    .collect::<Result<_, Fault>>()?;
                Ok(Query::Find { field: field.clone(), collection: collection.clone(), conditions })
            }
            Self::Mongo { field, collection, filter } => {
                let fill = |operand: &Template| match operand.whole() {
                    Some(reference) => resolve(reference, scope, run),
                    None => render(operand, scope, run, false).map(Value::String),
                };
                let filter = filter.bind(&fill)?;
                Ok(Query::Mongo { field: field.clone(), collection: collection.clone(), filter })
            }
        }
    }
}

/// A statement with its values.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// All conditions must hold, compared by interpolation text.
    Find {
        /// The field that is answered.
        field: Path,
        /// The scheme whose records are searched.
        collection: String,
        /// Fields and the text each must have; an empty text matches nothing.
        conditions: Vec<(Path, String)>,
    },
    /// A filter over the whole record.
    Mongo {
        /// The field that is answered.
        field: Path,
        /// The scheme whose records are searched.
        collection: String,
        /// The filter, its operands filled.
        filter: Filter,
    },
}

impl Query {
    /// The scheme whose records are searched.
    pub fn collection(&self) -> &str {
        match self {
            Self::Find { collection, .. } | Self::Mongo { collection, .. } => collection,
        }
    }
}

fn misplaced(column: usize, detail: String) -> Fault {
    Fault::new(Code::Lookup, detail).at_column(column.to_string())
}

/// The template of a quoted or bare constant with references.
fn template(text: &str, column: usize) -> Result<Template, Fault> {
    parse_template(text).map_err(|fault| fault.at_column(column.to_string()))
}

#[cfg(test)]
mod tests;
