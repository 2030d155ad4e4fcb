//! A broker's folder, of which one partition is real.

use std::path::Path;

use history::log;
use history_checker::{End, History};

use crate::data;

/// A folder with the recorded ledger partition.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("scratch");
    put(folder.path(), "starbridge.misc-inbound.ledger-0", &std::fs::read(data("ledger-0.log")).expect("recorded"));
    folder
}

fn put(folder: &Path, partition: &str, bytes: &[u8]) {
    let partition = folder.join(partition);
    std::fs::create_dir_all(&partition).expect("made");
    std::fs::write(partition.join("00000000000000000000.log"), bytes).expect("written");
}

#[test]
fn a_ledger_gives_intents_ends_and_owners() {
    let mut history = History::default();
    log::read(folder().path(), "misc-inbound", &mut history).expect("read");
    assert!(history.intents.len() > 3 && history.intents.iter().all(|intent| intent.closed.is_some()));
    assert!(history.intents.iter().all(|intent| intent.closed.is_some_and(|closed| closed >= intent.at)));
    assert!(history.ends.len() > 30 && history.ends.iter().all(|end| end.end == End::Applied));
    // The loader was killed in the middle: there are two owners.
    assert_eq!(history.state.iter().filter(|write| write.barrier).count(), 2);
    assert!(history.outcomes.is_empty() && history.mapped.is_empty());
}

#[test]
fn other_flows_are_passed_over() {
    let mut history = History::default();
    log::read(folder().path(), "misc", &mut history).expect("read");
    assert!(history.ends.is_empty() && history.state.is_empty());
}

#[test]
fn a_file_that_does_not_read_is_named_with_its_place() {
    let folder = folder();
    put(folder.path(), "starbridge.dead-letters-3", &[0; 70]);
    let error = log::read(folder.path(), "misc-inbound", &mut History::default()).expect_err("no batch");
    let words = format!("{error:#}");
    assert!(words.contains("starbridge.dead-letters-3/00000000000000000000.log: the batch at byte 0"), "{words}");
}
