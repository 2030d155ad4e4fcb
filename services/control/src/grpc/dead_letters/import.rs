//! Letters of a file against what they are now.

use std::collections::BTreeMap;

use document::{Code, Fault};
use serde_json::Value;
use starbridge_proto::v1;

use super::super::{Shared, edit_check, show};
use super::edit::{edited, sound};
use crate::core::Letter;
use crate::core::letters::{By, next_revision, replayable};
use crate::letter::LetterEvent;
use crate::mask::Masker;

/// Letters of one request.
const MOST: usize = 500;
/// Forms of which the checks of one request ask.
const FORMS: usize = 20;

/// The ids of a request.
///
/// # Errors
/// `E_REQUEST` for none, too many, or one twice.
pub(super) fn ids(request: &v1::ImportDeadLettersRequest) -> Result<Vec<String>, Fault> {
    let wrong = |detail: &str| Err(Fault::new(Code::RequestInvalid, detail).at_path("$.letters"));
    let ids: Vec<String> = request.letters.iter().map(|letter| letter.id.clone()).collect();
    let mut distinct = ids.clone();
    distinct.sort();
    distinct.dedup();
    match ids.len() {
        0 => wrong("is empty"),
        number if number > MOST => wrong("holds more than 500 letters"),
        number if number != distinct.len() => wrong("names a letter twice"),
        _ => Ok(ids),
    }
}

/// What a letter of a file comes to: nothing where its payload is `published`, what a replay would publish now, else an
/// edit. What was masked is compared masked, and never recorded.
///
/// # Errors
/// `E_EXPORT_FILE` for another payload that is not to be recorded, or was masked; as an edit of the letter: `E_EDIT_REVISION`,
/// `E_EDIT_PATCH`, and what keeps it from being replayed.
pub(super) fn judge(
    letter: &v1::ImportedLetter,
    known: &Letter,
    published: &[u8],
    as_edit: bool,
    masker: &Masker,
    by: &By,
) -> Result<Option<LetterEvent>, Fault> {
    let of_letter = |fault: Fault| fault.of_record(known.id.0.clone());
    let now = if letter.masked { show::payload(published, Some(masker)).data } else { published.to_vec() };
    if same(&letter.payload, &now) {
        return Ok(None);
    }
    let refused = |detail: &str| Err(of_letter(Fault::new(Code::ExportFile, detail)));
    if letter.masked {
        return refused("the payload was masked when it was exported, and is another one in the file");
    }
    if !as_edit {
        return refused("the payload in the file is not what a replay would publish now");
    }
    let revision = next_revision(known, letter.revision)?;
    replayable(known, true)?;
    let value: Value = serde_json::from_slice(&letter.payload)
        .map_err(|error| of_letter(Fault::new(Code::EditPatch, format!("the payload is no JSON: {error}"))))?;
    sound(&value, known.stage == document::Stage::Transform).map_err(of_letter)?;
    Ok(Some(edited(known, revision, letter.payload.clone(), by)))
}

/// What the check of a letter's payload came to: what a replay would have published when it was checked, and whether the
/// other one may stand in its place.
type Checked = (Vec<u8>, Result<(), Fault>);

/// Checks the payloads of a file that are not what a replay would publish, as edits are checked. A letter that is not there,
/// or whose payload was masked, needs no check: it is refused anyway.
pub(super) async fn check(shared: &Shared, letters: &[v1::ImportedLetter]) -> BTreeMap<String, Checked> {
    let mut calls = edit_check::calls(FORMS);
    let mut checked = BTreeMap::new();
    for of_file in letters.iter().filter(|letter| !letter.masked) {
        let Ok(found) = shared.letter(&of_file.id) else { continue };
        let now = found.published();
        if !same(&of_file.payload, now) {
            let result = edit_check::check(shared, &found, now, &of_file.payload, &mut calls).await;
            checked.insert(found.row.id.0.clone(), (now.to_vec(), result.map(drop)));
        }
    }
    checked
}

/// Whether the check of an edit stands, where a replay would now publish `published`.
///
/// # Errors
/// What the check found; `E_EDIT_REVISION` where the letter has changed since.
pub(super) fn stood(checked: Option<&Checked>, published: &[u8]) -> Result<(), Fault> {
    match checked {
        Some((before, result)) if before == published => result.clone(),
        _ => Err(Fault::new(Code::EditRevision, "the letter was edited while the file was checked")),
    }
}

/// Whether two payloads say the same: bytes, or JSON with the same members in whatever order, numbers as they are written.
fn same(left: &[u8], right: &[u8]) -> bool {
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    left == right || json(left).is_some_and(|left| json(right) == Some(left))
}

#[cfg(test)]
mod tests {
    use document::{Category, DeadLetterId, FlowName, Stage, Version};

