//! `starctl backfill`: parts of the past, read window after window.

use prost_types::Timestamp;
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::Session;
use super::page::{self, Part};
use super::view::{column, flag, time};
use super::watch::{self, Watched};
use crate::cli::PageArgs;
use crate::cli::backfill::BackfillCommand;
use crate::cli::change::ChangeArgs;
use crate::client;
use crate::exit;
use crate::message;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::output::view::{Kind, View};

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
    let (backfill, dry_run) = match command {
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
            if session.must_ask_in_production(change)? {
                let look = v1::StartBackfillRequest { change: Some(client::look(change)), ..request.clone() };
                let chunks = client.change(look).await?.chunks;
                let what = session.output.pick(
                    format!("This reads {chunks} windows of flow {flow} from its source."),
                    format!("将从流程 {flow} 的来源读取 {chunks} 个时段。"),
                );
                session.confirm(&what, std::slice::from_ref(flow))?;
            }
            let answer = client.change(request).await?;
            let Some(backfill) = answer.backfill else {
                session.output.dry_run(change.dry_run)?;
                let plan = json!({"flow": flow, "chunks": answer.chunks});
                return session.output.one(&PLAN, &plan).map(|()| exit::DONE);
            };
            watch::tell(session, &backfill)?;
            if *wait {
                return watch::follow::<v1::Backfill>(session, &backfill.id).await;
            }
            (Some(backfill), false)
        }
        BackfillCommand::List { flow, page } => return list(session, flow.as_deref(), page).await,
        BackfillCommand::Watch { id } => return watch::follow::<v1::Backfill>(session, id).await,
        BackfillCommand::Get { id } => (client.ask(v1::GetBackfillRequest { id: id.clone() }).await?.backfill, false),
        BackfillCommand::Pause { id, change } => {
            let what = session.output.pick(format!("This pauses backfill {id}."), format!("将暂停补录任务 {id}。"));
            ask_in_production(session, id, &what, change).await?;
            let request = v1::PauseBackfillRequest { id: id.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.backfill, change.dry_run)
        }
        BackfillCommand::Resume { id, change } => {
            let what = session.output.pick(format!("This lets backfill {id} go on."), format!("将恢复补录任务 {id}。"));
            ask_in_production(session, id, &what, change).await?;
            let request = v1::ResumeBackfillRequest { id: id.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.backfill, change.dry_run)
        }
        BackfillCommand::Cancel { id, change } => {
            if session.must_ask(change)? {
                let what = session.output.pick(
                    format!("This ends backfill {id}; what it has not read stays unread."),
                    format!("将结束补录任务 {id}；尚未读取的部分不再读取。"),
                );
                session.confirm(&what, &[flow(session, id).await?])?;
            }
            let request = v1::CancelBackfillRequest { id: id.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.backfill, change.dry_run)
        }
    };
    let backfill = backfill.unwrap_or_default();
    session.output.dry_run(dry_run)?;
    session.output.one(&BACKFILL, &message::value("Backfill", &backfill))?;
    Ok(exit::DONE)
}

async fn ask_in_production(session: &Session, id: &str, what: &str, change: &ChangeArgs) -> Result<(), Failure> {
    if session.must_ask_in_production(change)? {
        session.confirm(what, &[flow(session, id).await?])?;
    }
    Ok(())
}

/// The flow that a backfill reads for.
async fn flow(session: &Session, id: &str) -> Result<String, Failure> {
    let backfill = session.client.ask(v1::GetBackfillRequest { id: id.to_owned() }).await?.backfill;
    Ok(backfill.unwrap_or_default().flow)
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

impl Watched for v1::Backfill {
    type Watch = v1::WatchBackfillRequest;
    type Seen = v1::WatchBackfillResponse;
    const COMMAND: &'static str = "backfill";
    const NAMES: (&'static str, &'static str) = ("backfill", "补录任务");

    fn watch(id: String) -> v1::WatchBackfillRequest {
        v1::WatchBackfillRequest { id }
    }

    fn seen(seen: v1::WatchBackfillResponse) -> v1::Backfill {
        seen.backfill.unwrap_or_default()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn is_over(&self) -> bool {
        use v1::BackfillStatus as Status;
        !matches!(self.status(), Status::Unspecified | Status::Running | Status::Paused)
    }

    fn counts(&self) -> Option<(i64, i64)> {
        Some((self.chunks_read, self.chunks))
    }

    fn words(&self, output: &Output) -> String {
        let v1::Backfill { emitted, waits_for, .. } = self;
        let waits = if waits_for.is_empty() { String::new() } else { format!(", {waits_for}") };
        output.pick(format!("windows, {emitted} documents{waits}"), format!("个时段，{emitted} 张单据{waits}"))
    }

    /// 6 when some of its bills became dead letters.
    async fn show(&self, session: &Session) -> Result<u8, Failure> {
        session.output.one(&BACKFILL, &message::value("Backfill", self))?;
        Ok(match self.status() {
            v1::BackfillStatus::Done if self.letters > 0 => exit::SOME_FAILED,
            v1::BackfillStatus::Done => exit::DONE,
            _ => exit::OTHER,
        })
    }
}
