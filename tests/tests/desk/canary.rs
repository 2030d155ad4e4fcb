//! A version is tried with some documents: one that fails is taken back by itself, one that holds is promoted.

use std::collections::BTreeSet;

use e2e::mend::model;
use e2e::road::{Road, RoadPlan};
use serde_json::Value;
use starbridge_proto::v1;

use super::client::{Caller, People, change};
use super::flows::until_sample;
use super::replay::until_listed;
use super::{PATIENCE, until};

const FORM: &str = "STK_MISCELLANEOUS";
const FLOW: &str = "misc-inbound";

async fn shown(caller: &Caller) -> v1::GetFlowResponse {
    let asked = v1::GetFlowRequest { name: FLOW.to_owned(), version: String::new() };
    caller.flows().get_flow(asked).await.expect("the flow").into_inner()
}

fn trying(bundle: v1::FlowBundle, percent: i32) -> v1::StartCanaryRequest {
    v1::StartCanaryRequest {
        bundle: Some(bundle),
        percent,
        abort_above: Some(0.2),
        least_documents: Some(5),
        change: change("try it"),
    }
}

/// Plants copies of a bill under these numbers in the source, and has them read at once.
async fn plant(road: &Road, engineer: &Caller, numbers: &[String]) {
    let bill = road.expectation.source.values().next().expect("one").clone();
    let documents = numbers.iter().map(|number| model(number, &bill)).collect();
    road.source.admin_port().plant(FORM, documents).await.expect("planted");
    let run = v1::RunFlowRequest { name: FLOW.to_owned(), kind: 0, change: change("now"), window: None };
    engineer.flows().run_flow(run).await.expect("asked");
}

fn numbers(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{what}-{number}")).collect()
}

/// The note of a document in the target; `None` for one that is not there.
async fn note(road: &Road, number: &str) -> Option<String> {
    let held = road.target.admin(&format!("/dump?form={FORM}&number={number}"), None).await.expect("dumped");
    let held = held.get(0)?;
    Some(held.get("FNOTE").or(held.get("FNote")).and_then(Value::as_str).unwrap_or_default().to_owned())
}

