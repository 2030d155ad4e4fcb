//! Sessions: barrier, transactions, tables, hand-over.

use std::time::Duration;

use document::Code;
use queue::{Cleanup, Next, Origin, Outgoing, Session, Transaction};

use crate::house::*;

fn fact(topic: &str, partition: i32, key: &str, value: Option<&str>) -> Outgoing {
    let mut record = record(key, "");
    record.value = value.map(|value| value.as_bytes().to_vec());
    Outgoing::to_partition(topic, partition, record)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_reads_commits_and_knows_at_once_what_it_committed() {
    let input = pair("happy", 2).await;
    topic("happy.out", 2).await;
    fill(&input, 0, 3).await;
    let folder = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("happy", "happy-0", &[&input], folder.path())).await.expect("opened");
    assert_eq!(assigned(&session, 2).await, [at(&input, 0), at(&input, 1)]);
    assert_eq!(session.origin(&at(&input, 0)), Some(Origin { committed: false, owned: false }));
    assert_eq!(session.position(&at(&input, 0)), Some(next(&input, 0, 0)));

    let read = records(&session, 3).await;
    assert_eq!(read.iter().map(|r| r.offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(read[1].record, record("k1", "v1"));

    let written = session
        .commit(Transaction {
            data: read.iter().map(|r| Outgoing::to("happy.out", r.record.clone())).collect(),
            facts: vec![
                fact("happy.state", 0, "doc/1", Some("一")),
                fact("happy.state", 0, "doc/2", Some("two")),
                fact("happy.state", 0, "doc/2", None),
                fact("happy.state", 1, "doc/3", Some("three")),
            ],
            offsets: vec![Next::after(&read[1])],
        })
        .await
        .expect("committed");
    assert!(written.took < Duration::from_secs(5), "{written:?}");

    let table = session.table("happy.state", 0).expect("a table");
    assert_eq!(table.get(b"doc/1").expect("read"), Some("一".as_bytes().to_vec()));
    assert_eq!(table.get(b"doc/2").expect("read"), None);
    assert_eq!(table.get(b"doc/3").expect("read"), None);
    assert_eq!(table.scan_prefix(b"doc/").expect("read").len(), 1);
    assert_eq!(session.position(&at(&input, 0)), Some(next(&input, 0, 2)));
    assert_eq!(session.position(&at(&input, 1)), Some(next(&input, 1, 0)));

    let lag = session.lag().await.expect("lag");
    assert_eq!(lag.iter().map(queue::Lag::records).collect::<Vec<_>>(), [1, 0]);
    let out = all_of("happy.out", 3).await;
    let mut keys: Vec<_> = out.iter().map(|r| r.record.key.clone()).collect();
    keys.sort();
    assert_eq!(keys, [b"k0", b"k1", b"k2"]);
    session.close().await;

    // Again under the same name: the position, the owner and the table are there.
    let session = Session::open(settings("happy", "happy-0", &[&input], folder.path())).await.expect("opened");
    assert_eq!(assigned(&session, 2).await.len(), 2);
    assert_eq!(session.origin(&at(&input, 0)), Some(Origin { committed: true, owned: true }));
    assert_eq!(records(&session, 1).await[0].offset, 2);
    let table = session.table("happy.state", 0).expect("a table");
    assert_eq!(table.get(b"doc/1").expect("read"), Some("一".as_bytes().to_vec()));
    assert_eq!(session.table("happy.state", 1).expect("a table").scan_prefix(b"").expect("read").len(), 1);
    session.close().await;

    // The store is lost: everything is read again.
    let other = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("happy", "happy-0", &[&input], other.path())).await.expect("opened");
    assigned(&session, 2).await;
    let table = session.table("happy.state", 0).expect("a table");
    assert_eq!(table.scan_prefix(b"").expect("read"), [(b"doc/1".to_vec(), "一".as_bytes().to_vec())]);
    assert_eq!(table.get(b"doc/2").expect("read"), None);
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_is_saved_together_with_the_first_barrier_and_never_before() {
    let input = "early.in";
    admin().ensure(&[spec(input, 1, Cleanup::Delete)], 1).await.expect("topic");
    fill(input, 0, 2).await;
    let folder = tempfile::tempdir().expect("folder");
    // The session ends between its assignment and its barrier, which has nowhere to go yet.
    let session = Session::open(settings("early", "early-0", &[input], folder.path())).await.expect("opened");
    let error = session.next(1, LONG).await.expect_err("no state topic");
    assert_eq!(error.code(), Code::TopicMissing);
    assert_eq!(session.lag().await.expect("lag")[0].committed, None);
    session.close().await;

    admin().ensure(&[spec("early.state", 1, Cleanup::Compact)], 1).await.expect("topic");
    let session = Session::open(settings("early", "early-0", &[input], folder.path())).await.expect("opened");
    assert_eq!(assigned(&session, 1).await, [at(input, 0)]);
    assert_eq!(session.origin(&at(input, 0)), Some(Origin { committed: false, owned: false }));
    assert_eq!(session.lag().await.expect("lag")[0].committed, Some(0));
    assert_eq!(records(&session, 2).await[0].offset, 0);
    session.close().await;

    let session = Session::open(settings("early", "early-0", &[input], folder.path())).await.expect("opened");
    assigned(&session, 1).await;
    assert_eq!(session.origin(&at(input, 0)), Some(Origin { committed: true, owned: true }));
    session.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_comes_back_with_more_topics_gets_them() {
    let old = pair("grow-old", 2).await;
    let new = pair("grow-new", 2).await;
    fill(&new, 1, 1).await;
    let folder = tempfile::tempdir().expect("folder");
    let session = Session::open(settings("grow", "grow-0", &[&old], folder.path())).await.expect("opened");
    assigned(&session, 2).await;
    session.close().await;
    let session = Session::open(settings("grow", "grow-0", &[&old, &new], folder.path())).await.expect("opened");
    let all = [at(&new, 0), at(&new, 1), at(&old, 0), at(&old, 1)];
    assert_eq!(assigned(&session, 4).await, all);
    assert_eq!(records(&session, 1).await[0].topic, new);
    assert_eq!(session.origin(&all[0]), Some(Origin { committed: false, owned: false }));
    assert_eq!(session.origin(&all[2]), Some(Origin { committed: true, owned: true }));
    session.close().await;
}
