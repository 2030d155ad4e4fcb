//! Flows are changed, rolled back, paused and run from the desk, and the stages follow without a restart.

use std::time::Duration;

use e2e::road::{Road, RoadPlan};
use starbridge_proto::v1;
use tonic::Code;

use super::client::{Caller, change};
use super::replay::open;
use super::until;

async fn flow(caller: &Caller) -> v1::GetFlowResponse {
    let asked = v1::GetFlowRequest { name: "misc-inbound".to_owned(), version: String::new() };
    caller.flows().get_flow(asked).await.expect("the flow").into_inner()
}

/// Waits until the extractor's metric reads as wanted.
async fn until_metric(road: &mut Road, metric: &str, wanted: impl Fn(f64) -> bool) -> f64 {
    until_sample(road, metric, &[], wanted).await
}

/// The same for the samples with these labels.
pub(super) async fn until_sample(road: &mut Road, metric: &str, labels: &[&str], wanted: impl Fn(f64) -> bool) -> f64 {
    let sample = until(metric, async || {
        let metrics = road.of("extractor")[0].metrics().await.map_err(|error| format!("{error:#}"))?;
        let value = metrics.sum(metric, labels);
        if wanted(value) { Ok(value) } else { Err(format!("it is {value}")) }
    });
    sample.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_rests_runs_and_changes_from_the_desk() {
    let (mut road, people) = open(RoadPlan { orders: 50, controls: 1, planted: false, ..RoadPlan::default() }).await;
    let engineer = people.hire(&road, "sun", "engineer").await;
    let engineer = people.at_writer(&road, &engineer).await;
    let before = flow(&engineer).await;
    let (shown, bundle) = (before.flow.expect("a flow"), before.bundle.expect("its texts"));
    assert_eq!((shown.source_connection.as_str(), shown.target_connection.as_str()), ("galaxy-a", "galaxy-b"));

    // It was read before anybody came to the desk, which tells until when.
    let read = until("the desk knows how far the source was read", async || {
        let reading = flow(&engineer).await.flow.expect("a flow").reading;
        reading.filter(|reading| reading.completed_at.is_some() && !reading.scanning).ok_or("nothing".to_owned())
    })
    .await;
    let [completed, up_to] = [read.completed_at, read.read_up_to].map(|at| at.expect("told").seconds);
    assert!(up_to <= completed && up_to > completed - 3_600, "{read:?}");

    // The desk reaches the target as the loader does.
    let asked = v1::TestConnectionRequest {
        connection: "galaxy-b".to_owned(),
        form: String::new(),
        save: true,
        change: change("is it there"),
    };
    let tested = engineer.connections().test_connection(asked).await.expect("tested").into_inner();
    assert!(tested.passed && tested.form == "STK_MISCELLANEOUS", "{tested:#?}");
    let skipped: Vec<&str> = tested
        .steps
        .iter()
        .filter(|step| step.outcome() != v1::StepOutcome::Passed)
        .map(|step| step.step.as_str())
        .collect();
    assert_eq!(skipped, ["tls"], "{tested:#?}");

    // A paused flow reads nothing; what was asked of it meanwhile is done when it goes on.
    const SUCCESS: &str = "starbridge_last_success_timestamp_seconds";
    const ENABLED: &str = "starbridge_flow_enabled";
    // The scan at the start is over; no other one begins by itself.
    let first = until_metric(&mut road, SUCCESS, |value| value > 0.0).await;
    let name = || "misc-inbound".to_owned();
    let pause = v1::PauseFlowRequest { name: name(), change: change("stock-taking") };
    let paused = engineer.flows().pause_flow(pause.clone()).await.expect("paused").into_inner().flow.expect("a flow");
    assert_eq!((paused.paused, paused.paused_note.as_str()), (true, "sun: stock-taking"));
    // Said again it is answered as before; another request under the same key is none.
    let again = engineer.flows().pause_flow(pause.clone()).await.expect("as before").into_inner().flow;
    assert_eq!(again, Some(paused));
    let key = pause.change.map(|change| change.idempotency_key).expect("a key");
    let other = v1::Change { idempotency_key: key, reason: "something else".to_owned(), dry_run: false };
    let other = v1::ResumeFlowRequest { name: name(), change: Some(other) };
    let refused = engineer.flows().resume_flow(other).await.expect_err("another request");
    assert_eq!(refused.code(), tonic::Code::AlreadyExists, "{refused:?}");
    assert!(refused.message().contains("E_IDEMPOTENCY_REUSED"), "{refused:?}");
    until_metric(&mut road, ENABLED, |value| value == 0.0).await;
    let run = v1::RunFlowRequest { name: name(), kind: 0, change: change("now, please"), window: None };
    engineer.flows().run_flow(run).await.expect("asked");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(until_metric(&mut road, SUCCESS, |_| true).await, first);
    let resume = v1::ResumeFlowRequest { name: name(), change: change("counted") };
    engineer.flows().resume_flow(resume).await.expect("resumed");
    until_metric(&mut road, SUCCESS, |value| value > first).await;

    // A window of the past is read again and changes nothing.
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let window = Some(v1::Window { from: at(0), to: at(4_000_000_000), again: false });
    let run = v1::RunFlowRequest { name: name(), kind: v1::RunKind::Window.into(), change: change("proof"), window };
    const RECORDS: &str = "starbridge_records_total";
    const UNCHANGED: [&str; 2] = ["stage=\"extract\"", "outcome=\"unchanged\""];
    let saves = road.compare().await.expect("compared").target_calls("BatchSave");
    let unchanged = until_sample(&mut road, RECORDS, &UNCHANGED, |_| true).await;
    engineer.flows().run_flow(run).await.expect("asked");
    until_sample(&mut road, RECORDS, &UNCHANGED, |value| value == unchanged + 50.0).await;

    // Another title, and a zone of the schedule's own, is another version; the one before can be made current again.
    let mut changed = bundle.clone();
    changed.flow = changed.flow.replace("title = \"其他入库单 A → B\"", "title = \"其他入库单\"");
    changed.flow = changed.flow.replace("[schedule]\n", "[schedule]\nzone = \"UTC\"\n");
    let apply = |bundle: &v1::FlowBundle, change| v1::ApplyFlowRequest { bundle: Some(bundle.clone()), change };
    let look = Some(v1::Change { dry_run: true, ..v1::Change::default() });
    let planned = engineer.flows().apply_flow(apply(&changed, look)).await.expect("planned").into_inner();
    assert_eq!(planned.differences.len(), 3, "{:?}", planned.differences);
    assert_eq!(flow(&engineer).await.flow.expect("a flow").version, shown.version);
    let applied = engineer.flows().apply_flow(apply(&changed, change("shorter title"))).await.expect("applied");
    let version = applied.into_inner().flow.expect("a flow").version;
    assert_ne!(version, shown.version);
    let now = until("the desk shows the version", async || {
        let now = flow(&engineer).await.flow.expect("a flow");
        if now.version == version { Ok(now) } else { Err(format!("{now:?}")) }
    });
    let now = now.await;
    assert_eq!((now.title.as_str(), now.versions.len(), now.zone.as_str()), ("其他入库单", 2, "UTC"));
    // The extractor runs it without a restart, although its folder holds the other one.
    const VERSION: &str = "starbridge_config_info";
    until_sample(&mut road, VERSION, &[&version], |value| value == 1.0).await;
    let mut broken = bundle;
    broken.flow = broken.flow.replace("[target]", "[targt]");
    let refused = engineer.flows().apply_flow(apply(&broken, change("a slip"))).await.expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let back = v1::RollbackFlowRequest { name: name(), version: shown.version.clone(), change: change("as it was") };
    let back = engineer.flows().rollback_flow(back).await.expect("rolled back").into_inner().flow.expect("a flow");
    assert_eq!(back.version, shown.version);
    until_sample(&mut road, VERSION, &[&shown.version], |value| value == 1.0).await;

    // A flow that nothing is left of can be deleted; it stops, its versions stay, and one of them brings it back.
    road.until("every order is applied", super::PATIENCE, |applied, _| applied == 50).await.expect("applied");
    let delete = |change| v1::DeleteFlowRequest { name: name(), force: false, change };
    let look = Some(v1::Change { dry_run: true, ..v1::Change::default() });
    let idle = until("nothing is left", async || {
        engineer.flows().delete_flow(delete(look.clone())).await.map_err(|status| format!("{status:?}"))
    });
    assert_eq!(idle.await.get_ref().under_way, 0);
    engineer.flows().delete_flow(delete(change("no longer needed"))).await.expect("deleted");
    until_sample(&mut road, VERSION, &[], |value| value == 0.0).await;
    assert!(
        engineer.flows().list_flows(v1::ListFlowsRequest::default()).await.expect("listed").get_ref().flows.is_empty()
    );
    let gone = flow(&engineer).await.flow.expect("a flow");
    assert_eq!((gone.deleted_note.as_str(), gone.versions.len()), ("sun: no longer needed", 2));
    let run = v1::RunFlowRequest { name: name(), kind: 0, change: change("now"), window: None };
    assert_eq!(engineer.flows().run_flow(run).await.expect_err("gone").code(), Code::NotFound);
    let back = v1::RollbackFlowRequest { name: name(), version: shown.version.clone(), change: change("needed again") };
    engineer.flows().rollback_flow(back).await.expect("there again");
    until_sample(&mut road, VERSION, &[&shown.version], |value| value == 1.0).await;

    let ended = road.finish(super::PATIENCE).await.expect("drained");
    assert!(ended.report.is_clean(), "{:#?}", ended.report);
    assert_eq!(ended.target_calls("BatchSave"), saves);
}
