//! `starctl dlq`, `doubt`, `record`, `audit`: looking and deciding.

use document::Code;
use serde_json::json;

use crate::bed::{Bed, TOKEN};
use crate::desk::letter;

#[test]
fn a_list_has_seven_forms() {
    let bed = Bed::new();
    for form in ["table", "wide", "json", "yaml", "ndjson", "csv", "name"] {
        let ran = bed.starctl(&["dlq", "list", "-l", "flow=misc-inbound", "--limit", "2", "-o", form]);
        insta::assert_snapshot!(format!("list_{form}"), ran.seen());
    }
    let requests = bed.desk().requests("list_dead_letters");
    assert!(requests[0].contains("selector: \"flow=misc-inbound\", page_size: 2"), "{requests:?}");
    assert!(bed.desk().asked().iter().all(|asked| asked.authorization == Some(format!("Bearer {TOKEN}"))));
}

#[test]
fn json_and_yaml_say_the_same_and_name_their_version() {
    let bed = Bed::new();
    let list = |form| bed.starctl(&["dlq", "list", "-o", form]);
    let (json, yaml) = (list("json").json(), list("yaml").out);
    assert_eq!(json["api_version"], "starbridge.control.v1");
    assert_eq!((&json["kind"], json["items"].as_array().map(Vec::len)), (&json!("DeadLetter"), Some(5)));
    let yaml: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(yaml.to_string(), json.to_string());
}

#[test]
fn headings_and_times_follow_the_reader() {
    let bed = Bed::new();
    let ran = bed
        .command(&["dlq", "list", "--limit", "1", "--lang", "zh"])
        .env("TZ", "Asia/Shanghai")
        .output()
        .expect("the binary runs");
    let ran = bed.ran(ran);
    assert!(ran.out.contains("单据") && ran.out.contains("2026-01-01 09:00:00+08:00"), "{}", ran.seen());
    let utc = bed.starctl(&["dlq", "list", "--limit", "1", "--utc"]);
    assert!(utc.out.contains("2026-01-01T01:00:00Z"), "{}", utc.seen());
}

#[test]
fn pages_are_read_until_the_limit_and_continued_by_token() {
    let bed = Bed::new();
    let first = bed.starctl(&["dlq", "list", "--limit", "3", "-o", "name"]);
    assert!(first.err.contains("--page-token 4"), "{}", first.seen());
    let rest = bed.starctl(&["dlq", "list", "--page-token", "4", "-o", "name", "--count"]);
    let names = [letter(4).id, letter(5).id].map(|id| format!("dead_letter/{id}\n")).concat();
    assert_eq!((rest.out, rest.err.as_str()), (names, "5 in all\n"));
}

#[test]
fn a_scan_that_reached_its_limit_is_told() {
    let ran = Bed::new().starctl(&["dlq", "list", "-l", "payload.FQty>1", "-o", "name"]);
    assert!(ran.err.contains("the scan reached its limit"), "{}", ran.seen());
}

#[test]
fn quiet_keeps_quiet_and_verbose_tells_the_calls() {
    let bed = Bed::new();
    assert_eq!(bed.starctl(&["dlq", "list", "--limit", "1", "-q"]).err, "");
    let verbose = bed.starctl(&["dlq", "list", "-v"]);
    assert!(verbose.err.contains("list_dead_letters Ok "), "{}", verbose.seen());
}

