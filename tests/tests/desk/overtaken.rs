//! A letter of an earlier version, replayed after a later version was applied, changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::mend;
use e2e::road::{Road, RoadPlan};
use starbridge_proto::v1;

use super::client::{People, change};
use super::replay::{until_listed, until_over};
use super::{PATIENCE, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_version_replayed_after_the_second_was_applied_ends_superseded() {
    let mut road = Road::lay(RoadPlan { controls: 1, ..RoadPlan::default() }).await.expect("laid");
    // As published the flow takes the first content of a bill and no other.
    let source = road.flow_folder().join("source.json");
    let text = std::fs::read_to_string(&source).expect("the source document");
    assert!(text.contains("\"idCheck\": true"), "{text}");
    std::fs::write(&source, text.replace("\"idCheck\": true", "\"idCheck\": false")).expect("written");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, letters| applied + letters >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    let unknown = road.expectation.parked.values().filter(|category| **category == "reference_missing").count();
    let letters = until_listed(&operator, "category = reference_missing", unknown).await;
    let first = &letters[0];

    // The material is created, and the bill is corrected where it came from: its second version goes through.
    road.mend_target().await.expect("mended");
    let (before, _) = road.ended_now().await.expect("counted");
    mend::redate(&road.source, &first.target_key, "2014-01-02").await.expect("corrected");
    let run = v1::RunFlowRequest {
        name: "misc-inbound".to_owned(),
        kind: v1::RunKind::Scan.into(),
        change: change("a bill was corrected"),
        window: None,
    };
    operator.flows().run_flow(run).await.expect("asked");
    road.until("the second version is applied", PATIENCE, |applied, _| applied > before).await.expect("applied");
    let saves = road.compare().await.expect("compared").target_calls("BatchSave");

    let selection = Some(v1::Selection { ids: vec![first.id.clone()], selector: String::new() });
    let plan = until("the plan tells that it was overtaken", async || {
        let asked = v1::StartReplayRequest {
            selection: selection.clone(),
            options: None,
            change: Some(v1::Change { dry_run: true, ..v1::Change::default() }),
        };
        let plan = operator.replays().start_replay(asked).await.expect("planned").into_inner().plan.expect("a plan");
        if plan.overtaken > 0 { Ok(plan) } else { Err(format!("{plan:?}")) }
    });
    let plan = plan.await;
    assert_eq!((plan.letters, plan.overtaken), (1, 1), "{plan:?}");
    let asked = v1::StartReplayRequest { selection, options: None, change: change("the first version, late") };
    let job = operator.replays().start_replay(asked).await.expect("started").into_inner().replay.expect("a job");
    let job = until_over(&operator, &job.id).await;
    assert_eq!((job.total, job.superseded, job.resolved, job.failed), (1, 1, 0, 0), "{job:?}");
    let ended = until_listed(&operator, "state = superseded", 1).await;
    assert_eq!(ended[0].id, first.id);

    for stage in road.stages.iter_mut().rev() {
        stage.process().stop(Duration::from_secs(60)).expect("drained");
    }
    // Nothing was saved for it, and the bill in the target is the second version: of all it differs in its date alone.
    let ended = road.compare_with(BTreeMap::new()).await.expect("compared");
    assert_eq!(ended.target_calls("BatchSave"), saves);
    let different = &ended.report.different;
    assert!(different.len() == 1 && different[0].contains(&first.target_key), "{different:?}");
    assert!(different[0].contains("2014-01-02") && ended.report.duplicate.is_empty(), "{:#?}", ended.report);
}
