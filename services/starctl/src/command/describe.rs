//! `starctl flow describe`: one published flow on a page. What it does is told from its texts, which are compiled here.

use chrono::Utc;
use document::Fault;
use flow::file::{Delivery, OnChange, WhenRunning};
use flow::lineage::{self, How};
use flow::{Flow, FlowBundle, Operation};
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::{Session, flow as flows, schedule, view};
use crate::cli::Form;
use crate::exit;
use crate::message;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::output::table::harmless;

/// How many firings a page tells.
const FIRINGS: u32 = 3;

pub(super) async fn run(name: &str, session: &Session) -> Result<u8, Failure> {
    let output = &session.output;
    let answer = session.client.ask(v1::GetFlowRequest { name: name.to_owned(), version: String::new() }).await?;
    let flow = answer.flow.unwrap_or_default();
    let v1::FlowBundle { flow: text, source, target, collections } = answer.bundle.unwrap_or_default();
    let bundle = FlowBundle { flow: text, source, target, collections: collections.into_iter().collect() };
    let compiled = flow::compile(&bundle).map(|compiled| compiled.flow);
    let state = schedule::state(&flow);
    let words = match &compiled {
        Ok(compiled) => words(compiled, output),
        Err(faults) => unusable(faults, output),
    };
    let fires = matches!(state, schedule::RUNS | schedule::PAUSED);
    let plan = compiled.as_ref().ok().filter(|_| fires).map(|compiled| &compiled.plan);
    let next: Vec<Value> = plan.iter().flat_map(|plan| schedule::firings(plan, Utc::now(), FIRINGS)).collect();
    let letters = open_letters(session, &flow.name).await?;
    if !matches!(output.form(), Form::Table | Form::Wide) {
        let whole = json!({
            "flow": message::value("Flow", &flow),
            "state": state,
            "does": words,
            "next": next,
            "open_letters": letters,
        });
        return output.one(&view::FLOW_DESCRIPTION, &whole).map(|()| exit::DONE);
    }
    flows::one(session, &flow)?;
    heading(output, "what it does", "作用")?;
    words.iter().try_for_each(|line| output.line(&format!("  {}", harmless(line))))?;
    heading(output, "next firings", "接下来的触发")?;
    match state {
        schedule::RUNS => output.list(&view::FIRING, &next, &Map::new())?,
        schedule::PAUSED => output.line(output.pick("  none while it is paused", "  暂停期间不触发"))?,
        _ => output.line(&format!("  {} ({state})", output.pick("none", "无")))?,
    }
    heading(output, "open letters by category", "未处理死信，按类别")?;
    match letters.as_deref() {
        None => output.line(output.pick("  you may not see them", "  无权查看"))?,
        Some([]) => output.line(output.pick("  none", "  无"))?,
        Some(letters) => output.list(&view::CATEGORY, letters, &Map::new())?,
    }
    Ok(exit::DONE)
}

fn heading(output: &Output, english: &str, chinese: &str) -> Result<(), Failure> {
    output.line(&format!("\n{}", output.pick(english, chinese)))
}

