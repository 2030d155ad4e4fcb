//! Whether a document of the target is the one that was sent.
//!
//! The answer decides whether a bill counts as loaded, so it leans to one side: a field that differs makes the
//! document another one, and too little to compare makes the answer unclear. Taking our own document for a foreign one
//! costs a letter; the reverse would lose a bill. The rules:
//!
//! * What is compared is what was sent: head fields, sub-heads (their fields stand beside the head's in queries), and
//!   the lines of one entity, the one with the most lines, by position. A query cannot hold two entities at once.
//! * Base data is compared by its number (`FMATERIALID.FNumber`), or by its name where that was sent. Flexible value
//!   sets and base data by inner id have no queryable text and are left out, and so is what the server itself keeps
//!   (status, dates of creation and change).
//! * A blank that was sent says nothing: the server may put its default there.
//! * Numbers by value, at ten decimal places, which is what the server's columns hold; a text and a number agree if the
//!   text is that number. Two texts agree as texts, without blanks at the ends; as dates where both are dates (a
//!   missing time is midnight); as numbers where one has a decimal point. `true`, `"1"` and `1` are the same.
//! * The number of lines must be the number sent.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{NaiveDate, NaiveDateTime};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Map, Value};

use crate::core::event::Likeness;

/// Decimal places of the server's amount columns.
const PLACES: u32 = 10;

/// Fields that the server sets by itself.
const KEPT_BY_SERVER: [&str; 9] = [
    "FID",
    "FDocumentStatus",
    "FCreateDate",
    "FModifyDate",
    "FApproveDate",
    "FCreatorId",
    "FModifierId",
    "FApproverId",
    "FCancelStatus",
];

/// The columns by which documents can be compared, as query keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// Of the head and its sub-heads.
    pub head: Vec<String>,
    /// The member that holds the lines, and the columns of a line.
    pub lines: Option<(String, Vec<String>)>,
}

/// One row of a query, by column.
pub type Row = BTreeMap<String, Value>;

/// The columns that comparing any of `documents` takes, without those in `unknown`.
pub fn columns(documents: &[&Value], unknown: &BTreeSet<String>) -> Columns {
    let mut head = Vec::new();
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for document in documents {
        let Some(members) = document.as_object() else { continue };
        for (column, _) in cells(members, true) {
            push_new(&mut head, column, unknown);
        }
        for (name, lines) in entities(members) {
            *sizes.entry(name).or_default() += lines.len();
        }
    }
    let largest = sizes.into_iter().max_by_key(|(_, size)| *size).map(|(name, _)| name);
    let lines = largest.map(|name| {
        let mut columns = Vec::new();
        for line in documents.iter().flat_map(|document| lines_of(document, name)) {
            for (column, _) in cells(line, false) {
                push_new(&mut columns, column, unknown);
            }
        }
        (name.to_owned(), columns)
    });
    Columns { head, lines }
}

fn push_new(columns: &mut Vec<String>, column: String, unknown: &BTreeSet<String>) {
    if !columns.contains(&column) && !unknown.contains(&column) {
        columns.push(column);
    }
}

/// The entities of a document: members that are lists of objects.
fn entities(members: &Map<String, Value>) -> impl Iterator<Item = (&str, &Vec<Value>)> {
    members.iter().filter_map(|(name, value)| match value {
        Value::Array(lines) if lines.iter().any(Value::is_object) => Some((name.as_str(), lines)),
        _ => None,
    })
}

fn lines_of<'a>(document: &'a Value, entity: &str) -> impl Iterator<Item = &'a Map<String, Value>> {
    document.get(entity).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// The comparable values of a head or line with their columns.
fn cells(members: &Map<String, Value>, sub_heads: bool) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (name, value) in members {
        if KEPT_BY_SERVER.iter().any(|kept| kept.eq_ignore_ascii_case(name)) {
            continue;
        }
        match value {
            Value::Null | Value::Array(_) => {}
            Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push((name.clone(), value)),
            Value::Object(inner) => match base_data(inner) {
                BaseData::By(property, value) => found.push((format!("{name}.{property}"), value)),
                BaseData::Hidden => {}
                BaseData::Not if sub_heads => found.extend(cells(inner, false)),
                BaseData::Not => {}
            },
        }
    }
    found
}

