//! A flow whose rows say what becomes of their bills, and records of it.

use std::sync::{Arc, Mutex};

use document::{
    Code, Digest, DocumentKey, Extracted, Fault, FlowName, FlowVersion, Received, Record, Tenant, TraceParent, Version,
};
use serde_json::{Map, Value, json};

use crate::core::{Definition, Flows, Traces};

pub(crate) const V1: &str = "aaaaaaaaaaaaaaaa";
pub(crate) const V2: &str = "bbbbbbbbbbbbbbbb";
pub(crate) const NOW: i64 = 1_710_403_201_000;

/// A definition whose mapping is written in the rows: each row names what becomes of its bill.
pub(crate) struct Sample;

impl Definition for Sample {
    fn key_field(&self) -> &str {
        "FBillNo"
    }

    /// A bill that wants a marker is found by the document's key.
    fn mark(&self, bill: &mut Map<String, Value>, document: &DocumentKey) {
        if bill.remove("marked").is_some() {
            bill.insert(self.key_field().to_owned(), document.as_str().into());
        }
    }

    fn render(&self, rows: &[Value], now: i64, since: i64) -> Vec<Result<Map<String, Value>, Fault>> {
        let bill = |row: &Value| match row["as"].as_str() {
            Some("fault") => {
                Err(Fault::new(Code::Required, "FDate has no value").at_path("$.FEntity[3].FDate").hint("fill it"))
            }
            Some("other fault") => Err(Fault::new(Code::Type, "no number").at_path("$.FQty")),
            Some("panic") => panic!("the mapping breaks down as the test wants"),
            _ => {
                let mut bill = row["bill"].as_object().cloned().unwrap_or_default();
                bill.insert("run".to_owned(), json!([now, since]));
                Ok(bill)
            }
        };
        rows.iter().filter(|row| row["as"] != "nothing").map(bill).collect()
    }
}

/// Published flows that tests change.
pub(crate) struct Published {
    versions: Mutex<Vec<&'static str>>,
    current: Mutex<&'static str>,
}

impl Published {
    pub(crate) fn only(version: &'static str) -> Self {
        Self { versions: Mutex::new(vec![version]), current: Mutex::new(version) }
    }

    pub(crate) fn publish(&self, version: &'static str) {
        self.versions.lock().expect("not poisoned").push(version);
        *self.current.lock().expect("not poisoned") = version;
    }
}

impl Flows for Published {
    fn get(&self, flow: &FlowName, version: &FlowVersion) -> Option<Arc<dyn Definition>> {
        let known = self.versions.lock().expect("not poisoned").contains(&version.as_str());
        let sample: Arc<dyn Definition> = Arc::new(Sample);
        (flow.as_str() == "misc" && known).then_some(sample)
    }

    fn current(&self, flow: &FlowName) -> Option<FlowVersion> {
        (flow.as_str() == "misc").then(|| FlowVersion::from(*self.current.lock().expect("not poisoned")))
    }
}

pub(crate) struct Steady;

impl Traces for Steady {
    type Span = ();

    fn begin(&mut self, _flow: &FlowName, parent: &TraceParent) -> (TraceParent, ()) {
        (TraceParent { span_id: [9; 8], ..*parent }, ())
    }
}

pub(crate) fn extracted(key: &str, version: &str, rows: &Value) -> Extracted {
    Extracted {
        tenant: Tenant::new("acme").expect("a label"),
        flow: FlowName::new("misc").expect("a label"),
        flow_version: version.into(),
        document_key: key.into(),
        version: Version(1_710_403_200_000_007),
        digest: Digest([3; 16]),
        created: Some(1_710_000_000),
        run_time: 1_710_403_200,
        run_since: 1_710_399_600,
        trace: TraceParent { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
        replay: Some("r-1".to_owned()),
        value: rows.to_string().into_bytes(),
    }
}

pub(crate) fn at(partition: i32, offset: i64, record: Record) -> Received {
    Received { topic: "starbridge.misc.extracted".to_owned(), partition, offset, timestamp: Some(77), record }
}

pub(crate) fn good(partition: i32, offset: i64) -> Received {
    let key = format!("D{partition}-{offset}");
    at(partition, offset, extracted(&key, V1, &json!([{"bill": {"FBillNo": key}}])).into_record())
}

pub(crate) fn of(partition: i32, offset: i64, version: &str, what: &str) -> Received {
    at(partition, offset, extracted(&format!("D{partition}-{offset}"), version, &json!([{"as": what}])).into_record())
}
