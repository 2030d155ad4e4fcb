//! `ReconciliationService`.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, Fault, FlowName};
use prost_types::Timestamp;
use starbridge_proto::v1;
use starbridge_proto::v1::reconciliation_service_server::ReconciliationService;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::gate::Caller;
use super::held::{Grant, Held};
use super::status::status;
use super::{Shared, digest, page_size, show};
use crate::core::Effects;
use crate::reconcile::plan::begun;
use crate::reconcile::report::{PAGE, REPORTS, flow_of};
use crate::reconcile::run::planned;
use crate::reconcile::{Finding, Reconciliation, Spec, Status as How};
use crate::writer::desk::Desk;
use crate::writer::request::{Decided, Jobs};

const SERVICE: &str = "starbridge.control.v1.ReconciliationService";
/// The window where none is named, seconds.
const DAYS: i64 = 3 * 86_400;
/// The share where none is named.
const SAMPLE: f64 = 0.01;
/// The time of grace where none is named, and the longest one, seconds.
const GRACE: i64 = 900;
const LONGEST_GRACE: i64 = 86_400;
/// How long a new report may take to be shown.
const READ_BACK: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug, Clone)]
pub struct Reconciliations(pub Arc<Shared>);

#[tonic::async_trait]
impl ReconciliationService for Reconciliations {
    async fn start_reconciliation(
        &self,
        request: Request<v1::StartReconciliationRequest>,
    ) -> Result<Response<v1::StartReconciliationResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/StartReconciliation"), &request)?;
        let request = request.into_inner();
        let flow = name(&request.flow, "$.flow")?;
        let scope = shared.scope_of(&flow);
        let role =
            shared.permit(&caller, std::slice::from_ref(&scope), false, &format!("reconciliation/{flow}")).await?;
        let spec = self.spec(&flow, &request, &caller).await.map_err(|fault| status(&fault))?;
        let meta = caller.meta(&format!("reconciliation/{}", spec.id), scope, digest(&request), role);
        let (id, planned) = (spec.id.clone(), show::count(spec.calls));
        let dry_run = request.change.as_ref().is_some_and(|change| change.dry_run);
        let decide = move |desk: &mut Desk<'_>, _: &Jobs<'_>| {
            let spec = Spec { at: desk.now, ..spec };
            let report = Reconciliation::new(spec);
            let memory = begun(&report, desk.memories(&format!("{REPORTS}{}:", report.spec.flow))?);
            let response = v1::StartReconciliationResponse {
                planned_calls: planned,
                reconciliation: (!dry_run).then(|| shown(&report, &[])),
            };
            let effects = Effects { memory, ..Effects::default() };
            Ok((Decided { effects, ..Decided::default() }, response))
        };
        let answer: v1::StartReconciliationResponse =
            shared.change(meta, request.change.as_ref(), false, decide).await?;
        if !dry_run {
            let mut changes = shared.mirror.changes();
            let key = format!("{REPORTS}{id}");
            let seen = async {
                while shared.mirror.get::<Reconciliation>(&key).is_none() && changes.changed().await.is_ok() {}
            };
            // It was written; that it is not read back yet is no reason to answer otherwise.
            drop(tokio::time::timeout(READ_BACK, seen).await);
        }
        Ok(Response::new(answer))
    }

    async fn list_reconciliations(
        &self,
        request: Request<v1::ListReconciliationsRequest>,
    ) -> Result<Response<v1::ListReconciliationsResponse>, Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/ListReconciliations"), &request)?;
        shared.permit(&caller, &[], false, "reconciliation").await?;
        let request = request.into_inner();
        let size = page_size(request.page_size)?;
        let visible = shared.visible(&caller);
        let reports = shared.mirror.all::<Reconciliation>(REPORTS).into_iter().map(|(_, report)| report);
        let mut reports: Vec<Reconciliation> = reports
            .filter(|report| request.flow.is_empty() || report.spec.flow.as_str() == request.flow)
            .filter(|report| visible.as_ref().is_none_or(|flows| flows.contains(&report.spec.flow)))
            .collect();
        // Newest first; what was asked for at one instant, by name.
        let place = |report: &Reconciliation| format!("{:020}/{}", report.spec.at, report.spec.id);
        reports.sort_by_key(|report| std::cmp::Reverse(place(report)));
        if !request.page_token.is_empty() {
            reports.retain(|report| place(report) < request.page_token);
        }
        let more = reports.len() > size;
        reports.truncate(size);
        let next = reports.last().filter(|_| more).map(place).unwrap_or_default();
        Ok(Response::new(v1::ListReconciliationsResponse {
            reconciliations: reports.iter().map(|report| shown(report, &[])).collect(),
            next_page_token: next,
        }))
    }

    async fn get_reconciliation(
        &self,
        request: Request<v1::GetReconciliationRequest>,
    ) -> Result<Response<v1::GetReconciliationResponse>, Status> {
        let (_, report) = self.report("GetReconciliation", &request, |request| &request.id).await?;
        let request = request.into_inner();
        let size = if request.page_size == 0 { PAGE } else { page_size(request.page_size)? };
        let from = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| status(&unreadable_token()))?,
        };
        let (findings, more) = report.findings(from, size, |key| self.0.mirror.get(key));
        let next_page_token = if more { (from + findings.len()).to_string() } else { String::new() };
        let reconciliation = Some(shown(&report, &findings));
        Ok(Response::new(v1::GetReconciliationResponse { reconciliation, next_page_token }))
    }

    type WatchReconciliationStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchReconciliationResponse, Status>> + Send>>;

    async fn watch_reconciliation(
        &self,
        request: Request<v1::WatchReconciliationRequest>,
    ) -> Result<Response<Self::WatchReconciliationStream>, Status> {
        let (caller, report) = self.report("WatchReconciliation", &request, |request| &request.id).await?;
        let grant = Grant::of(&self.0, caller, vec![self.0.scope_of(&report.spec.flow)]);
        let shared = Arc::clone(&self.0);
        let (sender, receiver) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move {
            let mut changes = shared.mirror.changes();
            let mut last = None;
            loop {
                let Some(now) = shared.mirror.get::<Reconciliation>(&report.key()) else {
                    return drop(sender.send(Err(status(&unknown(&report.spec.id)))).await);
                };
                let over = now.status != How::Running;
                if last != Some(now.status) {
                    last = Some(now.status);
                    let sent = v1::WatchReconciliationResponse { reconciliation: Some(shown(&now, &now.findings)) };
                    if sender.send(Ok(sent)).await.is_err() {
                        return;
                    }
                }
                if over || changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(Held::new(Arc::clone(&self.0), grant, ReceiverStream::new(receiver)))))
    }
}

