//! What release 0.1 wrote, as every later one must read it. Written out by hand.

use control::access::{Binding, Role, Scope};
use control::audit::{Entry, Head, Outcome, SignedHead, prove};
use control::core::job::{Begin, Chunk, Fate, Job, Status, Under};
use control::index::{Ended, Index, List, Order, Reached};
use control::letter::{LetterEvent, State};
use control::mirror::{Answer, Mirror, Writer};
use control::selector::Selector;
use document::{
    Category, Code, DeadLetter, DeadLetterId, Digest, Extracted, FlowName, Mapped, Received, Stage, Version,
};
use extractor::core::checkpoint::Checkpoint;
use extractor::core::key::Key;
use extractor::core::seen::Seen;
use flow::FlowBundle;
use loader::core::ledger::{self, End, Intent, Since};
use queue::{Canary, Paused};

use super::lines::Lines;
use super::made;

/// Records of a topic of release 0.1, and the same as a newer one might write them.
pub(crate) fn both(name: &str, topic: &str) -> [Vec<Received>; 2] {
    let lines = Lines::read("0.1", name);
    [lines.received(topic), lines.newer().received(topic)]
}

fn value(received: &Received) -> &[u8] {
    received.record.value.as_deref().expect("a value")
}

const EXTRACTED: &str = "starbridge.misc-inbound.extracted";
const MAPPED: &str = "starbridge.misc-inbound.mapped";
const LEDGER: &str = "starbridge.misc-inbound.ledger";

#[test]
fn documents_on_their_way_are_read() {
    for [one] in both("extracted", EXTRACTED).map(|records| <[Received; 1]>::try_from(records).expect("one")) {
        let read = Extracted::from_record(&one.record).expect("readable");
        assert_eq!((read.tenant.as_str(), read.flow.as_str()), ("default", "misc-inbound"));
        assert_eq!((read.flow_version.as_str(), read.document_key.as_str()), ("0011223344556677", "其他入库 '1'"));
        assert_eq!((read.version, read.digest), (Version(1_767_225_600_000_001), Digest([0x11; 16])));
        assert_eq!((read.created, read.run_time, read.run_since), (Some(1_767_139_200), 1_767_225_600, 1_767_222_000));
        let trace = "00-4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b-0a0a0a0a0a0a0a0a-01";
        assert_eq!((read.trace.to_string().as_str(), read.replay.as_deref()), (trace, None));
        let rows = read.rows().expect("rows");
        assert_eq!(rows[0]["FQty"].to_string(), "273.0700000000");
    }
    for [one] in both("mapped", MAPPED).map(|records| <[Received; 1]>::try_from(records).expect("one")) {
        let read = Mapped::from_record(&one.record).expect("readable");
        assert_eq!((read.target_key.as_str(), read.document_key.as_str()), ("QTRK-1", "其他入库 '1'"));
        assert_eq!((read.version, read.digest), (Version(1_767_225_600_000_001), Digest([0x11; 16])));
        assert_eq!(read.source.map(|source| (source.partition, source.offset)), Some((2, 41)));
        assert_eq!((read.created, read.replay.as_deref()), (Some(1_767_139_200), Some("job-1")));
        let document: serde_json::Value = serde_json::from_slice(&read.value).expect("JSON");
        assert_eq!(document["FEntity"][0]["FQty"].to_string(), "273.0700000000");
    }
}

#[test]
fn the_ledger_is_read_by_the_loader() {
    for records in both("ledger", LEDGER) {
        let read = |number: usize| (String::from_utf8_lossy(&records[number].record.key), value(&records[number]));
        let (key, bytes) = read(0);
        let since: Since = ledger::read(&key, bytes).expect("readable");
        assert_eq!((key.as_ref(), since.at), ("since", 1_767_000_000_000));

        let (key, bytes) = read(1);
        let applied: ledger::Entry = ledger::read(&key, bytes).expect("readable");
        assert_eq!((key.as_ref(), applied.document.as_str()), ("doc/QTRK-1", "其他入库 '1'"));
        assert_eq!((applied.version, applied.end, applied.attempts), (Version(8), Some(End::Applied), 2));
        assert_eq!((applied.flow_version.as_str(), applied.digest), ("0011223344556677", Digest([0x11; 16])));
        assert_eq!((applied.replays, applied.changed), (vec!["job-1".to_owned()], Some(Version(9))));
        assert_eq!((applied.first_failed_at, applied.at), (Some(1_767_225_600_500), 1_767_225_601_000));
        let target = applied.target.expect("in the target");
        assert_eq!(
            (target.id.as_str(), target.version, target.reached),
            ("100041", Version(8), ledger::Reached::Audited)
        );
        let dropped = applied.dropped.expect("dropped one");
        assert_eq!((dropped.version, dropped.replay.as_str()), (Version(7), "job-0"));

        let (key, bytes) = read(2);
        let doubted: ledger::Entry = ledger::read(&key, bytes).expect("readable");
        assert_eq!((doubted.end, doubted.code), (Some(End::InDoubt), Some(Code::InDoubt)));

        let (key, bytes) = read(3);
        let intent: Intent = ledger::read(&key, bytes).expect("readable");
        assert_eq!((key.as_ref(), intent.at, intent.send_within), ("intent/b-1", 1_767_225_603_000, 5_000));
        let [document] = intent.documents.as_slice() else { panic!("{:?}", intent.documents) };
        assert_eq!((document.key.as_str(), document.version, document.offset), ("QTRK-3", Version(6), 17));
        assert_eq!((document.digest, document.first), (Digest([0x33; 16]), 1_767_225_603_000));

        assert_eq!((records[4].record.key.as_slice(), &records[4].record.value), (&b"intent/b-0"[..], &None));
    }
}

