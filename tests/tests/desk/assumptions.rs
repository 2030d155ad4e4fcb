//! What is taken for granted of the world, broken on purpose: a report names what came of it.

use e2e::mend::{self, model};
use e2e::road::{Road, RoadPlan};
use serde_json::json;
use starbridge_proto::v1;

use super::client::{Caller, People, change};
use super::reconcile::{FORM, report, settled};
use super::replay::until_listed;
use super::{PATIENCE, until};

/// Orders of each road.
const ORDERS: usize = 20;

/// Saves of five documents each, which are soon believed to be settled.
const LOADER: &str = "[save]\nlinger = \"30s\"\nsend_deadline = \"2s\"\nnet = \"500ms\"\nexec_max = \"2s\"\n";

fn plan(target: Vec<(&'static str, String)>) -> RoadPlan {
    RoadPlan {
        orders: ORDERS,
        documents: Some(5),
        planted: false,
        target,
        loader: LOADER,
        controls: 1,
        ..RoadPlan::default()
    }
}

async fn operator(road: &Road) -> Caller {
    let people = People::begin(road).await;
    let token = people.hire(road, "wang", "operator").await;
    people.at_writer(road, &token).await
}

/// Findings of each kind, by the kind's name.
fn totals(report: &v1::Reconciliation) -> Vec<(&str, i64)> {
    let mut totals: Vec<(&str, i64)> = report.totals.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    totals.sort_unstable();
    totals
}

async fn ask_for(operator: &Caller, kind: v1::RunKind) {
    let name = "misc-inbound".to_owned();
    let run = v1::RunFlowRequest { name, kind: kind.into(), change: change("now"), window: None };
    operator.flows().run_flow(run).await.expect("asked");
}

/// Changes a file of the flow.
fn rewrite(road: &Road, file: &str, from: &str, to: &str) {
    let path = road.flow_folder().join(file);
    let text = std::fs::read_to_string(&path).expect("a file of the flow");
    assert!(text.contains(from), "{file}: {text}");
    std::fs::write(path, text.replace(from, to)).expect("written");
}

/// A save that is worked on for longer than promised, and then queries that do not see what a save has left.
#[tokio::test(flavor = "multi_thread")]
async fn a_save_that_comes_late_or_is_not_seen_is_doubled_and_named() {
    let mut road = Road::lay(plan(vec![("--unique-numbers", "off".to_owned())])).await.expect("laid");
    let late = json!({"kind": "late", "how": "rst", "ms": 15_000, "call": "BatchSave", "nth": 2, "count": 1});
    road.fault(late).await.expect("a known fault");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    // Five of them were saved again in the belief that they never came, and then they came.
    road.until("every order ends, and five twice", PATIENCE, |held, _| held >= orders + 5).await.expect("ended");
    let operator = operator(&road).await;
    let doubled = settled(&operator, orders, 0.0).await;
    assert_eq!(totals(&doubled), [("duplicate", 5)], "{doubled:#?}");
    assert!(doubled.findings.iter().all(|finding| finding.target_ids.len() == 2), "{doubled:#?}");

    // Five more, whose reply is lost, and a replica that lags behind says that they never came.
    road.target.admin("/snapshot", Some(&json!({}))).await.expect("taken");
    let faults = json!([
        {"kind": "cut_after", "call": "BatchSave"},
        {"kind": "stale", "call": "ExecuteBillQuery", "count": 0},
    ]);
    road.fault(faults).await.expect("known faults");
    let bill = road.expectation.source.values().next().expect("one").clone();
    let more = (1..=5).map(|number| model(&format!("unseen-{number}"), &bill)).collect();
    road.source.admin_port().plant(FORM, more).await.expect("planted");
    ask_for(&operator, v1::RunKind::Scan).await;
    road.until("the five come twice", PATIENCE, |held, _| held >= orders + 5 + 10).await.expect("ended");
    road.target.end_faults().await.expect("ended");
    let doubled = settled(&operator, orders + 5, 0.0).await;
    assert_eq!(totals(&doubled), [("duplicate", 10)], "{doubled:#?}");
}

/// A target that numbers its bills itself whatever it is sent, and a flow that does not know.
#[tokio::test(flavor = "multi_thread")]
async fn bills_that_do_not_keep_their_number_are_named_and_none_is_saved_twice() {
    let mut road = Road::lay(plan(vec![("--kept-numbers", "off".to_owned())])).await.expect("laid");
    road.fault(json!({"kind": "cut_after", "call": "BatchSave", "nth": 3})).await.expect("a known fault");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    // Five have no reply, and nothing that the target says of their numbers proves anything.
    road.until("every order ends", PATIENCE, |_, letters| letters == 5).await.expect("ended");
    let operator = operator(&road).await;
    let named = settled(&operator, orders, 0.0).await;
    assert_eq!(named.in_doubt, 5, "{named:#?}");
    assert_eq!(totals(&named), [("extra", 20), ("missing", 15)], "{named:#?}");
    let held = road.target.admin(&format!("/dump?form={FORM}"), None).await.expect("dumped");
    assert_eq!(held.as_array().map(Vec::len), Some(orders), "none was saved again");
}

/// What was entered long ago and committed only now, which no scan can see; and a source that shows an older content again.
#[tokio::test(flavor = "multi_thread")]
async fn a_bill_that_the_source_hid_or_showed_as_it_was_is_named() {
    let plan = RoadPlan { orders: ORDERS, planted: false, controls: 1, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    rewrite(&road, "flow.toml", "on_change = \"skip\"", "on_change = \"park\"");
    rewrite(&road, "source.json", "\"idCheck\": true", "\"idCheck\": false");
    let file = road.flow_folder().join("flow.toml");
    let text = std::fs::read_to_string(&file).expect("the flow file");
    std::fs::write(&file, format!("{text}\n[reconcile]\ncron = \"0 0 29 2 *\"\nrepair = true\n")).expect("written");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let operator = operator(&road).await;
    settled(&operator, orders, 0.0).await;

    // Its commit shows only now, long behind the watermark and the lookback.
    let late = "late-1".to_owned();
    let bill = road.expectation.source.values().next().expect("one").clone();
    let mut hidden = model(&late, &bill);
    hidden["FApproveDate"] = json!("2015-06-01 10:00:00");
    road.source.admin_port().plant(FORM, vec![hidden]).await.expect("planted");
    let first = report(&operator, 0.0, 1).await;
    let missing: Vec<&str> = first.findings.iter().map(|finding| finding.document_key.as_str()).collect();
    assert_eq!((missing, first.read_again, first.clean), (vec![late.as_str()], 1, false), "{first:#?}");
    road.until("it is read again", PATIENCE, |applied, _| applied > orders).await.expect("applied");
    let second = settled(&operator, orders + 1, 1.0).await;
    assert!(second.clean && second.findings.is_empty(), "{second:#?}");
    assert_eq!(second.applied, i64::try_from(orders).expect("few") + 1);

    // A bill is corrected, which is a letter; then a replica of the source shows it as it was, which overtakes the letter.
    let corrected = "corrected-1";
    road.source.admin_port().plant(FORM, vec![model(corrected, &bill)]).await.expect("planted");
    ask_for(&operator, v1::RunKind::Scan).await;
    road.until("it is applied", PATIENCE, |applied, _| applied > orders + 1).await.expect("applied");
    road.source.admin("/snapshot", Some(&json!({}))).await.expect("taken");
    mend::redate(&road.source, corrected, "2014-01-02").await.expect("corrected");
    ask_for(&operator, v1::RunKind::Scan).await;
    road.until("the correction is a letter", PATIENCE, |_, letters| letters == 1).await.expect("parked");
    let stale = json!({"kind": "stale", "call": "ExecuteBillQuery", "count": 0});
    road.source.admin("/faults", Some(&stale)).await.expect("a known fault");
    ask_for(&operator, v1::RunKind::Lookback).await;
    let letters = until_listed(&operator, "state = open", 1).await;
    until("the letter is overtaken", async || {
        let selection = Some(v1::Selection { ids: vec![letters[0].id.clone()], selector: String::new() });
        let look = Some(v1::Change { dry_run: true, ..v1::Change::default() });
        let asked = v1::StartReplayRequest { selection, options: None, change: look };
        let plan = operator.replays().start_replay(asked).await.expect("planned").into_inner().plan.expect("a plan");
        if plan.overtaken == 1 { Ok(()) } else { Err(format!("{plan:?}")) }
    })
    .await;
    road.source.end_faults().await.expect("ended");
    // A bill that was approved a moment ago is left for the next report.
    let named = until("the report knows the corrected bill", async || {
        let report = settled(&operator, orders + 2, 1.0).await;
        if report.source > i64::try_from(orders).expect("few") + 1 { Ok(report) } else { Err(format!("{report:#?}")) }
    })
    .await;
    let found: Vec<(&str, &str)> =
        named.findings.iter().map(|finding| (finding.kind.as_str(), finding.document_key.as_str())).collect();
    assert_eq!(found, [("different", corrected)], "{named:#?}");
}
