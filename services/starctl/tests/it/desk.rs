//! The control plane as a test plays it: fixed answers, refusals on demand, and a memory of what was asked.

mod backfills;
mod flows;
mod reconciliations;
mod services;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use prost_types::Timestamp;
use starbridge_proto::v1::{self, *};
use tokio::sync::Notify;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Code, Request, Status};

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) call: &'static str,
    pub(crate) authorization: Option<String>,
    /// Whether a client certificate spoke for the caller.
    pub(crate) certified: bool,
    /// The request, as Rust shows it.
    pub(crate) request: String,
}

#[derive(Default)]
struct State {
    asked: Vec<Asked>,
    /// What the next requests of a call are refused with.
    refusals: HashMap<&'static str, VecDeque<Status>>,
    /// What the next watchers of a job see before their stream ends. Once there is nothing left they see nothing at all.
    watched: VecDeque<Vec<Replay>>,
    warnings: Vec<String>,
    /// Whether the flow with the texts of the repository is published, too.
    ready: bool,
    /// The call under which the server dies.
    fatal: Option<&'static str>,
}

/// What a test holds of the control plane.
#[derive(Clone, Default)]
pub(crate) struct Desk {
    state: Arc<(Mutex<State>, Condvar)>,
    died: Arc<Notify>,
}

impl Desk {
    /// Refuses the next request of a call.
    pub(crate) fn refuse(&self, call: &'static str, status: Status) {
        self.state.0.lock().expect("no panic").refusals.entry(call).or_default().push_back(status);
    }

    /// Lets the next watcher of a job see this.
    pub(crate) fn watched(&self, jobs: Vec<Replay>) {
        self.state.0.lock().expect("no panic").watched.push_back(jobs);
    }

    pub(crate) fn warn(&self, warning: &str) {
        self.state.0.lock().expect("no panic").warnings.push(warning.to_owned());
    }

    /// Publishes the flow `ready`, which has texts.
    pub(crate) fn publish_ready(&self) {
        self.state.0.lock().expect("no panic").ready = true;
    }

    fn has_ready(&self) -> bool {
        self.state.0.lock().expect("no panic").ready
    }

    /// Lets the server die under the next request of a call, its connections with it.
    pub(crate) fn die_under(&self, call: &'static str) {
        self.state.0.lock().expect("no panic").fatal = Some(call);
    }

    /// Ends when the server is to die.
    pub(crate) async fn death(&self) {
        self.died.notified().await;
    }

    /// Everything that was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.0.lock().expect("no panic").asked.clone()
    }

    /// The requests of a call.
    pub(crate) fn requests(&self, call: &str) -> Vec<String> {
        self.asked().into_iter().filter(|asked| asked.call == call).map(|asked| asked.request).collect()
    }

    /// Waits until a call has arrived.
    pub(crate) fn wait_for(&self, call: &str) {
        let (state, changed) = &*self.state;
        let missing = |state: &mut State| !state.asked.iter().any(|asked| asked.call == call);
        let guard = state.lock().expect("no panic");
        let (_guard, waited) = changed.wait_timeout_while(guard, Duration::from_secs(60), missing).expect("no panic");
        assert!(!waited.timed_out(), "{call} never arrived");
    }

    /// Remembers a request; gives its content, or the refusal that was ordered for it.
    async fn take<T: std::fmt::Debug>(&self, call: &'static str, request: Request<T>) -> Result<T, Status> {
        if self.remember(call, &request) {
            self.died.notify_one();
            std::future::pending::<()>().await;
        }
        let refusal = self.state.0.lock().expect("no panic").refusals.get_mut(call).and_then(VecDeque::pop_front);
        refusal.map_or_else(|| Ok(request.into_inner()), Err)
    }

    /// Remembers a request; answers whether the server is to die under it.
    fn remember<T: std::fmt::Debug>(&self, call: &'static str, request: &Request<T>) -> bool {
        let (state, changed) = &*self.state;
        let mut state = state.lock().expect("no panic");
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let authorization = header.map(str::to_owned);
        let certified = request.peer_certs().is_some();
        state.asked.push(Asked { call, authorization, certified, request: format!("{:?}", request.get_ref()) });
        changed.notify_all();
        state.fatal == Some(call)
    }

    pub(crate) fn services(&self, server: &mut Server) -> Router {
        server
            .add_service(dead_letter_service_server::DeadLetterServiceServer::new(self.clone()))
            .add_service(replay_service_server::ReplayServiceServer::new(self.clone()))
            .add_service(connection_service_server::ConnectionServiceServer::new(self.clone()))
            .add_service(doubt_service_server::DoubtServiceServer::new(self.clone()))
            .add_service(backfill_service_server::BackfillServiceServer::new(self.clone()))
            .add_service(reconciliation_service_server::ReconciliationServiceServer::new(self.clone()))
            .add_service(record_service_server::RecordServiceServer::new(self.clone()))
            .add_service(flow_service_server::FlowServiceServer::new(self.clone()))
            .add_service(audit_service_server::AuditServiceServer::new(self.clone()))
            .add_service(access_service_server::AccessServiceServer::new(self.clone()))
            .add_service(system_service_server::SystemServiceServer::new(self.clone()))
    }
}

