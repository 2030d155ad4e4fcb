use std::collections::BTreeMap;

use super::*;
use crate::NoCollections;
use serde_json::{Value, json};

const FLOW: &str = r#"flow = "misc-inbound"
start_from = "2024-01-01T00:00:00+08:00"
[source]
connection = "galaxy-a"
[target]
connection = "galaxy-b"
"#;

fn source() -> Value {
    json!({
        "api": "executeBillQuery", "id": "FEntity_FEntryID", "number": "FBillNo",
        "request": [
            {"field": "FEntity_FEntryID", "value": "FEntity_FEntryID"},
            {"field": "FBillNo", "value": "FBillNo"},
            {"field": "FOrg_FNumber", "value": "FOrg.FNumber"},
            {"field": "FQty", "value": "FQty"}
        ],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    })
}

fn target() -> Value {
    json!({
        "api": "batchSave",
        "request": [{"field": "FBillNo", "type": "string", "value": "{FBillNo}"}],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    })
}

fn bundle(flow: &str, source: &Value, target: &Value) -> FlowBundle {
    FlowBundle {
        flow: flow.to_owned(),
        source: source.to_string(),
        target: target.to_string(),
        collections: BTreeMap::new(),
    }
}

type Seen = Vec<(Code, String, String)>;

fn seen(faults: &[Fault]) -> Seen {
    let place = |fault: &Fault| {
        let place = fault.place.clone();
        (fault.code, place.file.unwrap_or_default(), place.path.unwrap_or_default())
    };
    faults.iter().map(place).collect()
}

fn faults(bundle: &FlowBundle) -> Seen {
    seen(&compile(bundle).err().unwrap_or_default())
}

fn at(code: Code, file: &str, path: &str) -> (Code, String, String) {
    (code, file.to_owned(), path.to_owned())
}

/// A document with one of its members set.
fn set(mut document: Value, key: &str, value: Value) -> Value {
    document[key] = value;
    document
}

#[test]
fn a_good_flow_compiles_to_what_the_stages_need() {
    let compiled = compile(&bundle(FLOW, &source(), &target())).expect("a flow");
    let flow = compiled.flow;
    assert_eq!((flow.name.as_str(), flow.tenant.as_str(), flow.documents_per_call), ("misc-inbound", "default", 1));
    assert_eq!(flow.version.as_str().len(), 16);
    assert_eq!(flow.entry_key(), Some("FEntity_FEntryID"));
    assert_eq!(flow.start_from.timestamp(), 1_704_038_400);
    assert!(flow.lookback.is_none());
    assert_eq!(compiled.warnings, Vec::new());
}