#[test]
fn a_letter_is_shown_masked_unless_its_payload_is_asked_for() {
    let bed = Bed::new();
    let id = letter(1).id;
    insta::assert_snapshot!(bed.starctl(&["dlq", "get", &id]).seen());
    insta::assert_snapshot!("get_zh", bed.starctl(&["dlq", "get", &id, "--lang", "zh"]).seen());
    let whole = bed.starctl(&["dlq", "get", &format!("dead_letter/{id}"), "--unmask", "-o", "json"]).json();
    assert_eq!(whole["items"][0]["payload"]["data"].to_string(), r#"{"FQty":12.50,"FMobile":"13800138000"}"#);
    let asked = bed.desk().requests("get_dead_letter");
    assert!(asked[0].contains("unmask: false") && asked[2].contains("unmask: true"), "{asked:?}");
}

#[test]
fn counts_tail_and_explanation() {
    let bed = Bed::new();
    insta::assert_snapshot!("stats", bed.starctl(&["dlq", "stats"]).seen());
    let tail = bed.starctl(&["dlq", "tail", "-o", "name"]);
    // The connection was lost in between.
    let named = [1, 2, 3, 4].map(|number| format!("dead_letter/{}\n", letter(number).id)).concat();
    assert_eq!((tail.out, tail.code), (named, Some(4)), "{}", tail.err);
    let asked = bed.desk().requests("tail_dead_letters");
    assert!(asked[0].contains(r#"position: "" "#) && asked[1].contains(r#"position: "p-2" "#), "{asked:?}");
    let onward = bed.starctl(&["dlq", "tail", "--position", "p-9", "-o", "wide", "--utc"]);
    insta::assert_snapshot!("tail", onward.seen());
    let explained = bed.starctl(&["dlq", "explain-selector", "flow=x", "--lang", "zh"]);
    assert!(explained.out.contains("[zh] letters of one flow"), "{}", explained.seen());
}

#[test]
fn an_edit_is_a_patch_for_the_revision_that_was_seen() {
    let bed = Bed::new();
    let set = ["--set", "FQty=13", "--set", "FEntity[0].FNote=\"急\""];
    let ran = bed.starctl(&[&["dlq", "edit", "00000000", "--idempotency-key", "k-1"], &set[..]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "$.FQty: 12.50 -> 13\n"), "{}", ran.seen());
    insta::assert_snapshot!(bed.desk().requests("edit_dead_letter").concat());
    bed.write("patch.json", r#"[{"op":"remove","path":"/FQty"}]"#, 0o644);
    let patch = bed.path("patch.json").display().to_string();
    assert_eq!(bed.starctl(&["dlq", "edit", "00000000", "--patch", &patch, "--dry-run"]).code, Some(0));
    assert!(bed.desk().requests("edit_dead_letter")[1].contains("dry_run: true"));
    let wrong = bed.starctl(&["dlq", "edit", "00000000", "--set", "FNumber=M1"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains(Code::CliUsage.as_str()), "{}", wrong.seen());
}

#[test]
fn decisions_carry_reason_and_key() {
    let bed = Bed::new();
    let ids = ["aa", "dead_letter/bb"];
    let said = ["--reason", "obsolete", "--idempotency-key", "k-1", "--yes"];
    let ran = bed.starctl(&[&["dlq", "discard"], &ids[..], &said[..]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    insta::assert_snapshot!("discard", bed.desk().requests("discard_dead_letters").concat());
    for verb in ["park", "reopen", "claim", "unclaim"] {
        let ran = bed.starctl(&["dlq", verb, "-l", "flow=misc-inbound", "--yes", "-o", "json"]);
        assert_eq!(ran.json()["items"][0]["changed"], 2, "{verb}");
    }
    assert!(!bed.desk().requests("park_dead_letters")[0].contains("idempotency_key: \"\""));
}

#[test]
fn letters_that_were_left_alone_are_listed_and_mean_exit_6() {
    let ran = Bed::new().starctl(&["dlq", "park", "-l", "state=replaying", "--yes"]);
    insta::assert_snapshot!(ran.seen());
    assert_eq!(ran.code, Some(6));
}

#[test]
fn nobody_to_ask_is_exit_2_with_the_line_that_does_it() {
    let bed = Bed::new();
    let ran = bed.starctl(&["dlq", "discard", "-l", "flow=misc-inbound and age>10m", "--reason", "it's old"]);
    insta::assert_snapshot!(ran.seen());
    let json = bed.starctl(&["dlq", "park", "aa", "-o", "json"]);
    let told: serde_json::Value = serde_json::from_str(&json.err).expect("JSON on standard error");
    assert_eq!((json.code, &told["code"]), (Some(2), &json!(Code::CliConfirm)));
    assert_eq!(told["hint"], "run: starctl dlq park aa -o json --yes");
    assert!(bed.desk().asked().is_empty());
}

#[test]
fn a_dry_run_asks_nothing_and_says_so_to_the_server() {
    let bed = Bed::new();
    let ran = bed.starctl(&["dlq", "discard", "aa", "--dry-run"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.starts_with("dry run: nothing was changed\n"), "{}", ran.seen());
    assert!(bed.desk().requests("discard_dead_letters")[0].contains("reason: \"dry run\", dry_run: true"));
}

#[test]
fn letters_go_to_a_file_and_come_back_unless_it_was_changed() {
    let bed = Bed::new();
    let file = bed.path("letters").display().to_string();
    let export = ["dlq", "export", "-l", "state = open", "--out", &file, "--reason", "for the auditor"];
    let ran = bed.starctl(&[&export[..], &["-o", "json"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert_eq!((&ran.json()["items"][0]["count"], &ran.json()["items"][0]["sealed"]), (&json!(3), &json!(false)));
    let asked = bed.desk().requests("export_dead_letters").concat();
    assert!(asked.contains("unmask: false, reason: \"for the auditor\""), "{asked}");
    let text = std::fs::read_to_string(&file).expect("there");
    assert_eq!(text.lines().count(), 4);
    assert_eq!(bed.starctl(&export).code, Some(2), "no file is written over");

    let same = bed.starctl(&["dlq", "import", &file]);
    assert_eq!((same.code, same.err.contains("3 letters are as in the file")), (Some(0), true), "{}", same.seen());
    let asked = bed.desk().requests("import_dead_letters").concat();
    assert!(asked.contains("as_edit: false") && asked.contains("dry_run: true"), "{asked}");

    std::fs::write(&file, text.replacen("1.50", "2.50", 1)).expect("written");
    let changed = bed.starctl(&["dlq", "import", &file]);
    insta::assert_snapshot!("import_changed", changed.seen());
    assert_eq!(bed.desk().requests("import_dead_letters").len(), 1);
    let edit = ["dlq", "import", &file, "--as-edit", "--reason", "typo", "--idempotency-key", "k", "--yes"];
    let edited = bed.starctl(&edit);
    insta::assert_snapshot!("import_as_edit", edited.seen());
    let asked = bed.desk().requests("import_dead_letters");
    assert!(asked[1].contains("as_edit: true") && asked[1].contains("dry_run: false"), "{asked:?}");
    assert_eq!(bed.starctl(&["dlq", "import", &file, "--as-edit", "--yes"]).code, Some(2), "a reason is needed");
}

#[test]
fn unmasked_letters_are_sealed_on_their_way_to_the_file() {
    let bed = Bed::new();
    let file = bed.path("letters").display().to_string();
    let unmask = ["dlq", "export", "-l", "state = open", "--out", &file, "--unmask"];
    assert_eq!(bed.starctl(&unmask).code, Some(2), "a key is needed");
    bed.write("key", &format!("{}\n", "5a".repeat(32)), 0o600);
    let key = bed.path("key").display().to_string();
    let ran = bed.starctl(&[&unmask[..], &["--key", &key]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    assert!(bed.desk().requests("export_dead_letters").concat().contains("unmask: true"));
    let text = std::fs::read_to_string(&file).expect("there");
    assert!(!text.contains("13800138000") && text.lines().count() == 4, "{text}");
    assert_eq!(bed.starctl(&["dlq", "import", &file]).code, Some(2), "a key is needed");
    let compared = bed.starctl(&["dlq", "import", &file, "--key", &key]);
    assert_eq!(compared.code, Some(6), "{}", compared.seen());
    let plain = bed.starctl(&["dlq", "unseal", &file, "--key", &key]);
    assert!(plain.out.contains("13800138000") && plain.out.lines().count() == 4, "{}", plain.seen());
    bed.write("other", &"00".repeat(32), 0o600);
    let other = bed.path("other").display().to_string();
    let wrong = bed.starctl(&["dlq", "unseal", &file, "--key", &other]);
    assert!(wrong.code == Some(9) && wrong.err.contains(Code::ExportFile.as_str()), "{}", wrong.seen());
}

#[test]
fn doubts_are_listed_and_settled() {
    let bed = Bed::new();
    assert_eq!(bed.starctl(&["doubt", "list", "--limit", "1", "-o", "name"]).out.lines().count(), 1);
    let settle = ["--verdict", "applied", "--target-id", "100041", "--reason", "seen in the target", "--yes"];
    let ran = bed.starctl(&[&["doubt", "resolve", "aa"], &settle[..]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.seen());
    let asked = bed.desk().requests("resolve_doubt").concat();
    assert!(asked.contains("verdict: Applied, target_id: \"100041\""), "{asked}");
}

#[test]
fn a_document_is_traced() {
    let bed = Bed::new();
    insta::assert_snapshot!(bed.starctl(&["record", "trace", "misc-inbound", "其他入库-1"]).seen());
    // The flow may be left out.
    assert!(bed.starctl(&["record", "trace", "其他入库-1"]).out.contains("其他入库-1"));
    let asked = bed.desk().requests("trace_record");
    assert!(asked[0].contains("misc-inbound") && !asked[1].contains("misc-inbound"), "{asked:?}");
}

#[test]
fn the_audit_trail_is_listed_sorted_and_verified() {
    let bed = Bed::new();
    let list = bed.starctl(&["audit", "list", "--actor", "ada", "--object", "replay/", "--sort-by", "seq"]);
    insta::assert_snapshot!("audit_list", list.seen());
    let asked = bed.desk().requests("list_audit_entries").concat();
    assert!(asked.contains("actor: \"ada\", object_prefix: \"replay/\""), "{asked}");
    assert_eq!(bed.starctl(&["audit", "list", "--sort-by", "colour"]).code, Some(2));
    insta::assert_snapshot!("audit_verify", bed.starctl(&["audit", "verify"]).seen());
    insta::assert_snapshot!("audit_keys", bed.starctl(&["audit", "get-key"]).seen());
}

#[test]
fn kept_heads_are_sent_along_and_a_broken_trail_adds_none() {
    let bed = Bed::new();
    let head = format!(
        r#"{{"seq":5,"hash":"{}","signed_at":"2026-01-01T00:00:00Z","key_id":"k","signature":"33"}}"#,
        "44".repeat(32)
    );
    bed.write("heads", &format!("{head}\n"), 0o644);
    let heads = bed.path("heads").display().to_string();
    assert_eq!(bed.starctl(&["audit", "verify", "--kept", &heads]).code, Some(9));
    let asked = bed.desk().requests("verify_audit").concat();
    assert!(asked.contains("seq: 5") && asked.contains(r#"signature: "33""#), "{asked}");
    assert_eq!(std::fs::read_to_string(&heads).expect("there"), format!("{head}\n"));
    let none = bed.starctl(&["audit", "verify", "--key", &heads.replace("heads", "no-file")]);
    assert_eq!(none.code, Some(2), "{}", none.seen());
}

#[test]
fn a_doubt_is_shown_and_its_target_asked() {
    let bed = Bed::new();
    let id = letter(1).id;
    insta::assert_snapshot!("doubt_get", bed.starctl(&["doubt", "get", &id, "--utc"]).seen());
    insta::assert_snapshot!("doubt_check", bed.starctl(&["doubt", "check", &id]).seen());
    let whole = bed.starctl(&["doubt", "check", &id, "--unmask", "-o", "json"]).json();
    assert_eq!(whole["items"][0]["theirs"]["data"]["FEntity"][0]["FQty"], json!(13));
    let asked = bed.desk().requests("check_doubt");
    assert!(asked[0].contains("unmask: false") && asked[1].contains("unmask: true"), "{asked:?}");
}

#[test]
fn a_selector_is_only_explained_where_that_is_asked_for() {
    let bed = Bed::new();
    let words = bed.starctl(&["dlq", "explain-selector", "flow=misc-inbound"]).out;
    for command in [["dlq", "list"], ["dlq", "stats"], ["dlq", "tail"], ["doubt", "list"]] {
        let ran = bed.starctl(&[&command[..], &["-l", "flow=misc-inbound", "--selector-explain"]].concat());
        assert_eq!((ran.code, &ran.out), (Some(0), &words), "{command:?}");
    }
    assert!(bed.desk().asked().iter().all(|asked| asked.call == "explain_selector"));
    assert_eq!(bed.starctl(&["dlq", "list", "--selector-explain"]).code, Some(2));
}

#[test]
fn unpark_is_another_word_for_reopen() {
    let bed = Bed::new();
    let id = "a".repeat(32);
    let ran = bed.starctl(&["dlq", "unpark", &id, "--reason", "answered", "--yes"]);
    assert_eq!((ran.code, bed.desk().requests("reopen_dead_letters").len()), (Some(0), 1), "{}", ran.seen());
}
