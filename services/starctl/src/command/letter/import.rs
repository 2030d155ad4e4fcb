//! `starctl dlq import` and `unseal`.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use starbridge_proto::v1;

use super::{decide, file};
use crate::cli::change::ChangeArgs;
use crate::client;
use crate::command::Session;
use crate::exit;
use crate::output::failure::Failure;

/// Letters of one request.
const LETTERS: usize = 500;
/// Bytes of their payloads, about: half of what a request may hold.
const BYTES: usize = 4 << 20;

/// What is read of a letter's line.
#[derive(Debug, Deserialize)]
struct Line {
    id: String,
    revision: u32,
    masked: bool,
    payload: Option<Box<RawValue>>,
    payload_base64: Option<String>,
}

/// A letter of a file; none when the line is none.
fn letter(line: &str) -> Option<v1::ImportedLetter> {
    let Line { id, revision, masked, payload, payload_base64 } = serde_json::from_str(line).ok()?;
    let payload = match (payload, payload_base64) {
        (Some(json), None) => json.get().as_bytes().to_vec(),
        (None, Some(text)) => STANDARD.decode(text).ok()?,
        _ => return None,
    };
    Some(v1::ImportedLetter { id, revision, payload, masked })
}

/// Letters in requests that the control plane takes.
fn parts(letters: Vec<v1::ImportedLetter>) -> Vec<Vec<v1::ImportedLetter>> {
    let (mut parts, mut bytes) = (vec![Vec::new()], 0);
    for letter in letters {
        let size = letter.payload.len();
        let last = parts.last_mut().expect("there is one");
        if last.len() == LETTERS || (bytes + size > BYTES && !last.is_empty()) {
            bytes = 0;
            parts.push(Vec::new());
        }
        bytes += size;
        parts.last_mut().expect("there is one").push(letter);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

pub(super) async fn run(
    session: &Session,
    path: &Path,
    key: Option<&Path>,
    as_edit: bool,
    args: &ChangeArgs,
) -> Result<u8, Failure> {
    let output = &session.output;
    let contents = file::read(path, key.map(file::key).transpose()?.as_ref())?;
    if !contents.is_as_written && !as_edit {
        let detail = output.pick("its letters are not those that its header tells of", "文件内容与文件头不符");
        return Err(file::wrong(path, detail));
    }
    let read = |(number, line): (usize, &String)| {
        letter(line).ok_or_else(|| file::wrong(path, format!("line {} is no letter", number + 2)))
    };
    let letters: Vec<v1::ImportedLetter> = contents.lines.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    let parts = parts(letters);
    if as_edit && session.must_ask(args)? {
        let (planned, unchanged) = ask(session, &parts, as_edit, args, true).await?;
        if planned.changed == 0 {
            as_in_file(session, unchanged)?;
            return decide::nothing(session, &planned);
        }
        let (number, left) = (planned.changed, planned.refused.len());
        let what = output.pick(
            format!("This edits {number} letters and leaves {left} alone."),
            format!("将编辑 {number} 条死信，{left} 条不处理。"),
        );
        let ids = parts.iter().flatten().map(|letter| letter.id.clone()).collect();
        session.confirm(&what, &decide::flows(session, &v1::Selection { ids, ..Default::default() }).await?)?;
    }
    // To compare changes nothing.
    let (outcome, unchanged) = ask(session, &parts, as_edit, args, args.dry_run || !as_edit).await?;
    as_in_file(session, unchanged)?;
    if !as_edit {
        output.remark(output.pick("nothing was changed", "未做任何变更"))?;
    }
    let code = decide::show(session, &outcome, args.dry_run)?;
    // Letters that are not as in the file are what a comparison is made for.
    Ok(if !as_edit && !outcome.refused.is_empty() { exit::SOME_FAILED } else { code })
}

fn as_in_file(session: &Session, unchanged: i64) -> Result<(), Failure> {
    let said = format!("{unchanged} letters are as in the file");
    session.output.remark(&session.output.pick(said, format!("{unchanged} 条与文件一致")))
}

/// Asks part by part. Sent again with the same key, parts that were done are answered as before.
async fn ask(
    session: &Session,
    parts: &[Vec<v1::ImportedLetter>],
    as_edit: bool,
    args: &ChangeArgs,
    dry_run: bool,
) -> Result<(v1::Outcome, i64), Failure> {
    let change = v1::Change { dry_run, ..client::change(args) };
    let (mut all, mut unchanged) = (v1::Outcome::default(), 0);
    for (number, letters) in parts.iter().enumerate() {
        let idempotency_key = match number {
            0 => change.idempotency_key.clone(),
            number => format!("{}/{number}", change.idempotency_key),
        };
        let change = Some(v1::Change { idempotency_key, ..change.clone() });
        let request = v1::ImportDeadLettersRequest { letters: letters.clone(), as_edit, change };
        let answer = session.client.change(request).await?;
        let outcome = answer.outcome.unwrap_or_default();
        unchanged += answer.unchanged;
        all.changed += outcome.changed;
        all.first_ids.extend(outcome.first_ids);
        all.refused.extend(outcome.refused);
    }
    Ok((all, unchanged))
}

/// Prints a sealed file as it was before it was sealed.
pub(super) fn unseal(session: &Session, path: &Path, key: &Path) -> Result<u8, Failure> {
    let contents = file::read(path, Some(&file::key(key)?))?;
    session.output.line(&contents.plain())?;
    for line in &contents.lines {
        session.output.line(line)?;
    }
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_its_payload_as_it_stands() {
        let read =
            letter(r#"{"id":"a","revision":2,"masked":true,"flow":"x","payload":{"FQty": 1.50}}"#).expect("a letter");
        assert_eq!((read.id.as_str(), read.revision, read.masked), ("a", 2, true));
        assert_eq!(read.payload, br#"{"FQty": 1.50}"#);
        let bytes = letter(r#"{"id":"a","revision":0,"masked":false,"payload_base64":"/wA="}"#).expect("a letter");
        assert_eq!(bytes.payload, [0xff, 0x00]);
        for none in ["", "{}", r#"{"id":"a","revision":0,"masked":false}"#] {
            assert_eq!(letter(none), None, "{none}");
        }
    }

    #[test]
    fn requests_are_no_larger_than_they_may_be() {
        let of = |size: usize| v1::ImportedLetter { payload: vec![0; size], ..Default::default() };
        let sizes = |letters: Vec<v1::ImportedLetter>| parts(letters).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![of(1); 1_001]), [500, 500, 1]);
        assert_eq!(sizes(vec![of(BYTES / 2 + 1), of(BYTES / 2), of(BYTES * 2), of(1)]), [1, 1, 1, 1]);
        assert!(sizes(Vec::new()).is_empty());
    }
}
