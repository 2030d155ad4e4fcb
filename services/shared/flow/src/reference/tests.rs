use serde_json::json;

use super::*;

fn pieces(text: &str) -> Vec<String> {
    let template = parse_template(text).expect("a template");
    assert_eq!(template.to_string(), text);
    template
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Literal(text) => format!("'{text}'"),
            Piece::Reference(reference) => format!("{}{:?}", reference.path, reference.filters),
        })
        .collect()
}

#[test]
fn both_kinds_of_braces_are_references() {
    assert_eq!(pieces("{FBillNo}"), ["FBillNo[]"]);
    assert_eq!(pieces("{{details_list.goods_no}}"), ["details_list.goods_no[]"]);
    assert_eq!(pieces("{u_供应商编码}"), ["u_供应商编码[]"]);
    assert_eq!(pieces("{{a}}-{b.0.c-d$}"), ["a[]", "'-'", "b.0.c-d$[]"]);
    assert_eq!(pieces("{{t|date}}{x|Timestamp_MS|dateTime}"), ["t[Date]", "x[TimestampMs, DateTime]"]);
}

#[test]
fn other_braces_are_literal() {
    for text in
        ["{}", "{{}}", "{ a }", "{1a}", "{2}", "{a", "a}", "{a..b}", "{.a}", "{a.}", "{\"a\":1}", "{a b}", "{|date}"]
    {
        assert_eq!(pieces(text), [format!("'{text}'")], "{text}");
    }
    assert_eq!(pieces("{{a}"), ["'{'", "a[]"]);
    assert_eq!(pieces("{a}}"), ["a[]", "'}'"]);
    assert_eq!(pieces("{{{a}}}"), ["'{'", "a[]", "'}'"]);
    assert_eq!(pieces("{\"k\":\"{{v}}\"}"), ["'{\"k\":\"'", "v[]", "'\"}'"]);
    assert_eq!(pieces(""), Vec::<String>::new());
}

#[test]
fn an_unknown_filter_is_a_fault_with_its_column() {
    let fault = parse_template("时间 {t|dat}").expect_err("an unknown filter");
    assert_eq!(fault.code, Code::Filter);
    assert_eq!(fault.place.column.as_deref(), Some("5"));
    assert_eq!(fault.detail, "unknown filter \"dat\"");
}

#[test]
fn variables_are_known_by_name() {
    let run = Run {
        now: 1_710_403_200,
        last_sync_time: 1_710_400_000,
        zone: chrono_tz::Asia::Shanghai,
        page: Some(crate::function::Page { size: 500, start_row: 1000, start_page: 3 }),
    };
    let value = |name: &str| Variable::of(&Path::lenient(name)).map(|variable| variable.value(&run));
    assert_eq!(value("LAST_SYNC_TIME"), Some(json!(1_710_400_000)));
    assert_eq!(value("CURRENT_TIME"), Some(json!(1_710_403_200)));
    assert_eq!(value("DAYS_AGO_0"), Some(json!(1_710_403_200)));
    assert_eq!(value("DAYS_AGO_3"), Some(json!(1_710_144_000)));
    assert_eq!(value("PAGINATION_PAGE_SIZE"), Some(json!(500)));
    assert_eq!(value("PAGINATION_START_ROW"), Some(json!(1000)));
    assert_eq!(value("PAGINATION_START_PAGE"), Some(json!(3)));
    for other in ["DAYS_AGO_", "DAYS_AGO_x", "DAYS_AGO_-1", "last_sync_time", "LAST_SYNC_TIME.x"] {
        assert_eq!(value(other), None, "{other}");
    }
    let without_page = Run { page: None, ..run };
    assert_eq!(Variable::StartRow.value(&without_page), Value::Null);
}

#[test]
fn paths_walk_records() {
    let record = json!({
        "a": {"b": 1, "0": "zero"}, "a.b": 2, "list": [{"x": 10, "y": null}, {"x": 20}], "empty": [], "deep": [[{"x": 7}]],
        "form": {"a.c": 3, "code": "B1"},
    });
    let at = |path: &str| walk(&record, &Path::parse(path).expect("a path")).cloned();
    assert_eq!(at("a.b"), Some(json!(2)));
    assert_eq!(at("a.0"), Some(json!("zero")));
    assert_eq!(at("form.code"), Some(json!("B1")));
    assert_eq!(at("form.a.c"), None);
    assert_eq!(at("list.x"), Some(json!(10)));
    assert_eq!(at("list.1.x"), Some(json!(20)));
    assert_eq!(at("list.2.x"), None);
    assert_eq!(at("list.y"), Some(Value::Null));
    assert_eq!(at("empty.x"), None);
    assert_eq!(at("deep.x"), Some(json!(7)));
    assert_eq!(at("deep.0.0.x"), Some(json!(7)));
    assert_eq!(at("empty"), Some(json!([])));
    assert_eq!(at("a.b.c"), None);
}

#[test]
fn aggregates_see_every_element() {
    let record = json!({
        "list": [{"x": 10}, {"x": null}, {}, {"x": 20, "in": [{"y": 1}, {"y": 2}]}], "empty": [], "n": null, "q": 5, "s": [1, 2],
    });
    let all = |path: &str| walk_all(&record, &Path::parse(path).expect("a path"));
    assert_eq!(all("list.x"), [json!(10), Value::Null, Value::Null, json!(20)]);
    assert_eq!(all("list").len(), 4);
    assert_eq!(all("list.3.in.y"), [json!(1), json!(2)]);
    assert_eq!(all("empty.x"), Vec::<Value>::new());
    assert_eq!(all("n"), Vec::<Value>::new());
    assert_eq!(all("gone.x"), Vec::<Value>::new());
    assert_eq!(all("q"), [json!(5)]);
    assert_eq!(all("s"), [json!(1), json!(2)]);
}
