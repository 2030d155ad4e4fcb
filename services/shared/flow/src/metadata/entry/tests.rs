use super::*;
use serde_json::json;

fn compile(list: Value) -> (Vec<Entry>, Report) {
    let mut report = Report::new("target.json");
    let entries = compile_list(list.as_array().expect("a list"), "$.request", &mut report);
    (entries, report)
}

/// Fields with their children, as text.
fn shape(entries: &[Entry]) -> String {
    let one = |entry: &Entry| match entry.children.is_empty() {
        true => entry.field.clone(),
        false => format!("{}({})", entry.field, shape(&entry.children)),
    };
    entries.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn places(faults: &[document::Fault]) -> Vec<(Code, &str)> {
    faults.iter().map(|fault| (fault.code, fault.place.path.as_deref().unwrap_or_default())).collect()
}

#[test]
fn a_flat_list_is_nested_by_its_parents_in_order() {
    let (entries, report) = compile(json!([
        {"field": "qty", "parent": "FEntity", "value": "{q}"},
        {"field": "FBillNo", "value": "{no}"},
        {"field": "FEntity", "type": "array"},
        {"field": "FMaterial", "parent": "FEntity", "type": "object"},
        {"field": "FNumber", "parent": "FMaterial", "value": "{sku}"},
        {"field": "FNote", "parent": "FEntity", "value": "x"}
    ]));
    assert_eq!(report.faults, Vec::new());
    assert_eq!(report.warnings, Vec::new());
    assert_eq!(shape(&entries), "FBillNo FEntity(qty FMaterial(FNumber) FNote)");
    assert_eq!(entries[1].detail, Detail::Rows);
}

#[test]
fn a_parent_that_repeats_the_enclosing_entry_says_nothing_new() {
    let (entries, report) = compile(json!([
        {"field": "E", "type": "array", "value": "{{items}}", "children": [
            {"field": "a", "parent": "E", "value": "1"},
            {"field": "b", "parent": "a2", "value": "1"},
            {"field": "a2", "type": "object", "parent": "E"}
        ]}
    ]));
    assert_eq!((report.faults.len(), report.warnings.len()), (0, 0));
    assert_eq!(shape(&entries), "E(a a2(b))");
    assert_eq!(entries[0].detail, Detail::Source(Path::lenient("items")));
}

#[test]
fn a_parent_that_is_no_entry_is_a_warning_and_the_entry_stays() {
    let (entries, report) = compile(json!([{"field": "a", "parent": "gone"}, {"field": "b", "parent": "b"}]));
    assert_eq!(shape(&entries), "a b");
    assert_eq!(report.faults, Vec::new());
    assert_eq!(
        places(&report.warnings),
        [(Code::EntryParent, "$.request[0].parent"), (Code::EntryParent, "$.request[1].parent")]
    );
}

#[test]
fn entries_below_themselves_or_too_deep_are_refused() {
    let (_, report) = compile(json!([{"field": "a", "parent": "b"}, {"field": "b", "parent": "a"}, {"field": "c"}]));
    assert_eq!(places(&report.faults)[0].0, Code::EntryDepth);
    let chain = |length: usize| -> Value {
        let entry = |level: usize| match level {
            0 => json!({"field": "f0", "type": "object"}),
            _ => json!({"field": format!("f{level}"), "type": "object", "parent": format!("f{}", level - 1)}),
        };
        (0..length).map(entry).collect()
    };
    assert_eq!(compile(chain(64)).1.faults, Vec::new());
    assert_eq!(places(&compile(chain(65)).1.faults), [(Code::EntryDepth, "$.request[64]")]);
}

#[test]
fn what_is_no_entry_is_named_with_its_place() {
    let (entries, report) = compile(json!([
        "text",
        {"label": "没有字段"},
        {"field": "a", "children": {"field": "b"}},
        {"field": "c", "is_required": "maybe"},
        {"field": "ok", "value": "1"}
    ]));
    assert_eq!(
        places(&report.faults),
        [
            (Code::DocumentShape, "$.request[0]"),
            (Code::EntryField, "$.request[1]"),
            (Code::DocumentShape, "$.request[2].children"),
            (Code::DocumentShape, "$.request[3].is_required"),
        ]
    );
    assert_eq!(entries.last().map(|entry| entry.field.as_str()), Some("ok"));
}

#[test]
fn unknown_keys_and_types_are_warnings() {
    let (entries, report) = compile(json!([
        {"field": "a", "type": "strng", "valeu": "x"},
        {"field": "b", "type": "string", "children": [{"field": "c", "value": "1"}]}
    ]));
    assert_eq!(report.faults, Vec::new());
    assert_eq!(
        places(&report.warnings),
        [
            (Code::UnknownKey, "$.request[0].valeu"),
            (Code::UnknownType, "$.request[0].type"),
            (Code::UnknownKey, "$.request[1].children"),
        ]
    );
    assert_eq!(report.warnings[0].hint.as_deref(), Some("did you mean value?"));
    assert_eq!(report.warnings[1].hint.as_deref(), Some("did you mean string?"));
    assert_eq!(entries[0].kind, Kind::Any);
}

#[test]
fn long_flat_lists_and_long_chains_take_little_time() {
    let wide: Value =
        (0..20_000).map(|index| json!({"field": format!("f{index}"), "parent": "f0", "type": "object"})).collect();
    assert_eq!(compile(wide).0[0].children.len(), 19_999);
    let deep: Value = (0..20_000_u32)
        .map(|index| json!({"field": format!("f{index}"), "parent": format!("f{}", index.wrapping_sub(1)), "type": "object"}))
        .collect();
    assert_eq!(compile(deep).1.faults.len(), 20_000 - MAX_DEPTH);
}