#[test]
fn dead_letters_are_read_and_can_be_published_again() {
    for records in both("dead-letters", "starbridge.dead-letters") {
        let letters: Vec<DeadLetter> =
            records.iter().map(|one| DeadLetter::from_record(&one.record).expect("readable")).collect();
        let [whole, doubted, of_source, checked] = letters.as_slice() else { panic!("{letters:?}") };
        assert_eq!(
            (whole.document_key.as_str(), whole.version, whole.stage),
            ("其他入库 '1'", Version(8), Stage::Load)
        );
        assert_eq!((whole.category, whole.code), (Category::ReferenceMissing, Code::ReferenceMissing));
        assert_eq!((whole.message.as_str(), whole.field.as_deref()), ("物料 \"M-1\" 不存在", Some("FMaterialId")));
        assert_eq!(whole.origin, Some((MAPPED.to_owned(), 2, 41)));
        assert_eq!((whole.origin_timestamp, whole.attempts), (Some(1_767_225_600_100), 2));
        assert_eq!((whole.first_failed_at, whole.last_failed_at), (1_767_225_600_500, 1_767_225_601_000));
        assert_eq!((whole.retry_at, whole.replay.as_deref()), (Some(1_767_225_661_000), Some("job-1")));
        let original = whole.original().expect("a record to publish");
        assert_eq!(original.key, b"QTRK-1");
        assert_eq!(
            (original.headers.get("sb-version"), original.headers.get("sb-replay")),
            (Some("1767225600000001"), None)
        );
        assert_eq!(original.headers.get("sb-source"), Some("2@41"));
        assert_eq!(doubted.category, Category::InDoubt);
        assert_eq!((of_source.stage, &of_source.origin, of_source.trace), (Stage::Extract, &None, None));
        assert!(of_source.original().is_none() && checked.original().is_none() && checked.claim_check);
    }
}

