use super::*;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};

use document::{DeadLetter, FlowName, FlowVersion};
use queue::{Error as QueueError, Lag, Next, TopicPartition};
use runtime::clock::Hand;
use runtime::metrics::Metrics;
use runtime::settings::{Invocation, load};
use runtime::watchdog::Watchdog;

use crate::core::{Definition, Flows};
use crate::fixtures::{Published, Steady, V1, V2, good, of};

const TOPIC: &str = "starbridge.misc.extracted";

/// What the world gives, and what it saw.
#[derive(Default)]
struct World {
    polls: VecDeque<Result<Vec<Received>, QueueError>>,
    refusals: VecDeque<QueueError>,
    /// Records with this key are over the limit of the broker.
    too_large: Option<Vec<u8>>,
    commit_refusals: VecDeque<QueueError>,
    seen: Vec<String>,
    written: Vec<Outgoing>,
}

type Shared = Arc<Mutex<World>>;

fn note(world: &Shared, line: String) {
    world.lock().expect("not poisoned").seen.push(line);
}

/// Every poll takes a second.
struct MemorySource(Shared, Shutdown, Hand);

impl Source for MemorySource {
    async fn subscribe(&mut self, topics: &[String]) -> Result<(), QueueError> {
        note(&self.0, format!("subscribe {}", topics.join(" ")));
        Ok(())
    }

    async fn rejoin(&mut self, topics: &[String]) -> Result<(), QueueError> {
        note(&self.0, format!("rejoin {}", topics.join(" ")));
        Ok(())
    }

    async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, QueueError> {
        assert_eq!((max, wait), (500, Duration::from_millis(200)));
        self.2.advance(Duration::from_secs(1));
        let next = self.0.lock().expect("not poisoned").polls.pop_front();
        next.unwrap_or_else(|| {
            self.1.request();
            Ok(Vec::new())
        })
    }

    async fn commit(&mut self, next: &[Next]) -> Result<(), QueueError> {
        let mut world = self.0.lock().expect("not poisoned");
        if let Some(error) = world.commit_refusals.pop_front() {
            return Err(error);
        }
        let written = world.written.len();
        for next in next {
            world.seen.push(format!("commit {next} after {written}"));
        }
        Ok(())
    }

    fn pause(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| note(&self.0, format!("pause {partition}")));
    }

    fn resume(&mut self, partitions: &[TopicPartition]) {
        partitions.iter().for_each(|partition| note(&self.0, format!("resume {partition}")));
    }

    fn assigned(&self) -> Vec<TopicPartition> {
        (0..3).map(|partition| TopicPartition::new(TOPIC, partition)).collect()
    }

    async fn lag(&self) -> Result<Vec<Lag>, QueueError> {
        let lag = |partition| Lag {
            topic_partition: TopicPartition::new(TOPIC, partition),
            committed: Some(10),
            start: 0,
            end: 25,
        };
        Ok(vec![lag(0), lag(1)])
    }

    async fn close(self) {
        note(&self.0, "close".to_owned());
    }
}

struct MemorySink(Shared);

impl Sink for MemorySink {
    async fn send_all(&mut self, records: Vec<Outgoing>) -> Result<(), QueueError> {
        let mut world = self.0.lock().expect("not poisoned");
        if let Some(error) = world.refusals.pop_front() {
            return Err(error);
        }
        if let Some(record) = records.iter().find(|r| Some(&r.record.key) == world.too_large.as_ref()) {
            let key = String::from_utf8_lossy(&record.record.key).into_owned();
            return Err(QueueError::RecordTooLarge { topic: record.topic.clone(), key, size: 9, limit: 8 });
        }
        world.written.extend(records);
        Ok(())
    }

    fn reconnect(&mut self) -> Result<(), QueueError> {
        note(&self.0, "reconnect".to_owned());
        Ok(())
    }
}

struct MemoryRegistry(Arc<Published>);

impl Flows for MemoryRegistry {
    fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<dyn Definition>> {
        self.0.get(flow, version)
    }

    fn current(&self, flow: &FlowName) -> Option<FlowVersion> {
        self.0.current(flow)
    }
}

impl Registry for MemoryRegistry {
    fn topics(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }
}

struct Run {
    outcome: Result<(), Error>,
    seen: Vec<String>,
    written: Vec<Outgoing>,
    metrics: String,
    ready: bool,
}

