//! `starctl dlq edit`: what the user wants changed, as a JSON Patch.

use std::path::Path;

use document::{Code, Fault};
use serde_json::{Value, json};
use starbridge_proto::v1;

use crate::cli::Form;
use crate::cli::change::ChangeArgs;
use crate::client;
use crate::command::{Session, view};
use crate::exit;
use crate::message;
use crate::output::failure::Failure;
use crate::place;

/// A change of one payload.
pub(super) struct Edit<'a> {
    pub(super) id: &'a str,
    pub(super) set: &'a [String],
    pub(super) patch: Option<&'a Path>,
    pub(super) expected_revision: Option<u32>,
}

pub(super) async fn run(session: &Session, edit: &Edit<'_>, args: &ChangeArgs) -> Result<u8, Failure> {
    let patch = match edit.patch {
        Some(path) => read(path)?,
        None => Value::from(edit.set.iter().map(|set| operation(set)).collect::<Result<Vec<_>, _>>()?),
    };
    // The whole id, and the revision that the user sees: somebody else's edit in between is not overwritten.
    let letter = session.client.ask(v1::GetDeadLetterRequest { id: edit.id.to_owned(), unmask: false }).await?;
    let letter = letter.dead_letter.unwrap_or_default();
    let what = session.output.pick(
        format!("This edits letter {} of document {}.", letter.id, letter.document_key),
        format!("将编辑单据 {} 的死信 {}。", letter.document_key, letter.id),
    );
    session.confirm_in_production(args, &what, &letter.flow)?;
    let request = v1::EditDeadLetterRequest {
        id: letter.id,
        patch: patch.to_string(),
        expected_revision: edit.expected_revision.unwrap_or(letter.edit_revision),
        change: Some(client::change(args)),
    };
    let answer = session.client.change(request).await?;
    let output = &session.output;
    output.dry_run(args.dry_run)?;
    if !matches!(output.form(), Form::Table | Form::Wide) {
        let mut whole = message::value("EditDeadLetterResponse", &answer);
        if let Some(edited) = &answer.edited {
            whole["edited"]["data"] = super::readable(&edited.data);
        }
        return output.one(&view::LETTER_DETAIL, &whole).map(|()| exit::DONE);
    }
    answer.differences.iter().try_for_each(|line| output.line(&crate::output::table::harmless(line)))?;
    answer.checks.iter().try_for_each(|line| {
        output.remark(&format!("{}: {}", output.pick("checked", "已检查"), crate::output::table::harmless(line)))
    })?;
    Ok(exit::DONE)
}

fn read(path: &Path) -> Result<Value, Failure> {
    let text = place::read(path)?;
    serde_json::from_str(&text).map_err(|error| {
        let fault = Fault::new(Code::Json, error.to_string()).in_file(path.display().to_string());
        Failure::of(fault.at_line(error.line() as u64, error.column().to_string()), exit::INVALID)
    })
}

/// `FEntity[0].FQty=12` or `/FEntity/0/FQty=12` as an operation.
fn operation(set: &str) -> Result<Value, Failure> {
    let wrong = |detail: String| {
        Failure::of(
            Fault::new(Code::CliUsage, detail).hint("write --set 'FNumber=\"M1\"' or --set FQty=12"),
            exit::USAGE,
        )
    };
    let (path, text) = set.split_once('=').ok_or_else(|| wrong(format!("--set {set} has no =")))?;
    let value: Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("--set {path}: {text} is no JSON: {error}")))?;
    let pointer = if path.starts_with('/') { path.to_owned() } else { pointer(path) };
    let last = pointer.rsplit('/').next().unwrap_or_default();
    // To add at an index of a list would push the others on; a field is set whether it is there or not.
    let is_index = !last.is_empty() && last.chars().all(|c| c.is_ascii_digit());
    Ok(json!({"op": if is_index { "replace" } else { "add" }, "path": pointer, "value": value}))
}

/// `FEntity[0].FQty` as a JSON Pointer.
fn pointer(path: &str) -> String {
    let parts = path.split('.').flat_map(|part| part.split('[')).map(|part| part.trim_end_matches(']'));
    let escaped = parts.filter(|part| !part.is_empty()).map(|part| part.replace('~', "~0").replace('/', "~1"));
    escaped.map(|part| format!("/{part}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_written_as_in_selectors_or_as_pointers() {
        let made = |set| operation(set).expect("an operation");
        assert_eq!(
            made("[0].FEntity[1].FQty=12.50").to_string(),
            r#"{"op":"add","path":"/0/FEntity/1/FQty","value":12.50}"#
        );
        assert_eq!(made("/a~1b/0=\"银行\""), json!({"op": "replace", "path": "/a~1b/0", "value": "银行"}));
        assert_eq!(made("a/b={}")["path"], "/a~1b");
        for wrong in ["FQty", "FNumber=M1"] {
            let failure = operation(wrong).expect_err(wrong);
            assert_eq!(failure.exit(), exit::USAGE);
        }
    }
}
