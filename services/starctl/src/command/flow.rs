//! `starctl flow`: what is published and running.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::page::{self, Part};
use super::{Session, describe, view};
use crate::cli::change::ChangeArgs;
use crate::cli::flow::{OnlineCommand, RunArgs};
use crate::cli::{Form, PageArgs, TenantArgs};
use crate::client;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;
use crate::place::FlowFolder;

pub(super) async fn run(command: &OnlineCommand, session: &Session) -> Result<u8, Failure> {
    let output = &session.output;
    let client = &session.client;
    let (flow, dry_run) = match command {
        OnlineCommand::List { tenant, page } => return list(session, tenant, page).await,
        OnlineCommand::Get { name, version } => {
            let version = version.clone().unwrap_or_default();
            let answer = client.ask(v1::GetFlowRequest { name: name.clone(), version }).await?;
            let whole = message::value("GetFlowResponse", &answer);
            return match output.form() {
                Form::Table | Form::Wide => one(session, &answer.flow.unwrap_or_default()),
                _ => output.one(&view::FLOW_DETAIL, &whole),
            }
            .map(|()| exit::DONE);
        }
        OnlineCommand::Describe { name } => return describe::run(name, session).await,
        OnlineCommand::History { name } => {
            let answer = client.ask(v1::GetFlowRequest { name: name.clone(), version: String::new() }).await?;
            let versions = answer.flow.unwrap_or_default().versions;
            let items: Vec<Value> = versions.iter().map(|version| message::value("FlowVersion", version)).collect();
            let more = Map::from_iter([("flow".to_owned(), Value::from(name.as_str()))]);
            return output.list(&view::FLOW_VERSION, &items, &more).map(|()| exit::DONE);
        }
        OnlineCommand::Diff { path } => return diff(session, path).await,
        OnlineCommand::Apply { path, change } => return apply(session, path, change).await,
        OnlineCommand::Rollback { name, to, change } => {
            let change = change.to_change();
            if session.must_ask(&change)? {
                let what = output.pick(
                    format!("This takes flow {name} back to version {to}."),
                    format!("将把流程 {name} 回退到版本 {to}。"),
                );
                session.confirm(&what, std::slice::from_ref(name))?;
            }
            let said = Some(client::change(&change));
            let request = v1::RollbackFlowRequest { name: name.clone(), version: to.clone(), change: said };
            (client.change(request).await?.flow, change.dry_run)
        }
        OnlineCommand::Canary { path, percent, abort_above, least, change } => {
            return canary(session, path, (*percent, *abort_above, *least), &change.to_change()).await;
        }
        OnlineCommand::Promote { name, change } => {
            let change = change.to_change();
            if session.must_ask(&change)? {
                let what = output.pick(
                    format!("This has all documents of flow {name} go by the version that was tried."),
                    format!("将使流程 {name} 的全部单据改用试行版本。"),
                );
                session.confirm(&what, std::slice::from_ref(name))?;
            }
            let said = Some(client::change(&change));
            let request = v1::PromoteCanaryRequest { name: name.clone(), change: said };
            (client.change(request).await?.flow, change.dry_run)
        }
        OnlineCommand::Abort { name, change } => {
            let change = change.to_change();
            let what = output.pick(
                format!("This has all documents of flow {name} go by its current version again."),
                format!("将使流程 {name} 的全部单据恢复使用当前版本。"),
            );
            session.confirm_in_production(&change, &what, name)?;
            let said = Some(client::change(&change));
            let request = v1::AbortCanaryRequest { name: name.clone(), change: said };
            (client.change(request).await?.flow, change.dry_run)
        }
        OnlineCommand::Delete { name, force, change } => {
            return delete(session, name, *force, &change.to_change()).await;
        }
        OnlineCommand::Pause { name, change } => {
            let what = output.pick(
                format!("This pauses flow {name}: nothing new is read from its source until it is resumed."),
                format!("将暂停流程 {name}：恢复之前不再读取新数据。"),
            );
            session.confirm_in_production(change, &what, name)?;
            let request = v1::PauseFlowRequest { name: name.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.flow, change.dry_run)
        }
        OnlineCommand::Resume { name, change } => {
            let what = output.pick(format!("This lets flow {name} run again."), format!("将恢复流程 {name} 的运行。"));
            session.confirm_in_production(change, &what, name)?;
            let request = v1::ResumeFlowRequest { name: name.clone(), change: Some(client::change(change)) };
            (client.change(request).await?.flow, change.dry_run)
        }
        OnlineCommand::Run(args) => return run_now(args, session).await,
    };
    output.dry_run(dry_run)?;
    one(session, &flow.unwrap_or_default())?;
    Ok(exit::DONE)
}

