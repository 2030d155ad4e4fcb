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