    use super::*;
    use crate::letter::State;
    use crate::mask::DEFAULT_RULES;

    fn known(event: Option<LetterEvent>) -> Letter {
        Letter {
            id: DeadLetterId("ab".to_owned()),
            flow: FlowName::new("misc").expect("valid"),
            document: "A".into(),
            target: Some("T".into()),
            version: Version(3),
            stage: Stage::Load,
            category: Category::Validation,
            code: Code::ReferenceMissing,
            attempts: 1,
            last_failed_at: 5,
            retry_at: None,
            failed_in: None,
            has_original: true,
            event,
        }
    }

    fn of_file(payload: &str, masked: bool) -> v1::ImportedLetter {
        v1::ImportedLetter { id: "ab".to_owned(), revision: 0, payload: payload.into(), masked }
    }

    const NOW: &[u8] = br#"{"FQty":1.50,"FMobile":"13800138000"}"#;

    fn judged(letter: &v1::ImportedLetter, known: &Letter, as_edit: bool) -> Result<Option<LetterEvent>, Fault> {
        let masker = Masker::new(DEFAULT_RULES).expect("rules");
        let by = By { name: "li".to_owned(), reason: Some("typo".to_owned()), at: 9 };
        judge(letter, known, NOW, as_edit, &masker, &by)
    }

    #[test]
    fn what_is_the_same_changes_nothing_in_whatever_order_it_stands() {
        let masked = show::payload(NOW, Some(&Masker::new(DEFAULT_RULES).expect("rules"))).data;
        let masked = String::from_utf8(masked).expect("text");
        assert!(!masked.contains("13800138000"), "{masked}");
        let turned = r#"{"FMobile": "13800138000", "FQty": 1.50}"#;
        for letter in [of_file(turned, false), of_file(&masked, true)] {
            for as_edit in [false, true] {
                assert_eq!(judged(&letter, &known(None), as_edit), Ok(None));
            }
        }
    }

    #[test]
    fn another_payload_is_an_edit_or_refused() {
        let other = r#"{"FQty":1.5,"FMobile":"13800138000"}"#;
        for (letter, as_edit) in [(of_file(other, false), false), (of_file(other, true), true)] {
            let fault = judged(&letter, &known(None), as_edit).expect_err("refused");
            assert_eq!((fault.code, fault.place.record.as_deref()), (Code::ExportFile, Some("ab")));
        }
        let event = judged(&of_file(other, false), &known(None), true).expect("an edit").expect("an event");
        let edit = event.edit.as_ref().expect("an edit");
        assert_eq!((edit.rev, edit.body.as_slice(), edit.by.as_str()), (1, other.as_bytes(), "li"));
        assert_eq!((event.state, event.reason.as_deref(), event.at), (State::Open, Some("typo"), 9));
        // The letter was edited since the file was made.
        let fault = judged(&of_file(other, false), &known(Some(event)), true).expect_err("moved on");
        assert_eq!(fault.code, Code::EditRevision);
        for (payload, code) in [("no json", Code::EditPatch), ("[]", Code::EditPatch)] {
            assert_eq!(judged(&of_file(payload, false), &known(None), true).map_err(|fault| fault.code), Err(code));
        }
        let parked = LetterEvent::new(State::Parked, 1, "li", 1);
        let fault = judged(&of_file(other, false), &known(Some(parked)), true).expect_err("parked");
        assert_eq!(fault.code, Code::LetterState);
    }

    #[test]
    fn a_check_stands_for_what_was_checked() {
        let wrong = Fault::new(Code::EditPatch, "no such field");
        assert_eq!(stood(Some(&(NOW.to_vec(), Ok(()))), NOW), Ok(()));
        assert_eq!(stood(Some(&(NOW.to_vec(), Err(wrong.clone()))), NOW), Err(wrong));
        for moved in [None, Some(&(b"{}".to_vec(), Ok(())))] {
            assert_eq!(stood(moved, NOW).map_err(|fault| fault.code), Err(Code::EditRevision));
        }
    }

    #[test]
    fn a_request_names_each_letter_once() {
        let request = |number: usize, id: fn(usize) -> String| v1::ImportDeadLettersRequest {
            letters: (0..number).map(|n| v1::ImportedLetter { id: id(n), ..Default::default() }).collect(),
            ..Default::default()
        };
        assert_eq!(ids(&request(500, |n| n.to_string())).map(|ids| ids.len()), Ok(500));
        for wrong in [request(0, |n| n.to_string()), request(501, |n| n.to_string()), request(2, |_| "a".to_owned())] {
            let fault = ids(&wrong).expect_err("refused");
            assert_eq!((fault.code, fault.place.path.as_deref()), (Code::RequestInvalid, Some("$.letters")));
        }
    }
}
