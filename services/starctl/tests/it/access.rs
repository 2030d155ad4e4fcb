//! Signing in, tokens and roles.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use document::Code;
use tonic::Status;

use crate::bed::{Bed, Ran};
use crate::desk::passive;

/// Signs in with what comes on standard input.
fn login(bed: &Bed, token: &str, more: &[&str]) -> Ran {
    let mut command = bed.command(&[&["auth", "login"], more].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    child.stdin.take().expect("a pipe").write_all(token.as_bytes()).expect("it reads");
    bed.ran(child.wait_with_output().expect("it ends"))
}

fn mode(bed: &Bed, name: &str) -> u32 {
    fs::metadata(bed.path(name)).expect("the file is there").permissions().mode() & 0o777
}

#[test]
fn a_token_is_tried_before_it_is_kept() {
    let bed = Bed::new();
    bed.desk().refuse("who_am_i", Status::unauthenticated("revoked"));
    assert_eq!(login(&bed, "sbt1.bad\n", &[]).code, Some(4));
    assert_eq!(fs::read_to_string(bed.path("token")).expect("there"), crate::bed::TOKEN);
    let ran = login(&bed, "sbt1.good\n", &[]);
    insta::assert_snapshot!(ran.seen());
    assert_eq!(fs::read_to_string(bed.path("token")).expect("there"), "sbt1.good");
    assert!(!format!("{}{}", ran.out, ran.err).contains("sbt1.good"));
}

#[test]
fn a_context_without_a_token_file_gets_one() {
    let bed = Bed::new();
    let config = fs::read_to_string(bed.path(".config/starctl/config.toml")).expect("there");
    let without: Vec<&str> = config.lines().filter(|line| !line.starts_with("token_file")).collect();
    bed.write(".config/starctl/config.toml", &without.join("\n"), 0o600);
    assert_eq!(login(&bed, "sbt1.good", &[]).code, Some(0));
    assert_eq!(mode(&bed, ".config/starctl/tokens/test"), 0o600);
    assert_eq!(bed.starctl(&["auth", "whoami"]).code, Some(0));
    let asked = bed.desk().asked();
    assert_eq!(asked.last().and_then(|asked| asked.authorization.clone()), Some("Bearer sbt1.good".to_owned()));
    assert_eq!(bed.starctl(&["auth", "logout"]).code, Some(0));
    let after = bed.starctl(&["auth", "whoami"]);
    assert_eq!(after.code, Some(4));
    assert!(after.err.contains(Code::NotSignedIn.as_str()), "{}", after.seen());
}

#[test]
fn the_first_administrator_keeps_the_token_that_the_credential_buys() {
    let bed = Bed::new();
    bed.write("credential", "one-time\n", 0o600);
    let credential = bed.path("credential").display().to_string();
    let ran = bed.starctl(&["auth", "bootstrap", "ada", "--credential-file", &credential]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!(fs::read_to_string(bed.path("token")).expect("there"), "sbt1.first.token");
    assert!(!format!("{}{}", ran.out, ran.err).contains("sbt1.first.token"));
    let asked = &bed.desk().asked()[0];
    assert!(asked.request.contains("credential: \"one-time\", principal: \"ada\""), "{asked:?}");
    assert_eq!(asked.authorization, None);
}

#[test]
fn the_credential_is_taken_to_the_replica_that_writes() {
    let bed = Bed::new();
    let active = bed.authority.replica();
    bed.desk().refuse("bootstrap", passive(&format!("127.0.0.1:{}", active.port)));
    bed.write("credential", "one-time", 0o600);
    let credential = bed.path("credential").display().to_string();
    assert_eq!(bed.starctl(&["auth", "bootstrap", "ada", "--credential-file", &credential]).code, Some(0));
    assert_eq!(active.desk.requests("bootstrap").len(), 1);
}

#[test]
fn who_am_i_and_what_may_i() {
    let bed = Bed::new();
    insta::assert_snapshot!(bed.starctl(&["auth", "whoami", "--utc"]).seen());
    assert_eq!(bed.starctl(&["auth", "can-i", "read", "flow"]).code, Some(0));
    let no = bed.starctl(&["auth", "can-i", "discard", "dead_letter", "--flow", "misc-inbound"]);
    assert_eq!(no.code, Some(4));
    let asked = bed.desk().requests("check_access");
    assert!(asked[1].contains("flow: \"misc-inbound\""), "{asked:?}");
}

#[test]
fn an_issued_token_goes_to_a_private_file() {
    let bed = Bed::new();
    let out = bed.path("issued").display().to_string();
    let issue = ["auth", "issue-token", "bob", "--lifetime", "8h", "--out", &out];
    let ran = bed.starctl(&issue);
    insta::assert_snapshot!(ran.seen());
    assert_eq!(
        (mode(&bed, "issued"), fs::read_to_string(&out).expect("there")),
        (0o600, "sbt1.issued.token".to_owned())
    );
    assert!(bed.desk().requests("issue_token")[0].contains("lifetime_seconds: 28800"));
    assert_eq!(bed.starctl(&issue).code, Some(2));
    assert_eq!(
        bed.starctl(&["auth", "issue-token", "bob", "-o", "json"]).json()["items"][0]["token"],
        "sbt1.issued.token"
    );
}

/// What the desk gives a token for an id.
const ID: &str = "token/00112233445566778899aabbccddeeff";

#[test]
fn a_token_is_taken_back_by_an_id_that_is_one() {
    let bed = Bed::new();
    let ran = bed.starctl(&["auth", "revoke-token", ID, "--reason", "left"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.seen());
    assert!(ran.err.contains("00112233445566778899aabbccddeeff, if there is one, is refused"), "{}", ran.seen());
    assert_eq!(bed.starctl(&["auth", "revoke-token", "deadbeef"]).code, Some(2));
    let dry = bed.starctl(&["auth", "revoke-token", ID, "--dry-run"]);
    assert_eq!((dry.out.as_str(), dry.err.as_str()), ("dry run: nothing was changed\n", ""));
    assert_eq!(bed.desk().requests("revoke_token").len(), 2);
}

#[test]
fn a_dry_run_gives_no_token_and_no_role() {
    let bed = Bed::new();
    let out = bed.path("issued").display().to_string();
    let ran = bed.starctl(&["auth", "issue-token", "bob", "--out", &out, "--dry-run"]);
    assert!(ran.code == Some(0) && ran.out.starts_with("dry run: nothing was changed\n"), "{}", ran.seen());
    assert!(!bed.path("issued").exists() && !ran.out.contains("00112233"), "{}", ran.seen());
    for verb in ["bind", "unbind"] {
        let ran = bed.starctl(&["auth", verb, "bob", "viewer", "--dry-run"]);
        assert!(ran.code == Some(0) && ran.out.starts_with("dry run: nothing was changed\n"), "{}", ran.seen());
    }
    assert_eq!(bed.starctl(&["auth", "bind", "", "viewer"]).code, Some(2));
}

#[test]
fn production_asks_before_anybody_gets_or_loses_access() {
    let bed = Bed::with("production = true\n");
    for arguments in [
        &["auth", "bind", "bob", "viewer"][..],
        &["auth", "unbind", "bob", "viewer"],
        &["auth", "issue-token", "bob"],
        &["auth", "revoke-token", ID],
    ] {
        assert_eq!(bed.starctl(arguments).code, Some(2), "{arguments:?}");
        assert!(bed.desk().asked().is_empty(), "{arguments:?}");
    }
    for call in [["bind", "put_binding"], ["unbind", "delete_binding"]] {
        assert_eq!(bed.starctl(&["auth", call[0], "bob", "viewer", "--yes"]).code, Some(0));
        assert_eq!(bed.desk().requests(call[1]).len(), 1);
    }
}

#[test]
fn bindings_are_sorted_by_their_own_fields() {
    let bed = Bed::new();
    assert_eq!(bed.starctl(&["auth", "bindings", "--sort-by", "role"]).code, Some(0));
    assert_eq!(bed.starctl(&["auth", "bindings", "--sort-by", "colour"]).code, Some(2));
}

#[test]
fn roles_are_given_and_taken_where_they_hold() {
    let bed = Bed::new();
    insta::assert_snapshot!(bed.starctl(&["auth", "bindings"]).seen());
    assert_eq!(bed.starctl(&["auth", "bind", "bob", "viewer", "--tenant", "acme"]).code, Some(0));
    assert_eq!(bed.starctl(&["auth", "unbind", "bob", "viewer"]).code, Some(0));
    assert!(bed.desk().requests("put_binding")[0].contains("tenant: \"acme\", flow: \"*\""));
    assert!(bed.desk().requests("delete_binding")[0].contains("tenant: \"*\""));
}
