use document::{Category, Code};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// A reply's class in short: `done S1 R:E_CODE U` has one word per document.
fn class_of(http_status: u16, body: &[u8], documents: usize) -> String {
    match classify(http_status, None, body, documents, "host/acct") {
        SaveReply::NotSent(error) => format!("not-sent {}", error.code()),
        SaveReply::Throttled { .. } => "throttled".to_owned(),
        SaveReply::UnknownClosed(UnknownReason::Refused(error)) => format!("closed refused {}", error.code),
        SaveReply::UnknownClosed(reason) => format!("closed {}", reason.as_str()),
        SaveReply::UnknownOpen(reason) => format!("open {}", reason.as_str()),
        SaveReply::Done(outcomes) => {
            let words = outcomes.iter().map(|outcome| match outcome {
                DocumentOutcome::Saved { id, .. } => format!(" S{id}"),
                DocumentOutcome::Rejected(errors) => {
                    format!(" R:{}", errors.iter().map(|e| e.code.as_str()).collect::<Vec<_>>().join("+"))
                }
                DocumentOutcome::Unknown => " U".to_owned(),
            });
            format!("done{}", words.collect::<String>())
        }
    }
}

fn ok(index: Value) -> Value {
    let id = index.to_string().trim_matches('"').parse::<i64>().unwrap_or(0) + 100;
    json!({"Id": id, "Number": format!("N{id}"), "DIndex": index})
}

fn err(index: Value, message: &str) -> Value {
    json!({"FieldName": "F", "Message": message, "DIndex": index})
}

fn reply(code: Value, entities: Vec<Value>, errors: Vec<Value>) -> Vec<u8> {
    let good = errors.is_empty();
    json!({"Result": {"ResponseStatus": {
        "ErrorCode": if good { Value::Null } else { json!(500) },
        "IsSuccess": good, "Errors": errors, "SuccessEntitys": entities, "SuccessMessages": [], "MsgCode": code,
    }}})
    .to_string()
    .into_bytes()
}

const TAKEN: &str = "违反字段唯一性要求：编码唯一。[X-1]在当前系统中已经被使用。";
const MISSING: &str = "编码值[\"M-9\"]不存在";
const LOST: &str = "会话信息已丢失，请重新登录";

