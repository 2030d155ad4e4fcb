//! Every call of the interface, by the request that makes it.

use starbridge_proto::v1;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

use super::sign::Sign;

/// A channel whose requests are signed.
pub(crate) type Stub = InterceptedService<Channel, Sign>;

/// Largest answer that is taken, in bytes: a letter may carry three payloads of Kafka's largest size.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// A request that knows its call.
pub(crate) trait Ask: Clone + Send + 'static {
    /// What comes back.
    type Answer: Send;
    /// The call's name.
    const CALL: &'static str;

    /// Makes the call.
    fn send(request: Request<Self>, stub: Stub) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

/// A request for a change.
pub(crate) trait AskChange: Ask {
    /// What is said with it.
    fn said(&self) -> Option<&v1::Change>;
}

macro_rules! asks {
    ($( $module:ident :: $client:ident { $( $method:ident($request:ident) -> $answer:ty; )+ } )+) => {$($(
        impl Ask for v1::$request {
            type Answer = $answer;
            const CALL: &'static str = stringify!($method);

            async fn send(request: Request<Self>, stub: Stub) -> Result<Response<Self::Answer>, Status> {
                v1::$module::$client::new(stub).max_decoding_message_size(LARGEST_ANSWER).$method(request).await
            }
        }
    )+)+};
}

macro_rules! changes {
    ($( $request:ident )+) => {$(
        impl AskChange for v1::$request {
            fn said(&self) -> Option<&v1::Change> {
                self.change.as_ref()
            }
        }
    )+};
}

