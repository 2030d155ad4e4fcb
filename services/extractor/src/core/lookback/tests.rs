//! The second look against the deterministic source.

use document::{Code, Stage};

use super::*;
use crate::core::run::Run;
use crate::core::sim::log::{Fate, Log};
use crate::core::sim::{NOON, Source, mint, plan, shape};

const START: i64 = NOON - 86_400;

fn scan(source: &mut Source, log: &mut Log, plan: &Arc<Plan>) {
    let mut run = Run::begin(Arc::clone(plan), log.checkpoint(START), source.now, None);
    let mut mint = mint();
    while let Some(ask) = run.ask() {
        run.page(source.answer(&ask)).expect("an honest source");
    }
    let mut instant = Instant { micros: u64::try_from(source.now).expect("positive") * 1_000_000, mint: &mut mint };
    loop {
        let batch = run.batch(9_999, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
        assert!(log.commit(0, &batch, Fate::Applied));
        if batch.finished {
            return;
        }
    }
}

fn look(source: &mut Source, log: &mut Log, plan: &Arc<Plan>) -> Report {
    let mut look = Lookback::begin(Arc::clone(plan), log.checkpoint(START), source.now, Some(77)).expect("planned");
    let mut mint = mint();
    loop {
        while let Some(ask) = look.ask() {
            look.page(source.answer(&ask), &|id| log.lookup(id)).expect("reads").expect("an honest source");
        }
        if look.wants_entries() {
            look.compare(&mut log.entries()).expect("reads");
            continue;
        }
        let micros = u64::try_from(source.now).expect("positive") * 1_000_000;
        let mut instant = Instant { micros, mint: &mut mint };
        let batch = look.batch(9_999, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
        assert!(log.commit(0, &batch, Fate::Applied));
        assert_eq!(batch.counts.letters, batch.letters.len() as u64);
        if batch.finished {
            assert_eq!(batch.checkpoint.looked_back, Some(77));
            return look.report();
        }
    }
}

fn scanned(bills: i64) -> (Source, Log, Arc<Plan>) {
    let mut source = Source::at(NOON - 3_600);
    for id in 1..=bills {
        source.add(id, &[id, id]);
    }
    source.now = NOON;
    let (mut log, plan) = (Log::default(), Arc::new(plan(500)));
    scan(&mut source, &mut log, &plan);
    source.calls = 0;
    (source, log, plan)
}

#[test]
fn a_quiet_window_costs_a_page_of_heads_and_an_empty_one() {
    let (mut source, mut log, plan) = scanned(100);
    let watermark = log.checkpoint(START).watermark;
    let report = look(&mut source, &mut log, &plan);
    assert_eq!(report, Report { heads: 100, ..Report::default() });
    assert_eq!(source.calls, 2);
    assert_eq!(log.checkpoint(START).watermark, watermark);
}

#[test]
fn a_second_run_over_the_whole_day_costs_one_call_and_its_lookback_two() {
    let mut source = Source::at(NOON - 3_600);
    for id in 1..=5_009 {
        source.add(id, if id % 250 == 0 { &[1, 2, 3] } else { &[1, 2] });
    }
    source.now = NOON;
    let mut plan = plan(500);
    if let Some(look) = &mut plan.lookback {
        look.limit = 10_000;
    }
    let (mut log, plan) = (Log::default(), Arc::new(plan));
    scan(&mut source, &mut log, &plan);
    assert_eq!(log.data.len(), 5_009);
    source.calls = 0;
    source.now += 300;
    scan(&mut source, &mut log, &plan);
    assert_eq!(source.calls, 1);
    look(&mut source, &mut log, &plan);
    assert_eq!((source.calls, log.data.len()), (3, 5_009));
}

#[test]
fn late_and_changed_bills_are_fetched_by_id() {
    let (mut source, mut log, plan) = scanned(100);
    source.add_at(200, &[5], NOON - 7_200, NOON);
    source.now = NOON + 60;
    source.change(7, &[9]);
    let report = look(&mut source, &mut log, &plan);
    assert_eq!((report.heads, report.different, report.missing), (101, 2, 0));
    let newest: Vec<&str> = log.data[100..].iter().map(|record| record.document_key.as_str()).collect();
    assert_eq!(newest, ["B7", "B200"]);
    // Heads and their end; both bills, the end, and the last one once more.
    assert_eq!(source.calls, 2 + 3);
}

#[test]
fn a_bill_missing_twice_becomes_a_letter_that_its_return_closes() {
    let (mut source, mut log, plan) = scanned(100);
    let gone = source.bills.remove(&42).expect("there");
    assert_eq!(look(&mut source, &mut log, &plan).missing, 1);
    assert!(log.letters.is_empty());
    let report = look(&mut source, &mut log, &plan);
    assert_eq!((report.missing, report.retracted), (1, 1));
    let [letter] = log.letters.as_slice() else { panic!("one letter") };
    assert_eq!((letter.code, letter.stage), (Code::SourceRetracted, Stage::Extract));
    assert_eq!(letter.document_key.as_str(), "B42");
    assert_eq!((letter.first_failed_at, letter.last_failed_at), (NOON * 1_000, NOON * 1_000));
    let emitted = log.data.iter().find(|record| record.document_key.as_str() == "B42").expect("emitted");
    assert_eq!(letter.version, emitted.version);
    let fault = Fault::new(Code::SourceRetracted, "x").of_record("B42");
    assert_eq!(fault.place.record.as_deref(), Some("B42"));
    // No second letter; and a newer version when it is back.
    assert_eq!(look(&mut source, &mut log, &plan).retracted, 0);
    assert_eq!(log.letters.len(), 1);
    let before = letter_version(&log);
    source.bills.insert(42, gone);
    look(&mut source, &mut log, &plan);
    let newest = log.data.last().expect("emitted again");
    assert_eq!(newest.document_key.as_str(), "B42");
    assert!(newest.version > before);
}

fn letter_version(log: &Log) -> Version {
    log.letters[0].version
}

#[test]
fn a_bill_that_is_there_again_in_the_next_lookback_starts_anew() {
    let (mut source, mut log, plan) = scanned(100);
    let gone = source.bills.remove(&42).expect("there");
    look(&mut source, &mut log, &plan);
    source.bills.insert(42, gone.clone());
    look(&mut source, &mut log, &plan);
    source.bills.remove(&42);
    look(&mut source, &mut log, &plan);
    assert!(log.letters.is_empty());
}

#[test]
fn many_bills_missing_at_once_are_an_alert_and_no_letters() {
    let (mut source, mut log, plan) = scanned(100);
    for id in 1..=6 {
        source.bills.remove(&id);
    }
    for _ in 0..3 {
        let report = look(&mut source, &mut log, &plan);
        assert_eq!((report.missing, report.shrunk), (6, true));
        let alert = report.alert("misc-inbound").expect("an alert");
        assert_eq!((alert.code, alert.place.record.as_deref()), (Code::SourceShrunk, Some("misc-inbound")));
    }
    assert!(log.letters.is_empty());
    // Five of a hundred are not more than 5 %.
    let (mut source, mut log, plan) = scanned(100);
    for id in 1..=5 {
        source.bills.remove(&id);
    }
    look(&mut source, &mut log, &plan);
    assert_eq!(look(&mut source, &mut log, &plan).retracted, 5);
}

#[test]
fn bills_older_than_the_window_are_not_missing() {
    let (mut source, mut log, plan) = scanned(100);
    source.bills.clear();
    source.now = NOON + 4 * 86_400;
    scan(&mut source, &mut log, &plan);
    let report = look(&mut source, &mut log, &plan);
    assert_eq!((report.missing, report.shrunk), (0, false));
}

#[test]
fn the_window_of_a_documents_own_remedy_concludes_nothing() {
    let (mut source, mut log, plan) = scanned(100);
    let mut own = (*plan).clone();
    if let Some(look) = &mut own.lookback {
        look.conclusive = false;
    }
    source.bills.remove(&1);
    let own = Arc::new(own);
    look(&mut source, &mut log, &own);
    assert_eq!(look(&mut source, &mut log, &own).missing, 0);
    assert!(log.letters.is_empty());
}

#[test]
fn differences_are_read_by_id_unless_they_are_most_of_the_window_and_too_many_for_one_query() {
    for (bills, changed, chunk, by_id) in [
        (10, 6, 5, None),
        // Half of the window is not most of it.
        (10, 5, 4, Some(4)),
        // One query brings them all.
        (10, 6, 6, Some(6)),
        (100, 3, 2, Some(2)),
    ] {
        let (mut source, log, plan) = scanned(bills);
        let mut plan = (*plan).clone();
        if let Some(look) = &mut plan.lookback {
            look.chunk = chunk;
        }
        source.now += 60;
        (1..=changed).for_each(|id| source.change(id, &[9]));
        let begun = Lookback::begin(Arc::new(plan), log.checkpoint(START), source.now, None);
        let mut look = begun.expect("planned");
        while let Some(ask) = look.ask() {
            look.page(source.answer(&ask), &|id| log.lookup(id)).expect("reads").expect("an honest source");
        }
        look.compare(&mut log.entries()).expect("reads");
        let found = match look.ask().expect("differences").scope {
            Scope::Ids(ids) => Some(ids.len()),
            Scope::Window | Scope::Before(_) => None,
        };
        assert_eq!(found, by_id, "{changed} of {bills} in queries of {chunk}");
    }
}

#[test]
fn a_lookback_reaches_back_from_w_and_its_shape_sees_the_same_times_as_its_queries() {
    let (source, log, plan) = scanned(1);
    let watermark = log.checkpoint(START).watermark;
    let look = Lookback::begin(plan, log.checkpoint(START), source.now, None).expect("planned");
    let ask = look.ask().expect("heads");
    assert_eq!((ask.run_time, ask.since), (source.now, watermark - 3 * 86_400));
    assert_eq!(look.times(), (ask.run_time, ask.since));
}

#[test]
fn bills_that_were_fetched_wait_until_a_batch_has_room_for_them() {
    let (mut source, log, plan) = scanned(5);
    source.now += 60;
    (1..=2).for_each(|id| source.change(id, &[9]));
    let mut look = Lookback::begin(plan, log.checkpoint(START), source.now, None).expect("planned");
    let read = |look: &mut Lookback, source: &mut Source| {
        while let Some(ask) = look.ask() {
            look.page(source.answer(&ask), &|id| log.lookup(id)).expect("reads").expect("an honest source");
        }
    };
    read(&mut look, &mut source);
    look.compare(&mut log.entries()).expect("reads");
    read(&mut look, &mut source);
    assert_eq!(look.pending(), 2);
    let mut mint = mint();
    let micros = u64::try_from(source.now).expect("positive") * 1_000_000;
    let mut instant = Instant { micros, mint: &mut mint };
    // The first batch only grants the versions that the others give out.
    for (emitted, left, finished) in [(0, 2, false), (1, 1, false), (1, 0, true)] {
        let batch = look.batch(1, &|id| log.lookup(id), &shape, &mut instant).expect("reads");
        assert_eq!((batch.data.len(), look.pending(), batch.finished), (emitted, left, finished));
    }
}
