//! What an owner does with its partitions, over a source and a log in memory.

use document::{Code, Record};
use queue::Next;

use super::*;
use crate::core::reply::SourceError;
use crate::core::sim::NOON;
use crate::testing::{MemoryLog, MemorySource, means, unit};

const DATA: &str = "starbridge.misc-inbound.extracted";

struct Stage {
    source: Arc<MemorySource>,
    log: Arc<MemoryLog>,
    units: Units,
    owner: Owner,
    partition: TopicPartition,
}

fn stage(run_at_start: bool) -> Stage {
    stage_with(12, run_at_start)
}

fn stage_with(bills: i64, run_at_start: bool) -> Stage {
    let (source, log) = (MemorySource::new(bills), Arc::new(MemoryLog::default()));
    let unit = Arc::new(unit());
    let partition = TopicPartition::new(topic::COMMANDS, topic::command_partition(&unit.flow.name));
    let owner = Owner::new(means(Arc::clone(&source), Arc::clone(&log)), run_at_start, BTreeSet::new());
    Stage { source, log, units: [(unit.flow.name.clone(), unit)].into(), owner, partition }
}

impl Stage {
    fn assign(&mut self) {
        self.owner.assigned(std::slice::from_ref(&self.partition), &self.units);
    }

    fn rest(&mut self, rests: bool) {
        let flows = self.units.keys().filter(|_| rests).cloned().collect();
        self.owner.rest(flows, &self.units);
    }

    async fn end(&mut self) -> Result<(), Fault> {
        let end = self.owner.next_end().await;
        self.owner.ended(end, &self.units).await
    }

