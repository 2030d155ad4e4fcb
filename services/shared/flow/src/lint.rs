//! Looking at single files without a flow around them: what `starctl flow lint` says of a document or a case file.

use document::Fault;
use serde_json::{Map, Value};

use crate::cases::CaseFile;
use crate::metadata::report::Report;
use crate::source::SourceDocument;
use crate::target::TargetDocument;

/// What is to be said of one file.
#[derive(Debug, Default)]
pub struct Findings {
    /// What stops it.
    pub faults: Vec<Fault>,
    /// What is odd and does not stop it.
    pub warnings: Vec<Fault>,
}

/// Checks the text of a source or target document; which of the two it is, its own `type`, `effect` or `api` says,
/// else whether it names an `id`.
pub fn document(name: &str, text: &str) -> Findings {
    let mut report = Report::new(name);
    let is_source = serde_json::from_str::<Map<String, Value>>(text.trim_start_matches('\u{feff}'))
        .map_or(true, |members| is_source(&members));
    match is_source {
        true => drop(SourceDocument::compile(text, name, None, &mut report)),
        false => drop(TargetDocument::compile(text, name, None, None, &mut report)),
    }
    Findings { faults: report.faults, warnings: report.warnings }
}

/// Checks the form of a case file.
pub fn case_file(name: &str, text: &str) -> Findings {
    Findings { faults: CaseFile::read(name, text).err().into_iter().collect(), warnings: Vec::new() }
}

fn is_source(members: &Map<String, Value>) -> bool {
    let word = |key: &str| members.get(key).and_then(Value::as_str).unwrap_or_default().to_ascii_uppercase();
    for key in ["type", "effect"] {
        match word(key).as_str() {
            "QUERY" => return true,
            "EXECUTE" | "WRITE" | "CREATE" => return false,
            _ => {}
        }
    }
    match word("api") {
        api if api.contains("QUERY") => true,
        api if api.contains("SAVE") => false,
        _ => members.contains_key("id") || members.contains_key("pagination"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;

    #[test]
    fn a_document_tells_its_side_itself() {
        for (text, codes) in [
            ("{\"api\":\"x\",\"effect\":\"QUERY\"}", vec![Code::IdMissing]),
            ("{\"api\":\"batchSave\"}", vec![]),
            ("{\"id\":\"a\"}", vec![Code::Api]),
            ("{\"request\":[]}", vec![Code::Api]),
            ("{\"api\":", vec![Code::Json]),
        ] {
            let findings = document("x.json", text);
            assert_eq!(findings.faults.iter().map(|fault| fault.code).collect::<Vec<_>>(), codes, "{text}");
        }
    }
}
