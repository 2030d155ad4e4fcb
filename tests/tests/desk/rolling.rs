//! A new version comes in: every service is stopped and started again, one at a time, while bills are on their way.

use std::time::Duration;

use e2e::road::{Road, RoadPlan};
use serde_json::json;
use starbridge_proto::v1;

use super::PATIENCE;
use super::client::People;

#[tokio::test(flavor = "multi_thread")]
async fn services_changed_one_at_a_time_under_load_lose_and_repeat_nothing() {
    // Nothing but the services themselves keeps a bill from being saved twice.
    let target = vec![("--unique-numbers", "off".to_owned())];
    let plan = RoadPlan { orders: 400, documents: Some(5), planted: false, target, controls: 1, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    // Slow enough that every change meets work in flight.
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 600, "count": 0})).await.expect("a known fault");
    let slow = json!({"kind": "latency", "call": "ExecuteBillQuery", "ms": 200, "count": 0});
    road.source.admin("/faults", Some(&slow)).await.expect("a known fault");
    road.start_stages().await.expect("started");
    let people = People::begin(&road).await;
    let auditor = people.hire(&road, "zhao", "auditor").await;

    let orders = road.expectation.source.len();
    for service in ["control", "loader", "transformer", "extractor"] {
        let (before, _) = road.ended_now().await.expect("counted");
        road.until("more arrive", PATIENCE, |applied, _| applied > before).await.expect("arrived");
        for stage in road.of(service) {
            stage.restart(Duration::from_secs(60)).expect("drained and started again");
            stage.ready(Duration::from_secs(60)).await.expect("ready");
        }
        let (applied, letters) = road.ended_now().await.expect("counted");
        assert!(applied < orders, "{service}: all had arrived before it was changed");
        assert_eq!(letters, 0, "{service}: no change makes a letter");
    }
    road.target.end_faults().await.expect("ended");
    road.source.end_faults().await.expect("ended");

    // The head of the audit trail was signed when the control plane stopped, and the next one goes on from there.
    let auditor = people.at_writer(&road, &auditor).await;
    let proof = auditor.audit().verify_audit(v1::VerifyAuditRequest::default()).await.expect("verified").into_inner();
    assert!(proof.intact, "{proof:?}");
    assert_eq!(proof.signed_head.as_ref().map(|head| head.seq), Some(proof.entries), "{proof:?}");

    let ended = road.finish(PATIENCE).await.expect("the road comes to its end");
    assert!(ended.report.is_clean(), "{:#?}\n{:#?}", ended.report, ended.letters);
    assert_eq!(ended.report.applied, orders);
}
