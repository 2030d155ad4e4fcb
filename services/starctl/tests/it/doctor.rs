//! The way to the control plane, step by step.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// A token that was given so many minutes ago and ends in so many.
fn token(given: i64, ends: i64) -> String {
    let at = |minutes| (Utc::now() + TimeDelta::minutes(minutes)).timestamp();
    let claims = format!(r#"{{"sub":"ada","aud":"a","jti":"1","kid":"k","iat":{},"exp":{}}}"#, at(-given), at(ends));
    format!("sbt1.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn offline_looks_at_this_machine_alone() {
    let bed = Bed::new();
    bed.write("token", &token(1, 600), 0o600);
    let (code, found) = steps(&bed, &["--offline"]);
    let all = ["configuration ok", "context ok", "endpoint ok", "authority ok", "token ok", "clock ok"];
    assert_eq!((code, found), (Some(0), all.map(str::to_owned).to_vec()));
    assert!(bed.desk().asked().is_empty());
    // Each step tells its own fault, and the steps behind it are looked at all the same.
    bed.write("token", "hunter2", 0o600);
    bed.write("ca.pem", "no certificate", 0o644);
    let english = bed.starctl(&["doctor", "--offline", "-o", "json", "--endpoint", "http://control.example"]);
    assert!(english.code == Some(9) && !english.out.contains("hunter2"), "{}", english.seen());
    let steps = english.json()["items"].as_array().expect("steps").clone();
    let failed: Vec<&str> =
        steps.iter().filter(|step| step["result"] == "failed").filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(failed, ["endpoint", "authority", "token"]);
    assert!(steps.iter().filter(|step| step["result"] == "failed").all(|step| step["advice"].is_string()));
    let table = |lang: &str| {
        // How wide a table is depends on where the home folder lies.
        let ran = bed.starctl(&["doctor", "--offline", "-o", "csv", "--utc", "--lang", lang]);
        ran.seen().lines().filter(|line| !line.starts_with("clock")).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!("doctor_offline", table("en"));
    insta::assert_snapshot!("doctor_offline_zh", table("zh"));
}

#[test]
fn offline_judges_files_dates_and_the_clock() {
    let bed = Bed::new();
    let of = |step: &str, more: &[&str]| {
        let (code, found) = steps(&bed, &[&["--offline"], more].concat());
        let found = found.into_iter().find(|found| found.starts_with(step)).expect("the step");
        (code, found.rsplit(' ').next().expect("a result").to_owned())
    };
    let ok = |code: i32, result: &str| (Some(code), result.to_owned());
    for (text, mode, code, result) in
        [(token(1, 30), 0o600, 0, "warning"), (token(60, -1), 0o600, 9, "failed"), (token(1, 600), 0o640, 9, "failed")]
    {
        bed.write("token", &text, mode);
        assert_eq!(of("token", &[]), ok(code, result), "{mode:o}");
    }
    bed.write("token", &token(-60, 600), 0o600);
    assert_eq!(of("clock", &[]), ok(9, "failed"), "the token is from the future");
    bed.write("token", &token(1, 600), 0o600);
    let named = |name: &str| bed.path(name).display().to_string();
    for (days, code, result) in [(7, 0, "warning"), (-7, 9, "failed"), (700, 0, "ok")] {
        let (certificate, key) = bed.authority.client_until("bob", Utc::now() + TimeDelta::days(days));
        bed.write("bob.pem", &certificate, 0o644);
        bed.write("bob.key", &key, 0o600);
        let pair = ["--client-cert", &named("bob.pem"), "--client-key", &named("bob.key")];
        assert_eq!(of("client certificate", &pair), ok(code, result), "{days}");
        assert_eq!(of("client key", &pair), ok(code, "ok"), "{days}");
    }
    // An old authority may stay beside its successor; one that is over alone may not.
    let over = bed.authority.client_until("old", Utc::now() - TimeDelta::days(7)).0;
    bed.write("both.pem", &format!("{over}{}", bed.authority.pem), 0o644);
    bed.write("over.pem", &over, 0o644);
    assert_eq!(of("authority", &["--ca-cert", &named("both.pem")]), ok(0, "ok"));
    assert_eq!(of("authority", &["--ca-cert", &named("over.pem")]), ok(9, "failed"));
    let (_, found) = steps(&bed, &["--offline", "--endpoint", "http://127.0.0.1:1"]);
    assert!(found.contains(&"endpoint warning".to_owned()), "{found:?}");
    assert!(!found.iter().any(|step| step.starts_with("authority")), "nobody's certificate is looked at: {found:?}");
    let (_, other) = bed.authority.client("eve");
    bed.write("eve.key", &other, 0o600);
    let pair = ["--client-cert", &named("bob.pem"), "--client-key", &named("eve.key")];
    assert_eq!(of("client key", &pair), ok(9, "failed"), "another certificate's");
    assert_eq!(of("client key", &[pair[0], pair[1], pair[2], &named("none")]), ok(9, "failed"));
    assert_eq!(of("context", &pair[..2]), ok(9, "failed"), "half a pair");
    assert_eq!(of("context", &["--context", "nowhere"]), ok(9, "failed"));
    assert_eq!(of("configuration", &["--config", &named("none"), "--endpoint", "https://a"]), ok(9, "warning"));
    bed.write(".config/starctl/config.toml", "", 0o644);
    assert_eq!(steps(&bed, &["--offline"]), (Some(9), vec!["configuration failed".to_owned()]));
}
