//! `starctl backfill`.

use rustix::process::{Pid, Signal, kill_process};
use tonic::{Code, Status};

use crate::bed::Bed;

#[test]
fn a_dry_run_tells_the_windows_and_options_reach_the_server() {
    let bed = Bed::new();
    let options = ["--from", "2026-01-01T00:00:00+08:00", "--to", "1767225600", "--chunk", "12h", "--rate", "600"];
    let start = [&["backfill", "start", "flow/misc-inbound", "--again"][..], &options].concat();
    let dry = bed.starctl(&[&start[..], &["--dry-run"]].concat());
    insta::assert_snapshot!("backfill_plan", dry.seen());
    let ran = bed.starctl(&[&start[..], &["--reason", "补录", "--idempotency-key", "k-1", "-o", "name"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "backfill/misc-inbound:1\n"));
    insta::assert_snapshot!("backfill_request", bed.desk().requests("start_backfill")[1]);
    assert_eq!(bed.starctl(&["backfill", "start", "misc-inbound"]).code, Some(2), "from is missing");
}

#[test]
fn waiting_tells_how_far_it_is_and_means_what_became_of_it() {
    let bed = Bed::new();
    let start = ["backfill", "start", "misc-inbound", "--from", "1767225600", "--wait", "--idempotency-key", "k-1"];
    let ran = bed.starctl(&[&start[..], &["--utc"]].concat());
    insta::assert_snapshot!("backfill_wait", ran.seen());
    assert_eq!(ran.code, Some(0));
    assert_eq!(bed.starctl(&["backfill", "watch", "misc-inbound:letters"]).code, Some(6));
    assert_eq!(bed.starctl(&["backfill", "watch", "misc-inbound:cancelled"]).code, Some(1));
    bed.desk().refuse("watch_backfill", Status::unavailable("gone"));
    assert_eq!(bed.starctl(&["backfill", "watch", "misc-inbound:1"]).code, Some(0));
    bed.desk().refuse("watch_backfill", Status::new(Code::PermissionDenied, "no"));
    assert_eq!(bed.starctl(&["backfill", "watch", "misc-inbound:1"]).code, Some(4));
}

#[test]
fn backfills_are_listed_shown_and_turned() {
    let bed = Bed::new();
    insta::assert_snapshot!("backfill_list", bed.starctl(&["backfill", "list", "--utc", "-o", "wide"]).seen());
    let chinese = bed.starctl(&["backfill", "get", "backfill/misc-inbound:1", "--utc", "--lang", "zh"]);
    insta::assert_snapshot!("backfill_get_zh", chinese.seen());
    for (word, call) in [("pause", "pause_backfill"), ("resume", "resume_backfill")] {
        let ran = bed.starctl(&["backfill", word, "misc-inbound:1", "--reason", "month end", "-o", "json"]);
        assert_eq!((ran.code, ran.json()["items"][0]["chunks_read"].clone()), (Some(0), 1.into()), "{word}");
        assert_eq!(bed.desk().requests(call).len(), 1);
    }
    let refused = bed.starctl(&["backfill", "cancel", "misc-inbound:1"]);
    assert_ne!(refused.code, Some(0), "nobody was there to confirm it");
    assert!(bed.desk().requests("cancel_backfill").is_empty());
    assert_eq!(bed.starctl(&["backfill", "cancel", "misc-inbound:1", "--yes"]).code, Some(0));
}

#[test]
fn an_interruption_leaves_the_backfill_and_names_it() {
    let bed = Bed::new();
    let child = bed.start(&["backfill", "start", "endless", "--from", "1767225600", "--wait"]);
    bed.desk().wait_for("watch_backfill");
    kill_process(Pid::from_child(&child), Signal::INT).expect("ours");
    let ran = bed.ran(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(130), ""), "{}", ran.seen());
    let way = "backfill endless:1 goes on; follow it with: starctl backfill watch endless:1\n";
    assert!(ran.err.starts_with("starctl backfill watch endless:1\n") && ran.err.ends_with(way), "{}", ran.seen());
}

#[test]
fn what_was_not_done_is_not_told_as_done() {
    let bed = Bed::new();
    for verb in ["pause", "resume", "cancel"] {
        let ran = bed.starctl(&["backfill", verb, "misc-inbound:1", "--dry-run"]);
        assert!(ran.code == Some(0) && ran.out.starts_with("dry run: nothing was changed\n"), "{}", ran.seen());
        let json = bed.starctl(&["backfill", verb, "misc-inbound:1", "--dry-run", "-o", "json"]);
        assert_eq!(json.json()["items"][0]["id"], "misc-inbound:1");
        assert_eq!(json.err, "dry run: nothing was changed\n");
    }
}