#[test]
fn whole_and_partial_replies_are_told_document_by_document() {
    let n = |value: i64| json!(value);
    let table: Vec<(&str, Vec<u8>, usize, &str)> = vec![
        ("one saved", reply(n(0), vec![ok(n(0))], vec![]), 1, "done S100"),
        ("all saved", reply(n(0), vec![ok(n(0)), ok(n(1)), ok(n(2))], vec![]), 3, "done S100 S101 S102"),
        ("any order", reply(n(0), vec![ok(n(2)), ok(n(0)), ok(n(1))], vec![]), 3, "done S100 S101 S102"),
        ("partial", reply(n(11), vec![ok(n(0))], vec![err(n(1), TAKEN)]), 2, "done S100 R:E_NUMBER_TAKEN"),
        (
            "several errors of one document",
            reply(n(11), vec![ok(n(1))], vec![err(n(0), MISSING), err(n(0), "字段“客户”是必填项")]),
            2,
            "done R:E_REFERENCE_MISSING+E_TARGET_REQUIRED S101",
        ),
        (
            "all refused",
            reply(n(11), vec![], vec![err(n(0), TAKEN), err(n(1), MISSING)]),
            2,
            "done R:E_NUMBER_TAKEN R:E_REFERENCE_MISSING",
        ),
        ("index as text", reply(n(0), vec![ok(json!("1")), ok(json!(" 0 "))], vec![]), 2, "done S100 S101"),
        ("one not mentioned", reply(n(0), vec![ok(n(0)), ok(n(2))], vec![]), 3, "done S100 U S102"),
        ("success without index", reply(n(0), vec![ok(n(0)), ok(Value::Null)], vec![]), 2, "done S100 U"),
        ("error without index", reply(n(11), vec![ok(n(0))], vec![err(Value::Null, TAKEN)]), 2, "done S100 U"),
        ("index beyond", reply(n(0), vec![ok(n(0)), ok(n(7))], vec![]), 2, "done S100 U"),
        ("index below", reply(n(0), vec![ok(n(0)), ok(n(-1))], vec![]), 2, "done S100 U"),
        ("index a fraction", reply(n(0), vec![ok(n(0)), ok(json!(1.5))], vec![]), 2, "done S100 U"),
        ("index a word", reply(n(0), vec![ok(n(0)), ok(json!("one"))], vec![]), 2, "done S100 U"),
        ("index a list", reply(n(0), vec![ok(n(0)), ok(json!([1]))], vec![]), 2, "done S100 U"),
        ("saved twice", reply(n(0), vec![ok(n(0)), ok(n(0)), ok(n(1))], vec![]), 2, "done U S101"),
        ("saved and refused", reply(n(11), vec![ok(n(0)), ok(n(1))], vec![err(n(0), TAKEN)]), 2, "done U S101"),
        ("counted from one", reply(n(11), vec![ok(n(1))], vec![err(n(2), TAKEN)]), 2, "closed uncovered"),
        ("none covered", reply(n(0), vec![ok(n(8)), ok(n(9))], vec![]), 2, "closed uncovered"),
        ("one document, index beyond", reply(n(0), vec![ok(n(5))], vec![]), 1, "done S105"),
        ("one document, no index", reply(n(11), vec![], vec![err(Value::Null, TAKEN)]), 1, "done R:E_NUMBER_TAKEN"),
        ("one document, from one", reply(n(11), vec![], vec![err(n(1), TAKEN)]), 1, "done R:E_NUMBER_TAKEN"),
        ("one document saved twice", reply(n(0), vec![ok(n(0)), ok(n(1))], vec![]), 1, "closed uncovered"),
        (
            "saved without id",
            reply(n(0), vec![json!({"Number": "N", "DIndex": 0}), ok(n(1))], vec![]),
            2,
            "done U S101",
        ),
        ("saved with id 0", reply(n(0), vec![json!({"Id": 0, "DIndex": 0}), ok(n(1))], vec![]), 2, "done U S101"),
        ("id as text", reply(n(0), vec![json!({"Id": "a-1", "Number": "N", "DIndex": 0})], vec![]), 1, "done Sa-1"),
        ("session text beside a success", reply(n(0), vec![ok(n(0))], vec![err(n(1), LOST)]), 2, "done S100 U"),
        (
            "throttle text beside a success",
            reply(n(14), vec![ok(n(0))], vec![err(n(1), "调用次数超限")]),
            2,
            "done S100 U",
        ),
        ("licence for the rest", reply(n(7), vec![ok(n(0))], vec![err(n(1), "")]), 2, "done S100 U"),
        ("code as text", reply(json!("11"), vec![], vec![err(n(0), "x")]), 1, "done R:E_TARGET_VALIDATION"),
        ("lock", reply(n(13), vec![], vec![err(n(0), "x")]), 1, "done R:E_TARGET_LOCKED"),
        ("permission, one document", reply(n(2), vec![], vec![err(n(0), "x")]), 1, "done R:E_TARGET_PERMISSION"),
        ("exception, one document", reply(n(4), vec![], vec![err(n(0), "x")]), 1, "done R:E_TARGET_REFUSED"),
        (
            "exception for all",
            reply(n(4), vec![], vec![err(n(0), "x"), err(n(1), "x")]),
            2,
            "done R:E_TARGET_REFUSED R:E_TARGET_REFUSED",
        ),
    ];
    for (name, body, documents, expected) in &table {
        assert_eq!(class_of(200, body, *documents), *expected, "{name}");
    }
    assert!(table.len() >= 30);
}

