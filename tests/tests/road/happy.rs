//! Nothing goes wrong, except what is planted.

use std::time::{Duration, Instant};

use e2e::road::{Road, RoadPlan};

use super::clean;

#[tokio::test(flavor = "multi_thread")]
async fn orders_arrive_once_and_failures_are_parked() {
    // Batches wait for company until they are full, however slowly it comes.
    let plan = RoadPlan { loader: "[save]\nlinger = \"3s\"\n", ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("laid");
    let ended = clean(&mut road).await;
    assert_eq!(ended.report.source, 200);
    assert!(ended.report.parked >= 2, "{:?}", ended.report);
    // 50 documents a call over six partitions: far fewer calls than documents.
    assert!(ended.target_calls("BatchSave") <= 16, "{}", ended.target);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_saves_nothing_and_asks_little() {
    let two_hours_ago = chrono::Utc::now() - chrono::Duration::hours(2);
    let approved = two_hours_ago.format("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    let plan = RoadPlan {
        orders: usize::MAX,
        planted: false,
        documents: Some(500),
        source: vec![("--approved-at", approved)],
        ..RoadPlan::default()
    };
    let mut road = Road::open(plan).await.expect("laid");
    let first = clean(&mut road).await;
    assert_eq!((first.report.source, first.report.applied), (5_009, 5_009));

    let started = chrono::Utc::now().timestamp();
    for stage in &mut road.stages {
        stage.begin().expect("started again");
    }
    for stage in &mut road.stages {
        stage.ready(Duration::from_secs(60)).await.expect("ready");
    }
    // The scan that every extractor makes at its start has ended when its success is newer than the start. Until then it
    // shows the success of the first one.
    let begin = Instant::now();
    loop {
        let metrics = road.of("extractor")[0].metrics().await.expect("scraped");
        let success = metrics.sum("starbridge_last_success_timestamp_seconds", &[]);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        if success >= started as f64 {
            break;
        }
        assert!(begin.elapsed() < super::PATIENCE, "the second scan did not end: {success}, started at {started}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let second = road.compare().await.expect("compared");
    assert!(second.report.is_clean(), "{:#?}", second.report);
    assert_eq!(second.target_calls("BatchSave"), first.target_calls("BatchSave"));
    // Reading the first comparison took calls of its own: log-in and pages of 2,000 rows.
    let comparison = 9_994_u64.div_ceil(2_000) + 1;
    let queries = second.source_calls("ExecuteBillQuery") - first.source_calls("ExecuteBillQuery") - comparison;
    assert!(queries <= 4, "{queries} queries for nothing new");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verbatim_documents_alone_make_one_call_per_bill() {
    // The published documents name neither material nor stock; the target must not ask for them.
    let target = vec![("--required-fields", "off".to_owned())];
    let plan = RoadPlan { flow: "misc-inbound-verbatim", orders: 30, planted: false, target, ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("laid");
    road.until("every bill ends", super::PATIENCE, |applied, letters| applied + letters >= 30).await.expect("ended");
    let stats = road.target.admin("/stats", None).await.expect("counts");
    assert_eq!(road.letters().await.expect("letters").len(), 0);
    assert_eq!(stats["documents"]["STK_MISCELLANEOUS"], 30, "{stats}");
    assert_eq!(stats["by_method"]["BatchSave"]["calls"], 30, "{stats}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_each_service_share_the_work() {
    let plan = RoadPlan { replicas: 2, orders: 400, documents: Some(20), ..RoadPlan::default() };
    let mut road = Road::open(plan).await.expect("laid");
    let ended = clean(&mut road).await;
    assert_eq!(ended.report.source, 400);
}
