//! The command line as people and scripts meet it: output, error output, exit code.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use document::Code;
use serde_json::{Value, json};
use tempfile::TempDir;

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn starctl(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_starctl")).args(arguments).output().expect("the binary runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code().expect("it ended by itself"), out: text(output.stdout), err: text(output.stderr) }
}

fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().expect("a scratch folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a writable folder");
    }
    folder
}

fn inside(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// A copy of the ready flow.
fn flow() -> TempDir {
    let ready = PathBuf::from(repository("deploy/flows/misc-inbound"));
    let read = |name: &str| fs::read_to_string(ready.join(name)).expect("the flow is part of the repository");
    let (file, source, target) = (read("flow.toml"), read("source.json"), read("target.json"));
    folder(&[("flow.toml", &file), ("source.json", &source), ("target.json", &target)])
}

const DOCUMENT: &str = r#"{"api":"batchSave","request":[{"field":"no","value":"{no}"}]}"#;

#[test]
fn version_and_usage() {
    let version = starctl(&["version"]);
    assert_eq!((version.code, version.out.as_str()), (0, "starctl 0.1.0\n"));
    let json: Value = serde_json::from_str(&starctl(&["version", "-o", "json"]).out).expect("JSON");
    assert_eq!((&json["kind"], &json["items"][0]["version"]), (&json!("Version"), &json!("0.1.0")));
    assert_eq!(starctl(&["version", "-o", "csv"]).out, "name,version\nstarctl,0.1.0\n");
    assert_eq!(starctl(&["version", "-o", "name"]).out, "version/0.1.0\n");
    for wrong in [&["flow"][..], &["flow", "lint"], &["flow", "render", "x"], &["fly"]] {
        let ran = starctl(wrong);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{wrong:?}");
        assert!(ran.err.contains("Usage"), "{}", ran.err);
    }
}

#[test]
fn a_good_flow_lints_clean_and_says_what_overrode_what() {
    let ran = starctl(&["flow", "lint", &repository("deploy/flows/misc-inbound")]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("note: batch.documents = 50 of flow.toml overrides operation.rows = 1"), "{}", ran.out);
    assert_eq!(ran.err, "0 faults, 0 warnings\n");
}

#[test]
fn lint_lists_every_fault_with_place_hint_and_advice() {
    let flow = flow();
    let file = inside(&flow, "flow.toml");
    let text = fs::read_to_string(&file).expect("a file").replace("documents = 50", "documnts = 50");
    fs::write(&file, text.replace("*/5 * * * *", "*/5 * *")).expect("a writable file");
    fs::write(inside(&flow, "target.json"), r#"{"api":"batchSave","request":[{"field":"a","value":"_function 1 +"}]}"#)
        .expect("a writable file");
    let ran = starctl(&["flow", "lint", &flow.path().display().to_string()]);
    assert_eq!(ran.code, 9);
    for wanted in [
        "E_FLOW_KEY at ",
        "$.batch.documnts: unknown key documnts (did you mean documents?)",
        "E_CRON at ",
        "E_FUNCTION at ",
        "$.request[0].value",
        "E_TARGET_KEY at ",
    ] {
        assert!(ran.out.contains(wanted), "{wanted} in {}", ran.out);
    }
    assert!(ran.out.contains(&file), "{}", ran.out);
    assert_eq!(ran.err, "4 faults, 0 warnings\n");
    let chinese = starctl(&["--lang", "zh", "flow", "lint", &file]);
    assert!(chinese.out.contains("流程文件中有不存在的键。"), "{}", chinese.out);
}

#[test]
fn lint_speaks_json() {
    let folder = folder(&[
        ("a.source.json", r#"{"api":"executeBillQuery","request":[]}"#),
        ("a.cases.json", r#"{"metadata":"x","side":"target","cases":[{"expcet":{}}]}"#),
    ]);
    let ran =
        starctl(&["flow", "lint", "-o", "json", &inside(&folder, "a.source.json"), &inside(&folder, "a.cases.json")]);
    assert_eq!(ran.code, 9);
    let found: Value = serde_json::from_str(&ran.out).expect("JSON on standard output");
    let codes: Vec<&Value> = found["faults"].as_array().expect("a list").iter().map(|fault| &fault["code"]).collect();
    assert_eq!(codes, [&json!(Code::IdMissing), &json!(Code::IdColumn), &json!(Code::CaseFile)]);
    assert_eq!(found["faults"][2]["place"]["path"], "$.cases[0].expcet");
    assert_eq!(found["faults"][0]["category"], "configuration");
}

#[test]
fn a_file_that_is_not_there_is_exit_3_with_its_name() {
    for command in [&["flow", "lint"][..], &["flow", "test"], &["-o", "json", "flow", "test"]] {
        let ran = starctl(&[command, &["/nowhere/x.cases.json"]].concat());
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{command:?}");
        assert!(
            ran.err.contains(Code::NoSuchFile.as_str()) && ran.err.contains("/nowhere/x.cases.json"),
            "{}",
            ran.err
        );
    }
    let ran = starctl(&["-o", "json", "flow", "lint", "/nowhere"]);
    let fault: Value = serde_json::from_str(&ran.err).expect("JSON on standard error");
    assert_eq!(fault["place"]["file"], "/nowhere");
}

#[test]
fn every_visible_case_passes() {
    let corpus = repository("services/shared/flow/tests/corpus");
    let mut files: Vec<String> = fs::read_dir(&corpus)
        .expect("the corpus is part of the repository")
        .map(|entry| entry.expect("a readable folder").path().display().to_string())
        .filter(|path| path.ends_with(".cases.json"))
        .collect();
    files.sort();
    let mut arguments = vec!["flow", "test"];
    arguments.extend(files.iter().map(String::as_str));
    let ran = starctl(&arguments);
    assert_eq!((ran.code, ran.err.as_str()), (0, "8 passed, 0 failed, 0 files not run\n"), "{}", ran.out);
    assert!(ran.out.lines().all(|line| line.starts_with("ok ")), "{}", ran.out);
}

#[test]
fn a_failing_case_is_exit_9_with_a_readable_diff() {
    let cases = r#"{"metadata":"d.json","side":"target","cases":[{"name":"one","input":[{"no":"A"}],"expect":{"documents":[{"no":"B"}]}}]}"#;
    let folder = folder(&[("d.json", DOCUMENT), ("d.cases.json", cases)]);
    let ran = starctl(&["flow", "test", &inside(&folder, "d.cases.json")]);
    assert_eq!((ran.code, ran.err.as_str()), (9, "0 passed, 1 failed, 0 files not run\n"));
    for wanted in [
        "FAILED ",
        "[0] one",
        "-     \"no\": \"B\"",
        "+     \"no\": \"A\"",
        Code::CaseFailed.as_str(),
        "$.cases[0].expect.documents",
    ] {
        assert!(ran.out.contains(wanted), "{wanted} in {}", ran.out);
    }
    let ran = starctl(&["flow", "test", "-o", "json", &inside(&folder, "d.cases.json")]);
    let found: Value = serde_json::from_str(&ran.out).expect("JSON on standard output");
    assert_eq!((ran.code, &found["files"][0]["cases"][0]["passed"]), (9, &json!(false)));
    assert_eq!(found["files"][0]["cases"][0]["differences"][0]["key"], "documents");
}

#[test]
fn a_misspelt_case_file_and_a_broken_document_are_exit_9() {
    let cases = r#"{"metadata":"d.json","side":"target","cases":[{"expect":{"document":[]}}]}"#;
    let good = r#"{"metadata":"d.json","side":"target","cases":[]}"#;
    let folder = folder(&[("d.json", "{\"request\":[]}"), ("bad.cases.json", cases), ("d.cases.json", good)]);
    let ran = starctl(&["flow", "test", &inside(&folder, "bad.cases.json"), &inside(&folder, "d.cases.json")]);
    assert_eq!((ran.code, ran.err.as_str()), (9, "0 passed, 0 failed, 2 files not run\n"));
    assert!(ran.out.contains("E_CASE_FILE at ") && ran.out.contains("did you mean documents?"), "{}", ran.out);
    assert!(ran.out.contains("E_API at ") && ran.out.contains(&inside(&folder, "d.json")), "{}", ran.out);
}

#[test]
fn render_shows_the_documents_of_sample_rows() {
    let flow = flow();
    let rows = json!([
        {"FEntity_FEntryID": 1, "FBillNo": "A", "FStockOrgId_FNumber": "204", "FDate": "2024-03-14T00:00:00", "FMATERIALID_FNumber": "M1", "FQty": 12.0},
        [2, 9, "A", "C", "204", "2024-03-14T00:00:00", "M2", "01", "3.50"]
    ]);
    fs::write(inside(&flow, "rows.json"), rows.to_string()).expect("a writable folder");
    let path = flow.path().display().to_string();
    let ran =
        starctl(&["flow", "render", &path, "--rows", &inside(&flow, "rows.json"), "--now", "1710489600", "-o", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let shown: Value = serde_json::from_str(&ran.out).expect("JSON on standard output");
    assert_eq!(
        shown,
        json!({"documents": [{"records": [0, 1], "document": {
            "FBillNo": "A", "FBillTypeID": {"FNumber": "QTRKD01_SYS"}, "FStockOrgId": {"FNumber": "121"}, "FDate": "2024-03-14",
            "FEntity": [
                {"FMATERIALID": {"FNumber": "M1"}, "FQty": "12"},
                {"FMATERIALID": {"FNumber": "M2"}, "FSTOCKID": {"FNumber": "01"}, "FQty": "3.50"}
            ]
        }}], "errors": []})
    );
    assert!(ran.err.contains("overrides operation.rows = 1"), "{}", ran.err);
    let text = starctl(&[
        "flow",
        "render",
        &inside(&flow, "flow.toml"),
        "--rows",
        &inside(&flow, "rows.json"),
        "--now",
        "2024-03-15T16:00:00+08:00",
    ]);
    assert_eq!(text.code, 0, "{}", text.err);
    assert!(text.out.starts_with("# document 1 of records [0,1]\n{\n  \"FBillNo\": \"A\""), "{}", text.out);
}

#[test]
fn render_names_bills_that_fail_and_rows_that_are_none() {
    let flow = flow();
    let write = |name: &str, text: &str| fs::write(inside(&flow, name), text).expect("a writable folder");
    let path = flow.path().display().to_string();
    let render =
        |rows: &str| starctl(&["flow", "render", &path, "--rows", &inside(&flow, rows), "--now", "0", "-o", "json"]);
    write("rows.json", r#"[{"FBillNo":"A","FDate":"昨天"},{"FBillNo":"B"}]"#);
    let ran = render("rows.json");
    let shown: Value = serde_json::from_str(&ran.out).expect("JSON on standard output");
    assert_eq!((ran.code, shown["documents"].as_array().map(Vec::len)), (6, Some(1)));
    assert_eq!(shown["errors"][0]["error"]["code"], json!(Code::Filter));
    assert_eq!(shown["errors"][0]["error"]["place"]["record"], "A");
    assert_eq!(shown["errors"][0]["error"]["place"]["column"], "FDate");
    write("short.json", "[[1, 2]]");
    write("none.json", "{}");
    write("broken.json", "[");
    for (rows, code) in [("short.json", Code::RowShape), ("none.json", Code::RowShape), ("broken.json", Code::Json)] {
        let ran = render(rows);
        assert_eq!((ran.code, ran.out.as_str()), (9, ""), "{rows}");
        assert!(ran.err.contains(code.as_str()) && ran.err.contains(rows), "{}", ran.err);
    }
}

#[test]
fn lookups_see_the_collections_of_the_flow_in_lint_render_and_test() {
    let target = r#"{"api":"batchSave","request":[{"field":"FBillNo","value":"{FBillNo}"},{"field":"m","value":"_findCollection find FID from U where FNumber={FBillNo}"}],"otherRequest":[{"field":"FormId","value":"X"}]}"#;
    let cases = r#"{"metadata":"target.json","side":"target","cases":[{"input":[{"FBillNo":"A"}],"expect":{"documents":[{"FBillNo":"A","m":814}]}}]}"#;
    let flow = flow();
    let write = |name: &str, text: &str| fs::write(inside(&flow, name), text).expect("a writable folder");
    write("target.json", target);
    write("target.cases.json", cases);
    write("rows.json", r#"[{"FBillNo":"A"}]"#);
    let path = flow.path().display().to_string();
    let ran = starctl(&["flow", "lint", &path]);
    assert_eq!(ran.code, 9, "{}", ran.out);
    assert!(ran.out.contains(Code::UnknownScheme.as_str()), "{}", ran.out);

    let file = fs::read_to_string(inside(&flow, "flow.toml")).expect("the flow file");
    write("flow.toml", &format!("{file}\n[collections]\nU = \"known.json\"\n"));
    write("known.json", r#"[{"id":"1","content":{"FNumber":"A","FID":814}}]"#);
    let ran = starctl(&["flow", "lint", &path]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    let ran = starctl(&["flow", "render", &path, "--rows", &inside(&flow, "rows.json"), "-o", "json"]);
    let shown: Value = serde_json::from_str(&ran.out).expect("JSON on standard output");
    assert_eq!(shown["documents"][0]["document"], json!({"FBillNo": "A", "m": 814}));
    let ran = starctl(&["flow", "test", &inside(&flow, "target.cases.json")]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);

    write("known.json", r#"[{"id":1,"nr":"x"}]"#);
    for command in [vec!["lint", &path], vec!["test", &inside(&flow, "target.cases.json")]] {
        let ran = starctl(&[&["flow"], command.as_slice()].concat());
        assert_eq!(ran.code, 9);
        assert!(format!("{}{}", ran.out, ran.err).contains(Code::CollectionFile.as_str()), "{}{}", ran.out, ran.err);
    }
}

#[test]
fn the_schema_is_printed_as_published() {
    let ran = starctl(&["flow", "schema"]);
    let published = fs::read_to_string(repository("deploy/flows/flow.schema.json")).expect("the schema is published");
    assert_eq!((ran.code, ran.out), (0, published));
}

#[test]
fn what_the_repository_holds_is_formatted_and_says_the_same_after() {
    let flows = repository("deploy/flows/misc-inbound");
    let ran = starctl(&["flow", "fmt", "--check", &flows]);
    assert_eq!((ran.code, ran.err.as_str()), (0, "0 of 5 files would change\n"), "{}", ran.out);
    // Every document of the corpus can be formatted, and is then read as before.
    let mut number = 0;
    for entry in fs::read_dir(repository("services/shared/flow/tests/corpus")).expect("part of the repository") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a document");
        let folder = folder(&[("x.json", &text)]);
        let ran = starctl(&["flow", "fmt", &inside(&folder, "x.json")]);
        assert_eq!(ran.code, 0, "{}: {}", path.display(), ran.err);
        let formatted = fs::read_to_string(inside(&folder, "x.json")).expect("formatted");
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(read(&formatted), read(&text), "{}", path.display());
        number += 1;
    }
    assert!(number > 10, "{number}");
}

#[test]
fn files_are_named_before_they_are_formatted() {
    let folder =
        folder(&[("flow.toml", "# x\nflow='a'\n"), ("a.json", "{\"n\":1.50}"), ("b.json", "[]\n"), ("c.txt", "")]);
    let path = folder.path().display().to_string();
    let check = starctl(&["flow", "fmt", "--check", "-o", "name", &path]);
    let named = format!("{}\n{}\n", inside(&folder, "a.json"), inside(&folder, "flow.toml"));
    assert_eq!((check.code, check.out.as_str()), (9, named.as_str()), "{}", check.err);
    let read = |name: &str| fs::read_to_string(inside(&folder, name)).expect("a file");
    assert_eq!(read("a.json"), "{\"n\":1.50}", "nothing was written");
    let json = starctl(&["flow", "fmt", "-o", "json", &path]);
    let shown: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(
        (json.code, &shown["items"][1]["changed"], json.err.as_str()),
        (0, &json!(false), "2 of 3 files changed\n")
    );
    assert_eq!(
        (read("a.json"), read("flow.toml")),
        ("{\n  \"n\": 1.50\n}\n".to_owned(), "# x\nflow = 'a'\n".to_owned())
    );
    assert_eq!(starctl(&["flow", "fmt", "--check", &path, "--lang", "zh"]).err, "3 个文件中 0 个需要格式化\n");
    // What cannot be read is named with its place, and the others are formatted all the same.
    fs::write(inside(&folder, "b.json"), "[1,").expect("writable");
    fs::write(inside(&folder, "a.json"), "{}").expect("writable");
    let broken = starctl(&["flow", "fmt", &path]);
    assert_eq!((broken.code, read("a.json").as_str(), read("b.json").as_str()), (9, "{}\n", "[1,"));
    assert!(broken.err.contains(Code::Json.as_str()) && broken.err.contains("b.json"), "{}", broken.err);
    assert_eq!(starctl(&["flow", "fmt", &inside(&folder, "c.txt")]).code, 9);
    assert_eq!(starctl(&["flow", "fmt", &inside(&folder, "none.json")]).code, 3);
}

#[test]
fn the_schema_of_a_connection_is_printed_as_published() {
    let ran = starctl(&["connection", "schema"]);
    let published = fs::read_to_string(repository("deploy/flows/connection.schema.json")).expect("it is published");
    assert_eq!((ran.code, ran.out.as_str()), (0, published.as_str()));
    assert!(starctl(&["connection", "schema", "-o", "yaml"]).out.contains("app_secret_file:"));
    assert_eq!(starctl(&["connection", "schema", "-o", "csv"]).code, 2);
}
