//! Many flows in one set of services.

use std::time::{Duration, Instant};

use e2e::road::{Road, RoadPlan};

const SERVICES: [&str; 3] = ["extractor", "transformer", "loader"];

/// New flows are taken up sooner than as shipped.
const SOON: &str = "[flows]\nsubscribe_every = \"5s\"\n";

/// Waits until every service works for `flows` flows.
async fn taken_up(road: &mut Road, flows: usize) {
    // Each service shows one sample a flow of what it does for all that are its own.
    let shown = [
        ("extractor", "starbridge_last_success_timestamp_seconds"),
        ("transformer", "starbridge_consumer_lag_records"),
        ("loader", "starbridge_consumer_lag_records"),
    ];
    let begin = Instant::now();
    for (service, metric) in shown {
        loop {
            let count = match road.of(service)[0].metrics().await {
                Ok(metrics) => metrics.count(metric),
                Err(_) => 0,
            };
            if count == flows {
                break;
            }
            assert!(begin.elapsed() < super::PATIENCE, "{service} works for {count} flows of {flows}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Resident bytes of every service, once they no longer move.
async fn settled(road: &mut Road) -> [u64; 3] {
    let mut before = [0; 3];
    let begin = Instant::now();
    loop {
        let now = SERVICES
            .map(|service| road.of(service)[0].process().memory("smaps_rollup", "Rss").expect("the service runs"));
        if now.iter().zip(before).all(|(now, before)| now.abs_diff(before) <= before / 100) {
            return now;
        }
        assert!(begin.elapsed() < super::PATIENCE, "memory goes on moving: {before:?}, {now:?}");
        before = now;
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_flows_most_of_them_idle_cost_little_more_memory_than_six() {
    let plan = RoadPlan { planted: false, transformer: SOON, loader: SOON, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    road.add_idle_flows(1..6).expect("added");
    road.start_stages().await.expect("started");
    let orders = road.expectation.source.len();
    road.until("every order ends", super::PATIENCE, |applied, _| applied >= orders).await.expect("ended");
    taken_up(&mut road, 6).await;
    let six = settled(&mut road).await;

    road.add_idle_flows(6..60).expect("added");
    taken_up(&mut road, 60).await;
    let sixty = settled(&mut road).await;
    super::clean(&mut road).await;
    let sum = |memory: [u64; 3]| memory.iter().sum::<u64>();
    assert!(sum(sixty) * 10 <= sum(six) * 12, "{SERVICES:?}: {six:?} bytes for 6 flows, {sixty:?} for 60");
    // The extractor holds every flow compiled; the others look up what their records name.
    for (service, (six, sixty)) in SERVICES.iter().zip(six.into_iter().zip(sixty)) {
        assert!(sixty * 10 <= six * 13, "{service}: {six} bytes for 6 flows, {sixty} for 60");
    }
}
