//! Questions on a terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use starbridge_proto::v1::ReplayStatus;

use crate::bed::Bed;
use crate::desk::job;

/// Runs a command whose user types a line; gives its exit code, its data, and what the user sees.
fn answered(bed: &Bed, arguments: &[&str], line: &str) -> (Option<i32>, String, String) {
    let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).expect("ours");
    unlockpt(&ours).expect("ours");
    let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("ours");
    let name = ptsname(&ours, Vec::new()).expect("a name");
    let theirs = OpenOptions::new()
        .read(true)
        .write(true)
        .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
        .expect("the other end");
    let mut ours = File::from(ours);
    let mut command = bed.command(arguments);
    command.env("TERM", "xterm").stdin(theirs.try_clone().expect("a copy")).stderr(theirs).stdout(Stdio::piped());
    let child = command.spawn().expect("it runs");
    // The command holds copies of the other end; the terminal ends once all are gone.
    drop(command);
    let (mut seen, mut answered) = (String::new(), false);
    let mut chunk = [0; 4096];
    // A terminal whose other end is gone answers with an error instead of an end.
    while let Ok(read @ 1..) = ours.read(&mut chunk) {
        seen.push_str(&String::from_utf8_lossy(&chunk[..read]));
        if !answered && [": ", "：", "] "].iter().any(|end| seen.ends_with(end)) {
            ours.write_all(format!("{line}\n").as_bytes()).expect("the terminal takes it");
            answered = true;
        }
    }
    let ran = bed.ran(child.wait_with_output().expect("it ends"));
    (ran.code, ran.out, seen)
}

const PARK: [&str; 4] = ["dlq", "park", "-l", "flow=misc-inbound"];

#[test]
fn a_yes_does_it_and_anything_else_does_not() {
    let bed = Bed::new();
    let (code, _, seen) = answered(&bed, &PARK, "y");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("This parks 2 letters and leaves 0 alone. Go on? [y/N]"), "{seen}");
    let asked = bed.desk().requests("park_dead_letters");
    assert!(asked.len() == 2 && asked[0].contains("dry_run: true") && asked[1].contains("dry_run: false"), "{asked:?}");
    let (code, out, _) = answered(&bed, &PARK, "");
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(bed.desk().requests("park_dead_letters").len(), 3);
}

