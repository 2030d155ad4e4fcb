//! Judges an edited document by what its form says: fields that it does not have, values of another kind, and fields that
//! are demanded.
//!
//! A system forgives much and fills defaults by itself, so a document is not held to everything its form says: an edit
//! must make nothing worse, and mend what the system named.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use chrono::NaiveDate;
use document::{Code, Fault};
use kingdee::Form;
use kingdee::form::{Field, Kind};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// What the system said of the document before the edit.
#[derive(Debug, Clone, Copy)]
pub struct Complaint<'a> {
    /// The entry of the catalogue.
    pub code: Code,
    /// The field it named.
    pub field: Option<&'a str>,
    /// Its words.
    pub message: &'a str,
}

impl Complaint<'_> {
    /// Whether it is `code` about this field.
    fn is(&self, code: Code, field: &Field) -> bool {
        let named = self.field.is_some_and(|name| name.eq_ignore_ascii_case(&field.key));
        let said = self.message.contains(&field.key) || (!field.name.is_empty() && self.message.contains(&field.name));
        self.code == code && (named || said)
    }
}

/// Judges the document `after` an edit, which was `before`.
///
/// # Errors
/// The first thing that is wrong, at its JSON path: `E_TARGET_SCHEMA` for a field that the form does not have,
/// `E_TARGET_VALIDATION` for a value of another kind, `E_TARGET_REQUIRED` for a field that is demanded, missing now, and
/// was there before or is the one that the system asked for.
pub fn judge(before: &Value, after: &Value, form: &Form, complaint: &Complaint<'_>) -> Result<(), Fault> {
    let mut old = Findings::default();
    let mut new = Findings::default();
    walk(before, form, &mut old);
    walk(after, form, &mut new);
    let known: BTreeSet<(Code, &str)> = old.wrong.iter().map(|wrong| (wrong.code, wrong.path.as_str())).collect();
    for wrong in &new.wrong {
        let complained = wrong.field.is_some_and(|field| complaint.is(wrong.code, field))
            || (complaint.code == wrong.code && complaint.field.is_some_and(|name| wrong.path.ends_with(name)));
        if complained || !known.contains(&(wrong.code, wrong.path.as_str())) {
            return Err(Fault::new(wrong.code, wrong.detail.clone()).at_path(wrong.path.clone()));
        }
    }
    for (path, part, field) in &new.missing {
        let was_there = old.present.contains(&(part.clone(), field.key.to_lowercase()));
        if was_there || complaint.is(Code::TargetRequired, field) {
            let detail = format!("{} {} must have a value", field.key, field.name).replace("  ", " ");
            return Err(Fault::new(Code::TargetRequired, detail).at_path(path.clone()));
        }
    }
    Ok(())
}

/// Something that is not as the form says.
struct Wrong<'a> {
    code: Code,
    path: String,
    detail: String,
    field: Option<&'a Field>,
}

#[derive(Default)]
struct Findings<'a> {
    wrong: Vec<Wrong<'a>>,
    /// Path, part of the form, and the field that is demanded there.
    missing: Vec<(String, String, &'a Field)>,
    /// Part of the form, and the key in lower case of a field that has a value in it.
    present: BTreeSet<(String, String)>,
}

/// Keys that every form has and none lists.
const IDS: [&str; 5] = ["fid", "fentryid", "fdetailid", "fseq", "id"];

fn walk<'a>(document: &Value, form: &'a Form, into: &mut Findings<'a>) {
    let Value::Object(head) = document else { return };
    let ids = [form.primary_key.to_lowercase()];
    part(head, "$", "", &form.head, &ids, into);
    for (key, value) in head {
        let lower = key.to_lowercase();
        if form.head.contains_key(&lower) || is_id(&lower, &ids) {
            continue;
        }
        let Some(entity) = form.entities.get(&lower) else {
            let detail = format!("the form {} has no field {key}", form.id);
            into.wrong.push(Wrong { code: Code::TargetSchema, path: format!("$.{key}"), detail, field: None });
            continue;
        };
        let ids = [entity.id.to_lowercase()];
        let lines: Vec<(String, &Value)> = match value {
            Value::Array(lines) => {
                lines.iter().enumerate().map(|(at, line)| (format!("$.{key}[{at}]"), line)).collect()
            }
            Value::Null => Vec::new(),
            single => vec![(format!("$.{key}"), single)],
        };
        for (path, line) in lines {
            let Value::Object(line) = line else {
                let detail = format!("{} holds objects", entity.key);
                into.wrong.push(Wrong { code: Code::TargetValidation, path, detail, field: None });
                continue;
            };
            part(line, &path, &lower, &entity.fields, &ids, into);
            for key in line.keys() {
                let lower = key.to_lowercase();
                // Serial numbers and the like are lists below a line; the form describes them as parts of their own.
                let known = entity.fields.contains_key(&lower) || form.entities.contains_key(&lower);
                if !known && !is_id(&lower, &ids) {
                    let detail = format!("{} has no field {key}", entity.key);
                    let path = format!("{path}.{key}");
                    into.wrong.push(Wrong { code: Code::TargetSchema, path, detail, field: None });
                }
            }
        }
    }
}

