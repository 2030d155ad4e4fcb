//! View and QueryBusinessInfo: a document under its ORM names, and the metadata of a form.

use serde_json::{Map, Value, json};

use crate::query::Package;
use crate::reply::{Problem, Reply, empty_parameter, status, unknown_form, unknown_numbers};
use crate::schema::{Field, Form};
use crate::store::{Document, Store};
use crate::value::{Cell, Kind};

/// The locale of multi-language texts: Chinese.
const LOCALE: u32 = 2052;

/// Runs View.
///
/// # Errors
///
/// MsgCode 8 without number and id, 9 for one that does not exist.
pub fn view(store: &Store, table: usize, data: &Map<String, Value>) -> Result<Reply, Problem> {
    let package = Package(data);
    let (number, id) = (package.text("Number"), package.text("Id"));
    let known = store.table(table);
    let found = match id.trim().parse::<i64>() {
        Ok(id) if id > 0 => known.get(id),
        _ if number.trim().is_empty() => return Err(empty_parameter("Number")),
        _ => known.by_number(&number).first().and_then(|id| known.get(*id)),
    };
    let wanted = if number.trim().is_empty() { id } else { number };
    let document = found.ok_or_else(|| unknown_numbers(&[wanted]))?;
    Ok(Reply::ok(json!({ "Result": { "ResponseStatus": null, "Result": expand(store, &known.form, document) } })))
}

fn expand(store: &Store, form: &Form, document: &Document) -> Value {
    let mut object = Map::from_iter([("Id".to_owned(), Value::from(document.id))]);
    let head = form.head.iter().zip(&document.head);
    for (field, cell) in head.clone().filter(|(field, _)| field.sub_head.is_none()) {
        let is_title = form.title.and_then(|title| form.head.get(title)).is_some_and(|title| title.key == field.key);
        if is_title {
            object.insert("MultiLanguageText".to_owned(), multi_language(document.id, cell));
            object.insert(field.orm.clone(), name(cell));
        } else {
            member(store, &mut object, field, cell);
        }
    }
    for (index, sub_head) in form.sub_heads.iter().enumerate() {
        let mut row = Map::from_iter([("Id".to_owned(), Value::from(document.id))]);
        for (field, cell) in head.clone().filter(|(field, _)| field.sub_head == Some(index)) {
            member(store, &mut row, field, cell);
        }
        object.insert(sub_head.orm.clone(), json!([row]));
    }
    for (entity, rows) in form.entities.iter().zip(&document.entries) {
        let rows = rows.iter().enumerate().map(|(index, row)| {
            let mut object =
                Map::from_iter([("Id".to_owned(), Value::from(row.id)), ("Seq".to_owned(), (index + 1).into())]);
            for (field, cell) in entity.fields.iter().zip(&row.cells) {
                member(store, &mut object, field, cell);
            }
            Value::Object(object)
        });
        object.insert(entity.orm.clone(), rows.collect());
    }
    Value::Object(object)
}

/// A plain value under its ORM name; base data as the raw id and as an expanded object.
fn member(store: &Store, object: &mut Map<String, Value>, field: &Field, cell: &Cell) {
    let Kind::BaseData(target) = &field.kind else {
        object.insert(field.orm.clone(), cell.seen().json());
        return;
    };
    let id = match cell {
        Cell::Reference(id) => *id,
        Cell::Null | Cell::Text(_) | Cell::Int(_) | Cell::Decimal(_) | Cell::Time(_) | Cell::Bool(_) => 0,
    };
    object.insert(format!("{}_Id", field.orm), id.into());
    let expanded = store.find(target).and_then(|at| {
        let table = store.table(at);
        let found = table.get(id)?;
        let title = table.form.title.and_then(|title| found.head.get(title)).unwrap_or(&Cell::Null);
        Some(json!({
            "Id": id,
            "Number": found.number(&table.form),
            "Name": name(title),
            "MultiLanguageText": multi_language(id, title),
        }))
    });
    object.insert(field.orm.clone(), expanded.unwrap_or(Value::Null));
}

fn name(title: &Cell) -> Value {
    json!([{ "Key": LOCALE, "Value": title.seen().json() }])
}

fn multi_language(id: i64, title: &Cell) -> Value {
    json!([{ "PkId": id, "LocaleId": LOCALE, "Name": title.seen().json() }])
}

/// Runs QueryBusinessInfo.
///
/// # Errors
///
/// MsgCode 5 without a form, 4 for an unknown one.
pub fn business_info(store: &Store, data: &Map<String, Value>) -> Result<Reply, Problem> {
    let id = Package(data).text("FormId");
    if id.trim().is_empty() {
        return Err(Problem::new(5, "业务对象标识不能为空"));
    }
    let form = &store.table(store.find(&id).ok_or_else(|| unknown_form(&id))?).form;
    let fields = |fields: &mut dyn Iterator<Item = &Field>| fields.map(describe).collect::<Vec<_>>();
    let mut entries = vec![json!({
        "Key": "FBillHead",
        "Name": [{ "Key": LOCALE, "Value": "单据头" }],
        "EntryPkFieldName": form.pk,
        "Fields": fields(&mut form.head.iter().filter(|field| field.sub_head.is_none())),
    })];
    for (index, sub_head) in form.sub_heads.iter().enumerate() {
        entries.push(json!({
            "Key": sub_head.key,
            "EntryName": sub_head.orm,
            "EntryPkFieldName": form.pk,
            "Fields": fields(&mut form.head.iter().filter(|field| field.sub_head == Some(index))),
        }));
    }
    for entity in &form.entities {
        entries.push(json!({
            "Key": entity.key,
            "Name": [{ "Key": LOCALE, "Value": entity.name }],
            "EntryName": entity.orm,
            "EntryPkFieldName": entity.pk,
            "SeqFieldKey": "FSeq",
            "Fields": fields(&mut entity.fields.iter()),
        }));
    }
    let info = json!({
        "Id": form.id,
        "Name": [{ "Key": LOCALE, "Value": form.name }],
        "PkFieldName": form.pk,
        "PkFieldType": "INT",
        "Entrys": entries,
    });
    let success = status(true, Vec::new(), Vec::new(), Vec::new(), 0);
    Ok(Reply::ok(json!({ "Result": { "ResponseStatus": success, "NeedReturnData": info } })))
}

fn describe(field: &Field) -> Value {
    let (kind, look_up) = match &field.kind {
        Kind::Text => ("text", None),
        Kind::Int => ("int", None),
        Kind::Decimal(_) => ("decimal", None),
        Kind::Date => ("date", None),
        Kind::DateTime => ("datetime", None),
        Kind::Bool => ("bool", None),
        Kind::BaseData(form) => ("basedata", Some(form.as_str())),
        Kind::Enum(_) => ("enum", None),
        Kind::Flex => ("flex", None),
    };
    json!({
        "Key": field.key,
        "Name": [{ "Key": LOCALE, "Value": field.name }],
        "PropertyName": field.orm,
        "FieldType": kind,
        "MustInput": u8::from(field.required),
        "LookUpObject": look_up.map(|form| json!({ "FormId": form })),
    })
}
