use super::*;

use document::{Category, DeadLetter, Digest, ExtractedAt, Headers, Mapped, Record, Version};
use serde_json::{Value, json};

use crate::fixtures::{NOW, Published, Steady, V1, V2, at, extracted, good, of};

fn core() -> Core {
    Core::new(BreakerSettings { records: 20, percent: 50 }, 1_000_000)
}

fn map(core: &mut Core, batch: Vec<Received>, flows: &Published) -> Plan {
    core.map(batch, flows, &mut Steady, NOW)
}

fn single(record: Record) -> Handled {
    let mut plan = map(&mut core(), vec![at(1, 41, record)], &Published::only(V1));
    assert_eq!(plan.commits, [Next::at("starbridge.misc.extracted", 1, 42)]);
    plan.handled.remove(0)
}

fn letter_of(handled: &Handled) -> DeadLetter {
    assert_eq!((handled.outcome, handled.output.len()), (Outcome::DeadLetter, 1));
    assert_eq!((handled.output[0].topic.as_str(), handled.output[0].partition), ("starbridge.dead-letters", None));
    DeadLetter::from_record(&handled.output[0].record).expect("a letter")
}

#[test]
fn a_record_becomes_its_bill_with_everything_it_carried() {
    let rows = json!([{"bill": {"FBillNo": "入库-1 'x'", "FQty": 1.50}}]);
    let handled = single(extracted("D1", V1, &rows).into_record());
    assert_eq!((handled.outcome, handled.fault.clone()), (Outcome::Mapped, None));
    assert_eq!((handled.tenant.as_str(), handled.flow.as_str()), ("acme", "misc"));
    assert_eq!(handled.output.len(), 1);
    let out = &handled.output[0];
    assert_eq!((out.topic.as_str(), out.partition), ("starbridge.misc.mapped", None));
    assert_eq!(out.record.key, "入库-1 'x'".as_bytes());
    let source = extracted("D1", V1, &rows);
    assert_eq!(
        Mapped::from_record(&out.record).expect("mapped"),
        Mapped {
            tenant: source.tenant,
            flow: source.flow,
            flow_version: V1.into(),
            document_key: "D1".into(),
            target_key: "入库-1 'x'".into(),
            version: Version(1_710_403_200_000_007),
            digest: Digest([3; 16]),
            created: Some(1_710_000_000),
            source: Some(ExtractedAt { partition: 1, offset: 41 }),
            trace: TraceParent { trace_id: [1; 16], span_id: [9; 8], flags: 1 },
            replay: Some("r-1".to_owned()),
            value: r#"{"FBillNo":"入库-1 'x'","FQty":1.5,"run":[1710403200,1710399600]}"#.as_bytes().to_vec(),
        }
    );
}

#[test]
fn numbers_keep_their_text_on_the_way_through() {
    let mut source = extracted("D1", V1, &json!([]));
    source.value = br#"[{"bill":{"FBillNo":"A","FQty":12.3400,"FAmount":0.10000000000000000000001}}]"#.to_vec();
    let handled = single(source.into_record());
    let value = handled.output[0].record.value.clone().expect("a bill");
    let text = String::from_utf8(value).expect("UTF-8");
    assert_eq!(
        text,
        r#"{"FBillNo":"A","FQty":12.3400,"FAmount":0.10000000000000000000001,"run":[1710403200,1710399600]}"#
    );
}

