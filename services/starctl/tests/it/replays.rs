//! Replays: started, followed, interrupted.

use document::Code;
use rustix::process::{Pid, Signal, kill_process};
use starbridge_proto::v1::ReplayStatus;
use tonic::Status;

use crate::bed::Bed;
use crate::desk::{job, passive};

const START: [&str; 6] = ["dlq", "replay", "-l", "flow=misc-inbound", "--reason", "warehouse added"];

fn start(bed: &Bed, more: &[&str]) -> crate::bed::Ran {
    bed.starctl(&[&START[..], more].concat())
}

#[test]
fn a_dry_run_shows_the_plan() {
    let bed = Bed::new();
    insta::assert_snapshot!(start(&bed, &["--dry-run"]).seen());
    assert!(bed.desk().requests("start_replay")[0].contains("dry_run: true"));
}

#[test]
fn options_reach_the_server_and_the_key_is_told() {
    let bed = Bed::new();
    let options = ["--rate", "20/s", "--max", "1000", "--attempt-cap", "5", "--stop-on-failure-ratio", "0.2"];
    let ran =
        start(&bed, &[&options[..], &["--flow-version", "original", "--idempotency-key", "k-1", "--yes"]].concat());
    insta::assert_snapshot!(ran.seen());
    insta::assert_snapshot!("start_replay", bed.desk().requests("start_replay").concat());
    let random = start(&bed, &["--yes", "-o", "name"]);
    assert_eq!(random.out, "replay/job-1\n");
    let key = random.err.lines().next().and_then(|line| line.strip_prefix("idempotency key ")).expect("a key");
    assert!(bed.desk().requests("start_replay")[1].contains(key), "{}", random.seen());
}

#[test]
fn waiting_ends_with_the_job_and_exit_6_when_letters_failed() {
    let bed = Bed::new();
    bed.desk().watched(vec![job(ReplayStatus::Running, 1, 0), job(ReplayStatus::Done, 2, 1)]);
    let ran = start(&bed, &["--yes", "--wait", "--idempotency-key", "k-1"]);
    insta::assert_snapshot!(ran.seen());
    assert_eq!(ran.code, Some(6));
    bed.desk().watched(vec![job(ReplayStatus::Done, 3, 0)]);
    assert_eq!(bed.starctl(&["replay", "watch", "replay/job-1"]).code, Some(0));
    bed.desk().watched(vec![job(ReplayStatus::Cancelled, 3, 0)]);
    assert_eq!(bed.starctl(&["replay", "watch", "job-1"]).code, Some(1));
}

#[test]
fn a_broken_stream_is_opened_again() {
    let bed = Bed::new();
    bed.desk().refuse("watch_replay", Status::unavailable("starting"));
    bed.desk().watched(vec![job(ReplayStatus::Running, 1, 0)]);
    bed.desk().watched(vec![job(ReplayStatus::Done, 3, 0)]);
    let ran = bed.starctl(&["replay", "watch", "job-1", "-o", "json"]);
    assert_eq!((ran.code, &ran.json()["items"][0]["resolved"]), (Some(0), &serde_json::json!(3)));
    assert_eq!(bed.desk().requests("watch_replay").len(), 3);
}

#[test]
fn an_interruption_leaves_the_job_and_names_it() {
    let bed = Bed::new();
    let child = bed.start(&["replay", "watch", "job-1", "-q"]);
    bed.desk().wait_for("watch_replay");
    kill_process(Pid::from_child(&child), Signal::INT).expect("ours");
    let ran = bed.ran(child.wait_with_output().expect("it ends"));
    insta::assert_snapshot!(ran.seen());
    assert_eq!(ran.code, Some(130));
}

#[test]
fn jobs_are_listed_shown_and_steered() {
    let bed = Bed::new();
    insta::assert_snapshot!("replay_list", bed.starctl(&["replay", "list", "--active"]).seen());
    insta::assert_snapshot!("replay_report", bed.starctl(&["replay", "report", "job-1"]).seen());
    assert!(bed.desk().requests("list_replays")[0].contains("active_only: true"));
    for (verb, status) in [("get", "running"), ("pause", "paused"), ("resume", "running")] {
        let ran = bed.starctl(&["replay", verb, "job-1"]);
        assert!(ran.code == Some(0) && ran.out.contains(status), "{}", ran.seen());
    }
    assert_eq!(bed.starctl(&["replay", "cancel", "job-1"]).code, Some(2));
    assert_eq!(bed.starctl(&["replay", "cancel", "job-1", "--yes"]).code, Some(0));
}

