use super::*;
use crate::Shelf;
use serde_json::json;

const TARGET: &str =
    r#"{"api":"batchSave","request":[{"field":"no","value":"{no}"},{"field":"q","type":"int","value":"{q}"}]}"#;

fn file(cases: Value) -> Result<CaseFile, Fault> {
    CaseFile::read("t.cases.json", &json!({"metadata": "t.json", "side": "target", "cases": cases}).to_string())
}

fn outcome(case: Value) -> CaseOutcome {
    let outcomes = file(json!([case])).expect("a case file").run(TARGET, &Shelf::default()).expect("a document");
    outcomes.into_iter().next().expect("one case")
}

#[test]
fn unknown_keys_are_faults_with_their_place() {
    for (cases, path) in [
        (json!([{"expect": {"document": []}}]), "$.cases[0].expect.document"),
        (json!([{"expect": {}, "inputs": []}]), "$.cases[0].inputs"),
        (json!([{"expect": {}, "context": {"now": "x"}}]), "$.cases[0].context.now"),
        (json!([{"name": "no expect"}]), "$.cases[0]"),
    ] {
        let fault = file(cases).expect_err("not in the format");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::CaseFile, Some(path)));
        assert_eq!(fault.place.file.as_deref(), Some("t.cases.json"));
        assert!(fault.place.line.is_some());
    }
    let fault = file(json!([{"expect": {"document": []}}])).expect_err("misspelt");
    assert_eq!(fault.hint.as_deref(), Some("did you mean documents?"));
    let broken = CaseFile::read("t.cases.json", "{").expect_err("no JSON");
    assert_eq!((broken.code, broken.place.line), (Code::Json, Some(1)));
}

#[test]
fn a_case_that_differs_is_one_fault_with_a_diff() {
    let case = json!({"name": "two", "input": [{"no": "A", "q": 1}], "expect": {"documents": [{"no": "A", "q": 2}], "batches": [[0]]}});
    let outcome = outcome(case);
    assert!(!outcome.passed());
    assert_eq!(outcome.differences.len(), 1);
    assert!(outcome.differences[0].diff.contains("-     \"q\": 2"), "{}", outcome.differences[0].diff);
    let fault = outcome.fault("t.cases.json").expect("a failure");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::CaseFailed, Some("$.cases[0].expect.documents")));
}

#[test]
fn failed_bills_have_no_document_and_cannot_hide() {
    let input = json!([{"no": "A", "q": "x"}, {"no": "B", "q": 1}]);
    let expected =
        json!({"documents": [{"no": "B", "q": 1}], "errors": [{"record": 0, "code": "E_TYPE"}], "batches": [[0]]});
    assert!(outcome(json!({"input": input, "expect": expected})).passed());
    let silent = outcome(json!({"input": input, "expect": {"documents": [{"no": "B", "q": 1}]}}));
    assert_eq!(silent.differences.iter().map(|difference| difference.key).collect::<Vec<_>>(), ["errors"]);
    assert_eq!(silent.faults[0].code, Code::Type);
}

#[test]
fn an_unknown_zone_fails_its_case() {
    let outcome = outcome(json!({"context": {"tz": "Asia/Beijing"}, "expect": {}}));
    assert_eq!(outcome.faults[0].code, Code::Zone);
    assert_eq!(outcome.faults[0].place.path.as_deref(), Some("$.cases[0].context.tz"));
    assert!(!outcome.passed());
}

#[test]
fn expectations_of_the_other_side_are_not_overlooked() {
    assert!(!outcome(json!({"expect": {"records": []}})).passed());
}

#[test]
fn the_source_side_counts_repeats_or_replaces() {
    let document = |check: bool| json!({"api": "x", "id": "id", "idCheck": check}).to_string();
    let file = |expect: Value| {
        let case = json!({"stored": [1], "input": [[{"id": 1, "v": 1}, {"id": 2, "v": 1}], [{"id": 2, "v": 2}], []], "expect": expect});
        let text = json!({"metadata": "s.json", "side": "source", "cases": [case]}).to_string();
        CaseFile::read("s.cases.json", &text).expect("a case file")
    };
    let record = |id: &str, number: i64, v: i64| json!({"id": id, "number": id, "content": {"id": number, "v": v}});
    let once = file(json!({"records": [record("2", 2, 1)], "repeat": ["1", "2"]}));
    assert!(once.run(&document(true), &Shelf::default()).expect("a document")[0].passed());
    let again = file(json!({"records": [record("1", 1, 1), record("2", 2, 2)], "repeat": []}));
    assert!(again.run(&document(false), &Shelf::default()).expect("a document")[0].passed());
}

#[test]
fn a_document_that_does_not_load_gives_its_faults() {
    let file = file(json!([])).expect("a case file");
    let faults = file.run("{\"request\":[]}", &Shelf::default()).expect_err("no api");
    assert_eq!((faults[0].code, faults[0].place.file.as_deref()), (Code::Api, Some("t.json")));
}
