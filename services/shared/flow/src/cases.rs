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
use serde_json::{Map, Value};

pub use compare::Difference;
pub use run::CaseOutcome;

use crate::metadata::report::MAX_BYTES;
use crate::suggest;

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
    collections: BTreeMap<String, Vec<CaseRecord>>,
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

/// A stored record of another scheme; ids and numbers may be written as JSON numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRecord {
    id: Value,
    #[serde(default)]
    number: Value,
    #[serde(default)]
    status: i64,
    #[serde(default)]
    content: Map<String, Value>,
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
        let reader = &mut serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
        let read: Result<CaseFile, _> = serde_path_to_error::deserialize(&mut *reader);
        match read {
            Ok(file) => match reader.end() {
                Ok(()) => Ok(CaseFile { name: name.to_owned(), ..file }),
                Err(source) => Err(syntax(name, &source)),
            },
            Err(error) if error.inner().is_data() => {
                let (line, column) = (error.inner().line() as u64, error.inner().column().to_string());
                let path = error.path().to_string();
                let message = error.inner().to_string();
                // The place is said apart from the message.
                let words = message.split(" at line ").next().unwrap_or_default().to_owned();
                let path = if path == "." { "$".to_owned() } else { format!("$.{path}") };
                let hint = unknown_field_hint(&words);
                let fault = Fault::new(Code::CaseFile, words).in_file(name).at_path(path).at_line(line, column);
                Err(Fault { hint, ..fault })
            }
            Err(error) => Err(syntax(name, error.inner())),
        }
    }

    /// The name it was read under.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn syntax(name: &str, source: &serde_json::Error) -> Fault {
    Fault::new(Code::Json, source.to_string()).in_file(name).at_line(source.line() as u64, source.column().to_string())
}

/// serde lists the known keys between backticks, the offending one first.
fn unknown_field_hint(words: &str) -> Option<String> {
    let mut quoted = words.strip_prefix("unknown field")?.split('`').skip(1).step_by(2);
    let offending = quoted.next()?;
    Some(suggest::hint(offending, quoted))
}

#[cfg(test)]
mod tests;
