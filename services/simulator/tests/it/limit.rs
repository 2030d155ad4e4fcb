//! The call limit, over the wire.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Galaxy, refusal};

async fn calls(galaxy: &Galaxy, count: usize) -> Vec<u64> {
    let mut codes = Vec::new();
    for _ in 0..count {
        let reply = galaxy.query(json!({ "FormId": "BD_UNIT", "FieldKeys": "FNumber" })).await;
        codes.push(if reply[0][0].is_object() { refusal(&reply).0 } else { 0 });
    }
    codes
}

#[tokio::test]
async fn the_call_beyond_the_limit_is_refused_until_the_window_has_slid() {
    // The login is a call as well. Every pause leaves seconds to spare for a machine that is busy.
    let galaxy = Galaxy::start(&["--calls-per-minute", "5", "--call-window-ms", "6000"]).await;
    assert_eq!(calls(&galaxy, 3).await, [0, 0, 0]);
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    assert_eq!(calls(&galaxy, 3).await, [0, 14, 14]);
    tokio::time::sleep(Duration::from_millis(2_900)).await;
    // The first four have left the window, the fifth has not.
    assert_eq!(calls(&galaxy, 5).await, [0, 0, 0, 0, 14]);

    let stats = galaxy.ask("/stats").await;
    assert_eq!((&stats["calls"], &stats["refused"]), (&json!(12), &json!(3)));
    assert_eq!(stats["fullest_minute_served"], json!(5));
    assert_eq!(stats["by_method"]["ExecuteBillQuery"], json!({ "calls": 11, "refused": 3 }));
    let log = galaxy.ask("/log").await;
    let refused: Vec<&Value> =
        log.as_array().unwrap().iter().filter(|record| record["outcome"] == json!("refused")).collect();
    assert_eq!(refused.len(), 3);
    assert_eq!((&refused[0]["sequence"], &refused[0]["result"]), (&json!(6), &json!("msgcode 14")));
}

#[tokio::test]
async fn the_limit_can_answer_429() {
    let galaxy = Galaxy::start(&["--calls-per-minute", "1", "--limit-reply", "http429"]).await;
    galaxy.login().await;
    let response = galaxy.http.post(galaxy.method_url("View")).json(&json!({})).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 429);
    let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
}
