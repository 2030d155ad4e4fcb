//! The way to the control plane, step by step.

use chrono::{TimeDelta, Utc};
use tonic::Status;

use crate::bed::Bed;

/// The steps with their results, from the form for programs.
fn steps(bed: &Bed, more: &[&str]) -> (Option<i32>, Vec<String>) {
    let ran = bed.starctl(&[&["doctor", "-o", "json"], more].concat());
    let steps = ran.json()["items"].as_array().expect("a list").clone();
    let told = |step: &serde_json::Value| format!("{} {}", step["step"], step["result"]).replace('"', "");
    (ran.code, steps.iter().map(told).collect())
}

#[test]
fn a_good_way_is_told_step_by_step() {
    let bed = Bed::new();
    let (code, steps) = steps(&bed, &[]);
    assert_eq!(code, Some(0));
    assert_eq!(
        steps,
        [
            "context ok",
            "files ok",
            "tcp ok",
            "tls ok",
            "server certificate ok",
            "signed in ok",
            "version ok",
            "status ok"
        ]
    );
    insta::assert_snapshot!(bed.starctl(&["doctor", "--utc"]).seen());
}

#[test]
fn it_stops_at_the_step_that_fails_with_its_exit_code() {
    let bed = Bed::new();
    assert_eq!(steps(&bed, &["--context", "nowhere"]), (Some(2), vec!["context failed".to_owned()]));
    let (code, found) = steps(&bed, &["--endpoint", "https://127.0.0.1:1"]);
    assert_eq!((code, found.last().map(String::as_str)), (Some(7), Some("tcp failed")));
    bed.write("other.pem", &crate::bed::Authority::new().pem, 0o644);
    let (code, found) = steps(&bed, &["--ca-cert", &bed.path("other.pem").display().to_string()]);
    assert_eq!((code, found.last().map(String::as_str)), (Some(7), Some("tls failed")));
    bed.desk().refuse("who_am_i", Status::unauthenticated("the token ended"));
    let (code, found) = steps(&bed, &[]);
    assert_eq!((code, found.last().map(String::as_str)), (Some(4), Some("signed in failed")));
    bed.write("token", "x", 0o644);
    let (code, found) = steps(&bed, &[]);
    assert_eq!((code, found.last().map(String::as_str)), (Some(2), Some("files failed")));
}

#[test]
fn what_should_be_seen_to_is_a_warning() {
    let mut bed = Bed::new();
    bed.replica = bed.authority.replica_until(Utc::now() + TimeDelta::days(7));
    bed.desk().warn("access.open is on");
    let (code, found) = steps(&bed, &["--endpoint", &format!("https://localhost:{}", bed.replica.port)]);
    assert_eq!((code, found.last().map(String::as_str)), (Some(0), Some("settings warning")));
    assert!(found.contains(&"server certificate warning".to_owned()), "{found:?}");
}

#[test]
fn a_certificate_that_is_over_fails_the_handshake() {
    let mut bed = Bed::new();
    bed.replica = bed.authority.replica_until(Utc::now() - TimeDelta::days(7));
    let (code, found) = steps(&bed, &["--endpoint", &format!("https://localhost:{}", bed.replica.port)]);
    assert_eq!((code, found.last().map(String::as_str)), (Some(7), Some("tls failed")));
}

#[test]
fn a_client_certificate_signs_in_where_there_is_no_token() {
    let bed = Bed::new();
    let (certificate, key) = bed.authority.client("bob");
    bed.write("bob.pem", &certificate, 0o644);
    bed.write("bob.key", &key, 0o600);
    let named = |name: &str| bed.path(name).display().to_string();
    let endpoint = format!("https://localhost:{}", bed.replica.port);
    let (authority, certificate, key) = (named("ca.pem"), named("bob.pem"), named("bob.key"));
    let arguments = [
        ["--config", "none.toml"],
        ["--endpoint", &endpoint],
        ["--ca-cert", &authority],
        ["--client-cert", &certificate],
        ["--client-key", &key],
    ];
    let (code, found) = steps(&bed, arguments.as_flattened());
    assert_eq!(code, Some(0));
    assert!(found.contains(&"client certificate ok".to_owned()), "{found:?}");
    assert!(bed.desk().asked().iter().all(|asked| asked.certified && asked.authorization.is_none()));
    bed.write("bob.key", "x", 0o640);
    let (code, found) = steps(&bed, arguments.as_flattened());
    assert_eq!((code, found.last().map(String::as_str)), (Some(2), Some("files failed")));
}
