//! The ready flows under `deploy/flows` load without fault, and the published schema is the one the code has.

use std::path::{Path, PathBuf};

use flow::cases::CaseFile;
use flow::{Compiled, FlowBundle, Operation, compile};
use serde_json::{Value, json};

fn flows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/flows")
}

fn read(folder: &str, file: &str) -> String {
    std::fs::read_to_string(flows().join(folder).join(file)).expect("the file is part of the repository")
}

fn load(folder: &str) -> Compiled {
    let bundle = FlowBundle {
        flow: read(folder, "flow.toml"),
        source: read(folder, "source.json"),
        target: read(folder, "target.json"),
        collections: std::collections::BTreeMap::new(),
    };
    compile(&bundle).unwrap_or_else(|faults| panic!("{folder}: {faults:?}"))
}

#[test]
fn the_completed_flow_sends_fifty_documents_a_call() {
    let Compiled { flow, warnings, notes } = load("misc-inbound");
    assert_eq!(warnings, Vec::new());
    assert_eq!(
        notes,
        ["batch.documents = 50 of flow.toml overrides operation.rows = 1 of target.json: 50 documents per call"]
    );
    assert_eq!((flow.documents_per_call, flow.settings.partitions), (50, 6));
    assert_eq!(flow.entry_key(), Some("FEntity_FEntryID"));
    assert_eq!(flow.source.page_size(), 500);
    let run = flow.run(1_710_489_600, 1_710_403_200);
    let query = flow.source.query(&run).expect("a query");
    assert_eq!((query.form_id.as_str(), query.limit, query.columns.len()), ("STK_MISCELLANEOUS", 500, 9));
    let call = flow.target.call(&run, &flow.collections).expect("a call");
    assert_eq!((call.form_id.as_str(), call.operation), ("STK_MISCELLANEOUS", Operation::Save));
    assert!(call.auto_submit_and_audit);
    let options =
        json!({"Operation": "BatchSave", "IsVerifyBaseDataField": true, "IsAutoSubmitAndAudit": true, "BatchCount": 5});
    assert_eq!(Value::Object(call.options), options);
}

#[test]
fn the_printed_documents_run_alone_one_bill_per_call() {
    let Compiled { flow, notes, .. } = load("misc-inbound-verbatim");
    assert_eq!(flow.documents_per_call, 1);
    assert_eq!(
        notes,
        [
            "operation.rows = 1 of target.json: 1 documents per call",
            "source.form = STK_MISCELLANEOUS of flow.toml: source.json names no FormId",
            "target.form = STK_MISCELLANEOUS of flow.toml: target.json names no FormId",
        ]
    );
    assert_eq!(flow.entry_key(), Some("FEntity_FEntryID"));
    let run = flow.run(1_710_489_600, 1_710_403_200);
    let query = flow.source.query(&run).expect("a query");
    assert_eq!(
        Value::Object(query.parameters()),
        json!({
            "FormId": "STK_MISCELLANEOUS",
            "FieldKeys": "FEntity_FEntryID,FID,FBillNo,FDocumentStatus,FStockOrgId.FNumber,FDate",
            "FilterString": "FAPPROVEDATE >='2024-03-14' and FBillTypeID.FNumber<>'QTRKD03_SYS'",
            "TopRowCount": 0,
            "StartRow": 0,
            "Limit": 500
        })
    );
    let call = flow.target.call(&run, &flow.collections).expect("a call");
    assert_eq!((call.form_id.as_str(), call.options.len()), ("STK_MISCELLANEOUS", 0));
    let rows = [
        json!({"FEntity_FEntryID": 1, "FID": 9, "FBillNo": "A", "FStockOrgId_FNumber": "202"}),
        json!({"FEntity_FEntryID": 2, "FID": 9, "FBillNo": "A", "FStockOrgId_FNumber": "202"}),
    ];
    let bills = flow.target.render(&rows, &run, &flow::NoCollections);
    let documents: Vec<Value> = bills.into_iter().map(|bill| Value::Object(bill.expect("a document"))).collect();
    assert_eq!(
        documents,
        [json!({"FBillNo": "A", "FBillTypeID": "QTRKD01_SYS", "FStockOrgId": {"FNumber": "126"}, "FEntity": [{}, {}]})]
    );
}

#[test]
fn the_ready_cases_pass() {
    for name in ["source.cases.json", "target.cases.json"] {
        let file = CaseFile::read(name, &read("misc-inbound", name)).expect("a case file");
        let outcomes = file.run(&read("misc-inbound", &file.metadata), &flow::Shelf::default()).expect("a document");
        assert!(!outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.passed()), "{name}: {outcomes:?}");
    }
}

#[test]
fn the_published_schema_is_current() {
    let published = std::fs::read_to_string(flows().join("flow.schema.json")).expect("the schema is published");
    let published: Value = serde_json::from_str(&published).expect("JSON");
    assert_eq!(
        published,
        flow::file::schema(),
        "write the output of `starctl flow schema` to deploy/flows/flow.schema.json"
    );
}