/// Waits until the extractor gives documents to the version that is tried now. Gives that version.
async fn tried(road: &mut Road, engineer: &Caller) -> String {
    let canary = shown(engineer).await.flow.and_then(|flow| flow.canary).expect("it is tried");
    let version = canary.sides[0].version.clone();
    let taken_up = until("the version is taken up", async || {
        let log = std::fs::read_to_string(road.of("extractor")[0].process().log()).expect("a log");
        let told = log.lines().any(|line| line.contains("flow taken up") && line.contains(&version));
        if told { Ok(()) } else { Err(log.lines().last().unwrap_or_default().to_owned()) }
    });
    taken_up.await;
    version
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_is_taken_back_and_one_that_holds_is_promoted() {
    let plan = RoadPlan { orders: 20, planted: false, controls: 1, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "sun", "engineer").await;
    let engineer = people.at_writer(&road, &token).await;
    let bundle = shown(&engineer).await.bundle.expect("its texts");
    let made = |from: &str, to: &str| {
        assert!(bundle.target.contains(from), "{from}");
        v1::FlowBundle { target: bundle.target.replacen(from, to, 1), ..bundle.clone() }
    };

    // What reads other bills cannot be tried beside what is read.
    let other = v1::FlowBundle { source: bundle.source.replacen("500", "400", 1), ..bundle.clone() };
    let refused = engineer.flows().start_canary(trying(other, 50)).await.expect_err("refused");
    assert!(refused.message().contains("E_CANARY_VERSION"), "{refused:?}");

    let wrong = made("\"{FMATERIALID_FNumber}\"", "\"X-{FMATERIALID_FNumber}\"");
    let begun = engineer.flows().start_canary(trying(wrong.clone(), 50)).await.expect("begun").into_inner();
    assert!(!begun.differences.is_empty());
    assert_eq!(begun.flow.and_then(|flow| flow.canary).map(|canary| canary.percent), Some(50));
    let apply = v1::ApplyFlowRequest { bundle: Some(wrong), change: change("both") };
    let refused = engineer.flows().apply_flow(apply).await.expect_err("one at a time");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    tried(&mut road, &engineer).await;
    plant(&road, &engineer, &numbers("wrong", 40)).await;
    let taken_back = until("taken back by itself", async || {
        shown(&engineer).await.flow.expect("a flow").canary.map_or(Ok(()), |left| Err(format!("{left:?}")))
    });
    taken_back.await;
    road.until("each has an end", PATIENCE, |applied, parked| applied + parked >= orders + 40).await.expect("ended");
    let parked = road.letters().await.expect("letters").len();
    let letters = until_listed(&engineer, "state = open", parked).await;
    assert!((8..=32).contains(&letters.len()), "about half of them: {}", letters.len());
    let current = shown(&engineer).await.flow.expect("a flow").version;
    assert!(letters.iter().all(|letter| letter.flow_version != current), "{letters:#?}");
    let audited = v1::AbortCanaryRequest { name: FLOW.to_owned(), change: change("too late") };
    let refused = engineer.flows().abort_canary(audited).await.expect_err("nothing is tried");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");

    let noted =
        made("\"request\": [", "\"request\": [{\"field\": \"FNOTE\", \"type\": \"string\", \"value\": \"new\"},");
    // What ends from now on is counted for the next one; of the first nothing may be left.
    let over = until("nothing is on its way", async || {
        let look = Some(v1::Change { dry_run: true, ..v1::Change::default() });
        let asked = v1::DeleteFlowRequest { name: FLOW.to_owned(), force: true, change: look };
        let rest = engineer.flows().delete_flow(asked).await.map_err(|status| format!("{status:?}"))?.into_inner();
        if rest.under_way == 0 { Ok(()) } else { Err(format!("{rest:?}")) }
    });
    over.await;
    engineer.flows().start_canary(trying(noted, 50)).await.expect("begun");
    let version = tried(&mut road, &engineer).await;
    let before = orders + 40 - letters.len();
    let right = numbers("right", 40);
    plant(&road, &engineer, &right).await;
    road.until("all are applied", PATIENCE, |applied, _| applied >= before + 40).await.expect("applied");
    let mut new = BTreeSet::new();
    for number in &right {
        if note(&road, number).await.expect("it is there") == "new" {
            new.insert(number.clone());
        }
    }
    assert!((8..=32).contains(&new.len()), "about half of them: {new:?}");
    let count = |number: usize| i64::try_from(number).expect("few");
    let canary = until("all are on record", async || {
        let canary = shown(&engineer).await.flow.and_then(|flow| flow.canary).expect("it is still tried");
        let ended: i64 = canary.sides.iter().map(|side| side.applied + side.failed).sum();
        if ended >= 40 { Ok(canary) } else { Err(format!("{canary:?}")) }
    });
    let canary = canary.await;
    let sides: Vec<_> = canary.sides.iter().map(|side| (side.side.as_str(), side.applied, side.failed)).collect();
    assert_eq!(sides, [("canary", count(new.len()), 0), ("current", count(40 - new.len()), 0)]);

    let promote = v1::PromoteCanaryRequest { name: FLOW.to_owned(), change: change("it holds") };
    let promoted = engineer.flows().promote_canary(promote).await.expect("promoted").into_inner().flow;
    let promoted = promoted.expect("a flow");
    assert_eq!((promoted.version.as_str(), promoted.canary), (version.as_str(), None));
    until_sample(&mut road, "starbridge_config_info", &[&version], |value| value == 1.0).await;
    let all = numbers("all", 10);
    plant(&road, &engineer, &all).await;
    road.until("all are applied", PATIENCE, |applied, _| applied >= before + 50).await.expect("applied");
    for number in &all {
        assert_eq!(note(&road, number).await.as_deref(), Some("new"), "{number}");
    }
}