/// A status with the fault and ids that the control plane sends beside it.
pub(crate) fn fault(code: Code, fault: &serde_json::Value) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin("sb-fault-bin", MetadataValue::from_bytes(fault.to_string().as_bytes()));
    metadata.insert("sb-request-id", MetadataValue::from_static("r-1"));
    metadata.insert("sb-trace-id", MetadataValue::from_static("0af7651916cd43dd8448eb211c80319c"));
    Status::with_metadata(code, "refused", metadata)
}

/// The answer of a replica that does not write.
pub(crate) fn passive(active: &str) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("sb-active", MetadataValue::try_from(active).expect("an address"));
    Status::with_metadata(Code::Unavailable, "another replica writes", metadata)
}

pub(crate) fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos: 0 })
}

/// Letter number `number` of the desk.
pub(crate) fn letter(number: u32) -> DeadLetter {
    DeadLetter {
        id: format!("{number:032x}"),
        tenant: "acme".to_owned(),
        flow: "misc-inbound".to_owned(),
        flow_version: "00112233445566aa".to_owned(),
        stage: "load".to_owned(),
        category: "reference_missing".to_owned(),
        code: "E_REFERENCE_MISSING".to_owned(),
        message: "仓库\u{1b}[31m 01 不存在".to_owned(),
        field: "FSTOCKID".to_owned(),
        document_key: format!("其他入库-{number}"),
        target_key: format!("misc-inbound:{number}"),
        version: 3,
        attempts: 2,
        first_failed_at: at(1_767_225_600),
        last_failed_at: at(1_767_229_200),
        state: DeadLetterState::Open.into(),
        edit_revision: 4,
        origin: "starbridge.misc-inbound.mapped/0@17".to_owned(),
        safety: Some(ReplaySafety { replayable: true, safe: true, why: "the ledger has no end for it".to_owned() }),
        ..DeadLetter::default()
    }
}

/// Job `job-1` with this many letters resolved and failed, out of three.
pub(crate) fn job(status: ReplayStatus, resolved: i64, failed: i64) -> Replay {
    Replay {
        id: "job-1".to_owned(),
        status: status.into(),
        created_by: "ada".to_owned(),
        created_at: at(1_767_229_200),
        reason: "warehouse added".to_owned(),
        selector: "flow=misc-inbound".to_owned(),
        plan_digest: "c0ffee".to_owned(),
        options: Some(ReplayOptions { rate: 20.0, attempt_cap: 3, ..ReplayOptions::default() }),
        total: 3,
        published: 3,
        resolved,
        failed,
        ..Replay::default()
    }
}

pub(crate) fn flow() -> Flow {
    Flow {
        name: "misc-inbound".to_owned(),
        tenant: "acme".to_owned(),
        title: "其他入库".to_owned(),
        version: "00112233445566aa".to_owned(),
        source_connection: "kingdee-a".to_owned(),
        target_connection: "kingdee-b".to_owned(),
        schedule: "*/5 * * * *".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        versions: vec![
            FlowVersion { version: "00112233445566aa".to_owned(), published_at: at(1_767_229_200), current: true },
            FlowVersion { version: "ffeeddccbbaa9988".to_owned(), published_at: at(1_767_225_600), current: false },
        ],
        reading: Some(v1::Reading { completed_at: at(1_767_229_500), read_up_to: at(1_767_229_490), scanning: false }),
        ..Flow::default()
    }
}

pub(crate) fn binding() -> v1::Binding {
    let scope = Scope { tenant: "acme".to_owned(), flow: "*".to_owned(), connection: "*".to_owned() };
    v1::Binding { principal: "ada".to_owned(), role: "operator".to_owned(), scope: Some(scope) }
}
