use serde_json::{Value, json};

use super::*;
use crate::lookup::Stored;
use crate::metadata::report::Report;
use crate::{NoCollections, Shelf};

fn run() -> Run {
    Run { now: 1_710_489_600, last_sync_time: 0, zone: chrono_tz::Asia::Shanghai, page: None }
}

/// A document of these members beside `api`, for a source of this id and number.
fn compile(members: Value, id: &str, number: &str) -> TargetDocument {
    let mut document = json!({"api": "batchSave"});
    if let (Some(document), Value::Object(members)) = (document.as_object_mut(), members) {
        document.extend(members);
    }
    let identity = Identity { id: id.to_owned(), number: number.to_owned() };
    let mut report = Report::new("target.json");
    let compiled = TargetDocument::compile(&document.to_string(), "target.json", Some(identity), None, &mut report);
    assert_eq!(report.faults, Vec::new());
    compiled.expect("a document")
}

fn documents(document: &TargetDocument, rows: &[Value]) -> Vec<Result<Value, Fault>> {
    let bills = document.render(rows, &run(), &NoCollections);
    bills.into_iter().map(|bill| bill.map(Value::Object)).collect()
}

/// The only document of one record.
fn one(request: Value, record: Value) -> Result<Value, Fault> {
    let document = compile(json!({"request": request}), "id", "id");
    documents(&document, &[record]).swap_remove(0)
}

#[test]
fn null_is_left_out_and_everything_else_stays() {
    let request = json!([
        {"field": "gone", "value": "{gone}"},
        {"field": "empty", "value": "{empty}"},
        {"field": "zero", "value": 0},
        {"field": "no", "value": false},
        {"field": "list", "type": "array", "value": "{list}"},
        {"field": "nothing", "type": "object", "children": [{"field": "a", "value": "{gone}"}]},
        {"field": "some", "type": "object", "children": [{"field": "a", "value": "{gone}"}, {"field": "b", "value": "1"}]},
        {"field": "twice", "value": "first"},
        {"field": "twice", "value": "second"},
        {"field": "twice", "value": "{gone}"}
    ]);
    let document = one(request, json!({"empty": "", "list": []})).expect("a document");
    let wanted = json!({"empty": "", "zero": 0, "no": false, "list": [], "some": {"b": "1"}, "twice": "second"});
    assert_eq!(document, wanted);
    let order: Vec<&String> = document.as_object().expect("an object").keys().collect();
    assert_eq!(order, ["empty", "zero", "no", "list", "some", "twice"]);
}

#[test]
fn a_required_field_without_value_fails_the_bill_at_its_place() {
    let request = json!([
        {"field": "FBillNo", "value": "{id}"},
        {"field": "FEntity", "type": "array", "value": "lines", "children": [
            {"field": "FMaterial", "is_required": true, "value": "{{lines.sku}}", "parser": {"name": "ConvertObjectParser", "params": "FNumber"}}
        ]}
    ]);
    for sku in [json!(null), json!("")] {
        let fault =
            one(request.clone(), json!({"id": "单1", "lines": [{"sku": "M1"}, {"sku": sku}]})).expect_err("no value");
        assert_eq!(fault.code, Code::Required);
        assert_eq!(fault.place.file.as_deref(), Some("target.json"));
        assert_eq!(fault.place.path.as_deref(), Some("$.request[1].children[0]"));
        assert_eq!(fault.place.column.as_deref(), Some("FEntity[1].FMaterial"));
        assert_eq!(fault.place.record.as_deref(), Some("单1"));
    }
}

#[test]
fn a_bill_that_cannot_be_computed_does_not_stop_the_next() {
    let document = compile(
        json!({"request": [
            {"field": "FQty", "type": "int", "value": "{q}"},
            {"field": "FDay", "value": "{d|date}"},
            {"field": "FPrice", "value": "_function {{a}}/{{n}}"}
        ]}),
        "id",
        "no",
    );
    let rows = [
        json!({"id": 1, "no": "A", "q": "十"}),
        json!({"id": 2, "no": "B", "q": "1", "d": "昨天"}),
        json!({"id": 3, "q": "1", "a": 1, "n": 0}),
        json!({"id": 4, "no": "D", "q": "12.9", "d": "2024-03-15", "a": 1, "n": 4}),
    ];
    let outcomes = documents(&document, &rows);
    let failed: Vec<(Code, String, String, String)> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .map(|fault| {
            let place = fault.place.clone();
            let text = Option::unwrap_or_default;
            (fault.code, text(place.path), text(place.column), text(place.record))
        })
        .collect();
    let of =
        |code, path: &str, column: &str, record: &str| (code, path.to_owned(), column.to_owned(), record.to_owned());
    assert_eq!(
        failed,
        [
            of(Code::Type, "$.request[0]", "FQty", "A"),
            of(Code::Filter, "$.request[1]", "FDay", "B"),
            of(Code::Function, "$.request[2]", "FPrice", "3"),
        ]
    );
    assert_eq!(outcomes[3].as_ref().ok(), Some(&json!({"FQty": 12, "FDay": "2024-03-15", "FPrice": 0.25})));
}

