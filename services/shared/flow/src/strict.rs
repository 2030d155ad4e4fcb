//! JSON files whose form is fixed: what is not in the form is named with its place.

use document::{Code, Fault};
use serde::de::DeserializeOwned;

use crate::suggest;

/// Reads the text of file `name`; `code` is the fault of a value that is not in the form.
///
/// # Errors
/// [`Code::Json`] with line and column, or `code` with the JSON path of what is not in the form.
pub(crate) fn read<T: DeserializeOwned>(name: &str, text: &str, code: Code) -> Result<T, Fault> {
    let reader = &mut serde_json::Deserializer::from_str(text.trim_start_matches('\u{feff}'));
    match serde_path_to_error::deserialize(&mut *reader) {
        Ok(value) => reader.end().map(|()| value).map_err(|source| syntax(name, &source)),
        Err(error) if error.inner().is_data() => {
            let (line, column) = (error.inner().line() as u64, error.inner().column().to_string());
            let path = error.path().to_string();
            let message = error.inner().to_string();
            // The place is said apart from the message.
            let words = message.split(" at line ").next().unwrap_or_default().to_owned();
            let path = match path.as_str() {
                "." => "$".to_owned(),
                index if index.starts_with('[') => format!("${index}"),
                member => format!("$.{member}"),
            };
            let hint = unknown_field_hint(&words);
            let fault = Fault::new(code, words).in_file(name).at_path(path).at_line(line, column);
            Err(Fault { hint, ..fault })
        }
        Err(error) => Err(syntax(name, error.inner())),
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
