//! What the target must hold: the flow's bills of the source's rows.

use std::collections::{BTreeMap, BTreeSet};

use document::{DocumentKey, Fault, TargetKey};
use flow::{Flow, Run};
use serde_json::{Map, Value};

use crate::grpc::edit_check::key_of;

/// Two instants at which everything is computed; what differs between them depends on the run and is not compared.
const RUNS: [i64; 2] = [1_000_000_000, 1_333_333_333];

/// A bill as the flow makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bill {
    /// The document.
    pub value: Value,
    /// JSON pointers of the values that depend on when the run was.
    pub of_the_run: BTreeSet<String>,
}

/// The bills that `rows` of the source (each column's member with its value) make of one document, by their keys in the
/// target.
///
/// # Errors
/// The fault of a row that cannot be shaped, or of a bill that cannot be mapped.
pub fn bills(
    flow: &Flow,
    document: &DocumentKey,
    rows: &[Map<String, Value>],
) -> Result<BTreeMap<TargetKey, Bill>, Fault> {
    let [one, other] = RUNS.map(|at| rendered(flow, document, rows, at));
    let (one, other) = (one?, other?);
    let bills = one.into_iter().map(|(key, value)| {
        let mut of_the_run = BTreeSet::new();
        match other.get(&key) {
            Some(other) => differences(&value, other, String::new(), &mut of_the_run),
            // The key itself depends on the run: nothing of it can be told.
            None => drop(of_the_run.insert(String::new())),
        }
        (key, Bill { value, of_the_run })
    });
    Ok(bills.collect())
}

fn rendered(
    flow: &Flow,
    document: &DocumentKey,
    rows: &[Map<String, Value>],
    at: i64,
) -> Result<BTreeMap<TargetKey, Value>, Fault> {
    let run = Run { now: at, last_sync_time: at, zone: flow.settings.zone, page: None };
    let by_number = flow.source.id_field() != flow.source.number_field();
    let mut contents = Vec::new();
    for record in flow.source.shape(rows.to_vec(), &run)? {
        let key = if by_number && !record.number.is_empty() { &record.number } else { &record.id };
        if key == document.as_str() {
            contents.push(Value::Object(record.content));
        }
    }
    let mut bills = BTreeMap::new();
    for bill in flow.target.render(&contents, &run, &flow.collections) {
        let mut bill = bill?;
        flow.mark(&mut bill, document);
        if let Some(key) = key_of(&bill, flow.key_field()) {
            bills.insert(TargetKey(key), Value::Object(bill));
        }
    }
    Ok(bills)
}

fn differences(one: &Value, other: &Value, pointer: String, found: &mut BTreeSet<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for (name, value) in one {
                let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                differences(value, other.get(name).unwrap_or(&Value::Null), pointer, found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                differences(one, other, format!("{pointer}/{at}"), found);
            }
        }
        (one, other) if one == other => {}
        _ => drop(found.insert(pointer)),
    }
}

/// Whether the value at `pointer` depends on the run, or lies in something that does.
pub fn is_of_the_run(bill: &Bill, pointer: &str) -> bool {
    bill.of_the_run.iter().any(|known| pointer == known || pointer.starts_with(&format!("{known}/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow::FlowBundle;
    use serde_json::json;

    fn flow() -> Flow {
        let file = |name: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/flows/misc-inbound/");
            std::fs::read_to_string(format!("{folder}{name}")).expect("a file of the project")
        };
        let bundle = FlowBundle {
            flow: file("flow.toml"),
            source: file("source.json"),
            target: file("target.json"),
            collections: BTreeMap::new(),
        };
        flow::compile(&bundle).expect("a good flow").flow
    }

    fn row(number: &str, line: i64, quantity: &str) -> Map<String, Value> {
        let row = json!({
            "FEntity_FEntryID": line, "FID": 7, "FBillNo": number, "FDocumentStatus": "C",
            "FStockOrgId_FNumber": "100", "FDate": "2024-03-14T00:00:00", "FMATERIALID_FNumber": "M1",
            "FSTOCKID_FNumber": "S1", "FQty": serde_json::from_str::<Value>(quantity).expect("a number"),
        });
        row.as_object().expect("an object").clone()
    }

    #[test]
    fn rows_of_one_document_become_its_bill() {
        let rows = [row("A-1", 1, "1.50"), row("A-1", 2, "2")];
        let bills = bills(&flow(), &"A-1".into(), &rows).expect("mapped");
        let bill = &bills[&TargetKey("A-1".to_owned())];
        assert_eq!(bill.value["FStockOrgId"]["FNumber"], "125");
        assert_eq!(bill.value["FEntity"].as_array().map(Vec::len), Some(2));
        assert_eq!(bill.of_the_run, BTreeSet::new());
        assert!(super::bills(&flow(), &"B-1".into(), &rows).expect("mapped").is_empty());
    }

    #[test]
    fn what_depends_on_the_run_is_known() {
        let mut found = BTreeSet::new();
        let (one, other) =
            (json!({"a": 1, "b": {"c/d": "x"}, "l": [1, 2]}), json!({"a": 1, "b": {"c/d": "y"}, "l": [1]}));
        differences(&one, &other, String::new(), &mut found);
        assert_eq!(found, BTreeSet::from(["/b/c~1d".to_owned(), "/l".to_owned()]));
        let bill = Bill { value: one, of_the_run: found };
        assert!(is_of_the_run(&bill, "/l/0") && is_of_the_run(&bill, "/b/c~1d") && !is_of_the_run(&bill, "/a"));
    }
}