/// The open letters of a flow by category; nothing where the user may not see letters.
async fn open_letters(session: &Session, name: &str) -> Result<Option<Vec<Value>>, Failure> {
    let selector = format!("flow = {name} and state = open");
    match session.client.ask(v1::GetDeadLetterStatsRequest { selector }).await {
        Ok(answer) => {
            let by_category = answer.counts.iter().filter(|count| count.by == "category");
            Ok(Some(by_category.map(|count| json!({"category": count.value, "count": count.count})).collect()))
        }
        Err(failure) if failure.exit() == exit::DENIED => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn unusable(faults: &[Fault], output: &Output) -> Vec<String> {
    let first = output.pick("Nothing: its texts cannot be used.", "无：其文本不可用。").to_owned();
    std::iter::once(first).chain(faults.iter().map(ToString::to_string)).collect()
}

/// What a flow does, a sentence each.
fn words(flow: &Flow, output: &Output) -> Vec<String> {
    let mut words = vec![reads(flow, output)];
    words.extend(flow.lookback.as_ref().map(|lookback| {
        let days = lookback.days;
        output.pick(
            format!("Takes a second look at the last {days} days, on a schedule of its own."),
            format!("另按单独的计划再次查看最近 {days} 天。"),
        )
    }));
    words.extend([saves(flow, output), fills(flow, output), found(flow, output), changes(flow, output)]);
    let cap = flow.settings.retry.attempt_cap;
    words.push(output.pick(format!("Parks a document after {cap} tries."), format!("一张单据尝试 {cap} 次后搁置。")));
    words.push(runs(flow, output));
    words.extend(compares(flow, output));
    words
}

fn reads(flow: &Flow, output: &Output) -> String {
    let settings = &flow.settings.source;
    let connection = &settings.connection;
    let start = flow.start_from.timestamp();
    let form = flow.source.query(&flow.run(start, start)).map(|query| query.form_id);
    let what = match form {
        Ok(form) => output.pick(format!("bills of form {form}"), format!("表单 {form} 的单据")),
        Err(_) => output
            .pick(format!("what interface {} gives", flow.source.api()), format!("接口 {} 的数据", flow.source.api())),
    };
    match &settings.watermark {
        Some(date) => output.pick(
            format!("Reads {what} from connection {connection}: those whose {date} moved since the run before."),
            format!("从连接 {connection} 读取{what}：取 {date} 在上次运行之后变动的。"),
        ),
        None => output.pick(
            format!("Reads {what} from connection {connection}: those that its own filter takes."),
            format!("从连接 {connection} 读取{what}：按文档自身的过滤条件。"),
        ),
    }
}

fn saves(flow: &Flow, output: &Output) -> String {
    let connection = &flow.settings.target.connection;
    let start = flow.start_from.timestamp();
    let number = flow.documents_per_call;
    let Ok(call) = flow.target.call(&flow.run(start, start), &flow.collections) else {
        let api = flow.target.api();
        return output.pick(
            format!("Writes to connection {connection} by interface {api}, up to {number} a call."),
            format!("通过接口 {api} 写入连接 {connection}，每次最多 {number} 张。"),
        );
    };
    let form = call.form_id;
    let verb = match (call.operation, call.auto_submit_and_audit) {
        (Operation::Audit, _) | (_, true) => output.pick("Saves, submits and audits", "保存、提交并审核"),
        (Operation::Submit, false) => output.pick("Saves and submits", "保存并提交"),
        (Operation::Save, false) => output.pick("Saves", "保存"),
    };
    output.pick(
        format!("{verb} them as form {form} in connection {connection}, up to {number} a call."),
        format!("在连接 {connection} 中作为表单 {form} {verb}，每次最多 {number} 张。"),
    )
}

/// How the fields come about, in numbers.
fn fills(flow: &Flow, output: &Output) -> String {
    let lines = lineage::of_flow(flow);
    let count = |wanted: &[How]| lines.iter().filter(|line| wanted.contains(&line.how)).count();
    let (copied, computed) = (count(&[How::Reference, How::Template]), count(&[How::Function]));
    let (constant, sought) = (count(&[How::Constant]), count(&[How::Lookup]));
    let name = &flow.name;
    output.pick(
        format!(
            "Fills fields: {copied} from the source, {computed} computed, {sought} looked up, {constant} constant \
             (starctl lineage flow {name})."
        ),
        format!(
            "填写字段：{copied} 个来自来源，{computed} 个经计算，{sought} 个经查找，{constant} 个为常量\
             （starctl lineage flow {name}）。"
        ),
    )
}

fn found(flow: &Flow, output: &Output) -> String {
    let field = flow.key_field();
    let how = match flow.settings.target.marker {
        Some(_) => output.pick("by a mark of its own in", "凭专用标记字段"),
        None => output.pick("by", "凭字段"),
    };
    match flow.settings.delivery {
        Delivery::ProvenOnce => output.pick(
            format!("Finds a bill in the target {how} {field}: it is there once, proven."),
            format!("在目标中{how} {field} 查找单据：只存在一张，有据可证。"),
        ),
        Delivery::AtLeastOnce => output.pick(
            format!("Finds a bill in the target {how} {field}: it arrives at least once, perhaps twice."),
            format!("在目标中{how} {field} 查找单据：至少送达一次，可能重复。"),
        ),
    }
}

fn changes(flow: &Flow, output: &Output) -> String {
    let (english, chinese) = match flow.settings.target.on_change {
        OnChange::Skip => ("is left as it was loaded, and counted", "目标保持原样，仅计数"),
        OnChange::Update => ("is saved again", "重新保存"),
        OnChange::Park => ("waits as a dead letter for a decision", "成为死信等待决定"),
    };
    output.pick(
        format!("A bill that changes after it was loaded {english}."),
        format!("写入后来源又改动的单据：{chinese}。"),
    )
}

fn runs(flow: &Flow, output: &Output) -> String {
    let cron = &flow.settings.schedule.cron;
    let zone = flow.plan.zone();
    let (english, chinese) = match flow.settings.schedule.when_running {
        WhenRunning::Skip => ("is left out", "略过"),
        WhenRunning::Wait => ("happens when that is over", "在其结束后补一次"),
    };
    output.pick(
        format!("Runs by {cron} in zone {zone}; a firing during a run {english}."),
        format!("按 {cron}（时区 {zone}）运行；运行期间的触发{chinese}。"),
    )
}

fn compares(flow: &Flow, output: &Output) -> Option<String> {
    let reconcile = flow.settings.reconcile.as_ref()?;
    let (cron, days) = (&reconcile.cron, reconcile.days);
    let (english, chinese) = match reconcile.repair {
        true => (", and reads again what never arrived", "，并重新读取从未到达的单据"),
        false => ("", ""),
    };
    Some(output.pick(
        format!("Compares both systems by {cron} over the last {days} days{english}."),
        format!("按 {cron} 对最近 {days} 天自动对账{chinese}。"),
    ))
}
