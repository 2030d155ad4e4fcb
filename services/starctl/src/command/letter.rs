//! `starctl dlq`: looks at dead letters and decides about them.

mod decide;
mod edit;
mod export;
mod file;
mod import;
mod replay;
mod tail;

use std::cell::Cell;

use document::Code;
use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::page::{self, Part};
use super::{Session, view};
use crate::cli::letter::{LetterCommand, SelectionArgs};
use crate::cli::{Form, PageArgs};
use crate::exit;
use crate::message;
use crate::output::failure::Failure;
use crate::output::table::harmless;
pub(super) use decide::flows;

pub(super) async fn run(command: &LetterCommand, session: &Session) -> Result<u8, Failure> {
    let context = &session.settings.context;
    match command {
        LetterCommand::List { selector, .. }
        | LetterCommand::Stats { selector }
        | LetterCommand::Tail { selector, .. }
            if selector.selector_explain =>
        {
            explain(session, &selector.text(context)).await
        }
        LetterCommand::List { selector, page, count } => list(session, &selector.text(context), page, *count).await,
        LetterCommand::Get { id, unmask } => get(session, id, *unmask).await,
        LetterCommand::Stats { selector } => stats(session, &selector.text(context)).await,
        LetterCommand::Tail { selector, position } => {
            tail::run(session, &selector.text(context), position.as_deref().unwrap_or_default()).await
        }
        LetterCommand::ExplainSelector { selector } => explain(session, selector).await,
        LetterCommand::Edit { id, set, patch, expected_revision, change } => {
            let edit = edit::Edit { id, set, patch: patch.as_deref(), expected_revision: *expected_revision };
            edit::run(session, &edit, change).await
        }
        LetterCommand::Claim { selection, change } => {
            let ask = |selection, change| v1::ClaimDeadLettersRequest { selection, change };
            let word = session.output.pick("claims", "认领");
            decide::run(session, word, selection, change, ask, |answer| answer.outcome).await
        }
        LetterCommand::Unclaim { selection, change } => {
            let ask = |selection, change| v1::UnclaimDeadLettersRequest { selection, change };
            let word = session.output.pick("unclaims", "取消认领");
            decide::run(session, word, selection, change, ask, |answer| answer.outcome).await
        }
        LetterCommand::Export { selection, out, unmask, key, reason } => {
            let export = export::Export { out, unmask: *unmask, key: key.as_deref(), reason: reason.as_deref() };
            export::run(session, selection, &export).await
        }
        LetterCommand::Import { file, key, as_edit, change } => {
            import::run(session, file, key.as_deref(), *as_edit, change).await
        }
        LetterCommand::Unseal { file, key } => import::unseal(session, file, key),
        LetterCommand::Discard { selection, change } => {
            let ask = |selection, change| v1::DiscardDeadLettersRequest { selection, change };
            let word = session.output.pick("discards", "放弃");
            decide::run(session, word, selection, &change.to_change(), ask, |answer| answer.outcome).await
        }
        LetterCommand::Park { selection, change } => {
            let ask = |selection, change| v1::ParkDeadLettersRequest { selection, change };
            let word = session.output.pick("parks", "搁置");
            decide::run(session, word, selection, change, ask, |answer| answer.outcome).await
        }
        LetterCommand::Refetch { selection, change } => {
            let ask = |selection, change| v1::RefetchDeadLettersRequest { selection, change };
            let word = session.output.pick("reads the bills again of", "重新读取单据：");
            decide::run(session, word, selection, &change.to_change(), ask, |answer| answer.outcome).await
        }
        LetterCommand::Reopen { selection, discarded, change } => {
            let ask = |selection, change| v1::ReopenDeadLettersRequest { selection, change, discarded: *discarded };
            let word = session.output.pick("reopens", "重新打开");
            decide::run(session, word, selection, change, ask, |answer| answer.outcome).await
        }
        LetterCommand::Replay { selection, how, change, wait } => {
            replay::run(session, selection, how, &change.to_change(), *wait).await
        }
    }
}

async fn list(session: &Session, selector: &str, page: &PageArgs, count: bool) -> Result<u8, Failure> {
    let total = Cell::new(None);
    let total = &total;
    let part = page::read(page, |page_size, page_token| {
        let request = v1::ListDeadLettersRequest {
            selector: selector.to_owned(),
            page_size,
            page_token,
            order_by: page.sort_by.clone().unwrap_or_default(),
            // Counting costs a pass over everything: once is enough.
            count: count && total.get().is_none(),
        };
        async move {
            let answer = session.client.ask(request).await?;
            total.set(total.get().or(answer.total));
            scanned(session, answer.scan.as_ref())?;
            Ok((answer.dead_letters, answer.next_page_token))
        }
    })
    .await?;
    let mut more = Map::new();
    if let Some(total) = total.get() {
        more.insert("total".to_owned(), Value::from(total));
    }
    page::show(&session.output, &view::LETTER, &letters(&part), more)?;
    if let Some(total) = total.get() {
        session.output.remark(&session.output.pick(format!("{total} in all"), format!("共 {total} 条")))?;
    }
    Ok(exit::DONE)
}

/// A part of a list of letters as JSON.
pub(super) fn letters(part: &Part<v1::DeadLetter>) -> Part<Value> {
    let items = part.items.iter().map(|letter| message::value("DeadLetter", letter)).collect();
    Part { items, next: part.next.clone() }
}

