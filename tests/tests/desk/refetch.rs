//! A letter whose bill was corrected in the source is not replayed but fetched again.

use e2e::mend;
use e2e::road::{Road, RoadPlan};
use starbridge_proto::v1;

use super::PATIENCE;
use super::client::{People, change};
use super::replay::{until_listed, until_over};

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_bill_is_fetched_again_and_its_letter_is_history() {
    // As published: the flow takes the first content of a bill that it loaded, and this one was never loaded.
    let mut road = Road::open(RoadPlan { controls: 1, ..RoadPlan::default() }).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, letters| applied + letters >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    let parked = |category: &str| road.expectation.parked.values().filter(|known| **known == category).count();
    let letters = until_listed(&operator, "category = reference_missing", parked("reference_missing")).await;
    let others = until_listed(&operator, "category = duplicate", parked("duplicate")).await;
    let (corrected, gone) = (&letters[0], &others[0]);

    road.mend_target().await.expect("mended");
    let (before, _) = road.ended_now().await.expect("counted");
    mend::redate(&road.source, &corrected.target_key, "2014-01-02").await.expect("corrected");
    road.source.remove("STK_MISCELLANEOUS", &gone.target_key).await.expect("removed");
    let ids = vec![corrected.id.clone(), gone.id.clone()];
    let asked = |dry_run: bool| v1::RefetchDeadLettersRequest {
        selection: Some(v1::Selection { ids: ids.clone(), selector: String::new() }),
        change: change("corrected in the source").map(|change| v1::Change { dry_run, ..change }),
    };
    let look = operator.letters().refetch_dead_letters(asked(true)).await.expect("told").into_inner();
    let outcome = look.outcome.expect("an outcome");
    assert_eq!((outcome.changed, outcome.first_ids.as_slice()), (1, [corrected.id.clone()].as_slice()));
    assert_eq!((outcome.refused.len(), outcome.refused[0].code.as_str()), (1, "E_SOURCE_RETRACTED"));
    assert_eq!(road.ended_now().await.expect("counted").0, before, "a dry run changes nothing");

    operator.letters().refetch_dead_letters(asked(false)).await.expect("asked");
    road.until("the corrected bill is applied", PATIENCE, |applied, _| applied > before).await.expect("applied");
    // The letter is history now: a replay of it changes nothing and says so.
    let selection = Some(v1::Selection { ids: vec![corrected.id.clone()], selector: String::new() });
    let replay = v1::StartReplayRequest { selection, options: None, change: change("fetched again") };
    let job = operator.replays().start_replay(replay).await.expect("started").into_inner().replay.expect("a job");
    let job = until_over(&operator, &job.id).await;
    assert_eq!((job.superseded, job.resolved, job.failed), (1, 0, 0), "{job:?}");
    let ended = until_listed(&operator, "state = superseded", 1).await;
    assert_eq!(ended[0].id, corrected.id);
    let held = road.target.admin(&format!("/dump?form=STK_MISCELLANEOUS&number={}", corrected.target_key), None).await;
    assert!(held.expect("dumped")[0]["FDate"].as_str().is_some_and(|date| date.starts_with("2014-01-02")));
}
