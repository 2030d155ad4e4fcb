//! Payloads that people put in the place of the original ones.

use document::{Code, Fault};
use serde_json::Value;

use crate::core::Letter;
use crate::core::letters::By;
use crate::index;
use crate::letter::{Edit, LetterEvent};

/// What a replay would publish now.
pub(super) fn published(known: &Letter, found: &index::Letter) -> Vec<u8> {
    let edit = known.event.as_ref().and_then(|event| event.edit.as_ref());
    edit.map_or_else(|| found.letter.body.clone(), |edit| edit.body.clone())
}

/// The letter's next event, which holds `body` as its edit. The original stays in the letter.
pub(super) fn edited(known: &Letter, revision: u32, body: Vec<u8>, by: &By) -> LetterEvent {
    let fresh = || LetterEvent::new(known.state(), known.attempts, by.name.clone(), by.at);
    let mut event = known.event.clone().unwrap_or_else(fresh);
    event.by.clone_from(&by.name);
    event.at = by.at;
    event.reason.clone_from(&by.reason);
    let reason = by.reason.clone().unwrap_or_default();
    event.edit = Some(Edit { rev: revision, body, by: by.name.clone(), at: by.at, reason });
    event
}

/// Whether a payload is something that can be published. `rows`: what a mapping takes is a list of objects, what a target
/// takes is one object.
pub(super) fn sound(value: &Value, rows: bool) -> Result<(), Fault> {
    let sound = match (value, rows) {
        (Value::Array(list), true) => !list.is_empty() && list.iter().all(Value::is_object),
        (Value::Object(_), false) => true,
        _ => false,
    };
    let shape = if rows { "a list of objects" } else { "one object" };
    if sound { Ok(()) } else { Err(Fault::new(Code::EditPatch, format!("what is left is not {shape}"))) }
}

/// A payload after a JSON Patch, and what differs. As [`sound`].
pub(super) fn patched(before: &[u8], patch: &str, rows: bool) -> Result<(Vec<u8>, Vec<String>), Fault> {
    let wrong = |detail: String| Fault::new(Code::EditPatch, detail);
    let mut value: Value =
        serde_json::from_slice(before).map_err(|error| wrong(format!("the payload is no JSON: {error}")))?;
    let original = value.clone();
    let patch: json_patch::Patch =
        serde_json::from_str(patch).map_err(|error| wrong(format!("the patch does not read: {error}")))?;
    json_patch::patch(&mut value, &patch).map_err(|error| wrong(error.to_string()))?;
    sound(&value, rows)?;
    let differences = json_patch::diff(&original, &value).0.iter().map(ToString::to_string).collect();
    Ok((serde_json::to_vec(&value).expect("a JSON value can be written"), differences))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_keeps_numbers_as_they_were_written() {
        let before = br#"{"FBillNo":"A","FQty":273.0700000000,"FNote":"x"}"#;
        let patch = r#"[{"op":"replace","path":"/FNote","value":"y"}]"#;
        let (after, differences) = patched(before, patch, false).expect("applies");
        assert_eq!(String::from_utf8(after).expect("text"), r#"{"FBillNo":"A","FQty":273.0700000000,"FNote":"y"}"#);
        assert_eq!(differences.len(), 1);
        assert!(differences[0].contains("/FNote"), "{differences:?}");
    }

    #[test]
    fn a_patch_that_does_not_apply_or_leaves_no_document_is_refused() {
        for (body, patch, rows) in [
            (r#"{"a":1}"#, r#"[{"op":"remove","path":"/b"}]"#, false),
            (r#"{"a":1}"#, r#"[{"op":"test","path":"/a","value":2}]"#, false),
            (r#"{"a":1}"#, r#"[{"op":"replace","path":"","value":[]}]"#, false),
            (r#"[{"a":1}]"#, r#"[{"op":"remove","path":"/0"}]"#, true),
            (r#"[{"a":1}]"#, r#"[{"op":"replace","path":"/0","value":3}]"#, true),
            (r#"{"a":1}"#, "nonsense", false),
            ("no json", "[]", false),
        ] {
            let fault = patched(body.as_bytes(), patch, rows).expect_err(patch);
            assert_eq!(fault.code, Code::EditPatch, "{patch}");
        }
    }
}
