//! Replies to saves that do not say what became of every document.

use inputs::damage::{other_kinds, paths, words};
use inputs::{Tally, sample};
use kingdee::reply::classify;
use kingdee::{DocumentOutcome, SaveReply, UnknownReason};
use serde_json::{Value, json};

const DOCUMENTS: usize = 4;

/// Documents 0 and 1 are saved, 2 and 3 refused.
fn good() -> Value {
    let saved = |at: i64| json!({"Id": 100 + at, "Number": format!("入库{at}"), "DIndex": at});
    let refused = |at: i64, field: &str| json!({"FieldName": field, "Message": "编码值[\"M-9\"]不存在", "DIndex": at});
    sample::status(11, &[saved(0), saved(1)], &[refused(2, "FMaterialId"), refused(3, "FStockId")])
}

/// What is said of each document: its id, its errors, or nothing.
fn verdicts(reply: &SaveReply) -> Vec<DocumentOutcome> {
    match reply {
        SaveReply::Done(outcomes) => outcomes.clone(),
        _ => vec![DocumentOutcome::Unknown; DOCUMENTS],
    }
}

/// Notes what a reply means, document by document.
fn note(tally: &mut Tally, reply: &SaveReply) {
    tally.inputs += 1;
    match reply {
        SaveReply::NotSent(error) => tally.pair(error.code().as_str(), error.fault().place.record.unwrap_or_default()),
        SaveReply::Throttled { .. } => tally.pair("throttled", "$".to_owned()),
        SaveReply::UnknownClosed(UnknownReason::Refused(error)) => {
            tally.pair(error.code.as_str(), error.field.clone().unwrap_or_else(|| "$".to_owned()));
        }
        SaveReply::UnknownClosed(reason) | SaveReply::UnknownOpen(reason) => {
            tally.pair(reason.as_str(), "$".to_owned());
        }
        SaveReply::Done(outcomes) => {
            for (at, outcome) in outcomes.iter().enumerate() {
                match outcome {
                    DocumentOutcome::Saved { .. } => {}
                    DocumentOutcome::Unknown => tally.pair("unknown", format!("document {at}")),
                    DocumentOutcome::Rejected(errors) => {
                        assert!(!errors.is_empty(), "document {at} is refused for nothing");
                        for error in errors {
                            let field = error.field.as_deref().unwrap_or("$");
                            tally.pair(error.code.as_str(), format!("document {at} {field}"));
                        }
                    }
                }
            }
        }
    }
}

fn of(status: u16, body: &[u8]) -> SaveReply {
    classify(status, None, body, DOCUMENTS, "erp.example.com:443/a1")
}

#[test]
fn no_damage_makes_a_save_out_of_what_was_none() {
    let mut tally = Tally::default();
    let good = good();
    let bytes = serde_json::to_vec(&good).expect("JSON");
    let before = verdicts(&of(200, &bytes));
    let saved = |outcome: &DocumentOutcome| matches!(outcome, DocumentOutcome::Saved { .. });
    assert_eq!(before.iter().map(saved).collect::<Vec<_>>(), [true, true, false, false]);

    let mut judge = |what: &str, status: u16, body: &[u8]| {
        let reply = of(status, body);
        for (at, after) in verdicts(&reply).iter().enumerate() {
            // A document that is saved with another id than it has would be updated under that id for ever.
            let told = match (after, &before[at]) {
                (DocumentOutcome::Saved { id, .. }, DocumentOutcome::Saved { id: known, .. }) => id == known,
                (DocumentOutcome::Saved { .. }, _) => false,
                _ => true,
            };
            // Where the damage is a good id in another place, the reply itself says so.
            assert!(told || what.contains(".Id becomes"), "{what}: document {at} becomes {after:?}");
        }
        note(&mut tally, &reply);
    };
    for damaged in other_kinds(&good) {
        judge(&damaged.what, 200, &serde_json::to_vec(&damaged.document).expect("JSON"));
    }
    // Every place of a document in the call: said of another one, of none, of two.
    let indexes = paths(&good).into_iter().filter(|path| words(path).ends_with("DIndex"));
    for path in indexes {
        for index in [json!(-1), json!(4), json!(99), json!(1.5), json!(""), json!("one"), json!(null)] {
            let damaged = inputs::damage::replaced(&good, &path, index);
            judge(&damaged.what, 200, &serde_json::to_vec(&damaged.document).expect("JSON"));
        }
    }
    for end in 0..bytes.len() {
        judge(&format!("cut at byte {end}"), 200, &bytes[..end]);
    }
    for status in (100..600).filter(|status| *status != 200) {
        judge(&format!("status {status}"), status, &bytes);
        judge(&format!("a page under {status}"), status, b"<!DOCTYPE html><html></html>");
    }
    assert!(tally.inputs >= 1_000, "{} replies", tally.inputs);
    assert!(tally.len() >= 19 && tally.codes() >= 10, "{} pairs of {} codes", tally.len(), tally.codes());
}

#[test]
fn every_refusal_is_said_of_its_document_and_field() {
    let mut tally = Tally::default();
    let messages = [
        (11, "违反字段唯一性要求：编码唯一。[X-1]在当前系统中已经被使用。"),
        (11, "编码值[\"M-9\"]不存在"),
        (11, "字段“客户”是必填项"),
        (11, "元数据中标识为FXYZ的字段不存在"),
        (13, "被锁定"),
        (11, "已关账"),
        (11, "库存不足"),
        (4, "未将对象引用设置到对象的实例"),
        (2, "没有权限"),
        (11, "别的"),
    ];
    for (code, message) in messages {
        for at in 0..DOCUMENTS {
            for field in ["FMaterialId", "FStockId", "FBillNo"] {
                let entities: Vec<Value> = (0..DOCUMENTS)
                    .filter(|other| *other != at)
                    .map(|other| json!({"Id": 100 + other, "Number": format!("入库{other}"), "DIndex": other}))
                    .collect();
                let error = json!({"FieldName": field, "Message": message, "DIndex": at});
                let body = sample::status(code, &entities, &[error]);
                let reply = of(200, &serde_json::to_vec(&body).expect("JSON"));
                let SaveReply::Done(outcomes) = &reply else { panic!("{message}: {reply:?}") };
                for (other, outcome) in outcomes.iter().enumerate() {
                    assert_eq!(matches!(outcome, DocumentOutcome::Rejected(_)), other == at, "{message}: {outcome:?}");
                }
                note(&mut tally, &reply);
            }
        }
    }
    assert!(tally.len() >= 60 && tally.codes() >= 7, "{} pairs of {} codes", tally.len(), tally.codes());
}
