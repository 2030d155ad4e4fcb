//! Whole runs over a source and a log in memory.

use document::{Code, topic};

use super::*;
use crate::behind::HowFar;
use crate::core::sim::NOON;
use crate::testing::{MemoryLog, MemorySource, Numbers, means, unit};

const DATA: &str = "starbridge.misc-inbound.extracted";

fn job(kind: Kind) -> Job {
    Job {
        unit: Arc::new(unit()),
        partition: topic::command_partition(&unit().flow.name),
        kind,
        fired: Some(NOON),
        drain: Shutdown::new(),
        void: Shutdown::new(),
    }
}

fn retry(class: &'static str) -> SourceError {
    SourceError::Retry { class, after: None, fault: Fault::new(Code::ErpUnreachable, "down").of_record("Query") }
}

fn numbers(range: std::ops::RangeInclusive<i64>) -> Vec<String> {
    range.map(|id| format!("B{id}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_scan_writes_records_then_what_was_seen_then_its_checkpoint() {
    let (source, log) = (MemorySource::new(5), Arc::new(MemoryLog::default()));
    let outcome = job(Kind::Scan).run(means(Arc::clone(&source), Arc::clone(&log))).await;
    let Outcome::Complete(checkpoint, None) = outcome else { panic!("{outcome:?}") };
    assert_eq!((checkpoint.watermark, checkpoint.fired, checkpoint.scan), (NOON - 30, Some(NOON), None));
    assert_eq!(log.keys(DATA), numbers(1..=5));
    assert_eq!(log.keys(topic::EXTRACT_SEEN).len(), 5);
    let written = log.written.lock().expect("whole");
    // The versions are granted before any is given out.
    assert_eq!(written.first().map(|(name, _)| name.as_str()), Some(topic::EXTRACT_STATE));
    let first = |topic: &str| written.iter().skip(1).position(|(name, _)| name == topic);
    assert!(first(DATA) < first(topic::EXTRACT_SEEN) && first(topic::EXTRACT_SEEN) < first(topic::EXTRACT_STATE));
    assert_eq!(written.last().map(|(name, _)| name.as_str()), Some(topic::EXTRACT_STATE));
}

#[tokio::test(start_paused = true)]
async fn a_drained_run_is_gone_on_with_by_the_next_owner() {
    let (source, log) = (MemorySource::new(20), Arc::new(MemoryLog::default()));
    let first = job(Kind::Scan);
    *source.drain_after.lock().expect("whole") = Some((3, first.drain.clone()));
    assert_eq!(first.run(means(Arc::clone(&source), Arc::clone(&log))).await, Outcome::Drained);
    let saved = log.saved_checkpoint().expect("a checkpoint");
    assert_eq!(
        (saved.watermark, saved.scan.as_ref().and_then(|scan| scan.t0)),
        (unit().flow.start_from.timestamp(), Some(NOON))
    );
    assert_eq!(saved.scan.and_then(|scan| scan.cursor), Some(Key::Integer(3)));
    *source.drain_after.lock().expect("whole") = None;
    let second = job(Kind::Scan).run(means(source, Arc::clone(&log))).await;
    assert!(matches!(second, Outcome::Complete(..)), "{second:?}");
    assert_eq!(log.keys(DATA), numbers(1..=20));
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_is_fenced_gives_up_and_writes_nothing_more() {
    let (source, log) = (MemorySource::new(20), Arc::new(MemoryLog::default()));
    *log.alive_for.lock().expect("whole") = Some(1);
    let mut small = means(Arc::clone(&source), Arc::clone(&log));
    small.scan.batch_bills = 2;
    let outcome = job(Kind::Scan).run(small).await;
    assert!(matches!(&outcome, Outcome::Gone(fault) if fault.code == Code::Fenced), "{outcome:?}");
    let written = log.keys(DATA);
    *log.alive_for.lock().expect("whole") = None;
    let void = job(Kind::Scan);
    void.void.request();
    let outcome = void.run(means(Arc::clone(&source), Arc::clone(&log))).await;
    assert!(matches!(&outcome, Outcome::Gone(fault) if fault.code == Code::NotOwned), "{outcome:?}");
    assert_eq!(log.keys(DATA), written);
    assert!(matches!(job(Kind::Scan).run(means(source, Arc::clone(&log))).await, Outcome::Complete(..)));
    assert_eq!(log.keys(DATA), numbers(1..=20));
}

#[tokio::test(start_paused = true)]
async fn trouble_is_tried_again_with_growing_waits_and_then_the_run_fails() {
    let (source, log) = (MemorySource::new(2), Arc::new(MemoryLog::default()));
    source.errors.lock().expect("whole").extend([retry("trouble"), retry("connect"), retry("throttled")]);
    let begun = tokio::time::Instant::now();
    let outcome = job(Kind::Scan).run(means(Arc::clone(&source), Arc::clone(&log))).await;
    assert!(matches!(outcome, Outcome::Complete(..)), "{outcome:?}");
    assert!(begun.elapsed() >= Duration::from_millis(800 + 1_600));
    // Three attempts to connect after the first, and no more.
    source.errors.lock().expect("whole").extend((0..9).map(|_| retry("connect")));
    let outcome = job(Kind::Scan).run(means(Arc::clone(&source), Arc::clone(&log))).await;
    assert!(matches!(&outcome, Outcome::Failed(fault, None) if fault.code == Code::ErpUnreachable), "{outcome:?}");
    assert_eq!(source.errors.lock().expect("whole").len(), 9 - 4);
}

#[tokio::test(start_paused = true)]
async fn refused_credentials_are_not_tried_again_at_once() {
    let (source, log) = (MemorySource::new(2), Arc::new(MemoryLog::default()));
    let fault = Fault::new(Code::AuthFailed, "refused");
    let after = Some(Duration::from_secs(300));
    source.errors.lock().expect("whole").push_back(SourceError::Retry {
        class: "credentials",
        after,
        fault: fault.clone(),
    });
    assert_eq!(job(Kind::Scan).run(means(source, log)).await, Outcome::Failed(fault, after));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_stops_the_flow() {
    let (source, log) = (MemorySource::new(2), Arc::new(MemoryLog::default()));
    let fault = Fault::new(Code::SourceSchema, "no FGone").of_record("STK_MISCELLANEOUS").at_column("FGone");
    source.errors.lock().expect("whole").push_back(SourceError::Stop(fault.clone()));
    assert_eq!(job(Kind::Scan).run(means(source, Arc::clone(&log))).await, Outcome::Stopped(fault, "source_schema"));
    assert!(log.written.lock().expect("whole").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_and_does_not_read_stops_the_flow() {
    for (name, key, code) in [
        (topic::EXTRACT_STATE, "misc-inbound", Code::CheckpointUnreadable),
        (topic::EXTRACT_SEEN, "misc-inbound/1", Code::SeenUnreadable),
    ] {
        let (source, log) = (MemorySource::new(2), Arc::new(MemoryLog::default()));
        log.tables.lock().expect("whole").insert((name.to_owned(), key.as_bytes().to_vec()), b"{".to_vec());
        let outcome = job(Kind::Scan).run(means(source, Arc::clone(&log))).await;
        let Outcome::Stopped(fault, "state") = outcome else { panic!("{outcome:?}") };
        assert_eq!((fault.code, fault.place.record), (code, Some(format!("{name}/{key}"))));
        assert!(log.keys(DATA).is_empty() && log.keys(topic::EXTRACT_SEEN).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn scans_wait_while_the_stages_behind_are_far_behind() {
    let (source, log) = (MemorySource::new(2), Arc::new(MemoryLog::default()));
    let mut busy = means(source, log);
    busy.congestion.emitted(&unit().flow.name, 1_000_000);
    let far = |records, aged| HowFar { records, aged };
    let answers = [far(1_000_001, 0.0), far(5, 0.26), far(1_000_000, 0.25)];
    busy.downstream = Arc::new(Numbers(std::sync::Mutex::new(answers.into())));
    let begun = tokio::time::Instant::now();
    let outcome = job(Kind::Scan).run(busy).await;
    assert!(matches!(outcome, Outcome::Complete(..)), "{outcome:?}");
    assert!((Duration::from_secs(30)..Duration::from_secs(40)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lookback_reads_the_seen_table_page_by_page() {
    let (source, log) = (MemorySource::new(1_100), Arc::new(MemoryLog::default()));
    let mut wide = means(Arc::clone(&source), Arc::clone(&log));
    wide.scan.turn_pages = 3;
    assert!(matches!(job(Kind::Scan).run(wide.clone()).await, Outcome::Complete(..)));
    source.tables.lock().expect("whole").bills.remove(&777);
    let outcome = job(Kind::Lookback).run(wide).await;
    let Outcome::Complete(checkpoint, Some(report)) = outcome else { panic!("{outcome:?}") };
    assert_eq!((report.heads, report.different, report.missing, report.shrunk), (1_099, 0, 1, false));
    assert_eq!((checkpoint.looked_back, checkpoint.watermark), (Some(NOON), NOON - 30));
}
