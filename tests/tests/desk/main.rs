//! The operator's desk on real servers: who is let in, what is shown, and that a replay loses and doubles nothing.

mod access;
mod anew;
mod assumptions;
mod backfill;
mod beyond;
mod canary;
mod client;
mod collector;
mod decides;
mod doubts;
mod flows;
mod guide;
mod keys;
mod kills;
mod looks;
mod moves;
mod overtaken;
mod raw;
mod reconcile;
mod refetch;
mod replay;
mod rolling;

use std::time::{Duration, Instant};

/// How long a scenario may take before it has failed.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks until there is an answer; `Err` says what there is instead. What the target holds is on record, in the index and at
/// the other services a moment later: a scenario waits for the very thing that it asserts.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begin = Instant::now();
    loop {
        let instead = match ask().await {
            Ok(answer) => return answer,
            Err(instead) => instead,
        };
        assert!(begin.elapsed() < PATIENCE, "{what}: {instead}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
