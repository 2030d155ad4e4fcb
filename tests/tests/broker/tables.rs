//! Tables against topics that change under them.

use std::time::{Duration, Instant};

use queue::{Cleanup, Origin, Outgoing, Session, Transaction};

use crate::child;
use crate::house::*;

fn facts(state: &str, keys: &[&str]) -> Transaction {
    let facts = keys.iter().map(|key| Outgoing::to_partition(state, 0, record(key, key))).collect();
    Transaction { facts, ..Transaction::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_topic_made_anew_is_not_taken_for_the_old_one() {
    let input = pair("anew", 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("anew", "anew-0", &[&input], folder.path())).await.expect("opened");
    assigned(&session, 1).await;
    session.commit(facts("anew.state", &["doc/old"])).await.expect("committed");
    session.close().await;

    admin().delete_topics(&["anew.state"]).await.expect("deleted");
    eventually("the topic goes", async || admin().partitions("anew.state").await.expect("asked").is_none()).await;
    admin().ensure(&[spec("anew.state", 1, Cleanup::Compact)], 1).await.expect("made");
    // As long as the old one was: positions alone would not tell.
    fill("anew.state", 0, 10).await;

    let session = Session::open(settings("anew", "anew-0", &[&input], folder.path())).await.expect("opened");
    assigned(&session, 1).await;
    assert_eq!(session.origin(&at(&input, 0)), Some(Origin { committed: true, owned: false }));
    let table = session.table("anew.state", 0).expect("a table");
    assert_eq!(table.get(b"doc/old").expect("read"), None);
    assert_eq!(table.get(b"k9").expect("read"), Some(b"v9".to_vec()));
    session.close().await;

    // That one ended before it had put down what was lost: for the next the state is as lost, until somebody has.
    let session = Session::open(settings("anew", "anew-0", &[&input], folder.path())).await.expect("opened");
    assigned(&session, 1).await;
    assert_eq!(session.origin(&at(&input, 0)), Some(Origin { committed: true, owned: false }));
    let written = session.commit(facts("anew.state", &["since", "doc/new"])).await.expect("committed");
    assert_eq!(written.facts.len(), 2);
    session.close().await;
    for folder in [folder, tempfile::tempdir().expect("another folder")] {
        let session = Session::open(settings("anew", "anew-0", &[&input], folder.path())).await.expect("opened");
        assigned(&session, 1).await;
        assert_eq!(session.origin(&at(&input, 0)), Some(Origin { committed: true, owned: true }));
        let table = session.table("anew.state", 0).expect("a table");
        assert_eq!(table.scan_prefix(b"@").expect("read"), []);
        session.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_sees_own_facts_and_the_store_as_one() {
    let input = pair("scan", 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("scan", "scan-0", &[&input], folder.path())).await.expect("opened");
    assigned(&session, 1).await;
    for round in 0..5 {
        let keys: Vec<String> = (0..20).map(|i| format!("doc/{:03}", round * 20 + i)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        session.commit(facts("scan.state", &keys)).await.expect("committed");
        let table = session.table("scan.state", 0).expect("a table");
        assert_eq!(table.scan_prefix(b"doc/").expect("read").len(), (round + 1) * 20);
        let page = table.scan_page(b"doc/", Some(b"doc/004"), 3).expect("read");
        let names: Vec<_> = page.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
        assert_eq!(names, ["doc/005", "doc/006", "doc/007"]);
    }
    session.close().await;
}

/// The group gives the partitions back within milliseconds, while the reader is still at its old order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_loses_its_partitions_and_has_them_back_at_once_passes_its_barrier() {
    let input = pair("lost", 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let store = folder.path().join("store").display().to_string();
    let mut child = child::start(folder.path(), &["session", brokers(), "lost", &input, &store]).await;
    for round in 2..8 {
        child.pause().expect("stopped");
        tokio::time::sleep(Duration::from_millis(2_300)).await;
        child.resume().expect("goes on");
        let since = Instant::now();
        while std::fs::read_to_string(folder.path().join("ready")).expect("a count") != format!("{round}") {
            assert!(since.elapsed() < LONG, "no barrier passed after a pause: {}", child.last_words());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    child.kill().expect("killed");
}
