//! The secrets of connections are sealed at rest, and their master key is replaced while documents flow.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::road::{Road, RoadPlan};
use e2e::servers::binaries;
use serde_json::{Value, json};

use super::{PATIENCE, SHORT, clean};

/// Runs `starctl secret …`.
fn secret(arguments: &[&str], input: &str) {
    let mut command = Command::new(binaries().expect("built").join("starctl"));
    let piped = command.arg("secret").args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = piped.spawn().expect("started");
    child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("read");
    assert!(child.wait().expect("it ends").success(), "{arguments:?}");
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

/// How calls came out, as a simulated Galaxy noted it.
fn results(log: &Path) -> BTreeSet<String> {
    let lines = text(log);
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line"));
    lines.map(|line| line["result"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_key_is_replaced_without_a_failed_call() {
    let plan = RoadPlan { orders: 200, documents: Some(10), planted: false, loader: SHORT, ..RoadPlan::default() };
    let mut road = Road::lay(plan).await.expect("laid");
    road.fault(json!({"kind": "latency", "call": "BatchSave", "ms": 200, "count": 0})).await.expect("a known fault");
    let keys = road.source.master_keys();
    let keys = keys.to_str().expect("a path of ours").to_owned();
    secret(&["key", &keys], "");
    let mut files = Vec::new();
    for (name, path) in [("galaxy-a", road.source.app_secret()), ("galaxy-b", road.target.app_secret())] {
        let plain = text(&path);
        std::fs::remove_file(&path).expect("removed");
        let file = path.to_str().expect("a path of ours").to_owned();
        secret(&["seal", "--keys", &keys, "--connection", name, &file], &plain);
        assert!(!text(&path).contains(plain.trim()), "it is sealed");
        files.push(file);
    }
    road.start_stages().await.expect("started");
    road.until("some arrive", PATIENCE, |applied, _| applied >= 30).await.expect("some arrived");

    secret(&["key", &keys], "");
    secret(&["rewrap", "--keys", &keys, &files[0], &files[1]], "");
    secret(&["retire", "--keys", &keys, "1", &files[0], &files[1]], "");
    road.until("more arrive", PATIENCE, |applied, _| applied >= 60).await.expect("more arrived");
    // Whoever starts now has the new key alone.
    for service in ["extractor", "loader"] {
        for stage in road.of(service) {
            stage.kill().expect("killed");
            stage.begin().expect("started again");
        }
    }
    clean(&mut road).await;
    for log in [road.source.request_log(), road.target.request_log()] {
        assert_eq!(results(&log), BTreeSet::from(["ok".to_owned()]), "{}", log.display());
    }
}
