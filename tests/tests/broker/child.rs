//! A process of ours that is killed: this program once more, told by a variable what to do.

use std::path::Path;
use std::time::Duration;

use e2e::servers::process::{Process, Spec};
use queue::{Cluster, Consumer, Event, Session, SessionSettings, Timing};
use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::house::states;

const VARIABLE: &str = "STARBRIDGE_TEST_CHILD";

/// Starts this program as a child that does `what` and then waits to be killed. Returns when it has done it.
pub(crate) async fn start(folder: &Path, what: &[&str]) -> Process {
    let ready = folder.join("ready");
    let program = std::env::current_exe().expect("the path of this program");
    let spec = Spec::new("child", program, folder)
        .arguments(["--exact", "child::does_as_told_until_it_is_killed"])
        .variable(VARIABLE, &[&[ready.to_str().expect("text")], what].concat().join("|"));
    let mut child = Process::spawn(spec).expect("started");
    let mut waited = 0;
    while !ready.exists() {
        assert!(child.ended().expect("known").is_none(), "{}", child.last_words());
        waited += 1;
        assert!(waited < 600, "{}", child.last_words());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    child
}

#[expect(clippy::disallowed_methods, reason = "the parent tells its child what to do")]
fn told() -> Option<Vec<String>> {
    let text = std::env::var(VARIABLE).ok()?;
    Some(text.split('|').map(str::to_owned).collect())
}

/// No test of its own: it does nothing unless a test started it.
#[test]
fn does_as_told_until_it_is_killed() {
    let Some(told) = told() else { return };
    let words: Vec<&str> = told.iter().map(String::as_str).collect();
    let [ready, what @ ..] = words.as_slice() else { panic!("no file to write") };
    match what {
        ["transaction", brokers, id, topic] => {
            let producer: BaseProducer = ClientConfig::new()
                .set("bootstrap.servers", *brokers)
                .set("transactional.id", *id)
                .set("transaction.timeout.ms", "60000")
                .create()
                .expect("producer");
            producer.init_transactions(Duration::from_secs(30)).expect("initialised");
            producer.begin_transaction().expect("begun");
            producer.send(BaseRecord::to(topic).partition(0).key("k").payload("left open")).expect("queued");
            producer.flush(Duration::from_secs(30)).expect("sent");
            std::fs::write(ready, "").expect("written");
            wait();
        }
        ["member", brokers, group, name, topic] => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let timing = Timing { session: Duration::from_secs(2), ..Timing::default() };
                let cluster = Cluster::plaintext(*brokers);
                let topics = [(*topic).to_owned()];
                let consumer = Consumer::join_with(&cluster, group, name, &topics, &timing).await.expect("joined");
                while consumer.assigned().is_empty() {
                    consumer.poll(1, Duration::from_millis(50)).await.expect("polled");
                }
                std::fs::write(ready, "").expect("written");
                loop {
                    consumer.poll(1, Duration::from_secs(1)).await.expect("polled");
                }
            });
        }
        ["session", brokers, name, topic, folder] => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("runtime").block_on(async {
                let (cluster, topics) = (Cluster::plaintext(*brokers), vec![(*topic).to_owned()]);
                let mut settings = SessionSettings::new(cluster, *name, *name, topics, states, *folder);
                settings.timing.session = Duration::from_secs(2);
                let session = Session::open(settings).await.expect("opened");
                let mut passed = 0;
                loop {
                    if let Event::Assigned(_) = session.next(1, Duration::from_secs(1)).await.expect("an event") {
                        passed += 1;
                        std::fs::write(ready, format!("{passed}")).expect("written");
                    }
                }
            });
        }
        other => panic!("nothing known of {other:?}"),
    }
}

fn wait() {
    loop {
        std::thread::park();
    }
}
