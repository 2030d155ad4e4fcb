//! The dead letters of this stage: the record as it came, byte for byte, and why it went no further.

use document::{
    Code, DeadLetter, Digest, DocumentKey, Extracted, Fault, FlowName, FlowVersion, Received, Tenant, TraceParent,
    Version, topic,
};
use queue::Outgoing;

use super::STAGE;

/// The longest message of a letter, in characters.
const MESSAGE: usize = 2_000;

/// Header of a letter whose body says where the record lies instead of holding it.
pub const CLAIM_CHECK: &str = "dl-claim-check";

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
        body: received.record.value.clone().unwrap_or_default(),
    };
    (letter, tenant, flow, version)
}

/// The letter as it is written. One that is over the record limit goes without its body, and says where that lies.
pub fn outgoing(letter: DeadLetter, received: &Received) -> Outgoing {
    let whole = Outgoing::to(topic::DEAD_LETTERS, letter.into_record());
    if whole.check_size().is_ok() {
        return whole;
    }
    let mut record = whole.record;
    let body = record.value.take().unwrap_or_default();
    let mut digest = [0_u8; 16];
    blake3::Hasher::new().update(&body).finalize_xof().fill(&mut digest);
    let check = serde_json::json!({
        "topic": received.topic,
        "partition": received.partition,
        "offset": received.offset,
        "bytes": body.len(),
        "digest": Digest(digest),
    });
    record.headers.set(CLAIM_CHECK, place(received));
    record.value = Some(check.to_string().into_bytes());
    Outgoing::to(topic::DEAD_LETTERS, record)
}
