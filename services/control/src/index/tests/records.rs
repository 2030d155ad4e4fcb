//! Records as the services write them.

use document::{Category, Code, DeadLetterId, FlowName, Headers, Received, Record, Stage, Version, topic};
use serde_json::json;

use crate::index::Index;
use crate::letter::{LetterEvent, State};
use crate::selector::Selector;

/// What is told of one letter; the rest is the same in all.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) flow: String,
    pub(super) document: String,
    pub(super) version: u64,
    pub(super) stage: Stage,
    pub(super) category: Category,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) field: Option<String>,
    pub(super) target_key: Option<String>,
    pub(super) attempts: u32,
    pub(super) first_failed: i64,
    pub(super) last_failed: i64,
    pub(super) retry_at: Option<i64>,
    pub(super) replay: Option<String>,
    /// The trace's id, hex digits.
    pub(super) trace: Option<String>,
    pub(super) origin: Option<(String, i32, i64)>,
    pub(super) body: Vec<u8>,
}

/// A letter of the document that failed first at `first_failed`.
pub(super) fn sample(document: &str, first_failed: i64) -> Sample {
    Sample {
        flow: "misc-inbound".to_owned(),
        document: document.to_owned(),
        version: 7,
        stage: Stage::Load,
        category: Category::ReferenceMissing,
        code: Code::ReferenceMissing,
        message: "编码不存在".to_owned(),
        field: None,
        target_key: None,
        attempts: 1,
        first_failed,
        last_failed: first_failed,
        retry_at: None,
        replay: None,
        trace: None,
        origin: None,
        body: b"{}".to_vec(),
    }
}

impl Sample {
    pub(super) fn id(&self) -> DeadLetterId {
        let flow = FlowName::new(self.flow.clone()).expect("a flow's name");
        DeadLetterId::of(&flow, &self.document.as_str().into(), Version(self.version), self.stage)
    }

    pub(super) fn record(&self) -> Record {
        let mut headers = Headers::new();
        headers
            .set("dl-id", self.id())
            .set("dl-schema", 1)
            .set("dl-tenant", "default")
            .set("dl-flow", &self.flow)
            .set("dl-flow-version", "v1")
            .set("dl-stage", self.stage)
            .set("dl-category", self.category)
            .set("dl-code", self.code)
            .set("dl-message", &self.message)
            .set_optional("dl-field", self.field.as_ref())
            .set("dl-record-key", &self.document)
            .set("dl-record-version", self.version)
            .set("dl-attempts", self.attempts)
            .set("dl-first-failed-at", self.first_failed)
            .set("dl-last-failed-at", self.last_failed)
            .set_optional("dl-retry-at", self.retry_at)
            .set_optional("dl-replay-job", self.replay.as_ref())
            .set_optional("sb-target-key", self.target_key.as_ref());
        if let Some(trace) = &self.trace {
            headers.set("traceparent", format!("00-{trace}-00000000000000aa-01"));
        }
        if let Some((topic, partition, offset)) = &self.origin {
            headers.set("dl-origin-topic", topic).set("dl-origin-partition", partition).set("dl-origin-offset", offset);
        }
        Record { key: self.id().0.into_bytes(), headers, value: Some(self.body.clone()) }
    }
}

pub(super) fn received(topic: &str, partition: i32, offset: i64, record: Record) -> Received {
    Received { topic: topic.to_owned(), partition, offset, timestamp: None, record }
}

pub(super) fn letter(offset: i64, sample: &Sample) -> Received {
    received(topic::DEAD_LETTERS, 0, offset, sample.record())
}

pub(super) fn event(offset: i64, id: &DeadLetterId, event: &LetterEvent) -> Received {
    received(topic::DEAD_LETTER_EVENTS, 0, offset, event.record(id))
}

pub(super) fn state(offset: i64, id: &DeadLetterId, state: State) -> Received {
    event(offset, id, &LetterEvent::new(state, 1, "ops", 5))
}

/// An entry of the loader's ledger, as its JSON is.
pub(super) fn end(offset: i64, target_key: &str, document: &str, version: u64) -> Received {
    let value = json!({
        "v": 1, "document": document, "version": version, "flow_version": "v1", "digest": "00".repeat(16),
        "end": "applied", "replays": ["r1"], "attempts": 0,
        "target": {"id": "100", "version": version, "digest": "00".repeat(16), "reached": "audited"},
        "dropped": {"version": 1, "replay": "r0"}, "at": 9,
    });
    keyed("starbridge.misc-inbound.ledger", offset, &format!("doc/{target_key}"), Some(value.to_string().as_bytes()))
}

pub(super) fn keyed(topic: &str, offset: i64, key: &str, value: Option<&[u8]>) -> Received {
    let record = Record { key: key.as_bytes().to_vec(), value: value.map(<[u8]>::to_vec), ..Record::default() };
    received(topic, 0, offset, record)
}

/// An index in a folder that lives as long as the index is used.
pub(super) fn index() -> (tempfile::TempDir, Index) {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Index::open(&folder.path().join("letters.db")).expect("an index");
    (folder, index)
}

pub(super) fn selector(text: &str) -> Selector {
    Selector::parse(text).expect(text)
}
