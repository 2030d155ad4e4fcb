//! What a transaction costs on the real broker. `make bench` runs longer; here the order of magnitude is guarded.

use std::time::{Duration, Instant};

use queue::{Outgoing, Session, Transaction};

use crate::house::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_commits_several_times_a_second() {
    let input = pair("price", 1).await;
    topic("price.out", 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("price", "price-0", &[&input], folder.path())).await.expect("opened");
    assigned(&session, 1).await;
    let mut times: Vec<Duration> = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        let data = (0..50).map(|i| Outgoing::to("price.out", record(&format!("k{i}"), "v"))).collect();
        let facts =
            (0..50).map(|i| Outgoing::to_partition("price.state", 0, record(&format!("doc/{i}"), "v"))).collect();
        let written = session.commit(Transaction { data, facts, offsets: Vec::new() }).await.expect("committed");
        times.push(written.took);
    }
    let seconds = begun.elapsed();
    times.sort();
    let rate = times.len() as u128 * 1000 / seconds.as_millis();
    println!(
        "{{\"name\": \"transactions_per_second\", \"value\": {rate}, \"unit\": \"1/s\", \"records\": 100, \
         \"median_ms\": {}, \"p99_ms\": {}}}",
        times[times.len() / 2].as_millis(),
        times[times.len() * 99 / 100].as_millis(),
    );
    // Loose: the machine may be busy. Idle it is tens.
    assert!(rate >= 3, "{rate} transactions a second");
    session.close().await;
}
