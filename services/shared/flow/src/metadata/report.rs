//! Collecting everything that is wrong or odd about one document, with its places.

use document::{Code, Fault};
use serde_json::{Map, Value};

use crate::file::FunctionError;
use crate::suggest;

/// Largest text of one document, in bytes: a hundred times the largest published one.
pub(crate) const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Findings of one document.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    /// What a failing `_function` does: set by the flow file, else by the document when it is read. Passed through, an
    /// expression that does not even parse is no fault.
    pub(crate) function_error: Option<FunctionError>,
}

impl Report {
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), faults: Vec::new(), warnings: Vec::new(), function_error: None }
    }

    /// Notes a fault; the caller may still add a hint.
    pub(crate) fn fault(&mut self, code: Code, path: &str, detail: impl Into<String>) -> &mut Fault {
        self.push_fault(Fault::new(code, detail), path)
    }

    /// Notes a fault that came from inside a value, giving it its place.
    pub(crate) fn push_fault(&mut self, fault: Fault, path: &str) -> &mut Fault {
        self.faults.push(fault.in_file(&self.file).at_path(path));
        self.faults.last_mut().expect("a fault was just pushed")
    }

    /// Notes something odd.
    pub(crate) fn warn(&mut self, code: Code, path: &str, detail: impl Into<String>) -> &mut Fault {
        self.warnings.push(Fault::new(code, detail).in_file(&self.file).at_path(path));
        self.warnings.last_mut().expect("a warning was just pushed")
    }

    /// Warns once of each key of `object` that is none of `known`.
    pub(crate) fn unknown_keys(&mut self, object: &Map<String, Value>, known: &[&str], path: &str) {
        for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
            let fault = self.warn(Code::UnknownKey, &format!("{path}.{key}"), format!("unknown key {key}"));
            fault.hint = suggest::nearest(key, known).map(|near| format!("did you mean {near}?"));
        }
    }

    /// The member `key` as text: absent, null and text are fine, anything else is a fault.
    pub(crate) fn text<'a>(&mut self, object: &'a Map<String, Value>, key: &str, path: &str) -> Option<&'a str> {
        match object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(other) => {
                self.wrong_kind(other, "a text", &format!("{path}.{key}"));
                None
            }
        }
    }

    /// The member `key` as list; null is absence.
    pub(crate) fn list<'a>(&mut self, object: &'a Map<String, Value>, key: &str, path: &str) -> Option<&'a Vec<Value>> {
        match object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) => Some(items),
            Some(other) => {
                self.wrong_kind(other, "a list", &format!("{path}.{key}"));
                None
            }
        }
    }

    /// The member `key` as object; null is absence, and so is an empty list (PHP writes empty objects so).
    pub(crate) fn object<'a>(
        &mut self,
        object: &'a Map<String, Value>,
        key: &str,
        path: &str,
    ) -> Option<&'a Map<String, Value>> {
        match object.get(key) {
            None | Some(Value::Null) => None,
            Some(Value::Array(items)) if items.is_empty() => None,
            Some(Value::Object(members)) => Some(members),
            Some(other) => {
                self.wrong_kind(other, "an object", &format!("{path}.{key}"));
                None
            }
        }
    }

    /// The member `key` as truth: JSON booleans, 0, 1 and their texts.
    pub(crate) fn truth(&mut self, object: &Map<String, Value>, key: &str, path: &str) -> Option<bool> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        match super::coerce::truth(value) {
            Some(truth) => Some(truth),
            None => {
                self.wrong_kind(value, "true or false", &format!("{path}.{key}"));
                None
            }
        }
    }

    /// The member `key` as whole number, also written as text.
    pub(crate) fn whole(&mut self, object: &Map<String, Value>, key: &str, path: &str) -> Option<u64> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        let text = match value {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.trim().to_owned(),
            _ => String::new(),
        };
        match text.parse() {
            Ok(number) => Some(number),
            Err(_) => {
                self.wrong_kind(value, "a whole number", &format!("{path}.{key}"));
                None
            }
        }
    }

    /// Names in a comma list, or in a list of texts.
    pub(crate) fn names(&mut self, object: &Map<String, Value>, key: &str, path: &str) -> Option<Vec<String>> {
        let value = object.get(key).filter(|value| !value.is_null())?;
        let names: Option<Vec<String>> = match value {
            Value::String(text) => Some(text.split(',').map(|name| name.trim().to_owned()).collect()),
            Value::Array(items) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        match names {
            Some(names) => Some(names.into_iter().filter(|name| !name.is_empty()).collect()),
            None => {
                self.wrong_kind(value, "a list of names", &format!("{path}.{key}"));
                None
            }
        }
    }

    /// Notes a value of the wrong kind.
    pub(crate) fn wrong_kind(&mut self, value: &Value, wanted: &str, path: &str) {
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.fault(Code::DocumentShape, path, format!("{kind} stands where {wanted} belongs"));
    }

    /// Reads the text of a document into its top-level members.
    pub(crate) fn read(&mut self, text: &str) -> Option<Map<String, Value>> {
        if text.len() > MAX_BYTES {
            self.fault(Code::Limit, "$", format!("the document has {} bytes, more than {MAX_BYTES}", text.len()));
            return None;
        }
        match serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')) {
            Ok(Value::Object(members)) => Some(members),
            Ok(other) => {
                self.wrong_kind(&other, "an object", "$");
                None
            }
            Err(source) => {
                let deep = source.to_string().contains("recursion limit");
                let code = if deep { Code::Limit } else { Code::Json };
                let fault = Fault::new(code, source.to_string())
                    .in_file(&self.file)
                    .at_line(source.line() as u64, source.column().to_string());
                self.faults.push(fault);
                None
            }
        }
    }
}
