//! Small runs, judged by the history checker: one in which much goes wrong and all holds, one in which an assumption does
//! not hold. The first one's history is what the checker's own tests corrupt:
//! `STARBRIDGE_WRITE=1 cargo test -p e2e --test road judged` records it anew.

use std::collections::BTreeSet;

use e2e::history::{self, Known};
use e2e::road::{Road, RoadPlan};
use e2e::servers::workspace;
use serde_json::json;

use super::{PATIENCE, SHORT, holds, old};

async fn lay(orders: usize) -> Road {
    // Without unique numbers nothing but the loader stands between a document and its copy.
    let target = vec![("--unique-numbers", "off".to_owned())];
    let plan = RoadPlan {
        orders,
        documents: Some(4),
        planted: false,
        source: old(),
        target,
        loader: SHORT,
        ..RoadPlan::default()
    };
    Road::lay(plan).await.expect("laid")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_leaves_behind_is_judged() {
    let mut road = lay(40).await;
    let poisoned = road.expectation.source.keys().nth(7).expect("an order").clone();
    for fault in [
        json!({"kind": "latency", "call": "BatchSave", "ms": 200, "count": 0}),
        json!({"kind": "cut_before", "call": "BatchSave", "nth": 2}),
        json!({"kind": "cut_after", "call": "BatchSave", "nth": 3}),
        json!({"kind": "status", "call": "BatchSave", "status": 502, "nth": 5}),
        json!({"kind": "refuse_save", "call": "BatchSave", "numbers": [poisoned], "count": 0}),
    ] {
        road.fault(fault).await.expect("a known fault");
    }
    road.expectation.target.remove(&poisoned);
    road.expectation.parked.insert(poisoned, "validation");
    road.start_stages().await.expect("started");
    road.until("some arrive", PATIENCE, |applied, _| applied >= 8).await.expect("some arrived");
    let redis = vec![history::now()];
    road.redis.command("FLUSHALL").expect("flushed");
    for stage in road.of("loader") {
        stage.kill().expect("killed");
        stage.begin().expect("started again");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "whether a run is recorded is said by the environment, as in the other crates"
    )]
    let write = std::env::var_os("STARBRIDGE_WRITE").is_some();
    let keep = write.then(|| workspace().join("tests/history/tests/data/run.json"));
    holds(&mut road, Known { redis, keep, ..Known::default() }, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_later_than_a_save_may_be_is_named() {
    let mut road = lay(20).await;
    // By `SHORT` a save is over after 2.5 s; what nobody found by then is sent again.
    road.fault(json!({"kind": "late", "call": "BatchSave", "nth": 1, "ms": 10_000, "how": "rst"}))
        .await
        .expect("known");
    road.start_stages().await.expect("started");
    road.until("copies arrive", PATIENCE, |applied, _| applied > 20).await.expect("copied");
    road.settle(PATIENCE).await.expect("every end is known");
    road.finish(PATIENCE).await.expect("the road comes to its end");
    let verdict = history::check(&road, Known { settle: 2_000, ..Known::default() }).await.expect("read");
    let named: BTreeSet<&str> = verdict.violations.iter().map(|violation| violation.invariant.as_str()).collect();
    assert_eq!(named, BTreeSet::from(["I11", "I6", "I7"]), "{:#?}", verdict.violations);
}
