//! Pages of a source that are not what was asked.

use document::{Code, Fault};
use extractor::core::columns::{Columns, Roles};
use extractor::core::key::Key;
use extractor::core::scan::{Position, Scan};
use inputs::{Tally, sample};
use kingdee::query::{Context, read, rows};
use serde_json::{Value, json};

const CONTEXT: Context<'_> =
    Context { method: "ExecuteBillQuery", form: "STK_MISCELLANEOUS", account: "erp.example.com:443/a1" };
const BILLS: i64 = 24;

fn columns() -> Columns {
    let declared = sample::COLUMNS.map(|key| (key.to_owned(), key.to_owned()));
    Columns::new(
        &declared[..3],
        Roles { key: Some("FID"), entry: Some("FEntity_FEntryID"), stamp: Some("FApproveDate"), created: None },
    )
}

/// Takes a page as the extractor does, asked for the bills behind number 0.
fn take(status: u16, body: &[u8]) -> Result<usize, Vec<Fault>> {
    let columns = columns();
    let cells = read(CONTEXT, status, None, body)
        .and_then(|value| rows(CONTEXT, value, columns.keys().len()))
        .map_err(|error| vec![error.fault()])?;
    let mut scan = Scan::new(Position::After(Key::Integer(0)), 500, true, 1 << 20);
    let bills = columns.read(cells).and_then(|rows| scan.accept(rows));
    bills.map(|bills| bills.len()).map_err(|rejected| vec![rejected.fault("misc-inbound")])
}

fn body(page: &[Vec<Value>]) -> Vec<u8> {
    serde_json::to_vec(page).expect("JSON")
}

/// Pages that lack what a row must have, at each row.
fn rows_that_are_not() -> Vec<(String, Vec<u8>)> {
    let good = sample::page(BILLS);
    let mut bad = Vec::new();
    for at in 0..good.len() {
        let mut other = |what: &str, damage: &dyn Fn(&mut Vec<Value>)| {
            let mut page = good.clone();
            damage(&mut page[at]);
            bad.push((format!("row {at}: {what}"), body(&page)));
        };
        other("a cell less", &|row| drop(row.pop()));
        other("a cell more", &|row| row.push(json!(1)));
        other("no cells", &|row| row.clear());
        for (name, value) in [
            ("null", json!(null)),
            ("blank", json!(" ")),
            ("a boolean", json!(true)),
            ("a fraction", json!(1.5)),
            ("a list", json!([1])),
            ("an object", json!({"FID": 1})),
        ] {
            other(&format!("its id is {name}"), &|row| row[3] = value.clone());
            if !value.is_null() {
                other(&format!("its line is {name}"), &|row| row[0] = value.clone());
            }
        }
        other("a date of another kind", &|row| row[4] = json!({"date": "2024-03-14"}));
        other("an id that was not asked for", &|row| row[3] = json!(-1));
        other("an id of another kind", &|row| row[3] = json!("入库"));
        other("an error among the cells", &|row| row[2] = sample::status(4, &[], &[json!({"Message": "x"})]));
        for (name, value) in [("null", json!(null)), ("an object", json!({"FID": 1})), ("a text", json!("行"))] {
            let mut page: Vec<Value> = good.iter().cloned().map(Value::from).collect();
            page[at] = value;
            bad.push((format!("row {at} is {name}"), serde_json::to_vec(&page).expect("JSON")));
        }
        if at > 0 {
            let mut twice = good.clone();
            twice.insert(at, good[at - 1].clone());
            bad.push((format!("row {} twice", at - 1), body(&twice)));
            let mut down = good.clone();
            down.swap(at - 1, at);
            bad.push((format!("rows {} and {at} the other way round", at - 1), body(&down)));
        }
    }
    bad
}

#[test]
fn no_damaged_page_is_taken_for_data() {
    let mut tally = Tally::default();
    let good = body(&sample::page(BILLS));
    assert_eq!(take(200, &good).map_err(|faults| faults.len()), Ok(usize::try_from(BILLS).expect("few") - 1));
    for (what, body) in rows_that_are_not() {
        tally.note(&what, &take(200, &body).err().unwrap_or_default());
    }
    // A reply that breaks off anywhere is no shorter page.
    for end in (1..good.len()).step_by(7) {
        tally.note(&format!("cut at byte {end}"), &take(200, &good[..end]).err().unwrap_or_default());
    }
    for status in [301, 302, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504] {
        tally.note(&format!("status {status}"), &take(status, b"<html>").err().unwrap_or_default());
        tally.note(&format!("a page under {status}"), &take(status, &good).err().unwrap_or_default());
    }
    for (code, message) in [
        (1, "会话信息已丢失，请重新登录"),
        (2, "没有查看权限"),
        (4, "GetRealExpress error"),
        (4, "标识为“X”的业务对象不存在，或者被删除。"),
        (6, "连接超时"),
        (7, "没有可用的许可"),
        (9, "元数据中标识为FXYZ的字段不存在"),
        (13, "被锁定"),
        (14, "调用次数超限"),
    ] {
        let error = sample::status(code, &[], &[json!({"FieldName": null, "Message": message, "DIndex": 0})]);
        for (form, body) in [("plain", error.clone()), ("as a row", json!([[error]]))] {
            let body = serde_json::to_vec(&body).expect("JSON");
            tally.note(&format!("{message} {form}"), &take(200, &body).err().unwrap_or_default());
        }
    }
    for other in ["", "null", "7", "\"x\"", "{}", "{\"rows\":[]}", "<!DOCTYPE html>", "response_error:x", "[[[[]]]]"] {
        tally.note(other, &take(200, other.as_bytes()).err().unwrap_or_default());
    }
    assert!(tally.inputs >= 1_000, "{} pages", tally.inputs);
    assert!(tally.len() >= 40 && tally.codes() >= 12, "{} pairs of {} codes", tally.len(), tally.codes());
}

#[test]
fn a_bill_that_never_holds_still_is_given_up() {
    let columns = columns();
    let mut scan = Scan::new(Position::Start, 2, true, 1 << 20);
    let read = |page: Vec<Vec<Value>>| columns.read(page).expect("rows");
    let page = |stamp: usize| {
        let mut page = sample::page(1);
        page.iter_mut().for_each(|row| row[4] = json!(format!("2024-03-14T09:00:{stamp:02}")));
        page
    };
    let mut rejected = None;
    for turn in 0..60 {
        let rows = match scan.next() {
            Some(Position::Rest { .. }) => Vec::new(),
            Some(_) => read(page(turn)),
            None => break,
        };
        if let Err(error) = scan.accept(rows) {
            rejected = Some(error.fault("misc-inbound"));
            break;
        }
    }
    let fault = rejected.expect("given up");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::SourceMoving, Some("misc-inbound")));
}
