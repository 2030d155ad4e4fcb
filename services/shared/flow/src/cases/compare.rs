//! Comparing what came out with what was expected, and showing where they differ.

use std::fmt::Write;

use document::digest::normal_number;
use serde_json::{Map, Value};
use similar::{ChangeTag, TextDiff};

/// Equal lines shown around a difference.
const AROUND: usize = 3;

/// One expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Key of `expect`, such as `documents`.
    pub key: &'static str,
    /// The two as lines: `-` expected, `+` came out.
    pub diff: String,
}

/// `None` when they agree: numbers by value, members in any order, lists in theirs.
pub(super) fn compare(key: &'static str, expected: &Value, actual: &Value) -> Option<Difference> {
    let (expected, actual) = (canonical(expected), canonical(actual));
    if expected == actual {
        return None;
    }
    let (expected, actual) = (lines(&expected), lines(&actual));
    let diff = TextDiff::from_lines(&expected, &actual);
    let mut text = String::new();
    for (index, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if index > 0 {
            text.push_str("  …\n");
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            writeln!(text, "{sign} {}", change.value().trim_end_matches('\n')).expect("writing to a text cannot fail");
        }
    }
    Some(Difference { key, diff: text })
}

/// Members in order of name, numbers as their shortest decimal.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let text = normal_number(&number.to_string());
            text.parse().map_or_else(|_| value.clone(), Value::Number)
        }
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(members) => {
            let mut names: Vec<&String> = members.keys().collect();
            names.sort();
            let sorted: Map<String, Value> =
                names.into_iter().map(|name| (name.clone(), canonical(&members[name]))).collect();
            Value::Object(sorted)
        }
        other => other.clone(),
    }
}

fn lines(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    #[test]
    fn numbers_compare_by_value_and_members_in_any_order() {
        let expected = parsed("{\"a\":[1.0,2],\"b\":12.50}");
        assert_eq!(compare("documents", &expected, &parsed("{\"b\":12.5,\"a\":[1,2.00]}")), None);
        assert!(compare("documents", &expected, &parsed("{\"b\":12.5,\"a\":[2,1]}")).is_some());
        assert!(compare("documents", &json!("1"), &json!(1)).is_some());
    }

    #[test]
    fn a_difference_shows_both_sides() {
        let difference = compare("documents", &json!([{"FBillNo": "甲"}]), &json!([{"FBillNo": "乙"}]));
        let diff = difference.expect("they differ").diff;
        assert_eq!(diff, "  [\n    {\n-     \"FBillNo\": \"甲\"\n+     \"FBillNo\": \"乙\"\n    }\n  ]\n");
    }
}