#[test]
fn a_bill_without_a_number_is_called_by_its_marker() {
    let marked = |count| json!(vec![json!({"bill": {"marked": true}}); count]);
    let handled = single(extracted("D1", V1, &marked(1)).into_record());
    let bill = Mapped::from_record(&handled.output[0].record).expect("mapped");
    assert_eq!((bill.target_key.as_str(), handled.output[0].record.key.as_slice()), ("D1", b"D1".as_slice()));
    assert_eq!(bill.value, br#"{"run":[1710403200,1710399600],"FBillNo":"D1"}"#);

    let handled = single(extracted("D1", V1, &marked(2)).into_record());
    assert_eq!(letter_of(&handled).code, Code::TargetKeyRepeated);
}

#[test]
fn a_published_flow_maps_by_its_target_document_its_marker_and_the_times_of_the_run() {
    let flow = r#"flow = "misc"
start_from = "2024-01-01T00:00:00+08:00"
[source]
connection = "galaxy-a"
[target]
connection = "galaxy-b"
marker = "FNote"
"#;
    let source = json!({
        "api": "executeBillQuery", "id": "FBillNo", "number": "FBillNo",
        "request": [{"field": "FBillNo", "value": "FBillNo"}, {"field": "FQty", "value": "FQty"}],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    });
    let target = json!({
        "api": "batchSave",
        "request": [
            {"field": "FQty", "type": "string", "value": "{FQty}"},
            {"field": "FText", "type": "string", "value": "{CURRENT_TIME} {LAST_SYNC_TIME}"}
        ],
        "otherRequest": [{"field": "FormId", "value": "STK_MISCELLANEOUS"}]
    });
    let (source, target) = (source.to_string(), target.to_string());
    let bundle = flow::FlowBundle { flow: flow.to_owned(), source, target, collections: BTreeMap::new() };
    let definition = flow::compile(&bundle).expect("a flow").flow;
    let rows = json!([{"FBillNo": "D1", "FQty": 7}]);
    let trace = TraceParent { trace_id: [1; 16], span_id: [9; 8], flags: 1 };
    let at = ExtractedAt { partition: 1, offset: 41 };
    let output = map::map(&extracted("D1", V1, &rows), at, &definition, trace).expect("a bill");
    let bills: Vec<Mapped> = output.iter().map(|out| Mapped::from_record(&out.record).expect("mapped")).collect();
    assert_eq!((bills.len(), bills[0].target_key.as_str()), (1, "misc/D1"));
    let bill: Value = serde_json::from_slice(&bills[0].value).expect("JSON");
    assert_eq!(bill, json!({"FQty": "7", "FText": "1710403200 1710399600", "FNote": "misc/D1"}));
}

#[test]
fn several_bills_of_one_record_go_out_in_order() {
    let rows = json!([{"bill": {"FBillNo": "A"}}, {"bill": {"FBillNo": 12}}, {"bill": {"FBillNo": "C"}}]);
    let handled = single(extracted("D1", V1, &rows).into_record());
    let keys: Vec<&[u8]> = handled.output.iter().map(|out| out.record.key.as_slice()).collect();
    assert_eq!(keys, [b"A".as_slice(), b"12", b"C"]);
    assert_eq!(handled.outcome, Outcome::Mapped);
}

#[test]
fn a_record_without_bills_is_a_counted_skip() {
    let handled = single(extracted("D1", V1, &json!([{"as": "nothing"}])).into_record());
    assert_eq!((handled.outcome, handled.output.len(), handled.fault), (Outcome::Skipped, 0, None));
    let words = [Outcome::Mapped, Outcome::DeadLetter, Outcome::Skipped].map(Outcome::as_str);
    assert_eq!(words, ["mapped", "dead_letter", "skipped"]);
    assert!(Outcome::Skipped.is_terminal() && Outcome::DeadLetter.is_terminal() && !Outcome::Mapped.is_terminal());
}

#[test]
fn a_bill_without_its_key_is_a_letter() {
    for (bill, words) in [
        (json!({}), "the bill's FBillNo is not there"),
        (json!({"FBillNo": null}), "the bill's FBillNo is not there"),
        (json!({"FBillNo": " "}), "the bill's FBillNo is empty"),
        (json!({"FBillNo": ["A"]}), "the bill's FBillNo is neither text nor number"),
    ] {
        let handled = single(extracted("D1", V1, &json!([{"bill": bill}])).into_record());
        let fault = handled.fault.clone().expect("a fault");
        assert_eq!((fault.code, fault.detail.as_str()), (Code::TargetKeyMissing, words));
        assert_eq!(fault.place.path.as_deref(), Some("$.FBillNo"));
        assert_eq!(fault.place.record.as_deref(), Some("D1"));
        assert_eq!(letter_of(&handled).code, Code::TargetKeyMissing);
    }
}

#[test]
fn two_bills_of_one_key_are_a_letter() {
    let rows = json!([{"bill": {"FBillNo": "A"}}, {"bill": {"FBillNo": "A"}}]);
    let handled = single(extracted("D1", V1, &rows).into_record());
    let fault = handled.fault.clone().expect("a fault");
    assert_eq!(fault.code, Code::TargetKeyRepeated);
    assert_eq!((fault.place.path.as_deref(), fault.place.record.as_deref()), (Some("$.FBillNo"), Some("D1")));
    assert_eq!(letter_of(&handled).message, "two bills of the record are called A");
}

#[test]
fn a_fault_of_one_bill_makes_a_letter_of_the_whole_record() {
    let rows = json!([{"bill": {"FBillNo": "A"}}, {"as": "fault"}, {"as": "other fault"}]);
    let source = extracted("D1", V1, &rows);
    let record = source.clone().into_record();
    let handled = single(record.clone());
    assert_eq!(
        letter_of(&handled),
        DeadLetter {
            tenant: source.tenant.clone(),
            flow: source.flow.clone(),
            flow_version: V1.into(),
            document_key: "D1".into(),
            version: source.version,
            stage: Stage::Transform,
            category: Category::Validation,
            code: Code::Required,
            message: "FDate has no value; and 1 more of the record's bills (fill it)".to_owned(),
            field: Some("$.FEntity[3].FDate".to_owned()),
            origin: Some(("starbridge.misc.extracted".to_owned(), 1, 41)),
            origin_timestamp: Some(77),
            attempts: 1,
            first_failed_at: NOW,
            last_failed_at: NOW,
            retry_at: None,
            replay: Some("r-1".to_owned()),
            trace: Some(TraceParent { trace_id: [1; 16], span_id: [9; 8], flags: 1 }),
            headers: DeadLetter::headers_of(&record.headers),
            claim_check: false,
            body: rows.to_string().into_bytes(),
        }
    );
    let again = letter_of(&handled).original().expect("nothing of it is missing");
    let expected = Extracted { replay: None, trace: TraceParent { span_id: [9; 8], ..source.trace }, ..source };
    assert_eq!(again.key, b"D1");
    assert_eq!(Extracted::from_record(&again), Ok(expected));
}

#[test]
fn the_letter_of_a_record_with_one_faulty_bill_speaks_of_that_one_alone() {
    let handled = single(extracted("D1", V1, &json!([{"bill": {"FBillNo": "A"}}, {"as": "fault"}])).into_record());
    assert_eq!(letter_of(&handled).message, "FDate has no value (fill it)");
}

#[test]
fn a_panic_of_the_mapping_is_a_letter_and_the_batch_goes_on() {
    let plan = map(&mut core(), vec![of(1, 7, V1, "panic"), good(1, 8)], &Published::only(V1));
    let fault = plan.handled[0].fault.clone().expect("a fault");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::MappingPanic, Some("D1-7")));
    assert_eq!(letter_of(&plan.handled[0]).category, Category::Poison);
    assert_eq!(plan.handled[1].outcome, Outcome::Mapped);
    assert_eq!(plan.commits, [Next::at("starbridge.misc.extracted", 1, 9)]);
}

