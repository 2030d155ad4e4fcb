//! `starctl flow`: what is published and running.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Map, Value};
use starbridge_proto::v1;

use super::{Session, page, view};
use crate::cli::Form;
use crate::cli::change::{ChangeArgs, YesArgs};
use crate::cli::flow::OnlineCommand;
use crate::client;
use crate::exit;
use crate::message;
use crate::output::failure::Failure;
use crate::place::FlowFolder;

pub(super) async fn run(command: &OnlineCommand, session: &Session) -> Result<u8, Failure> {
    let output = &session.output;
    let client = &session.client;
    let flow = match command {
        OnlineCommand::List { sort_by } => {
            let flows = client.ask(v1::ListFlowsRequest {}).await?.flows;
            let mut items: Vec<Value> = flows.iter().map(|flow| message::value("Flow", flow)).collect();
            page::sort(&view::FLOW, &mut items, sort_by.as_deref())?;
            return output.list(&view::FLOW, &items, &Map::new()).map(|()| exit::DONE);
        }
        OnlineCommand::Get { name, version } => {
            let version = version.clone().unwrap_or_default();
            let answer = client.ask(v1::GetFlowRequest { name: name.clone(), version }).await?;
            let whole = message::value("GetFlowResponse", &answer);
            return match output.form() {
                Form::Table | Form::Wide => output.one(&view::FLOW, &whole["flow"]),
                _ => output.one(&view::FLOW_DETAIL, &whole),
            }
            .map(|()| exit::DONE);
        }
        OnlineCommand::History { name } => {
            let answer = client.ask(v1::GetFlowRequest { name: name.clone(), version: String::new() }).await?;
            let versions = answer.flow.unwrap_or_default().versions;
            let items: Vec<Value> = versions.iter().map(|version| message::value("FlowVersion", version)).collect();
            let more = Map::from_iter([("flow".to_owned(), Value::from(name.as_str()))]);
            return output.list(&view::FLOW_VERSION, &items, &more).map(|()| exit::DONE);
        }
        OnlineCommand::Diff { path } => return diff(session, path).await,
        OnlineCommand::Apply { path, change, yes } => return apply(session, path, change, *yes).await,
        OnlineCommand::Rollback { name, to, change, yes } => {
            let change = change.to_change();
            if session.must_ask(yes.yes, change.dry_run)? {
                let what = output.pick(
                    format!("Flow {name} goes back to version {to}."),
                    format!("流程 {name} 将回退到版本 {to}。"),
                );
                session.confirm(&what, std::slice::from_ref(name))?;
            }
            let change = Some(client::change(&change));
            client.change(v1::RollbackFlowRequest { name: name.clone(), version: to.clone(), change }).await?.flow
        }
        OnlineCommand::Delete { name, force, change, yes } => {
            return delete(session, name, *force, &change.to_change(), *yes).await;
        }
        OnlineCommand::Pause { name, change, yes } => {
            let what = output.pick(format!("Flow {name} is paused."), format!("流程 {name} 将暂停。"));
            ask_in_production(session, name, &what, change, *yes)?;
            client.change(v1::PauseFlowRequest { name: name.clone(), change: Some(client::change(change)) }).await?.flow
        }
        OnlineCommand::Resume { name, change, yes } => {
            let what = output.pick(format!("Flow {name} runs again."), format!("流程 {name} 将恢复运行。"));
            ask_in_production(session, name, &what, change, *yes)?;
            client
                .change(v1::ResumeFlowRequest { name: name.clone(), change: Some(client::change(change)) })
                .await?
                .flow
        }
        OnlineCommand::Run { name, lookback, from, to, again, change, yes } => {
            let what = output.pick(format!("Flow {name} runs now."), format!("流程 {name} 将立即运行。"));
            ask_in_production(session, name, &what, change, *yes)?;
            let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
            let window =
                from.zip(*to).map(|(from, to)| v1::Window { from: Some(at(from)), to: Some(at(to)), again: *again });
            let kind = match (window, lookback) {
                (Some(_), _) => v1::RunKind::Window,
                (None, true) => v1::RunKind::Lookback,
                (None, false) => v1::RunKind::Scan,
            };
            let (name, change) = (name.clone(), Some(client::change(change)));
            client.change(v1::RunFlowRequest { name, kind: kind.into(), change, window }).await?.flow
        }
    };
    output.one(&view::FLOW, &message::value("Flow", &flow.unwrap_or_default()))?;
    Ok(exit::DONE)
}

async fn delete(session: &Session, name: &str, force: bool, args: &ChangeArgs, yes: YesArgs) -> Result<u8, Failure> {
    let output = &session.output;
    let request = |change| v1::DeleteFlowRequest { name: name.to_owned(), force, change: Some(change) };
    if session.must_ask(yes.yes, args.dry_run)? {
        let look = ChangeArgs { dry_run: true, idempotency_key: None, ..args.clone() };
        let planned = session.client.change(request(client::change(&look))).await?;
        let v1::DeleteFlowResponse { under_way, open_letters, .. } = planned;
        let what = output.pick(
            format!("Flow {name} is deleted; {under_way} documents on their way and {open_letters} open letters stay."),
            format!("将删除流程 {name}；{under_way} 张在途单据和 {open_letters} 条未处理死信保留原样。"),
        );
        session.confirm(&what, &[name.to_owned()])?;
    }
    let answer = session.client.change(request(client::change(args))).await?;
    if args.dry_run {
        output.remark(output.pick("nothing was changed", "未做任何变更"))?;
    }
    output.one(&view::FLOW_DELETED, &message::value("DeleteFlowResponse", &answer)).map(|()| exit::DONE)
}

fn ask_in_production(
    session: &Session,
    name: &String,
    what: &str,
    change: &ChangeArgs,
    yes: YesArgs,
) -> Result<(), Failure> {
    if session.must_ask_in_production(yes.yes, change.dry_run)? {
        session.confirm(what, std::slice::from_ref(name))?;
    }
    Ok(())
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
    let look = ChangeArgs { dry_run: true, reason: None, idempotency_key: None };
    session.client.change(v1::ApplyFlowRequest { bundle: Some(bundle), change: Some(client::change(&look)) }).await
}

async fn diff(session: &Session, path: &Path) -> Result<u8, Failure> {
    let Some(bundle) = checked(session, path)? else { return Ok(exit::INVALID) };
    show(session, &plan(session, bundle).await?)
}

async fn apply(session: &Session, path: &Path, change: &ChangeArgs, yes: YesArgs) -> Result<u8, Failure> {
    let output = &session.output;
    let Some(bundle) = checked(session, path)? else { return Ok(exit::INVALID) };
    if session.must_ask(yes.yes, change.dry_run)? {
        let planned = plan(session, bundle.clone()).await?;
        planned.differences.iter().try_for_each(|line| output.remark(line))?;
        let flow = planned.flow.unwrap_or_default();
        let what = output.pick(
            format!("Version {} of flow {} becomes current.", flow.version, flow.name),
            format!("流程 {} 的版本 {} 将生效。", flow.name, flow.version),
        );
        session.confirm(&what, &[flow.name])?;
    }
    let request = v1::ApplyFlowRequest { bundle: Some(bundle), change: Some(client::change(change)) };
    show(session, &session.client.change(request).await?)
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
