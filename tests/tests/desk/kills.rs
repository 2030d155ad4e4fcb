//! The control plane dies in the middle of a replay: another replica goes on, nothing is lost, nothing published twice;
//! an index that was thrown away comes back as it was; and no secret was written anywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::compare::letters;
use e2e::road::{Road, RoadPlan};
use starbridge_proto::v1;

use super::client::{Caller, change, channel};
use super::collector::Collector;
use super::replay::{by_selector, open, published, until_listed, until_over};
use super::until;

/// Every topic of the installation.
const TOPICS: [&str; 11] = [
    "starbridge.audit",
    "starbridge.control",
    "starbridge.dead-letters",
    "starbridge.dead-letter-events",
    "starbridge.flows",
    "starbridge.commands",
    "starbridge.extract-state",
    "starbridge.extract-seen",
    "starbridge.misc-inbound.extracted",
    "starbridge.misc-inbound.mapped",
    "starbridge.misc-inbound.ledger",
];

async fn digest(road: &Road, ordinal: u32, token: &str) -> Option<(String, bool)> {
    let address = road.desk_address(ordinal).ok()?;
    let caller = Caller::new(channel(&road.desk, &address).await, Some(token));
    let status = caller.system().get_status(v1::GetStatusRequest {}).await.ok()?.into_inner();
    Some((status.index_digest, status.index_caught_up))
}