fn is_id(lower: &str, ids: &[String]) -> bool {
    IDS.contains(&lower) || ids.iter().any(|id| id == lower)
}

/// The fields of one object: of the head, or of a line.
fn part<'a>(
    object: &Map<String, Value>,
    path: &str,
    name: &str,
    fields: &'a std::collections::BTreeMap<String, Field>,
    ids: &[String],
    into: &mut Findings<'a>,
) {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (key, value) in object {
        let lower = key.to_lowercase();
        let Some(field) = fields.get(&lower).filter(|_| !is_id(&lower, ids)) else { continue };
        if is_empty(value) {
            continue;
        }
        if let Err(detail) = fits(value, field.kind) {
            let path = format!("{path}.{key}");
            into.wrong.push(Wrong { code: Code::TargetValidation, path, detail, field: Some(field) });
        }
        into.present.insert((name.to_owned(), lower.clone()));
        seen.insert(lower);
    }
    for (lower, field) in fields.iter().filter(|(lower, field)| field.must_input && !seen.contains(*lower)) {
        if !is_id(lower, ids) {
            into.missing.push((format!("{path}.{}", field.key), name.to_owned(), field));
        }
    }
}

/// Whether a value says nothing: null, blank, an object of such.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Object(members) => members.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}

fn fits(value: &Value, kind: Kind) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("holds {what}"));
    let number = || match value {
        Value::Number(number) => {
            Decimal::from_str(&number.to_string()).or_else(|_| Decimal::from_scientific(&number.to_string())).ok()
        }
        Value::String(text) => Decimal::from_str(text.trim()).ok(),
        _ => None,
    };
    match kind {
        Kind::Other | Kind::Flex => Ok(()),
        Kind::Text => match value {
            Value::Object(_) | Value::Array(_) => wrong("a text"),
            _ => Ok(()),
        },
        Kind::Whole => match number() {
            Some(number) if number.fract().is_zero() => Ok(()),
            _ => wrong("a whole number"),
        },
        Kind::Number => number().map_or_else(|| wrong("a number"), |_| Ok(())),
        Kind::Flag => match value {
            Value::Bool(_) => Ok(()),
            Value::String(text) if ["true", "false", "0", "1"].contains(&text.trim().to_lowercase().as_str()) => Ok(()),
            Value::Number(number) if matches!(number.as_i64(), Some(0 | 1)) => Ok(()),
            _ => wrong("true or false"),
        },
        Kind::Date => {
            let day = value.as_str().and_then(|text| text.trim().split(['T', ' ']).next());
            let read = day.is_some_and(|day| {
                ["%Y-%m-%d", "%Y/%m/%d"].iter().any(|form| NaiveDate::parse_from_str(day, form).is_ok())
            });
            if read { Ok(()) } else { wrong("a date such as 2026-01-31") }
        }
        Kind::BaseData => match value {
            Value::Object(_) | Value::String(_) | Value::Number(_) => Ok(()),
            _ => wrong("base data such as {\"FNumber\": \"…\"}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn form() -> Form {
        Form::read(&json!({"Id": "STK", "PkFieldName": "FID", "Entrys": [
            {"Key": "FBillHead", "Fields": [
                {"Key": "FBillNo", "FieldType": "text"},
                {"Key": "FStockOrgId", "FieldType": "basedata", "MustInput": 1, "Name": [{"Value": "库存组织"}]},
                {"Key": "FBillTypeID", "FieldType": "basedata", "MustInput": 1},
                {"Key": "FDate", "FieldType": "date"},
                {"Key": "FIsFree", "FieldType": "bool"},
            ]},
            {"Key": "FEntity", "EntryPkFieldName": "FEntryID", "Fields": [
                {"Key": "FMaterialId", "FieldType": "basedata", "MustInput": 1, "Name": [{"Value": "物料编码"}]},
                {"Key": "FQty", "FieldType": "decimal"},
                {"Key": "FRow", "FieldType": "int"},
            ]},
        ]}))
        .expect("a form")
    }

    fn bill() -> Value {
        json!({"FID": 0, "FBillNo": "A", "FStockOrgId": {"FNumber": "100"}, "FDate": "2026-01-31",
               "FEntity": [{"FEntryID": 0, "FMaterialId": {"FNumber": "M1"}, "FQty": 1.50}]})
    }

    const QUIET: Complaint<'_> = Complaint { code: Code::ReferenceMissing, field: None, message: "" };

    fn judged(change: impl FnOnce(&mut Value), complaint: &Complaint<'_>) -> Option<(Code, String)> {
        let (before, mut after) = (bill(), bill());
        change(&mut after);
        let fault = judge(&before, &after, &form(), complaint).err()?;
        Some((fault.code, fault.place.path.expect("a path")))
    }

    #[test]
    fn an_edit_that_keeps_to_the_form_passes_and_defaults_are_left_to_the_system() {
        // FBillTypeID is demanded and was never sent: the system fills it.
        assert_eq!(judged(|bill| bill["FEntity"][0]["FMaterialId"]["FNumber"] = json!("M2"), &QUIET), None);
        assert_eq!(judged(|bill| bill["FDate"] = json!("2026-02-01T00:00:00"), &QUIET), None);
        assert_eq!(judged(|bill| bill["FEntity"][0]["FQty"] = json!("12.5"), &QUIET), None);
    }

    #[test]
    fn an_unknown_field_is_refused_in_the_head_and_in_a_line() {
        let unknown = |path: &str| Some((Code::TargetSchema, path.to_owned()));
        assert_eq!(judged(|bill| bill["FColour"] = json!("red"), &QUIET), unknown("$.FColour"));
        assert_eq!(judged(|bill| bill["FEntity"][0]["FShade"] = json!(1), &QUIET), unknown("$.FEntity[0].FShade"));
    }

    #[test]
    fn a_value_of_another_kind_is_refused_at_its_path() {
        let wrong = |path: &str| Some((Code::TargetValidation, path.to_owned()));
        assert_eq!(judged(|bill| bill["FDate"] = json!("31.1.2026"), &QUIET), wrong("$.FDate"));
        assert_eq!(judged(|bill| bill["FIsFree"] = json!("perhaps"), &QUIET), wrong("$.FIsFree"));
        assert_eq!(judged(|bill| bill["FStockOrgId"] = json!([1]), &QUIET), wrong("$.FStockOrgId"));
        assert_eq!(judged(|bill| bill["FEntity"][0]["FQty"] = json!("twelve"), &QUIET), wrong("$.FEntity[0].FQty"));
        assert_eq!(judged(|bill| bill["FEntity"][0]["FRow"] = json!(1.5), &QUIET), wrong("$.FEntity[0].FRow"));
        assert_eq!(judged(|bill| bill["FBillNo"] = json!({"a": 1}), &QUIET), wrong("$.FBillNo"));
        assert_eq!(judged(|bill| bill["FEntity"][0] = json!("x"), &QUIET), wrong("$.FEntity[0]"));
    }

    #[test]
    fn a_demanded_field_may_not_be_taken_away_nor_left_out_where_the_system_asked_for_it() {
        let missing = |path: &str| Some((Code::TargetRequired, path.to_owned()));
        let empty = json!({"FNumber": ""});
        assert_eq!(judged(|bill| bill["FStockOrgId"] = empty, &QUIET), missing("$.FStockOrgId"));
        let line = json!({"FQty": 1});
        let added = |bill: &mut Value| bill["FEntity"].as_array_mut().expect("lines").push(line);
        assert_eq!(judged(added, &QUIET), missing("$.FEntity[1].FMaterialId"));
        for complaint in [
            Complaint { code: Code::TargetRequired, field: Some("FBILLTYPEID"), message: "" },
            Complaint { code: Code::TargetRequired, field: None, message: "字段“FBillTypeID”是必填项" },
        ] {
            let other = |bill: &mut Value| bill["FBillNo"] = json!("B");
            assert_eq!(judged(other, &complaint), missing("$.FBillTypeID"));
            let mended = |bill: &mut Value| bill["FBillTypeID"] = json!({"FNUMBER": "QTRKD01_SYS"});
            assert_eq!(judged(mended, &complaint), None);
        }
        let mut without = bill();
        without.as_object_mut().expect("a bill").remove("FStockOrgId");
        let complaint = Complaint { code: Code::TargetRequired, field: None, message: "“库存组织”必录" };
        let fault = judge(&without, &without, &form(), &complaint).expect_err("still missing");
        assert_eq!(fault.place.path.as_deref(), Some("$.FStockOrgId"));
    }

    #[test]
    fn what_was_odd_before_and_was_not_complained_of_does_not_stop_an_edit() {
        let mut before = bill();
        before["FOld"] = json!(1);
        let mut after = before.clone();
        after["FBillNo"] = json!("B");
        assert_eq!(judge(&before, &after, &form(), &QUIET), Ok(()));
        let complaint = Complaint { code: Code::TargetSchema, field: Some("FOld"), message: "" };
        let fault = judge(&before, &after, &form(), &complaint).expect_err("not mended");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::TargetSchema, Some("$.FOld")));
    }
}