impl Reconciliations {
    async fn report<T>(
        &self,
        call: &str,
        request: &Request<T>,
        id: impl Fn(&T) -> &String,
    ) -> Result<(Caller, Reconciliation), Status> {
        let shared = &self.0;
        let caller = shared.caller(&format!("{SERVICE}/{call}"), request)?;
        let id = id(request.get_ref());
        let flow = name(flow_of(id), "$.id")?;
        shared.permit(&caller, &[shared.scope_of(&flow)], false, &format!("reconciliation/{id}")).await?;
        let found = shared.mirror.get(&format!("{REPORTS}{id}")).ok_or_else(|| status(&unknown(id)))?;
        Ok((caller, found))
    }

    /// What a request asks for, with what it leaves open filled in, and the calls it takes.
    async fn spec(
        &self,
        flow: &FlowName,
        request: &v1::StartReconciliationRequest,
        caller: &Caller,
    ) -> Result<Spec, Fault> {
        let wrong = |path: &str, detail: String| Err(Fault::new(Code::RequestInvalid, detail).at_path(path));
        let shared = &self.0;
        let now = shared.clock.seconds();
        let published = shared.flows.current().into_iter().find(|known| known.name == *flow);
        let Some(published) = published else {
            let detail = format!("{flow} is not published, or cannot be used");
            return Err(Fault::new(Code::FlowUnknown, detail).of_record(flow.as_str()));
        };
        let instant = |time: &Option<Timestamp>, otherwise: i64| time.map_or(otherwise, |time| time.seconds);
        let to = instant(&request.to, now).min(now);
        let from = instant(&request.from, to - DAYS);
        if from >= to {
            return wrong("$.from", "must be earlier than to, and in the past".to_owned());
        }
        let sample = request.sample.unwrap_or(SAMPLE);
        if !(0.0..=1.0).contains(&sample) {
            return wrong("$.sample", format!("is {sample}, but must be 0 to 1"));
        }
        let grace = request.grace_seconds.unwrap_or(GRACE);
        if !(0..=LONGEST_GRACE).contains(&grace) {
            return wrong("$.grace_seconds", format!("is {grace}, but must be 0 to {LONGEST_GRACE}"));
        }
        let calls = planned(shared, &published, (from, to), sample).await?;
        Ok(Spec {
            id: format!("{flow}:{}", uuid::Uuid::now_v7().simple()),
            flow: flow.clone(),
            from,
            to,
            sample,
            grace,
            calls,
            by: caller.principal.name.clone(),
            at: 0,
            reason: request.change.as_ref().map(|change| change.reason.trim().to_owned()).unwrap_or_default(),
        })
    }
}

