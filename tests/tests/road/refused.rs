//! A secret that is changed at a Galaxy before its services know.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::road::{Road, RoadPlan};
use serde_json::{Value, json};

use super::{PATIENCE, SHORT, clean, old};

/// Logins that a simulated Galaxy refused, as it noted them.
fn refused(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).expect("a log");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line"));
    lines.filter(|line| line["result"] == "login refused").count()
}

/// Lines in which a loader calls for somebody because it is not let in.
fn alerts(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).expect("a log");
    text.lines().filter(|line| line.contains("someone must look") && line.contains("E_AUTH_FAILED")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_login_alerts_once_and_goes_on_when_the_file_has_the_new_secret() {
    let connection = "login = \"app_secret\"\n";
    let plan =
        RoadPlan { orders: 200, documents: Some(5), source: old(), loader: SHORT, connection, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 200, "count": 0})).await.expect("a known fault");
    road.start_stages().await.expect("started");
    road.until("some arrive", PATIENCE, |applied, _| applied >= 30).await.expect("some arrived");
    let loader = road.of("loader").remove(0).process().log().to_owned();

    road.target.change_secret("6c1f0e9d8b7a49583726150433221100").await.expect("changed");
    let begin = Instant::now();
    while alerts(&loader) == 0 {
        assert!(begin.elapsed() < PATIENCE, "nobody is called");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let metrics = road.of("loader").remove(0).metrics().await.expect("metrics");
    assert!((metrics.sum("starbridge_breaker_state", &[]) - 2.0).abs() < 0.1, "the breaker is open");

    // The file is looked at before each try, and there is no last one: several pass before it holds the new secret.
    tokio::time::sleep(Duration::from_secs(3)).await;
    road.target.tell_secret().expect("written");
    let ended = clean(&mut road).await;
    assert!(ended.letters.values().all(|letter| letter.code != "E_AUTH_FAILED"), "{:#?}", ended.letters);
    let tries = refused(&road.target.request_log());
    assert!((1..=3).contains(&tries), "{tries} refused logins");
    assert_eq!(alerts(&loader), 1);
}
