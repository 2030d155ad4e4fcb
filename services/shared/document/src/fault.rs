//! A thing that went wrong, where, and the way out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::Code;

/// Where it went wrong. What does not apply is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// The file, as it was named to us.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// JSON path in the file or document, such as `$.request[2].value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The record: a document key, a bill number, a topic with partition and offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Line of the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// Column of the file or text: its name, or its number in characters from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
}

/// One fault: what, where, in which words, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The entry of the catalogue.
    pub code: Code,
    /// Where.
    #[serde(default)]
    pub place: Place,
    /// What exactly, with the offending text; no secrets, no payloads beyond a name or a code.
    pub detail: String,
    /// What to do here, where that is more than the catalogue says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Fault {
    /// A fault without a place yet.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, place: Place::default(), detail: detail.into(), hint: None }
    }

    /// Names the file.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.place.file = Some(file.into());
        self
    }

    /// Names the JSON path.
    #[must_use]
    pub fn at_path(mut self, path: impl Into<String>) -> Self {
        self.place.path = Some(path.into());
        self
    }

    /// Names the record.
    #[must_use]
    pub fn of_record(mut self, record: impl Into<String>) -> Self {
        self.place.record = Some(record.into());
        self
    }

    /// Names line and column.
    #[must_use]
    pub fn at_line(mut self, line: u64, column: impl Into<String>) -> Self {
        self.place.line = Some(line);
        self.place.column = Some(column.into());
        self
    }

    /// Names the column alone.
    #[must_use]
    pub fn at_column(mut self, column: impl Into<String>) -> Self {
        self.place.column = Some(column.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(|line| line.to_string());
        let parts = [
            ("", &self.file),
            ("line ", &line),
            ("column ", &self.column),
            ("", &self.path),
            ("record ", &self.record),
        ];
        let mut first = true;
        for (word, part) in parts {
            if let Some(part) = part {
                write!(f, "{}{word}{part}", if first { "" } else { ", " })?;
                first = false;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.place != Place::default() {
            write!(f, " at {}", self.place)?;
        }
        write!(f, ": {}", self.detail)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_reads_as_one_line() {
        let fault = Fault::new(Code::Function, "unknown function FOO")
            .in_file("target.json")
            .at_path("$.request[2].value")
            .hint("did you mean FLOOR?");
        assert_eq!(
            fault.to_string(),
            "E_FUNCTION at target.json, $.request[2].value: unknown function FOO (did you mean FLOOR?)"
        );
    }
}
