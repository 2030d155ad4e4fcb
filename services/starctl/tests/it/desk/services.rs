//! The services of the interface, answered from the desk's fixed content.

use std::pin::Pin;

use starbridge_proto::v1::*;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::{Desk, at, binding, job, letter};

type Answer<T> = Result<Response<T>, Status>;
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Five letters lie on the desk.
const LETTERS: u32 = 5;

/// A page of the letters; the token is the number of the first one.
fn page(size: i32, token: &str) -> (Vec<DeadLetter>, String) {
    let first: u32 = token.parse().unwrap_or(1);
    let size = if size == 0 { 100 } else { u32::try_from(size).expect("a size") };
    let end = (first + size).min(LETTERS + 1);
    let next = if end > LETTERS { String::new() } else { end.to_string() };
    ((first..end).map(letter).collect(), next)
}

fn outcome(selection: Option<Selection>) -> Option<Outcome> {
    let selection = selection.unwrap_or_default();
    let ids = if selection.ids.is_empty() { vec![letter(1).id, letter(2).id] } else { selection.ids };
    let refused = selection.selector.contains("state=replaying").then(|| Refusal {
        id: letter(3).id,
        code: "E_CONFLICT".to_owned(),
        why: "it is being replayed".to_owned(),
    });
    let changed = i64::try_from(ids.len()).expect("few");
    if selection.selector.contains("state=resolved") {
        return Some(Outcome { refused: refused_all(), ..Outcome::default() });
    }
    if selection.selector.contains("flow=empty") {
        return Some(Outcome::default());
    }
    Some(Outcome { changed, first_ids: ids, refused: refused.into_iter().collect() })
}

fn refused_all() -> Vec<Refusal> {
    vec![Refusal { id: letter(3).id, code: "E_CONFLICT".to_owned(), why: "it is resolved".to_owned() }]
}

fn refusal(id: &str) -> Refusal {
    Refusal { id: id.to_owned(), code: "E_EXPORT_FILE".to_owned(), why: "its payload is another one".to_owned() }
}

#[tonic::async_trait]
impl dead_letter_service_server::DeadLetterService for Desk {
    type TailDeadLettersStream = Answers<TailDeadLettersResponse>;

    async fn list_dead_letters(&self, request: Request<ListDeadLettersRequest>) -> Answer<ListDeadLettersResponse> {
        let request = self.take("list_dead_letters", request).await?;
        let (dead_letters, next_page_token) = page(request.page_size, &request.page_token);
        let total = request.count.then_some(i64::from(LETTERS));
        let limited = request.selector.contains("payload.");
        let scan = Some(ScanReport { rows: 5, bytes: 600, limited });
        Ok(Response::new(ListDeadLettersResponse { dead_letters, next_page_token, total, scan }))
    }

    async fn get_dead_letter(&self, request: Request<GetDeadLetterRequest>) -> Answer<GetDeadLetterResponse> {
        let request = self.take("get_dead_letter", request).await?;
        let data = if request.unmask {
            r#"{"FQty":12.50,"FMobile":"13800138000"}"#
        } else {
            r#"{"FQty":12.50,"FMobile":"***"}"#
        };
        Ok(Response::new(GetDeadLetterResponse {
            dead_letter: Some(letter(1)),
            payload: Some(Payload { data: data.as_bytes().to_vec(), masked: !request.unmask }),
            headers: [("sb-run-time".to_owned(), "1767225600".to_owned())].into(),
            earlier_attempts: vec![starbridge_proto::v1::FailedAttempt {
                attempt: 1,
                failed_at: letter(1).first_failed_at,
                code: "E_TARGET_UNREACHABLE".to_owned(),
                message: "the target did not answer".to_owned(),
                replay_job: "01a2".to_owned(),
                ..Default::default()
            }],
            ..GetDeadLetterResponse::default()
        }))
    }

    async fn get_dead_letter_stats(
        &self,
        request: Request<GetDeadLetterStatsRequest>,
    ) -> Answer<GetDeadLetterStatsResponse> {
        self.take("get_dead_letter_stats", request).await?;
        let count = |by: &str, value: &str| DeadLetterCount { by: by.to_owned(), value: value.to_owned(), count: 5 };
        Ok(Response::new(GetDeadLetterStatsResponse {
            total: i64::from(LETTERS),
            counts: vec![
                count("flow", "misc-inbound"),
                count("category", "reference_missing"),
                count("code", "E_REFERENCE_MISSING"),
            ],
            oldest_open: at(1_767_225_600),
            scan: None,
            unreadable: 1,
        }))
    }