async fn list(session: &Session, tenant: &TenantArgs, page: &PageArgs) -> Result<u8, Failure> {
    let part = page::read(page, |page_size, page_token| async move {
        let answer = session.client.ask(v1::ListFlowsRequest { page_size, page_token }).await?;
        let mut flows = answer.flows;
        flows.retain(|flow| tenant.takes(&session.settings.context, &flow.tenant));
        Ok((flows, answer.next_page_token))
    })
    .await?;
    let mut items: Vec<Value> = part.items.iter().map(|flow| message::value("Flow", flow)).collect();
    page::sort(&view::FLOW, &mut items, page.sort_by.as_deref())?;
    page::show(&session.output, &view::FLOW, &Part { items, next: part.next }, Map::new())?;
    Ok(exit::DONE)
}

/// Runs a flow besides its schedule.
pub(super) async fn run_now(args: &RunArgs, session: &Session) -> Result<u8, Failure> {
    let RunArgs { name, lookback, from, to, again, change } = args;
    let what = session.output.pick(format!("This runs flow {name} now."), format!("将立即运行流程 {name}。"));
    session.confirm_in_production(change, &what, name)?;
    let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
    let window = from.zip(*to).map(|(from, to)| v1::Window { from: Some(at(from)), to: Some(at(to)), again: *again });
    let kind = match (window, lookback) {
        (Some(_), _) => v1::RunKind::Window,
        (None, true) => v1::RunKind::Lookback,
        (None, false) => v1::RunKind::Scan,
    };
    let (name, said) = (name.clone(), Some(client::change(change)));
    let answer = session.client.change(v1::RunFlowRequest { name, kind: kind.into(), change: said, window }).await?;
    session.output.dry_run(change.dry_run)?;
    one(session, &answer.flow.unwrap_or_default()).map(|()| exit::DONE)
}

/// A flow, and below it what became of the documents of both versions where one is tried.
pub(super) fn one(session: &Session, flow: &v1::Flow) -> Result<(), Failure> {
    let output = &session.output;
    let whole = message::value("Flow", flow);
    output.one(&view::FLOW, &whole)?;
    if let Some(canary) = &flow.canary
        && matches!(output.form(), Form::Table | Form::Wide)
    {
        let v1::Canary { percent, abort_above, least_documents, note, .. } = canary;
        output.line(&output.pick(
            format!("\n{percent} % tried by {note}; taken back above {abort_above} of {least_documents} or more"),
            format!("\n试行 {percent} %，{note}；达到 {least_documents} 张后失败比例超过 {abort_above} 即中止"),
        ))?;
        let sides = whole["canary"]["sides"].as_array().cloned().unwrap_or_default();
        output.list(&view::CANARY_SIDE, &sides, &Map::new())?;
        if let Some(share) = measured(&canary.sides) {
            output.line(output.pick(
                &format!("{share} % of the documents that have ended since"),
                &format!("此后已有结局的单据中占 {share} %"),
            ))?;
        }
    }
    Ok(())
}

/// The share of documents that went by the version that is tried, in percent with one decimal; `None` while none has ended.
fn measured(sides: &[v1::CanarySide]) -> Option<String> {
    let ended = |side: &v1::CanarySide| i128::from(side.applied) + i128::from(side.failed);
    let tried: i128 = sides.iter().filter(|side| side.side == "canary").map(ended).sum();
    let tenths = (tried * 1_000).checked_div(sides.iter().map(ended).sum())?;
    Some(format!("{}.{}", tenths / 10, tenths % 10))
}

/// Tries a flow folder with some documents.
async fn canary(
    session: &Session,
    path: &Path,
    (percent, abort_above, least): (i32, f64, i64),
    change: &ChangeArgs,
) -> Result<u8, Failure> {
    let output = &session.output;
    let Some(bundle) = checked(session, path)? else { return Ok(exit::INVALID) };
    let request = |change| v1::StartCanaryRequest {
        bundle: Some(bundle.clone()),
        percent,
        abort_above: Some(abort_above),
        least_documents: Some(least),
        change: Some(change),
    };
    if session.must_ask(change)? {
        let planned = session.client.change(request(client::look(change))).await?;
        planned.differences.iter().try_for_each(|line| output.remark(line))?;
        let name = planned.flow.unwrap_or_default().name;
        let what = output.pick(
            format!("This has {percent} % of the documents of flow {name} go by this version."),
            format!("将使流程 {name} 的 {percent} % 单据改用此版本。"),
        );
        session.confirm(&what, &[name])?;
    }
    let answer = session.client.change(request(client::change(change))).await?;
    output.dry_run(change.dry_run)?;
    one(session, &answer.flow.unwrap_or_default()).map(|()| exit::DONE)
}

