//! `starctl record` and `starctl doubt`: single documents.

use serde_json::Map;
use starbridge_proto::v1;

use super::letter::letters;
use super::page;
use super::{Session, view};
use crate::cli::Form;
use crate::cli::letter::{DoubtCommand, RecordCommand, Verdict};
use crate::client;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

pub(super) async fn run(command: &RecordCommand, session: &Session) -> Result<u8, Failure> {
    let RecordCommand::Trace { flow, key } = command;
    let output = &session.output;
    let answer = session.client.ask(v1::TraceRecordRequest { flow: flow.clone(), key: key.clone() }).await?;
    let whole = message::value("TraceRecordResponse", &answer);
    output.one(&view::TRACE, &whole)?;
    if matches!(output.form(), Form::Table | Form::Wide) {
        for (view, items) in [(&view::TRACE_STEP, &whole["steps"]), (&view::LETTER, &whole["dead_letters"])] {
            let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
            if !items.is_empty() {
                output.line("")?;
                output.list(view, items, &Map::new())?;
            }
        }
    }
    Ok(exit::DONE)
}

pub(super) async fn doubt(command: &DoubtCommand, session: &Session) -> Result<u8, Failure> {
    match command {
        DoubtCommand::List { selector, page } => {
            let selector = selector.selector.as_deref().unwrap_or_default();
            let part = page::read(page, |page_size, page_token| async move {
                let request = v1::ListDoubtsRequest { selector: selector.to_owned(), page_size, page_token };
                let answer = session.client.ask(request).await?;
                Ok((answer.dead_letters, answer.next_page_token))
            })
            .await?;
            let mut part = letters(&part);
            page::sort(&view::LETTER, &mut part.items, page.sort_by.as_deref())?;
            page::show(&session.output, &view::LETTER, &part, Map::new())?;
            Ok(exit::DONE)
        }
        DoubtCommand::Resolve { id, verdict, target_id, change, yes } => {
            let change = change.to_change();
            if session.must_ask(yes.yes, change.dry_run)? {
                let letter = session.client.ask(v1::GetDeadLetterRequest { id: id.clone(), unmask: false }).await?;
                let letter = letter.dead_letter.unwrap_or_default();
                let output = &session.output;
                let found = match verdict {
                    Verdict::Absent => output.pick("is not in the target and may be saved", "目标中没有，允许保存"),
                    Verdict::Applied => output.pick("is in the target", "目标中已有"),
                };
                let what = output.pick(
                    format!("Document {} {found}.", letter.document_key),
                    format!("单据 {}：{found}。", letter.document_key),
                );
                session.confirm(&what, &[letter.flow])?;
            }
            let verdict = match verdict {
                Verdict::Absent => v1::Verdict::Absent,
                Verdict::Applied => v1::Verdict::Applied,
            };
            let request = v1::ResolveDoubtRequest {
                id: id.clone(),
                verdict: verdict.into(),
                target_id: target_id.clone().unwrap_or_default(),
                change: Some(client::change(&change)),
            };
            let answer = session.client.change(request).await?;
            session.output.one(&view::DOUBT_RESOLVED, &message::value("ResolveDoubtResponse", &answer))?;
            Ok(exit::DONE)
        }
    }
}