enum BaseData<'a> {
    By(&'static str, &'a Value),
    /// Base data without a text that a query gives.
    Hidden,
    /// An object of fields.
    Not,
}

fn base_data(members: &Map<String, Value>) -> BaseData<'_> {
    let mut entries = members.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else { return BaseData::Not };
    if value.is_object() || value.is_array() {
        // `{"FSTOCKLOCID__FF100001": {"FNumber": …}}` is a flexible value set.
        return if name.contains("__") { BaseData::Hidden } else { BaseData::Not };
    }
    match name.to_ascii_lowercase().as_str() {
        "fnumber" => BaseData::By("FNumber", value),
        "fname" => BaseData::By("FName", value),
        "fuserid" | "fstaffnumber" | "fcode" | "fid" => BaseData::Hidden,
        _ => BaseData::Not,
    }
}

/// Compares what was sent with the rows that one document of the target gave, in the order of its lines. `key` is the
/// field it was found by, which proves nothing.
pub fn compare(sent: &Value, key: &str, columns: &Columns, rows: &[Row]) -> Likeness {
    let (Some(members), Some(first)) = (sent.as_object(), rows.first()) else {
        return Likeness::Unclear("there is nothing to compare".to_owned());
    };
    let mut agreed = 0;
    let head = cells(members, true).into_iter().filter(|(column, _)| !column.eq_ignore_ascii_case(key));
    for (column, value) in head.filter(|(column, _)| columns.head.contains(column)) {
        match agree(value, first.get(&column)) {
            Some(true) => agreed += 1,
            Some(false) => return Likeness::Different(format!("{column} differs")),
            None => {}
        }
    }
    let has_lines = entities(members).next().is_some();
    match &columns.lines {
        Some((entity, line_columns)) if !line_columns.is_empty() => {
            let lines: Vec<_> = lines_of(sent, entity).collect();
            if lines.is_empty() && has_lines {
                return Likeness::Unclear(format!("its lines are not in {entity}"));
            }
            if !lines.is_empty() && lines.len() != rows.len() {
                return Likeness::Different(format!("{entity} has {} lines instead of {}", rows.len(), lines.len()));
            }
            for (at, (line, row)) in lines.iter().zip(rows).enumerate() {
                for (column, value) in cells(line, false).iter().filter(|(column, _)| line_columns.contains(column)) {
                    match agree(value, row.get(column)) {
                        Some(true) => agreed += 1,
                        Some(false) => {
                            return Likeness::Different(format!("{entity}[{at}].{column} differs"));
                        }
                        None => {}
                    }
                }
            }
        }
        _ if has_lines => return Likeness::Unclear("its lines cannot be queried".to_owned()),
        _ => {}
    }
    if agreed == 0 {
        return Likeness::Unclear("no field but the key could be compared".to_owned());
    }
    Likeness::Same
}

/// Whether a value that was sent is what the target gave; `None` when the value that was sent says nothing.
fn agree(sent: &Value, found: Option<&Value>) -> Option<bool> {
    let blank = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    };
    if blank(sent) {
        return None;
    }
    let Some(found) = found.filter(|found| !blank(found)) else {
        // Zero and "no" are what an empty column reads as.
        return Some(number(sent).is_some_and(|sent| sent.is_zero()) || truth(sent) == Some(false));
    };
    Some(same(sent, found))
}

fn same(sent: &Value, found: &Value) -> bool {
    if let (Value::String(sent), Value::String(found)) = (sent, found) {
        return same_texts(sent, found);
    }
    if (sent.is_boolean() || found.is_boolean()) && truth(sent).is_some() {
        return truth(sent) == truth(found);
    }
    match (number(sent), number(found)) {
        (Some(sent), Some(found)) => rounded(sent) == rounded(found),
        _ => false,
    }
}