    async fn tail_dead_letters(&self, request: Request<TailDeadLettersRequest>) -> Answer<Self::TailDeadLettersStream> {
        let request = self.take("tail_dead_letters", request).await?;
        let told = |number, position: &str| TailDeadLettersResponse {
            dead_letter: Some(letter(number)),
            change: DeadLetterChange::Decided.into(),
            at: at(1_767_225_600),
            position: position.to_owned(),
        };
        // The stream breaks off after two changes; whoever goes on from there gets two more, then an end.
        let begin = TailDeadLettersResponse { position: "p-0".to_owned(), ..TailDeadLettersResponse::default() };
        let changes = match request.position.as_str() {
            "" => vec![Ok(begin), Ok(told(1, "")), Ok(told(2, "p-2")), Err(Status::unavailable("stopped"))],
            _ => vec![Ok(told(3, "p-3")), Ok(told(4, "p-4")), Err(Status::permission_denied("no more"))],
        };
        Ok(Response::new(Box::pin(tokio_stream::iter(changes))))
    }

    type ExportDeadLettersStream = Answers<ExportDeadLettersResponse>;

    async fn export_dead_letters(
        &self,
        request: Request<ExportDeadLettersRequest>,
    ) -> Answer<Self::ExportDeadLettersStream> {
        let request = self.take("export_dead_letters", request).await?;
        let line = |number: u32| {
            let mobile = if request.unmask { "13800138000" } else { "138****8000" };
            let masked = !request.unmask;
            format!(
                r#"{{"id":"{number:032x}","revision":0,"masked":{masked},"payload":{{"FQty":1.50,"FMobile":"{mobile}"}}}}"#
            )
        };
        let first = ExportDeadLettersResponse { lines: vec![line(1), line(2)], count: None };
        let last = ExportDeadLettersResponse { lines: vec![line(3)], count: Some(3) };
        Ok(Response::new(Box::pin(tokio_stream::iter([Ok(first), Ok(last)]))))
    }

    async fn import_dead_letters(
        &self,
        request: Request<ImportDeadLettersRequest>,
    ) -> Answer<ImportDeadLettersResponse> {
        let request = self.take("import_dead_letters", request).await?;
        let known = br#"{"FQty":1.50,"FMobile":"138****8000"}"#;
        let (same, other): (Vec<_>, Vec<_>) = request.letters.iter().partition(|letter| letter.payload == known);
        let outcome = match request.as_edit {
            true => Outcome { changed: other.len() as i64, ..Outcome::default() },
            false => {
                Outcome { refused: other.iter().map(|letter| refusal(&letter.id)).collect(), ..Outcome::default() }
            }
        };
        Ok(Response::new(ImportDeadLettersResponse { outcome: Some(outcome), unchanged: same.len() as i64 }))
    }

    async fn claim_dead_letters(&self, request: Request<ClaimDeadLettersRequest>) -> Answer<ClaimDeadLettersResponse> {
        let request = self.take("claim_dead_letters", request).await?;
        Ok(Response::new(ClaimDeadLettersResponse { outcome: outcome(request.selection) }))
    }

    async fn unclaim_dead_letters(
        &self,
        request: Request<UnclaimDeadLettersRequest>,
    ) -> Answer<UnclaimDeadLettersResponse> {
        let request = self.take("unclaim_dead_letters", request).await?;
        Ok(Response::new(UnclaimDeadLettersResponse { outcome: outcome(request.selection) }))
    }

    async fn explain_selector(&self, request: Request<ExplainSelectorRequest>) -> Answer<ExplainSelectorResponse> {
        let request = self.take("explain_selector", request).await?;
        let words = format!("[{}] letters of one flow", request.language);
        Ok(Response::new(ExplainSelectorResponse { words, reads_payloads: false }))
    }

