//! A record set aside, bytes untouched, and why.
//!
//! Body: the record as it entered the failed step, byte for byte. Headers: those of that record, so that it can be
//! published once more ([`DeadLetter::original`]), and beside them the `dl-` contract below, set and never appended, so
//! that a letter that fails again keeps its identity. The record's `traceparent` gives way to the letter's own.
//!
//! | header | meaning |
//! |---|---|
//! | `dl-claim-check` | `topic/partition@offset` of a body too large to be written once more; the letter's own body is then a JSON object that says the same, with its size and digest |

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::code::{Category, Code};
use crate::digest::Digest;
use crate::header::{Headers, REPLAY, RecordError, TRACE, VERDICT};
use crate::name::{DocumentKey, FlowName, FlowVersion, Tenant, Version};
use crate::record::Record;
use crate::trace::TraceParent;

/// The step that a record failed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Reading the source.
    Extract,
    /// Mapping.
    Transform,
    /// Saving to the target.
    Load,
    /// Submitting a saved document.
    Submit,
    /// Auditing a submitted document.
    Audit,
}

impl Stage {
    /// Every stage, in the order of the road.
    pub const ALL: [Stage; 5] = [Stage::Extract, Stage::Transform, Stage::Load, Stage::Submit, Stage::Audit];

    /// The word used in headers, metrics and selectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Extract => "extract",
            Stage::Transform => "transform",
            Stage::Load => "load",
            Stage::Submit => "submit",
            Stage::Audit => "audit",
        }
    }
}

impl std::str::FromStr for Stage {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or(())
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Identity of a letter: the same failure of the same version keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeadLetterId(pub String);

impl DeadLetterId {
    /// 32 hex digits of BLAKE3 over flow, document key, version and stage.
    pub fn of(flow: &FlowName, document: &DocumentKey, version: Version, stage: Stage) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [flow.as_str(), document.as_str(), &version.to_string(), stage.as_str()] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut id = [0_u8; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(hex::encode(id))
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One dead letter. Kafka key: its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose it is.
    pub tenant: Tenant,
    /// The flow it belongs to.
    pub flow: FlowName,
    /// The definition it failed under.
    pub flow_version: FlowVersion,
    /// The document.
    pub document_key: DocumentKey,
    /// Its version.
    pub version: Version,
    /// The step it failed in.
    pub stage: Stage,
    /// What kind of failure.
    pub category: Category,
    /// Which failure.
    pub code: Code,
    /// In words: the target's or ours, without secrets.
    pub message: String,
    /// The field or path at fault.
    pub field: Option<String>,
    /// Topic, partition and offset of the record as it entered the failed step; absent for what failed in the source.
    pub origin: Option<(String, i32, i64)>,
    /// Time stamp of that record, unix milliseconds.
    pub origin_timestamp: Option<i64>,
    /// Attempts of the step so far.
    pub attempts: u32,
    /// When it failed first and last, unix milliseconds.
    pub first_failed_at: i64,
    /// When it failed last, unix milliseconds.
    pub last_failed_at: i64,
    /// When a timed fault is due again, unix milliseconds.
    pub retry_at: Option<i64>,
    /// The replay it failed in.
    pub replay: Option<String>,
    /// The trace that follows the document.
    pub trace: Option<TraceParent>,
    /// The headers of the record as it entered the failed step, without `traceparent` and without those of a letter;
    /// empty for what failed in the source.
    pub headers: Headers,
    /// The body says where the record lies instead of holding it.
    pub claim_check: bool,
    /// The record as it entered the failed step.
    pub body: Vec<u8>,
}

/// Marks the headers that are the letter's own.
const OWN: &str = "dl-";
/// Header of a letter whose body says where the record lies.
const CLAIM_CHECK: &str = "dl-claim-check";

impl DeadLetter {
    /// The identity of this failure.
    pub fn id(&self) -> DeadLetterId {
        DeadLetterId::of(&self.flow, &self.document_key, self.version, self.stage)
    }

    /// What a letter keeps of the headers of a record.
    pub fn headers_of(record: &Headers) -> Headers {
        record.iter().filter(|(name, _)| !name.starts_with(OWN) && *name != TRACE).collect()
    }

    /// The letter with its body left where it lies, which is what a record needs that is too large to be written once
    /// more. A letter without an origin stays as it is.
    pub fn without_body(mut self) -> Self {
        let Some((topic, partition, offset)) = self.origin.as_ref().filter(|_| !self.claim_check) else { return self };
        let check = serde_json::json!({
            "topic": topic,
            "partition": partition,
            "offset": offset,
            "bytes": self.body.len(),
            "digest": Digest::of_bytes(&self.body),
        });
        self.body = check.to_string().into_bytes();
        self.claim_check = true;
        self
    }