#[test]
fn replies_about_the_whole_call_are_no_verdict_on_a_document() {
    let n = |value: i64| json!(value);
    let one = |code: i64, text: &str| reply(json!(code), vec![], vec![err(json!(0), text)]);
    let table: Vec<(&str, u16, Vec<u8>, usize, &str)> = vec![
        ("session lost", 200, one(1, LOST), 3, "closed session_lost"),
        ("session lost by code alone", 200, one(1, ""), 1, "closed session_lost"),
        ("session lost, code as text", 200, reply(json!("1"), vec![], vec![err(n(0), "x")]), 1, "closed session_lost"),
        ("session lost by text", 200, one(0, "ctx == null"), 1, "closed session_lost"),
        ("session timed out by text", 200, one(4, "会话超时，请重新登录"), 2, "closed session_lost"),
        ("session text in a quoted value", 200, one(11, "物料“会话信息已丢失”是必填项"), 1, "done R:E_TARGET_REQUIRED"),
        ("session text under another code", 200, one(9, LOST), 1, "closed refused E_SESSION_LOST"),
        (
            "wrapped like a query's error",
            200,
            format!("[[{}]]", String::from_utf8_lossy(&one(1, LOST))).into_bytes(),
            1,
            "closed session_lost",
        ),
        ("session lost with status 500", 500, one(1, LOST), 2, "closed session_lost"),
        ("call limit", 200, one(14, ""), 2, "throttled"),
        ("call limit by text", 200, one(0, "接口调用过于频繁，请稍后再试"), 2, "throttled"),
        ("429", 429, b"slow down".to_vec(), 2, "throttled"),
        ("429 with a page", 429, b"<html>".to_vec(), 2, "throttled"),
        ("429 with JSON", 429, b"{\"error\":\"x\"}".to_vec(), 2, "throttled"),
        ("429 with successes", 429, reply(n(0), vec![ok(n(0))], vec![]), 1, "closed status"),
        ("throttle text in a quoted value", 200, one(11, "字段“rate limit”必录"), 1, "done R:E_TARGET_REQUIRED"),
        ("licence", 200, one(7, "没有可用的许可"), 1, "closed refused E_TARGET_LICENCE"),
        ("unknown form", 200, one(4, "标识为“X”的业务对象不存在，或者被删除。"), 1, "closed refused E_UNKNOWN_FORM"),
        ("form id empty", 200, one(5, "x"), 1, "closed refused E_TARGET_REFUSED"),
        ("administrator", 200, one(15, "x"), 1, "closed refused E_TARGET_PERMISSION"),
        ("permission, several documents", 200, one(2, "没有权限"), 3, "closed refused E_TARGET_PERMISSION"),
        (
            "exception, several documents",
            200,
            one(4, "未将对象引用设置到对象的实例"),
            3,
            "closed refused E_TARGET_REFUSED",
        ),
        ("database, several documents", 200, one(6, "x"), 3, "closed refused E_TARGET_REFUSED"),
        ("parameters", 200, one(8, "x"), 2, "closed refused E_TARGET_VALIDATION"),
        (
            "failed without errors",
            200,
            b"{\"Result\":{\"ResponseStatus\":{\"IsSuccess\":false}}}".to_vec(),
            1,
            "closed empty_result",
        ),
        ("success without entities", 200, reply(n(0), vec![], vec![]), 2, "closed empty_result"),
        ("null status", 200, b"{\"Result\":{\"ResponseStatus\":null}}".to_vec(), 1, "closed empty_result"),
        ("null result", 200, b"{\"Result\":null}".to_vec(), 1, "closed empty_result"),
        ("empty object", 200, b"{}".to_vec(), 1, "closed empty_result"),
        ("empty array", 200, b"[]".to_vec(), 1, "closed empty_result"),
        ("null", 200, b"null".to_vec(), 1, "closed empty_result"),
        ("empty text", 200, b"\"\"".to_vec(), 1, "closed empty_result"),
        ("empty body", 200, b"".to_vec(), 1, "open unparsable"),
        (
            "request filter",
            200,
            "[{\"actionname\":\"showConfirm\",\"params\":[{\"msg\":\"请求参数存在可疑数据\"}]}]".into(),
            1,
            "closed filtered",
        ),
        ("another's JSON", 200, b"{\"error\":\"upstream\"}".to_vec(), 1, "open shape"),
        ("a number", 200, b"7".to_vec(), 1, "open shape"),
        ("status of another kind", 200, b"{\"Result\":{\"ResponseStatus\":[]}}".to_vec(), 1, "open shape"),
        ("a page", 200, b"<!DOCTYPE html><html></html>".to_vec(), 1, "open html"),
        ("cut", 200, reply(n(0), vec![ok(n(0))], vec![])[..40].to_vec(), 1, "open unparsable"),
        ("two values", 200, b"{}{}".to_vec(), 1, "open unparsable"),
        ("too deep", 200, [vec![b'['; 70], vec![b']'; 70]].concat(), 1, "open too_large"),
        ("not UTF-8", 200, b"{\"a\":\"\xff\"}".to_vec(), 1, "open unparsable"),
        ("response_error", 200, b"response_error:something".to_vec(), 1, "closed status"),
        ("500 with its JSON", 500, b"{\"Message\":\"x\"}".to_vec(), 1, "closed status"),
        ("500 with a verdict", 500, reply(n(0), vec![ok(n(0))], vec![]), 1, "closed status"),
        ("500 with a page", 500, b"<html>".to_vec(), 1, "open gateway"),
        ("500 empty", 500, b"".to_vec(), 1, "open gateway"),
        ("502", 502, b"<html>".to_vec(), 1, "open gateway"),
        ("503 with JSON", 503, b"{}".to_vec(), 1, "open gateway"),
        ("504", 504, b"".to_vec(), 1, "open gateway"),
        ("408", 408, b"{}".to_vec(), 1, "open gateway"),
        ("404 page", 404, b"<html>".to_vec(), 1, "open gateway"),
        ("400 with JSON", 400, b"{\"Message\":\"x\"}".to_vec(), 1, "closed status"),
        ("redirect", 302, b"".to_vec(), 1, "open gateway"),
        ("519 of the old gateway", 519, b"{\"errcode\":4006}".to_vec(), 1, "closed status"),
        ("wrong account", 500, b"xx Fail to verify thirty passport xx".to_vec(), 1, "not-sent E_UNKNOWN_ACCOUNT"),
        (
            "the same words in a good reply",
            200,
            reply(n(11), vec![], vec![err(n(0), "Fail to verify thirty passport")]),
            1,
            "done R:E_TARGET_VALIDATION",
        ),
    ];
    for (name, status, body, documents, expected) in &table {
        assert_eq!(class_of(*status, body, *documents), *expected, "{name}");
    }
    assert!(table.len() >= 50);
}