#[test]
fn a_record_that_does_not_read_is_a_letter_named_by_its_place() {
    let record = Record { key: b"k".to_vec(), headers: Headers::new(), value: Some(b"\xff\x00".to_vec()) };
    let handled = single(record);
    let fault = handled.fault.clone().expect("a fault");
    assert_eq!(fault.code, Code::RecordUnreadable);
    assert_eq!(fault.place.record.as_deref(), Some("starbridge.misc.extracted/1@41"));
    let letter = letter_of(&handled);
    assert_eq!((letter.flow.as_str(), letter.flow_version.as_str()), ("misc", "unknown"));
    assert_eq!(letter.document_key.as_str(), "starbridge.misc.extracted/1@41");
    assert_eq!((letter.version, letter.body), (Version(0), b"\xff\x00".to_vec()));
    assert_eq!(letter.message, "header \"sb-tenant\" is missing");

    let mut half = extracted("D1", V1, &json!([])).into_record();
    half.headers.set("sb-digest", "no hex");
    let letter = letter_of(&single(half));
    assert_eq!(
        (letter.tenant.as_str(), letter.document_key.as_str(), letter.flow_version.as_str()),
        ("acme", "D1", V1)
    );
}

#[test]
fn rows_that_do_not_read_and_records_of_another_flow_are_letters() {
    let mut torn = extracted("D1", V1, &json!([]));
    torn.value = b"[{".to_vec();
    let handled = single(torn.into_record());
    let fault = handled.fault.clone().expect("a fault");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::RecordUnreadable, Some("D1")));
    assert_eq!(letter_of(&handled).body, b"[{");

    let mut foreign = extracted("D1", V1, &json!([]));
    foreign.flow = FlowName::new("other").expect("a label");
    let letter = letter_of(&single(foreign.into_record()));
    assert_eq!((letter.code, letter.flow.as_str()), (Code::RecordUnreadable, "misc"));
}

