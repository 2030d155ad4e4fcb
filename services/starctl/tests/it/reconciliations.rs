//! `starctl reconcile`.

use rustix::process::{Pid, Signal, kill_process};
use tonic::{Code, Status};

use crate::bed::Bed;

#[test]
fn a_dry_run_tells_the_calls_and_options_reach_the_server() {
    let bed = Bed::new();
    let options = ["--from", "2026-01-01T00:00:00+08:00", "--to", "1767225600", "--sample", "0.5", "--grace", "2m"];
    let start = [&["reconcile", "start", "flow/misc-inbound"][..], &options].concat();
    let dry = bed.starctl(&[&start[..], &["--dry-run"]].concat());
    insta::assert_snapshot!("reconcile_plan", dry.seen());
    let ran = bed.starctl(&[&start[..], &["--reason", "month end", "--idempotency-key", "k-1", "-o", "name"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "reconciliation/misc-inbound:1\n"));
    insta::assert_snapshot!("reconcile_request", bed.desk().requests("start_reconciliation")[1]);
}

#[test]
fn waiting_shows_the_report_and_ends_with_6_where_something_does_not_agree() {
    let bed = Bed::new();
    let ran = bed.starctl(&["reconcile", "start", "misc-inbound", "--wait", "--idempotency-key", "k-1"]);
    insta::assert_snapshot!("reconcile_wait", ran.seen());
    assert_eq!(ran.code, Some(6));
    assert_eq!(bed.starctl(&["reconcile", "watch", "misc-inbound:2-clean"]).code, Some(0));
    bed.desk().refuse("watch_reconciliation", Status::unavailable("gone"));
    assert_eq!(bed.starctl(&["reconcile", "watch", "misc-inbound:2-clean"]).code, Some(0));
    bed.desk().refuse("watch_reconciliation", Status::new(Code::PermissionDenied, "no"));
    assert_eq!(bed.starctl(&["reconcile", "watch", "misc-inbound:1"]).code, Some(4));
}

#[test]
fn reports_are_listed_and_shown_in_every_form() {
    let bed = Bed::new();
    insta::assert_snapshot!("reconcile_list", bed.starctl(&["reconcile", "list", "--utc"]).seen());
    let chinese = bed.starctl(&["reconcile", "get", "reconciliation/misc-inbound:1", "--utc", "--lang", "zh"]);
    insta::assert_snapshot!("reconcile_get_zh", chinese.seen());
    let json = bed.starctl(&["reconcile", "get", "misc-inbound:1", "-o", "json"]);
    assert_eq!((json.code, json.json()["items"][0]["findings"][1]["target_ids"][1].clone()), (Some(6), "101".into()));
    assert_eq!(bed.desk().requests("get_reconciliation").len(), 4, "two pages each");
    for (language, said) in [("en", "and 129998 more, which are counted only"), ("zh", "另有 129998 项，仅计数")]
    {
        let many = bed.starctl(&["reconcile", "get", "misc-inbound:3-many", "--lang", language]);
        assert!(many.code == Some(6) && many.out.contains(said), "{}", many.out);
    }
    let failed = bed.starctl(&["reconcile", "get", "misc-inbound:0"]);
    assert_eq!(failed.code, Some(1));
    assert!(failed.out.contains("E_ERP_TIMEOUT: no answer"), "{}", failed.out);
}

#[test]
fn an_interruption_leaves_the_report_and_names_it() {
    let bed = Bed::new();
    let child = bed.start(&["reconcile", "start", "endless", "--wait", "--yes", "--lang", "zh"]);
    bed.desk().wait_for("watch_reconciliation");
    kill_process(Pid::from_child(&child), Signal::INT).expect("ours");
    let ran = bed.ran(child.wait_with_output().expect("it ends"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(130), ""), "{}", ran.seen());
    let way = "对账 endless:1 仍在继续；继续跟踪：starctl reconcile watch endless:1\n";
    assert!(ran.err.starts_with("starctl reconcile watch endless:1\n") && ran.err.ends_with(way), "{}", ran.seen());
}