/// Runs the loop over what the world holds, in `folder`, until it is used up.
async fn run_in(folder: &Path, world: World, flows: Arc<Published>) -> Run {
    let mut config = load::<Config>("transformer", DEFAULTS, &Invocation::default()).expect("good defaults").settings;
    config.worker.data_dir = folder.to_owned();
    config.drain.deadline = Duration::from_millis(1);
    let world = Arc::new(Mutex::new(world));
    let shutdown = Shutdown::new();
    let metrics = Metrics::new("transformer").expect("metrics");
    let readiness = Readiness::new(CONDITIONS);
    let (clock, hand) = Clock::manual(1_710_403_201_000_000);
    let watchdog = Watchdog::with_bite(Duration::from_secs(60), clock.clone(), |_, _| {}).expect("a thread");
    let around = Surroundings {
        clock,
        readiness: readiness.clone(),
        metrics: StageMetrics::new(&metrics.meter()),
        heartbeat: watchdog.heartbeat("transform"),
        notes: Notes::open(folder).expect("a folder"),
    };
    let source = MemorySource(Arc::clone(&world), shutdown.clone(), hand);
    let sink = MemorySink(Arc::clone(&world));
    let transformer = Transformer::new(config, source, sink, MemoryRegistry(flows), Steady, around);
    let outcome = transformer.run(shutdown).await;
    let mut world = world.lock().expect("not poisoned");
    Run {
        outcome,
        seen: std::mem::take(&mut world.seen),
        written: std::mem::take(&mut world.written),
        metrics: metrics.text().expect("text"),
        ready: readiness.is_ready(),
    }
}

async fn run(world: World) -> Run {
    let folder = tempfile::tempdir().expect("folder");
    run_in(folder.path(), world, Arc::new(Published::only(V1))).await
}

fn keys(written: &[Outgoing]) -> Vec<String> {
    written.iter().map(|out| String::from_utf8_lossy(&out.record.key).into_owned()).collect()
}

fn ended(reason: &str) -> QueueError {
    QueueError::Ended { member: "m".to_owned(), reason: reason.to_owned() }
}

#[tokio::test]
async fn positions_are_saved_only_after_everything_was_written() {
    let batch = vec![good(0, 5), good(1, 7), of(0, 6, V1, "fault"), of(0, 7, V1, "nothing")];
    let run = run(World { polls: [Ok(batch), Ok(vec![good(1, 8)])].into(), ..World::default() }).await;
    assert!(run.outcome.is_ok() && run.ready);
    assert_eq!(
        run.seen,
        [
            format!("subscribe {TOPIC}"),
            format!("commit {TOPIC}/0@8 after 3"),
            format!("commit {TOPIC}/1@8 after 3"),
            format!("commit {TOPIC}/1@9 after 4"),
            "close".to_owned(),
        ]
    );
    for line in [
        r#"starbridge_records_total{flow="misc",outcome="mapped",stage="transform",tenant="acme",terminal="false"} 3"#,
        r#"starbridge_records_total{flow="misc",outcome="dead_letter",stage="transform",tenant="acme",terminal="true"} 1"#,
        r#"starbridge_records_total{flow="misc",outcome="skipped",stage="transform",tenant="acme",terminal="true"} 1"#,
        r#"starbridge_dead_letters_total{category="validation",flow="misc",stage="transform"} 1"#,
        r#"starbridge_stage_duration_seconds_count{flow="misc",stage="transform"} 2"#,
        r#"starbridge_consumer_lag_records{flow="misc",stage="transform"} 30"#,
    ] {
        assert!(run.metrics.contains(line), "{line} in {}", run.metrics);
    }
}

