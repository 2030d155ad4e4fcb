//! What this release writes, from fixed inputs, by the encoders of the services.

use std::num::NonZeroU32;

use chrono::{DateTime, TimeDelta, Utc};
use control::access::{Binding, KeyRing, Role, Scope, SigningKey};
use control::audit::{self, Deed, Hash, Head, Outcome, SignedHead};
use control::core::job::{Begin, Counts, Fate, Item, Job, Options, Replay, Status, Under};
use control::letter::{Edit, LetterEvent, State};
use control::mirror::{Answer, Revoked, Writer, binding_key};
use document::{
    BackfillId, BackfillMark, BackfillMarks, Category, Code, DeadLetter, DeadLetterId, Digest, Extracted, ExtractedAt,
    FlowName, Headers, Mapped, Record, Stage, Tenant, TraceParent, Version,
};
use extractor::core::checkpoint::{Checkpoint, FORMAT, Part, ScanMark, Window, WindowMark};
use extractor::core::key::Key;
use extractor::core::seen::{Seen, SeenDocument, seen_key};
use loader::core::ledger::{self, Dropped, End, Entry, InTarget, Intended, Intent, Reached, Since};
use queue::{Canary, Paused, registry};
use secrecy::SecretString;
use serde::Serialize;

/// The private key of RFC 8410, section 10.3.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
                   -----END PRIVATE KEY-----\n";

pub(crate) fn keys() -> KeyRing {
    KeyRing::new(SigningKey::from_pem(&SecretString::from(KEY)).expect("a key"))
}

pub(crate) fn all() -> Vec<(&'static str, Vec<Record>)> {
    vec![
        ("extracted", vec![extracted().into_record()]),
        ("mapped", vec![mapped().into_record()]),
        ("ledger", ledger()),
        ("dead-letters", letters().into_iter().map(DeadLetter::into_record).collect()),
        ("dead-letter-events", events()),
        ("control", control()),
        ("audit", audit()),
        ("flows", flows()),
        ("extract-state", states()),
        ("extract-seen", seen()),
    ]
}

fn flow() -> FlowName {
    FlowName::new("misc-inbound").expect("valid")
}

fn trace() -> TraceParent {
    TraceParent { trace_id: [0x4b; 16], span_id: [0x0a; 8], flags: 1 }
}

fn extracted() -> Extracted {
    Extracted {
        tenant: Tenant::default(),
        flow: flow(),
        flow_version: "0011223344556677".into(),
        document_key: "其他入库 '1'".into(),
        version: Version(1_767_225_600_000_001),
        digest: Digest([0x11; 16]),
        created: Some(1_767_139_200),
        run_time: 1_767_225_600,
        run_since: 1_767_222_000,
        trace: trace(),
        replay: None,
        value: r#"[{"FBillNo":"其他入库 '1'","FQty":273.0700000000}]"#.into(),
    }
}

fn mapped() -> Mapped {
    Mapped {
        tenant: Tenant::default(),
        flow: flow(),
        flow_version: "0011223344556677".into(),
        document_key: "其他入库 '1'".into(),
        target_key: "QTRK-1".into(),
        version: Version(1_767_225_600_000_001),
        digest: Digest([0x11; 16]),
        created: Some(1_767_139_200),
        source: Some(ExtractedAt { partition: 2, offset: 41 }),
        trace: trace(),
        replay: Some("job-1".to_owned()),
        value: r#"{"FBillNo":"QTRK-1","FEntity":[{"FQty":273.0700000000}]}"#.into(),
    }
}

fn ledger() -> Vec<Record> {
    let begun = |document: &str, version, at| {
        Entry::begun(document.into(), Version(version), "0011223344556677".into(), Digest([0x11; 16]), at)
    };
    let mut applied = begun("其他入库 '1'", 8, 1_767_225_601_000);
    applied.end = Some(End::Applied);
    applied.replays = vec!["job-1".to_owned()];
    applied.attempts = 2;
    applied.first_failed_at = Some(1_767_225_600_500);
    applied.target = Some(InTarget {
        id: "100041".to_owned(),
        version: Version(8),
        digest: Digest([0x11; 16]),
        reached: Reached::Audited,
    });
    applied.dropped = Some(Dropped { version: Version(7), replay: "job-0".to_owned() });
    applied.changed = Some(Version(9));
    let mut doubted = begun("其他入库 '2'", 5, 1_767_225_602_000);
    doubted.end = Some(End::InDoubt);
    doubted.letter = Some(letter_id(1).0);
    doubted.code = Some(Code::InDoubt);
    let document = Intended {
        key: "QTRK-3".into(),
        version: Version(6),
        digest: Digest([0x33; 16]),
        offset: 17,
        first: 1_767_225_603_000,
    };
    vec![
        ledger::record(ledger::SINCE_KEY.to_owned(), &Since::new(1_767_000_000_000)),
        ledger::record(ledger::entry_key(&"QTRK-1".into()), &applied),
        ledger::record(ledger::entry_key(&"QTRK-2".into()), &doubted),
        ledger::record(ledger::intent_key("b-1"), &Intent::new(1_767_225_603_000, 5_000, vec![document])),
        ledger::tombstone(ledger::intent_key("b-0")),
    ]
}

