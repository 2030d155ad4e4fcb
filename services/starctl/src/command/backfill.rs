//! `starctl backfill`: parts of the past, read window after window.

use std::time::Duration;

use prost_types::Timestamp;
use serde_json::{Map, Value, json};
use starbridge_proto::v1;
use tokio::time::sleep;

use super::Session;
use super::page::{self, Part};
use super::view::{column, flag, time};
use crate::cli::PageArgs;
use crate::cli::backfill::BackfillCommand;
use crate::client;
use crate::client::status::is_lost;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;
use crate::output::view::{Kind, View};

/// How often a stream that broke is opened again before that is a failure; the pause doubles from one second.
const TRIES: u32 = 5;

const BACKFILL: View = View {
    kind: "Backfill",
    noun: "backfill",
    name: "id",
    columns: &[
        column("id", "id", "编号"),
        column("status", "status", "状态").as_kind(Kind::Word("BACKFILL_STATUS_")),
        column("chunks_read", "windows read", "已读时段"),
        column("chunks", "of", "共"),
        time("read_to", "read to", "读至"),
        column("emitted", "documents", "单据"),
        column("unchanged", "unchanged", "未变"),
        column("letters", "letters", "死信"),
        column("waits_for", "waits for", "等待"),
        time("from", "from", "起").if_wide(),
        time("to", "to", "止").if_wide(),
        column("chunk_seconds", "window, s", "时段秒数").if_wide(),
        column("rate_per_minute", "a minute", "每分钟").if_wide(),
        flag("again", "again", "重发").if_wide(),
        column("created_by", "by", "发起人").if_wide(),
        time("created_at", "since", "发起时间").if_wide(),
        time("ended_at", "ended", "结束时间").if_wide(),
        column("reason", "reason", "原因").if_wide(),
        column("fault", "fault", "故障").if_wide(),
    ],
};

const PLAN: View = View {
    kind: "BackfillPlan",
    noun: "flow",
    name: "flow",
    columns: &[column("flow", "flow", "流程"), column("chunks", "windows", "时段")],
};

pub(super) async fn run(command: &BackfillCommand, session: &Session) -> Result<u8, Failure> {
    let client = &session.client;
    let backfill = match command {
        BackfillCommand::Start { flow, from, to, chunk, rate, again, wait, change } => {
            let at = |seconds: &i64| Timestamp { seconds: *seconds, nanos: 0 };
            let request = v1::StartBackfillRequest {
                flow: flow.clone(),
                from: Some(at(from)),
                to: to.as_ref().map(at),
                chunk_seconds: i64::try_from(chunk.as_secs()).unwrap_or(i64::MAX),
                rate_per_minute: rate.unwrap_or_default(),
                again: *again,
                change: Some(client::change(change)),
            };
            let answer = client.change(request).await?;
            match answer.backfill {
                None => {
                    let plan = json!({"flow": flow, "chunks": answer.chunks});
                    return session.output.one(&PLAN, &plan).map(|()| exit::DONE);
                }
                Some(backfill) if *wait => return watch(session, &backfill.id).await,
                Some(backfill) => Some(backfill),
            }
        }
        BackfillCommand::List { flow, page } => return list(session, flow.as_deref(), page).await,
        BackfillCommand::Watch { id } => return watch(session, id).await,
        BackfillCommand::Get { id } => client.ask(v1::GetBackfillRequest { id: id.clone() }).await?.backfill,
        BackfillCommand::Pause { id, change } => {
            let change = Some(client::change(change));
            client.change(v1::PauseBackfillRequest { id: id.clone(), change }).await?.backfill
        }
        BackfillCommand::Resume { id, change } => {
            let change = Some(client::change(change));
            client.change(v1::ResumeBackfillRequest { id: id.clone(), change }).await?.backfill
        }
        BackfillCommand::Cancel { id, change, yes } => {
            if session.must_ask(yes.yes, change.dry_run)? {
                let what = session.output.pick(
                    format!("This ends backfill {id}; what it has not read stays unread."),
                    format!("将结束补录任务 {id}；尚未读取的部分不再读取。"),
                );
                session.confirm(&what, &[])?;
            }
            let change = Some(client::change(change));
            client.change(v1::CancelBackfillRequest { id: id.clone(), change }).await?.backfill
        }
    };
    let backfill = backfill.unwrap_or_default();
    session.output.one(&BACKFILL, &message::value("Backfill", &backfill))?;
    Ok(exit::DONE)
}

async fn list(session: &Session, flow: Option<&str>, page: &PageArgs) -> Result<u8, Failure> {
    let flow = flow.unwrap_or_default().to_owned();
    let part = page::read(page, |page_size, page_token| {
        let request = v1::ListBackfillsRequest { flow: flow.clone(), page_size, page_token };
        async move {
            let answer = session.client.ask(request).await?;
            Ok((answer.backfills, answer.next_page_token))
        }
    })
    .await?;
    let mut items: Vec<Value> = part.items.iter().map(|backfill| message::value("Backfill", backfill)).collect();
    page::sort(&BACKFILL, &mut items, page.sort_by.as_deref())?;
    page::show(&session.output, &BACKFILL, &Part { items, next: part.next }, Map::new())?;
    Ok(exit::DONE)
}

/// Follows a backfill until it is over, with a remark for every window, and shows it.
async fn watch(session: &Session, id: &str) -> Result<u8, Failure> {
    let output = &session.output;
    let (mut broken, mut told) = (0, None);
    loop {
        let status = match session.client.stream(v1::WatchBackfillRequest { id: id.to_owned() }).await? {
            Err(status) => status,
            Ok(mut stream) => loop {
                match stream.message().await {
                    Ok(Some(next)) => {
                        let backfill = next.backfill.unwrap_or_default();
                        broken = 0;
                        if is_over(&backfill) {
                            output.one(&BACKFILL, &message::value("Backfill", &backfill))?;
                            return Ok(meaning(&backfill));
                        }
                        let v1::Backfill { chunks_read, chunks, emitted, waits_for, .. } = &backfill;
                        let words = (*chunks_read, waits_for.clone());
                        if told.as_ref() != Some(&words) {
                            told = Some(words);
                            let waits = if waits_for.is_empty() { String::new() } else { format!(", {waits_for}") };
                            output.remark(&output.pick(
                                format!("{chunks_read}/{chunks} windows, {emitted} documents{waits}"),
                                format!("{chunks_read}/{chunks} 个时段，{emitted} 张单据{waits}"),
                            ))?;
                        }
                    }
                    Ok(None) => break tonic::Status::unavailable("the stream ended before the backfill did"),
                    Err(status) => break status,
                }
            },
        };
        if !is_lost(&status) || broken == TRIES {
            return Err(session.client.refused(&status));
        }
        sleep(Duration::from_secs(1 << broken)).await;
        broken += 1;
    }
}

fn is_over(backfill: &v1::Backfill) -> bool {
    !matches!(
        backfill.status(),
        v1::BackfillStatus::Unspecified | v1::BackfillStatus::Running | v1::BackfillStatus::Paused
    )
}

/// What the end of a backfill means to scripts: 6 when some of its bills became dead letters.
fn meaning(backfill: &v1::Backfill) -> u8 {
    match backfill.status() {
        v1::BackfillStatus::Done if backfill.letters > 0 => exit::SOME_FAILED,
        v1::BackfillStatus::Done => exit::DONE,
        _ => exit::OTHER,
    }
}
