//! `starctl flow` online.

use std::fs;
use std::path::Path;

use crate::bed::Bed;

/// The ready flow of the repository, by its folder.
fn ready() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/flows/misc-inbound").display().to_string()
}

#[test]
fn flows_are_listed_shown_and_their_history_told() {
    let bed = Bed::new();
    insta::assert_snapshot!("flow_list", bed.starctl(&["flow", "list"]).seen());
    insta::assert_snapshot!("flow_history", bed.starctl(&["flow", "history", "misc-inbound", "--utc"]).seen());
    let get = bed.starctl(&["flow", "get", "flow/misc-inbound", "--at", "ffeeddccbbaa9988", "-o", "json"]).json();
    assert_eq!(get["items"][0]["bundle"]["flow"], "name = \"misc-inbound\"\n");
    assert!(bed.desk().requests("get_flow")[1].contains("version: \"ffeeddccbbaa9988\""));
}

#[test]
fn a_flow_is_compared_and_applied() {
    let bed = Bed::new();
    insta::assert_snapshot!("flow_diff", bed.starctl(&["flow", "diff", &ready()]).seen());
    assert!(bed.desk().requests("apply_flow")[0].contains("dry_run: true"));
    let applied = bed.starctl(&["flow", "apply", &ready(), "--reason", "larger batches", "--yes", "-o", "json"]);
    assert_eq!(applied.json()["items"][0]["previous_version"], "ffeeddccbbaa9988");
    assert!(bed.desk().requests("apply_flow")[1].contains("dry_run: false"));
}

#[test]
fn a_flow_with_faults_never_leaves_the_machine() {
    let bed = Bed::new();
    for name in ["flow.toml", "source.json", "target.json"] {
        let text = fs::read_to_string(Path::new(&ready()).join(name)).expect("part of the repository");
        bed.write(&format!("flow/{name}"), &text.replace("documents = 50", "documnts = 50"), 0o644);
    }
    let ran = bed.starctl(&["flow", "apply", &bed.path("flow").display().to_string(), "--yes"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(9), ""));
    assert!(ran.err.contains("E_FLOW_KEY") && ran.err.contains("documnts"), "{}", ran.seen());
    assert!(bed.desk().asked().is_empty());
}

#[test]
fn flows_rest_run_and_go_back() {
    let bed = Bed::new();
    let pause = bed.starctl(&["flow", "pause", "misc-inbound", "--reason", "stocktaking"]);
    assert!(pause.code == Some(0) && pause.out.contains("ada: stocktaking"), "{}", pause.seen());
    assert_eq!(bed.starctl(&["flow", "resume", "misc-inbound"]).code, Some(0));
    assert_eq!(bed.starctl(&["flow", "run", "misc-inbound", "--lookback"]).code, Some(0));
    assert!(bed.desk().requests("run_flow")[0].contains("kind: Lookback"));
    let back = ["flow", "rollback", "misc-inbound", "--to", "ffeeddccbbaa9988", "--reason", "wrong warehouse"];
    assert_eq!(bed.starctl(&back).code, Some(2));
    assert_eq!(bed.starctl(&[&back[..], &["--yes"]].concat()).code, Some(0));
    assert!(bed.desk().requests("rollback_flow")[0].contains("version: \"ffeeddccbbaa9988\""));
}

#[test]
fn what_works_offline_asks_nobody() {
    let bed = Bed::new();
    assert_eq!(bed.starctl(&["flow", "lint", &ready(), "-o", "text"]).code, Some(0));
    assert!(bed.starctl(&["flow", "lint", &ready(), "-o", "yaml"]).out.starts_with("faults: []\n"));
    assert_eq!(bed.starctl(&["flow", "lint", &ready(), "-o", "csv"]).code, Some(2));
    bed.write("rows.json", "[]", 0o644);
    let preview = bed.starctl(&["flow", "preview", &ready(), "--rows", &bed.path("rows.json").display().to_string()]);
    assert!(preview.code == Some(0) && preview.err.contains("0 documents"), "{}", preview.seen());
    assert!(bed.desk().asked().is_empty());
}