#[test]
fn what_became_of_letters_is_read() {
    for records in both("dead-letter-events", "starbridge.dead-letter-events") {
        let events: Vec<LetterEvent> =
            records.iter().map(|one| LetterEvent::read(value(one)).expect("readable")).collect();
        let [edited, bytes, discarded] = events.as_slice() else { panic!("{events:?}") };
        assert_eq!((edited.state, edited.attempts, edited.by.as_str()), (State::Replaying, 2, "wang"));
        assert_eq!((edited.replay.as_deref(), edited.claimed_by.as_deref()), (Some("job-1"), Some("li")));
        assert_eq!((edited.reason.as_deref(), edited.at), (Some("物料已建"), 1_767_225_700_000));
        assert_eq!(edited.flow_version.as_ref().map(|version| version.as_str()), Some("8899aabbccddeeff"));
        let edit = edited.edit.as_ref().expect("an edit");
        assert_eq!((edit.rev, edit.by.as_str(), edit.reason.as_str()), (3, "li", "typo"));
        assert_eq!((edit.body.as_slice(), edit.at), (&br#"{"FBillNo":"QTRK-1","FQty":1.50}"#[..], 1_767_225_699_000));
        assert_eq!(
            (bytes.state, bytes.edit.as_ref().map(|edit| edit.body.as_slice())),
            (State::Parked, Some(&[0xff, 0][..]))
        );
        assert_eq!((discarded.state, &discarded.edit), (State::Discarded, &None));
    }
}

#[test]
fn the_index_takes_all_of_it() {
    let topics = [
        ("dead-letters", "starbridge.dead-letters"),
        ("dead-letter-events", "starbridge.dead-letter-events"),
        ("ledger", LEDGER),
    ];
    for which in [0, 1] {
        let folder = tempfile::TempDir::new().expect("a scratch folder");
        let index = Index::open(&folder.path().join("index")).expect("opened");
        for (name, topic) in topics {
            let applied = index.apply(&both(name, topic)[which]).expect("taken in");
            assert_eq!(applied.unreadable, 0, "{name}");
        }
        let selector = Selector::all();
        let now = 1_767_225_800_000;
        let list =
            List { selector: &selector, order: Order::Document, descending: false, page_token: None, limit: 9, now };
        let rows = index.list(&list).expect("a list").items;
        let told: Vec<_> = rows.iter().map(|row| (row.document.as_str(), row.state, row.is_edited())).collect();
        let expected = [
            ("其他入库 '1'", Some(State::Replaying), true),
            ("其他入库 '2'", Some(State::Parked), true),
            ("其他入库 '3'", Some(State::Discarded), false),
            ("其他入库 '4'", Some(State::Open), false),
        ];
        assert_eq!(told, expected);
        assert_eq!((rows[0].claimed_by.as_deref(), rows[0].replay.as_deref()), (Some("li"), Some("job-1")));
        let flow = FlowName::new("misc-inbound").expect("valid");
        let ends = index.ends_of_target(&"QTRK-1".into(), Some(&flow)).expect("ends");
        assert_eq!(ends[0].entry.end, Some(Ended::Applied));
        assert_eq!(ends[0].entry.target.as_ref().map(|target| target.reached), Some(Reached::Audited));
        let unfinished = index.unfinished(&flow).expect("counts");
        assert_eq!((unfinished.intents, unfinished.in_doubt), (1, 1));
    }
}

#[test]
fn what_the_control_plane_remembers_is_read() {
    for records in both("control", "starbridge.control") {
        let mirror = Mirror::default();
        mirror.apply(&records);
        let job: Job = mirror.job("job-1").expect("a job");
        assert_eq!((job.by.as_str(), job.status, job.options.from), ("wang", Status::Paused, Begin::Transform));
        assert_eq!((job.options.rate, job.options.attempt_cap), (20.0, 3));
        assert_eq!(job.options.under, Under::Version("8899aabbccddeeff".to_owned()));
        assert_eq!((job.options.verdict.as_deref(), job.note.as_str()), (Some("absent"), "paused by wang"));
        assert_eq!((job.counts.total, job.counts.published, job.counts.skipped), (2, 1, 1));
        let chunks: Vec<Chunk> = mirror.chunks("job-1");
        let fates: Vec<_> = chunks[0].items.iter().map(|item| (item.fate, item.published_at)).collect();
        assert_eq!(fates, [(Fate::Published, Some(1_767_225_701_000)), (Fate::Skipped, None)]);
        assert_eq!(mirror.get::<Writer>("writer").map(|writer| writer.address).as_deref(), Some("control-0:9443"));
        assert_eq!(
            mirror.get::<Answer>("answer/a-1").map(|answer| (answer.response, answer.at)),
            Some(("CAE=".to_owned(), 5))
        );
        assert_eq!(mirror.get::<Head>("chain").map(|head| head.seq), Some(2));
        let signed: SignedHead = mirror.get("signed-head").expect("a head");
        assert_eq!(signed.check(&made::keys(), chrono::DateTime::UNIX_EPOCH).map(|head| head.seq), Ok(2));
        mirror.heard_all_to(chrono::DateTime::UNIX_EPOCH);
        assert!(mirror.revocations().is_revoked("t-1", "wang", chrono::DateTime::UNIX_EPOCH));
    }
    // A role is read whole or not at all: a member that is not known here might take from what it grants.
    let [known, newer] = both("control", "starbridge.control").map(|records| {
        let mirror = Mirror::default();
        mirror.apply(&records);
        mirror.bindings()
    });
    let scope = Scope::of_flow("default", "misc-inbound");
    assert_eq!(known, [Binding { principal: "wang".to_owned(), role: Role::Operator, scope }]);
    assert_eq!(newer, []);
}

#[test]
fn the_audit_trail_is_whole() {
    let [records, _] = both("audit", "starbridge.audit");
    let bytes: Vec<&[u8]> = records.iter().map(value).collect();
    let proof = prove(&bytes, false, &[], &made::keys(), chrono::DateTime::UNIX_EPOCH);
    assert_eq!((proof.entries, proof.broken), (2, None));
    let entry = Entry::decode(bytes[1]).expect("an entry");
    assert_eq!((entry.seq, entry.actor.as_str(), entry.role, entry.result), (2, "wang", None, Outcome::Denied));
    assert_eq!((entry.object.as_str(), entry.reason.as_str()), ("dead_letter/2", "客户 \"已确认\""));
    assert_eq!(entry.time.timestamp_millis(), 1_767_225_600_123);
}

#[test]
fn flows_and_their_rest_are_read() {
    for records in both("flows", "starbridge.flows") {
        let keys: Vec<_> = records.iter().map(|one| String::from_utf8_lossy(&one.record.key).into_owned()).collect();
        let version = String::from_utf8_lossy(value(&records[1])).into_owned();
        assert_eq!(
            keys,
            [
                format!("misc-inbound@{version}"),
                "misc-inbound/current".into(),
                "misc-inbound/paused".into(),
                "misc-inbound/canary".into()
            ]
        );
        let canary: Canary = serde_json::from_slice(value(&records[3])).expect("readable");
        assert_eq!((canary.percent, canary.abort_above, canary.least), (5, 0.25, 20));
        assert_eq!((canary.version.as_str(), canary.by.as_str()), ("0123456789abcdef", "wang"));
        let paused: Paused = serde_json::from_slice(value(&records[2])).expect("readable");
        assert_eq!((paused.by.as_str(), paused.reason.as_str(), paused.at), ("wang", "盘点", 1_767_225_600_000));
    }
    let [records, newer] = both("flows", "starbridge.flows");
    let bundle: FlowBundle = serde_json::from_slice(value(&records[0])).expect("readable");
    assert_eq!((bundle.flow.as_str(), bundle.source.as_str()), ("flow = \"misc-inbound\"\n", "{}"));
    assert_eq!(bundle.collections.get("BD_STOCK").map(String::as_str), Some("[]"));
    assert_eq!(bundle.version().as_str().as_bytes(), value(&records[1]));
    // A flow that says more than is known here is not carried by what is known of it: its records wait.
    let refused = serde_json::from_slice::<FlowBundle>(value(&newer[0])).expect_err("unknown");
    assert!(refused.to_string().contains("added_later"), "{refused}");
}

#[test]
fn checkpoints_and_what_was_seen_are_read() {
    let flow = FlowName::new("misc-inbound").expect("valid");
    for records in both("extract-state", "starbridge.extract-state") {
        let whole = Checkpoint::from_bytes(&flow, value(&records[0])).expect("readable");
        assert_eq!((whole.watermark, whole.config.as_str()), (1_767_225_600, "00112233"));
        assert_eq!(whole.last_version, Some(Version(1_767_225_600_000_001)));
        assert_eq!((whole.fired, whole.looked_back), (Some(1_767_225_500), Some(1_767_200_000)));
        assert_eq!(whole.completed, Some(1_767_225_400));
        let scan = whole.scan.expect("a scan");
        assert_eq!((scan.t0, scan.run_time, scan.since), (Some(9), 8, 7));
        assert_eq!(scan.cursor, Some(Key::Text("其他入库 '1'".to_owned())));
        let mark = whole.window.expect("a window");
        assert_eq!((mark.window.from, mark.window.to, mark.window.again), (100, 200, true));
        assert_eq!((mark.config.as_str(), mark.scan.cursor), ("44556677", Some(Key::Integer(501))));
        let quiet = Checkpoint::from_bytes(&flow, value(&records[1])).expect("readable");
        assert_eq!(quiet, Checkpoint::new(1_767_139_200, "8899"));
    }
    for records in both("extract-seen", "starbridge.extract-seen") {
        let read = |number: usize| {
            let key = String::from_utf8_lossy(&records[number].record.key).into_owned();
            (Seen::from_bytes(&key, value(&records[number])).expect("readable"), key)
        };
        let (seen, key) = read(0);
        assert_eq!((key.as_str(), &seen.id), ("misc-inbound/501", &Key::Integer(501)));
        assert_eq!((seen.stamp.as_deref(), seen.missing, seen.retracted), (Some("2026-01-01T08:00:00"), 1, true));
        let document = &seen.documents[0];
        assert_eq!((document.key.as_str(), document.version), ("其他入库 '1'", Version(8)));
        assert_eq!((document.digest, document.changed_after_load), (Digest([0x11; 16]), Some(Digest([0x22; 16]))));
        assert_eq!(read(1).0, Seen::new(Key::Text("a-1".to_owned())));
    }
}

#[test]
fn a_letters_id_never_changes() {
    let [records, _] = both("dead-letters", "starbridge.dead-letters");
    let flow = FlowName::new("misc-inbound").expect("valid");
    let id = DeadLetterId::of(&flow, &"其他入库 '1'".into(), Version(8), Stage::Load);
    assert_eq!(records[0].record.key, id.0.as_bytes());
}