#[test]
fn a_converter_that_cannot_convert_fails_the_bill() {
    let request = json!([{"field": "F", "value": "{x}", "parser": {"name": "ConvertJson"}}]);
    let fault = one(request, json!({"id": 1, "x": "甲"})).expect_err("no JSON");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::ParserValue, Some("$.request[0]")));
}

#[test]
fn nested_arrays_see_their_own_element_then_the_record_then_the_element_around() {
    let request = json!([{"field": "L", "type": "array", "value": "lines", "children": [
        {"field": "sku", "value": "{{lines.sku}}"},
        {"field": "head", "value": "{no}"},
        {"field": "own", "value": "{only_line}"},
        {"field": "all", "value": "_function SUM({{lines.batch.q}})"},
        {"field": "B", "type": "array", "value": "lines.batch", "children": [
            {"field": "q", "value": "{{lines.batch.q}}"}, {"field": "of", "value": "{{lines.sku}}"}, {"field": "n", "value": "{no}"}
        ]},
        {"field": "C", "type": "array", "value": "batch", "children": [{"field": "q", "value": "{{batch.q}}"}]}
    ]}]);
    let record = json!({"id": 1, "no": "N", "lines": [
        {"sku": "A", "no": "hidden", "only_line": 1, "batch": [{"q": 1}, {"q": 2}]},
        {"sku": "B", "batch": {"q": 3}},
        {"sku": "C"}
    ]});
    assert_eq!(
        one(request, record).expect("a document"),
        json!({"L": [
            {"sku": "A", "head": "N", "own": 1, "all": 6, "B": [{"q": 1, "of": "A", "n": "N"}, {"q": 2, "of": "A", "n": "N"}], "C": [{"q": 1}, {"q": 2}]},
            {"sku": "B", "head": "N", "all": 6, "B": [{"q": 3, "of": "B", "n": "N"}], "C": [{"q": 3}]},
            {"sku": "C", "head": "N", "all": 6, "B": [], "C": []}
        ]})
    );
}

#[test]
fn a_path_into_an_array_outside_its_children_takes_the_first_element() {
    let request = json!([
        {"field": "first", "value": "{{lines.sku}}"}, {"field": "second", "value": "{{lines.1.sku}}"},
        {"field": "whole", "value": "{a.b}"}, {"field": "none", "type": "array", "value": "gone", "children": [{"field": "x", "value": "1"}]}
    ]);
    let record = json!({"id": 1, "lines": [{"sku": "A"}, {"sku": "B"}], "a.b": "dotted", "a": {"b": "walked"}});
    let wanted = json!({"first": "A", "second": "B", "whole": "dotted", "none": []});
    assert_eq!(one(request, record).expect("a document"), wanted);
}

#[test]
fn rows_of_one_number_are_one_bill_and_aggregates_see_all_of_them() {
    let document = compile(
        json!({"request": [
            {"field": "no", "value": "{no}"}, {"field": "sum", "value": "_function SUM({{q}})"},
            {"field": "L", "type": "array", "children": [{"field": "q", "value": "{q}"}, {"field": "all", "value": "_function SUM({q})"}]}
        ]}),
        "id",
        "no",
    );
    let rows = [
        json!({"id": 1, "no": "A", "q": 1}),
        json!({"id": 2, "no": "B", "q": 5}),
        json!({"id": 3, "no": "A", "q": "2.5"}),
    ];
    let bills = document.render_bills(&rows, &run(), &NoCollections);
    let records: Vec<&[usize]> = bills.iter().map(|bill| bill.records.as_slice()).collect();
    assert_eq!(records, [&[0, 2][..], &[1]]);
    assert_eq!(
        bills[0].outcome.as_ref().map(|document| Value::Object(document.clone())).ok(),
        Some(json!({"no": "A", "sum": 3.5, "L": [{"q": 1, "all": 3.5}, {"q": "2.5", "all": 3.5}]}))
    );
    // Where id and number are one field, and where a row has no number, each row is a bill of its own.
    let single = compile(
        json!({"request": [{"field": "L", "type": "array", "children": [{"field": "q", "value": "{q}"}]}]}),
        "no",
        "no",
    );
    assert_eq!(documents(&single, &rows).len(), 3);
    assert_eq!(documents(&document, &[json!({"id": 1}), json!({"id": 2})]).len(), 2);
}

