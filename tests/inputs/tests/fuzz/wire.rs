//! Records of topics, pages, replies, and the writer of filters.

use bolero::check;
use control::letter::LetterEvent;
use document::{DeadLetter, Extracted, FlowName, Headers, Mapped, Record};
use extractor::core::checkpoint::Checkpoint;
use extractor::core::columns::{Columns, Roles};
use extractor::core::key::Key;
use extractor::core::scan::{Position, Scan};
use extractor::core::seen::Seen;
use inputs::{damage, sample};
use kingdee::query::{Context, read, rows};
use kingdee::reply::classify;
use kingdee::{SaveReply, filter};
use loader::core::ledger::{self, Entry, Intent};
use simulator::store::Store;

/// A record with edits in its value and in one of its headers.
fn damaged(record: &Record, edits: &[u8]) -> Record {
    let mut copy = record.clone();
    let (of_header, of_value) = edits.split_at(edits.len() / 3);
    copy.value = record.value.as_deref().map(|value| damage::edited(value, of_value));
    if let Some((header, edits)) = of_header.split_first() {
        let headers: Vec<(String, String)> =
            record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let at = usize::from(*header) % headers.len().max(1);
        copy.headers = Headers::from_iter(headers.into_iter().enumerate().map(|(index, (name, value))| {
            let edited = damage::edited(value.as_bytes(), if index == at { edits } else { &[] });
            (name, String::from_utf8_lossy(&edited).into_owned())
        }));
    }
    copy
}

/// What travels between the stages.
#[test]
fn envelope() {
    let topics = ["extracted", "mapped", "dead-letters"].map(sample::records);
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((at, rest)) = super::chosen(&[0_usize, 1, 2], input) else { return };
        let Some((record, edits)) = super::chosen(&topics[*at], rest) else { return };
        let record = damaged(record, edits);
        match at {
            0 => {
                if let Ok(read) = Extracted::from_record(&record) {
                    assert_eq!(Extracted::from_record(&read.clone().into_record()), Ok(read));
                }
            }
            1 => {
                if let Ok(read) = Mapped::from_record(&record) {
                    assert_eq!(Mapped::from_record(&read.clone().into_record()), Ok(read));
                }
            }
            _ => {
                if let Ok(read) = DeadLetter::from_record(&record) {
                    assert_eq!(DeadLetter::from_record(&read.clone().into_record()), Ok(read));
                }
            }
        }
    }));
}

/// What stages and the control plane remember.
#[test]
fn memory() {
    let topics = ["ledger", "extract-state", "extract-seen", "dead-letter-events"].map(sample::records);
    let flow = FlowName::new("misc-inbound").expect("valid");
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((at, rest)) = super::chosen(&[0_usize, 1, 2, 3], input) else { return };
        let Some((record, edits)) = super::chosen(&topics[*at], rest) else { return };
        let value = damaged(record, edits).value.unwrap_or_default();
        match at {
            0 => {
                drop(ledger::read::<Entry>("doc/x", &value));
                drop(ledger::read::<Intent>("intent/x", &value));
            }
            1 => {
                if let Ok(read) = Checkpoint::from_bytes(&flow, &value) {
                    assert_eq!(Checkpoint::from_bytes(&flow, &read.to_bytes()), Ok(read));
                }
            }
            2 => {
                if let Ok(read) = Seen::from_bytes("misc-inbound/1", &value) {
                    assert_eq!(Seen::from_bytes("misc-inbound/1", &read.to_bytes()), Ok(read));
                }
            }
            _ => drop(LetterEvent::read(&value)),
        }
    }));
}

/// A page of the source, and the scan that goes on behind it.
#[test]
fn page() {
    let declared = sample::COLUMNS.map(|key| (key.to_owned(), key.to_owned()));
    let columns = Columns::new(
        &declared[..3],
        Roles { key: Some("FID"), entry: Some("FEntity_FEntryID"), stamp: Some("FApproveDate"), created: None },
    );
    let good = serde_json::to_vec(&sample::page(6)).expect("JSON");
    let context = Context { method: "ExecuteBillQuery", form: "STK_MISCELLANEOUS", account: "a" };
    check!().for_each(super::in_time(|input: &[u8]| {
        let Some((limit, edits)) = input.split_first() else { return };
        let mut scan = Scan::new(Position::After(Key::Integer(0)), u32::from(*limit), true, 4_000);
        let mut asked = 0;
        while scan.next().is_some() && asked < 12 {
            let body = damage::edited(&good, edits.get(asked..).unwrap_or_default());
            asked += 1;
            let page = read(context, 200, None, &body).and_then(|value| rows(context, value, 5));
            let Ok(page) = page else { return };
            let Ok(page) = columns.read(page) else { return };
            let Ok(bills) = scan.accept(page) else { return };
            for pair in bills.windows(2) {
                assert!(!pair[1].key.is_surely_below(&pair[0].key), "ids go down");
            }
        }
    }));
}

/// A reply to a save.
#[test]
fn reply() {
    let saved = |at: i64| serde_json::json!({"Id": 100 + at, "Number": format!("入库{at}"), "DIndex": at});
    let refused = serde_json::json!({"FieldName": "FMaterialId", "Message": "编码值不存在", "DIndex": 2});
    let good = serde_json::to_vec(&sample::status(11, &[saved(0), saved(1)], &[refused])).expect("JSON");
    check!().for_each(super::in_time(|input: &[u8]| {
        let [high, low, documents, edits @ ..] = input else { return };
        let status = 200 + u16::from_be_bytes([*high, *low]) % 400 * u16::from(*high > 200);
        let documents = 1 + usize::from(*documents % 5);
        if let SaveReply::Done(outcomes) = classify(status, None, &damage::edited(&good, edits), documents, "a") {
            assert_eq!(outcomes.len(), documents);
        }
    }));
}

/// Texts in filters: the other side reads the very text, and nothing behind it.
#[test]
fn written_filter() {
    let forms = simulator::schema::load(&[]).expect("the forms");
    let store = Store::new(forms, 1);
    let table = store.find("STK_MISCELLANEOUS").expect("a form");
    check!().for_each(super::in_time(|input: &[u8]| {
        let text = String::from_utf8_lossy(input).into_owned();
        let other = format!("{text}'");
        let written = filter::and(&[filter::equals("FBillNo", &text), filter::is_in("FBillNo", &[&text, &other])]);
        let read = simulator::filter::parse(&store, table, &serde_json::Value::String(written.clone()));
        let Ok(Some(condition)) = read else { panic!("{written:?} does not read") };
        let mut named = 0;
        condition.columns(&mut |_| named += 1);
        assert_eq!(named, 2, "{written:?} names other fields");
    }));
}
