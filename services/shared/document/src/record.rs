//! The two data records: a bill as the source gave it, and the same bill as the target wants it.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::digest::Digest;
use crate::header::{Headers, REPLAY, RecordError, TRACE, TYPE_EXTRACTED, TYPE_MAPPED};
use crate::name::{DocumentKey, FlowName, FlowVersion, TargetKey, Tenant, Version};
use crate::trace::TraceParent;

/// One record to be written to a topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Decides the partition; in compacted topics, names the entry.
    pub key: Vec<u8>,
    /// The facts about the value.
    pub headers: Headers,
    /// The bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// One record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Where it was read.
    pub topic: String,
    /// Where in the topic.
    pub partition: i32,
    /// Where in the partition. The offset to save after it is one more.
    pub offset: i64,
    /// The broker's or producer's time stamp, unix milliseconds.
    pub timestamp: Option<i64>,
    /// Key, headers and value as written.
    pub record: Record,
}

/// A bill as the source gave it, in an extracted topic.
///
/// Kafka key: the document key. Value: a JSON array of the bill's records, each an object with the members that the
/// source document of the flow declares; a nested source gives an array of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// Whose it is.
    pub tenant: Tenant,
    /// The flow that read it.
    pub flow: FlowName,
    /// The definition it is to be handled by.
    pub flow_version: FlowVersion,
    /// Its natural key in the source.
    pub document_key: DocumentKey,
    /// Which observation of it this is.
    pub version: Version,
    /// The digest of its content.
    pub digest: Digest,
    /// When it was created in the source, unix seconds; `None` when the source does not say.
    pub created: Option<i64>,
    /// `CURRENT_TIME` of the run that read it, unix seconds.
    pub run_time: i64,
    /// `LAST_SYNC_TIME` of the run that read it, unix seconds.
    pub run_since: i64,
    /// The trace that follows the document.
    pub trace: TraceParent,
    /// Set by a replay.
    pub replay: Option<String>,
    /// The records, as a JSON array.
    pub value: Vec<u8>,
}

/// A place in the extracted topic of a flow. Text form: `partition@offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtractedAt {
    /// Where in the topic.
    pub partition: i32,
    /// Where in the partition.
    pub offset: i64,
}

impl fmt::Display for ExtractedAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl FromStr for ExtractedAt {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (partition, offset) = text.split_once('@').ok_or(())?;
        Ok(Self { partition: partition.parse().map_err(|_| ())?, offset: offset.parse().map_err(|_| ())? })
    }
}

/// A bill as the target wants it, in a mapped topic.
///
/// Kafka key: the target key. Value: exactly one element of batchSave's `Model`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Whose it is.
    pub tenant: Tenant,
    /// The flow that carries it.
    pub flow: FlowName,
    /// The definition it was mapped by.
    pub flow_version: FlowVersion,
    /// Its natural key in the source.
    pub document_key: DocumentKey,
    /// What it is called in the target.
    pub target_key: TargetKey,
    /// Which observation of the source document this is.
    pub version: Version,
    /// The digest of the **source** content.
    pub digest: Digest,
    /// When it was created in the source, unix seconds; `None` when the source does not say.
    pub created: Option<i64>,
    /// Where its extracted record lies; `None` when it was made of none.
    pub source: Option<ExtractedAt>,
    /// The trace that follows the document.
    pub trace: TraceParent,
    /// Set by a replay.
    pub replay: Option<String>,
    /// The document.
    pub value: Vec<u8>,
}

