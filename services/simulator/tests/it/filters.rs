//! FilterString against the answers of a real MariaDB.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::harness::{Galaxy, refusal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    evaluator: String,
    differences: Vec<String>,
    documents: Vec<Value>,
    refused: Vec<Refused>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    filter: String,
    code: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    filter: Value,
    statement: String,
    rows: Vec<u64>,
}

async fn prepared() -> (Galaxy, Cases) {
    let cases: Cases = serde_json::from_str(include_str!("../data/filter-cases.json")).unwrap();
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/filter-form.toml");
    let galaxy = Galaxy::start(&["--schema", schema]).await;
    let organisations: Vec<Value> = ["100", "202", "204"]
        .iter()
        .map(|number| json!({ "FNumber": number, "FName": format!("组织{number}") }))
        .collect();
    galaxy.plant("ORG_Organizations", organisations.into()).await;
    galaxy.plant("TEST_FILTER", cases.documents.clone().into()).await;
    (galaxy, cases)
}

async fn select(galaxy: &Galaxy, filter: &Value) -> Value {
    let query =
        json!({ "FormId": "TEST_FILTER", "FieldKeys": "FRowNo", "FilterString": filter, "OrderString": "FRowNo" });
    galaxy.query(query).await
}

#[tokio::test]
async fn every_filter_selects_the_rows_that_mariadb_selects() {
    let (galaxy, cases) = prepared().await;
    assert!(cases.cases.len() >= 320, "{}", cases.cases.len());
    assert!(cases.evaluator.starts_with("MariaDB ") && !cases.differences.is_empty());
    let mut wrong = Vec::new();
    for case in &cases.cases {
        let rows = select(&galaxy, &case.filter).await;
        let expected: Vec<Vec<u64>> = case.rows.iter().map(|row| vec![*row]).collect();
        if rows != json!(expected) {
            wrong.push(format!("{}\n  {}\n  expected {:?}\n  got {rows}", case.filter, case.statement, case.rows));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn filters_that_cannot_be_read_are_refused() {
    let (galaxy, cases) = prepared().await;
    for case in &cases.refused {
        let (code, message) = refusal(&select(&galaxy, &case.filter.as_str().into()).await);
        assert_eq!(code, case.code, "{}: {message}", case.filter);
        let text = if code == 9 { "元数据中标识为" } else { "GetRealExpress error" };
        assert!(message.contains(text), "{}: {message}", case.filter);
    }
}

#[tokio::test]
async fn deep_and_endless_filters_are_refused_and_long_ones_are_not() {
    let (galaxy, _) = prepared().await;
    let deep = format!("{}FRowNo = 1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(refusal(&select(&galaxy, &deep.into()).await).0, 4);
    let endless = vec!["FRowNo = 1"; 5_000].join(" or ");
    assert_eq!(refusal(&select(&galaxy, &endless.into()).await).0, 4);
    let long = vec!["FRowNo = 1"; 1_500].join(" or ");
    assert_eq!(select(&galaxy, &long.into()).await, json!([[1]]));
    let list: Vec<String> = (0..20_000).map(|number| format!("'B-{number}'")).collect();
    let rows = select(&galaxy, &format!("FBillNo in ({})", list.join(",")).into()).await;
    assert_eq!(rows, json!([]));
}

#[tokio::test]
async fn odbc_dates_plain_backslashes_and_the_array_form_as_text_are_read() {
    let (galaxy, _) = prepared().await;
    let plain = select(&galaxy, &"FDate >= '2024-03-14'".into()).await;
    assert_ne!(plain, json!([]));
    assert_eq!(select(&galaxy, &"FDate >= {ts'2024-03-14 00:00:00'}".into()).await, plain);
    let array =
        json!([{ "Left": "", "FieldName": "FDate", "Compare": ">=", "Value": "2024-03-14", "Right": "", "Logic": 0 }]);
    assert_eq!(select(&galaxy, &array.to_string().into()).await, plain);
    let backslash = select(&galaxy, &r"FNOTE like '%\%'".into()).await;
    assert_eq!(backslash, select(&galaxy, &"FBillNo = 'B_06'".into()).await);
    for bad in [
        json!([{ "FieldName": "FDate; drop", "Compare": "=", "Value": "1" }]),
        json!([{ "FieldName": "FDate", "Compare": "9999", "Value": "1" }]),
        json!([{ "Left": "1=1 or (", "FieldName": "FBillNo", "Compare": "=", "Value": "1" }]),
        json!(["FBillNo"]),
    ] {
        assert_eq!(refusal(&select(&galaxy, &bad).await).0, 4, "{bad}");
    }
}
