//! The call limit is used and never exceeded.

use e2e::road::{Road, RoadPlan};

use super::clean;

/// One document a call, so that calls are what is scarce; the shipped limit, enforced by the target.
async fn share_of_calls(replicas: u32) -> f64 {
    let plan = RoadPlan {
        orders: 110,
        documents: Some(1),
        planted: false,
        calls_per_minute: 100,
        enforce_limit: true,
        replicas,
        ..RoadPlan::default()
    };
    let mut road = Road::lay(plan).await.expect("laid");
    let log = road.target.request_log();
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order ends", std::time::Duration::from_secs(180), |applied, _| applied >= orders)
        .await
        .expect("ended");
    let text = std::fs::read_to_string(log).expect("the request log");
    let share = e2e::demo::share_used(&text, 100).expect("readable");
    let ended = clean(&mut road).await;
    assert_eq!(ended.target["refused"], 0, "{}", ended.target);
    share
}

/// Both at once, on roads of their own: each takes more than a minute of waiting.
#[tokio::test(flavor = "multi_thread")]
async fn one_loader_and_three_use_the_limit_and_never_exceed_it() {
    let (one, three) = tokio::join!(share_of_calls(1), share_of_calls(3));
    // Of 100 calls one process is granted 86 in a minute that begins without its burst, three together 71.
    assert!(one >= 0.8, "one loader: {one}");
    assert!(three >= 0.65, "three loaders: {three}");
}