fn timestamp_text(version: Version) -> String {
    // CloudEvents wants RFC 3339; the version is the observation time in microseconds unless the clock stood still.
    let micros = version.0;
    let (days, rest) = (micros / 86_400_000_000, micros % 86_400_000_000);
    let (year, month, day) = civil_from_days(days);
    let (hour, minute) = (rest / 3_600_000_000, rest / 60_000_000 % 60);
    let (second, micro) = (rest / 1_000_000 % 60, rest % 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z")
}

/// Days since 1970-01-01 as a date of the proleptic Gregorian calendar.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// What both records say of a document, whatever their value.
struct Common {
    tenant: Tenant,
    flow: FlowName,
    flow_version: FlowVersion,
    document_key: DocumentKey,
    version: Version,
    digest: Digest,
    created: Option<i64>,
    trace: TraceParent,
    replay: Option<String>,
}

impl Common {
    /// The headers of a record of type `kind` that `step` makes of the document under the key `subject`.
    fn headers(self, kind: &str, step: &str, subject: &str) -> Headers {
        let mut headers = Headers::new();
        headers
            .set("ce_specversion", "1.0")
            .set("ce_id", format!("{subject}@{}", self.version))
            .set("ce_source", format!("/{}/{}/{step}", self.tenant, self.flow))
            .set("ce_type", kind)
            .set("ce_subject", subject)
            .set("ce_time", timestamp_text(self.version))
            .set("content-type", "application/json")
            .set(TRACE, self.trace)
            .set("sb-tenant", self.tenant)
            .set("sb-flow", self.flow)
            .set("sb-flow-version", self.flow_version)
            .set("sb-document-key", self.document_key)
            .set("sb-version", self.version)
            .set("sb-digest", self.digest)
            .set_optional("sb-created", self.created)
            .set_optional(REPLAY, self.replay);
        headers
    }

    fn read(headers: &Headers) -> Result<Self, RecordError> {
        let (tenant, flow) = headers.read_owner()?;
        Ok(Self {
            tenant,
            flow,
            flow_version: headers.required("sb-flow-version")?.into(),
            document_key: headers.required("sb-document-key")?.into(),
            version: Version(headers.read("sb-version")?),
            digest: headers.read("sb-digest")?,
            created: headers.read_optional("sb-created")?,
            trace: headers.read(TRACE)?,
            replay: headers.get(REPLAY).map(str::to_owned),
        })
    }
}

impl Extracted {
    /// The record to write.
    pub fn into_record(self) -> Record {
        let Self { tenant, flow, flow_version, document_key, version, digest, created, trace, replay, .. } = self;
        let key = document_key.0.clone();
        let common = Common { tenant, flow, flow_version, document_key, version, digest, created, trace, replay };
        let mut headers = common.headers(TYPE_EXTRACTED, "source", &key);
        headers.set("sb-run-time", self.run_time).set("sb-run-since", self.run_since);
        Record { key: key.into_bytes(), headers, value: Some(self.value) }
    }

    /// Reads the record back.
    ///
    /// # Errors
    /// [`RecordError`] naming the header or value that is missing or does not read. The value's JSON is not parsed.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        let headers = &record.headers;
        let Common { tenant, flow, flow_version, document_key, version, digest, created, trace, replay } =
            Common::read(headers)?;
        Ok(Self {
            tenant,
            flow,
            flow_version,
            document_key,
            version,
            digest,
            created,
            run_time: headers.read("sb-run-time")?,
            run_since: headers.read("sb-run-since")?,
            trace,
            replay,
            value: record.value.clone().ok_or(RecordError::ValueMissing)?,
        })
    }

    /// The bill's records.
    ///
    /// # Errors
    /// [`RecordError::ValueUnreadable`] when the value is not a JSON array of objects.
    pub fn rows(&self) -> Result<Vec<Value>, RecordError> {
        let expected = "a JSON array of objects";
        let rows: Vec<Value> = serde_json::from_slice(&self.value)
            .map_err(|error| RecordError::ValueUnreadable { expected, detail: error.to_string() })?;
        match rows.iter().position(|row| !row.is_object()) {
            None => Ok(rows),
            Some(at) => Err(RecordError::ValueUnreadable { expected, detail: format!("element {at} is no object") }),
        }
    }
}

impl Mapped {
    /// The record to write.
    pub fn into_record(self) -> Record {
        let Self { tenant, flow, flow_version, document_key, version, digest, created, trace, replay, .. } = self;
        let common = Common { tenant, flow, flow_version, document_key, version, digest, created, trace, replay };
        let mut headers = common.headers(TYPE_MAPPED, "mapping", self.target_key.as_str());
        headers.set("sb-target-key", &self.target_key).set_optional("sb-source", self.source);
        Record { key: self.target_key.0.into_bytes(), headers, value: Some(self.value) }
    }