#[test]
fn production_wants_the_name_of_the_flow() {
    let bed = Bed::with("production = true\n");
    let (code, _, seen) = answered(&bed, &PARK, "y");
    assert_eq!(code, Some(2), "{seen}");
    assert!(seen.contains("Type misc-inbound to go on"), "{seen}");
    let (code, _, seen) = answered(&bed, &PARK, "misc-inbound");
    assert_eq!(code, Some(0), "{seen}");
    let (code, _, seen) = answered(&bed, &["flow", "pause", "misc-inbound"], "misc-inbound");
    assert_eq!(code, Some(0), "{seen}");
    let replay = ["dlq", "replay", "aa", "--reason", "x", "--lang", "zh"];
    let (code, _, seen) = answered(&bed, &replay, "misc-inbound");
    assert!(code == Some(0) && seen.contains("这是生产环境"), "{seen}");
    assert!(bed.desk().requests("get_dead_letter_stats").concat().contains(r#"id in (\"aa\")"#));
}

#[test]
fn in_production_every_change_names_what_it_is_about() {
    let bed = Bed::with("production = true\n");
    let out = bed.path("out.ndjson").display().to_string();
    let exported = bed.starctl(&["dlq", "export", "aa", "--out", &out]);
    assert_eq!(exported.code, Some(0), "{}", exported.seen());
    let edited = std::fs::read_to_string(&out).expect("there").replace("1.50", "2.50");
    std::fs::write(&out, edited).expect("ours");
    let backfill = "misc-inbound:1";
    for (call, name, arguments) in [
        ("edit_dead_letter", "misc-inbound", &["dlq", "edit", "aa", "--set", "FQty=13"][..]),
        ("import_dead_letters", "misc-inbound", &["dlq", "import", &out, "--as-edit", "--reason", "x"]),
        ("approve_replay", "misc-inbound", &["replay", "approve", "job-1", "--reason", "x"]),
        ("pause_replay", "misc-inbound", &["replay", "pause", "job-1"]),
        ("resume_replay", "misc-inbound", &["replay", "resume", "job-1"]),
        ("cancel_replay", "misc-inbound", &["replay", "cancel", "job-1"]),
        ("start_backfill", "misc-inbound", &["backfill", "start", "misc-inbound", "--from", "1767225600"]),
        ("pause_backfill", "misc-inbound", &["backfill", "pause", backfill]),
        ("resume_backfill", "misc-inbound", &["backfill", "resume", backfill]),
        ("cancel_backfill", "misc-inbound", &["backfill", "cancel", backfill]),
        ("put_binding", "bob", &["auth", "bind", "bob", "viewer"]),
        ("test_connection", "galaxy-a", &["connection", "test", "galaxy-a", "--save"]),
    ] {
        let done = |bed: &Bed| {
            let asked = bed.desk().requests(call);
            let done = |request: &&String| !request.contains("dry_run: true");
            asked.iter().filter(done).count()
        };
        let (code, _, seen) = answered(&bed, arguments, "y");
        assert_eq!((code, done(&bed)), (Some(2), 0), "{call}: {seen}");
        assert!(seen.contains(&format!("Type {name} to go on")), "{call}: {seen}");
        let (code, _, seen) = answered(&bed, arguments, name);
        assert_eq!((code, done(&bed)), (Some(0), 1), "{call}: {seen}");
    }
    // What changes nothing in either system asks nobody.
    let (code, _, seen) = answered(&bed, &["reconcile", "start", "misc-inbound"], "");
    assert_eq!(code, Some(0), "{seen}");
    assert_eq!(bed.starctl(&["connection", "test", "galaxy-a", "--yes"]).code, Some(0));
}

#[test]
fn what_would_change_nothing_ends_alike_with_and_without_a_question() {
    let bed = Bed::new();
    let park = ["dlq", "park", "-l", "state=resolved"];
    let (code, out, _) = answered(&bed, &park, "");
    let answered_before = bed.starctl(&[&park[..], &["--yes"]].concat());
    assert_eq!((code, answered_before.code), (Some(6), Some(6)), "{}", answered_before.seen());
    assert_eq!(out, answered_before.out);
    let park = ["dlq", "park", "-l", "flow=empty"];
    let (code, _, seen) = answered(&bed, &park, "");
    let ran = bed.starctl(&[&park[..], &["--yes"]].concat());
    assert!(code == Some(0) && seen.contains("no letter was selected"), "{seen}");
    assert!(ran.code == Some(0) && ran.err.contains("no letter was selected"), "{}", ran.seen());
    let replay = ["dlq", "replay", "-l", "flow=empty", "--reason", "x"];
    let (code, _, seen) = answered(&bed, &replay, "");
    let ran = bed.starctl(&[&replay[..], &["--yes"]].concat());
    assert!(code == Some(0) && seen.contains("no letter was selected"), "{seen}");
    assert!(ran.code == Some(0) && ran.err.contains("no letter was selected"), "{}", ran.seen());
}

#[test]
fn json_never_asks() {
    let bed = Bed::new();
    let (code, _, seen) = answered(&bed, &[&PARK[..], &["-o", "json"]].concat(), "y");
    assert_eq!(code, Some(2), "{seen}");
    assert!(bed.desk().asked().is_empty());
}

#[test]
fn a_token_is_typed_without_being_shown() {
    let bed = Bed::new();
    let (code, _, seen) = answered(&bed, &["auth", "login"], "sbt1.typed");
    assert_eq!(code, Some(0), "{seen}");
    assert!(seen.contains("Token: ") && !seen.contains("sbt1.typed"), "{seen}");
    assert_eq!(std::fs::read_to_string(bed.path("token")).expect("kept"), "sbt1.typed");
}

#[test]
fn a_job_is_followed_by_a_bar() {
    let bed = Bed::new();
    bed.desk().watched(vec![job(ReplayStatus::Running, 1, 0), job(ReplayStatus::Done, 3, 0)]);
    let (code, out, seen) = answered(&bed, &["replay", "watch", "job-1", "-o", "name"], "");
    assert_eq!((code, out.as_str()), (Some(0), "replay/job-1\n"));
    assert!(seen.contains("/3"), "{seen}");
}