#[test]
fn a_letter_over_the_limit_says_where_the_record_lies() {
    let body = vec![b'x'; queue::MAX_RECORD_BYTES - 600];
    let record = Record { key: b"k".to_vec(), headers: Headers::new(), value: Some(body) };
    let handled = single(record);
    let out = &handled.output[0];
    assert!(out.check_size().is_ok());
    assert_eq!(out.record.headers.get("dl-claim-check"), Some("starbridge.misc.extracted/1@41"));
    let letter = letter_of(&handled);
    assert_eq!((letter.code, letter.claim_check, letter.original()), (Code::RecordUnreadable, true, None));
    let check: Value = serde_json::from_slice(&letter.body).expect("JSON");
    assert_eq!(check["topic"], "starbridge.misc.extracted");
    assert_eq!((&check["partition"], &check["offset"]), (&json!(1), &json!(41)));
    assert_eq!(check["bytes"], json!(queue::MAX_RECORD_BYTES - 600));
    assert_eq!(check["digest"].as_str().map(str::len), Some(32));
}

#[test]
fn a_bill_over_the_limit_is_a_letter_with_the_record_as_it_came() {
    let rows = json!([{"bill": {"FBillNo": "A", "text": "长".repeat(queue::MAX_RECORD_BYTES / 3)}}]);
    let handled = single(extracted("D1", V1, &rows).into_record());
    let fault = handled.fault.clone().expect("a fault");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::MappedTooLarge, Some("D1")));
    let letter = letter_of(&handled);
    assert_eq!(letter.code, Code::MappedTooLarge);
    assert!(letter.claim_check);
}

#[test]
fn a_quarantined_record_is_set_aside_unread() {
    let mut core = core();
    core.quarantine("starbridge.misc.extracted", 1, 8);
    let plan = map(&mut core, vec![good(1, 7), of(1, 8, V1, "panic"), good(1, 9)], &Published::only(V1));
    let fault = plan.handled[1].fault.clone().expect("a fault");
    assert_eq!(fault.code, Code::RecordQuarantined);
    assert_eq!(fault.place.record.as_deref(), Some("starbridge.misc.extracted/1@8"));
    let letter = letter_of(&plan.handled[1]);
    assert_eq!((letter.document_key.as_str(), letter.version), ("D1-8", Version(1_710_403_200_000_007)));
    assert_eq!(plan.handled[2].outcome, Outcome::Mapped);
}