    async fn edit_dead_letter(&self, request: Request<EditDeadLetterRequest>) -> Answer<EditDeadLetterResponse> {
        self.take("edit_dead_letter", request).await?;
        Ok(Response::new(EditDeadLetterResponse {
            dead_letter: Some(letter(1)),
            edited: Some(Payload { data: br#"{"FQty":13}"#.to_vec(), masked: true }),
            differences: vec!["$.FQty: 12.50 -> 13".to_owned()],
            checks: vec!["fields of STK_MISCELLANEOUS in galaxy-b, as the system describes them".to_owned()],
        }))
    }

    async fn discard_dead_letters(
        &self,
        request: Request<DiscardDeadLettersRequest>,
    ) -> Answer<DiscardDeadLettersResponse> {
        let request = self.take("discard_dead_letters", request).await?;
        Ok(Response::new(DiscardDeadLettersResponse { outcome: outcome(request.selection) }))
    }

    async fn park_dead_letters(&self, request: Request<ParkDeadLettersRequest>) -> Answer<ParkDeadLettersResponse> {
        let request = self.take("park_dead_letters", request).await?;
        Ok(Response::new(ParkDeadLettersResponse { outcome: outcome(request.selection) }))
    }

    async fn refetch_dead_letters(
        &self,
        request: Request<RefetchDeadLettersRequest>,
    ) -> Answer<RefetchDeadLettersResponse> {
        let request = self.take("refetch_dead_letters", request).await?;
        Ok(Response::new(RefetchDeadLettersResponse { outcome: outcome(request.selection) }))
    }

    async fn reopen_dead_letters(
        &self,
        request: Request<ReopenDeadLettersRequest>,
    ) -> Answer<ReopenDeadLettersResponse> {
        let request = self.take("reopen_dead_letters", request).await?;
        Ok(Response::new(ReopenDeadLettersResponse { outcome: outcome(request.selection) }))
    }
}

#[tonic::async_trait]
impl replay_service_server::ReplayService for Desk {
    type WatchReplayStream = Answers<WatchReplayResponse>;

    async fn start_replay(&self, request: Request<StartReplayRequest>) -> Answer<StartReplayResponse> {
        let request = self.take("start_replay", request).await?;
        let plan = ReplayPlan {
            letters: 3,
            first_ids: (1..=3).map(|number| letter(number).id).collect(),
            seconds: 0.15,
            already_in_target: 1,
            target: Some(TargetLook {
                asked: 2,
                found: 1,
                first_found: vec![letter(2).id],
                not_asked: 1,
                why: vec!["1: it was not mapped yet and has no key in the target".to_owned()],
                calls: vec![call("which of 2 keys are there", "1 rows")],
            }),
            ..ReplayPlan::default()
        };
        let is_empty = request.selection.unwrap_or_default().selector.contains("flow=empty");
        let plan = if is_empty { ReplayPlan::default() } else { plan };
        let dry_run = request.change.unwrap_or_default().dry_run;
        let replay = (!dry_run).then(|| job(ReplayStatus::Running, 0, 0));
        Ok(Response::new(StartReplayResponse { plan: Some(plan), replay }))
    }

    async fn list_replays(&self, request: Request<ListReplaysRequest>) -> Answer<ListReplaysResponse> {
        self.take("list_replays", request).await?;
        let replays = vec![job(ReplayStatus::Running, 1, 0)];
        Ok(Response::new(ListReplaysResponse { replays, next_page_token: String::new() }))
    }

    async fn get_replay(&self, request: Request<GetReplayRequest>) -> Answer<GetReplayResponse> {
        self.take("get_replay", request).await?;
        Ok(Response::new(GetReplayResponse { replay: Some(job(ReplayStatus::Running, 1, 0)) }))
    }

    async fn watch_replay(&self, request: Request<WatchReplayRequest>) -> Answer<Self::WatchReplayStream> {
        self.take("watch_replay", request).await?;
        let watched = self.state.0.lock().expect("no panic").watched.pop_front();
        Ok(Response::new(match watched {
            None => Box::pin(tokio_stream::pending()),
            Some(jobs) => {
                Box::pin(tokio_stream::iter(jobs).map(|replay| Ok(WatchReplayResponse { replay: Some(replay) })))
            }
        }))
    }

    async fn list_replay_items(&self, request: Request<ListReplayItemsRequest>) -> Answer<ListReplayItemsResponse> {
        self.take("list_replay_items", request).await?;
        let item = |number, outcome: &str, why: &str| ReplayItem {
            dead_letter_id: letter(number).id,
            outcome: outcome.to_owned(),
            why: why.to_owned(),
        };
        let items = vec![item(1, "resolved", ""), item(2, "failed", "E_STOCK_SHORT")];
        Ok(Response::new(ListReplayItemsResponse { items, next_page_token: String::new() }))
    }

    async fn approve_replay(&self, request: Request<ApproveReplayRequest>) -> Answer<ApproveReplayResponse> {
        self.take("approve_replay", request).await?;
        Ok(Response::new(ApproveReplayResponse { replay: Some(job(ReplayStatus::Running, 0, 0)) }))
    }

    async fn pause_replay(&self, request: Request<PauseReplayRequest>) -> Answer<PauseReplayResponse> {
        self.take("pause_replay", request).await?;
        Ok(Response::new(PauseReplayResponse { replay: Some(job(ReplayStatus::Paused, 1, 0)) }))
    }

    async fn resume_replay(&self, request: Request<ResumeReplayRequest>) -> Answer<ResumeReplayResponse> {
        self.take("resume_replay", request).await?;
        Ok(Response::new(ResumeReplayResponse { replay: Some(job(ReplayStatus::Running, 1, 0)) }))
    }

    async fn cancel_replay(&self, request: Request<CancelReplayRequest>) -> Answer<CancelReplayResponse> {
        self.take("cancel_replay", request).await?;
        Ok(Response::new(CancelReplayResponse { replay: Some(job(ReplayStatus::Cancelled, 1, 0)) }))
    }
}

#[tonic::async_trait]
impl doubt_service_server::DoubtService for Desk {
    async fn list_doubts(&self, request: Request<ListDoubtsRequest>) -> Answer<ListDoubtsResponse> {
        let request = self.take("list_doubts", request).await?;
        let (dead_letters, next_page_token) = page(request.page_size, &request.page_token);
        Ok(Response::new(ListDoubtsResponse { dead_letters, next_page_token }))
    }

    async fn get_doubt(&self, request: Request<GetDoubtRequest>) -> Answer<GetDoubtResponse> {
        self.take("get_doubt", request).await?;
        Ok(Response::new(GetDoubtResponse {
            dead_letter: Some(letter(1)),
            place: Some(place()),
            since: at(1_767_225_600),
            version_in_target: Some(2),
        }))
    }

    async fn check_doubt(&self, request: Request<CheckDoubtRequest>) -> Answer<CheckDoubtResponse> {
        self.take("check_doubt", request).await?;
        let found = FoundDocument {
            id: "100231".to_owned(),
            key: "A-1".to_owned(),
            status: "C".to_owned(),
            created: "2026-01-01T09:00:00".to_owned(),
        };
        Ok(Response::new(CheckDoubtResponse {
            dead_letter: Some(letter(1)),
            place: Some(place()),
            finding: DoubtFinding::Different.into(),
            found: vec![found],
            ours: Some(Payload { data: br#"{"FEntity":[{"FQty":12.50}]}"#.to_vec(), masked: false }),
            theirs: Some(Payload { data: br#"{"FEntity":[{"FQty":13}]}"#.to_vec(), masked: false }),
            differences: vec!["/FEntity/0/FQty".to_owned()],
            compared: 4,
            calls: vec![call("documents whose FBillNo is A-1", "1 rows")],
        }))
    }

    async fn resolve_doubt(&self, request: Request<ResolveDoubtRequest>) -> Answer<ResolveDoubtResponse> {
        self.take("resolve_doubt", request).await?;
        let replay_job = "job-1".to_owned();
        Ok(Response::new(ResolveDoubtResponse { dead_letter: Some(letter(1)), replay_job }))
    }
}

#[tonic::async_trait]
impl record_service_server::RecordService for Desk {
    async fn trace_record(&self, request: Request<TraceRecordRequest>) -> Answer<TraceRecordResponse> {
        let request = self.take("trace_record", request).await?;
        let step = |kind: &str, what: &str| TraceStep {
            kind: kind.to_owned(),
            at: at(1_767_225_600),
            version: 3,
            place: "starbridge.misc-inbound.mapped/0@17".to_owned(),
            what: what.to_owned(),
            ..TraceStep::default()
        };
        Ok(Response::new(TraceRecordResponse {
            document_key: request.key,
            steps: vec![step("mapped", "mapped to 1 document"), step("dead_letter", "E_REFERENCE_MISSING")],
            dead_letters: vec![letter(1)],
            ..TraceRecordResponse::default()
        }))
    }
}

#[tonic::async_trait]
impl audit_service_server::AuditService for Desk {
    async fn list_audit_entries(&self, request: Request<ListAuditEntriesRequest>) -> Answer<ListAuditEntriesResponse> {
        self.take("list_audit_entries", request).await?;
        let entry = |seq, actor: &str| AuditEntry {
            seq,
            at: at(1_767_225_600),
            actor: actor.to_owned(),
            action: "ReplayService/StartReplay".to_owned(),
            object: "replay/job-1".to_owned(),
            reason: "仓库已补".to_owned(),
            result: "done".to_owned(),
            ..AuditEntry::default()
        };
        let entries = vec![entry(10, "bob"), entry(9, "ada")];
        Ok(Response::new(ListAuditEntriesResponse { entries, next_page_token: String::new() }))
    }

    async fn verify_audit(&self, request: Request<VerifyAuditRequest>) -> Answer<VerifyAuditResponse> {
        self.take("verify_audit", request).await?;
        Ok(Response::new(VerifyAuditResponse {
            intact: false,
            entries: 10,
            broken_at: Some(7),
            detail: "its hash is not that of its content".to_owned(),
            head: "00".repeat(32),
            signed_head: Some(SignedHead {
                seq: 6,
                hash: "11".repeat(32),
                signed_at: at(1_767_225_600),
                key_id: "0011223344556677".to_owned(),
                signature: "22".repeat(64),
            }),
        }))
    }

    async fn get_audit_keys(&self, request: Request<GetAuditKeysRequest>) -> Answer<GetAuditKeysResponse> {
        self.take("get_audit_keys", request).await?;
        let key = |id: &str, public: &str, signs| AuditKey { id: id.repeat(8), public_key: public.repeat(32), signs };
        Ok(Response::new(GetAuditKeysResponse { keys: vec![key("01", "ab", true), key("02", "cd", false)] }))
    }
}

#[tonic::async_trait]
impl connection_service_server::ConnectionService for Desk {
    async fn list_connections(&self, request: Request<ListConnectionsRequest>) -> Answer<ListConnectionsResponse> {
        self.take("list_connections", request).await?;
        Ok(Response::new(ListConnectionsResponse { connections: vec![connection()], ..Default::default() }))
    }

    async fn get_connection(&self, request: Request<GetConnectionRequest>) -> Answer<GetConnectionResponse> {
        self.take("get_connection", request).await?;
        Ok(Response::new(GetConnectionResponse { connection: Some(connection()) }))
    }

    async fn test_connection(&self, request: Request<TestConnectionRequest>) -> Answer<TestConnectionResponse> {
        let request = self.take("test_connection", request).await?;
        let passed = request.connection == "galaxy-a";
        let step = |step: &str, outcome: StepOutcome, note: &str| ConnectionStep {
            step: step.to_owned(),
            outcome: outcome.into(),
            note: note.to_owned(),
            took_ms: 3,
            ..ConnectionStep::default()
        };
        let mut steps = vec![step("tcp", StepOutcome::Passed, "127.0.0.1:443")];
        if !passed {
            let advice = document::Code::ErpTlsName.english();
            steps.push(ConnectionStep {
                code: "E_ERP_TLS_NAME".to_owned(),
                cause: advice.cause.to_owned(),
                way_out: advice.way_out.to_owned(),
                ..step("tls", StepOutcome::Failed, "not valid for name erp.example.com")
            });
            steps.push(step("service", StepOutcome::Skipped, "an earlier step failed"));
        }
        Ok(Response::new(TestConnectionResponse {
            connection: request.connection,
            form: request.form,
            steps,
            passed,
            tested_at: at(1_767_225_600),
        }))
    }
}

fn place() -> DoubtPlace {
    DoubtPlace {
        connection: "galaxy-b".to_owned(),
        form: "STK_MISCELLANEOUS".to_owned(),
        field: "FBillNo".to_owned(),
        key: "A-1".to_owned(),
    }
}

fn call(asked: &str, answered: &str) -> SystemCall {
    SystemCall {
        method: "ExecuteBillQuery".to_owned(),
        form: "STK_MISCELLANEOUS".to_owned(),
        asked: asked.to_owned(),
        answered: answered.to_owned(),
        took_ms: 12,
    }
}

fn connection() -> Connection {
    Connection {
        name: "galaxy-b".to_owned(),
        url: "https://erp.example.com/k3cloud/".to_owned(),
        account_id: "5f3c9a1b7d2e40".to_owned(),
        user: "integration".to_owned(),
        app_id: "118273_x".to_owned(),
        login: "signed".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        calls_per_minute: 100,
        read_by: Vec::new(),
        written_by: vec!["misc-inbound".to_owned()],
    }
}

#[tonic::async_trait]
impl access_service_server::AccessService for Desk {
    async fn bootstrap(&self, request: Request<BootstrapRequest>) -> Answer<BootstrapResponse> {
        self.take("bootstrap", request).await?;
        Ok(Response::new(BootstrapResponse { token: "sbt1.first.token".to_owned(), expires_at: at(4_000_000_000) }))
    }

    async fn who_am_i(&self, request: Request<WhoAmIRequest>) -> Answer<WhoAmIResponse> {
        self.take("who_am_i", request).await?;
        Ok(Response::new(WhoAmIResponse {
            principal: "ada".to_owned(),
            proven_by: "token".to_owned(),
            expires_at: at(4_000_000_000),
            bindings: vec![binding()],
        }))
    }

    async fn check_access(&self, request: Request<CheckAccessRequest>) -> Answer<CheckAccessResponse> {
        let request = self.take("check_access", request).await?;
        let allowed = request.verb == "read";
        Ok(Response::new(CheckAccessResponse { allowed, why: "operator on acme".to_owned() }))
    }

    async fn issue_token(&self, request: Request<IssueTokenRequest>) -> Answer<IssueTokenResponse> {
        self.take("issue_token", request).await?;
        let (token, token_id) = ("sbt1.issued.token".to_owned(), "00112233445566778899aabbccddeeff".to_owned());
        Ok(Response::new(IssueTokenResponse { token, token_id, expires_at: at(4_000_000_000) }))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Answer<RevokeTokenResponse> {
        self.take("revoke_token", request).await?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn list_bindings(&self, request: Request<ListBindingsRequest>) -> Answer<ListBindingsResponse> {
        self.take("list_bindings", request).await?;
        Ok(Response::new(ListBindingsResponse { bindings: vec![binding()], ..Default::default() }))
    }

    async fn put_binding(&self, request: Request<PutBindingRequest>) -> Answer<PutBindingResponse> {
        self.take("put_binding", request).await?;
        Ok(Response::new(PutBindingResponse {}))
    }

    async fn delete_binding(&self, request: Request<DeleteBindingRequest>) -> Answer<DeleteBindingResponse> {
        self.take("delete_binding", request).await?;
        Ok(Response::new(DeleteBindingResponse {}))
    }
}

#[tonic::async_trait]
impl system_service_server::SystemService for Desk {
    async fn get_version(&self, request: Request<GetVersionRequest>) -> Answer<GetVersionResponse> {
        self.take("get_version", request).await?;
        let api_versions = vec!["starbridge.control.v1".to_owned()];
        Ok(Response::new(GetVersionResponse { version: "0.1.7".to_owned(), api_versions }))
    }

    async fn get_status(&self, request: Request<GetStatusRequest>) -> Answer<GetStatusResponse> {
        self.take("get_status", request).await?;
        let warnings = self.state.0.lock().expect("no panic").warnings.clone();
        Ok(Response::new(GetStatusResponse {
            member: "control-0".to_owned(),
            active: true,
            dead_letters: i64::from(LETTERS),
            index_caught_up: true,
            index_digest: String::new(),
            warnings,
        }))
    }
}