#[test]
fn lineage_is_read_off_a_folder_without_asking_anybody() {
    let bed = Bed::new();
    let all = bed.starctl(&["lineage", "flow", &ready(), "-o", "json"]).json();
    let items = all["items"].as_array().expect("lines");
    let qty = items.iter().find(|line| line["target"] == "FEntity[].FQty").expect("the quantity");
    assert_eq!((&qty["how"], &qty["expression"]), (&"reference".into(), &"{FQty}".into()));
    assert_eq!(qty["inputs"][0]["field"], "FQty");
    insta::assert_snapshot!("lineage_field", bed.starctl(&["lineage", "field", &ready(), "FQty"]).seen());
    let wrong = bed.starctl(&["lineage", "field", &ready(), "FQtty"]);
    assert_eq!(wrong.code, Some(3));
    assert!(
        wrong.err.contains(document::Code::FieldUnknown.as_str()) && wrong.err.contains("FQtty"),
        "{}",
        wrong.seen()
    );
    assert!(wrong.err.contains("FQty?"), "{}", wrong.seen());
    assert_eq!(bed.starctl(&["lineage", "flow", &ready(), "--at", "0"]).code, Some(2));
    assert!(bed.desk().asked().is_empty());
}

#[test]
fn lineage_of_a_published_flow_reads_its_texts_from_the_control_plane() {
    let bed = Bed::new();
    let ran = bed.starctl(&["lineage", "flow", "misc-inbound", "--at", "ffeeddccbbaa9988"]);
    assert!(bed.desk().requests("get_flow")[0].contains("version: \"ffeeddccbbaa9988\""));
    // The desk of these tests keeps texts that are no flow: that is said, not shown.
    assert!(ran.code == Some(9) && ran.err.contains("E_FLOW_"), "{}", ran.seen());
}

#[test]
fn a_flow_is_deleted_with_a_reason_and_a_yes() {
    let bed = Bed::new();
    let delete = ["flow", "delete", "misc-inbound", "--reason", "not needed"];
    assert_eq!(bed.starctl(&delete[..3]).code, Some(2));
    assert_eq!(bed.starctl(&delete).code, Some(2));
    assert!(bed.desk().asked().is_empty());
    insta::assert_snapshot!("flow_delete", bed.starctl(&[&delete[..], &["--yes", "--force"]].concat()).seen());
    assert!(bed.desk().requests("delete_flow")[0].contains("force: true"));
}

#[test]
fn a_version_is_tried_with_some_documents_promoted_and_aborted() {
    let bed = Bed::new();
    let canary = ["flow", "canary", &ready(), "--percent", "5", "--reason", "新映射"];
    assert_eq!(bed.starctl(&canary).code, Some(2), "nobody was there to confirm it");
    let tried = bed.starctl(&[&canary[..], &["--abort-above", "0.1", "--least", "7", "--yes"]].concat());
    insta::assert_snapshot!("flow_canary", tried.seen());
    let asked = bed.desk().requests("start_canary").pop().expect("asked");
    for said in ["percent: 5", "abort_above: Some(0.1)", "least_documents: Some(7)", "dry_run: false"] {
        assert!(asked.contains(said), "{said} in {asked}");
    }
    insta::assert_snapshot!("flow_canary_zh", bed.starctl(&["flow", "get", "tried", "--lang", "zh"]).seen());
    let json = bed.starctl(&["flow", "get", "tried", "-o", "json"]).json();
    assert_eq!(json["items"][0]["flow"]["canary"]["sides"][0]["failed"], 1);
    for (word, call) in [("promote", "promote_canary"), ("abort", "abort_canary")] {
        let ran = bed.starctl(&["flow", word, "misc-inbound", "--reason", "seen enough", "--yes"]);
        assert_eq!((ran.code, bed.desk().requests(call).len()), (Some(0), 1), "{word}");
    }
    assert_eq!(bed.starctl(&["flow", "canary", &ready(), "--percent", "100", "--reason", "all"]).code, Some(2));
}