/// Files below a folder, those of the broker's own store left out: topics are read record by record.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "kafka" {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// Asserts that none of the secrets of this installation stands in a topic, a log, a store, a metric, an error or a trace.
async fn no_secret_is_written(road: &Road, tokens: &[&str], collector: &Collector) {
    let folder = road.folder();
    let mut secrets: Vec<String> = tokens.iter().map(|token| (*token).to_owned()).collect();
    let holders = [&road.desk.bootstrap, &road.desk.signing_key, &road.desk.key];
    let systems = ["galaxy-a-app-secret", "galaxy-b-app-secret"].map(|name| folder.join(name));
    for path in holders.into_iter().chain(&systems) {
        let text = std::fs::read_to_string(path).expect("a secret");
        // Of a key its body: the frame around it is no secret.
        let body = text.lines().filter(|line| !line.starts_with("-----")).max_by_key(|line| line.len());
        secrets.push(body.expect("a line").to_owned());
    }
    // The two that make spans of their own; what others send is looked at, too.
    for service in ["starbridge-transformer", "starbridge-loader"] {
        assert!(!collector.spans(service).is_empty(), "no span of {service}");
    }
    for (service, spans) in collector.all() {
        for secret in &secrets {
            assert!(!spans.iter().any(|span| span.contains(secret.as_str())), "a secret in a span of {service}");
        }
    }
    for stage in &road.stages {
        let metrics = stage.metrics().await.expect("scraped");
        assert!(metrics.names().next().is_some(), "{} counts nothing", stage.name());
        for secret in &secrets {
            assert!(!metrics.names().any(|name| name.contains(secret.as_str())), "a secret in {}", stage.name());
        }
    }
    let address = road.desk_address(0).expect("an address");
    for token in tokens {
        // One sign too many: what is refused is not repeated.
        let forged = Caller::new(channel(&road.desk, &address).await, Some(&format!("{token}x")));
        let refused = forged.system().get_status(v1::GetStatusRequest {}).await.expect_err("forged");
        assert_eq!(refused.code(), tonic::Code::Unauthenticated);
        assert!(!format!("{refused:?}").contains(token), "a token in an error");
    }
    let brokers = road.kafka.brokers().to_owned();
    let listed = tokio::task::spawn_blocking({
        let brokers = brokers.clone();
        move || letters::topics(&brokers).expect("topics")
    });
    let listed = listed.await.expect("listing does not panic");
    let others = listed.iter().filter(|topic| topic.starts_with("starbridge.") && !TOPICS.contains(&topic.as_str()));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&String>::new(), "topics that nobody looks into");
    let topics = tokio::task::spawn_blocking(move || {
        TOPICS.map(|topic| (topic, letters::texts(&brokers, topic).expect("a topic")))
    });
    for (topic, texts) in topics.await.expect("reading does not panic") {
        for secret in &secrets {
            assert!(!texts.iter().any(|text| text.contains(secret.as_str())), "a secret in {topic}");
        }
    }
    let mut found = Vec::new();
    files(folder, &mut found);
    let holds = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with("-app-secret")
            || name.ends_with("-access.json")
            || name.ends_with(".pem")
            || name == "desk-bootstrap"
    };
    assert!(found.iter().any(|path| path.extension().is_some_and(|extension| extension == "log")), "{found:?}");
    for path in found.iter().filter(|path| !holds(path)) {
        let bytes = std::fs::read(path).expect("a file");
        for secret in &secrets {
            let there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!there, "a secret in {}", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_killed_in_the_middle_of_a_replay_is_followed_by_another() {
    let collector = Collector::start().await;
    let endpoint = Some(collector.endpoint());
    let plan = RoadPlan { orders: 1_500, controls: 2, collector: endpoint, ..RoadPlan::default() };
    let (mut road, people) = open(plan).await;
    let token = people.hire(&road, "wang", "operator").await;
    let operator = people.at_writer(&road, &token).await;
    let parked: BTreeSet<String> = road.expectation.parked.keys().cloned().collect();
    assert!(parked.len() >= 6, "{} parked: too few to be killed between", parked.len());
    until_listed(&operator, "state = open", parked.len()).await;
    road.mend_target().await.expect("mended");
    let asked = v1::StartReplayRequest {
        selection: by_selector("state = open"),
        // Seconds between two letters, and some of them left: the kill comes in the middle on a slow machine, too.
        options: Some(v1::ReplayOptions { rate: 0.5, ..v1::ReplayOptions::default() }),
        change: change("products were created, numbers freed"),
    };
    let id = operator.replays().start_replay(asked).await.expect("started").into_inner().replay.expect("a job").id;
    let some = until("some are published", async || match published(&road).await.len() {
        some @ 2.. => Ok(some),
        few => Err(format!("{few}")),
    });
    some.await;
    let (_, address) = people.writer(&road).await;
    let dead = (0..2).find(|ordinal| road.desk_address(*ordinal).ok().as_deref() == Some(address.as_str()));
    let dead = dead.expect("one of two");
    road.of("control")[dead as usize].kill().expect("killed");
    assert!(published(&road).await.len() < parked.len(), "the replay was over before the kill");

    let operator = people.at_writer(&road, &token).await;
    let replay = until_over(&operator, &id).await;
    assert_eq!((replay.resolved, replay.failed), (parked.len() as i64, 0), "{replay:?}");
    let counts: BTreeMap<String, usize> = published(&road).await;
    assert_eq!(counts.keys().cloned().collect::<BTreeSet<_>>(), parked);
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");

    // The dead one comes back without its index, and has the same again.
    let data = road.folder().join(format!("control-{dead}-data"));
    std::fs::remove_dir_all(&data).expect("its data is thrown away");
    road.of("control")[dead as usize].begin().expect("started");
    road.of("control")[dead as usize].ready(Duration::from_secs(60)).await.expect("ready");
    let same = until("both replicas have the same", async || {
        let digests = [digest(&road, 0, &token).await, digest(&road, 1, &token).await];
        let whole = digests[0].as_ref().is_some_and(|(_, caught_up)| *caught_up);
        if whole && digests[0] == digests[1] { Ok(()) } else { Err(format!("{digests:?}")) }
    });
    same.await;

    no_secret_is_written(&road, &[&token, &people.security], &collector).await;
    for stage in road.stages.iter_mut().rev() {
        stage.process().stop(Duration::from_secs(60)).expect("drained");
    }
    let ended = road.compare_with(BTreeMap::new()).await.expect("compared");
    assert!(ended.report.is_clean(), "{:#?}", ended.report);
}
