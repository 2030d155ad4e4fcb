//! Looks at payloads: who may, what is audited of them, and that what is masked is not told piece by piece. Called by the
//! walk over all roles, which has them at hand.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::road::Road;
use serde_json::Value;
use starbridge_proto::v1;
use tonic::Code;

use super::client::{People, change};

/// A revocation works within this everywhere.
const REVOKED_WITHIN: Duration = Duration::from_secs(30);

/// A selector that asks for payloads is a look at them.
pub(crate) async fn a_search_leaves_a_trail(road: &Road, people: &People, tokens: &BTreeMap<&str, String>) {
    let found = async |role: &str, selector: &str| {
        let caller = people.at_writer(road, &tokens[role]).await;
        let asked =
            v1::ListDeadLettersRequest { selector: selector.to_owned(), ..v1::ListDeadLettersRequest::default() };
        let answer = caller.letters().list_dead_letters(asked).await;
        answer.map(|answer| answer.into_inner().dead_letters.len()).map_err(|status| status.code())
    };
    let letters = road.expectation.parked.len();
    assert_eq!(found("operator", "exists(payload.FBillNo)").await, Ok(letters));
    assert_eq!(found("auditor", "exists(payload.FBillNo)").await, Err(Code::PermissionDenied));
    assert_eq!(found("auditor", "code ~ E_").await, Ok(letters));
    assert_eq!(found("operator", "payload.FEntity.FMobile ~ 138").await, Err(Code::PermissionDenied));
    assert_eq!(found("system_administrator", "payload.FEntity.FMobile ~ 138").await, Ok(0));

    let auditor = people.at_writer(road, &tokens["auditor"]).await;
    let asked = v1::ListAuditEntriesRequest {
        object_prefix: "dead_letter/payloads".to_owned(),
        ..v1::ListAuditEntriesRequest::default()
    };
    let entries = auditor.audit().list_audit_entries(asked).await.expect("entries").into_inner().entries;
    let mut told: Vec<(String, String, String)> =
        entries.into_iter().map(|entry| (entry.actor, entry.reason, entry.result)).collect();
    told.sort();
    let row = |actor: &str, path: &str, result: &str| {
        (format!("the-{actor}"), format!("searched by payload.{path}"), result.to_owned())
    };
    let expected = [
        row("auditor", "FBillNo", "denied"),
        row("operator", "FBillNo", "done"),
        row("operator", "FEntity.FMobile", "denied"),
        row("system_administrator", "FEntity.FMobile", "done"),
    ];
    assert_eq!(told, expected);
}

/// A file's payload that is another document, or no document of the form, does not get in; another one does.
pub(crate) async fn an_imported_payload_is_checked_as_an_edit(
    road: &Road,
    people: &People,
    tokens: &BTreeMap<&str, String>,
    letter: &str,
) {
    let chief = people.at_writer(road, &tokens["system_administrator"]).await;
    let asked = v1::GetDeadLetterRequest { id: letter.to_owned(), unmask: true };
    let found = chief.letters().get_dead_letter(asked).await.expect("the letter").into_inner();
    let bill: Value = serde_json::from_slice(&found.payload.expect("its payload").data).expect("a bill");
    let operator = people.at_writer(road, &tokens["operator"]).await;
    let import = async |change_bill: &dyn Fn(&mut Value)| {
        let mut payload = bill.clone();
        change_bill(&mut payload);
        let of_file = v1::ImportedLetter {
            id: letter.to_owned(),
            payload: serde_json::to_vec(&payload).expect("text"),
            ..v1::ImportedLetter::default()
        };
        let asked =
            v1::ImportDeadLettersRequest { letters: vec![of_file], as_edit: true, change: change("from a file") };
        let answer = operator.letters().import_dead_letters(asked).await.expect("judged").into_inner();
        let outcome = answer.outcome.expect("an outcome");
        (outcome.changed, outcome.refused.first().map(|refusal| refusal.code.clone()))
    };
    let refused = (0, Some("E_EDIT_PATCH".to_owned()));
    assert_eq!(import(&|bill| bill["FBillNo"] = Value::from("another-document")).await, refused);
    let unknown = import(&|bill| bill["FNoSuchField"] = Value::from("x")).await;
    assert_eq!((unknown.0, unknown.1.is_some()), (0, true), "{unknown:?}");
    assert_eq!(import(&|bill| bill["FNote"] = Value::from("imported")).await, (1, None));
}

/// A stream is no way around a revocation, or the loss of a role.
pub(crate) async fn streams_end_with_what_let_their_caller_in(road: &Road, people: &People) {
    let (security, _) = people.writer(road).await;
    let (mut ends, mut ids) = (Vec::new(), Vec::new());
    for name in ["revoked", "dismissed"] {
        people.hire(road, name, "viewer").await;
        let asked =
            v1::IssueTokenRequest { principal: name.to_owned(), lifetime_seconds: 3600, change: change("for a look") };
        let v1::IssueTokenResponse { token, token_id, .. } =
            security.access().issue_token(asked).await.expect("a token").into_inner();
        let caller = people.at_writer(road, &token).await;
        let asked = v1::TailDeadLettersRequest::default();
        let mut tail = caller.letters().tail_dead_letters(asked).await.expect("a stream").into_inner();
        tail.message().await.expect("its beginning");
        ids.push(token_id);
        ends.push(tokio::spawn(async move {
            loop {
                match tail.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return None,
                    Err(status) => return Some(status.code()),
                }
            }
        }));
    }
    let asked = v1::RevokeTokenRequest { token_id: ids[0].clone(), change: change("left") };
    security.access().revoke_token(asked).await.expect("revoked");
    let scope = Some(v1::Scope { tenant: "*".to_owned(), ..v1::Scope::default() });
    let binding = v1::Binding { principal: "dismissed".to_owned(), role: "viewer".to_owned(), scope };
    let asked = v1::DeleteBindingRequest { binding: Some(binding), change: change("moved on") };
    security.access().delete_binding(asked).await.expect("taken");
    for (end, code) in ends.into_iter().zip([Code::Unauthenticated, Code::PermissionDenied]) {
        let ended = tokio::time::timeout(REVOKED_WITHIN, end).await.expect("in time").expect("no panic");
        assert_eq!(ended, Some(code));
    }
}
