//! `starctl schedule`: when flows run. Firings are reckoned here, from what is published.

use chrono::{DateTime, SecondsFormat, Utc};
use document::{Code, Fault};
use flow::Plan;
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::{Session, flow as flows, page, view};
use crate::cli::schedule::{AfterArgs, ScheduleCommand};
use crate::cli::{SortArgs, TenantArgs};
use crate::exit;
use crate::message;
use crate::output::failure::Failure;

pub(super) async fn run(command: &ScheduleCommand, session: &Session) -> Result<u8, Failure> {
    match command {
        ScheduleCommand::List { after, tenant, sort } => list(session, *after, tenant, sort).await,
        ScheduleCommand::Next { name, count, after } => next(session, name, *count, *after).await,
        ScheduleCommand::Trigger(args) => flows::run_now(args, session).await,
    }
}

async fn list(session: &Session, after: AfterArgs, tenant: &TenantArgs, sort: &SortArgs) -> Result<u8, Failure> {
    let flows = session.client.ask(v1::ListFlowsRequest::default()).await?.flows;
    let after = instant(after)?;
    let item = |flow: &v1::Flow| {
        let state = state(flow);
        // What is not read does not fire, whatever its schedule says.
        let next = match state {
            RUNS => plan(flow).ok().flatten().and_then(|plan| plan.next_after(after)),
            _ => None,
        };
        json!({
            "flow": flow.name,
            "cron": flow.schedule,
            "zone": flow.zone,
            "state": state,
            "next": next.map(text),
            "reading": flow.reading.as_ref().map(|reading| message::value("Reading", reading)),
            "title": flow.title,
            "note": if flow.deleted_note.is_empty() { &flow.paused_note } else { &flow.deleted_note },
        })
    };
    let mut items: Vec<Value> =
        flows.iter().filter(|flow| tenant.takes(&session.settings.context, &flow.tenant)).map(item).collect();
    page::sort(&view::SCHEDULE, &mut items, sort.sort_by.as_deref())?;
    session.output.list(&view::SCHEDULE, &items, &Map::new()).map(|()| exit::DONE)
}

async fn next(session: &Session, name: &str, count: u32, after: AfterArgs) -> Result<u8, Failure> {
    let output = &session.output;
    let answer = session.client.ask(v1::GetFlowRequest { name: name.to_owned(), version: String::new() }).await?;
    let flow = answer.flow.unwrap_or_default();
    let state = state(&flow);
    match state {
        PAUSED => output.remark(&output.pick(
            format!("{name} is paused: the firings missed meanwhile happen once when it is resumed"),
            format!("{name} 已暂停：期间错过的触发在恢复后补一次"),
        ))?,
        DELETED => output.remark(
            &output.pick(format!("{name} was deleted: it does not fire"), format!("{name} 已删除，不会触发")),
        )?,
        FAULTY => output.remark(&output.pick(
            format!("the current version of {name} cannot be used: it does not fire"),
            format!("{name} 的当前版本不可用，不会触发"),
        ))?,
        _ => {}
    }
    let after = instant(after)?;
    let plan = if matches!(state, RUNS | PAUSED) { plan(&flow)? } else { None };
    let items: Vec<Value> = plan.iter().flat_map(|plan| firings(plan, after, count)).collect();
    let more = [("flow", name), ("cron", flow.schedule.as_str()), ("zone", flow.zone.as_str()), ("state", state)];
    let more: Map<String, Value> = more.into_iter().map(|(key, text)| (key.to_owned(), Value::from(text))).collect();
    output.list(&view::FIRING, &items, &more).map(|()| exit::DONE)
}

/// It is read by its schedule.
pub(super) const RUNS: &str = "running";
pub(super) const PAUSED: &str = "paused";
const DELETED: &str = "deleted";
/// Its current version cannot be used.
const FAULTY: &str = "faulty";
/// It has no schedule.
const ON_COMMAND: &str = "on_command";

/// What becomes of the schedule of a flow.
pub(super) fn state(flow: &v1::Flow) -> &'static str {
    if !flow.deleted_note.is_empty() {
        DELETED
    } else if !flow.faults.is_empty() {
        FAULTY
    } else if flow.paused {
        PAUSED
    } else if flow.schedule.is_empty() {
        ON_COMMAND
    } else {
        RUNS
    }
}

/// The plan of a published flow; nothing where it has no schedule.
fn plan(flow: &v1::Flow) -> Result<Option<Plan>, Failure> {
    if flow.schedule.is_empty() {
        return Ok(None);
    }
    let refuse = |code, detail: String| Failure::of(Fault::new(code, detail).of_record(&flow.name), exit::INVALID);
    let zone = flow.zone.parse().map_err(|_| refuse(Code::Zone, format!("{} is not a time zone", flow.zone)))?;
    Plan::new(&flow.schedule, zone).map(Some).map_err(|detail| refuse(Code::Cron, detail))
}

/// The next firings, each as an instant and as the clock of the schedule's zone shows it.
pub(super) fn firings(plan: &Plan, after: DateTime<Utc>, count: u32) -> impl Iterator<Item = Value> {
    let firings = std::iter::successors(plan.next_after(after), |last| plan.next_after(*last));
    let local = |at: DateTime<Utc>| at.with_timezone(&plan.zone()).to_rfc3339_opts(SecondsFormat::Secs, false);
    firings.take(count as usize).map(move |at| json!({"at": text(at), "local": local(at)}))
}

fn text(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn instant(after: AfterArgs) -> Result<DateTime<Utc>, Failure> {
    let Some(seconds) = after.after else { return Ok(Utc::now()) };
    DateTime::from_timestamp(seconds, 0).ok_or_else(|| Failure::usage("--after lies beyond all dates"))
}