    fn command(&self, offset: i64, text: &str) -> Received {
        Received {
            topic: topic::COMMANDS.to_owned(),
            partition: self.partition.partition,
            offset,
            timestamp: None,
            record: Record {
                key: b"misc-inbound".to_vec(),
                value: Some(text.as_bytes().to_vec()),
                ..Record::default()
            },
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flow_is_scanned_at_start_when_it_is_owned_and_only_once() {
    let mut stage = stage(true);
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
    stage.assign();
    stage.owner.tick(&stage.units);
    assert!(!stage.owner.is_idle());
    stage.end().await.expect("saved");
    assert_eq!(stage.log.keys(DATA).len(), 12);
    let greeted = stage.owner.forget().await;
    stage.owner = Owner::new(means(Arc::clone(&stage.source), Arc::clone(&stage.log)), true, greeted);
    stage.assign();
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_command_runs_its_flow_and_its_position_is_saved_when_that_is_complete() {
    let mut stage = stage(false);
    stage.assign();
    let command = stage.command(5, r#"{"flow":"misc-inbound","command":"run"}"#);
    stage.owner.commanded(&[command]).await.expect("taken");
    assert_eq!(stage.log.saved.lock().expect("whole").len(), 0);
    stage.owner.tick(&stage.units);
    stage.end().await.expect("saved");
    assert_eq!(stage.log.keys(DATA).len(), 12);
    let next = Next::at(topic::COMMANDS, stage.partition.partition, 6);
    assert_eq!(*stage.log.saved.lock().expect("whole"), [next]);
}

#[tokio::test(start_paused = true)]
async fn a_command_nobody_can_follow_becomes_a_letter() {
    let mut stage = stage(false);
    stage.assign();
    let commands = [stage.command(1, "halt"), stage.command(2, r#"{"flow":"gone","command":"run"}"#)];
    stage.owner.commanded(&commands).await.expect("kept");
    assert_eq!(stage.log.keys(topic::DEAD_LETTERS).len(), 2);
    let next = Next::at(topic::COMMANDS, stage.partition.partition, 3);
    assert_eq!(*stage.log.saved.lock().expect("whole"), [next]);
}

#[tokio::test(start_paused = true)]
async fn partitions_are_released_when_their_runs_have_finished_their_page() {
    let mut stage = stage(true);
    stage.assign();
    stage.owner.tick(&stage.units);
    tokio::task::yield_now().await;
    let partitions = [stage.partition.clone()];
    stage.owner.revoking(&partitions, &stage.units);
    assert_eq!(stage.owner.released(), []);
    stage.end().await.expect("ended");
    assert_eq!(stage.owner.released(), partitions);
    // The next owner goes on, and nothing is missing.
    stage.owner.revoked(&partitions, &stage.units);
    stage.assign();
    stage.owner.commanded(&[stage.command(9, r#"{"flow":"misc-inbound","command":"run"}"#)]).await.expect("taken");
    stage.owner.tick(&stage.units);
    stage.end().await.expect("ended");
    let bills: BTreeSet<String> = stage.log.keys(DATA).into_iter().collect();
    assert_eq!(bills.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_lost_partition_voids_its_run() {
    let mut stage = stage(true);
    stage.assign();
    stage.owner.tick(&stage.units);
    stage.owner.revoked(&[stage.partition.clone()], &stage.units);
    assert!(stage.owner.is_idle());
    assert!(stage.log.written.lock().expect("whole").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_flow_runs_no_more_until_it_is_published_again() {
    let mut stage = stage(true);
    let fault = Fault::new(Code::SourceSchema, "no such field").of_record("STK_MISCELLANEOUS");
    stage.source.errors.lock().expect("whole").push_back(SourceError::Stop(fault));
    stage.assign();
    stage.owner.tick(&stage.units);
    stage.end().await.expect("ended");
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
    let unit = Arc::clone(&stage.units[&unit().flow.name]);
    stage.owner.changed(&unit);
    let command = stage.command(1, r#"{"flow":"misc-inbound","command":"run"}"#);
    stage.owner.commanded(&[command]).await.expect("taken");
    stage.owner.tick(&stage.units);
    stage.end().await.expect("ended");
    assert_eq!(stage.log.keys(DATA).len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_does_not_read_keeps_the_flow_out() {
    let mut stage = stage(true);
    let key = (topic::EXTRACT_STATE.to_owned(), b"misc-inbound".to_vec());
    stage.log.tables.lock().expect("whole").insert(key, b"{".to_vec());
    stage.assign();
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_waits_and_goes_on_from_its_saved_position() {
    let mut stage = stage(true);
    let fault = Fault::new(Code::SourcePage, "odd").of_record("misc-inbound");
    stage.source.errors.lock().expect("whole").push_back(SourceError::Refused(fault));
    stage.assign();
    stage.owner.tick(&stage.units);
    stage.end().await.expect("ended");
    // The clock stands still: the wait is not over.
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
    assert!(stage.log.written.lock().expect("whole").is_empty());
    assert_eq!(stage.source.tables.lock().expect("whole").now, NOON);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_after_its_page_when_its_flow_is_to_rest_and_goes_on_when_it_may() {
    // More than is read before the test has its turn again.
    let mut stage = stage_with(400, true);
    stage.assign();
    stage.owner.tick(&stage.units);
    while stage.source.tables.lock().expect("whole").calls == 0 {
        tokio::task::yield_now().await;
    }
    stage.rest(true);
    stage.end().await.expect("ended");
    let read = stage.source.tables.lock().expect("whole").calls;
    let scan = stage.log.saved_checkpoint().and_then(|checkpoint| checkpoint.scan);
    assert!(scan.is_some(), "the scan is not over");
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
    // The next owner of a flow that rests leaves it alone too.
    stage.owner = Owner::new(means(Arc::clone(&stage.source), Arc::clone(&stage.log)), true, BTreeSet::new());
    stage.rest(true);
    stage.assign();
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
    assert_eq!(stage.source.tables.lock().expect("whole").calls, read);
    stage.rest(false);
    stage.owner.tick(&stage.units);
    stage.end().await.expect("ended");
    assert_eq!(stage.log.keys(DATA).into_iter().collect::<BTreeSet<String>>().len(), 400);
}

#[tokio::test(start_paused = true)]
async fn a_command_waits_while_its_flow_rests_and_keeps_its_position() {
    let mut stage = stage(false);
    stage.assign();
    stage.rest(true);
    let command = stage.command(5, r#"{"flow":"misc-inbound","command":"run"}"#);
    stage.owner.commanded(&[command]).await.expect("taken");
    stage.owner.tick(&stage.units);
    assert!(stage.owner.is_idle());
    assert!(stage.log.saved.lock().expect("whole").is_empty());
    stage.rest(false);
    stage.owner.tick(&stage.units);
    stage.end().await.expect("saved");
    assert_eq!(stage.log.keys(DATA).len(), 12);
    let next = Next::at(topic::COMMANDS, stage.partition.partition, 6);
    assert_eq!(*stage.log.saved.lock().expect("whole"), [next]);
}

#[tokio::test(start_paused = true)]
async fn a_flow_that_rests_is_shown_as_not_enabled() {
    let mut stage = stage(false);
    let metrics = runtime::metrics::Metrics::new("extractor").expect("metrics");
    let instruments = crate::metrics::Instruments::new(&metrics.meter());
    let means = Means { instruments, ..means(Arc::clone(&stage.source), Arc::clone(&stage.log)) };
    stage.owner = Owner::new(means, false, BTreeSet::new());
    let shown = |name: &str| {
        let text = metrics.text().expect("metrics read");
        text.lines().find(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap_or("").to_owned())
    };
    stage.assign();
    assert_eq!((shown("starbridge_flow_enabled"), shown("starbridge_flow_paused")), (Some("1".into()), None));
    stage.rest(true);
    let one = || Some("1".to_owned());
    assert_eq!((shown("starbridge_flow_enabled"), shown("starbridge_flow_paused")), (Some("0".into()), one()));
    stage.rest(false);
    assert_eq!((shown("starbridge_flow_enabled"), shown("starbridge_flow_paused")), (one(), None));
}

#[tokio::test(start_paused = true)]
async fn a_window_is_read_by_command_and_its_position_is_saved_when_it_is_complete() {
    let mut stage = stage(false);
    stage.assign();
    let text = format!(r#"{{"flow":"misc-inbound","command":"window","from":{},"to":{}}}"#, NOON, NOON + 1);
    stage.owner.commanded(&[stage.command(5, &text)]).await.expect("taken");
    assert!(stage.log.saved.lock().expect("whole").is_empty());
    stage.owner.tick(&stage.units);
    stage.end().await.expect("saved");
    assert_eq!(stage.log.keys(DATA).len(), 12);
    let checkpoint = stage.log.saved_checkpoint().expect("a checkpoint");
    assert_eq!((checkpoint.watermark, checkpoint.completed), (unit().flow.start_from.timestamp(), None));
    let next = Next::at(topic::COMMANDS, stage.partition.partition, 6);
    assert_eq!(*stage.log.saved.lock().expect("whole"), [next]);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_a_backfill_keeps_its_pace_lets_scans_pass_and_is_read_once() {
    let mut stage = stage(true);
    let (clock, hand) = runtime::Clock::manual(u64::try_from(NOON).expect("positive") * 1_000_000);
    let means = Means { clock, ..means(Arc::clone(&stage.source), Arc::clone(&stage.log)) };
    stage.owner = Owner::new(means, true, BTreeSet::new());
    stage.assign();
    stage.owner.tick(&stage.units);
    stage.end().await.expect("saved");
    assert_eq!(stage.log.keys(DATA).len(), 12);
    let (from, to) = (NOON - 86_400, NOON + 1);
    let id = "000000000000000000000000000000ab";
    let words = format!(r#""command":"window","from":{from},"to":{to},"again":true,"backfill":"{id}","rate":6"#);
    let text = format!(r#"{{"flow":"misc-inbound",{words}}}"#);
    stage.owner.commanded(&[stage.command(5, &text)]).await.expect("taken");
    // A page holds one whole bill: at six documents a minute it stands for ten seconds.
    for second in 0..=120 {
        stage.owner.tick(&stage.units);
        while !stage.owner.is_idle() {
            stage.end().await.expect("saved");
            stage.owner.tick(&stage.units);
        }
        assert_eq!(stage.log.keys(DATA).len(), 12 + 12.min(second / 10 + 1), "after {second} s");
        if second == 45 {
            // What else is due does not wait for it.
            let run = stage.command(6, r#"{"flow":"misc-inbound","command":"run"}"#);
            stage.owner.commanded(&[run]).await.expect("taken");
        }
        hand.advance(Duration::from_secs(1));
    }
    let at = |offset| Next::at(topic::COMMANDS, stage.partition.partition, offset);
    assert_eq!(stage.log.saved.lock().expect("whole").last(), Some(&at(7)));
    let saved = stage.log.saved_checkpoint().expect("a checkpoint");
    assert_eq!(saved.completed, Some(NOON + 46));
    let mark = *saved.backfills.get(id.parse().expect("an id")).expect("a mark");
    assert_eq!((mark.read_to, mark.emitted, mark.unchanged, mark.letters), (Some(to), 12, 0, 0));
    // Asked for again it is done already, without a call.
    let calls = stage.source.tables.lock().expect("whole").calls;
    stage.owner.commanded(&[stage.command(7, &text)]).await.expect("taken");
    stage.owner.tick(&stage.units);
    stage.end().await.expect("saved");
    let at = Next::at(topic::COMMANDS, stage.partition.partition, 8);
    assert_eq!(stage.log.saved.lock().expect("whole").last(), Some(&at));
    assert_eq!(stage.source.tables.lock().expect("whole").calls, calls);
}