fn name(text: &str, path: &str) -> Result<FlowName, Status> {
    FlowName::new(text.to_owned())
        .map_err(|error| status(&Fault::new(Code::RequestInvalid, error.to_string()).at_path(path)))
}

fn unknown(id: &str) -> Fault {
    Fault::new(Code::ReconciliationUnknown, "there is no reconciliation of this id").of_record(id.to_owned())
}

fn unreadable_token() -> Fault {
    Fault::new(Code::PageToken, "is not one of this report").at_path("$.page_token")
}

/// A report with these of its findings.
fn shown(report: &Reconciliation, findings: &[Finding]) -> v1::Reconciliation {
    let seconds = |seconds: i64| Some(Timestamp { seconds, nanos: 0 });
    let (spec, counts) = (&report.spec, &report.counts);
    let finding = |finding: &Finding| v1::ReconciliationFinding {
        kind: finding.kind.as_str().to_owned(),
        document_key: finding.document.to_string(),
        target_key: finding.target_key.as_ref().map(ToString::to_string).unwrap_or_default(),
        target_ids: finding.target_ids.clone(),
        detail: finding.detail.clone(),
    };
    v1::Reconciliation {
        id: spec.id.clone(),
        flow: spec.flow.to_string(),
        status: match report.status {
            How::Running => v1::ReconciliationStatus::Running,
            How::Done => v1::ReconciliationStatus::Done,
            How::Failed => v1::ReconciliationStatus::Failed,
        }
        .into(),
        from: seconds(spec.from),
        to: seconds(spec.to),
        sample: spec.sample,
        grace_seconds: spec.grace,
        planned_calls: show::count(spec.calls),
        calls: show::count(report.calls_made),
        created_by: spec.by.clone(),
        created_at: Some(show::time(spec.at)),
        reason: spec.reason.clone(),
        as_of: report.as_of.map(show::time),
        ended_at: report.ended_at.map(show::time),
        clean: report.is_clean(),
        source: show::count(counts.source),
        applied: show::count(counts.applied),
        parked: show::count(counts.parked),
        in_doubt: show::count(counts.in_doubt),
        discarded: show::count(counts.discarded),
        on_the_way: show::count(counts.on_the_way),
        compared: show::count(counts.compared),
        totals: report.totals.iter().map(|(kind, count)| (kind.as_str().to_owned(), show::count(*count))).collect(),
        findings: findings.iter().map(finding).collect(),
        read_again: show::count(report.read_again),
        fault: report.fault.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_is_not_there_is_named() {
        let fault = unknown("f:1");
        assert_eq!((fault.code, fault.place.record.as_deref()), (Code::ReconciliationUnknown, Some("f:1")));
        assert_eq!(status(&fault).code(), tonic::Code::NotFound);
    }
}
