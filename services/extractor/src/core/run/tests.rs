//! Windows against the deterministic source: what is read by command, whatever W is.

use document::Code;
use flow::Shaped;

use super::*;
use crate::core::sim::log::{Fate, Log};
use crate::core::sim::{NOON, Source, mint, plan, shape};

const START: i64 = NOON - 10 * 86_400;
const HOUR: i64 = 3_600;

fn window(from: i64, to: i64, again: bool) -> Window {
    Window { from, to, again, part: None }
}

/// Runs to its end, or dies after so many batches of two bills. One that only grants versions is none of them.
fn go(mut run: Run, source: &mut Source, log: &mut Log, batches: usize) -> Counts {
    let (mut counts, mut mint) = (Counts::default(), mint());
    let mut left = batches;
    while left > 0 {
        while run.pending() < 2
            && let Some(ask) = run.ask()
        {
            run.page(source.answer(&ask)).expect("an honest source");
        }
        let mut instant = Instant { micros: u64::try_from(source.now).expect("positive") * 1_000_000, mint: &mut mint };
        let batch = run.batch(2, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
        assert!(log.commit(0, &batch, Fate::Applied));
        counts.add(batch.counts);
        if batch.finished {
            break;
        }
        left -= usize::from(batch.counts != Counts::default());
    }
    counts
}

fn scan(source: &mut Source, log: &mut Log, batches: usize) {
    go(Run::begin(Arc::new(plan(4)), log.checkpoint(START), source.now, None), source, log, batches);
}

fn read(window: Window, source: &mut Source, log: &mut Log, batches: usize) -> Counts {
    go(Run::window(Arc::new(plan(4)), log.checkpoint(START), window, source.now), source, log, batches)
}

/// Bills 1 to 9, one an hour, the last one at noon; all of them scanned.
fn scanned() -> (Source, Log) {
    let (mut source, mut log) = (Source::at(NOON), Log::default());
    for id in 1..=9 {
        source.add_at(id, &[id, id], NOON - (9 - id) * HOUR, NOON);
    }
    source.now = NOON + HOUR;
    scan(&mut source, &mut log, 99);
    (source, log)
}

fn numbers(log: &Log, from: usize) -> Vec<&str> {
    log.data[from..].iter().map(|record| record.document_key.as_str()).collect()
}

#[test]
fn a_window_brings_what_was_missed_in_it_and_leaves_w_and_the_scan_alone() {
    let (mut source, mut log) = scanned();
    // Too late for the overlap of any scan; two of them lie in the window, whose end is excluded.
    for (id, hours) in [(11, 4), (12, 3), (13, 2)] {
        source.add_at(id, &[7], NOON - hours * HOUR, source.now);
    }
    // A scan is under way.
    source.change(9, &[1]);
    source.change(8, &[1]);
    source.change(7, &[1]);
    scan(&mut source, &mut log, 1);
    let before = log.checkpoint(START);
    let emitted = log.data.len();
    let counts = read(window(NOON - 4 * HOUR, NOON - 2 * HOUR, false), &mut source, &mut log, 99);
    // Bills 5 and 6 are as they were.
    assert_eq!((counts.emitted, counts.unchanged), (2, 2));
    assert_eq!(numbers(&log, emitted), ["B11", "B12"]);
    let after = log.checkpoint(START);
    assert!(before.scan.is_some() && after.last_version > before.last_version);
    assert_eq!(after, Checkpoint { last_version: after.last_version, granted: after.granted, ..before });
}

#[test]
fn a_window_that_is_to_be_emitted_again_gives_new_versions_of_what_did_not_change() {
    let (mut source, mut log) = scanned();
    let (emitted, last) = (log.data.len(), log.checkpoint(START).last_version);
    let counts = read(window(NOON - HOUR, NOON + 1, true), &mut source, &mut log, 99);
    assert_eq!((counts.emitted, counts.unchanged, numbers(&log, emitted)), (2, 0, vec!["B8", "B9"]));
    assert!(log.data[emitted..].iter().all(|record| Some(record.version) > last));
    // Later scans know these versions.
    let seen = log.lookup(&Key::Integer(9)).expect("reads").expect("seen");
    assert_eq!(seen.documents[0].version, log.data[emitted + 1].version);
}

#[test]
fn a_window_goes_on_where_its_owner_died() {
    let (mut source, mut log) = scanned();
    let emitted = log.data.len();
    let whole = window(NOON - 8 * HOUR, NOON + 1, true);
    read(whole, &mut source, &mut log, 2);
    let mark = log.checkpoint(START).window.expect("under way");
    assert_eq!((mark.window, mark.scan.cursor), (whole, Some(Key::Integer(4))));
    // A scan in between does not disturb it.
    source.now += HOUR;
    scan(&mut source, &mut log, 99);
    assert!(log.checkpoint(START).window.is_some());
    let counts = read(whole, &mut source, &mut log, 99);
    assert_eq!((counts.emitted, log.checkpoint(START).window), (5, None));
    assert_eq!(numbers(&log, emitted), (1..=9).map(|id| format!("B{id}")).collect::<Vec<_>>());
}

#[test]
fn what_became_readable_without_its_checkpoint_is_not_outrun_by_a_clock_behind() {
    let (mut source, mut log) = (Source::at(NOON), Log::default());
    source.add_at(1, &[1], NOON - HOUR, NOON);
    let mut versions = Vec::new();
    // The first owner's clock is an hour ahead of the second one's, and that of the third is another hour behind.
    for (round, clock) in [NOON + HOUR, NOON, NOON - HOUR].into_iter().enumerate() {
        source.change(1, &[i64::try_from(round).expect("few") + 5]);
        let mut run = Run::begin(Arc::new(plan(4)), log.checkpoint(START), source.now, None);
        let mut mint = mint();
        while let Some(ask) = run.ask() {
            run.page(source.answer(&ask)).expect("an honest source");
        }
        loop {
            let micros = u64::try_from(clock).expect("positive") * 1_000_000;
            let mut instant = Instant { micros, mint: &mut mint };
            let batch = run.batch(2, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
            // A stale commit: the data are readable, and nothing behind them.
            let fate = if batch.data.is_empty() { Fate::Applied } else { Fate::DataOnly };
            if !log.commit(0, &batch, fate) {
                versions.push(batch.data[0].version);
                break;
            }
        }
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[test]
fn a_backfill_counts_what_its_windows_brought_across_owners() {
    let (mut source, mut log) = scanned();
    let id = document::BackfillId::new(7);
    let part = |from, to, again| Window {
        part: Some(crate::core::checkpoint::Part { backfill: id, rate: None }),
        ..window(from, to, again)
    };
    let mark = |log: &Log| log.checkpoint(START).backfills.get(id).copied();
    assert_eq!(mark(&log), None);
    let first = part(NOON - 8 * HOUR, NOON - 4 * HOUR, true);
    read(first, &mut source, &mut log, 1);
    assert_eq!(mark(&log).map(|mark| (mark.read_to, mark.emitted)), Some((None, 2)));
    assert!(!log.checkpoint(START).has_read(&first));
    read(first, &mut source, &mut log, 99);
    assert_eq!(mark(&log).map(|mark| (mark.read_to, mark.emitted)), Some((Some(first.to), 4)));
    let second = part(first.to, NOON + 1, false);
    read(second, &mut source, &mut log, 99);
    let last = mark(&log).expect("a mark");
    assert_eq!((last.read_to, last.emitted, last.unchanged, last.at), (Some(NOON + 1), 4, 5, source.now));
    assert!(log.checkpoint(START).has_read(&first) && log.checkpoint(START).has_read(&second));
    assert!(!log.checkpoint(START).has_read(&window(NOON - 8 * HOUR, NOON - 4 * HOUR, true)));
}

#[test]
fn the_shape_of_a_run_sees_the_same_times_as_its_queries() {
    let (source, log) = scanned();
    let window = window(NOON - 4 * HOUR, NOON, false);
    let run = Run::window(Arc::new(plan(4)), log.checkpoint(START), window, source.now);
    let ask = run.ask().expect("a page");
    assert_eq!((ask.run_time, ask.since, ask.scope), (source.now, window.from, Scope::Before(window.to)));
    assert_eq!(run.times(), (source.now, window.from));
}

#[test]
fn a_backfill_counts_the_letters_of_all_its_batches() {
    let (mut source, mut log) = scanned();
    let id = document::BackfillId::new(7);
    let part = Some(crate::core::checkpoint::Part { backfill: id, rate: None });
    let mut plan = plan(4);
    plan.rules.max_record_bytes = 10;
    let window = Window { part, ..window(NOON - 2 * HOUR, NOON + 1, true) };
    let run = Run::window(Arc::new(plan), log.checkpoint(START), window, source.now);
    go(run, &mut source, &mut log, 99);
    let mark = log.checkpoint(START).backfills.get(id).copied().expect("a mark");
    assert_eq!((mark.letters, mark.emitted), (3, 0));
}

#[test]
fn bills_that_were_read_wait_until_a_batch_has_room_for_them() {
    let mut source = Source::at(NOON - HOUR);
    (1..=3).for_each(|id| source.add(id, &[id]));
    source.now = NOON;
    let log = Log::default();
    let mut run = Run::begin(Arc::new(plan(500)), log.checkpoint(START), source.now, None);
    while let Some(ask) = run.ask() {
        run.page(source.answer(&ask)).expect("an honest source");
    }
    assert_eq!(run.pending(), 3);
    let (mut mint, micros) = (mint(), u64::try_from(source.now).expect("positive") * 1_000_000);
    let mut instant = Instant { micros, mint: &mut mint };
    // The first batch only grants the versions that the others give out.
    let mut versions = Vec::new();
    for (emitted, left, finished) in [(0, 3, false), (2, 1, false), (1, 0, true)] {
        let batch = run.batch(2, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
        assert_eq!((batch.data.len(), run.pending(), batch.finished), (emitted, left, finished));
        versions.extend(batch.data.iter().map(|record| record.version));
        assert_eq!(batch.checkpoint.last_version, versions.last().copied());
    }
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
}

#[test]
fn a_batch_takes_no_further_bill_once_its_records_or_letters_are_large_enough() {
    let reject = |rows| Shaped { rejected: vec![(0, Fault::new(Code::Filter, "not a date"))], ..shape(rows) };
    let shapes: [Shaper<'_>; 2] = [&shape, &reject];
    for shape in shapes {
        let mut source = Source::at(NOON - HOUR);
        (1..=6).for_each(|id| source.add(id, &[id]));
        source.now = NOON;
        let log = Log::default();
        // Not as large as two records are, and larger than one.
        let plan = Plan { max_batch_bytes: 40, ..plan(500) };
        let mut run = Run::begin(Arc::new(plan), log.checkpoint(START), source.now, None);
        while let Some(ask) = run.ask() {
            run.page(source.answer(&ask)).expect("an honest source");
        }
        let (mut mint, micros) = (mint(), u64::try_from(source.now).expect("positive") * 1_000_000);
        let mut instant = Instant { micros, mint: &mut mint };
        let mut taken = || {
            let batch = run.batch(99, &|id| log.lookup(id), shape, &mut instant).expect("reads");
            (batch.data.len() + batch.letters.len(), batch.finished)
        };
        assert_eq!([taken(), taken(), taken(), taken()], [(0, false), (2, false), (2, false), (2, true)]);
    }
}