asks! {
    dead_letter_service_client::DeadLetterServiceClient {
        list_dead_letters(ListDeadLettersRequest) -> v1::ListDeadLettersResponse;
        get_dead_letter(GetDeadLetterRequest) -> v1::GetDeadLetterResponse;
        get_dead_letter_stats(GetDeadLetterStatsRequest) -> v1::GetDeadLetterStatsResponse;
        tail_dead_letters(TailDeadLettersRequest) -> Streaming<v1::TailDeadLettersResponse>;
        explain_selector(ExplainSelectorRequest) -> v1::ExplainSelectorResponse;
        edit_dead_letter(EditDeadLetterRequest) -> v1::EditDeadLetterResponse;
        claim_dead_letters(ClaimDeadLettersRequest) -> v1::ClaimDeadLettersResponse;
        unclaim_dead_letters(UnclaimDeadLettersRequest) -> v1::UnclaimDeadLettersResponse;
        export_dead_letters(ExportDeadLettersRequest) -> Streaming<v1::ExportDeadLettersResponse>;
        import_dead_letters(ImportDeadLettersRequest) -> v1::ImportDeadLettersResponse;
        discard_dead_letters(DiscardDeadLettersRequest) -> v1::DiscardDeadLettersResponse;
        park_dead_letters(ParkDeadLettersRequest) -> v1::ParkDeadLettersResponse;
        refetch_dead_letters(RefetchDeadLettersRequest) -> v1::RefetchDeadLettersResponse;
        reopen_dead_letters(ReopenDeadLettersRequest) -> v1::ReopenDeadLettersResponse;
    }
    replay_service_client::ReplayServiceClient {
        start_replay(StartReplayRequest) -> v1::StartReplayResponse;
        list_replays(ListReplaysRequest) -> v1::ListReplaysResponse;
        get_replay(GetReplayRequest) -> v1::GetReplayResponse;
        watch_replay(WatchReplayRequest) -> Streaming<v1::WatchReplayResponse>;
        list_replay_items(ListReplayItemsRequest) -> v1::ListReplayItemsResponse;
        approve_replay(ApproveReplayRequest) -> v1::ApproveReplayResponse;
        pause_replay(PauseReplayRequest) -> v1::PauseReplayResponse;
        resume_replay(ResumeReplayRequest) -> v1::ResumeReplayResponse;
        cancel_replay(CancelReplayRequest) -> v1::CancelReplayResponse;
    }
    connection_service_client::ConnectionServiceClient {
        list_connections(ListConnectionsRequest) -> v1::ListConnectionsResponse;
        get_connection(GetConnectionRequest) -> v1::GetConnectionResponse;
        test_connection(TestConnectionRequest) -> v1::TestConnectionResponse;
    }
    doubt_service_client::DoubtServiceClient {
        list_doubts(ListDoubtsRequest) -> v1::ListDoubtsResponse;
        get_doubt(GetDoubtRequest) -> v1::GetDoubtResponse;
        check_doubt(CheckDoubtRequest) -> v1::CheckDoubtResponse;
        resolve_doubt(ResolveDoubtRequest) -> v1::ResolveDoubtResponse;
    }
    backfill_service_client::BackfillServiceClient {
        start_backfill(StartBackfillRequest) -> v1::StartBackfillResponse;
        list_backfills(ListBackfillsRequest) -> v1::ListBackfillsResponse;
        get_backfill(GetBackfillRequest) -> v1::GetBackfillResponse;
        watch_backfill(WatchBackfillRequest) -> Streaming<v1::WatchBackfillResponse>;
        pause_backfill(PauseBackfillRequest) -> v1::PauseBackfillResponse;
        resume_backfill(ResumeBackfillRequest) -> v1::ResumeBackfillResponse;
        cancel_backfill(CancelBackfillRequest) -> v1::CancelBackfillResponse;
    }
    reconciliation_service_client::ReconciliationServiceClient {
        start_reconciliation(StartReconciliationRequest) -> v1::StartReconciliationResponse;
        list_reconciliations(ListReconciliationsRequest) -> v1::ListReconciliationsResponse;
        get_reconciliation(GetReconciliationRequest) -> v1::GetReconciliationResponse;
        watch_reconciliation(WatchReconciliationRequest) -> Streaming<v1::WatchReconciliationResponse>;
    }
    record_service_client::RecordServiceClient {
        trace_record(TraceRecordRequest) -> v1::TraceRecordResponse;
    }
    flow_service_client::FlowServiceClient {
        list_flows(ListFlowsRequest) -> v1::ListFlowsResponse;
        get_flow(GetFlowRequest) -> v1::GetFlowResponse;
        apply_flow(ApplyFlowRequest) -> v1::ApplyFlowResponse;
        rollback_flow(RollbackFlowRequest) -> v1::RollbackFlowResponse;
        delete_flow(DeleteFlowRequest) -> v1::DeleteFlowResponse;
        pause_flow(PauseFlowRequest) -> v1::PauseFlowResponse;
        resume_flow(ResumeFlowRequest) -> v1::ResumeFlowResponse;
        start_canary(StartCanaryRequest) -> v1::StartCanaryResponse;
        promote_canary(PromoteCanaryRequest) -> v1::PromoteCanaryResponse;
        abort_canary(AbortCanaryRequest) -> v1::AbortCanaryResponse;
        run_flow(RunFlowRequest) -> v1::RunFlowResponse;
    }
    audit_service_client::AuditServiceClient {
        list_audit_entries(ListAuditEntriesRequest) -> v1::ListAuditEntriesResponse;
        verify_audit(VerifyAuditRequest) -> v1::VerifyAuditResponse;
        get_audit_keys(GetAuditKeysRequest) -> v1::GetAuditKeysResponse;
    }
    access_service_client::AccessServiceClient {
        bootstrap(BootstrapRequest) -> v1::BootstrapResponse;
        who_am_i(WhoAmIRequest) -> v1::WhoAmIResponse;
        check_access(CheckAccessRequest) -> v1::CheckAccessResponse;
        issue_token(IssueTokenRequest) -> v1::IssueTokenResponse;
        revoke_token(RevokeTokenRequest) -> v1::RevokeTokenResponse;
        list_bindings(ListBindingsRequest) -> v1::ListBindingsResponse;
        put_binding(PutBindingRequest) -> v1::PutBindingResponse;
        delete_binding(DeleteBindingRequest) -> v1::DeleteBindingResponse;
    }
    system_service_client::SystemServiceClient {
        get_version(GetVersionRequest) -> v1::GetVersionResponse;
        get_status(GetStatusRequest) -> v1::GetStatusResponse;
    }
}

changes! {
    EditDeadLetterRequest ClaimDeadLettersRequest UnclaimDeadLettersRequest ImportDeadLettersRequest
    DiscardDeadLettersRequest ParkDeadLettersRequest RefetchDeadLettersRequest
    ReopenDeadLettersRequest
    StartReplayRequest ApproveReplayRequest PauseReplayRequest ResumeReplayRequest CancelReplayRequest ResolveDoubtRequest
    ApplyFlowRequest RollbackFlowRequest DeleteFlowRequest PauseFlowRequest ResumeFlowRequest RunFlowRequest
    StartCanaryRequest PromoteCanaryRequest AbortCanaryRequest
    StartBackfillRequest PauseBackfillRequest ResumeBackfillRequest CancelBackfillRequest
    TestConnectionRequest StartReconciliationRequest IssueTokenRequest RevokeTokenRequest PutBindingRequest DeleteBindingRequest
}
