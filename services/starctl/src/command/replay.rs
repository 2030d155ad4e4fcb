//! `starctl replay`: jobs.

use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::page::{self, Part};
use super::{Session, view, watch};
use crate::cli::PageArgs;
use crate::cli::replay::ReplayCommand;
use crate::client;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

pub(super) async fn run(command: &ReplayCommand, session: &Session) -> Result<u8, Failure> {
    let client = &session.client;
    let job = match command {
        ReplayCommand::List { page, active } => return list(session, page, *active).await,
        ReplayCommand::Watch { id } => return watch::follow(session, id).await,
        ReplayCommand::Report { id } => return report(session, id).await,
        ReplayCommand::Get { id } => client.ask(v1::GetReplayRequest { id: id.clone() }).await?.replay,
        ReplayCommand::Approve { id, plan_digest, change, yes } => {
            let job = client.ask(v1::GetReplayRequest { id: id.clone() }).await?.replay.unwrap_or_default();
            if session.must_ask(yes.yes, change.dry_run)? {
                let v1::Replay { total, created_by: by, reason, .. } = &job;
                let what = session.output.pick(
                    format!("This lets replay {id} of {by} publish {total} letters: {reason}"),
                    format!("将批准 {by} 的重放任务 {id}，发布 {total} 条死信：{reason}"),
                );
                session.confirm(&what, &[])?;
            }
            let plan_digest = plan_digest.clone().unwrap_or(job.plan_digest);
            let change = Some(client::change(&change.to_change()));
            client.change(v1::ApproveReplayRequest { id: id.clone(), plan_digest, change }).await?.replay
        }
        ReplayCommand::Pause { id, change } => {
            let change = Some(client::change(change));
            client.change(v1::PauseReplayRequest { id: id.clone(), change }).await?.replay
        }
        ReplayCommand::Resume { id, change } => {
            let change = Some(client::change(change));
            client.change(v1::ResumeReplayRequest { id: id.clone(), change }).await?.replay
        }
        ReplayCommand::Cancel { id, change, yes } => {
            if session.must_ask(yes.yes, change.dry_run)? {
                let what = session.output.pick(
                    format!("This ends replay {id}; letters that were not published yet stay open."),
                    format!("将结束重放任务 {id}；尚未发布的死信保持未处理。"),
                );
                session.confirm(&what, &[])?;
            }
            let change = Some(client::change(change));
            client.change(v1::CancelReplayRequest { id: id.clone(), change }).await?.replay
        }
    };
    session.output.one(&view::REPLAY, &message::value("Replay", &job.unwrap_or_default()))?;
    Ok(exit::DONE)
}

async fn list(session: &Session, page: &PageArgs, active_only: bool) -> Result<u8, Failure> {
    let part = page::read(page, |page_size, page_token| async move {
        let answer = session.client.ask(v1::ListReplaysRequest { page_size, page_token, active_only }).await?;
        Ok((answer.replays, answer.next_page_token))
    })
    .await?;
    let mut items: Vec<Value> = part.items.iter().map(|job| message::value("Replay", job)).collect();
    page::sort(&view::REPLAY, &mut items, page.sort_by.as_deref())?;
    page::show(&session.output, &view::REPLAY, &Part { items, next: part.next }, Map::new())?;
    Ok(exit::DONE)
}

/// Every letter of a job with its outcome.
async fn report(session: &Session, id: &str) -> Result<u8, Failure> {
    let whole = PageArgs { limit: u32::MAX, page_token: None, sort_by: None };
    let part = page::read(&whole, |page_size, page_token| async move {
        let request = v1::ListReplayItemsRequest { id: id.to_owned(), page_size, page_token };
        let answer = session.client.ask(request).await?;
        Ok((answer.items, answer.next_page_token))
    })
    .await?;
    let job = session.client.ask(v1::GetReplayRequest { id: id.to_owned() }).await?.replay.unwrap_or_default();
    let items: Vec<Value> = part.items.iter().map(|item| message::value("ReplayItem", item)).collect();
    let more = Map::from_iter([("replay".to_owned(), message::value("Replay", &job))]);
    session.output.list(&view::REPLAY_ITEM, &items, &more)?;
    Ok(exit::DONE)
}
