//! `starctl record` and `starctl doubt`: single documents.

use std::time::Duration;

use document::{Code, Fault};
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::letter::{explain, letters, readable};
use super::page;
use super::{Session, view};
use crate::cli::letter::{DoubtCommand, RecordCommand, Verdict};
use crate::cli::{Form, value};
use crate::client;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

/// A slow target is waited for by the control plane, as long as the connection's own settings say.
const CHECK: Duration = Duration::from_secs(300);

pub(super) async fn run(command: &RecordCommand, session: &Session) -> Result<u8, Failure> {
    let RecordCommand::Trace { document } = command;
    let output = &session.output;
    let (flow, key) = match document.as_slice() {
        [flow, key] => {
            let wrong = |detail| Failure::of(Fault::new(Code::CliUsage, detail), exit::USAGE);
            (value::flow_name(flow).map_err(wrong)?, key.clone())
        }
        only => (String::new(), only.concat()),
    };
    let answer = session.client.ask(v1::TraceRecordRequest { flow, key }).await?;
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
        DoubtCommand::List { selector, .. } if selector.selector_explain => {
            explain(session, &selector.text(&session.settings.context)).await
        }
        DoubtCommand::List { selector, page } => {
            let selector = &selector.text(&session.settings.context);
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
        DoubtCommand::Get { id } => {
            let answer = session.client.ask(v1::GetDoubtRequest { id: id.clone() }).await?;
            session.output.one(&view::DOUBT, &message::value("GetDoubtResponse", &answer))?;
            Ok(exit::DONE)
        }
        DoubtCommand::Check { id, unmask } => check(session, id, *unmask).await,
        DoubtCommand::Resolve { id, verdict, target_id, change } => {
            let change = change.to_change();
            if session.must_ask(&change)? {
                let letter = session.client.ask(v1::GetDeadLetterRequest { id: id.clone(), unmask: false }).await?;
                let letter = letter.dead_letter.unwrap_or_default();
                let output = &session.output;
                let found = match verdict {
                    Verdict::Absent => output.pick("is not in the target and may be saved", "目标中没有，允许保存"),
                    Verdict::Applied => output.pick("is in the target", "目标中已有"),
                };
                let what = output.pick(
                    format!("This records that document {} {found}.", letter.document_key),
                    format!("将记录单据 {}：{found}。", letter.document_key),
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
            session.output.dry_run(change.dry_run)?;
            session.output.one(&view::DOUBT_RESOLVED, &message::value("ResolveDoubtResponse", &answer))?;
            Ok(exit::DONE)
        }
    }
}

/// What the target has, beside what we would save.
async fn check(session: &Session, id: &str, unmask: bool) -> Result<u8, Failure> {
    let output = &session.output;
    let request = v1::CheckDoubtRequest { id: id.to_owned(), unmask };
    let answer = session.client.ask_within(CHECK, request).await?;
    let mut whole = message::value("CheckDoubtResponse", &answer);
    for (name, payload) in [("ours", &answer.ours), ("theirs", &answer.theirs)] {
        if let Some(payload) = payload {
            whole[name]["data"] = readable(&payload.data);
        }
    }
    output.one(&view::DOUBT_CHECK, &whole)?;
    if !matches!(output.form(), Form::Table | Form::Wide) {
        return Ok(exit::DONE);
    }
    let side = |name: &str, pointer: &str| whole[name]["data"].pointer(pointer).cloned().unwrap_or_default();
    let differences: Vec<Value> = answer
        .differences
        .iter()
        .map(|at| json!({"at": at, "ours": side("ours", at), "theirs": side("theirs", at)}))
        .collect();
    let listed = |name: &str| whole[name].as_array().cloned().unwrap_or_default();
    for (view, items) in
        [(&view::FOUND, listed("found")), (&view::DIFFERENCE, differences), (&view::SYSTEM_CALL, listed("calls"))]
    {
        if !items.is_empty() {
            output.line("")?;
            output.list(view, &items, &Map::new())?;
        }
    }
    Ok(exit::DONE)
}
