//! A letter goes on from where it failed or is mapped anew, and goes on also when the topics have forgotten its record.

use std::collections::BTreeMap;
use std::time::Duration;

use e2e::road::{Road, RoadPlan};
use queue::{Admin, Cluster, Next};
use starbridge_proto::v1;

use super::client::{Caller, change};
use super::replay::{open, published, until_listed, until_over};

async fn replayed(operator: &Caller, letter: &v1::DeadLetter, from_stage: &str) -> v1::Replay {
    let options = v1::ReplayOptions { from_stage: from_stage.to_owned(), ..v1::ReplayOptions::default() };
    let asked = v1::StartReplayRequest {
        selection: Some(v1::Selection { ids: vec![letter.id.clone()], selector: String::new() }),
        options: Some(options),
        change: change("the material was created"),
    };
    let job = operator.replays().start_replay(asked).await.expect("started").into_inner().replay.expect("a job");
    until_over(operator, &job.id).await
}

/// Takes away what the stages have read of the flow's topics, as retention would.
async fn forget_records(road: &Road) {
    let admin = Admin::connect(&Cluster::plaintext(road.kafka.brokers())).expect("admin");
    for (group, kind) in [("starbridge.transformer", "extracted"), ("starbridge.loader", "mapped")] {
        let topic = format!("starbridge.misc-inbound.{kind}");
        let read = admin.lag(group, std::slice::from_ref(&topic)).await.expect("asked");
        let read: Vec<Next> = read
            .iter()
            .filter_map(|lag| Some(Next::at(&topic, lag.topic_partition.partition, lag.committed?)))
            .collect();
        assert!(!read.is_empty(), "{group} has read nothing");
        admin.delete_records(&read).await.expect("deleted");
    }
    assert_eq!(published(road).await, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_mapped_anew_and_one_whose_record_has_expired_goes_on_all_the_same() {
    let (mut road, people) = open(RoadPlan { orders: 1_500, controls: 1, ..RoadPlan::default() }).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    let count = road.expectation.parked.len();
    assert!(count >= 3, "{count} parked");
    let letters = until_listed(&operator, "state = open", count).await;
    road.mend_target().await.expect("mended");

    // Through the transformer again: what the loader gets is a record of the replay that nobody but the transformer wrote.
    let anew = replayed(&operator, &letters[0], "transform").await;
    assert_eq!((anew.total, anew.resolved, anew.failed), (1, 1, 0), "{anew:?}");
    assert_eq!(published(&road).await, BTreeMap::from([(letters[0].target_key.clone(), 1)]));

    forget_records(&road).await;
    // The bill it was mapped from is gone, and nothing is guessed; what the letter holds goes on.
    let late = replayed(&operator, &letters[1], "transform").await;
    assert_eq!((late.total, late.published, late.skipped), (1, 0, 1), "{late:?}");
    let asked = v1::ListReplayItemsRequest { id: late.id.clone(), ..v1::ListReplayItemsRequest::default() };
    let items = operator.replays().list_replay_items(asked).await.expect("a list").into_inner().items;
    assert!(items[0].why.contains("has expired; fetch it from its source"), "{items:?}");
    let on = replayed(&operator, &letters[1], "").await;
    assert_eq!((on.total, on.resolved, on.failed), (1, 1, 0), "{on:?}");
    assert_eq!(published(&road).await, BTreeMap::from([(letters[1].target_key.clone(), 1)]));
    let rest = v1::StartReplayRequest {
        selection: super::replay::by_selector("state = open"),
        options: None,
        change: change("the others"),
    };
    let rest = operator.replays().start_replay(rest).await.expect("started").into_inner().replay.expect("a job");
    let rest = until_over(&operator, &rest.id).await;
    assert_eq!((rest.resolved, rest.failed), (count as i64 - 2, 0), "{rest:?}");

    for stage in road.stages.iter_mut().rev() {
        stage.process().stop(Duration::from_secs(60)).expect("drained");
    }
    let ended = road.compare_with(BTreeMap::new()).await.expect("compared");
    assert!(ended.report.is_clean(), "{:#?}", ended.report);
}