fn letter_id(number: usize) -> DeadLetterId {
    letters()[number].id()
}

fn letters() -> Vec<DeadLetter> {
    let record = mapped().into_record();
    let whole = DeadLetter {
        tenant: Tenant::default(),
        flow: flow(),
        flow_version: "0011223344556677".into(),
        document_key: "其他入库 '1'".into(),
        version: Version(8),
        stage: Stage::Load,
        category: Category::ReferenceMissing,
        code: Code::ReferenceMissing,
        message: "物料 \"M-1\" 不存在".to_owned(),
        field: Some("FMaterialId".to_owned()),
        origin: Some(("starbridge.misc-inbound.mapped".to_owned(), 2, 41)),
        origin_timestamp: Some(1_767_225_600_100),
        attempts: 2,
        first_failed_at: 1_767_225_600_500,
        last_failed_at: 1_767_225_601_000,
        retry_at: Some(1_767_225_661_000),
        replay: Some("job-1".to_owned()),
        trace: Some(trace()),
        headers: DeadLetter::headers_of(&record.headers),
        claim_check: false,
        body: record.value.expect("a value"),
    };
    let doubted = DeadLetter {
        document_key: "其他入库 '2'".into(),
        version: Version(5),
        category: Category::InDoubt,
        code: Code::InDoubt,
        retry_at: None,
        replay: None,
        ..whole.clone()
    };
    let of_source = DeadLetter {
        document_key: "其他入库 '3'".into(),
        version: Version(4),
        stage: Stage::Extract,
        category: Category::Validation,
        code: Code::RecordUnreadable,
        field: None,
        origin: None,
        origin_timestamp: None,
        attempts: 1,
        trace: None,
        headers: Headers::new(),
        body: b"{}".to_vec(),
        ..doubted.clone()
    };
    let checked = DeadLetter { document_key: "其他入库 '4'".into(), ..whole.clone() }.without_body();
    vec![whole, doubted, of_source, checked]
}

fn events() -> Vec<Record> {
    let at = 1_767_225_700_000;
    let mut edited = LetterEvent::new(State::Replaying, 2, "wang", at);
    edited.replay = Some("job-1".to_owned());
    edited.claimed_by = Some("li".to_owned());
    edited.reason = Some("物料已建".to_owned());
    edited.edit = Some(Edit {
        rev: 3,
        body: r#"{"FBillNo":"QTRK-1","FQty":1.50}"#.into(),
        by: "li".to_owned(),
        at: at - 1_000,
        reason: "typo".to_owned(),
    });
    edited.flow_version = Some("8899aabbccddeeff".into());
    let mut bytes = LetterEvent::new(State::Parked, 1, "control", at);
    bytes.edit = Some(Edit { rev: 1, body: vec![0xff, 0x00], by: "li".to_owned(), at, reason: String::new() });
    let discarded = LetterEvent::new(State::Discarded, 1, "wang", at);
    vec![edited.record(&letter_id(0)), bytes.record(&letter_id(1)), discarded.record(&letter_id(2))]
}

fn instant() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_767_225_600_123).expect("a time")
}

fn control() -> Vec<Record> {
    fn kept(key: &str, value: &impl Serialize) -> Record {
        let value = Some(serde_json::to_vec(value).expect("JSON"));
        Record { key: key.as_bytes().to_vec(), headers: Headers::new(), value }
    }
    let job = Job {
        id: "job-1".to_owned(),
        by: "wang".to_owned(),
        created_at: 1_767_225_700_000,
        reason: "物料已建".to_owned(),
        selector: "category = reference_missing".to_owned(),
        options: Options {
            rate: 20.0,
            under: Under::Version("8899aabbccddeeff".to_owned()),
            from: Begin::Transform,
            attempt_cap: 3,
            stop_on_failure_ratio: 0.2,
            verdict: Some("absent".to_owned()),
        },
        status: Status::Paused,
        counts: Counts::default(),
        ended_at: None,
        note: "paused by wang".to_owned(),
        timed: false,
        approval: None,
    };
    let item = |number: usize| Item {
        id: letter_id(number),
        flow: flow(),
        document: letters()[number].document_key.clone(),
        fate: Fate::Waiting,
        published_at: None,
        why: String::new(),
        edit: 0,
    };
    let mut replay = Replay::new(job, vec![item(0), item(1)]);
    replay.note_published(0, 1_767_225_701_000);
    replay.note(1, Fate::Skipped, "in doubt".to_owned());
    let mut records: Vec<Record> = replay
        .write()
        .into_iter()
        .map(|(key, value)| Record { key: key.into_bytes(), headers: Headers::new(), value })
        .collect();
    let binding = Binding {
        principal: "wang".to_owned(),
        role: Role::Operator,
        scope: Scope::of_flow("default", "misc-inbound"),
    };
    let head = Head { seq: 2, hash: Hash::of(b"an entry") };
    records.extend([
        kept(&binding_key(&binding), &binding),
        kept("revoked/t-1", &Revoked { expires: instant() + TimeDelta::hours(12) }),
        kept("writer", &Writer { member: "control-0".to_owned(), address: "control-0:9443".to_owned() }),
        kept("answer/a-1", &Answer { digest: Hash::ZERO.to_string(), response: "CAE=".to_owned(), at: 5 }),
        kept("chain", &head),
        kept("signed-head", &SignedHead::sign(&head, instant(), &keys())),
    ]);
    records
}