    /// The record that failed, to be published again: key, headers and value as they were before any replay. `None`
    /// when the letter has no such record: it failed in the source, its headers do not name it, or its body was left
    /// where it lies.
    pub fn original(&self) -> Option<Record> {
        let key = match self.stage {
            Stage::Extract => return None,
            Stage::Transform => "sb-document-key",
            Stage::Load | Stage::Submit | Stage::Audit => "sb-target-key",
        };
        if self.claim_check {
            return None;
        }
        let key = self.headers.get(key)?.as_bytes().to_vec();
        // What a replay or a person said applied to that one attempt.
        let lasting = |(name, _): &(&str, &str)| *name != REPLAY && *name != VERDICT;
        let mut headers: Headers = self.headers.iter().filter(lasting).collect();
        headers.set_optional(TRACE, self.trace);
        Some(Record { key, headers, value: Some(self.body.clone()) })
    }

    /// The record to write.
    pub fn into_record(self) -> Record {
        let id = self.id();
        let mut headers = Self::headers_of(&self.headers);
        headers
            .set("dl-id", &id)
            .set("dl-schema", 1)
            .set("dl-tenant", &self.tenant)
            .set("dl-flow", &self.flow)
            .set("dl-flow-version", &self.flow_version)
            .set("dl-stage", self.stage)
            .set("dl-category", self.category)
            .set("dl-code", self.code)
            .set("dl-message", &self.message)
            .set_optional("dl-field", self.field)
            .set("dl-record-key", &self.document_key)
            .set("dl-record-version", self.version)
            .set("dl-attempts", self.attempts)
            .set("dl-first-failed-at", self.first_failed_at)
            .set("dl-last-failed-at", self.last_failed_at)
            .set_optional("dl-origin-timestamp", self.origin_timestamp)
            .set_optional("dl-retry-at", self.retry_at)
            .set("dl-replay-count", u8::from(self.replay.is_some()))
            .set_optional("dl-replay-job", self.replay)
            .set_optional(TRACE, self.trace);
        if let Some((topic, partition, offset)) = self.origin {
            headers.set_optional(CLAIM_CHECK, self.claim_check.then(|| format!("{topic}/{partition}@{offset}")));
            headers.set("dl-origin-topic", topic).set("dl-origin-partition", partition).set("dl-origin-offset", offset);
        }
        Record { key: id.0.into_bytes(), headers, value: Some(self.body) }
    }

    /// Reads the record back.
    ///
    /// # Errors
    /// [`RecordError`] naming the header that is missing or does not read.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        let headers = &record.headers;
        let unreadable = |name: &'static str| RecordError::HeaderUnreadable {
            name,
            text: headers.get(name).unwrap_or_default().to_owned(),
        };
        let origin = match headers.get("dl-origin-topic") {
            Some(topic) => {
                Some((topic.to_owned(), headers.read("dl-origin-partition")?, headers.read("dl-origin-offset")?))
            }
            None => None,
        };
        let letter = Self {
            tenant: Tenant::new(headers.required("dl-tenant")?).map_err(|_| unreadable("dl-tenant"))?,
            flow: FlowName::new(headers.required("dl-flow")?).map_err(|_| unreadable("dl-flow"))?,
            flow_version: headers.required("dl-flow-version")?.into(),
            document_key: headers.required("dl-record-key")?.into(),
            version: Version(headers.read("dl-record-version")?),
            stage: headers.read("dl-stage")?,
            category: headers.read("dl-category")?,
            code: headers.read("dl-code")?,
            message: headers.required("dl-message")?.to_owned(),
            field: headers.get("dl-field").map(str::to_owned),
            origin,
            origin_timestamp: headers.read_optional("dl-origin-timestamp")?,
            attempts: headers.read("dl-attempts")?,
            first_failed_at: headers.read("dl-first-failed-at")?,
            last_failed_at: headers.read("dl-last-failed-at")?,
            retry_at: headers.read_optional("dl-retry-at")?,
            replay: headers.get("dl-replay-job").map(str::to_owned),
            trace: headers.read_optional(TRACE)?,
            headers: Self::headers_of(headers),
            claim_check: headers.get(CLAIM_CHECK).is_some(),
            body: record.value.clone().ok_or(RecordError::ValueMissing)?,
        };
        match headers.required("dl-id")? {
            id if id == letter.id().0 => Ok(letter),
            _ => Err(unreadable("dl-id")),
        }
    }
}

#[cfg(test)]
mod tests;
