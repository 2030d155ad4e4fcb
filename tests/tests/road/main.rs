//! The whole road against real servers, one scenario a test: what happens to documents when things go wrong.

mod flows;
mod happy;
mod judged;
mod kills;
mod limits;
mod refused;
mod replies;
mod sealed;

use std::time::Duration;

use e2e::history::{self, Known};
use e2e::road::{Ended, Road};

/// How long a scenario may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// Short times for what a scenario must wait out: how long a request may still be under way, and how long it may run.
const SHORT: &str = r#"
[save]
send_deadline = "2s"
net = "500ms"
exec_max = "2s"

[retry]
waits = ["200ms", "500ms", "1s", "1s", "1s"]
throttled = "2s"

[breaker]
wait = "1s"
wait_max = "2s"
login_waits = ["1s"]

[poison]
patience = "3s"
"#;

/// Runs to the end and asserts that both sides agree in every bill and line.
async fn clean(road: &mut Road) -> Ended {
    let ended = road.finish(PATIENCE).await.expect("the road comes to its end");
    assert!(ended.report.is_clean(), "{:#?}\n{:#?}", ended.report, ended.letters);
    ended
}

/// Options of a source whose orders are so old that the watermark passes all of them.
fn old() -> Vec<(&'static str, String)> {
    let approved = chrono::Utc::now() - chrono::Duration::hours(2);
    vec![("--approved-at", approved.format("%Y-%m-%dT%H:%M:%S+00:00").to_string())]
}

/// Runs to the end as [`clean`] does, and asserts that the invariants hold of everything that was left behind and that only
/// `blind` had nothing to look at.
async fn holds(road: &mut Road, known: Known, blind: &[&str]) -> Ended {
    let orders = road.expectation.source.len();
    road.until("every order ends", PATIENCE, |applied, letters| applied + letters >= orders).await.expect("ended");
    road.settle(PATIENCE).await.expect("every end is known");
    let ended = clean(road).await;
    // As long as a save may run by `SHORT`.
    let verdict = history::check(road, Known { settle: 2_000, ..known }).await.expect("read");
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    assert_eq!(verdict.blind(), blind);
    ended
}