fn audit() -> Vec<Record> {
    let deed = |object: &str, result| Deed {
        time: instant(),
        actor: "wang".to_owned(),
        role: Some(Role::Operator),
        action: "starbridge.control.v1.DeadLetterService/DiscardDeadLetters".to_owned(),
        object: object.to_owned(),
        scope: Scope::of_flow("default", "misc-inbound"),
        params_digest: Hash::of(b"parameters"),
        reason: "客户 \"已确认\"".to_owned(),
        result,
        request_id: "r-1".to_owned(),
    };
    let first = audit::append(&Head::GENESIS, deed("dead_letter/1", Outcome::Done));
    let second = audit::append(&first.head(), Deed { role: None, ..deed("dead_letter/2", Outcome::Denied) });
    let record = |entry: audit::Entry| Record {
        key: entry.seq.to_string().into_bytes(),
        headers: Headers::new(),
        value: Some(entry.encode()),
    };
    vec![record(first), record(second)]
}

fn flows() -> Vec<Record> {
    let bundle = flow::FlowBundle {
        flow: "flow = \"misc-inbound\"\n".to_owned(),
        source: "{}".to_owned(),
        target: "{}".to_owned(),
        collections: [("BD_STOCK".to_owned(), "[]".to_owned())].into(),
    };
    let paused = Paused { by: "wang".to_owned(), reason: "盘点".to_owned(), at: 1_767_225_600_000 };
    let mut records = registry::publishing(&flow(), &bundle).to_vec();
    records.push(registry::pausing(&flow(), Some(&paused)));
    let canary = Canary {
        version: "0123456789abcdef".into(),
        percent: 5,
        abort_above: 0.25,
        least: 20,
        by: "wang".to_owned(),
        reason: "新映射".to_owned(),
        at: 1_767_225_600_000,
    };
    records.push(registry::trying(&flow(), Some(&canary)));
    records
}

fn states() -> Vec<Record> {
    let scan = ScanMark { t0: Some(9), run_time: 8, since: 7, cursor: Some(Key::Text("其他入库 '1'".to_owned())) };
    let backfill = BackfillId::new(0xab);
    let mut backfills = BackfillMarks::default();
    backfills.note(backfill, |mark| {
        *mark = BackfillMark { read_to: Some(100), emitted: 7, unchanged: 5, letters: 1, at: 1_767_225_600 };
    });
    let whole = Checkpoint {
        format: FORMAT,
        watermark: 1_767_225_600,
        last_version: Some(Version(1_767_225_600_000_001)),
        granted: Some(Version(1_767_225_601_000_001)),
        config: "00112233".to_owned(),
        scan: Some(scan.clone()),
        fired: Some(1_767_225_500),
        looked_back: Some(1_767_200_000),
        completed: Some(1_767_225_400),
        window: Some(WindowMark {
            window: Window {
                from: 100,
                to: 200,
                again: true,
                part: Some(Part { backfill, rate: NonZeroU32::new(60) }),
            },
            config: "44556677".to_owned(),
            scan: ScanMark { cursor: Some(Key::Integer(501)), ..scan },
        }),
        backfills,
    };
    let record = |key: &str, checkpoint: &Checkpoint| Record {
        key: key.as_bytes().to_vec(),
        headers: Headers::new(),
        value: Some(checkpoint.to_bytes()),
    };
    vec![record("misc-inbound", &whole), record("quiet", &Checkpoint::new(1_767_139_200, "8899"))]
}

fn seen() -> Vec<Record> {
    let document = SeenDocument {
        key: "其他入库 '1'".into(),
        digest: Digest([0x11; 16]),
        version: Version(8),
        changed_after_load: Some(Digest([0x22; 16])),
    };
    let seen = Seen {
        stamp: Some("2026-01-01T08:00:00".to_owned()),
        documents: vec![document],
        missing: 1,
        retracted: true,
        ..Seen::new(Key::Integer(501))
    };
    let record = |seen: &Seen| Record {
        key: seen_key(&flow(), &seen.id).into_bytes(),
        headers: Headers::new(),
        value: Some(seen.to_bytes()),
    };
    vec![record(&seen), record(&Seen::new(Key::Text("a-1".to_owned())))]
}