#[test]
fn a_change_goes_on_to_the_replica_that_writes_with_the_same_key() {
    let bed = Bed::new();
    // Its certificate says localhost, which an address is not: the context's name is what counts.
    let active = bed.authority.replica();
    bed.desk().refuse("start_replay", passive(&format!("127.0.0.1:{}", active.port)));
    let ran = start(&bed, &["--yes", "--idempotency-key", "k-1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(bed.desk().requests("start_replay"), active.desk.requests("start_replay"));
    assert!(active.desk.requests("start_replay")[0].contains("idempotency_key: \"k-1\""));
}

#[test]
fn a_change_is_sent_on_only_once() {
    let bed = Bed::new();
    let active = bed.authority.replica();
    bed.desk().refuse("start_replay", passive(&format!("127.0.0.1:{}", active.port)));
    active.desk.refuse("start_replay", passive(&format!("localhost:{}", bed.replica.port)));
    assert_eq!(start(&bed, &["--yes"]).code, Some(7));
    assert_eq!(bed.desk().requests("start_replay").len() + active.desk.requests("start_replay").len(), 2);
}

#[test]
fn a_lost_answer_to_a_change_tells_how_to_find_out() {
    let bed = Bed::new();
    bed.desk().refuse("start_replay", Status::unavailable("the connection broke"));
    let ran = start(&bed, &["--yes", "--idempotency-key", "k-1"]);
    insta::assert_snapshot!(ran.seen());
    bed.desk().refuse("park_dead_letters", Status::deadline_exceeded("too slow"));
    let json = bed.starctl(&["dlq", "park", "aa", "--yes", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&json.err).expect("JSON on standard error");
    assert_eq!((json.code, &told["code"]), (Some(7), &serde_json::json!(Code::OutcomeUnknown)));
    let sent = bed.desk().requests("park_dead_letters").concat();
    let key = told["hint"].as_str().and_then(|hint| hint.split("--idempotency-key ").nth(1)).expect("a key");
    assert!(sent.contains(key), "{sent} {key}");
}

#[test]
fn a_dry_run_that_got_lost_has_changed_nothing() {
    let bed = Bed::new();
    bed.desk().refuse("start_replay", Status::unavailable("the connection broke"));
    let ran = start(&bed, &["--dry-run"]);
    assert_eq!(ran.code, Some(7));
    assert!(!ran.err.contains(Code::OutcomeUnknown.as_str()), "{}", ran.seen());
}

#[test]
fn a_server_that_dies_under_a_change_leaves_the_outcome_open() {
    let bed = Bed::new();
    bed.desk().die_under("start_replay");
    let ran = start(&bed, &["--yes", "--idempotency-key", "k-1"]);
    assert_eq!(ran.code, Some(7), "{}", ran.seen());
    assert!(ran.err.contains(Code::OutcomeUnknown.as_str()), "{}", ran.seen());
    assert!(ran.err.contains("--yes --idempotency-key k-1"), "{}", ran.seen());
}

#[test]
fn a_plan_is_approved_as_it_was_seen_or_as_it_is() {
    let bed = Bed::new();
    let approve = ["replay", "approve", "job-1", "--reason", "looked at it"];
    let unasked = bed.starctl(&approve);
    assert_eq!(unasked.code, Some(2), "{}", unasked.seen());
    let ran = bed.starctl(&[&approve[..], &["--yes", "--plan-digest", "ab12", "-o", "name"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "replay/job-1\n"), "{}", ran.seen());
    let ran = bed.starctl(&[&approve[..], &["--yes"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let asked = bed.desk().requests("approve_replay");
    assert_eq!(asked.len(), 2);
    assert!(asked[0].contains("ab12") && asked[0].contains("looked at it"), "{asked:?}");
    assert!(asked[1].contains("c0ffee"), "{asked:?}");
}
