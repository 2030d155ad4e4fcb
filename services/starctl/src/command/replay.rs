//! `starctl replay`: jobs.

use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::page::{self, Part};
use super::watch::{self, Watched};
use super::{Session, letter, view};
use crate::cli::PageArgs;
use crate::cli::change::ChangeArgs;
use crate::cli::replay::ReplayCommand;
use crate::client;
use crate::exit;
use crate::message;
use crate::output::Output;
use crate::output::failure::Failure;

pub(super) async fn run(command: &ReplayCommand, session: &Session) -> Result<u8, Failure> {
    let client = &session.client;
    let (job, dry_run) = match command {
        ReplayCommand::List { page, active } => return list(session, page, *active).await,
        ReplayCommand::Watch { id } => return watch::follow::<v1::Replay>(session, id).await,
        ReplayCommand::Report { id } => return report(session, id).await,
        ReplayCommand::Get { id } => (client.ask(v1::GetReplayRequest { id: id.clone() }).await?.replay, false),
        ReplayCommand::Approve { id, plan_digest, change } => {
            let change = change.to_change();
            let job = client.ask(v1::GetReplayRequest { id: id.clone() }).await?.replay.unwrap_or_default();
            if session.must_ask(&change)? {
                let v1::Replay { total, created_by: by, reason, .. } = &job;
                let what = session.output.pick(
                    format!("This lets replay {id} of {by} publish {total} letters: {reason}"),
                    format!("将批准 {by} 的重放任务 {id}，发布 {total} 条死信：{reason}"),
                );
                session.confirm(&what, &flows(session, id).await?)?;
            }
            let plan_digest = plan_digest.clone().unwrap_or(job.plan_digest);
            let said = Some(client::change(&change));
            let request = v1::ApproveReplayRequest { id: id.clone(), plan_digest, change: said };
            (client.change(request).await?.replay, change.dry_run)
        }
        ReplayCommand::Pause { id, change } => {
            let what = session.output.pick(format!("This pauses replay {id}."), format!("将暂停重放任务 {id}。"));
            ask_in_production(session, id, &what, change).await?;
            let request = v1::PauseReplayRequest { id: id.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.replay, change.dry_run)
        }
        ReplayCommand::Resume { id, change } => {
            let what = session.output.pick(format!("This lets replay {id} go on."), format!("将恢复重放任务 {id}。"));
            ask_in_production(session, id, &what, change).await?;
            let request = v1::ResumeReplayRequest { id: id.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.replay, change.dry_run)
        }
        ReplayCommand::Cancel { id, change } => {
            if session.must_ask(change)? {
                let what = session.output.pick(
                    format!("This ends replay {id}; letters that were not published yet stay open."),
                    format!("将结束重放任务 {id}；尚未发布的死信保持未处理。"),
                );
                session.confirm(&what, &flows(session, id).await?)?;
            }
            let request = v1::CancelReplayRequest { id: id.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.replay, change.dry_run)
        }
    };
    session.output.dry_run(dry_run)?;
    session.output.one(&view::REPLAY, &message::value("Replay", &job.unwrap_or_default()))?;
    Ok(exit::DONE)
}

async fn ask_in_production(session: &Session, id: &str, what: &str, change: &ChangeArgs) -> Result<(), Failure> {
    if session.must_ask_in_production(change)? {
        session.confirm(what, &flows(session, id).await?)?;
    }
    Ok(())
}

/// The flows that the letters of a job belong to, by name. Only production asks for them.
async fn flows(session: &Session, id: &str) -> Result<Vec<String>, Failure> {
    if !session.settings.context.production {
        return Ok(Vec::new());
    }
    let ids = items(session, id).await?.into_iter().map(|item| item.dead_letter_id).collect();
    letter::flows(session, &v1::Selection { ids, ..v1::Selection::default() }).await
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
    let items = items(session, id).await?;
    let job = session.client.ask(v1::GetReplayRequest { id: id.to_owned() }).await?.replay.unwrap_or_default();
    let items: Vec<Value> = items.iter().map(|item| message::value("ReplayItem", item)).collect();
    let more = Map::from_iter([("replay".to_owned(), message::value("Replay", &job))]);
    session.output.list(&view::REPLAY_ITEM, &items, &more)?;
    Ok(exit::DONE)
}

async fn items(session: &Session, id: &str) -> Result<Vec<v1::ReplayItem>, Failure> {
    let whole = PageArgs { limit: u32::MAX, page_token: None, sort_by: None };
    let part = page::read(&whole, |page_size, page_token| async move {
        let request = v1::ListReplayItemsRequest { id: id.to_owned(), page_size, page_token };
        let answer = session.client.ask(request).await?;
        Ok((answer.items, answer.next_page_token))
    })
    .await?;
    Ok(part.items)
}

impl Watched for v1::Replay {
    type Watch = v1::WatchReplayRequest;
    type Seen = v1::WatchReplayResponse;
    const COMMAND: &'static str = "replay";
    const NAMES: (&'static str, &'static str) = ("replay", "重放任务");

    fn watch(id: String) -> v1::WatchReplayRequest {
        v1::WatchReplayRequest { id }
    }

    fn seen(seen: v1::WatchReplayResponse) -> v1::Replay {
        seen.replay.unwrap_or_default()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn is_over(&self) -> bool {
        use v1::ReplayStatus as Status;
        match self.status() {
            Status::Done | Status::Cancelled | Status::Stopped => true,
            Status::Unspecified | Status::Running | Status::Paused | Status::AwaitsApproval => false,
        }
    }

    fn counts(&self) -> Option<(i64, i64)> {
        Some((self.resolved + self.superseded + self.failed + self.skipped, self.total))
    }

    fn words(&self, output: &Output) -> String {
        let v1::Replay { published, resolved, superseded, failed, skipped, .. } = self;
        output.pick(
            format!("published {published}, resolved {resolved}, superseded {superseded}, failed {failed}, skipped {skipped}"),
            format!("已发布 {published}，已解决 {resolved}，已被取代 {superseded}，失败 {failed}，跳过 {skipped}"),
        )
    }

    async fn show(&self, session: &Session) -> Result<u8, Failure> {
        session.output.one(&view::REPLAY, &message::value("Replay", self))?;
        Ok(match self.status() {
            _ if self.failed > 0 => exit::SOME_FAILED,
            v1::ReplayStatus::Done => exit::DONE,
            _ => exit::OTHER,
        })
    }
}
