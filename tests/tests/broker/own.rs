//! A broker of its own: TLS with SCRAM, and a broker that is killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use document::Code;
use e2e::servers::Kafka;
use queue::{Admin, Cleanup, Cluster, Consumer, Event, Mechanism, Outgoing, Producer, Security, Session, Transaction};

use crate::house::*;

fn secure(kafka: &Kafka, password_file: &Path) -> Cluster {
    let secure = kafka.secure().expect("a TLS listener");
    Cluster {
        brokers: secure.brokers.clone(),
        security: Security::SaslSsl {
            mechanism: Mechanism::ScramSha512,
            username: secure.username.clone(),
            password_file: password_file.to_owned(),
            ca_file: Some(secure.certificate.clone()),
            allow_world_readable_secrets: false,
        },
    }
}

/// The listener that wants a certificate, reached with `client` or without.
fn mutual(kafka: &Kafka, client: Option<&(PathBuf, PathBuf)>) -> Cluster {
    let secure = kafka.secure().expect("a TLS listener");
    Cluster {
        brokers: secure.mutual.clone(),
        security: Security::Ssl {
            ca_file: Some(secure.certificate.clone()),
            certificate_file: client.map(|(certificate, _)| certificate.clone()),
            key_file: client.map(|(_, key)| key.clone()),
            allow_world_readable_secrets: false,
        },
    }
}

fn numbered(topic: &str, numbers: std::ops::Range<usize>) -> Vec<Outgoing> {
    numbers.map(|i| Outgoing::to_partition(topic, 0, record(&format!("k{i}"), &format!("v{i}")))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_scram_works_and_acknowledged_records_survive_a_kill() {
    let folder = tempfile::tempdir().expect("folder");
    let mut kafka = Kafka::start_secure(folder.path()).expect("a broker");
    let right = secure(&kafka, &kafka.secure().expect("a TLS listener").password_file);

    // A wrong password is told from a broker that is away.
    let wrong_file = e2e::fleet::secret(folder.path(), "wrong-password", "wrong").expect("written");
    let mut settings = settings("tls", "tls-0", &["tls.in"], folder.path());
    settings.cluster = secure(&kafka, &wrong_file);
    settings.timing.transaction = Duration::from_secs(2);
    let error = Session::open(settings.clone()).await.expect_err("refused");
    assert_eq!(error.code(), Code::KafkaAuth, "{error:?}");
    assert_eq!(error.place().record, kafka.secure().map(|secure| secure.brokers.clone()));
    assert!(!format!("{:?}", error.fault()).contains("wrong-password"));

    // Where a certificate is asked for, ours lets us in, and nothing else does.
    let client = kafka.secure().map(|secure| secure.client.clone());
    settings.cluster = mutual(&kafka, client.as_ref());
    let certified = Admin::connect(&settings.cluster).expect("admin");
    assert_eq!(certified.partitions("tls.in").await.expect("let in"), None);
    settings.cluster = mutual(&kafka, None);
    let error = Session::open(settings.clone()).await.expect_err("refused");
    assert!(matches!(error.code(), Code::KafkaAuth | Code::KafkaUnreachable), "{error:?}");

    // The right one opens everything: admin, producer, consumer, transactions.
    let admin = Admin::connect(&right).expect("admin");
    let specs = [spec("tls.in", 1, Cleanup::Delete), spec("tls.state", 1, Cleanup::Compact)];
    admin.ensure(&specs, 1).await.expect("topics");
    let producer = Producer::connect(&right, "tls").expect("producer");
    producer.send_all(numbered("tls.in", 0..500)).await.expect("sent");
    settings.cluster = right.clone();
    settings.timing = timing();
    let session = Session::open(settings).await.expect("opened");
    assert_eq!(assigned(&session, 1).await, [at("tls.in", 0)]);
    let fact = Outgoing::to_partition("tls.state", 0, record("doc/1", "kept"));
    let before = Transaction { facts: vec![fact], offsets: vec![next("tls.in", 0, 10)], ..Transaction::default() };
    session.commit(before).await.expect("committed");
    // A single node that dies between the answer to a commit and its markers forgets the markers (see
    // deploy/kafka/README.md); a saved position that can be read says that they are written, and their own mark
    // follows at once.
    assert_eq!(session.lag().await.expect("lag")[0].committed, Some(10));
    tokio::time::sleep(Duration::from_secs(1)).await;

    // Killed and started again: what was acknowledged is there, and the session goes on or says that it cannot.
    kafka.kill().expect("killed");
    kafka.begin().expect("back");
    let producer = Producer::connect(&right, "tls").expect("producer");
    producer.send_all(numbered("tls.in", 500..510)).await.expect("sent");
    let consumer = Consumer::join(&right, "tls-check", "tls-check", &["tls.in".to_owned()]).await.expect("joined");
    let mut all = Vec::new();
    let begun = std::time::Instant::now();
    while all.len() < 510 {
        assert!(begun.elapsed() < LONG, "{} of 510", all.len());
        all.extend(consumer.poll(1000, Duration::from_millis(200)).await.expect("polled"));
    }
    assert_eq!(all.iter().map(|r| r.offset).collect::<Vec<_>>(), (0..510).collect::<Vec<i64>>());
    consumer.close().await;

    // Its partition may have been lost and won again meanwhile: then it begins at the saved position.
    let mut last = -1;
    while last < 509 {
        match session.next(1000, LONG).await.expect("the session goes on") {
            Event::Records(records) => last = records.last().map_or(last, |record| record.offset),
            Event::Idle => panic!("nothing after {last}"),
            _ => {}
        }
    }
    assert_eq!(session.position(&at("tls.in", 0)), Some(next("tls.in", 0, 10)));
    let after = Transaction { offsets: vec![next("tls.in", 0, 510)], ..Transaction::default() };
    session.commit(after).await.expect("committed");
    assert_eq!(session.lag().await.expect("lag")[0].records(), 0);
    session.close().await;
    kafka.stop().expect("stopped");
}