/// Says so when a limit ended a scan: what is shown may then be less than what there is.
fn scanned(session: &Session, scan: Option<&v1::ScanReport>) -> Result<(), Failure> {
    let Some(scan) = scan else { return Ok(()) };
    let output = &session.output;
    let read = |output: &crate::output::Output| {
        output.pick(
            format!("{} letters, {} bytes of payload read", scan.rows, scan.bytes),
            format!("已读取 {} 条，内容 {} 字节", scan.rows, scan.bytes),
        )
    };
    if scan.limited {
        let advice = output.pick(
            "the scan reached its limit, so there may be more; narrow the selector",
            "扫描已达上限，结果可能不完整，请缩小选择范围",
        );
        return output.remark(&format!("{}; {advice}", read(output)));
    }
    output.detail(|| read(output))
}

async fn get(session: &Session, id: &str, unmask: bool) -> Result<u8, Failure> {
    let output = &session.output;
    let answer = session.client.ask(v1::GetDeadLetterRequest { id: id.to_owned(), unmask }).await?;
    let mut whole = message::value("GetDeadLetterResponse", &answer);
    // The catalogue speaks the reader's language.
    if let Some(code) = whole["dead_letter"]["code"].as_str().and_then(|code| code.parse::<Code>().ok()) {
        let (cause, way_out) = output.advice(code);
        whole["cause"] = Value::from(cause);
        whole["way_out"] = Value::from(way_out);
    }
    for (name, payload) in [("payload", &answer.payload), ("edited", &answer.edited), ("source", &answer.source)] {
        if let Some(payload) = payload {
            whole[name]["data"] = readable(&payload.data);
        }
    }
    if !matches!(output.form(), Form::Table | Form::Wide) {
        return output.one(&view::LETTER_DETAIL, &whole).map(|()| exit::DONE);
    }
    output.one(&view::LETTER, &whole["dead_letter"])?;
    for (english, chinese, key) in [("cause", "原因", "cause"), ("way out", "处理办法", "way_out")] {
        if let Some(text) = whole[key].as_str().filter(|text| !text.is_empty()) {
            output.line(&format!("\n{}\n  {}", output.pick(english, chinese), harmless(text)))?;
        }
    }
    if let Some(earlier) = whole["earlier_attempts"].as_array().filter(|earlier| !earlier.is_empty()) {
        output.line(&format!("\n{}", output.pick("earlier failures", "此前的失败")))?;
        output.list(&view::EARLIER, earlier, &Map::new())?;
    }
    for (english, chinese, name) in [
        ("payload", "内容", "payload"),
        ("edited payload", "修改后的内容", "edited"),
        ("source bill", "源单据", "source"),
    ] {
        let payload = &whole[name];
        if payload.is_object() {
            let masked = payload["masked"].as_bool().unwrap_or_default();
            let masked = if masked { output.pick(" (masked)", "（已脱敏）") } else { "" };
            output.line(&format!("\n{}{masked}", output.pick(english, chinese)))?;
            output.json(&payload["data"])?;
        }
    }
    Ok(exit::DONE)
}

/// A payload as JSON: itself where it is JSON, else its text, else its bytes in hexadecimal digits.
pub(super) fn readable(data: &[u8]) -> Value {
    match std::str::from_utf8(data) {
        Ok(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        Err(_) => Value::from(data.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

async fn stats(session: &Session, selector: &str) -> Result<u8, Failure> {
    let output = &session.output;
    let answer = session.client.ask(v1::GetDeadLetterStatsRequest { selector: selector.to_owned() }).await?;
    scanned(session, answer.scan.as_ref())?;
    let mut whole = message::value("GetDeadLetterStatsResponse", &answer);
    let counts = whole["counts"].take().as_array().cloned().unwrap_or_default();
    let mut more = Map::new();
    for key in ["total", "oldest_open", "unreadable", "scan"] {
        more.insert(key.to_owned(), whole[key].take());
    }
    let oldest = more["oldest_open"].as_str().map(|text| output.time(text));
    output.list(&view::COUNT, &counts, &more)?;
    let oldest =
        oldest.map(|time| output.pick(format!("; the oldest open one of {time}"), format!("；最早未处理于 {time}")));
    let unreadable = match answer.unreadable {
        0 => String::new(),
        number => output.pick(format!("; {number} records unreadable"), format!("；{number} 条记录无法读取")),
    };
    let total = output.pick(format!("{} letters", answer.total), format!("共 {} 条死信", answer.total));
    output.remark(&format!("{total}{}{unreadable}", oldest.unwrap_or_default()))?;
    Ok(exit::DONE)
}

pub(super) async fn explain(session: &Session, selector: &str) -> Result<u8, Failure> {
    let language = session.output.pick("en", "zh").to_owned();
    let answer = session.client.ask(v1::ExplainSelectorRequest { selector: selector.to_owned(), language }).await?;
    let mut shown = message::value("ExplainSelectorResponse", &answer);
    shown["selector"] = Value::from(selector);
    session.output.one(&view::SELECTOR, &shown).map(|()| exit::DONE)
}

fn selection(args: &SelectionArgs) -> v1::Selection {
    v1::Selection { ids: args.ids.clone(), selector: args.selector.clone().unwrap_or_default() }
}