#[test]
fn merging_gathers_bodies_and_adds_up_equal_lines() {
    let members = json!({
        "operation": {"method": "merge", "field": "shop,day", "bodyName": "details", "header": ["shop", "note"], "body": ["sku", "q"], "bodySum": ["q"]},
        "request": [
            {"field": "shop", "value": "{shop}"}, {"field": "note", "value": "{note}"}, {"field": "day", "value": "{day}"},
            {"field": "L", "type": "array", "children": [{"field": "sku", "value": "{sku}"}, {"field": "q", "value": "{{details.q}}"}]}
        ]
    });
    let document = compile(members, "id", "no");
    let rows = [
        json!({"id": 1, "shop": "S", "day": 1, "note": "n1", "sku": "A", "q": 1}),
        json!({"id": 2, "shop": "S", "day": "1", "note": "n2", "sku": "A", "q": "0.10"}),
        json!({"id": 3, "shop": "T", "day": 1, "sku": "A", "q": 7}),
        json!({"id": 4, "shop": "S", "day": 1, "sku": "B", "q": 2}),
    ];
    let rendered: Vec<Value> = documents(&document, &rows).into_iter().map(|bill| bill.expect("a document")).collect();
    assert_eq!(
        rendered,
        [
            json!({"shop": "S", "note": "n1", "L": [{"sku": "A", "q": 1.1}, {"sku": "B", "q": 2}]}),
            json!({"shop": "T", "L": [{"sku": "A", "q": 7}]}),
        ]
    );
    let broken = documents(&document, &[json!({"id": 9, "shop": "S", "sku": "A", "q": "many"})]).swap_remove(0);
    let fault = broken.expect_err("no number");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::GroupValue, Some("$.operation")));
    assert_eq!((fault.place.column.as_deref(), fault.place.record.as_deref()), (Some("q"), Some("9")));
}

#[test]
fn grouping_calculates_and_cuts_long_bodies() {
    let members = |lines: u64| {
        json!({
            "groupCalculate": {
                "headerGroup": ["shop", "stock"], "bodyGroup": ["spec"], "bodyName": "details", "targetBodyName": "FEntity",
                "bodyMaxLine": lines, "calculate": {"num": "$sum", "amount": "$sum", "seen": "$push"}
            },
            "request": [
                {"field": "shop", "value": "{shop}"},
                {"field": "FEntity", "type": "array", "children": [
                    {"field": "spec", "value": "{{details.spec}}"}, {"field": "num", "value": "{num}"}, {"field": "amount", "value": "{amount}"}, {"field": "gone", "value": "{other}"}
                ]}
            ]
        })
    };
    let rows = [
        json!({"shop": "S1", "stock": "W1", "spec": "K1", "num": 10, "amount": "1000", "other": 1}),
        json!({"shop": "S1", "stock": "W1", "spec": "K2", "num": 5, "amount": 500}),
        json!({"shop": "S1", "stock": "W1", "spec": "K1", "num": 2, "amount": 200.00}),
        json!({"shop": "S2", "stock": "W1", "spec": "K1", "num": 1, "amount": 100}),
    ];
    let rendered = |lines| -> Vec<Value> {
        let document = compile(members(lines), "id", "no");
        documents(&document, &rows).into_iter().map(|bill| bill.expect("a document")).collect()
    };
    let (k1, k2) = (json!({"spec": "K1", "num": 12, "amount": 1200}), json!({"spec": "K2", "num": 5, "amount": 500}));
    let other = json!({"shop": "S2", "FEntity": [{"spec": "K1", "num": 1, "amount": 100}]});
    assert_eq!(rendered(50), [json!({"shop": "S1", "FEntity": [k1, k2]}), other.clone()]);
    assert_eq!(rendered(1), [json!({"shop": "S1", "FEntity": [k1]}), json!({"shop": "S1", "FEntity": [k2]}), other]);
}