#[test]
fn a_throttle_keeps_the_wait_it_was_told() {
    let wait = Some(Duration::from_secs(7));
    let SaveReply::Throttled { after } = classify(429, wait, b"", 1, "a") else { panic!("throttled") };
    assert_eq!(after, wait);
}

#[test]
fn messages_of_a_success_come_along_as_warnings() {
    let body = json!({"Result": {"ResponseStatus": {
        "IsSuccess": true, "Errors": [],
        "SuccessEntitys": [{"Id": 1, "Number": "A", "DIndex": 0}, {"Id": 2, "Number": "B", "DIndex": 1}],
        "SuccessMessages": [{"Message": "乙有提示", "DIndex": 1}, {"Message": "无主"}],
    }}});
    let SaveReply::Done(outcomes) = classify(200, None, body.to_string().as_bytes(), 2, "a") else { panic!("done") };
    let saved = |id: &str, number: &str, warnings: &[&str]| DocumentOutcome::Saved {
        id: id.to_owned(),
        number: number.to_owned(),
        warnings: warnings.iter().map(|text| (*text).to_owned()).collect(),
    };
    assert_eq!(outcomes, [saved("1", "A", &[]), saved("2", "B", &["乙有提示"])]);
}

#[test]
fn a_refusal_names_code_category_field_and_whether_it_may_pass() {
    let body = reply(json!(11), vec![], vec![err(json!(0), TAKEN)]);
    let SaveReply::Done(outcomes) = classify(200, None, &body, 1, "a") else { panic!("done") };
    let [DocumentOutcome::Rejected(errors)] = outcomes.as_slice() else { panic!("rejected") };
    let [error] = errors.as_slice() else { panic!("one error") };
    assert_eq!((error.code, error.category, error.timed), (Code::NumberTaken, Category::Duplicate, false));
    assert_eq!(error.field.as_deref(), Some("F"));
    assert_eq!(error.msg_code, Some(11));
}