async fn delete(session: &Session, name: &str, force: bool, args: &ChangeArgs) -> Result<u8, Failure> {
    let output = &session.output;
    let request = |change| v1::DeleteFlowRequest { name: name.to_owned(), force, change: Some(change) };
    if session.must_ask(args)? {
        let planned = session.client.change(request(client::look(args))).await?;
        let v1::DeleteFlowResponse { under_way, open_letters, .. } = planned;
        let what = output.pick(
            format!(
                "This deletes flow {name}; {under_way} documents on their way and {open_letters} open letters stay."
            ),
            format!("将删除流程 {name}；{under_way} 张在途单据和 {open_letters} 条未处理死信保留原样。"),
        );
        session.confirm(&what, &[name.to_owned()])?;
    }
    let answer = session.client.change(request(client::change(args))).await?;
    output.dry_run(args.dry_run)?;
    output.one(&view::FLOW_DELETED, &message::value("DeleteFlowResponse", &answer)).map(|()| exit::DONE)
}

/// The texts of a flow that compiles; its faults are told otherwise.
fn checked(session: &Session, path: &Path) -> Result<Option<v1::FlowBundle>, Failure> {
    let folder = FlowFolder::read(path)?;
    if let Err(faults) = flow::compile(&folder.bundle) {
        for fault in faults {
            let _code: ExitCode = session.output.failure(&Failure::of(folder.placed(fault), exit::INVALID));
        }
        return Ok(None);
    }
    let flow::FlowBundle { flow, source, target, collections } = folder.bundle;
    Ok(Some(v1::FlowBundle { flow, source, target, collections: collections.into_iter().collect() }))
}

async fn plan(session: &Session, bundle: v1::FlowBundle) -> Result<v1::ApplyFlowResponse, Failure> {
    let look = ChangeArgs { dry_run: true, reason: None, idempotency_key: None, yes: false };
    session.client.change(v1::ApplyFlowRequest { bundle: Some(bundle), change: Some(client::change(&look)) }).await
}

async fn diff(session: &Session, path: &Path) -> Result<u8, Failure> {
    let Some(bundle) = checked(session, path)? else { return Ok(exit::INVALID) };
    show(session, &plan(session, bundle).await?)
}

async fn apply(session: &Session, path: &Path, change: &ChangeArgs) -> Result<u8, Failure> {
    let output = &session.output;
    let Some(bundle) = checked(session, path)? else { return Ok(exit::INVALID) };
    if session.must_ask(change)? {
        let planned = plan(session, bundle.clone()).await?;
        planned.differences.iter().try_for_each(|line| output.remark(line))?;
        let flow = planned.flow.unwrap_or_default();
        let what = output.pick(
            format!("This makes version {} of flow {} the current one.", flow.version, flow.name),
            format!("将使流程 {} 的版本 {} 生效。", flow.name, flow.version),
        );
        session.confirm(&what, &[flow.name])?;
    }
    let request = v1::ApplyFlowRequest { bundle: Some(bundle), change: Some(client::change(change)) };
    let answer = session.client.change(request).await?;
    output.dry_run(change.dry_run)?;
    show(session, &answer)
}

fn show(session: &Session, answer: &v1::ApplyFlowResponse) -> Result<u8, Failure> {
    let output = &session.output;
    let whole = message::value("ApplyFlowResponse", answer);
    if !matches!(output.form(), Form::Table | Form::Wide) {
        return output.one(&view::FLOW_CHANGE, &whole).map(|()| exit::DONE);
    }
    let flow = answer.flow.clone().unwrap_or_default();
    let before = match answer.previous_version.as_str() {
        "" => output.pick("none", "无"),
        version => version,
    };
    output.line(&format!("{}: {before} -> {}", flow.name, flow.version))?;
    if answer.differences.is_empty() {
        return output.remark(output.pick("nothing differs", "没有差异")).map(|()| exit::DONE);
    }
    answer.differences.iter().try_for_each(|line| output.line(&crate::output::table::harmless(line)))?;
    Ok(exit::DONE)
}
