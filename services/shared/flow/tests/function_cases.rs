//! `_function` against what a real MariaDB answered to the same statements, kept in `data/function-cases.json`.
//!
//! `data/function-cases.py` says how the answers were got. Numbers are compared by their decimal value, everything else
//! exactly, types included.

use std::collections::BTreeMap;

use flow::function::{Program, Run};
use flow::number;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: String,
    settings: BTreeMap<String, String>,
    /// The run's time where a case names none, unix seconds.
    now: i64,
    cases: Vec<Case>,
    deliberate_differences: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expression: String,
    #[serde(default)]
    record: Value,
    now: Option<i64>,
    statement: String,
    expected: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    expression: String,
    #[serde(default)]
    record: Value,
    statement: String,
    mariadb: Value,
    /// Our result, or `{"code": "E_…"}`.
    ours: Value,
    why: String,
}

fn read() -> File {
    let text = include_str!("data/function-cases.json");
    let mut reader = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut reader).unwrap_or_else(|error| panic!("function-cases.json: {error}"))
}

/// The result of an expression; a fault as `{"code": …}`.
fn ours(expression: &str, record: &Value, now: i64) -> Value {
    let run = Run { now, last_sync_time: now, zone: chrono_tz::Asia::Shanghai, page: None };
    match Program::compile(expression).and_then(|program| program.evaluate(record, &run)) {
        Ok(value) => value,
        Err(fault) => serde_json::json!({"code": fault.code.as_str()}),
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => number::of_json(left) == number::of_json(right),
        (left, right) => left == right,
    }
}

#[test]
fn expressions_give_what_mariadb_gives() {
    let file = read();
    assert!(file.server.contains("MariaDB"), "{}", file.server);
    assert_eq!(file.settings.get("time_zone").map(String::as_str), Some("+08:00"));
    assert!(file.cases.len() >= 300, "only {} cases", file.cases.len());
    let mut wrong = Vec::new();
    for case in &file.cases {
        let found = ours(&case.expression, &case.record, case.now.unwrap_or(file.now));
        if !same(&found, &case.expected) {
            wrong.push(format!(
                "{}\n    gives {found}, MariaDB gives {} to\n    {}",
                case.expression, case.expected, case.statement
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), file.cases.len(), wrong.join("\n"));
}

#[test]
fn deliberate_differences_are_as_described() {
    let file = read();
    assert!(file.deliberate_differences.len() >= 20);
    for difference in &file.deliberate_differences {
        let found = ours(&difference.expression, &difference.record, file.now);
        assert!(same(&found, &difference.ours), "{}: {found}, described as {}", difference.expression, difference.ours);
        assert!(!same(&found, &difference.mariadb), "{} is no difference", difference.statement);
        assert!(difference.why.chars().count() > 10, "{}", difference.expression);
    }
}

#[test]
fn an_unknown_key_is_an_error() {
    let case = r#"{"expression": "1", "statement": "SELECT 1", "expected": 1, "expects": 1}"#;
    let error = serde_json::from_str::<Case>(case).map(|_| ()).expect_err("an unknown key");
    assert!(error.to_string().contains("unknown field `expects`"), "{error}");
}
