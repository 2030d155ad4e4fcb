//! What nobody gets by asking in another way: by a dry run, by the same request again, by naming another tenant or
//! another system in a flow.

use e2e::road::Road;
use prost_reflect::MethodDescriptor;
use starbridge_proto::v1;
use tonic::Code;
use tonic::transport::Channel;

use super::client::{Caller, People, change};
use super::raw::{self, Things};

/// The newest entries of the trail, and how many there are.
async fn trail(auditor: &Caller) -> Vec<v1::AuditEntry> {
    let asked = v1::ListAuditEntriesRequest { page_size: 1_000, ..v1::ListAuditEntriesRequest::default() };
    auditor.audit().list_audit_entries(asked).await.expect("the trail").into_inner().entries
}

/// A dry run of every change leaves no trail, and hands out nothing: what is not audited is not done.
pub(crate) async fn a_dry_run_does_nothing(
    methods: &[MethodDescriptor],
    things: &Things,
    channel: &Channel,
    tokens: [&str; 3],
) {
    let [auditor, callers @ ..] = tokens.map(|token| Caller::new(channel.clone(), Some(token)));
    let before = trail(&auditor).await;
    let mut tried = 0;
    for method in methods.iter().filter(|method| method.input().get_field_by_name("change").is_some()) {
        let bytes = raw::rehearsal(method, things);
        for caller in &callers {
            // Whoever may not is audited as refused, which is no effect of the dry run.
            let may = raw::call(caller.signed(), method, bytes.clone()).await;
            tried += usize::from(may == Code::Ok);
        }
    }
    assert!(tried >= 12, "{tried} dry runs were answered");
    let after = trail(&auditor).await;
    let new: Vec<&v1::AuditEntry> = after.iter().filter(|entry| !before.contains(entry)).collect();
    assert!(new.iter().all(|entry| entry.result == "denied"), "{new:#?}");
}

/// A token is shown to one request, once.
pub(crate) async fn a_token_is_shown_once(security: &Caller) {
    let asked = |change| v1::IssueTokenRequest { principal: "zed".to_owned(), lifetime_seconds: 60, change };
    let look = Some(v1::Change { dry_run: true, ..v1::Change::default() });
    let planned = security.access().issue_token(asked(look)).await.expect("planned").into_inner();
    assert_eq!((planned.token.as_str(), planned.token_id.as_str()), ("", ""));
    assert!(planned.expires_at.is_some());
    let same = change("for the night");
    let issued = security.access().issue_token(asked(same.clone())).await.expect("issued").into_inner();
    assert!(!issued.token.is_empty() && !issued.token_id.is_empty());
    let again = security.access().issue_token(asked(same)).await.expect_err("shown once");
    assert_eq!(again.code(), Code::AlreadyExists, "{again:?}");
    assert!(again.message().contains(&issued.token_id), "{again:?}");
}

/// A flow goes to another tenant, and to a system, only by who may do that in both places.
pub(crate) async fn a_flow_is_not_taken(things: &Things, people: &People, security: &Caller, channel: &Channel) {
    let bundle = |flow: &str, tenant: &str| {
        let text = things.bundle.flow.replacen("\n[", &format!("\ntenant = \"{tenant}\"\n\n["), 1);
        let text = text.replacen("flow = \"misc-inbound\"", &format!("flow = \"{flow}\""), 1);
        Some(v1::FlowBundle { flow: text, ..things.bundle.clone() })
    };
    let hire = async |name: &str, tenant: &str, connection: &str| {
        let (tenant, connection) = (tenant.to_owned(), connection.to_owned());
        let scope = Some(v1::Scope { tenant, connection, ..v1::Scope::default() });
        let token = people.hire_for(security, name, "engineer", scope).await;
        let caller = Caller::new(channel.clone(), Some(&token));
        caller.has_a_role().await;
        caller
    };
    let look = || Some(v1::Change { dry_run: true, ..v1::Change::default() });
    let apply = async |caller: &Caller, bundle: &Option<v1::FlowBundle>, change| {
        let asked = v1::ApplyFlowRequest { bundle: bundle.clone(), change };
        caller.flows().apply_flow(asked).await.map(tonic::Response::into_inner).map_err(|status| status.code())
    };
    let stranger = hire("stranger", "elsewhere", "*").await;
    let taken = bundle("misc-inbound", "elsewhere");
    for change in [look(), change("taking over")] {
        assert_eq!(apply(&stranger, &taken, change).await, Err(Code::PermissionDenied));
    }
    let canary = v1::StartCanaryRequest { bundle: taken.clone(), percent: 1, change: look(), ..Default::default() };
    assert_eq!(stranger.flows().start_canary(canary).await.expect_err("no").code(), Code::PermissionDenied);

    // Whoever may in both places moves it; the answer tells where it would lie.
    let both = hire("both", "*", "galaxy-*").await;
    let moved = apply(&both, &taken, look()).await.expect("planned").flow.expect("a flow");
    assert_eq!(moved.tenant, "elsewhere");

    // A flow of their own, but from and to systems that are not theirs.
    let own = bundle("of-their-own", "elsewhere");
    assert_eq!(apply(&hire("one", "elsewhere", "galaxy-a").await, &own, look()).await, Err(Code::PermissionDenied));
    apply(&hire("pair", "elsewhere", "galaxy-*").await, &own, look()).await.expect("planned");
}

/// Whoever proves a name is let in while the address they come from is locked for forgers.
pub(crate) async fn a_lock_keeps_out_forgers_alone(road: &Road, channel: &Channel, people: &People, forged: &str) {
    let forger = Caller::new(channel.clone(), Some(forged));
    let mut codes = Vec::new();
    for _ in 0..8 {
        let refused = forger.access().who_am_i(v1::WhoAmIRequest {}).await.expect_err("forged");
        codes.push(refused.code());
    }
    assert!(codes.ends_with(&[Code::ResourceExhausted; 2]), "{codes:?}");
    let address = road.desk_address(0).expect("its address");
    let proven = Caller::new(super::client::channel(&road.desk, &address).await, Some(&people.security));
    proven.access().who_am_i(v1::WhoAmIRequest {}).await.expect("let in");
    let refused = forger.access().who_am_i(v1::WhoAmIRequest {}).await.expect_err("still");
    assert_eq!(refused.code(), Code::ResourceExhausted);
}
