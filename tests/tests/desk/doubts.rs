//! Documents of which nobody knows whether the target has them: a person says so, and the next report checks the word.

use e2e::road::{Road, RoadPlan};
use serde_json::{Value, json};
use starbridge_proto::v1;

use super::client::{Caller, People, change};
use super::reconcile::settled;
use super::{PATIENCE, until};

const FORM: &str = "STK_MISCELLANEOUS";

/// Waits until so many documents are in doubt.
async fn until_in_doubt(operator: &Caller, count: usize) -> Vec<v1::DeadLetter> {
    let doubts = until("documents in doubt", async || {
        let asked = v1::ListDoubtsRequest::default();
        let letters = operator.doubts().list_doubts(asked).await.expect("a list").into_inner().dead_letters;
        if letters.len() == count { Ok(letters) } else { Err(format!("{count} expected: {letters:#?}")) }
    });
    doubts.await
}

/// The id of a document in the target.
async fn id(road: &Road, number: &str) -> String {
    let held = road.target.admin(&format!("/dump?form={FORM}&number={number}"), None).await.expect("dumped");
    match &held[0]["FID"] {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    }
}

async fn resolve(operator: &Caller, letter: &v1::DeadLetter, verdict: v1::Verdict, target_id: &str) {
    let asked = v1::ResolveDoubtRequest {
        id: letter.id.clone(),
        verdict: verdict.into(),
        target_id: target_id.to_owned(),
        change: change("looked it up"),
    };
    operator.doubts().resolve_doubt(asked).await.expect("resolved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_that_does_not_hold_is_named_by_the_next_report() {
    // Batches are full, or the second one would not be of five.
    let loader = "[save]\nlinger = \"30s\"\nsend_deadline = \"2s\"\nnet = \"500ms\"\nexec_max = \"2s\"\n\
                  [retry]\nwaits = [\"200ms\", \"200ms\", \"200ms\", \"200ms\", \"200ms\"]\n\
                  [breaker]\nwait = \"500ms\"\nwait_max = \"1s\"\n";
    let plan = RoadPlan { orders: 20, documents: Some(5), planted: false, loader, controls: 1, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    // Five are saved and nobody hears of it, and then the target refuses to be asked.
    road.fault(json!({"kind": "cut_after", "call": "BatchSave", "nth": 2, "count": 1})).await.expect("a known fault");
    let refusal =
        json!({"kind": "error", "code": 8, "message": "no such query", "call": "ExecuteBillQuery", "count": 0});
    road.fault(refusal).await.expect("a known fault");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order is saved", PATIENCE, |held, _| held >= orders).await.expect("saved");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "li", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    let letters = until_in_doubt(&operator, 5).await;
    road.target.end_faults().await.expect("ended");

    let key = |letter: &v1::DeadLetter| letter.target_key.clone();
    let (right, wrong, absent, gone) = (&letters[0], &letters[1], &letters[2], &letters[3]);
    let gone_id = id(&road, &key(gone)).await;
    road.target.remove(FORM, &key(gone)).await.expect("removed");
    resolve(&operator, right, v1::Verdict::Applied, &id(&road, &key(right)).await).await;
    resolve(&operator, wrong, v1::Verdict::Applied, "999999").await;
    // The loader looks before it believes that, and finds it.
    resolve(&operator, absent, v1::Verdict::Absent, "").await;
    resolve(&operator, gone, v1::Verdict::Applied, &gone_id).await;
    resolve(&operator, &letters[4], v1::Verdict::Absent, "").await;
    until_in_doubt(&operator, 0).await;

    let report = settled(&operator, orders, 0.0).await;
    let mut named: Vec<(&str, &str)> =
        report.findings.iter().map(|finding| (finding.kind.as_str(), finding.target_key.as_str())).collect();
    named.sort_unstable();
    let (wrong, gone) = (key(wrong), key(gone));
    let mut expected = vec![("wrong_verdict", wrong.as_str()), ("wrong_verdict", gone.as_str())];
    expected.sort_unstable();
    assert_eq!(named, expected, "{report:#?}");
    let words: Vec<&str> = report.findings.iter().map(|finding| finding.detail.as_str()).collect();
    assert!(words.iter().all(|words| words.starts_with("li said: applied as ")), "{words:?}");
    let count = i64::try_from(orders).expect("few");
    assert_eq!((report.source, report.in_doubt, report.applied), (count, 0, count - 2), "{report:#?}");
}
