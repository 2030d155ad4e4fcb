//! `ReconciliationService`, answered from the desk's fixed content.

use std::pin::Pin;

use starbridge_proto::v1::*;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::{Desk, at};

type Answer<T> = Result<Response<T>, Status>;

fn report(id: &str, status: ReconciliationStatus) -> Reconciliation {
    let finding = |kind: &str, document: &str, ids: &[&str]| ReconciliationFinding {
        kind: kind.to_owned(),
        document_key: document.to_owned(),
        target_key: document.to_owned(),
        target_ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        detail: "it was applied as 100, and the target has it not".to_owned(),
    };
    let over = status == ReconciliationStatus::Done && !id.ends_with("clean");
    Reconciliation {
        id: id.to_owned(),
        flow: "misc-inbound".to_owned(),
        status: status.into(),
        from: at(1_767_139_200),
        to: at(1_767_225_600),
        sample: 0.01,
        grace_seconds: 900,
        planned_calls: 260,
        calls: 96,
        created_by: "ada".to_owned(),
        created_at: at(1_767_229_200),
        as_of: at(1_767_229_201),
        clean: status == ReconciliationStatus::Done && !over,
        source: 5_009,
        applied: 4_976,
        parked: 31,
        compared: 50,
        totals: match over {
            // More than are named.
            true if id.ends_with("many") => [("missing".to_owned(), 130_000)].into(),
            true => [("missing".to_owned(), 1), ("duplicate".to_owned(), 1)].into(),
            false => [].into(),
        },
        findings: match over {
            true => vec![finding("missing", "入库-1", &[]), finding("duplicate", "入库-2", &["100", "101"])],
            false => Vec::new(),
        },
        fault: if status == ReconciliationStatus::Failed {
            "E_ERP_TIMEOUT: no answer".to_owned()
        } else {
            String::new()
        },
        ..Reconciliation::default()
    }
}

#[tonic::async_trait]
impl reconciliation_service_server::ReconciliationService for Desk {
    async fn start_reconciliation(
        &self,
        request: Request<StartReconciliationRequest>,
    ) -> Answer<StartReconciliationResponse> {
        let request = self.take("start_reconciliation", request).await?;
        let dry_run = request.change.as_ref().is_some_and(|change| change.dry_run);
        let id = format!("{}:1", request.flow);
        let begun = (!dry_run).then(|| report(&id, ReconciliationStatus::Running));
        Ok(Response::new(StartReconciliationResponse { planned_calls: 260, reconciliation: begun }))
    }

    async fn list_reconciliations(
        &self,
        request: Request<ListReconciliationsRequest>,
    ) -> Answer<ListReconciliationsResponse> {
        self.take("list_reconciliations", request).await?;
        let mut reports = vec![
            report("misc-inbound:2-clean", ReconciliationStatus::Done),
            report("misc-inbound:1", ReconciliationStatus::Done),
            report("misc-inbound:0", ReconciliationStatus::Failed),
        ];
        reports.iter_mut().for_each(|report| report.findings.clear());
        Ok(Response::new(ListReconciliationsResponse { reconciliations: reports, next_page_token: String::new() }))
    }

    async fn get_reconciliation(
        &self,
        request: Request<GetReconciliationRequest>,
    ) -> Answer<GetReconciliationResponse> {
        let request = self.take("get_reconciliation", request).await?;
        let status = match request.id.as_str() {
            "misc-inbound:0" => ReconciliationStatus::Failed,
            _ => ReconciliationStatus::Done,
        };
        // Pages of one finding each.
        let mut report = report(&request.id, status);
        let from: usize = request.page_token.parse().unwrap_or_default();
        let all = std::mem::take(&mut report.findings);
        let next_page_token = if from + 1 < all.len() { (from + 1).to_string() } else { String::new() };
        report.findings = all.into_iter().skip(from).take(1).collect();
        Ok(Response::new(GetReconciliationResponse { reconciliation: Some(report), next_page_token }))
    }

    type WatchReconciliationStream = Pin<Box<dyn Stream<Item = Result<WatchReconciliationResponse, Status>> + Send>>;

    async fn watch_reconciliation(
        &self,
        request: Request<WatchReconciliationRequest>,
    ) -> Answer<Self::WatchReconciliationStream> {
        let request = self.take("watch_reconciliation", request).await?;
        let seen = [ReconciliationStatus::Running, ReconciliationStatus::Done];
        let seen: Vec<_> = seen
            .into_iter()
            .map(|status| Ok(WatchReconciliationResponse { reconciliation: Some(report(&request.id, status)) }))
            .collect();
        let seen = tokio_stream::iter(seen);
        Ok(Response::new(match request.id.starts_with("endless") {
            true => Box::pin(seen.take(1).chain(tokio_stream::pending())),
            false => Box::pin(seen),
        }))
    }
}
