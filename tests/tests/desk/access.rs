//! Who is let in, call by call. What each role may do is written out here by hand, not taken from the service.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use control::access::policy::{self, Trail};
use control::access::token::{self, Request};
use control::access::{KeyRing, SigningKey};
use e2e::road::{Road, RoadPlan};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use prost_types::FileDescriptorProto;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use secrecy::{ExposeSecret as _, SecretString};
use starbridge_proto::v1;
use tonic::Code;
use tonic::transport::Channel;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::client::{Caller, People, change, channel};
use super::raw::{self, Things};
use super::replay::until_listed;
use super::{PATIENCE, beyond, looks, until};

const ROLES: [&str; 6] =
    ["viewer", "operator", "engineer", "system_administrator", "security_administrator", "auditor"];

/// Which roles may make a call: viewer, operator, engineer, system administrator, security administrator, auditor.
/// `x` may, `.` may not. A call that is not in the list fails the test.
const MAY: &[(&str, &str)] = &[
    ("FlowService/ListFlows", "xxxx.x"),
    ("FlowService/GetFlow", "xxxx.x"),
    ("FlowService/ApplyFlow", "..xx.."),
    ("FlowService/RollbackFlow", "..xx.."),
    ("FlowService/StartCanary", "..xx.."),
    ("FlowService/PromoteCanary", "..xx.."),
    ("FlowService/AbortCanary", "..xx.."),
    ("FlowService/PauseFlow", ".xxx.."),
    ("FlowService/ResumeFlow", ".xxx.."),
    ("FlowService/DeleteFlow", "..xx.."),
    ("FlowService/RunFlow", ".xxx.."),
    ("DeadLetterService/ListDeadLetters", "xxxx.x"),
    ("DeadLetterService/GetDeadLetter", "xxxx.."),
    ("DeadLetterService/GetDeadLetterStats", "xxxx.x"),
    ("DeadLetterService/TailDeadLetters", "xxxx.x"),
    ("DeadLetterService/ExplainSelector", "xxxx.x"),
    ("DeadLetterService/EditDeadLetter", ".xxx.."),
    ("DeadLetterService/ClaimDeadLetters", ".xxx.."),
    ("DeadLetterService/UnclaimDeadLetters", ".xxx.."),
    ("DeadLetterService/ExportDeadLetters", "xxxx.."),
    ("DeadLetterService/ImportDeadLetters", ".xxx.."),
    ("DeadLetterService/DiscardDeadLetters", ".x.x.."),
    ("DeadLetterService/ParkDeadLetters", ".x.x.."),
    ("DeadLetterService/RefetchDeadLetters", ".xxx.."),
    ("DeadLetterService/ReopenDeadLetters", ".x.x.."),
    ("ReplayService/StartReplay", ".xxx.."),
    ("ReplayService/ListReplays", "xxxx.x"),
    ("ReplayService/GetReplay", "xxxx.x"),
    ("ReplayService/WatchReplay", "xxxx.x"),
    ("ReplayService/ListReplayItems", "xxxx.x"),
    ("ReplayService/ApproveReplay", "..xx.."),
    ("ReplayService/PauseReplay", ".xxx.."),
    ("ReplayService/ResumeReplay", ".xxx.."),
    ("ReplayService/CancelReplay", ".xxx.."),
    ("DoubtService/ListDoubts", "xxxx.x"),
    ("DoubtService/GetDoubt", "xxxx.x"),
    ("DoubtService/CheckDoubt", ".xxx.."),
    ("DoubtService/ResolveDoubt", ".x.x.."),
    ("ConnectionService/ListConnections", "xxxx.x"),
    ("ConnectionService/GetConnection", "xxxx.x"),
    ("ConnectionService/TestConnection", ".xxx.."),
    ("BackfillService/StartBackfill", ".xxx.."),
    ("BackfillService/ListBackfills", "xxxx.x"),
    ("BackfillService/GetBackfill", "xxxx.x"),
    ("BackfillService/WatchBackfill", "xxxx.x"),
    ("BackfillService/PauseBackfill", ".xxx.."),
    ("BackfillService/ResumeBackfill", ".xxx.."),
    ("BackfillService/CancelBackfill", ".xxx.."),
    ("ReconciliationService/StartReconciliation", ".xxx.."),
    ("ReconciliationService/ListReconciliations", "xxxx.x"),
    ("ReconciliationService/GetReconciliation", "xxxx.x"),
    ("ReconciliationService/WatchReconciliation", "xxxx.x"),
    ("RecordService/TraceRecord", "xxxx.x"),
    ("AuditService/ListAuditEntries", "....xx"),
    ("AuditService/GetAuditKeys", "....xx"),
    ("AuditService/VerifyAudit", ".....x"),
    ("AccessService/WhoAmI", "xxxxxx"),
    ("AccessService/CheckAccess", "xxxxxx"),
    ("AccessService/IssueToken", "....x."),
    ("AccessService/RevokeToken", "....x."),
    ("AccessService/ListBindings", "....xx"),
    ("AccessService/PutBinding", "....x."),
    ("AccessService/DeleteBinding", "....x."),
    ("SystemService/GetVersion", "xxxxxx"),
    ("SystemService/GetStatus", "xxxxxx"),
];