#[tokio::test]
async fn a_batch_that_fails_twice_goes_record_by_record() {
    let batch = vec![good(0, 5), good(0, 6), good(0, 7)];
    let world = World { polls: [Ok(batch)].into(), too_large: Some(b"D0-6".to_vec()), ..World::default() };
    let run = run(world).await;
    assert!(run.outcome.is_ok());
    assert_eq!(run.written.len(), 3);
    assert_eq!(
        (run.written[0].record.key.as_slice(), run.written[2].record.key.as_slice()),
        (&b"D0-5"[..], &b"D0-7"[..])
    );
    let letter = DeadLetter::from_record(&run.written[1].record).expect("a letter");
    assert_eq!((letter.code, letter.document_key.as_str()), (Code::MappedTooLarge, "D0-6"));
    assert_eq!(run.seen[1], format!("commit {TOPIC}/0@8 after 3"));
    assert!(
        run.metrics.contains(r#"starbridge_dead_letters_total{category="mapping",flow="misc",stage="transform"} 1"#)
    );
}

#[tokio::test]
async fn an_outage_of_the_brokers_is_waited_out_and_makes_no_letter() {
    let refusals = (0..3).map(|n| ended(&format!("outage {n}"))).collect();
    let run = run(World { polls: [Ok(vec![good(0, 5)])].into(), refusals, ..World::default() }).await;
    assert!(run.outcome.is_ok() && run.ready);
    assert_eq!(keys(&run.written), ["D0-5"]);
    assert_eq!(run.seen.iter().filter(|line| *line == "reconnect").count(), 3);
    assert!(run.seen.contains(&format!("commit {TOPIC}/0@6 after 1")));
    assert!(!run.metrics.contains("starbridge_dead_letters_total{"));
}

#[tokio::test]
async fn an_interrupted_read_joins_anew() {
    let polls = [Err(ended("the member was thrown out")), Ok(vec![good(0, 5)])].into();
    let run = run(World { polls, ..World::default() }).await;
    assert!(run.outcome.is_ok() && run.ready);
    assert_eq!(run.seen[1], format!("rejoin {TOPIC}"));
    assert_eq!(keys(&run.written), ["D0-5"]);
}

#[tokio::test]
async fn positions_that_cannot_be_saved_join_anew_and_copies_follow() {
    let world = World {
        polls: [Ok(vec![good(0, 5)]), Ok(vec![good(0, 5)])].into(),
        commit_refusals: [ended("rebalanced")].into(),
        ..World::default()
    };
    let run = run(world).await;
    assert!(run.outcome.is_ok());
    assert_eq!(keys(&run.written), ["D0-5", "D0-5"]);
    assert_eq!(run.seen[1..3], [format!("rejoin {TOPIC}"), format!("commit {TOPIC}/0@6 after 2")]);
}

#[tokio::test]
async fn expired_data_stops_its_flow_and_is_never_skipped() {
    let error = QueueError::DataExpired { at: Next::at(TOPIC, 0, 5), log_start: 90 };
    let run = run(World { polls: [Err(error)].into(), ..World::default() }).await;
    assert!(run.outcome.is_ok());
    assert_eq!(run.seen, [format!("subscribe {TOPIC}"), "subscribe ".to_owned(), "close".to_owned()]);
    assert!(run.metrics.contains(r#"starbridge_flow_paused{flow="misc",reason="topic",stage="transform"} 1"#));
}

#[tokio::test]
async fn a_missing_topic_is_looked_for_again_soon_and_then_more_rarely() {
    let missing = || Err(QueueError::TopicMissing { topic: TOPIC.to_owned() });
    let polls = [missing(), Ok(vec![]), missing(), Ok(vec![]), Ok(vec![]), Ok(vec![good(0, 5)])].into();
    let run = run(World { polls, ..World::default() }).await;
    assert!(run.outcome.is_ok());
    let (on, off) = (format!("subscribe {TOPIC}"), "subscribe ".to_owned());
    assert_eq!(
        run.seen,
        [&on, &off, &on, &off, &on, &format!("commit {TOPIC}/0@6 after 1"), &"close".to_owned()].map(Clone::clone)
    );
    assert!(!run.metrics.contains("starbridge_flow_paused{"), "{}", run.metrics);
}

#[tokio::test]
async fn a_late_version_pauses_and_goes_on_in_order_when_it_comes() {
    let folder = tempfile::tempdir().expect("folder");
    let flows = Arc::new(Published::only(V1));
    let held = World { polls: [Ok(vec![good(0, 5), of(0, 6, V2, "")])].into(), ..World::default() };
    let first = run_in(folder.path(), held, Arc::clone(&flows)).await;
    assert_eq!(
        first.seen,
        [
            format!("subscribe {TOPIC}"),
            format!("pause {TOPIC}/0"),
            format!("commit {TOPIC}/0@6 after 1"),
            "close".to_owned(),
        ]
    );
    assert!(first.metrics.contains(r#"starbridge_flow_paused{flow="misc",reason="version_late",stage="transform"} 1"#));

    // The source publishes the version while the partition waits.
    struct Publisher(MemorySource, Arc<Published>);
    impl Source for Publisher {
        async fn subscribe(&mut self, topics: &[String]) -> Result<(), QueueError> {
            self.0.subscribe(topics).await
        }
        async fn rejoin(&mut self, topics: &[String]) -> Result<(), QueueError> {
            self.0.rejoin(topics).await
        }
        async fn poll(&mut self, max: usize, wait: Duration) -> Result<Vec<Received>, QueueError> {
            if self.0.0.lock().expect("not poisoned").polls.len() == 1 {
                self.1.publish(V2);
            }
            self.0.poll(max, wait).await
        }
        async fn commit(&mut self, next: &[Next]) -> Result<(), QueueError> {
            self.0.commit(next).await
        }
        fn pause(&mut self, partitions: &[TopicPartition]) {
            self.0.pause(partitions);
        }
        fn resume(&mut self, partitions: &[TopicPartition]) {
            self.0.resume(partitions);
        }
        fn assigned(&self) -> Vec<TopicPartition> {
            self.0.assigned()
        }
        async fn lag(&self) -> Result<Vec<Lag>, QueueError> {
            self.0.lag().await
        }
        async fn close(self) {
            self.0.close().await;
        }
    }
    let mut config = load::<Config>("transformer", DEFAULTS, &Invocation::default()).expect("good defaults").settings;
    config.worker.data_dir = folder.path().to_owned();
    let polls = [Ok(vec![of(0, 6, V2, ""), good(0, 7)]), Ok(Vec::new())].into();
    let world = Arc::new(Mutex::new(World { polls, ..World::default() }));
    let shutdown = Shutdown::new();
    let metrics = Metrics::new("transformer").expect("metrics");
    let (clock, hand) = Clock::manual(0);
    let watchdog = Watchdog::with_bite(Duration::from_secs(60), clock.clone(), |_, _| {}).expect("a thread");
    let around = Surroundings {
        clock,
        readiness: Readiness::new(CONDITIONS),
        metrics: StageMetrics::new(&metrics.meter()),
        heartbeat: watchdog.heartbeat("transform"),
        notes: Notes::open(folder.path()).expect("a folder"),
    };
    let source = Publisher(MemorySource(Arc::clone(&world), shutdown.clone(), hand), Arc::clone(&flows));
    let sink = MemorySink(Arc::clone(&world));
    let registry = MemoryRegistry(Arc::clone(&flows));
    let outcome = Transformer::new(config, source, sink, registry, Steady, around).run(shutdown).await;
    assert!(outcome.is_ok());
    let world = world.lock().expect("not poisoned");
    assert_eq!(
        world.seen,
        [
            format!("subscribe {TOPIC}"),
            format!("pause {TOPIC}/0"),
            format!("commit {TOPIC}/0@8 after 2"),
            format!("resume {TOPIC}/0"),
            "close".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_record_that_killed_the_process_three_times_is_set_aside_at_the_next_start() {
    let folder = tempfile::tempdir().expect("folder");
    for _ in 0..3 {
        let mut notes = Notes::open(folder.path()).expect("a folder");
        notes.begin(&[good(0, 6)]).expect("written");
    }
    let batch = vec![good(0, 5), good(0, 6), good(0, 7)];
    let flows = Arc::new(Published::only(V1));
    let run = run_in(folder.path(), World { polls: [Ok(batch)].into(), ..World::default() }, flows).await;
    let letter = DeadLetter::from_record(&run.written[1].record).expect("a letter");
    assert_eq!((letter.code, letter.document_key.as_str()), (Code::RecordQuarantined, "D0-6"));
    assert_eq!(run.written.len(), 3);
}

#[tokio::test]
async fn notes_that_cannot_be_kept_end_the_stage_with_their_place() {
    let folder = tempfile::tempdir().expect("folder");
    let error = Error::Notes { path: folder.path().to_owned(), source: std::io::Error::other("disk full") };
    let fault = error.fault();
    assert_eq!(fault.code, Code::NotesFile);
    assert_eq!(fault.place.file, Some(folder.path().display().to_string()));
    assert_eq!(Error::Drain(ended("x")).fault().place.record.as_deref(), Some("m"));
}

#[tokio::test]
async fn a_stop_during_an_outage_saves_nothing() {
    struct Away(MemorySink, Shutdown);
    impl Sink for Away {
        async fn send_all(&mut self, _records: Vec<Outgoing>) -> Result<(), QueueError> {
            self.1.request();
            Err(ended("no broker"))
        }
        fn reconnect(&mut self) -> Result<(), QueueError> {
            self.0.reconnect()
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let mut config = load::<Config>("transformer", DEFAULTS, &Invocation::default()).expect("good defaults").settings;
    config.worker.data_dir = folder.path().to_owned();
    config.drain.deadline = Duration::ZERO;
    let world = Arc::new(Mutex::new(World { polls: [Ok(vec![good(0, 5)])].into(), ..World::default() }));
    let shutdown = Shutdown::new();
    let metrics = Metrics::new("transformer").expect("metrics");
    let (clock, hand) = Clock::manual(0);
    let watchdog = Watchdog::with_bite(Duration::from_secs(60), clock.clone(), |_, _| {}).expect("a thread");
    let around = Surroundings {
        clock,
        readiness: Readiness::new(CONDITIONS),
        metrics: StageMetrics::new(&metrics.meter()),
        heartbeat: watchdog.heartbeat("transform"),
        notes: Notes::open(folder.path()).expect("a folder"),
    };
    let source = MemorySource(Arc::clone(&world), shutdown.clone(), hand);
    let sink = Away(MemorySink(Arc::clone(&world)), shutdown.clone());
    let registry = MemoryRegistry(Arc::new(Published::only(V1)));
    let outcome = Transformer::new(config, source, sink, registry, Steady, around).run(shutdown).await;
    assert!(matches!(outcome, Err(Error::Drain(QueueError::Ended { .. }))), "{outcome:?}");
    let seen = &world.lock().expect("not poisoned").seen;
    assert!(!seen.iter().any(|line| line.starts_with("commit")), "{seen:?}");
}
