//! Payloads that people put in the place of the original ones.

use document::{Code, Fault};
use json_patch::PatchOperation;
use json_patch::jsonptr::PointerBuf;
use serde_json::Value;

use crate::core::Letter;
use crate::core::letters::By;
use crate::index;
use crate::letter::{Edit, LetterEvent};
use crate::mask::Masker;

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

/// A payload after a JSON Patch, and what differs as it may be shown. As [`sound`]. An operation that would carry what
/// `masker` hides to another place, or tell whether it is something, is refused: an edit shows nothing that a look would
/// not.
pub(super) fn patched(
    before: &[u8],
    patch: &str,
    rows: bool,
    masker: &Masker,
) -> Result<(Vec<u8>, Vec<String>), Fault> {
    let wrong = |detail: String| Fault::new(Code::EditPatch, detail);
    let mut value: Value =
        serde_json::from_slice(before).map_err(|error| wrong(format!("the payload is no JSON: {error}")))?;
    let original = value.clone();
    let patch: json_patch::Patch =
        serde_json::from_str(patch).map_err(|error| wrong(format!("the patch does not read: {error}")))?;
    for operation in &patch.0 {
        let read = match operation {
            PatchOperation::Copy(copy) => Some(&copy.from),
            PatchOperation::Move(moved) => Some(&moved.from),
            PatchOperation::Test(test) => Some(&test.path),
            PatchOperation::Add(_) | PatchOperation::Remove(_) | PatchOperation::Replace(_) => None,
        };
        let hidden = |place: &&PointerBuf| {
            let there = place.resolve(&value).ok();
            there.is_some_and(|there| masker.value(&members(place, &value), there).is_some())
        };
        if let Some(place) = read.filter(hidden) {
            return Err(wrong(format!("{place} is masked: it is neither copied, moved nor tested")));
        }
        json_patch::patch(&mut value, std::slice::from_ref(operation)).map_err(|error| wrong(error.to_string()))?;
    }
    sound(&value, rows)?;
    let differences = json_patch::diff(&original, &value).0.into_iter();
    let differences = differences.map(|operation| shown(operation, &value, masker).to_string()).collect();
    Ok((serde_json::to_vec(&value).expect("a JSON value can be written"), differences))
}

/// A difference as it may be shown.
fn shown(mut operation: PatchOperation, document: &Value, masker: &Masker) -> PatchOperation {
    let change = match &mut operation {
        PatchOperation::Add(add) => Some((&add.path, &mut add.value)),
        PatchOperation::Replace(replace) => Some((&replace.path, &mut replace.value)),
        PatchOperation::Test(test) => Some((&test.path, &mut test.value)),
        PatchOperation::Copy(_) | PatchOperation::Move(_) | PatchOperation::Remove(_) => None,
    };
    if let Some((place, value)) = change
        && let Some(masked) = masker.value(&members(place, document), value)
    {
        *value = masked;
    }
    operation
}

/// The members of `document` that lead to a place: places in lists do not count.
fn members(place: &PointerBuf, document: &Value) -> Vec<String> {
    let mut at = Some(document);
    let mut members = Vec::new();
    for token in place.tokens() {
        let name = token.decoded();
        at = match at {
            Some(Value::Array(items)) => name.parse::<usize>().ok().and_then(|place| items.get(place)),
            inside => {
                members.push(name.to_string());
                inside.and_then(|inside| inside.get(name.as_ref()))
            }
        };
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_keeps_numbers_as_they_were_written() {
        let before = br#"{"FBillNo":"A","FQty":273.0700000000,"FNote":"x"}"#;
        let patch = r#"[{"op":"replace","path":"/FNote","value":"y"}]"#;
        let (after, differences) = patched(before, patch, false, &Masker::default()).expect("applies");
        assert_eq!(String::from_utf8(after).expect("text"), r#"{"FBillNo":"A","FQty":273.0700000000,"FNote":"y"}"#);
        assert_eq!(differences.len(), 1);
        assert!(differences[0].contains("/FNote"), "{differences:?}");
    }

    #[test]
    fn what_is_masked_is_neither_told_nor_carried_elsewhere() {
        let masker = Masker::default();
        let before = r#"[{"FMobile":"13800138000","FContact":{"FName":"李雷"},"FNote":"请拨13800138000","FQty":1.50}]"#;
        let told = |patch: &str| patched(before.as_bytes(), patch, true, &masker).map(|(_, differences)| differences);
        let differences = told(
            r#"[{"op":"replace","path":"/0/FMobile","value":"13900139000"},{"op":"replace","path":"/0/FQty","value":2.5},
                {"op":"replace","path":"/0/FContact/FName","value":"韩梅梅"},{"op":"add","path":"/0/FTo","value":"x 13900139000"}]"#,
        )
        .expect("applies");
        let text = differences.join("\n");
        assert_eq!((differences.len(), text.matches("***").count()), (4, 3), "{text}");
        assert!(text.contains("2.5") && !text.contains("139") && !text.contains('韩'), "{text}");
        for (operations, place) in [
            (r#"{"op":"copy","from":"/0/FMobile","path":"/0/FTo"}"#, "/0/FMobile"),
            (r#"{"op":"copy","from":"/0","path":"/1"}"#, "/0"),
            (r#"{"op":"move","from":"/0/FContact","path":"/0/FTo"}"#, "/0/FContact"),
            (r#"{"op":"test","path":"/0/FContact/FName","value":"韩梅梅"}"#, "/0/FContact/FName"),
            (r#"{"op":"test","path":"/0/FNote","value":"请"}"#, "/0/FNote"),
            // What was not masked where it stood is where it stands now.
            (
                r#"{"op":"add","path":"/0","value":{"FNote":"x"}},{"op":"copy","from":"/1/FNote","path":"/0/FTo"}"#,
                "/1/FNote",
            ),
        ] {
            let fault = told(&format!("[{operations}]")).expect_err(operations);
            assert_eq!(fault.code, Code::EditPatch, "{operations}");
            assert!(fault.detail.starts_with(place), "{fault}");
        }
        assert_eq!(told(r#"[{"op":"copy","from":"/0/FQty","path":"/0/FMore"}]"#).map(|told| told.len()), Ok(1));
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
            let fault = patched(body.as_bytes(), patch, rows, &Masker::default()).expect_err(patch);
            assert_eq!(fault.code, Code::EditPatch, "{patch}");
        }
    }
}
