//! Case files: worked examples beside a document (`NAME.cases.json`), run against it.
//!
//! A case gives input and what is expected of it; keys that are absent from `expect` are not checked. JSON numbers
//! compare by value, the order of object members does not matter, the order of lists does. A key that the format does
//! not have is an error, so that a misspelt expectation cannot pass by being overlooked.

mod compare;
mod run;

use std::collections::BTreeMap;

use document::{Code, Fault};
use serde::Deserialize;
use serde_json::Value;

pub use compare::Difference;
pub use run::CaseOutcome;

use crate::collections::Written;
use crate::metadata::report::MAX_BYTES;
use crate::strict;

/// A case file, read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseFile {
    /// File of the document the cases belong to, beside the case file.
    pub metadata: String,
    /// Which side it describes.
    pub side: Side,
    /// Target side: id and number of the scheme's source, by which rows form bills.
    #[serde(default)]
    pub source: Option<SourceIdentity>,
    /// The cases, in order.
    pub cases: Vec<Case>,
    #[serde(skip)]
    name: String,
}

/// Which side of a scheme a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The reading side.
    Source,
    /// The writing side.
    Target,
}

/// Id and number of a scheme's source document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceIdentity {
    /// Field of the unique key.
    pub id: String,
    /// Field of the bill's code; the id where absent.
    #[serde(default)]
    pub number: Option<String>,
}

/// One worked example.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    context: Context,
    #[serde(default)]
    collections: BTreeMap<String, Vec<Written>>,
    /// Ids already stored before the run (source).
    #[serde(default)]
    stored: Vec<Value>,
    #[serde(default)]
    input: Vec<Value>,
    expect: Expect,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Context {
    now: i64,
    last_sync_time: i64,
    tz: Option<String>,
}

/// What is expected; absent keys are not checked.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Expect {
    documents: Option<Value>,
    other: Option<Value>,
    batches: Option<Value>,
    errors: Option<Value>,
    requests: Option<Value>,
    records: Option<Value>,
    repeat: Option<Value>,
}

impl CaseFile {
    /// Reads a case file named `name`.
    ///
    /// # Errors
    /// [`Code::Json`] with line and column, or [`Code::CaseFile`] with the JSON path of what is not in the format.
    pub fn read(name: &str, text: &str) -> Result<CaseFile, Fault> {
        if text.len() > MAX_BYTES {
            let detail = format!("the case file has {} bytes, more than {MAX_BYTES}", text.len());
            return Err(Fault::new(Code::Limit, detail).in_file(name));
        }
        let file: CaseFile = strict::read(name, text, Code::CaseFile)?;
        Ok(CaseFile { name: name.to_owned(), ..file })
    }

    /// The name it was read under.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests;
