//! Edits against the ready flow of the repository.

use std::path::Path;

use document::{Digest, DocumentKey, FlowName, FlowVersion, Tenant, TraceParent, Version};
use flow::FlowBundle;
use serde_json::json;

use super::*;

fn ready() -> Flow {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/flows/misc-inbound");
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("part of the repository");
    let bundle = FlowBundle {
        flow: text("flow.toml"),
        source: text("source.json"),
        target: text("target.json"),
        collections: Default::default(),
    };
    flow::compile(&bundle).expect("a good flow").flow
}

fn original() -> Option<Record> {
    let extracted = Extracted {
        tenant: Tenant::default(),
        flow: FlowName::new("misc-inbound").expect("a name"),
        flow_version: FlowVersion("1".to_owned()),
        document_key: DocumentKey("A".to_owned()),
        version: Version(1),
        digest: Digest([0; 16]),
        created: None,
        run_time: 1_710_489_600,
        run_since: 0,
        trace: TraceParent { trace_id: [1; 16], span_id: [1; 8], flags: 1 },
        replay: None,
        value: b"[]".to_vec(),
    };
    Some(extracted.into_record())
}

fn rows(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut rows = json!([{
        "FEntity_FEntryID": 1, "FBillNo": "A", "FStockOrgId_FNumber": "204", "FDate": "2024-03-14T00:00:00",
        "FMATERIALID_FNumber": "M1", "FSTOCKID_FNumber": "01", "FQty": 12.0,
    }]);
    change(&mut rows);
    rows.to_string().into_bytes()
}

#[test]
fn rows_are_mapped_before_an_edit_of_them_is_accepted() {
    let flow = ready();
    assert_eq!(rendered(&flow, original(), &rows(|_| {})), Ok(1));
    let code = |rows: &[u8]| rendered(&flow, original(), rows).map_err(|fault| fault.code);
    let date = rendered(&flow, original(), &rows(|rows| rows[0]["FDate"] = json!("no date"))).expect_err("refused");
    assert!(date.place.path.is_some() || date.place.column.is_some(), "{date}");
    assert_eq!(code(&rows(|rows| rows[0]["FBillNo"] = json!(""))), Err(Code::TargetKeyMissing));
    assert_eq!(code(b"[1]"), Err(Code::EditPatch));
    assert_eq!(rendered(&flow, None, b"[]").map_err(|fault| fault.code), Err(Code::EditPatch));
}

#[test]
fn a_mapped_document_keeps_its_key() {
    let flow = ready();
    let known = TargetKey("A".to_owned());
    let stays = |bill: Value| key_stays(&flow, Some(&known), &bill).map_err(|fault| (fault.code, fault.place.path));
    assert_eq!(stays(json!({"FBillNo": "A"})), Ok(()));
    let refused = Err((Code::EditPatch, Some(format!("$.{}", flow.key_field()))));
    assert_eq!(stays(json!({"FBillNo": "B"})), refused);
    assert_eq!(stays(json!({"FNote": "A"})), refused);
    assert_eq!(key_stays(&flow, None, &json!({})), Ok(()));
}

#[test]
fn keys_may_lie_in_objects() {
    let bill = json!({"FRef": {"FNumber": 7}, "FFlag": true});
    let bill = bill.as_object().expect("an object");
    assert_eq!(key_of(bill, "FRef.FNumber").as_deref(), Some("7"));
    assert_eq!(key_of(bill, "FFlag"), None);
    assert_eq!(key_of(bill, "FRef.FName"), None);
}