#[test]
fn a_late_version_holds_its_partition_and_no_other() {
    let (mut core, flows) = (core(), Published::only(V1));
    let batch = vec![good(0, 5), of(0, 6, V2, ""), good(0, 7), good(1, 3), of(2, 9, V2, "")];
    let plan = map(&mut core, batch, &flows);
    let offsets: Vec<(i32, i64)> = plan.handled.iter().map(|h| (h.received.partition, h.received.offset)).collect();
    assert_eq!(offsets, [(0, 5), (1, 3)]);
    let topic = "starbridge.misc.extracted";
    assert_eq!(plan.commits, [Next::at(topic, 0, 6), Next::at(topic, 1, 4)]);
    assert_eq!(plan.pause, [TopicPartition::new(topic, 0), TopicPartition::new(topic, 2)]);
    assert_eq!((plan.alerts.len(), plan.alerts[0].code), (2, Code::FlowVersionLate));
    assert_eq!(plan.alerts[0].place.record.as_deref(), Some("starbridge.misc.extracted/0@6"));
    let late = Reason::VersionLate { flow: FlowName::new("misc").expect("a label"), version: V2.into() };
    assert_eq!(core.holds().reasons(), BTreeMap::from([(late, 2)]));

    // What was fetched before the pause took hold waits behind.
    let plan = map(&mut core, vec![good(0, 8), good(1, 4)], &flows);
    assert_eq!((plan.handled.len(), plan.alerts.len(), plan.commits.len()), (1, 0, 1));
    assert!(core.release(&flows).resume.is_empty());

    flows.publish(V2);
    let released = core.release(&flows);
    let offsets: Vec<(i32, i64)> = released.records.iter().map(|r| (r.partition, r.offset)).collect();
    assert_eq!(offsets, [(0, 6), (0, 7), (0, 8), (2, 9)]);
    assert_eq!((released.resume.len(), released.rejoin), (2, false));
    assert_eq!((core.holds().partitions(), core.holds().bytes()), (vec![], 0));
    let plan = map(&mut core, released.records, &flows);
    assert_eq!((plan.handled.len(), plan.pause.len()), (4, 0));
}

#[test]
fn records_that_wait_are_let_go_over_the_memory_limit_and_read_again() {
    let mut core = Core::new(BreakerSettings { records: 20, percent: 50 }, 2_000);
    let flows = Published::only(V1);
    let batch = (0..10).map(|offset| of(0, offset, V2, "")).collect();
    map(&mut core, batch, &flows);
    assert!(core.holds().bytes() <= 2_000);
    flows.publish(V2);
    let released = core.release(&flows);
    assert!(released.rejoin);
    assert!(released.records.is_empty());
}

#[test]
fn partitions_that_moved_away_are_forgotten() {
    let (mut core, flows) = (core(), Published::only(V1));
    map(&mut core, vec![of(0, 6, V2, ""), of(1, 6, V2, "")], &flows);
    let kept = TopicPartition::new("starbridge.misc.extracted", 1);
    core.keep_only(std::slice::from_ref(&kept));
    assert_eq!(core.holds().partitions(), [kept]);
    core.forget();
    assert_eq!((core.holds().partitions().len(), core.holds().bytes()), (0, 0));
}

/// Twenty records over two partitions, of which `failing` fail.
fn batch_with(failing: i64, what: &str) -> Vec<Received> {
    (0..20)
        .map(|offset| {
            let partition = i32::try_from(offset % 2).expect("0 or 1");
            if offset >= 20 - failing { of(partition, offset, V1, what) } else { good(partition, offset) }
        })
        .collect()
}

