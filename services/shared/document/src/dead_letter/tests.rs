use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::record::{Extracted, ExtractedAt, Mapped};

fn letter() -> DeadLetter {
    DeadLetter {
        tenant: Tenant::default(),
        flow: FlowName::new("misc-inbound").expect("valid"),
        flow_version: "v".into(),
        document_key: "A".into(),
        version: Version(3),
        stage: Stage::Load,
        category: Category::ReferenceMissing,
        code: Code::ReferenceMissing,
        message: "编码值[\"M1\"]不存在".to_owned(),
        field: Some("FMATERIALID".to_owned()),
        origin: Some(("starbridge.misc-inbound.mapped".to_owned(), 2, 17)),
        origin_timestamp: Some(5),
        attempts: 1,
        first_failed_at: 10,
        last_failed_at: 11,
        retry_at: Some(70),
        replay: None,
        trace: None,
        headers: [("sb-target-key", "B-1"), ("sb-replay", "r1")].into_iter().collect(),
        claim_check: false,
        body: b"\xff not even text".to_vec(),
    }
}

#[test]
fn letters_survive_the_topic_with_their_bytes() {
    assert_eq!(DeadLetter::from_record(&letter().into_record()), Ok(letter()));
}

#[test]
fn the_same_failure_keeps_its_id_and_another_stage_has_its_own() {
    let mut again = letter();
    again.attempts = 2;
    again.last_failed_at = 99;
    assert_eq!(again.id(), letter().id());
    again.stage = Stage::Audit;
    assert_ne!(again.id(), letter().id());
}

#[test]
fn a_letter_whose_id_is_not_its_own_is_refused() {
    let mut record = letter().into_record();
    record.headers.set("dl-record-key", "B");
    assert!(matches!(DeadLetter::from_record(&record), Err(RecordError::HeaderUnreadable { name: "dl-id", .. })));
}

#[test]
fn a_letter_whose_body_stays_where_it_lies_says_where_and_cannot_be_replayed() {
    let checked = letter().without_body();
    assert_eq!(checked.clone().without_body(), checked);
    let record = checked.clone().into_record();
    assert_eq!(record.headers.get("dl-claim-check"), Some("starbridge.misc-inbound.mapped/2@17"));
    let body: serde_json::Value = serde_json::from_slice(&checked.body).expect("JSON");
    assert_eq!((&body["topic"], &body["partition"]), (&"starbridge.misc-inbound.mapped".into(), &2.into()));
    assert_eq!((&body["offset"], &body["bytes"]), (&17.into(), &15.into()));
    assert_eq!(body["digest"], Digest::of_bytes(b"\xff not even text").to_string());
    assert_eq!(DeadLetter::from_record(&record).as_ref(), Ok(&checked));
    assert_eq!(checked.original(), None);
}

#[test]
fn letters_of_the_source_and_those_written_without_headers_have_no_original() {
    let mut source = letter();
    source.stage = Stage::Extract;
    assert_eq!(source.original(), None);
    let without = DeadLetter { headers: Headers::new(), ..letter() };
    assert_eq!(without.original(), None);
    let without_place = DeadLetter { origin: None, ..letter() };
    assert_eq!(without_place.clone().without_body(), without_place);
}

/// Header by header, in whatever order.
fn sorted(headers: &Headers) -> Vec<(String, String)> {
    let mut sorted: Vec<_> = headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    sorted.sort();
    sorted
}

/// What a replay or a person adds to a record for one attempt.
fn attempt() -> impl Strategy<Value = Vec<(&'static str, String)>> {
    proptest::sample::subsequence(vec![(REPLAY, "job-1".to_owned()), (VERDICT, "absent".to_owned())], 0..=2)
}

/// Headers of other hands, among them such as a letter would write.
fn foreign() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::vec(("(x|dl)-[a-z]{1,8}", ".{0,6}"), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_record_that_failed_in_any_step_is_rebuilt_from_the_topic(
        stage in proptest::sample::select(vec![Stage::Transform, Stage::Load, Stage::Submit, Stage::Audit]),
        (document, target) in (".{1,12}", ".{1,12}"),
        (version, digest) in (any::<u64>(), any::<[u8; 16]>()),
        created in proptest::option::of(any::<i64>()),
        source in proptest::option::of((any::<i32>(), any::<i64>())),
        (run_time, run_since) in (any::<i64>(), any::<i64>()),
        (trace_id, span_id) in (any::<[u8; 16]>(), any::<[u8; 8]>()),
        body in proptest::collection::vec(any::<u8>(), 0..16),
        (foreign, attempt) in (foreign(), attempt()),
    ) {
        let (trace_id, span_id) = (trace_id.map(|byte| byte | 1), span_id.map(|byte| byte | 1));
        let trace = TraceParent { trace_id, span_id, flags: 1 };
        let tenant = Tenant::default();
        let flow = FlowName::new("misc-inbound").expect("valid");
        let published = if stage == Stage::Transform {
            Extracted {
                tenant, flow, flow_version: "v".into(), document_key: document.as_str().into(),
                version: Version(version), digest: Digest(digest), created, run_time, run_since, trace,
                replay: None, value: body,
            }.into_record()
        } else {
            Mapped {
                tenant, flow, flow_version: "v".into(), document_key: document.as_str().into(),
                target_key: target.as_str().into(), version: Version(version), digest: Digest(digest), created,
                source: source.map(|(partition, offset)| ExtractedAt { partition, offset }), trace,
                replay: None, value: body,
            }.into_record()
        };
        let mut failed = published.clone();
        for (name, value) in foreign.iter().map(|(n, v)| (n.as_str(), v)).chain(attempt.iter().map(|(n, v)| (*n, v))) {
            failed.headers.set(name, value);
        }
        let letter = DeadLetter {
            stage,
            document_key: document.as_str().into(),
            version: Version(version),
            trace: Some(trace),
            headers: DeadLetter::headers_of(&failed.headers),
            body: failed.value.clone().expect("a body"),
            ..letter()
        };

        let read = DeadLetter::from_record(&letter.clone().into_record()).expect("a letter");
        prop_assert_eq!(&read, &letter);
        let original = read.original().expect("nothing of it is missing");
        let mut expected = published;
        for (name, value) in foreign.iter().filter(|(name, _)| !name.starts_with("dl-")) {
            expected.headers.set(name, value);
        }
        prop_assert_eq!(sorted(&original.headers), sorted(&expected.headers));
        prop_assert_eq!((original.key, original.value), (expected.key, expected.value));
    }
}