#[test]
fn every_fault_of_all_three_texts_is_listed() {
    let flow = FLOW.replace("galaxy-b\"", "galaxy-b\"\nky = \"x\"").replace("[source]", "partitions = 0\n[source]");
    let source = set(source(), "id", Value::Null);
    let target = json!({
        "request": [{"field": "a", "value": "_function 1 +", "parser": {"name": "Convert"}}],
        "operation": {"method": "batch"}
    });
    let found = faults(&bundle(&flow, &source, &target));
    for wanted in [
        at(Code::FlowKey, "flow.toml", "$.target.ky"),
        at(Code::Range, "flow.toml", "$.partitions"),
        at(Code::TargetField, "flow.toml", "$.target.key"),
        at(Code::IdMissing, "source.json", "$.id"),
        at(Code::Api, "target.json", "$.api"),
        at(Code::Function, "target.json", "$.request[0].value"),
        at(Code::Parser, "target.json", "$.request[0].parser"),
        at(Code::Operation, "target.json", "$.operation.method"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn drafts_are_refused_because_a_save_is_whole() {
    let found = faults(&bundle(FLOW, &source(), &set(target(), "api", "Draft".into())));
    assert_eq!(found, [at(Code::Api, "target.json", "$.api")]);
}

#[test]
fn text_that_is_no_document_names_line_and_column() {
    let mut broken = bundle(FLOW, &source(), &target());
    broken.source = "{\n  \"api\": \n}".to_owned();
    let found = compile(&broken).expect_err("no JSON");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, Code::Json);
    assert_eq!((found[0].place.line, found[0].place.column.as_deref()), (Some(3), Some("1")));
    assert_eq!(found[0].place.file.as_deref(), Some("source.json"));
    broken.source = "[]".to_owned();
    assert_eq!(faults(&broken), [at(Code::DocumentShape, "source.json", "$")]);
}

#[test]
fn documents_beyond_the_limits_are_refused() {
    let mut large = bundle(FLOW, &source(), &target());
    large.target = format!("{{\"api\":\"batchSave\",\"describe\":\"{}\"}}", "x".repeat(5 * 1024 * 1024));
    assert_eq!(faults(&large), [at(Code::Limit, "target.json", "$")]);
    large.target = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let found = compile(&large).expect_err("too deep");
    assert_eq!((found[0].code, found[0].place.line), (Code::Limit, Some(1)));
}

#[test]
fn exchanged_documents_are_noticed() {
    let reading = set(source(), "type", json!("QUERY"));
    let writing = set(target(), "effect", json!("EXECUTE"));
    let found = faults(&bundle(FLOW, &writing, &reading));
    assert!(found.contains(&at(Code::Side, "source.json", "$.effect")), "{found:?}");
    assert!(found.contains(&at(Code::Side, "target.json", "$.type")), "{found:?}");
}

#[test]
fn a_form_must_be_named_somewhere() {
    let source = set(source(), "otherRequest", json!([]));
    let target = set(target(), "otherRequest", json!([]));
    let flow_less = bundle(FLOW, &source, &target);
    assert_eq!(
        faults(&flow_less),
        [
            at(Code::FormMissing, "source.json", "$.otherRequest"),
            at(Code::FormMissing, "target.json", "$.otherRequest")
        ]
    );
    let named = FLOW
        .replace("\"galaxy-a\"", "\"galaxy-a\"\nform = \"A\"")
        .replace("\"galaxy-b\"", "\"galaxy-b\"\nform = \"B\"");
    let compiled = compile(&bundle(&named, &source, &target)).expect("a flow");
    let run = compiled.flow.run(0, 0);
    assert_eq!(compiled.flow.source.query(&run).expect("a query").form_id, "A");
    assert_eq!(compiled.flow.target.call(&run, &NoCollections).expect("a call").form_id, "B");
}

#[test]
fn call_parameters_are_tried_at_load() {
    let source = set(
        source(),
        "otherRequest",
        json!([
            {"field": "FormId", "value": "STK_MISCELLANEOUS"}, {"field": "Limit", "value": "many"}
        ]),
    );
    let target = set(
        target(),
        "otherRequest",
        json!([
            {"field": "FormId", "value": "STK_MISCELLANEOUS"}, {"field": "Operation", "value": "Delete"}
        ]),
    );
    assert_eq!(
        faults(&bundle(FLOW, &source, &target)),
        [
            at(Code::CallOption, "source.json", "$.otherRequest[1]"),
            at(Code::CallOption, "target.json", "$.otherRequest[1]")
        ]
    );
}

#[test]
fn an_id_that_is_no_column_would_store_nothing() {
    let found = compile(&bundle(FLOW, &set(source(), "id", json!("FEntryID")), &target())).expect_err("no column");
    assert_eq!(seen(&found), [at(Code::IdColumn, "source.json", "$.id")]);
    let empty = set(set(source(), "request", json!([])), "response", Value::Null);
    assert_eq!(faults(&bundle(FLOW, &empty, &target())), [at(Code::IdColumn, "source.json", "$.request")]);
}

#[test]
fn the_target_key_must_be_a_field_of_the_target() {
    let flow = FLOW.replace("\"galaxy-b\"", "\"galaxy-b\"\nkey = \"FBilNo\"");
    let found = compile(&bundle(&flow, &source(), &target())).expect_err("no such field");
    assert_eq!(seen(&found), [at(Code::TargetField, "flow.toml", "$.target.key")]);
    assert_eq!((found[0].place.line, found[0].hint.as_deref()), (Some(7), Some("did you mean FBillNo?")));
}

#[test]
fn a_marker_names_the_bill_by_flow_and_document_and_must_be_left_empty_by_the_document() {
    let marked = |field: &str| FLOW.replace("\"galaxy-b\"", &format!("\"galaxy-b\"\nmarker = \"{field}\""));
    let without_number = set(target(), "request", json!([{"field": "FQty", "value": "{FQty}"}]));
    let compiled = compile(&bundle(&marked("FNote"), &source(), &without_number)).expect("a flow");
    assert!(compiled.notes.iter().any(|note| note.contains("target.marker = FNote")), "{:?}", compiled.notes);
    let flow = compiled.flow;
    assert_eq!(flow.key_field(), "FNote");
    let key = flow.document_key(&json!({"FBillNo": "SO-1 '中'", "FEntity_FEntryID": 7})).expect("a number");
    let mut bill = Map::from_iter([("FQty".to_owned(), json!(1))]);
    flow.mark(&mut bill, &key);
    assert_eq!(Value::Object(bill), json!({"FQty": 1, "FNote": "misc-inbound/SO-1 '中'"}));
    assert_eq!(flow.document_key(&json!({"FEntity_FEntryID": 7})), Some("7".into()));

    let found = faults(&bundle(&marked("FBillNo"), &source(), &target()));
    assert_eq!(found, [at(Code::TargetField, "flow.toml", "$.target.marker")]);
}

#[test]
fn groups_that_could_span_documents_are_refused() {
    let group = |fields: Value| json!({"headerGroup": fields, "bodyGroup": ["FQty"], "calculate": {"FQty": "$sum"}});
    let spans = set(target(), "groupCalculate", group(json!(["FOrg_FNumber"])));
    assert_eq!(
        faults(&bundle(FLOW, &source(), &spans)),
        [at(Code::GroupSpans, "target.json", "$.groupCalculate.headerGroup")]
    );
    let merge = set(target(), "operation", json!({"method": "merge", "field": "FOrg_FNumber"}));
    assert_eq!(faults(&bundle(FLOW, &source(), &merge)), [at(Code::GroupSpans, "target.json", "$.operation.field")]);
    for within in [
        set(target(), "groupCalculate", group(json!(["FOrg_FNumber", "FBillNo"]))),
        set(target(), "operation", json!({"method": "merge", "field": "FBillNo,FOrg_FNumber"})),
    ] {
        assert_eq!(faults(&bundle(FLOW, &source(), &within)), Seen::new());
    }
}

#[test]
fn incomplete_groupings_operations_and_remedies_are_refused() {
    let group = set(target(), "groupCalculate", json!({"calculate": {"FQty": "$total"}}));
    assert_eq!(
        faults(&bundle(FLOW, &source(), &group)),
        [
            at(Code::GroupFunction, "target.json", "$.groupCalculate.headerGroup"),
            at(Code::GroupFunction, "target.json", "$.groupCalculate.calculate.FQty")
        ]
    );
    for (operation, path) in [
        (json!({"method": "merge"}), "$.operation.field"),
        (json!({"method": "batchArraySave", "rows": 0}), "$.operation.rows"),
    ] {
        let target = set(target(), "operation", operation);
        assert_eq!(faults(&bundle(FLOW, &source(), &target)), [at(Code::Operation, "target.json", path)]);
    }
    for (key, value, code, path) in [
        ("operation", json!({"method": "splitArray"}), Code::Operation, "$.operation.arrayKey"),
        ("operation", json!({"method": "merge"}), Code::Operation, "$.operation.method"),
        ("omissionRemedy", json!({"takeOverRequest": []}), Code::Remedy, "$.omissionRemedy.crontab"),
        ("omissionRemedy", json!({"crontab": "2 3 * * *"}), Code::Remedy, "$.omissionRemedy.takeOverRequest"),
        ("omissionRemedy", json!({"crontab": "2 3", "takeOverRequest": []}), Code::Cron, "$.omissionRemedy.crontab"),
        ("pagination", json!({"pageSize": 0}), Code::DocumentShape, "$.pagination.pageSize"),
        ("functionError", json!("ignore"), Code::DocumentShape, "$.functionError"),
        ("condition", json!([{"field": "a"}]), Code::ConditionShape, "$.condition[0]"),
        ("condition", json!([[{"field": "a", "logic": "is"}]]), Code::ConditionLogic, "$.condition[0][0].logic"),
        (
            "formatResponse",
            json!([{"old": "FQty", "new": "q", "format": "x"}]),
            Code::Format,
            "$.formatResponse[0].format",
        ),
        (
            "request",
            json!([{"value": "x"}, {"field": "FEntity_FEntryID"}, {"field": "FBillNo"}]),
            Code::EntryField,
            "$.request[0]",
        ),
    ] {
        assert_eq!(
            faults(&bundle(FLOW, &set(source(), key, value), &target())),
            [at(code, "source.json", path)],
            "{key}"
        );
    }
}

#[test]
fn oddities_are_warnings_with_their_place() {
    let target = json!({
        "api": "batchSave", "colour": "red",
        "request": [
            {"field": "FBillNo", "value": "{FBilNo}"},
            {"field": "FOrg", "value": "{FOrg_FNumber}"},
            {"field": "FNeed", "is_required": true},
            {"field": "FEntity", "type": "array", "value": "lines", "children": [{"field": "a", "value": "{{lines.a}}"}]},
            {"field": "FDate", "type": "date2", "value": "{{CURRENT_TIME|date}}"}
        ],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    });
    let bundle = bundle(FLOW, &source(), &target);
    let compiled = compile(&bundle).expect("warnings only");
    let found = seen(&compiled.warnings);
    for wanted in [
        at(Code::UnknownKey, "target.json", "$.colour"),
        at(Code::Undeclared, "target.json", "$.request[0].value"),
        at(Code::RequiredEmpty, "target.json", "$.request[2]"),
        at(Code::Undeclared, "target.json", "$.request[3].value"),
        at(Code::UnknownType, "target.json", "$.request[4].type"),
    ] {
        assert!(found.contains(&wanted), "{wanted:?} in {found:?}");
    }
    assert_eq!(found.len(), 5, "{found:?}");
}

#[test]
fn lookups_see_the_records_that_the_flow_gives() {
    let find = |from: &str| {
        let value = format!("_findCollection find FID from {from} where FNumber={{FBillNo}}");
        json!([{"field": "FBillNo", "value": "{FBillNo}"}, {"field": "m", "value": value}])
    };
    let flow = format!("{FLOW}[collections]\n255f7565 = \"materials.json\"\n");
    let target = set(target(), "request", find("255f7565"));
    let asks = json!([
        {"field": "FormId", "value": "STK_MISCELLANEOUS"},
        {"field": "FilterString", "value": "_findCollection find FID from 255f7565 where FNumber='A'"}
    ]);
    let source = set(source(), "otherRequest", asks);
    let mut bundle = bundle(&flow, &source, &target);
    assert_eq!(
        faults(&bundle),
        [
            at(Code::NoSuchFile, "flow.toml", "$.collections.255f7565"),
            at(Code::UnknownScheme, "source.json", "$.otherRequest[1].value"),
            at(Code::UnknownScheme, "target.json", "$.request[1].value")
        ]
    );
    bundle.collections.insert("255f7565".to_owned(), "[{\"id\": 1}".to_owned());
    assert_eq!(faults(&bundle)[0], at(Code::Json, "materials.json", ""));
    let without = bundle.version();
    let records = json!([{"id": 1, "content": {"FNumber": "A", "FID": 814}}]).to_string();
    bundle.collections.insert("255f7565".to_owned(), records);
    assert_ne!(bundle.version(), without);
    let flow = compile(&bundle).expect("a flow").flow;
    let bills = flow.target.render(&[json!({"FBillNo": "A"})], &flow.run(0, 0), &flow.collections);
    assert_eq!(Value::Object(bills[0].clone().expect("a bill")), json!({"FBillNo": "A", "m": 814}));
    assert_eq!(flow.source.query(&flow.run(0, 0)).expect("a query").filter, "814");

    bundle.target = set(json!({"api": "batchSave"}), "request", find("255f7566")).to_string();
    let found = compile(&bundle).expect_err("an unknown scheme");
    let fault = found.iter().find(|fault| fault.code == Code::UnknownScheme).expect("told");
    assert_eq!(
        (fault.place.file.as_deref(), fault.place.path.as_deref()),
        (Some("target.json"), Some("$.request[1].value"))
    );
    assert_eq!((fault.place.column.as_deref(), fault.hint.as_deref()), (Some("31"), Some("did you mean 255f7565?")));
}

#[test]
fn what_overrides_what_is_noted() {
    let target = set(target(), "operation", json!({"method": "batchArraySave", "rows": 600}));
    let source = set(
        source(),
        "omissionRemedy",
        json!({
            "crontab": "2 3 * * *",
            "takeOverRequest": [{"field": "FilterString", "value": "FDate>='{{DAYS_AGO_7|date}}'"}]
        }),
    );
    let compiled = compile(&bundle(FLOW, &source, &target)).expect("a flow");
    assert_eq!(compiled.flow.documents_per_call, 500);
    assert_eq!(compiled.flow.lookback.as_ref().map(|lookback| lookback.days), Some(7));
    assert!(
        compiled.notes.contains(&"operation.rows = 600 of target.json is cut to 500 documents per call".to_owned())
    );
    let flow = FLOW.replace("\"galaxy-a\"", "\"galaxy-a\"\nform = \"X\"\n[source.lookback]\ncron = \"2 4 * * *\"");
    let flow = format!("{flow}[batch]\ndocuments = 20\n");
    let compiled = compile(&bundle(&flow, &source, &target)).expect("a flow");
    assert_eq!(compiled.flow.documents_per_call, 20);
    for note in [
        "batch.documents = 20 of flow.toml overrides operation.rows = 600 of target.json: 20 documents per call",
        "source.form = X of flow.toml overrides FormId = STK_MISCELLANEOUS of source.json",
        "source.lookback (2 4 * * *, 3 days) of flow.toml overrides omissionRemedy (2 3 * * *) of source.json",
    ] {
        assert!(compiled.notes.contains(&note.to_owned()), "{note} in {:?}", compiled.notes);
    }
}

#[test]
fn passing_failed_functions_through_needs_no_expression_that_parses() {
    let broken = set(target(), "request", json!([{"field": "FBillNo", "value": "_function 新 {FBillNo} ("}]));
    assert_eq!(faults(&bundle(FLOW, &source(), &broken)), [at(Code::Function, "target.json", "$.request[0].value")]);
    let flow = format!("function_error = \"passthrough\"\n{FLOW}");
    let compiled = compile(&bundle(&flow, &source(), &broken)).expect("passed through");
    let run = compiled.flow.run(0, 0);
    let bills = compiled.flow.target.render(&[json!({"FBillNo": "A"})], &run, &NoCollections);
    let document = bills.into_iter().next().expect("a bill").expect("a document");
    assert_eq!(document.get("FBillNo"), Some(&json!("_function 新 A (")));
}

#[test]
fn a_level_of_delivery_that_cannot_be_held_is_refused_with_the_reason() {
    let keyed = |value: &str| set(target(), "request", json!([{"field": "FBillNo", "type": "string", "value": value}]));
    let with = |level: &str| FLOW.replace("[source]", &format!("delivery = \"{level}\"\n[source]"));
    let refused = |flow: &str, value: &str| {
        let faults = compile(&bundle(flow, &source(), &keyed(value))).err().unwrap_or_default();
        faults.into_iter().map(|fault| (fault.code, fault.place.path.unwrap_or_default())).collect::<Vec<_>>()
    };
    let here = || vec![(Code::Delivery, "$.delivery".to_owned())];
    for varying in ["{FBillNo}-{CURRENT_TIME|date}", "_function concat('{FBillNo}', now())"] {
        assert_eq!(refused(FLOW, varying), here(), "{varying}");
        assert_eq!(refused(&with("proven_once"), varying), here(), "{varying}");
        assert_eq!(refused(&with("at_least_once"), varying), [], "{varying}");
    }
    for same in ["QTRK", "", "{CURRENT_TIME}"] {
        for level in ["proven_once", "at_least_once"] {
            assert_eq!(refused(&with(level), same), here(), "{level} {same}");
        }
    }
    let keyed_by_hand = FLOW.replace("[target]", "[target]\nkey = \"FBillNo\"");
    assert_eq!(refused(&keyed_by_hand, "QTRK"), [(Code::Delivery, "$.target.key".to_owned())]);
    assert_eq!(refused(FLOW, "_function concat('A-', {FBillNo})"), []);
    assert_eq!(refused(&with("exactly"), "{FBillNo}"), [(Code::FlowValue, "$.delivery".to_owned())]);
    let marked = FLOW.replace("[target]", "[target]\nmarker = \"FNote\"");
    assert_eq!(refused(&marked, "QTRK"), []);
}
