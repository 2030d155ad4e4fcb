//! Good inputs to damage, out of the files of the project.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use document::{Headers, Record};
use flow::FlowBundle;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a file of the project.
///
/// # Panics
/// When it is not there.
pub fn file(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The flow that is shown first.
pub fn bundle() -> FlowBundle {
    let part = |name: &str| file(&format!("deploy/flows/misc-inbound/{name}"));
    let [flow, source, target] = ["flow.toml", "source.json", "target.json"].map(part);
    FlowBundle { flow, source, target, collections: BTreeMap::new() }
}

/// Documents with case files that run against them: name, document, case file.
///
/// # Panics
/// When they are not there.
pub fn cases() -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for folder in ["services/shared/flow/tests/cases", "services/shared/flow/tests/corpus"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        for name in names {
            let Some(base) = name.strip_suffix(".cases.json") else { continue };
            let document = file(&format!("{folder}/{base}.json"));
            found.push((format!("{base}.json"), document, file(&format!("{folder}/{name}"))));
        }
    }
    found
}

/// Every record of every topic, as release 0.1 wrote it.
///
/// # Panics
/// When the files are not there or not what they were.
pub fn records(topic: &str) -> Vec<Record> {
    let path = format!("tests/golden/0.1/{topic}.ndjson");
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers = line["headers"].as_array().into_iter().flatten();
        Record {
            key: text(&line["key"]).into_bytes(),
            headers: Headers::from_iter(headers.map(|pair| (text(&pair[0]), text(&pair[1])))),
            value: line["value"].as_str().map(|value| value.as_bytes().to_vec()),
        }
    };
    file(&path).lines().map(read).collect()
}

/// The columns of [`page`], Kingdee keys.
pub const COLUMNS: [&str; 5] = ["FEntity_FEntryID", "FBillNo", "FQty", "FID", "FApproveDate"];

/// A page of `bills` bills with two lines each, in the columns of [`COLUMNS`].
pub fn page(bills: i64) -> Vec<Vec<Value>> {
    let line = |at: i64| {
        let bill = at / 2 + 1;
        vec![json!(100 + at), json!(format!("入库{bill:04}")), json!(1.50), json!(bill), json!("2024-03-14T09:00:00")]
    };
    (0..2 * bills).map(line).collect()
}

/// The status part of a reply to a save.
pub fn status(code: i64, entities: &[Value], errors: &[Value]) -> Value {
    let good = errors.is_empty();
    json!({"Result": {"ResponseStatus": {
        "ErrorCode": if good { Value::Null } else { json!(500) },
        "IsSuccess": good, "Errors": errors, "SuccessEntitys": entities, "SuccessMessages": [], "MsgCode": code,
    }}})
}
