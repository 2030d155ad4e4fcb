//! The program: what it prints and how it ends.

use std::process::{Command, Output};

use history_checker::History;

use crate::{data, recorded};

fn check(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_history")).arg("check").args(options).output().expect("runs")
}

/// Checks `history` from a file of its own.
fn check_kept(history: &History, options: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("scratch");
    let file = folder.path().join("history.json");
    std::fs::write(&file, serde_json::to_vec(history).expect("JSON")).expect("written");
    check(&[&["--history", file.to_str().expect("a path")], options].concat())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_clean_history_ends_with_zero_and_a_line_for_each_invariant() {
    let output = check(&["--history", data("run.json").to_str().expect("a path")]);
    let lines = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{lines}");
    assert_eq!(lines.lines().count(), 13, "{lines}");
    assert!(lines.lines().all(|line| line.ends_with("holds")), "{lines}");
}

#[test]
fn violations_end_with_one_and_are_named() {
    let mut history = recorded();
    history.target.push(history.target[0].clone());
    let output = check_kept(&history, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["violations"][0]["invariant"], "I7", "{report}");
    let lines = text(&check_kept(&history, &[]).stdout);
    assert!(lines.contains("1 VIOLATIONS"), "{lines}");
    assert!(lines.contains(&format!("I7 {}: 2 times in the target", history.target[0].key)), "{lines}");
}

#[test]
fn a_check_that_looked_at_nothing_is_not_clean() {
    let mut history = recorded();
    history.redis.clear();
    let output = check_kept(&history, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("looked at nothing"));
    assert_eq!(check_kept(&history, &["--allow-empty"]).status.code(), Some(0));
}

#[test]
fn what_cannot_be_read_ends_with_two_and_is_named() {
    let output = check(&["--history", "nowhere.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("nowhere.json"));
    assert_eq!(check(&["--limit", "9"]).status.code(), Some(2));
}
