//! What a system says of a form: its fields, and which of them a document must have.

use std::collections::BTreeMap;

use serde_json::Value;

/// What a field holds, as far as a document can be judged by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text, or a choice: any scalar.
    Text,
    /// A whole number.
    Whole,
    /// A number, exact.
    Number,
    /// A day, or a day and a time.
    Date,
    /// Yes or no.
    Flag,
    /// Base data: named by an object with its number or id.
    BaseData,
    /// Dimensions whose members the form does not list.
    Flex,
    /// A kind that is not known here: anything.
    Other,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its key as the system writes it, such as `FStockOrgId`.
    pub key: String,
    /// Its title as people see it; empty where the system gives none.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether a document must have it. A system may fill it by itself where it has a default.
    pub must_input: bool,
}

/// A list of lines, or a part of the head with a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its key as the system writes it, such as `FEntity`.
    pub key: String,
    /// The key of a line's id.
    pub id: String,
    /// Its fields by their keys in lower case.
    pub fields: BTreeMap<String, Field>,
}

/// A form.
///
/// **Source**: `NeedReturnData` of QueryBusinessInfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What it is called, such as `STK_MISCELLANEOUS`.
    pub id: String,
    /// The field that holds the inner id.
    pub primary_key: String,
    /// The fields of the head by their keys in lower case.
    pub head: BTreeMap<String, Field>,
    /// Everything else by its key in lower case.
    pub entities: BTreeMap<String, Entity>,
}

impl Form {
    /// Reads what QueryBusinessInfo answered; `None` when it does not describe a form.
    pub fn read(info: &Value) -> Option<Self> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let primary_key = text(info, "PkFieldName");
        let mut form = Self {
            id: info.get("Id")?.as_str()?.to_owned(),
            primary_key: if primary_key.is_empty() { "FID".to_owned() } else { primary_key },
            head: BTreeMap::new(),
            entities: BTreeMap::new(),
        };
        for entry in info.get("Entrys")?.as_array()? {
            let fields: BTreeMap<String, Field> = entry
                .get("Fields")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default()
                .iter()
                .filter_map(field)
                .map(|field| (field.key.to_lowercase(), field))
                .collect();
            let key = text(entry, "Key");
            if key.eq_ignore_ascii_case("FBillHead") {
                form.head = fields;
            } else {
                let id = text(entry, "EntryPkFieldName");
                form.entities.insert(key.to_lowercase(), Entity { key, id, fields });
            }
        }
        (!form.head.is_empty()).then_some(form)
    }
}

fn field(value: &Value) -> Option<Field> {
    let key = value.get("Key")?.as_str()?.to_owned();
    let must_input = match value.get("MustInput") {
        Some(Value::Bool(must)) => *must,
        Some(Value::Number(number)) => number.as_i64().is_some_and(|number| number != 0),
        Some(Value::String(text)) => matches!(text.trim(), "1" | "true" | "True"),
        _ => false,
    };
    let word = value.get("FieldType").map(|kind| match kind {
        Value::String(word) => word.to_lowercase(),
        other => other.to_string(),
    });
    let looked_up = value.get("LookUpObject").is_some_and(Value::is_object);
    let kind = match word.as_deref().unwrap_or_default() {
        word if word.contains("flex") => Kind::Flex,
        _ if looked_up => Kind::BaseData,
        word if word.contains("basedata") => Kind::BaseData,
        "int" | "integer" | "bigint" => Kind::Whole,
        word if ["decimal", "amount", "qty", "price"].iter().any(|kind| word.contains(kind)) => Kind::Number,
        word if word.contains("date") => Kind::Date,
        "bool" | "boolean" | "checkbox" => Kind::Flag,
        "text" | "enum" | "combo" | "billno" | "largetext" => Kind::Text,
        _ => Kind::Other,
    };
    let name = match value.get("Name") {
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => {
            names.first().and_then(|name| name.get("Value")).and_then(Value::as_str).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    Some(Field { key, name, kind, must_input })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_form_is_read_with_its_head_its_lines_and_what_it_demands() {
        let info = json!({"Id": "X", "PkFieldName": "FPk", "Entrys": [
            {"Key": "FBillHead", "Fields": [
                {"Key": "FBillNo", "FieldType": "text", "MustInput": 0},
                {"Key": "FDate", "FieldType": "datetime", "MustInput": "1"},
                {"Key": "FOrg", "FieldType": 13, "MustInput": 1, "LookUpObject": {"FormId": "ORG"}},
            ]},
            {"Key": "FEntity", "EntryPkFieldName": "FEntryID", "Fields": [
                {"Key": "FQty", "FieldType": "decimal", "MustInput": true},
                {"Key": "FAux", "FieldType": "flex", "LookUpObject": null},
            ]},
        ]});
        let form = Form::read(&info).expect("a form");
        assert_eq!((form.id.as_str(), form.primary_key.as_str()), ("X", "FPk"));
        let head: Vec<_> = form.head.values().map(|field| (field.key.as_str(), field.kind, field.must_input)).collect();
        assert_eq!(head, [("FBillNo", Kind::Text, false), ("FDate", Kind::Date, true), ("FOrg", Kind::BaseData, true)]);
        let lines = &form.entities["fentity"];
        assert_eq!((lines.key.as_str(), lines.id.as_str()), ("FEntity", "FEntryID"));
        assert_eq!((lines.fields["fqty"].kind, lines.fields["faux"].kind), (Kind::Number, Kind::Flex));
        assert_eq!(Form::read(&json!({"Id": "X"})), None);
    }
}
