//! Flows published and followed.

use document::{Code, FlowName, topic};
use flow::FlowBundle;
use queue::{FlowRegistry, Outgoing, Producer};

use crate::house::*;

fn bundle() -> FlowBundle {
    let folder = e2e::servers::workspace().join("deploy/flows/misc-inbound");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("part of the repository");
    let (flow, source, target) = (read("flow.toml"), read("source.json"), read("target.json"));
    FlowBundle { flow, source, target, collections: std::collections::BTreeMap::new() }
}

fn name() -> FlowName {
    FlowName::new("misc-inbound").expect("valid")
}

async fn changed_until(registry: &mut FlowRegistry, holds: impl Fn(&FlowRegistry) -> bool) {
    let waiting = async {
        while !holds(registry) {
            registry.changed().await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.expect("a change");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_flow_reaches_who_follows_and_old_versions_stay() {
    // Nobody has made the topic yet.
    assert_eq!(admin().partitions(topic::FLOWS).await.expect("asked"), None);
    let error = FlowRegistry::follow(&cluster(), "early").await.expect_err("no topic");
    assert_eq!(error.code(), Code::TopicMissing);
    assert_eq!(error.place().record.as_deref(), Some("starbridge.flows"));
    admin().ensure(&queue::topics::house(), 1).await.expect("topics");

    let publisher = FlowRegistry::follow(&cluster(), "publisher").await.expect("followed");
    let mut follower = FlowRegistry::follow(&cluster(), "follower").await.expect("followed");
    assert!(follower.current().is_empty());
    let first = publisher.publish(&name(), &bundle()).await.expect("published");
    assert_eq!(first, bundle().version());
    changed_until(&mut follower, |registry| !registry.current().is_empty()).await;
    assert_eq!(follower.current()[0].version, first);
    assert_eq!(follower.get(&name(), &first).expect("readable").documents_per_call, 50);

    let mut next = bundle();
    next.flow.push_str("\n# changed\n");
    let second = publisher.publish(&name(), &next).await.expect("published");
    changed_until(&mut follower, |registry| registry.current()[0].version == second).await;
    assert!(follower.get(&name(), &first).is_some(), "records of the old version are still to be mapped");

    // Whoever comes later reads the same.
    let later = FlowRegistry::follow(&cluster(), "later").await.expect("followed");
    assert_eq!(later.current()[0].version, second);
    assert!(later.get(&name(), &first).is_some());
    assert_eq!(later.get(&name(), &"0000000000000000".into()).map(|flow| flow.version.clone()), None);

    // What does not compile is not published; what is no flow at all is passed over.
    let mut bad = bundle();
    bad.target = "{".to_owned();
    let error = publisher.publish(&name(), &bad).await.expect_err("does not compile");
    assert_eq!(error.code(), Code::FlowRecord);
    assert_eq!(error.place().record, Some(format!("misc-inbound@{}", bad.version())));
    let producer = Producer::connect(&cluster(), "rubbish").expect("producer");
    let rubbish = Outgoing::to_partition(topic::FLOWS, 0, record("rubbish", "{"));
    producer.send_all(vec![rubbish]).await.expect("sent");
    publisher.withdraw(&name()).await.expect("withdrawn");
    changed_until(&mut follower, |registry| registry.names().is_empty()).await;
    assert!(follower.get(&name(), &second).is_some());
}
