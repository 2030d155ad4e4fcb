//! Help, in both languages.

use crate::bed::Bed;

/// The help of a command and of everything below it.
fn all(bed: &Bed, path: &[&str], flags: &[&str], into: &mut String) {
    let ran = bed.starctl(&[path, flags].concat());
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{path:?}");
    into.push_str(&format!("$ starctl {}\n{}\n", [path, flags].concat().join(" "), ran.out));
    let listed = ran.out.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for name in listed.filter_map(|line| line.split_whitespace().next()) {
        all(bed, &[path, &[name]].concat(), flags, into);
    }
}

#[test]
fn every_command_has_help() {
    let mut text = String::new();
    all(&Bed::new(), &[], &["-h"], &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn help_speaks_chinese_when_asked() {
    let bed = Bed::new();
    let ran = bed.starctl(&["dlq", "--lang", "zh", "-h"]);
    insta::assert_snapshot!(ran.seen());
    let by_environment = bed.command(&["dlq", "-h"]).env("STARCTL_LANG", "zh").output().expect("the binary runs");
    assert_eq!(bed.ran(by_environment).out, ran.out);
}

#[test]
fn the_connection_is_explained_in_the_long_help() {
    insta::assert_snapshot!(Bed::new().starctl(&["doctor", "--help"]).seen());
}

#[test]
fn wrong_use_is_exit_2_with_a_word() {
    let bed = Bed::new();
    let mut text = String::new();
    for arguments in [
        &["dlq", "discard", "--reason", "x"][..],
        &["dlq", "discard", "ab", "-l", "flow=x", "--reason", "x"],
        &["dlq", "discard", "ab", "--yes"],
        &["dlq", "replay", "-l", "flow=x", "--reason", "x", "--rate", "20/m"],
        &["dlq", "discard", "-l", "", "--reason", "x"],
        &["dlq", "list", "--limit", "0"],
        &["dlq", "edit", "ab"],
        &["doubt", "resolve", "ab", "--verdict", "applied", "--reason", "x"],
        &["flow", "rollback", "x", "--to", "y"],
        &["-o", "xml", "version"],
        &["dlq", "lst"],
    ] {
        let ran = bed.starctl(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}");
        text.push_str(&format!("$ starctl {}\n{}\n", arguments.join(" "), ran.err));
    }
    assert!(bed.desk().asked().is_empty());
    insta::assert_snapshot!(text);
}

#[test]
fn completion_knows_the_commands() {
    let bed = Bed::new();
    for shell in ["bash", "zsh", "fish"] {
        let ran = bed.starctl(&["completion", shell]);
        assert_eq!(ran.code, Some(0), "{shell}");
        assert!(ran.out.contains("explain-selector"), "{shell}");
    }
}

#[test]
fn nouns_and_fields_are_explained() {
    let bed = Bed::new();
    let mut text = String::new();
    for what in ["dead_letter.safety", "replay.status", "plan", "dead_letter.state", "tenant", "schedule", "api.flows"]
    {
        text.push_str(&format!("$ starctl explain {what}\n{}\n", bed.starctl(&["explain", what]).out));
    }
    insta::assert_snapshot!(text);
    let nouns = bed.starctl(&["explain", "-o", "name"]);
    assert!(nouns.out.contains("noun/dead_letter\n") && nouns.out.contains("noun/audit_entry\n"), "{}", nouns.out);
    let unknown = bed.starctl(&["explain", "dead_letter.colour"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (Some(3), ""));
}