#[test]
fn grouping_without_body_calculates_on_the_header() {
    let field = |name: &str| json!({"field": name, "value": format!("{{{name}}}")});
    let request: Vec<Value> = ["a", "b", "c", "d", "e", "f", "g"].map(field).into();
    let document = compile(
        json!({
            "groupCalculate": {"headerGroup": ["shop"], "calculate": {
                "a": "$avg", "b": "$min", "c": "$max", "d": "$first", "e": "$last", "f": "$push", "g": "$addToSet"
            }},
            "request": request
        }),
        "id",
        "no",
    );
    let row = |value: Value| {
        let mut row = json!({"shop": "S"});
        for name in ["a", "b", "c", "d", "e", "f", "g"] {
            row[name] = value.clone();
        }
        row
    };
    let rendered = documents(&document, &[row(json!(10)), row(json!("2.5")), row(json!(10)), row(Value::Null)]);
    assert_eq!(
        rendered[0].as_ref().ok(),
        Some(&json!({"a": 7.5, "b": 2.5, "c": 10, "d": 10, "f": [10, "2.5", 10], "g": [10, "2.5"]}))
    );
    let fault = documents(&document, &[row(json!("多"))]).swap_remove(0).expect_err("no number");
    assert_eq!((fault.code, fault.place.path.as_deref()), (Code::GroupValue, Some("$.groupCalculate")));
}

#[test]
fn the_bills_of_one_call_are_visible_under_its_name() {
    let document = compile(
        json!({
            "operation": {"method": "batchArraySave", "rows": 2, "rowsKey": "array"},
            "request": [{"field": "no", "value": "{no}"}, {"field": "first", "value": "{{array.0.no}}"}, {"field": "count", "value": "_function COUNT({{array}})"}]
        }),
        "no",
        "no",
    );
    let rows = ["A", "B", "C"].map(|no| json!({"no": no}));
    let rendered: Vec<Value> = documents(&document, &rows).into_iter().map(|bill| bill.expect("a document")).collect();
    assert_eq!(
        rendered,
        [
            json!({"no": "A", "first": "A", "count": 2}),
            json!({"no": "B", "first": "A", "count": 2}),
            json!({"no": "C", "first": "C", "count": 1}),
        ]
    );
}

#[test]
fn lookups_run_per_element_and_keep_their_type() {
    let document = compile(
        json!({"request": [{"field": "L", "type": "array", "value": "lines", "children": [
            {"field": "id", "value": "_findCollection find FID from U where FNumber={{lines.sku}}"},
            {"field": "m", "value": "_mongoQuery U findField=content.FID where={\"content.FNumber\":{\"$eq\":\"{{lines.sku}}\"}}"},
            {"field": "d", "value": "_function case _findCollection find FIsKFPeriod from U where FNumber={{lines.sku}} _endFind when true then '{d}' else '' end"}
        ]}]}),
        "id",
        "id",
    );
    let content = |value: Value| value.as_object().cloned().expect("an object");
    let mut shelf = Shelf::default();
    let stored = Stored {
        id: "9".into(),
        number: "M1".into(),
        status: 2,
        content: content(json!({"FNumber": "M1", "FID": 814, "FIsKFPeriod": true})),
    };
    shelf.put("U", vec![stored]);
    let rows = [json!({"id": 1, "d": "2024-01-01", "lines": [{"sku": "M1"}, {"sku": "M9"}]})];
    let rendered = document.render(&rows, &run(), &shelf).swap_remove(0).expect("a document");
    assert_eq!(Value::Object(rendered), json!({"L": [{"id": 814, "m": 814, "d": "2024-01-01"}, {"d": ""}]}));
}

#[test]
fn the_call_takes_everything_but_the_form_as_options() {
    let other = |verb: &str| {
        json!({"request": [], "otherRequest": [
            {"field": "FormId", "value": "SAL_OUTSTOCK"}, {"field": "Operation", "type": "string", "value": verb},
            {"field": "IsAutoSubmitAndAudit", "type": "bool", "value": "true"}, {"field": "BatchCount", "type": "int", "value": "5"},
            {"field": "NeedUpDateFields", "type": "array", "value": "FQty,FNote", "parser": {"name": "StringToArray", "params": ","}}
        ]})
    };
    let call = compile(other("Audit"), "id", "id").call(&run(), &NoCollections).expect("a call");
    assert_eq!(
        (call.form_id.as_str(), call.operation, call.auto_submit_and_audit),
        ("SAL_OUTSTOCK", Operation::Audit, true)
    );
    assert_eq!(
        Value::Object(call.options),
        json!({"Operation": "Audit", "IsAutoSubmitAndAudit": true, "BatchCount": 5, "NeedUpDateFields": ["FQty", "FNote"]})
    );
    for (verb, operation) in [("BatchSave", Operation::Save), ("save", Operation::Save), ("Submit", Operation::Submit)]
    {
        assert_eq!(
            compile(other(verb), "id", "id").call(&run(), &NoCollections).map(|call| call.operation).ok(),
            Some(operation)
        );
    }
}
