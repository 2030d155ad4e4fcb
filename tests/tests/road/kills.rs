//! Processes and servers die in the middle.

use std::time::Duration;

use e2e::history::{self, Known};
use e2e::road::{Road, RoadPlan};
use serde_json::json;

use super::{PATIENCE, SHORT, holds, old};

fn plan() -> RoadPlan {
    let target = vec![("--unique-numbers", "off".to_owned())];
    RoadPlan {
        orders: 300,
        documents: Some(10),
        planted: false,
        source: old(),
        target,
        loader: SHORT,
        ..RoadPlan::default()
    }
}

/// Kills every replica of `service` once some bills have arrived, and starts it again.
async fn kill_in_the_middle(service: &str) {
    let mut road = Road::lay(plan()).await.expect("laid");
    // Slow enough that the kill meets work in flight.
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 150, "count": 0})).await.expect("a known fault");
    road.source
        .admin("/faults", Some(&json!({"kind": "latency", "call": "ExecuteBillQuery", "ms": 300, "count": 0})))
        .await
        .expect("a known fault");
    road.start_stages().await.expect("started");
    road.until("some arrive", PATIENCE, |applied, _| applied >= 40).await.expect("some arrived");
    for stage in road.of(service) {
        stage.kill().expect("killed");
        stage.begin().expect("started again");
    }
    holds(&mut road, Known::default(), &["I12"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_extractor_loses_and_repeats_nothing() {
    kill_in_the_middle("extractor").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_transformer_loses_and_repeats_nothing() {
    kill_in_the_middle("transformer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_loader_loses_and_repeats_nothing() {
    kill_in_the_middle("loader").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_flushed_and_gone_changes_nothing() {
    let mut road = Road::lay(plan()).await.expect("laid");
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 100, "count": 0})).await.expect("a known fault");
    road.start_stages().await.expect("started");
    road.until("some arrive", PATIENCE, |applied, _| applied >= 40).await.expect("some arrived");
    let mut hurt = vec![history::now()];
    road.redis.command("FLUSHALL").expect("flushed");
    road.until("more arrive", PATIENCE, |applied, _| applied >= 120).await.expect("more arrived");
    hurt.push(history::now());
    road.redis.kill().expect("killed");
    tokio::time::sleep(Duration::from_secs(2)).await;
    road.redis.restart().expect("restarted");
    holds(&mut road, Known { redis: hurt, ..Known::default() }, &[]).await;
}
