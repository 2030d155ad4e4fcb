//! A part of the past is read window after window: paused, resumed, through the death of the replica that asked for it, and
//! every bill of it once.

use e2e::mend::model;
use e2e::road::{Road, RoadPlan};
use serde_json::json;
use starbridge_proto::v1;
use starbridge_proto::v1::BackfillStatus as Status;

use super::PATIENCE;
use super::client::{Caller, People, change};

const FORM: &str = "STK_MISCELLANEOUS";
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

/// Begins a backfill of windows of a year from 2010 on.
async fn begin(operator: &Caller, rate: i32) -> v1::Backfill {
    let asked = v1::StartBackfillRequest {
        flow: "misc-inbound".to_owned(),
        from: at(1_262_304_000),
        chunk_seconds: 365 * DAY,
        rate_per_minute: rate,
        change: change("entered late"),
        ..v1::StartBackfillRequest::default()
    };
    let begun = operator.backfills().start_backfill(asked).await.expect("begun").into_inner();
    begun.backfill.expect("a backfill")
}

/// Watches a backfill until it looks so.
async fn until(operator: &Caller, id: &str, looks: impl Fn(&v1::Backfill) -> bool) -> v1::Backfill {
    let watched = v1::WatchBackfillRequest { id: id.to_owned() };
    let mut stream = operator.backfills().watch_backfill(watched).await.expect("watched").into_inner();
    let wait = async {
        while let Some(next) = stream.message().await.expect("the stream goes to its end") {
            let backfill = next.backfill.expect("a backfill");
            if looks(&backfill) {
                return backfill;
            }
        }
        panic!("it is over and never looked so");
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_entered_long_ago_is_read_once_whoever_writes() {
    let plan = RoadPlan { orders: 40, planted: false, controls: 2, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("opened");
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    let people = People::begin(&road).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;

    // Far behind the watermark and the lookback: no scan will ever see them.
    let bill = road.expectation.source.values().next().expect("one").clone();
    let late: Vec<_> = (0..6)
        .map(|number| {
            let mut bill = model(&format!("late-{number}"), &bill);
            bill["FApproveDate"] = json!(format!("201{number}-06-01 10:00:00"));
            bill
        })
        .collect();
    road.source.admin_port().plant(FORM, late).await.expect("planted");

    // At twenty documents a minute there is time to let it rest, and for the writer to die.
    let begun = begin(&operator, 20).await;
    assert_eq!((begun.status(), begun.chunks_read, begun.emitted), (Status::Running, 0, 0));
    let id = begun.id.as_str();
    until(&operator, id, |backfill| backfill.emitted >= 1).await;
    let pause = v1::PauseBackfillRequest { id: id.to_owned(), change: change("stock-taking") };
    let paused = operator.backfills().pause_backfill(pause).await.expect("paused").into_inner().backfill;
    assert_eq!(paused.map(|backfill| backfill.status()), Some(Status::Paused));
    let resting = until(&operator, id, |backfill| backfill.status() == Status::Paused).await;
    assert_eq!(resting.waits_for, "a person resumes it");

    let (_, address) = people.writer(&road).await;
    let dead = (0..2).find(|ordinal| road.desk_address(*ordinal).ok().as_deref() == Some(address.as_str()));
    road.of("control")[dead.expect("one of two") as usize].kill().expect("killed");
    let operator = people.at_writer(&road, &token).await;
    let still = until(&operator, id, |_| true).await;
    assert_eq!(still.status(), Status::Paused);
    assert!((1..6).contains(&still.emitted), "{still:?}");
    let resume = v1::ResumeBackfillRequest { id: id.to_owned(), change: change("counted") };
    operator.backfills().resume_backfill(resume).await.expect("resumed");
    let done = until(&operator, id, |backfill| backfill.status() == Status::Done).await;
    assert_eq!((done.emitted, done.letters, done.chunks_read), (6, 0, done.chunks), "{done:?}");
    assert_eq!((usize::try_from(done.unchanged).expect("few"), done.chunks > 6), (orders, true), "{done:?}");
    assert!(done.ended_at.is_some() && done.fault.is_empty(), "{done:?}");
    road.until("they are applied", PATIENCE, |applied, _| applied >= orders + 6).await.expect("applied");

    // Once more everything is as it was.
    let second = begin(&operator, 0).await;
    let second = until(&operator, &second.id, |backfill| backfill.status() == Status::Done).await;
    assert_eq!((second.emitted, usize::try_from(second.unchanged).expect("few")), (0, orders + 6), "{second:?}");
    let cancel = v1::CancelBackfillRequest { id: second.id.clone(), change: change("too late") };
    let refused = operator.backfills().cancel_backfill(cancel).await.expect_err("over");
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
    let listed = v1::ListBackfillsRequest { flow: "misc-inbound".to_owned(), ..Default::default() };
    let listed = operator.backfills().list_backfills(listed).await.expect("listed").into_inner().backfills;
    let ids: Vec<&str> = listed.iter().map(|backfill| backfill.id.as_str()).collect();
    assert_eq!(ids, [second.id.as_str(), id]);
    let short = v1::StartBackfillRequest {
        flow: "misc-inbound".to_owned(),
        from: at(1_262_304_000),
        chunk_seconds: 60,
        change: change("too fine"),
        ..v1::StartBackfillRequest::default()
    };
    let refused = operator.backfills().start_backfill(short).await.expect_err("refused");
    assert!(refused.code() == tonic::Code::InvalidArgument && refused.message().contains("chunk_seconds"), "{refused}");
}
