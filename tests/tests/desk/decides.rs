//! What is not one person's decision: a large replay takes another person, and a fault that passes takes nobody.

use std::time::Duration;

use e2e::road::{Road, RoadPlan};
use serde_json::json;
use starbridge_proto::v1;
use tonic::Code;

use super::PATIENCE;
use super::client::{People, change};
use super::replay::{by_selector, open, until_listed, until_over};

#[tokio::test(flavor = "multi_thread")]
async fn a_large_replay_is_a_plan_until_another_person_approves_it() {
    let control = "[replay]\ntimed = false\napproval_above = 1\n";
    let (mut road, people) = open(RoadPlan { controls: 1, control, ..RoadPlan::default() }).await;
    let operator = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &operator).await;
    let engineer = people.hire(&road, "li", "engineer").await;
    let engineer = people.at_writer(&road, &engineer).await;
    let parked = road.expectation.parked.len();
    assert!(parked > 1, "two letters are needed");
    until_listed(&operator, "state = open", parked).await;
    road.mend_target().await.expect("mended");

    // Whoever plans it may approve plans, but not this one.
    let asked = |reason: &str| v1::StartReplayRequest {
        selection: by_selector("state = open"),
        options: None,
        change: change(reason),
    };
    let planned = engineer.replays().start_replay(asked("mended")).await.expect("planned").into_inner();
    assert!(planned.plan.expect("a plan").needs_approval);
    let own = planned.replay.expect("a job");
    assert_eq!(own.status(), v1::ReplayStatus::AwaitsApproval);
    let approve = |id: &str, digest: &str| v1::ApproveReplayRequest {
        id: id.to_owned(),
        plan_digest: digest.to_owned(),
        change: change("looked at it"),
    };
    let refused = engineer.replays().approve_replay(approve(&own.id, &own.plan_digest)).await.expect_err("one's own");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    let cancel = v1::CancelReplayRequest { id: own.id, change: change("asked wang instead") };
    engineer.replays().cancel_replay(cancel).await.expect("cancelled");

    let planned = operator.replays().start_replay(asked("mended, by wang")).await.expect("planned").into_inner();
    let job = planned.replay.expect("a job");
    tokio::time::sleep(Duration::from_secs(2)).await;
    until_listed(&operator, "state = open", parked).await;
    let other = engineer.replays().approve_replay(approve(&job.id, "00")).await.expect_err("another plan");
    assert_eq!(other.code(), Code::FailedPrecondition, "{other:?}");
    engineer.replays().approve_replay(approve(&job.id, &job.plan_digest)).await.expect("approved");
    let over = until_over(&operator, &job.id).await;
    let all = i64::try_from(parked).expect("few");
    assert_eq!((over.status(), over.resolved, over.failed), (v1::ReplayStatus::Done, all, 0), "{over:?}");
    assert_eq!((over.created_by.as_str(), over.approved_by.as_str()), ("wang", "li"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_was_locked_for_a_while_is_loaded_without_anybody() {
    let (loader, control) = ("[retry]\ntimed_faults = [\"2s\"]\n", "[replay]\ntimed = true\n");
    let plan = RoadPlan { orders: 20, planted: false, controls: 1, loader, control, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    let locked = road.expectation.source.keys().next().expect("one").clone();
    road.fault(json!({"kind": "lock", "call": "BatchSave", "numbers": [locked], "count": 1})).await.expect("known");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order is loaded", PATIENCE, |applied, _| applied >= orders).await.expect("loaded");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    let ended = until_listed(&operator, "state = resolved", 1).await;
    assert_eq!((ended[0].target_key.as_str(), ended[0].code.as_str()), (locked.as_str(), "E_TARGET_LOCKED"));
    let list = v1::ListReplaysRequest::default();
    let jobs = operator.replays().list_replays(list).await.expect("listed").into_inner().replays;
    assert_eq!((jobs.len(), jobs[0].timed, jobs[0].created_by.as_str()), (1, true, "control"), "{jobs:?}");
}