#[test]
fn a_flow_that_mostly_fails_alike_waits_before_any_letter() {
    let (mut core, flows) = (core(), Published::only(V1));
    let plan = map(&mut core, batch_with(11, "fault"), &flows);
    let topic = "starbridge.misc.extracted";
    assert_eq!(plan.handled.len(), 9);
    assert!(plan.handled.iter().all(|handled| handled.outcome == Outcome::Mapped));
    assert_eq!(plan.commits, [Next::at(topic, 0, 9), Next::at(topic, 1, 8)]);
    assert_eq!(plan.pause, [TopicPartition::new(topic, 0), TopicPartition::new(topic, 1)]);
    assert_eq!((plan.alerts[0].code, plan.alerts.len()), (Code::MappingBreaker, 2));
    assert_eq!(plan.alerts[0].place.record.as_deref(), Some("starbridge.misc.extracted/0@10"));
    assert!(plan.alerts[0].detail.contains("E_REQUIRED at $.FEntity[].FDate"), "{}", plan.alerts[0].detail);

    // A third partition of the flow joins the wait, whatever its records would give.
    let plan = map(&mut core, vec![good(2, 1)], &flows);
    assert_eq!((plan.handled.len(), plan.pause.len()), (0, 1));
    assert!(core.release(&flows).resume.is_empty());
}

#[test]
fn a_new_version_ends_the_wait_and_the_old_records_become_letters() {
    let (mut core, flows) = (core(), Published::only(V1));
    map(&mut core, batch_with(20, "fault"), &flows);
    flows.publish(V2);
    let released = core.release(&flows);
    assert_eq!((released.records.len(), released.resume.len()), (20, 2));
    let plan = map(&mut core, released.records, &flows);
    assert_eq!((plan.handled.len(), plan.pause.len()), (20, 0));
    assert!(plan.handled.iter().all(|handled| letter_of(handled).code == Code::Required));
    // The new version has its own count.
    let fresh = (100..140).map(|offset| of(0, offset, V2, "fault")).collect();
    assert_eq!(map(&mut core, fresh, &flows).pause.len(), 1);
}

#[test]
fn half_of_the_records_or_fewer_than_twenty_or_unlike_faults_stop_nothing() {
    let flows = Published::only(V1);
    let plan = map(&mut core(), batch_with(10, "fault"), &flows);
    assert_eq!((plan.handled.len(), plan.pause.len()), (20, 0));
    let nineteen = (0..19).map(|offset| of(0, offset, V1, "fault")).collect();
    assert_eq!(map(&mut core(), nineteen, &flows).pause.len(), 0);
    let unlike = (0..20).map(|n| of(0, n, V1, if n % 2 == 0 { "fault" } else { "other fault" })).collect();
    assert_eq!(map(&mut core(), unlike, &flows).pause.len(), 0);
    let unread = (0..40).map(|n| at(0, n, Record { value: Some(vec![1]), ..Record::default() })).collect();
    assert_eq!(map(&mut core(), unread, &flows).pause.len(), 0);
    // Damaged records that still name the version say nothing of its mapping.
    let damaged = |n| {
        let mut record = of(0, n, V1, "").record;
        record.headers.set("sb-digest", "no hex");
        at(0, n, record)
    };
    let plan = map(&mut core(), (0..40).map(damaged).collect(), &flows);
    assert_eq!((plan.handled.len(), plan.pause.len()), (40, 0));
}

#[test]
fn the_count_goes_over_batches() {
    let (mut core, flows) = (core(), Published::only(V1));
    for offset in 0..19 {
        assert_eq!(map(&mut core, vec![of(0, offset, V1, "fault")], &flows).pause.len(), 0);
    }
    let plan = map(&mut core, vec![of(0, 19, V1, "fault")], &flows);
    assert_eq!((plan.handled.len(), plan.pause.len()), (0, 1));
}

#[test]
fn a_refused_bill_is_replaced_by_its_letter() {
    let mut plan = map(&mut core(), vec![good(0, 5)], &Published::only(V1));
    let mut handled = plan.handled.remove(0);
    let fault = Fault::new(Code::MappedTooLarge, "too large for the broker").of_record("D0-5");
    handled.output = vec![refuse(&handled, &fault, NOW)];
    handled.outcome = Outcome::DeadLetter;
    let letter = letter_of(&handled);
    assert_eq!((letter.code, letter.document_key.as_str()), (Code::MappedTooLarge, "D0-5"));
    assert_eq!(Some(letter.body), handled.received.record.value);
}