/// A value that may stand where an index is due.
fn index() -> impl Strategy<Value = Value> {
    prop_oneof![
        8 => (0_i64..12).prop_map(Value::from),
        2 => (0_i64..12).prop_map(|n| Value::from(n.to_string())),
        1 => Just(Value::Null),
        1 => (-3_i64..0).prop_map(Value::from),
        1 => Just(json!(1.5)),
        1 => Just(json!("x")),
    ]
}

/// The index as anybody would read it.
fn plain(index: &Value) -> Option<usize> {
    match index {
        Value::Number(number) => number.as_u64().map(|at| at as usize),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_index_is_covered_exactly_once_or_unknown(
        saved in prop::collection::vec(index(), 0..8),
        refused in prop::collection::vec(index(), 0..8),
        documents in 2_usize..10,
    ) {
        let body = reply(
            json!(11),
            saved.iter().cloned().map(ok).collect(),
            refused.iter().cloned().map(|at| err(at, TAKEN)).collect(),
        );
        let count = |list: &[Value], at: usize| list.iter().filter(|index| plain(index) == Some(at)).count();
        let from_one = count(&saved, documents) + count(&refused, documents) > 0
            && count(&saved, 0) + count(&refused, 0) == 0;
        let expected: Vec<char> = (0..documents)
            .map(|at| match (count(&saved, at), count(&refused, at)) {
                _ if from_one => 'U',
                (1, 0) => 'S',
                (0, 1..) => 'R',
                _ => 'U',
            })
            .collect();
        match classify(200, None, &body, documents, "a") {
            SaveReply::Done(outcomes) => {
                let found: Vec<char> = outcomes
                    .iter()
                    .map(|outcome| match outcome {
                        DocumentOutcome::Saved { .. } => 'S',
                        DocumentOutcome::Rejected(_) => 'R',
                        DocumentOutcome::Unknown => 'U',
                    })
                    .collect();
                prop_assert_eq!(found, expected);
            }
            SaveReply::UnknownClosed(reason) => {
                prop_assert!(expected.iter().all(|word| *word == 'U'), "{:?} {:?}", reason, expected);
            }
            other => prop_assert!(false, "{other:?}"),
        }
    }

    #[test]
    fn any_bytes_are_classified_without_panic_and_never_as_done(
        bytes in prop::collection::vec(any::<u8>(), 0..300), status in 100_u16..600, documents in 1_usize..5,
    ) {
        prop_assert!(!matches!(classify(status, None, &bytes, documents, "a"), SaveReply::Done(_)));
    }

    #[test]
    fn damaged_replies_are_classified_without_panic(
        at in 0_usize..300, byte in any::<u8>(), cut in any::<bool>(), documents in 1_usize..5,
    ) {
        let mut body = reply(json!(11), vec![ok(json!(0)), ok(json!(2))], vec![err(json!(1), MISSING)]);
        let at = at % body.len();
        if cut { body.truncate(at) } else { body[at] = byte }
        let class = classify(200, None, &body, documents, "a");
        if cut {
            prop_assert!(matches!(class, SaveReply::UnknownOpen(_)));
        }
    }
}