/// What was said without the firings, which depend on when it was asked.
fn without_firings(text: &str) -> String {
    text.lines().filter(|line| !line.contains("+08:00")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_flow_is_described_in_words_in_both_languages() {
    let bed = Bed::new();
    for (name, language) in [("flow_describe", "en"), ("flow_describe_zh", "zh")] {
        let ran = bed.starctl(&["flow", "describe", "flow/ready", "--utc", "--lang", language]);
        assert_eq!(ran.out.lines().filter(|line| line.contains("+08:00")).count(), 3, "{}", ran.seen());
        insta::assert_snapshot!(name, without_firings(&ran.seen()));
    }
    assert!(bed.desk().requests("get_dead_letter_stats")[0].contains("flow = misc-inbound and state = open"));
    let json = bed.starctl(&["flow", "describe", "ready", "-o", "json"]).json();
    let item = &json["items"][0];
    assert_eq!((&item["state"], &item["flow"]["name"]), (&"running".into(), &"misc-inbound".into()));
    assert_eq!(item["next"].as_array().map(Vec::len), Some(3));
    assert_eq!(item["open_letters"][0], serde_json::json!({"category": "reference_missing", "count": 5}));
    assert_eq!(bed.starctl(&["flow", "describe", "ready", "-o", "name"]).out, "flow/misc-inbound\n");
    // The same by the other word, which explains nothing else by its name.
    assert_eq!(bed.starctl(&["explain", "flow", "ready", "-o", "json"]).json(), json);
    let other = bed.starctl(&["explain", "dead_letter", "ready"]);
    assert_eq!(other.code, Some(2), "{}", other.seen());
    assert!(other.err.contains("starctl explain flow NAME"), "{}", other.seen());
}

#[test]
fn a_description_says_what_it_cannot_tell() {
    let bed = Bed::new();
    bed.desk().refuse("get_dead_letter_stats", tonic::Status::permission_denied("not yours"));
    let denied = bed.starctl(&["flow", "describe", "ready"]);
    assert!(denied.code == Some(0) && denied.out.contains("you may not see them"), "{}", denied.seen());
    // The desk of these tests keeps texts that are no flow.
    let faulty = bed.starctl(&["flow", "describe", "faulty"]);
    assert!(
        faulty.out.contains("Nothing: its texts cannot be used.") && faulty.out.contains("none (faulty)"),
        "{}",
        faulty.seen()
    );
    let paused = bed.starctl(&["flow", "describe", "paused"]);
    assert!(paused.out.contains("none while it is paused"), "{}", paused.seen());
    bed.desk().refuse("get_dead_letter_stats", tonic::Status::unavailable("away"));
    assert_eq!(bed.starctl(&["flow", "describe", "ready"]).code, Some(7));
}

#[test]
fn interfaces_are_listed_and_told_with_the_flows_that_use_them() {
    let bed = Bed::new();
    insta::assert_snapshot!("api_list", bed.starctl(&["api", "list"]).seen());
    insta::assert_snapshot!("api_list_zh", bed.starctl(&["api", "list", "--lang", "zh", "--sort-by", "-name"]).seen());
    assert_eq!(bed.desk().asked().len(), 0, "nobody is asked");
    let of = |name: &str, more: &[&str]| bed.starctl(&[&["api", "get", name], more].concat());
    insta::assert_snapshot!("api_get", of("api/BATCHSAVE", &[]).seen());
    let none = of("oms/order/query", &[]);
    assert_eq!((none.code, none.err.contains("executeBillQuery")), (Some(3), true), "{}", none.seen());
    let used = of("executeBillQuery", &["--flows", "-o", "json"]).json();
    assert_eq!(used["items"][0]["flows"], serde_json::json!([]), "the flow of this desk has no texts");
    bed.desk().publish_ready();
    for name in ["executeBillQuery", "batchSave"] {
        let used = of(name, &["--flows", "-o", "json"]).json();
        assert_eq!(used["items"][0]["flows"], serde_json::json!(["ready"]), "{name}");
        let other = of(name, &["--flows", "--tenant", "other", "-o", "json"]).json();
        assert_eq!(other["items"][0]["flows"], serde_json::json!([]), "{name}");
    }
}

#[test]
fn tenants_are_told_with_what_is_open_and_who_shares_their_calls() {
    let bed = Bed::new();
    let list = bed.starctl(&["tenant", "list", "-o", "json"]).json();
    let first = &list["items"][0];
    let tenant = first["name"].as_str().expect("a tenant").to_owned();
    assert_eq!((&first["paused"], &first["open"]), (&0.into(), &5.into()), "{first}");
    let asked = bed.desk().requests("get_dead_letter_stats");
    assert!(
        asked.iter().any(|request| request.contains(&format!("tenant = \\\"{tenant}\\\" and state = open"))),
        "{asked:?}"
    );
    let flows = bed.starctl(&["tenant", "get", &tenant, "-o", "name"]);
    assert!(flows.out.contains("flow/misc-inbound"), "{}", flows.seen());
    let quota = bed.starctl(&["tenant", "quota", &tenant, "-o", "json"]).json();
    let of = &quota["items"][0];
    assert_eq!((&of["connection"], &of["calls_per_minute"]), (&"galaxy-b".into(), &100.into()), "{quota}");
    assert_eq!(
        (&of["flows"], &of["others"]),
        (&serde_json::json!(["misc-inbound"]), &serde_json::json!([])),
        "{quota}"
    );
    let unknown = bed.starctl(&["tenant", "get", "nobody"]);
    assert_eq!(unknown.code, Some(3), "{}", unknown.seen());
}

#[test]
fn flows_are_listed_page_by_page() {
    let bed = Bed::new();
    bed.desk().publish_ready();
    let first = bed.starctl(&["flow", "list", "--limit", "1", "-o", "name"]);
    assert_eq!((first.out.as_str(), first.err.as_str()), ("flow/misc-inbound\n", "there is more: --page-token 1\n"));
    let rest = bed.starctl(&["flow", "list", "--page-token", "1", "-o", "json"]).json();
    assert_eq!((&rest["items"][0]["name"], &rest["next_page_token"]), (&"ready".into(), &"".into()));
    let whole = bed.starctl(&["flow", "list", "--sort-by", "-name", "-o", "name"]);
    assert_eq!((whole.out.as_str(), whole.err.as_str()), ("flow/ready\nflow/misc-inbound\n", ""));
    let of_another = bed.starctl(&["flow", "list", "--tenant", "other", "--limit", "1"]);
    assert_eq!((of_another.out.as_str(), of_another.err.as_str()), ("", "nothing found\n"));
}

#[test]
fn what_was_not_done_to_a_flow_is_not_told_as_done() {
    let bed = Bed::new();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/flows/misc-inbound");
    for arguments in [
        &["flow", "apply", folder][..],
        &["flow", "pause", "misc-inbound"],
        &["flow", "resume", "misc-inbound"],
        &["flow", "run", "misc-inbound"],
        &["flow", "rollback", "misc-inbound", "--to", "ffeeddccbbaa9988"],
        &["flow", "canary", folder, "--percent", "5"],
        &["flow", "promote", "misc-inbound"],
        &["flow", "abort", "misc-inbound"],
        &["flow", "delete", "misc-inbound"],
        &["schedule", "trigger", "misc-inbound"],
    ] {
        let ran = bed.starctl(&[arguments, &["--dry-run"]].concat());
        assert!(ran.code == Some(0) && ran.out.starts_with("dry run: nothing was changed\n"), "{}", ran.seen());
        let json = bed.starctl(&[arguments, &["--dry-run", "-o", "json"]].concat());
        assert_eq!((json.code, json.err.as_str()), (Some(0), "dry run: nothing was changed\n"), "{}", json.seen());
        assert!(json.json()["items"][0].is_object());
    }
}
