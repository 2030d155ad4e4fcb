//! Contexts, private files, and what wins over what.

use document::Code;

use crate::bed::Bed;

#[test]
fn contexts_are_made_chosen_changed_and_deleted() {
    let bed = Bed::new();
    let set = ["context", "set", "prod", "--endpoint", "https://control.example:7443", "--production", "true"];
    let mut text = String::new();
    for arguments in [
        &set[..],
        &["context", "list"],
        &["context", "use", "prod"],
        &["context", "view", "-o", "json"],
        &["context", "delete", "prod"],
        &["context", "use", "prod"],
        &["context", "list", "-o", "name"],
    ] {
        text.push_str(&format!("$ starctl {}\n{}", arguments.join(" "), bed.starctl(arguments).seen()));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_context() {
    let bed = Bed::new();
    let endpoint = |arguments: &[&str], environment: Option<&str>| {
        let mut command = bed.command(&[&["context", "view", "-o", "json"], arguments].concat());
        if let Some(value) = environment {
            command.env("STARCTL_ENDPOINT", value);
        }
        bed.ran(command.output().expect("the binary runs")).json()["items"][0]["endpoint"].clone()
    };
    assert_eq!(endpoint(&[], None), "https://localhost:PORT");
    assert_eq!(endpoint(&[], Some("https://env:1")), "https://env:1");
    assert_eq!(endpoint(&["--endpoint", "https://flag:1"], Some("https://env:1")), "https://flag:1");
}

#[test]
fn files_that_others_may_read_are_refused() {
    let bed = Bed::new();
    bed.write("token", "sbt1.secret", 0o640);
    let token = bed.starctl(&["dlq", "list"]);
    insta::assert_snapshot!(token.seen());
    assert_eq!(token.code, Some(2));
    bed.write(".config/starctl/config.toml", "", 0o644);
    let config = bed.starctl(&["context", "list"]);
    assert_eq!(config.code, Some(2));
    assert!(config.err.contains(Code::CliPrivateFile.as_str()), "{}", config.seen());
}

#[test]
fn a_file_of_contexts_with_a_wrong_key_is_named() {
    let bed = Bed::with("endpont = \"x\"\n");
    let ran = bed.starctl(&["dlq", "list"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains(Code::CliContext.as_str()) && ran.err.contains("endpont"), "{}", ran.seen());
}

#[test]
fn without_a_context_the_way_to_one_is_told() {
    let bed = Bed::new();
    let ran = bed.starctl(&["dlq", "list", "--config", &bed.path("none.toml").display().to_string()]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("starctl context set NAME"), "{}", ran.seen());
}

#[test]
fn paths_in_a_context_hold_from_every_folder() {
    let bed = Bed::new();
    let set = bed
        .command(&["context", "set", "here", "--ca-cert", "ca.pem", "-o", "json"])
        .current_dir(bed.home.path())
        .output();
    let shown = bed.ran(set.expect("the binary runs")).json();
    assert_eq!(shown["items"][0]["ca_cert"], "HOME/ca.pem");
}