/// Calls that name no single place: whoever has the role somewhere gets an answer, of what they may see.
const ANYWHERE: [&str; 13] = [
    "FlowService/ListFlows",
    "DeadLetterService/ListDeadLetters",
    "DeadLetterService/GetDeadLetterStats",
    "DeadLetterService/TailDeadLetters",
    "DeadLetterService/ExplainSelector",
    "ReplayService/ListReplays",
    "DoubtService/ListDoubts",
    "BackfillService/ListBackfills",
    "ReconciliationService/ListReconciliations",
    "ConnectionService/ListConnections",
    "AccessService/WhoAmI",
    "AccessService/CheckAccess",
    "SystemService/GetStatus",
];

/// Scopes that hold nothing of what the requests name: how they are called, tenant, flow and connection.
const OUTSIDE: [(&str, &str, &str, &str); 3] = [
    ("tenant", "elsewhere", "*", "*"),
    ("flow", "*", "another-flow", "*"),
    ("connection", "*", "*", "another-connection"),
];

fn name(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().name(), method.name())
}

fn refused(code: Code) -> bool {
    matches!(code, Code::PermissionDenied | Code::Unauthenticated)
}

async fn things(road: &Road, people: &People) -> (Things, BTreeMap<&'static str, String>) {
    let mut tokens = BTreeMap::new();
    for role in ROLES {
        tokens.insert(role, people.hire(road, &format!("the-{role}"), role).await);
    }
    let operator = people.at_writer(road, &tokens["operator"]).await;
    let letters = until_listed(&operator, "state = open", road.expectation.parked.len()).await;
    // A job that is there and does nothing: it is cancelled long before its second letter.
    let ids = letters.iter().map(|letter| letter.id.clone()).collect();
    let selection = Some(v1::Selection { ids, selector: String::new() });
    let options = Some(v1::ReplayOptions { rate: 0.01, ..v1::ReplayOptions::default() });
    let asked = v1::StartReplayRequest { selection, options, change: change("a job to look at") };
    let job = operator.replays().start_replay(asked).await.expect("started").into_inner().replay.expect("a job").id;
    let cancel = v1::CancelReplayRequest { id: job.clone(), change: change("") };
    operator.replays().cancel_replay(cancel).await.expect("cancelled");
    let asked = v1::GetFlowRequest { name: "misc-inbound".to_owned(), version: String::new() };
    let found = operator.flows().get_flow(asked).await.expect("the flow").into_inner();
    let bundle = found.bundle.expect("its texts");
    let letter = letters[1].id.clone();
    (Things { letter, job, flow: "misc-inbound".to_owned(), bundle }, tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_lets_in_whom_it_must_and_nobody_else() {
    let mut road = Road::open(RoadPlan { controls: 1, ..RoadPlan::default() }).await.expect("laid");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, letters| applied + letters >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let (things, tokens) = things(&road, &people).await;
    let (security, address) = people.writer(&road).await;

    let methods = raw::methods();
    let listed: Vec<&str> = MAY.iter().map(|(call, _)| *call).collect();
    for method in &methods {
        let call = name(method);
        assert!(call == "AccessService/Bootstrap" || listed.contains(&call.as_str()), "{call} is not in the list");
    }
    assert_eq!(methods.len(), MAY.len() + 1);

    // Somebody of another tenant, of another flow, and of another connection, in every role.
    let mut elsewhere = BTreeMap::new();
    for (place, tenant, flow, connection) in OUTSIDE {
        for role in ROLES {
            let [tenant, flow, connection] = [tenant, flow, connection].map(str::to_owned);
            let scope = Some(v1::Scope { tenant, flow, connection });
            let token = people.hire_for(&security, &format!("{place}-{role}"), role, scope).await;
            elsewhere.insert((place, role), token);
        }
    }
    let channel = channel(&road.desk, &address).await;
    for token in elsewhere.values() {
        Caller::new(channel.clone(), Some(token)).has_a_role().await;
    }
    for method in &methods {
        let call = name(method);
        let Some((_, may)) = MAY.iter().find(|(listed, _)| *listed == call) else { continue };
        for (role, may) in ROLES.iter().zip(may.chars()) {
            let bytes = raw::request(method, &things);
            let inside = Caller::new(channel.clone(), Some(&tokens[role]));
            let code = raw::call(inside.signed(), method, bytes.clone()).await;
            assert_eq!(refused(code), may == '.', "{call} as {role}: {code:?}");
            for (place, ..) in OUTSIDE {
                let outside = Caller::new(channel.clone(), Some(&elsewhere[&(place, *role)]));
                let code = raw::call(outside.signed(), method, bytes.clone()).await;
                let lets = may == 'x' && (ANYWHERE.contains(&call.as_str()) || call == "SystemService/GetVersion");
                assert_eq!(refused(code), !lets, "{call} as {role} of another {place}: {code:?}");
            }
        }
    }

    looks::a_search_leaves_a_trail(&road, &people, &tokens).await;
    looks::an_imported_payload_is_checked_as_an_edit(&road, &people, &tokens, &things.letter).await;
    looks::streams_end_with_what_let_their_caller_in(&road, &people).await;

    let three = ["auditor", "system_administrator", "security_administrator"].map(|role| tokens[role].as_str());
    beyond::a_dry_run_does_nothing(&methods, &things, &channel, three).await;
    beyond::a_token_is_shown_once(&security).await;
    beyond::a_flow_is_not_taken(&things, &people, &security, &channel).await;

    nothing_is_done_that_cannot_be_audited(&mut road, &methods, &things, &channel, &tokens["system_administrator"])
        .await;

    let forged = credentials_that_prove_nothing(&road, &methods, &things, &channel, &security).await;
    beyond::a_lock_keeps_out_forgers_alone(&road, &channel, &people, &forged).await;
}

/// Whoever shows no token, or one that is not good any more or never was, is let in by no call, whatever their role.
/// Gives a token that is forged.
async fn credentials_that_prove_nothing(
    road: &Road,
    methods: &[MethodDescriptor],
    things: &Things,
    channel: &Channel,
    security: &Caller,
) -> String {
    let pem = SecretString::from(std::fs::read_to_string(&road.desk.signing_key).expect("the key"));
    let keys = KeyRing::new(SigningKey::from_pem(&pem).expect("a key"));
    let others = KeyRing::new(SigningKey::generate(&mut StdRng::seed_from_u64(1)));
    let made = |keys: &KeyRing, principal: &str, audience: &str, ago: i64| {
        let request = Request { principal, audience, lifetime: TimeDelta::hours(1), only_roles: None };
        let issued =
            token::issue(&request, keys, Utc::now() - TimeDelta::hours(ago), &mut rand::rng()).expect("a token");
        issued.token.expose_secret().to_owned()
    };
    let mut states = vec![("none", None)];
    for role in ROLES {
        let principal = format!("the-{role}");
        let asked = v1::IssueTokenRequest {
            principal: principal.clone(),
            lifetime_seconds: 3600,
            change: change("to be taken back"),
        };
        let issued = security.access().issue_token(asked).await.expect("a token").into_inner();
        let asked = v1::RevokeTokenRequest { token_id: issued.token_id, change: change("taken back") };
        security.access().revoke_token(asked).await.expect("revoked");
        states.push(("revoked", Some(issued.token)));
        states.push(("expired", Some(made(&keys, &principal, "starbridge", 2))));
        states.push(("of another installation", Some(made(&keys, &principal, "elsewhere", 0))));
    }
    let version = methods.iter().find(|method| method.name() == "GetVersion").expect("there");
    for (_, token) in states.iter().filter(|(state, _)| *state == "revoked") {
        let refused = until("the token is taken back", async || {
            let caller = Caller::new(channel.clone(), token.as_deref());
            match raw::call(caller.signed(), version, Vec::new()).await {
                Code::Unauthenticated => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        refused.await;
    }
    // Last, for forgers are locked out after a few tries: that refuses them as well.
    states.extend(ROLES.map(|role| ("forged", Some(made(&others, &format!("the-{role}"), "starbridge", 0)))));
    for (state, token) in &states {
        for method in methods.iter().filter(|method| method.name() != "Bootstrap") {
            let caller = Caller::new(channel.clone(), token.as_deref());
            let code = raw::call(caller.signed(), method, raw::request(method, things)).await;
            let locked = *state == "forged" && code == Code::ResourceExhausted;
            assert!(code == Code::Unauthenticated || locked, "{} with a token {state}: {code:?}", name(method));
        }
    }
    made(&others, "the-viewer", "starbridge", 0)
}

/// With no broker to write to, every call that leaves a trail says UNAVAILABLE, and none of them has done anything after.
async fn nothing_is_done_that_cannot_be_audited(
    road: &mut Road,
    methods: &[MethodDescriptor],
    things: &Things,
    channel: &Channel,
    chief: &str,
) {
    let caller = Caller::new(channel.clone(), Some(chief));
    let state = async || {
        let asked = v1::GetFlowRequest { name: things.flow.clone(), version: String::new() };
        let flow = caller.flows().get_flow(asked).await.expect("the flow").into_inner().flow.expect("a flow");
        let letters = caller.letters().get_dead_letter_stats(v1::GetDeadLetterStatsRequest::default()).await;
        (flow, letters.expect("counts").into_inner().counts)
    };
    let before = state().await;
    road.kafka.kill().expect("killed");
    let pausing = v1::PauseFlowRequest { name: things.flow.clone(), change: change("not without a trail") };
    let looking = v1::GetDeadLetterRequest { id: things.letter.clone(), unmask: true };
    let (mut flows, mut letters) = (caller.flows(), caller.letters());
    let (paused, looked) = tokio::join!(flows.pause_flow(pausing), letters.get_dead_letter(looking));
    assert_eq!(paused.expect_err("not written").code(), Code::Unavailable);
    assert_eq!(looked.expect_err("not written").code(), Code::Unavailable);
    // By now the replica knows that it does not write: nothing that it lets a caller do gets further.
    let may: Vec<&MethodDescriptor> = methods
        .iter()
        .filter(|method| {
            let call = name(method);
            let leaves =
                policy::rule(&format!("starbridge.control.v1.{call}")).is_some_and(|rule| rule.trail != Trail::None);
            leaves && MAY.iter().any(|(listed, may)| *listed == call && may.as_bytes()[3] == b'x')
        })
        .collect();
    assert!(may.len() > 20, "{}", may.len());
    for method in may {
        let code = raw::call(caller.signed(), method, raw::request(method, things)).await;
        assert_eq!(code, Code::Unavailable, "{}", name(method));
    }
    road.kafka.begin().expect("back");
    until("the desk writes again", async || {
        let looking = v1::GetDeadLetterRequest { id: things.letter.clone(), unmask: false };
        caller.letters().get_dead_letter(looking).await.map(drop).map_err(|status| status.to_string())
    })
    .await;
    assert_eq!(state().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_client_finds_the_services_by_reflection() {
    let road = Road::open(RoadPlan { orders: 1, controls: 1, planted: false, ..RoadPlan::default() }).await;
    let road = road.expect("laid");
    let address = road.desk_address(0).expect("bound");
    let mut client = ServerReflectionClient::new(channel(&road.desk, &address).await);
    let asked = MessageRequest::ListServices(String::new());
    let MessageResponse::ListServicesResponse(list) = reflected(&mut client, asked).await else { panic!("no list") };
    let services: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for service in ["DeadLetterService", "ReplayService", "FlowService", "SystemService"] {
        assert!(services.contains(&format!("starbridge.control.v1.{service}")), "{services:?}");
    }
    assert!(services.contains(&"grpc.health.v1.Health".to_owned()), "{services:?}");

    // Nothing is known of the calls but what the server tells of them.
    let people = People::begin(&road).await;
    let token = people.hire(&road, "a-viewer", "viewer").await;
    let viewer = people.at_writer(&road, &token).await;
    let mut pool = DescriptorPool::new();
    for service in &services {
        let asked = MessageRequest::FileContainingSymbol(service.clone());
        let MessageResponse::FileDescriptorResponse(files) = reflected(&mut client, asked).await else {
            panic!("no file of {service}")
        };
        add_files(&mut client, &mut pool, files.file_descriptor_proto).await;
    }
    for (service, method, member) in [("SystemService", "GetStatus", "member"), ("FlowService", "ListFlows", "flows")] {
        let service = pool.get_service_by_name(&format!("starbridge.control.v1.{service}")).expect("reflected");
        let method = service.methods().find(|found| found.name() == method).expect("reflected");
        let answer = raw::ask(viewer.signed(), &method, Vec::new()).await.expect("answered");
        let answer = DynamicMessage::decode(method.output(), answer.as_slice()).expect("as reflected");
        assert!(answer.has_field_by_name(member), "{answer:?}");
    }

    let health = tonic_health::pb::health_client::HealthClient::new(channel(&road.desk, &address).await)
        .check(tonic_health::pb::HealthCheckRequest { service: String::new() })
        .await
        .expect("health is open to all");
    assert_eq!(health.get_ref().status, 1);
}

/// What the server answers to one question about its definitions.
async fn reflected(client: &mut ServerReflectionClient<Channel>, asked: MessageRequest) -> MessageResponse {
    let asked = ServerReflectionRequest { host: String::new(), message_request: Some(asked) };
    let stream = client.server_reflection_info(futures::stream::iter([asked])).await;
    let answer = stream.expect("reflection").into_inner().message().await.expect("an answer").expect("one");
    answer.message_response.expect("a response")
}

/// Adds files to the pool, those that they import first.
async fn add_files(client: &mut ServerReflectionClient<Channel>, pool: &mut DescriptorPool, files: Vec<Vec<u8>>) {
    let mut waiting: Vec<FileDescriptorProto> =
        files.iter().map(|file| FileDescriptorProto::decode(file.as_slice()).expect("a file")).collect();
    while let Some(file) = waiting.last().cloned() {
        if pool.get_file_by_name(file.name()).is_some() {
            waiting.pop();
            continue;
        }
        let missing = file.dependency.iter().find(|name| pool.get_file_by_name(name).is_none());
        let Some(missing) = missing else {
            pool.add_file_descriptor_proto(file).expect("all it imports is there");
            continue;
        };
        let asked = MessageRequest::FileByFilename(missing.clone());
        let MessageResponse::FileDescriptorResponse(found) = reflected(client, asked).await else {
            panic!("no file {missing}")
        };
        let found = found.file_descriptor_proto.iter().map(|file| FileDescriptorProto::decode(file.as_slice()));
        waiting.extend(found.map(|file| file.expect("a file")));
    }
}
