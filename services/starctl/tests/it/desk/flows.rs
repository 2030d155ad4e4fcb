//! `FlowService`, answered from the desk's fixed content.

use starbridge_proto::v1::*;
use tonic::{Request, Response, Status};

use super::{Desk, at, flow};

type Answer<T> = Result<Response<T>, Status>;

/// A flow of which a version is tried.
fn tried() -> Flow {
    let side = |side: &str, version: &str, applied, failed| CanarySide {
        side: side.to_owned(),
        version: version.to_owned(),
        applied,
        failed,
    };
    let canary = Canary {
        percent: 5,
        abort_above: 0.05,
        least_documents: 20,
        note: "ada: 新映射".to_owned(),
        since: at(1_767_229_200),
        sides: vec![side("canary", "0011223344556677", 11, 1), side("current", "ffeeddccbbaa9988", 230, 2)],
    };
    Flow { canary: Some(canary), ..flow() }
}

/// The desk's flow, in the state that its name asks for.
fn named(name: &str) -> Flow {
    let (name, base) = (name.to_owned(), flow());
    match name.as_str() {
        "tried" => tried(),
        "paused" => Flow { name, paused: true, paused_note: "ada: stocktaking".to_owned(), ..base },
        "deleted" => Flow { name, deleted_note: "ada: not needed".to_owned(), version: String::new(), ..base },
        "faulty" => Flow { name, faults: vec!["E_CRON at flow.toml".to_owned()], schedule: String::new(), ..base },
        "on-command" => Flow { name, schedule: String::new(), ..base },
        "wrong-zone" => Flow { name, zone: "Asia/Nowhere".to_owned(), ..base },
        _ => base,
    }
}

/// The texts of the ready flow of the repository.
fn ready() -> FlowBundle {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/flows/misc-inbound");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("part of the repository");
    let (flow, source, target) = (text("flow.toml"), text("source.json"), text("target.json"));
    FlowBundle { flow, source, target, ..FlowBundle::default() }
}

#[tonic::async_trait]
impl flow_service_server::FlowService for Desk {
    async fn list_flows(&self, request: Request<ListFlowsRequest>) -> Answer<ListFlowsResponse> {
        let request = self.take("list_flows", request).await?;
        let ready = self.has_ready().then(|| Flow { name: "ready".to_owned(), ..flow() });
        let mut flows: Vec<Flow> = std::iter::once(flow()).chain(ready).collect();
        // The token is the number of the first one that is left; without a size there is one page.
        let begin: usize = request.page_token.parse().unwrap_or_default();
        let size = usize::try_from(request.page_size).ok().filter(|size| *size > 0).unwrap_or(flows.len());
        let next_page_token = if begin + size < flows.len() { (begin + size).to_string() } else { String::new() };
        flows = flows.into_iter().skip(begin).take(size).collect();
        Ok(Response::new(ListFlowsResponse { flows, next_page_token }))
    }

    async fn get_flow(&self, request: Request<GetFlowRequest>) -> Answer<GetFlowResponse> {
        let request = self.take("get_flow", request).await?;
        let flow = named(&request.name);
        let bundle = match request.name.as_str() {
            "ready" => ready(),
            _ => FlowBundle { flow: "name = \"misc-inbound\"\n".to_owned(), ..FlowBundle::default() },
        };
        Ok(Response::new(GetFlowResponse { flow: Some(flow), bundle: Some(bundle) }))
    }

    async fn apply_flow(&self, request: Request<ApplyFlowRequest>) -> Answer<ApplyFlowResponse> {
        self.take("apply_flow", request).await?;
        let differences = vec!["flow.toml $.batch.documents: 20 -> 50".to_owned()];
        let previous_version = "ffeeddccbbaa9988".to_owned();
        Ok(Response::new(ApplyFlowResponse { flow: Some(flow()), previous_version, differences }))
    }

    async fn rollback_flow(&self, request: Request<RollbackFlowRequest>) -> Answer<RollbackFlowResponse> {
        self.take("rollback_flow", request).await?;
        Ok(Response::new(RollbackFlowResponse { flow: Some(flow()) }))
    }

    async fn start_canary(&self, request: Request<StartCanaryRequest>) -> Answer<StartCanaryResponse> {
        self.take("start_canary", request).await?;
        let differences = vec!["target: +new".to_owned()];
        Ok(Response::new(StartCanaryResponse { flow: Some(tried()), differences }))
    }

    async fn promote_canary(&self, request: Request<PromoteCanaryRequest>) -> Answer<PromoteCanaryResponse> {
        self.take("promote_canary", request).await?;
        Ok(Response::new(PromoteCanaryResponse { flow: Some(flow()) }))
    }

    async fn abort_canary(&self, request: Request<AbortCanaryRequest>) -> Answer<AbortCanaryResponse> {
        self.take("abort_canary", request).await?;
        Ok(Response::new(AbortCanaryResponse { flow: Some(flow()) }))
    }

    async fn delete_flow(&self, request: Request<DeleteFlowRequest>) -> Answer<DeleteFlowResponse> {
        let request = self.take("delete_flow", request).await?;
        let flow = Flow { version: String::new(), deleted_note: "ada: not needed".to_owned(), ..flow() };
        let under_way = i64::from(request.force) * 3;
        Ok(Response::new(DeleteFlowResponse { flow: Some(flow), under_way, open_letters: 0 }))
    }

    async fn pause_flow(&self, request: Request<PauseFlowRequest>) -> Answer<PauseFlowResponse> {
        self.take("pause_flow", request).await?;
        let paused_note = "ada: stocktaking".to_owned();
        Ok(Response::new(PauseFlowResponse { flow: Some(Flow { paused: true, paused_note, ..flow() }) }))
    }

    async fn resume_flow(&self, request: Request<ResumeFlowRequest>) -> Answer<ResumeFlowResponse> {
        self.take("resume_flow", request).await?;
        Ok(Response::new(ResumeFlowResponse { flow: Some(flow()) }))
    }

    async fn run_flow(&self, request: Request<RunFlowRequest>) -> Answer<RunFlowResponse> {
        self.take("run_flow", request).await?;
        Ok(Response::new(RunFlowResponse { flow: Some(flow()) }))
    }
}
