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

/// A context whose token is what this shell script writes.
fn with_command(bed: &Bed, script: &str) {
    let set = ["context", "set", "test", "--token-command", "sh", "--token-command", "-c", "--token-command", script];
    let ran = bed.starctl(&set);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
}

#[test]
fn a_program_tells_the_token_and_nobody_else_hears_it() {
    let bed = Bed::new();
    with_command(&bed, "echo sbt1.told.aside >&2; echo ' sbt1.from.keyring '");
    let ran = bed.starctl(&["auth", "whoami", "-v"]);
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let asked = bed.desk().asked();
    assert_eq!(asked.last().and_then(|asked| asked.authorization.clone()), Some("Bearer sbt1.from.keyring".to_owned()));
    assert!(ran.err.contains("sbt1.told.aside") && !ran.seen().contains("sbt1.from.keyring"), "{}", ran.seen());
    // A file that is named for one command wins, and there is nothing to keep or to remove.
    assert_eq!(
        bed.starctl(&["auth", "whoami", "--token-file", &bed.path("token").display().to_string()]).code,
        Some(0)
    );
    let authorization = bed.desk().asked().last().and_then(|asked| asked.authorization.clone());
    assert_eq!(authorization, Some(format!("Bearer {}", crate::bed::TOKEN)));
    let out = bed.starctl(&["auth", "logout"]);
    assert_eq!((out.code, out.err.contains("--token-file")), (Some(2), true), "{}", out.seen());
}

#[test]
fn a_program_that_tells_no_token_is_named_with_the_reason() {
    let bed = Bed::new();
    for (script, reason) in [
        ("echo sbt1.secret; exit 3", "exit status: 3"),
        ("true", "it wrote nothing"),
        ("printf '\\377'", "UTF-8"),
        ("echo sbt1.secret; exec sleep 60", "within 1 s"),
    ] {
        with_command(&bed, script);
        let ran = bed.starctl(&["auth", "whoami", "--timeout", "1s"]);
        assert_eq!(ran.code, Some(4), "{script}: {}", ran.seen());
        let told = ran.err.contains(Code::NotSignedIn.as_str()) && ran.err.contains(reason);
        assert!(told && !ran.seen().contains("sbt1.secret"), "{script}: {}", ran.seen());
    }
    let none = ["context", "set", "test", "--token-command", "no-such-program-anywhere"];
    assert_eq!(bed.starctl(&none).code, Some(0));
    let ran = bed.starctl(&["auth", "whoami"]);
    assert_eq!((ran.code, ran.err.contains("it cannot be started")), (Some(4), true), "{}", ran.seen());
    assert_eq!(bed.desk().asked().len(), 0, "nothing is asked without a token");
}

#[test]
fn a_context_may_be_about_one_tenant() {
    let bed = Bed::new();
    let asked = |arguments: &[&str]| {
        let ran = bed.starctl(arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.seen());
        bed.desk().asked().last().expect("asked").request.clone()
    };
    assert!(asked(&["dlq", "list"]).contains("selector: \"\""));
    assert!(asked(&["dlq", "list", "--tenant", "acme"]).contains(r#"selector: "tenant = \"acme\"""#));
    assert_eq!(bed.starctl(&["context", "set", "test", "--tenant", "acme"]).code, Some(0));
    let narrowed = asked(&["dlq", "stats", "-l", "age>1h or attempts>2"]);
    assert!(narrowed.contains(r#"selector: "tenant = \"acme\" and (age>1h or attempts>2)""#), "{narrowed}");
    assert!(asked(&["doubt", "list", "--tenant", "other"]).contains(r#"selector: "tenant = \"other\"""#));
    assert!(asked(&["dlq", "list", "--all-tenants"]).contains("selector: \"\""));
    let both = bed.starctl(&["flow", "list", "--tenant", "acme", "--all-tenants"]);
    assert_eq!(both.code, Some(2), "{}", both.seen());
    assert_ne!(bed.starctl(&["flow", "list", "-o", "name"]).out, "");
    assert_eq!(bed.starctl(&["context", "set", "test", "--tenant", "other"]).code, Some(0));
    assert_eq!(bed.starctl(&["flow", "list", "-o", "name"]).out, "");
    assert_ne!(bed.starctl(&["flow", "list", "-o", "name", "--all-tenants"]).out, "");
    assert_eq!(bed.starctl(&["context", "set", "test", "--all-tenants"]).code, Some(0));
    assert_ne!(bed.starctl(&["flow", "list", "-o", "name"]).out, "");
}
