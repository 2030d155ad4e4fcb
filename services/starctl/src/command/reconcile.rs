//! `starctl reconcile`: reports on both systems of a flow.

use prost_types::Timestamp;
use serde_json::{Map, Value, json};
use starbridge_proto::v1;

use super::Session;
use super::page::{self, Part};
use super::view::{column, flag, time};
use super::watch::{self, Watched};
use crate::cli::reconcile::ReconcileCommand;
use crate::cli::{Form, PageArgs};
use crate::client;
use crate::exit;
use crate::message;
use crate::output::Output;
use crate::output::failure::Failure;
use crate::output::view::{Kind, View};

const REPORT: View = View {
    kind: "Reconciliation",
    noun: "reconciliation",
    name: "id",
    columns: &[
        column("id", "id", "编号"),
        column("status", "status", "状态").as_kind(Kind::Word("RECONCILIATION_STATUS_")),
        flag("clean", "clean", "一致"),
        column("source", "source", "源单据"),
        column("applied", "applied", "已写入"),
        column("parked", "parked", "已搁置"),
        column("in_doubt", "in doubt", "存疑"),
        column("on_the_way", "on the way", "处理中"),
        column("compared", "compared", "逐项比对"),
        column("calls", "calls", "调用次数"),
        time("as_of", "as of", "截至"),
        time("from", "from", "起").if_wide(),
        time("to", "to", "止").if_wide(),
        column("discarded", "discarded", "已丢弃").if_wide(),
        column("planned_calls", "calls at most", "调用上限").if_wide(),
        column("read_again", "read again", "重新读取").if_wide(),
        column("created_by", "by", "发起人").if_wide(),
        time("ended_at", "ended", "结束时间").if_wide(),
        column("reason", "reason", "原因").if_wide(),
        column("fault", "fault", "故障").if_wide(),
    ],
};

const FINDING: View = View {
    kind: "ReconciliationFinding",
    noun: "document",
    name: "document_key",
    columns: &[
        column("kind", "what", "问题"),
        column("document_key", "document", "单据"),
        column("target_key", "target key", "目标键"),
        column("target_ids", "target ids", "目标内码"),
        column("detail", "detail", "说明"),
    ],
};

const PLAN: View = View {
    kind: "ReconciliationPlan",
    noun: "flow",
    name: "flow",
    columns: &[column("flow", "flow", "流程"), column("planned_calls", "calls at most", "调用上限")],
};

pub(super) async fn run(command: &ReconcileCommand, session: &Session) -> Result<u8, Failure> {
    let client = &session.client;
    match command {
        ReconcileCommand::Start { flow, from, to, sample, grace, wait, change } => {
            let at = |seconds: &i64| Timestamp { seconds: *seconds, nanos: 0 };
            let request = v1::StartReconciliationRequest {
                flow: flow.clone(),
                from: from.as_ref().map(at),
                to: to.as_ref().map(at),
                sample: Some(*sample),
                grace_seconds: Some(i64::try_from(grace.as_secs()).unwrap_or(i64::MAX)),
                change: Some(client::change(change)),
            };
            let answer = client.change(request).await?;
            let Some(report) = answer.reconciliation else {
                session.output.dry_run(change.dry_run)?;
                let plan = json!({"flow": flow, "planned_calls": answer.planned_calls});
                return session.output.one(&PLAN, &plan).map(|()| exit::DONE);
            };
            watch::tell(session, &report)?;
            match wait {
                true => watch::follow::<v1::Reconciliation>(session, &report.id).await,
                false => session.output.one(&REPORT, &message::value("Reconciliation", &report)).map(|()| exit::DONE),
            }
        }
        ReconcileCommand::List { flow, page } => list(session, flow.as_deref(), page).await,
        ReconcileCommand::Get { id } => get(session, id).await,
        ReconcileCommand::Watch { id } => watch::follow::<v1::Reconciliation>(session, id).await,
    }
}

async fn list(session: &Session, flow: Option<&str>, page: &PageArgs) -> Result<u8, Failure> {
    let flow = flow.unwrap_or_default().to_owned();
    let part = page::read(page, |page_size, page_token| {
        let request = v1::ListReconciliationsRequest { flow: flow.clone(), page_size, page_token };
        async move {
            let answer = session.client.ask(request).await?;
            Ok((answer.reconciliations, answer.next_page_token))
        }
    })
    .await?;
    let mut items: Vec<Value> = part.items.iter().map(|report| message::value("Reconciliation", report)).collect();
    page::sort(&REPORT, &mut items, page.sort_by.as_deref())?;
    page::show(&session.output, &REPORT, &Part { items, next: part.next }, Map::new())?;
    Ok(exit::DONE)
}

/// Shows a report with every page of its findings.
async fn get(session: &Session, id: &str) -> Result<u8, Failure> {
    let mut report = v1::Reconciliation::default();
    let (mut findings, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::GetReconciliationRequest { id: id.to_owned(), page_size: 0, page_token };
        let answer = session.client.ask(request).await?;
        if let Some(page) = answer.reconciliation {
            report = page;
            findings.append(&mut report.findings);
        }
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            report.findings = findings;
            return show(session, &report);
        }
    }
}

/// A report with its findings. What that means to scripts: 6 when something does not agree, 1 when it was given up.
fn show(session: &Session, report: &v1::Reconciliation) -> Result<u8, Failure> {
    let output = &session.output;
    let whole = message::value("Reconciliation", report);
    output.one(&REPORT, &whole)?;
    let findings = whole["findings"].as_array().cloned().unwrap_or_default();
    if matches!(output.form(), Form::Table | Form::Wide) {
        if !report.fault.is_empty() {
            output.line(&format!("\n{}", report.fault))?;
        }
        if !findings.is_empty() {
            output.line("")?;
            output.list(&FINDING, &findings, &Map::new())?;
            let total: i64 = report.totals.values().sum();
            let named = i64::try_from(findings.len()).unwrap_or(i64::MAX);
            if total > named {
                let more = total - named;
                output.line(&output.pick(
                    format!("and {more} more, which are counted only: a report of a narrower window lists them"),
                    format!("另有 {more} 项，仅计数：缩小时间范围重新对账即可列出"),
                ))?;
            }
        }
    }
    Ok(match report.status() {
        v1::ReconciliationStatus::Failed => exit::OTHER,
        v1::ReconciliationStatus::Done if !report.clean => exit::SOME_FAILED,
        _ => exit::DONE,
    })
}

impl Watched for v1::Reconciliation {
    type Watch = v1::WatchReconciliationRequest;
    type Seen = v1::WatchReconciliationResponse;
    const COMMAND: &'static str = "reconcile";
    const NAMES: (&'static str, &'static str) = ("reconciliation", "对账");

    fn watch(id: String) -> v1::WatchReconciliationRequest {
        v1::WatchReconciliationRequest { id }
    }

    fn seen(seen: v1::WatchReconciliationResponse) -> v1::Reconciliation {
        seen.reconciliation.unwrap_or_default()
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn is_over(&self) -> bool {
        self.status() != v1::ReconciliationStatus::Running
    }

    fn counts(&self) -> Option<(i64, i64)> {
        None
    }

    fn words(&self, output: &Output) -> String {
        let (id, calls) = (&self.id, self.planned_calls);
        output.pick(
            format!("{id} is being made, by at most {calls} calls"),
            format!("{id} 正在进行，最多调用 {calls} 次"),
        )
    }

    async fn show(&self, session: &Session) -> Result<u8, Failure> {
        get(session, &self.id).await
    }
}