    /// Reads the record back.
    ///
    /// # Errors
    /// [`RecordError`] naming the header or value that is missing or does not read. The value's JSON is not parsed.
    pub fn from_record(record: &Record) -> Result<Self, RecordError> {
        let headers = &record.headers;
        let Common { tenant, flow, flow_version, document_key, version, digest, created, trace, replay } =
            Common::read(headers)?;
        Ok(Self {
            tenant,
            flow,
            flow_version,
            document_key,
            target_key: headers.required("sb-target-key")?.into(),
            version,
            digest,
            created,
            source: headers.read_optional("sb-source")?,
            trace,
            replay,
            value: record.value.clone().ok_or(RecordError::ValueMissing)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extracted() -> Extracted {
        Extracted {
            tenant: Tenant::default(),
            flow: FlowName::new("misc-inbound").expect("valid"),
            flow_version: "0123456789abcdef".into(),
            document_key: "QTRK-其他 '1'".into(),
            version: Version(1_710_403_200_000_001),
            digest: Digest([7; 16]),
            created: Some(1_710_000_000),
            run_time: 1_710_403_200,
            run_since: 0,
            trace: TraceParent { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
            replay: None,
            value: br#"[{"FBillNo":"A"}]"#.to_vec(),
        }
    }

    #[test]
    fn extracted_records_survive_the_topic() {
        let record = extracted().into_record();
        assert_eq!(record.headers.get("ce_time"), Some("2024-03-14T08:00:00.000001Z"));
        assert_eq!(Extracted::from_record(&record), Ok(extracted()));
    }

    #[test]
    fn mapped_records_survive_the_topic() {
        let e = extracted();
        let mapped = Mapped {
            tenant: e.tenant,
            flow: e.flow,
            flow_version: e.flow_version,
            document_key: e.document_key,
            target_key: "B-1".into(),
            version: e.version,
            digest: e.digest,
            created: None,
            source: Some(ExtractedAt { partition: 3, offset: 17 }),
            trace: e.trace,
            replay: Some("r1".to_owned()),
            value: b"{}".to_vec(),
        };
        assert_eq!(Mapped::from_record(&mapped.clone().into_record()), Ok(mapped));
    }

    #[test]
    fn a_missing_or_unreadable_header_is_named() {
        let mut record = extracted().into_record();
        record.headers.set("sb-version", "twelve");
        assert_eq!(
            Extracted::from_record(&record),
            Err(RecordError::HeaderUnreadable { name: "sb-version", text: "twelve".to_owned() })
        );
        record.headers = Headers::new();
        assert_eq!(Extracted::from_record(&record), Err(RecordError::HeaderMissing("sb-tenant")));
    }

    #[test]
    fn rows_are_objects() {
        let mut bill = extracted();
        assert_eq!(bill.rows().map(|rows| rows.len()), Ok(1));
        bill.value = b"[1]".to_vec();
        assert!(
            matches!(bill.rows(), Err(RecordError::ValueUnreadable { detail, .. }) if detail.contains("element 0"))
        );
    }
    fn labels() -> impl Strategy<Value = String> {
        "[a-z0-9][a-z0-9-]{0,5}[a-z0-9]"
    }

    fn traces() -> impl Strategy<Value = TraceParent> {
        // Ids of nothing but zeros are no ids.
        any::<([u8; 16], [u8; 8], u8)>().prop_map(|(trace_id, span_id, flags)| TraceParent {
            trace_id: trace_id.map(|byte| byte | 1),
            span_id: span_id.map(|byte| byte | 1),
            flags,
        })
    }

    prop_compose! {
        fn bills()(
            (tenant, flow) in (labels(), labels()),
            (flow_version, document_key) in (".{0,8}", ".{0,8}"),
            (version, digest, created) in any::<(u64, [u8; 16], Option<i64>)>(),
            (run_time, run_since) in any::<(i64, i64)>(),
            trace in traces(),
            replay in prop::option::of(".{0,8}"),
            value in prop::collection::vec(any::<u8>(), 0..16),
        ) -> Extracted {
            Extracted {
                tenant: Tenant::new(tenant).expect("valid"),
                flow: FlowName::new(flow).expect("valid"),
                flow_version: flow_version.as_str().into(),
                document_key: document_key.as_str().into(),
                version: Version(version),
                digest: Digest(digest),
                created,
                run_time,
                run_since,
                trace,
                replay,
                value,
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn any_bill_of_the_source_survives_the_topic(bill in bills()) {
            prop_assert_eq!(Extracted::from_record(&bill.clone().into_record()), Ok(bill));
        }

        #[test]
        fn any_bill_for_the_target_survives_the_topic(
            Extracted { tenant, flow, flow_version, document_key, version, digest, created, trace, replay, value, .. } in bills(),
            target_key in ".{0,8}",
            source in any::<Option<(i32, i64)>>(),
        ) {
            let target_key = target_key.as_str().into();
            let source = source.map(|(partition, offset)| ExtractedAt { partition, offset });
            let bill = Mapped {
                tenant, flow, flow_version, document_key, target_key, version, digest, created, source, trace, replay, value,
            };
            prop_assert_eq!(Mapped::from_record(&bill.clone().into_record()), Ok(bill));
        }
    }
}
