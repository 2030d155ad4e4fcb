use document::{Code, Fault};
use serde_json::{Map, Value, json};

use super::*;
use crate::metadata::report::Report;

fn run() -> Run {
    Run { now: 1_710_489_600, last_sync_time: 1_710_403_200, zone: chrono_tz::Asia::Shanghai, page: None }
}

fn compile(document: &Value) -> SourceDocument {
    let mut report = Report::new("source.json");
    let compiled = SourceDocument::compile(&document.to_string(), "source.json", None, &mut report);
    assert_eq!(report.faults, Vec::new());
    compiled.expect("a document")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

/// Id, number and content of the records of rows.
fn records(document: &Value, rows: Vec<Value>) -> Vec<(String, String, Value)> {
    let shaped = compile(document).shape(rows.into_iter().map(object).collect(), &run()).expect("good rows");
    shaped.into_iter().map(|record| (record.id, record.number, Value::Object(record.content))).collect()
}

fn record(id: &str, number: &str, content: Value) -> (String, String, Value) {
    (id.to_owned(), number.to_owned(), content)
}

#[test]
fn flattening_suffixes_the_id_and_keeps_the_number() {
    let document = json!({"api": "x", "id": "no", "beatFlat": ["details_list"]});
    let row =
        json!({"no": "O1", "customer": "C", "details_list": [{"goods": "F1", "num": 12}, {"goods": "F2", "num": 50}]});
    assert_eq!(
        records(&document, vec![row]),
        [
            record(
                "O1-1",
                "O1",
                json!({"no": "O1-1", "customer": "C", "details_list_goods": "F1", "details_list_num": 12})
            ),
            record(
                "O1-2",
                "O1",
                json!({"no": "O1-2", "customer": "C", "details_list_goods": "F2", "details_list_num": 50})
            ),
        ]
    );
}

#[test]
fn nested_flattening_adds_suffixes_up_and_may_stand_in_other_request() {
    let document = json!({
        "api": "x", "id": "id", "number": "no",
        "otherRequest": [{"field": "beatFlat", "type": "array", "value": ["d", "d_b"]}]
    });
    let row = json!({"id": 7, "no": "N", "d": [{"b": [{"q": 1}, {"q": 2}]}, {"b": []}]});
    assert_eq!(
        records(&document, vec![row]),
        [
            record("7-1-1", "N", json!({"id": "7-1-1", "no": "N", "d_b_q": 1})),
            record("7-1-2", "N", json!({"id": "7-1-2", "no": "N", "d_b_q": 2})),
            record("7-2", "N", json!({"id": "7-2", "no": "N"})),
        ]
    );
    let request = compile(&document).request(&run()).expect("a request");
    assert!(request.is_empty(), "beatFlat is no call parameter: {request:?}");
}

#[test]
fn splitting_lets_the_id_come_from_the_element() {
    let document = json!({"api": "x", "id": "items.id", "number": "no", "operation": {"method": "splitArray", "arrayKey": "items"}});
    let row = json!({"no": "N", "items": [{"id": 1}, {"id": 2}]});
    // Before splitting, a path into the array finds its first element; each record must have its own.
    assert_eq!(
        records(&document, vec![row]),
        [
            record("1", "N", json!({"no": "N", "items": {"id": 1}})),
            record("2", "N", json!({"no": "N", "items": {"id": 2}}))
        ]
    );
}

#[test]
fn ids_may_be_paths_and_templates() {
    let path = json!({"api": "x", "id": "form.id"});
    assert_eq!(records(&path, vec![json!({"form": {"id": 5}})]), [record("5", "5", json!({"form": {"id": 5}}))]);
    let template = json!({"api": "x", "id": "{a}-{b}", "number": "{a}"});
    assert_eq!(records(&template, vec![json!({"a": 1, "b": "x"})]), [record("1-x", "1", json!({"a": 1, "b": "x"}))]);
}

#[test]
fn a_row_without_id_is_set_aside_and_the_rest_goes_on() {
    let document = compile(&json!({"api": "x", "id": "{id}-{line}", "number": "no"}));
    let rows = [json!({"no": "N1"}), json!({"id": 1, "line": 2, "no": "N2"})];
    let shaped = document.shape_each(rows.into_iter().map(object).collect(), &run());
    assert_eq!(shaped.records.len(), 1);
    let (index, fault) = &shaped.rejected[0];
    assert_eq!((*index, fault.code), (0, Code::RowId));
    assert_eq!(fault.place.path.as_deref(), Some("$.id"));
    assert_eq!((fault.place.file.as_deref(), fault.place.record.as_deref()), (Some("source.json"), Some("N1")));
    let failed: Result<_, Fault> = document.shape(vec![object(json!({"no": "N1"}))], &run());
    assert_eq!(failed.map_err(|fault| fault.code), Err(Code::RowId));
}

#[test]
fn shaping_goes_condition_then_format_then_flattening() {
    let document = json!({
        "api": "x", "id": "no", "beatFlat": ["items"],
        "condition": [[{"field": "items.qty", "logic": "gt", "value": 0}]],
        "formatResponse": [{"old": "items.day", "new": "short", "format": "shortDate"}]
    });
    let rows = vec![
        json!({"no": "A", "items": [{"qty": 1, "day": "2024-03-15"}, {"qty": -1, "day": "2024-03-16"}]}),
        json!({"no": "B", "items": [{"qty": -1, "day": "2024-03-16"}]}),
    ];
    let content = json!({"no": "A-1", "items_qty": 1, "items_day": "2024-03-15", "items_short": "03-15"});
    assert_eq!(records(&document, rows), [record("A-1", "A", content)]);
}

#[test]
fn the_old_form_of_query_documents_takes_its_columns_from_the_response() {
    let text = include_str!("../../tests/corpus/kd-bd-account.source.json");
    let document = compile(&serde_json::from_str(text).expect("JSON"));
    let query = document.query(&run()).expect("a query");
    assert_eq!(
        Value::Object(query.parameters()),
        json!({
            "FormId": "BD_Account", "FieldKeys": "FId,FNumber,FName,FForbidStatus,FCreateOrgId.FNumber",
            "TopRowCount": 0, "StartRow": 0, "Limit": 100
        })
    );
    assert_eq!(query.columns[4], Column { field: "FCreateOrgId_FNumber".into(), key: "FCreateOrgId.FNumber".into() });
}

#[test]
fn listed_field_keys_win_over_derived_ones() {
    let document = compile(&json!({
        "api": "ExecuteBillQuery", "id": "FID",
        "request": [{"field": "no", "value": "FBillNo"}],
        "otherRequest": [
            {"field": "FormId", "value": "X"}, {"field": "SubSystemId", "value": "21"}, {"field": "OrderString", "value": "FID ASC"},
            {"field": "FieldKeys", "type": "array", "value": ["FID", "FBillNo", "FOrg.FNumber"], "parser": {"name": "ArrayToString", "params": ","}}
        ]
    }));
    let query = document.query(&run()).expect("a query");
    let columns: Vec<(&str, &str)> =
        query.columns.iter().map(|column| (column.field.as_str(), column.key.as_str())).collect();
    assert_eq!(columns, [("FID", "FID"), ("no", "FBillNo"), ("FOrg_FNumber", "FOrg.FNumber")]);
    assert_eq!((query.order.as_str(), query.sub_system_id.as_deref()), ("FID ASC", Some("21")));
}

#[test]
fn a_row_of_another_length_is_no_row() {
    let document = compile(&json!({
        "api": "executeBillQuery", "id": "a", "request": [{"field": "a"}, {"field": "b"}],
        "otherRequest": [{"field": "FormId", "value": "X"}]
    }));
    let query = document.query(&run()).expect("a query");
    assert_eq!(query.row(vec![json!(1), json!(2)]).map(Value::Object).ok(), Some(json!({"a": 1, "b": 2})));
    let fault = query.row(vec![json!(1)]).expect_err("one value");
    assert_eq!((fault.code, fault.place.column.as_deref()), (Code::RowShape, Some("FieldKeys")));
}

#[test]
fn the_remedy_replaces_values_at_any_depth_and_adds_unknown_fields() {
    let document = compile(&json!({
        "api": "x", "id": "id",
        "request": [{"field": "params", "type": "object", "children": [
            {"field": "begin", "type": "datetime", "value": "{{LAST_SYNC_TIME}}"}, {"field": "kind", "value": "a"}
        ]}],
        "omissionRemedy": {"crontab": "2 3 * * *", "takeOverRequest": [
            {"field": "begin", "value": "{{DAYS_AGO_3}}"}, {"field": "full", "type": "bool", "value": "1"}
        ]}
    }));
    let plain = document.request(&run()).expect("a request");
    assert_eq!(Value::Object(plain), json!({"params": {"begin": "2024-03-14 16:00:00", "kind": "a"}}));
    let remedy = document.remedy_request(&run()).expect("a request");
    assert_eq!(Value::Object(remedy), json!({"params": {"begin": "2024-03-12 16:00:00", "kind": "a"}, "full": true}));
    assert_eq!((document.remedy_cron(), document.remedy_days()), (Some("2 3 * * *"), 3));
    let fault = document.query(&run()).expect_err("no bill query");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::CallOption, Some("$.api")));
}
