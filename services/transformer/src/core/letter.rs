//! The dead letters of this stage: the record as it came, byte for byte, and why it went no further.

use document::{
    Code, DeadLetter, DocumentKey, Extracted, Fault, FlowName, FlowVersion, Received, Tenant, TraceParent, Version,
    topic,
};
use queue::Outgoing;

use super::STAGE;

/// The longest message of a letter, in characters.
const MESSAGE: usize = 2_000;

/// Where a record was read: `topic/partition@offset`.
pub fn place(received: &Received) -> String {
    format!("{}/{}@{}", received.topic, received.partition, received.offset)
}

/// Whether the fault lies in the record as such and says nothing of the flow that would map it.
pub(super) fn is_of_the_record(code: Code) -> bool {
    matches!(code, Code::RecordUnreadable | Code::RecordQuarantined)
}

fn message(fault: &Fault) -> String {
    let whole = match &fault.hint {
        Some(hint) => format!("{} ({hint})", fault.detail),
        None => fault.detail.clone(),
    };
    whole.chars().take(MESSAGE).collect()
}

/// The letter of a record whose envelope was read.
pub fn of_extracted(
    received: &Received,
    extracted: &Extracted,
    trace: TraceParent,
    fault: &Fault,
    now: i64,
) -> DeadLetter {
    DeadLetter {
        tenant: extracted.tenant.clone(),
        flow: extracted.flow.clone(),
        flow_version: extracted.flow_version.clone(),
        document_key: extracted.document_key.clone(),
        version: extracted.version,
        stage: STAGE,
        category: fault.code.category(),
        code: fault.code,
        message: message(fault),
        field: fault.place.path.clone(),
        origin: Some((received.topic.clone(), received.partition, received.offset)),
        origin_timestamp: received.timestamp,
        attempts: 1,
        first_failed_at: now,
        last_failed_at: now,
        retry_at: None,
        replay: extracted.replay.clone(),
        trace: Some(trace),
        headers: DeadLetter::headers_of(&received.record.headers),
        claim_check: false,
        body: extracted.value.clone(),
    }
}

/// The letter of a record whose envelope does not read. What its headers do not say is taken from its topic and key;
/// a record without a document key is named by its place.
pub fn of_unread(received: &Received, fault: &Fault, now: i64) -> (DeadLetter, Tenant, FlowName, FlowVersion) {
    let headers = &received.record.headers;
    let tenant = headers.get("sb-tenant").and_then(|name| Tenant::new(name).ok()).unwrap_or_default();
    let flow = topic::flow_of(&received.topic)
        .unwrap_or_else(|| FlowName::new("unknown").expect("a label of lower case letters"));
    let version = FlowVersion::from(headers.get("sb-flow-version").unwrap_or("unknown"));
    let letter = DeadLetter {
        tenant: tenant.clone(),
        flow: flow.clone(),
        flow_version: version.clone(),
        document_key: headers.get("sb-document-key").map_or_else(|| DocumentKey(place(received)), DocumentKey::from),
        version: Version(headers.read_optional("sb-version").ok().flatten().unwrap_or(0)),
        stage: STAGE,
        category: fault.code.category(),
        code: fault.code,
        message: message(fault),
        field: fault.place.path.clone(),
        origin: Some((received.topic.clone(), received.partition, received.offset)),
        origin_timestamp: received.timestamp,
        attempts: 1,
        first_failed_at: now,
        last_failed_at: now,
        retry_at: None,
        replay: headers.get("sb-replay").map(str::to_owned),
        trace: headers.read_optional("traceparent").ok().flatten(),
        headers: DeadLetter::headers_of(headers),
        claim_check: false,
        body: received.record.value.clone().unwrap_or_default(),
    };
    (letter, tenant, flow, version)
}

/// The letter as it is written. One that is over the record limit goes without its body, and says where that lies.
pub fn outgoing(letter: DeadLetter) -> Outgoing {
    let whole = Outgoing::to(topic::DEAD_LETTERS, letter.clone().into_record());
    match whole.check_size() {
        Ok(()) => whole,
        Err(_) => Outgoing::to(topic::DEAD_LETTERS, letter.without_body().into_record()),
    }
}