fn same_texts(sent: &str, found: &str) -> bool {
    let clean = |text: &str| text.trim().replace("\r\n", "\n");
    let (sent, found) = (clean(sent), clean(found));
    if sent == found {
        return true;
    }
    if let (Some(sent), Some(found)) = (date(&sent), date(&found)) {
        return sent == found;
    }
    let truths = [("true", "1"), ("false", "0")];
    if truths.iter().any(|(word, digit)| (sent == *word && found == *digit) || (sent == *digit && found == *word)) {
        return true;
    }
    // Codes such as 001 and 1 are different texts; only what has a decimal point is surely a quantity.
    if !sent.contains('.') && !found.contains('.') {
        return false;
    }
    match (decimal(&sent), decimal(&found)) {
        (Some(sent), Some(found)) => rounded(sent) == rounded(found),
        _ => false,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => match text.trim() {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        },
        Value::Number(number) => match number.to_string().as_str() {
            "1" => Some(true),
            "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn number(value: &Value) -> Option<Decimal> {
    match value {
        Value::Number(number) => decimal(&number.to_string()),
        Value::String(text) => decimal(text.trim()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn decimal(text: &str) -> Option<Decimal> {
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

fn rounded(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(PLACES, RoundingStrategy::MidpointAwayFromZero)
}

/// A date or date with time, in the forms that are sent and given back.
pub(crate) fn date(text: &str) -> Option<NaiveDateTime> {
    let text = text.trim().replacen('T', " ", 1);
    NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f")
        .ok()
        .or_else(|| NaiveDate::parse_from_str(&text, "%Y-%m-%d").ok().and_then(|date| date.and_hms_opt(0, 0, 0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row(cells: Value) -> Row {
        cells.as_object().expect("an object").iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn bill() -> Value {
        json!({
            "FBillNo": "QTRK-1", "FDate": "2024-03-14 08:00:00", "FNOTE": "O'Brien 其他", "FStockOrgId": {"FNumber": "125"},
            "FBillTypeID": {"FNUMBER": "QTRKD01_SYS"}, "FStockerId": {"FStaffNumber": "7"}, "FDocumentStatus": "A", "FEmpty": "",
            "SubHeadEntity": {"FSettleCurrId": {"FNumber": "PRE001"}, "FRate": 1},
            "FEntity": [
                {"FMATERIALID": {"FNumber": "M1"}, "FQty": "12.50", "FIsFree": false, "FStockLocId": {"FSTOCKLOCID__FF100001": {"FNumber": "L"}}},
                {"FMATERIALID": {"FNumber": "M2"}, "FQty": 3},
            ],
        })
    }

    fn found() -> Vec<Row> {
        let head = json!({
            "FDate": "2024-03-14T08:00:00", "FNOTE": "O'Brien 其他", "FStockOrgId.FNumber": "125", "FBillTypeID.FNumber": "QTRKD01_SYS",
            "FSettleCurrId.FNumber": "PRE001", "FRate": 1.0, "FEmpty": "default", "FBillNo": "QTRK-1",
        });
        let line = |material: &str, quantity: Value, free: Value| {
            let mut cells = row(head.clone());
            cells.extend(row(json!({"FMATERIALID.FNumber": material, "FQty": quantity, "FIsFree": free})));
            cells
        };
        vec![line("M1", json!(12.5), json!("0")), line("M2", json!(3.0), Value::Null)]
    }

    fn verdict(sent: &Value, rows: &[Row]) -> Likeness {
        compare(sent, "FBillNo", &columns(&[sent], &BTreeSet::new()), rows)
    }

    #[test]
    fn columns_are_query_keys_of_what_was_sent() {
        let columns = columns(&[&bill()], &BTreeSet::from(["FNOTE".to_owned()]));
        assert_eq!(
            columns.head,
            [
                "FBillNo",
                "FDate",
                "FStockOrgId.FNumber",
                "FBillTypeID.FNumber",
                "FEmpty",
                "FSettleCurrId.FNumber",
                "FRate"
            ]
        );
        let lines = ["FMATERIALID.FNumber", "FQty", "FIsFree"].map(str::to_owned).to_vec();
        assert_eq!(columns.lines, Some(("FEntity".to_owned(), lines)));
    }

    #[test]
    fn a_document_is_ours_when_everything_that_was_sent_is_there() {
        assert_eq!(verdict(&bill(), &found()), Likeness::Same);
    }

    #[test]
    fn one_field_or_line_makes_it_another_document() {
        let different = |change: &dyn Fn(&mut Vec<Row>)| {
            let mut rows = found();
            change(&mut rows);
            match verdict(&bill(), &rows) {
                Likeness::Different(detail) => detail,
                other => panic!("{other:?}"),
            }
        };
        let set = |rows: &mut Vec<Row>, at: usize, column: &str, value: Value| {
            rows[at].insert(column.to_owned(), value);
        };
        assert_eq!(different(&|rows| set(rows, 0, "FNOTE", json!("other"))), "FNOTE differs");
        assert_eq!(different(&|rows| set(rows, 0, "FStockOrgId.FNumber", Value::Null)), "FStockOrgId.FNumber differs");
        assert_eq!(different(&|rows| set(rows, 1, "FQty", json!(3.01))), "FEntity[1].FQty differs");
        assert_eq!(different(&|rows| rows.swap(0, 1)), "FEntity[0].FMATERIALID.FNumber differs");
        assert_eq!(different(&|rows| drop(rows.pop())), "FEntity has 1 lines instead of 2");
    }

    #[test]
    fn too_little_to_compare_is_unclear() {
        let no_lines = BTreeSet::from(["FMATERIALID.FNumber", "FQty", "FIsFree"].map(str::to_owned));
        let without = columns(&[&bill()], &no_lines);
        assert_eq!(
            compare(&bill(), "FBillNo", &without, &found()),
            Likeness::Unclear("its lines cannot be queried".to_owned())
        );
        let bare = json!({"FBillNo": "A", "FNote": ""});
        assert_eq!(
            verdict(&bare, &[row(json!({"FBillNo": "A", "FNote": "x"}))]),
            Likeness::Unclear("no field but the key could be compared".to_owned())
        );
        assert_eq!(verdict(&bill(), &[]), Likeness::Unclear("there is nothing to compare".to_owned()));
    }

    #[test]
    fn values_agree_by_what_they_mean() {
        let table = [
            (json!("12.50"), json!(12.5), true),
            (json!(0.1), json!(0.10000000001), true),
            (json!(0.1), json!(0.1001), false),
            (json!("001"), json!("1"), false),
            (json!("001"), json!(1), true),
            (json!("1.50"), json!("1.5"), true),
            (json!(" x "), json!("x"), true),
            (json!("a\r\nb"), json!("a\nb"), true),
            (json!("X"), json!("x"), false),
            (json!("2024-01-02"), json!("2024-01-02T00:00:00"), true),
            (json!("2024-01-02"), json!("2024-01-02T00:00:01"), false),
            (json!("2024-01-02 03:04:05"), json!("2024-01-02T03:04:05.000"), true),
            (json!(true), json!("1"), true),
            (json!("true"), json!(true), true),
            (json!("true"), json!("1"), true),
            (json!(false), json!(true), false),
            (json!(0), Value::Null, true),
            (json!(1), Value::Null, false),
            (json!("x"), json!(" "), false),
            (
                json!("12345678901234567890.12"),
                serde_json::from_str("12345678901234567890.120").expect("a number"),
                true,
            ),
        ];
        for (sent, found, expected) in table {
            assert_eq!(agree(&sent, Some(&found)), Some(expected), "{sent} and {found}");
        }
        assert_eq!(agree(&json!(" "), Some(&json!("x"))), None);
    }
}
