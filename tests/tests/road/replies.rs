//! What the target answers, and what becomes of the documents.

use std::collections::BTreeSet;

use e2e::history::Known;
use e2e::road::{Road, RoadPlan};
use serde_json::json;

use super::{SHORT, clean, holds, old};

fn plan() -> RoadPlan {
    RoadPlan { orders: 120, documents: Some(20), source: old(), loader: SHORT, ..RoadPlan::default() }
}

/// Lays a road, adds `faults` to the target, runs it, and asserts that all is well in the end.
async fn run(plan: RoadPlan, faults: &[serde_json::Value]) -> (Road, e2e::road::Ended) {
    let mut road = Road::lay(plan).await.expect("laid");
    for fault in faults {
        road.fault(fault.clone()).await.expect("a known fault");
    }
    road.start_stages().await.expect("started");
    let ended = holds(&mut road, Known::default(), &["I12"]).await;
    (road, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_success_with_odd_indexes_ends_every_document_once() {
    for how in ["missing", "repeated", "out_of_range", "text"] {
        run(plan(), &[json!({"kind": "odd_dindex", "call": "BatchSave", "how": how, "count": 2})]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_in_the_middle_is_renewed() {
    let faults = [json!({"kind": "session_loss", "call": "BatchSave", "nth": 3, "count": 2, "force": true})];
    run(plan(), &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_errors_are_waited_out() {
    let before = json!({"kind": "status", "call": "BatchSave", "status": 503, "nth": 2, "count": 2});
    let after = json!({"kind": "status", "call": "BatchSave", "status": 502, "at": "after", "nth": 5});
    let json = json!({"kind": "status", "call": "BatchSave", "status": 500, "body": "json", "nth": 7});
    run(plan(), &[before, after, json]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_lost_after_the_work_is_not_sent_again() {
    let faults = [
        json!({"kind": "cut_after", "call": "BatchSave", "nth": 1}),
        json!({"kind": "truncated", "call": "BatchSave", "nth": 3}),
        json!({"kind": "html", "call": "BatchSave", "at": "after", "nth": 5}),
        json!({"kind": "late", "call": "BatchSave", "nth": 6, "ms": 1000, "how": "rst"}),
    ];
    // Without unique numbers nothing but the loader stands between a document and its copy.
    let target = vec![("--unique-numbers", "off".to_owned())];
    run(RoadPlan { planted: false, target, ..plan() }, &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_numbers_its_bills_itself_gets_each_order_once() {
    let target = vec![("--unique-numbers", "off".to_owned())];
    let mut road = Road::lay(RoadPlan { planted: false, target, ..plan() }).await.expect("laid");
    let change = |file: &str, change: &dyn Fn(String) -> String| {
        let path = road.flow_folder().join(file);
        let text = std::fs::read_to_string(&path).expect("a file of the flow");
        std::fs::write(path, change(text)).expect("written");
    };
    change("flow.toml", &|text| text.replace("key = \"FBillNo\"", "marker = \"FNOTE\""));
    change("target.json", &|text| {
        let mut document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let fields = document["request"].as_array_mut().expect("a list");
        fields.retain(|entry| entry["field"] != "FBillNo");
        document.to_string()
    });
    for fault in [
        json!({"kind": "cut_after", "call": "BatchSave", "nth": 2}),
        json!({"kind": "status", "call": "BatchSave", "status": 502, "nth": 3}),
        json!({"kind": "html", "call": "BatchSave", "at": "after", "nth": 5}),
    ] {
        road.fault(fault).await.expect("a known fault");
    }
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    let ended = road.finish(super::PATIENCE).await.expect("the road comes to its end");
    assert!(ended.letters.is_empty(), "{:#?}", ended.letters);
    let bills = road.target.admin("/dump?form=STK_MISCELLANEOUS", None).await.expect("the bills");
    let bills = bills.as_array().expect("a list");
    let markers: BTreeSet<String> =
        bills.iter().map(|bill| bill["FNOTE"].as_str().expect("a text").to_owned()).collect();
    let expected = road.expectation.source.keys().map(|number| format!("misc-inbound/{number}")).collect();
    assert_eq!((bills.len(), markers), (orders, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_does_not_take_a_foreign_document_for_ours() {
    let mut road = Road::lay(RoadPlan { documents: Some(10), orders: 60, ..plan() }).await.expect("laid");
    // The reply that is lost is that of the call with the held number; the foreign document must stay as it is.
    let held = road.expectation.held_numbers.first().expect("one is planted").clone();
    road.fault(json!({"kind": "cut_after", "call": "BatchSave", "numbers": [held], "count": 1})).await.expect("known");
    road.start_stages().await.expect("started");
    let ended = clean(&mut road).await;
    let codes: Vec<&str> =
        ended.letters.values().filter(|letter| letter.record == held).map(|letter| letter.code.as_str()).collect();
    assert_eq!(codes, ["E_CONFLICT"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_batch_is_cut_down_to_its_culprit() {
    let mut road =
        Road::lay(RoadPlan { planted: false, orders: 100, documents: Some(100), ..plan() }).await.expect("laid");
    let culprit = road.expectation.source.keys().nth(41).expect("an order").clone();
    road.fault(json!({
        "kind": "status", "call": "BatchSave", "status": 500, "body": "json", "numbers": [culprit], "count": 0,
    }))
    .await
    .expect("a known fault");
    road.start_stages().await.expect("started");
    road.expectation.target.remove(&culprit);
    road.expectation.parked.insert(culprit, "poison");
    clean(&mut road).await;
}

async fn only_the_audit_fails(switch: &str) {
    let target = vec![("--audit-failure", switch.to_owned())];
    let mut road = Road::lay(RoadPlan { planted: false, target, ..plan() }).await.expect("laid");
    let refused = road.expectation.source.keys().nth(7).expect("an order").clone();
    road.fault(json!({"kind": "refuse_audit", "numbers": [refused]})).await.expect("a known fault");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    let kept = usize::from(switch == "keep");
    if kept == 1 {
        // Saved and submitted, and nothing more: the bill waits for its audit, the letter says so.
        road.expectation.target.get_mut(&refused).expect("an order").status = "B".to_owned();
    }
    road.until("every order ends", super::PATIENCE, |applied, letters| applied + letters >= orders + kept)
        .await
        .expect("ended");
    let ended = road.compare().await.expect("compared");
    assert!(ended.report.duplicate.is_empty() && ended.report.different.is_empty(), "{:#?}", ended.report);
    assert_eq!(ended.report.applied, orders - 1 + kept, "{:#?}", ended.report);
    let of_refused: Vec<_> = ended.letters.values().filter(|letter| letter.record == refused).collect();
    assert_eq!((of_refused.len(), ended.letters.len()), (1, 1), "{:#?}", ended.letters);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_fails_with_rollback_leaves_a_letter_and_no_bill() {
    only_the_audit_fails("rollback").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_that_fails_and_keeps_the_bill_is_not_saved_again() {
    only_the_audit_fails("keep").await;
}
