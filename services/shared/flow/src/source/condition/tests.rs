use super::*;
use serde_json::json;

fn run() -> Run {
    Run { now: 1_710_489_600, last_sync_time: 1_710_403_200, zone: chrono_tz::Asia::Shanghai, page: None }
}

fn condition(groups: &Value) -> Condition {
    let mut report = Report::new("source.json");
    let condition = Condition::compile(groups.as_array().expect("a list"), "$.condition", &mut report);
    assert_eq!(report.faults, Vec::new(), "{groups}");
    condition
}

/// The stored record, or null when it is left out.
fn stored(groups: Value, record: Value) -> Value {
    let Value::Object(mut members) = record else { panic!("a record is an object") };
    match condition(&groups).keep(&mut members, &run()) {
        Ok(true) => Value::Object(members),
        Ok(false) => Value::Null,
        Err(fault) => panic!("{fault}"),
    }
}

fn published() -> Value {
    json!({"t": 90, "items": [{"sku": "A", "qty": 3}, {"sku": "B", "qty": -1}]})
}

fn lines(record: &Value) -> Vec<&str> {
    let items = record.get("items").and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|item| item.get("sku")).filter_map(Value::as_str).collect()
}

#[test]
fn the_published_table_holds() {
    let by_line = json!([[{"field": "items.qty", "logic": "gt", "value": "0"}]]);
    assert_eq!(lines(&stored(by_line, published())), ["A"]);
    let strict = json!([[{"field": "items.qty", "logic": "gt", "value": "0", "strictMode": true}]]);
    assert_eq!(stored(strict, published()), Value::Null);
    let header = json!([[{"field": "t", "logic": "egt", "value": "80"}]]);
    assert_eq!(stored(header, published()), published());
    let either =
        json!([[{"field": "t", "logic": "lt", "value": "80"}], [{"field": "items.sku", "logic": "eq", "value": "B"}]]);
    assert_eq!(lines(&stored(either, published())), ["B"]);
}

#[test]
fn lines_are_the_union_of_the_holding_groups_and_a_group_without_lines_keeps_all() {
    let either = json!([[{"field": "items.sku", "logic": "eq", "value": "B"}], [{"field": "items.sku", "logic": "eq", "value": "A"}]]);
    assert_eq!(lines(&stored(either, published())), ["A", "B"]);
    let header_too =
        json!([[{"field": "items.sku", "logic": "eq", "value": "B"}], [{"field": "t", "logic": "eq", "value": 90}]]);
    assert_eq!(lines(&stored(header_too, published())), ["A", "B"]);
    let both = json!([[{"field": "items.sku", "logic": "in", "value": "A,B"}, {"field": "items.qty", "logic": "lt", "value": 0}]]);
    assert_eq!(lines(&stored(both, published())), ["B"]);
    let none = json!([[{"field": "items.sku", "logic": "eq", "value": "C"}]]);
    assert_eq!(stored(none, published()), Value::Null);
}

#[test]
fn every_comparison_has_its_rule() {
    let record =
        json!({"n": 10, "text": "中文样品", "dec": "10.50", "empty": "", "none": null, "day": "2024-03-15T00:00:00"});
    for (field, logic, value, kept) in [
        ("n", "eq", json!("10"), true),
        ("n", "eqv2", json!(10), true),
        ("n", "neq", json!("10"), false),
        ("n", "neqv2", json!("11"), true),
        ("n", "gt", json!("9"), true),
        ("dec", "egt", json!("10.5"), true),
        ("n", "lt", json!("9"), false),
        ("dec", "elt", json!(10), false),
        ("text", "gt", json!("一"), true),
        ("text", "like", json!("样"), true),
        ("text", "like", json!("样%"), false),
        ("text", "like", json!("中%品"), true),
        ("text", "notlike", json!("样"), false),
        ("n", "between", json!("9,10"), true),
        ("n", "between", json!("11,20"), false),
        ("n", "in", json!("1, 10"), true),
        ("n", "notin", json!(["1", "10"]), false),
        ("empty", "isnull", json!(null), true),
        ("none", "isnull", json!("x"), true),
        ("gone", "notnull", json!(null), false),
        ("n", "notnull", json!(null), true),
        ("none", "eq", json!("x"), false),
        ("gone", "lt", json!("5"), false),
        ("empty", "neq", json!("x"), true),
        ("none", "notlike", json!("x"), true),
        ("none", "notin", json!("x"), false),
        ("day", "egt", json!("timestamp:1710432000"), true),
        ("day", "lt", json!("timestamp:{LAST_SYNC_TIME}"), false),
        ("day", "between", json!("timestamp:{LAST_SYNC_TIME},{CURRENT_TIME}"), true),
    ] {
        let groups = json!([[{"field": field, "logic": logic, "value": value}]]);
        assert_eq!(!stored(groups, record.clone()).is_null(), kept, "{field} {logic} {value}");
    }
}

#[test]
fn a_line_of_a_line_counts_when_one_of_them_fits() {
    let record = json!({"d": [{"k": 1, "b": [{"q": 1}, {"q": 5}]}, {"k": 2, "b": [{"q": 1}]}]});
    let groups = json!([[{"field": "d.b.q", "logic": "gt", "value": 3}]]);
    assert_eq!(stored(groups, record), json!({"d": [{"k": 1, "b": [{"q": 1}, {"q": 5}]}]}));
}

#[test]
fn a_field_that_is_no_date_fails_the_row_at_its_comparison() {
    let groups = json!([[{"field": "t", "logic": "gt", "value": "timestamp:1"}]]);
    let Value::Object(mut members) = json!({"t": "昨天"}) else { unreachable!("an object") };
    let fault = condition(&groups).keep(&mut members, &run()).expect_err("no date");
    assert_eq!(fault.code, Code::Filter);
    assert_eq!(fault.place.path.as_deref(), Some("$.condition[0][0]"));
    assert_eq!(fault.place.column.as_deref(), Some("t"));
    assert_eq!(members.get("t"), Some(&json!("昨天")));
}

#[test]
fn bad_conditions_are_named_with_their_place() {
    let mut report = Report::new("source.json");
    let groups = json!([
        {"field": "a", "logic": "eq"},
        [{"field": "a", "logic": "equals", "value": 1}, {"logic": "eq"}, 5, {"field": "a", "logic": "between", "value": "1"}]
    ]);
    let groups = groups.as_array().expect("a list");
    Condition::compile(groups, "$.condition", &mut report);
    let seen: Vec<(Code, Option<&str>)> =
        report.faults.iter().map(|fault| (fault.code, fault.place.path.as_deref())).collect();
    assert_eq!(
        seen,
        [
            (Code::ConditionShape, Some("$.condition[0]")),
            (Code::ConditionLogic, Some("$.condition[1][0].logic")),
            (Code::ConditionShape, Some("$.condition[1][1]")),
            (Code::ConditionShape, Some("$.condition[1][2]")),
            (Code::ConditionShape, Some("$.condition[1][3].value")),
        ]
    );
}
