//! A document as we would save it and as the system has it, side by side.
//!
//! The system is asked for just the fields that the document carries, so that both sides have one shape; the system's
//! side is written into that shape.

use std::collections::BTreeSet;
use std::str::FromStr as _;

use kingdee::Form;
use kingdee::form::Kind;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// What to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The columns, the inner id first.
    pub columns: Vec<String>,
    /// The column of a line's id, where lines are asked for.
    pub line_id: Option<String>,
    cells: Vec<Cell>,
}

/// A value of the document and the column that holds it in the system.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    column: String,
    /// The list that it stands in a line of; `None` for the head.
    list: Option<String>,
    /// The member, and the member within it for base data.
    key: String,
    inner: Option<String>,
    kind: Kind,
}

/// Both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Sides {
    /// The system's document in the shape of ours.
    pub theirs: Value,
    /// JSON pointers (RFC 6901) of the values that differ, or that one side alone has.
    pub differ: Vec<String>,
    /// How many values were compared.
    pub compared: usize,
}

impl Question {
    /// What to ask for about `ours`. Fields that the form does not list are left out; of several lists of lines the first
    /// is asked for, since a query joins them to all their combinations.
    pub fn about(ours: &Value, form: &Form) -> Self {
        let mut cells = Vec::new();
        let mut lines = None;
        for (key, value) in ours.as_object().into_iter().flatten() {
            let lower = key.to_lowercase();
            if let Some(field) = form.head.get(&lower) {
                cells.extend(cell(None, key, value, field.kind));
            } else if let (Some(entity), Value::Array(list), None) = (form.entities.get(&lower), value, &lines) {
                let mut seen = BTreeSet::new();
                for (name, value) in list.iter().filter_map(Value::as_object).flatten() {
                    if let Some(field) = entity.fields.get(&name.to_lowercase())
                        && let Some(cell) = cell(Some(key), name, value, field.kind)
                        && seen.insert(cell.column.clone())
                    {
                        cells.push(cell);
                    }
                }
                lines = Some(format!("{}_{}", entity.key, entity.id));
            }
        }
        cells.retain(|cell| !cell.key.eq_ignore_ascii_case(&form.primary_key));
        let line_id = lines.filter(|_| cells.iter().any(|cell| cell.list.is_some()));
        let mut columns = vec![form.primary_key.clone()];
        columns.extend(line_id.iter().cloned());
        columns.extend(cells.iter().map(|cell| cell.column.clone()));
        Self { columns, line_id, cells }
    }

    /// Both sides, `rows` being what the system answered.
    pub fn sides(&self, ours: &Value, rows: &[Map<String, Value>]) -> Sides {
        let mut sides = Sides { theirs: Value::Object(Map::new()), differ: Vec::new(), compared: 0 };
        let list = self.cells.iter().find_map(|cell| cell.list.as_deref());
        if let Some(list) = list {
            let lines = rows.iter().map(|_| Value::Object(Map::new())).collect();
            sides.theirs[list] = Value::Array(lines);
        }
        for cell in &self.cells {
            let column = |row: Option<&Map<String, Value>>| row.and_then(|row| row.get(&cell.column)).cloned();
            match &cell.list {
                None => {
                    let theirs = column(rows.first()).unwrap_or_default();
                    sides.judge(cell, &ours[&cell.key], &theirs, &format!("/{}", escaped(&cell.key)));
                    cell.write(&mut sides.theirs, theirs);
                }
                Some(list) => {
                    let mine = ours[list].as_array().map_or(0, Vec::len);
                    for at in 0..mine.max(rows.len()) {
                        let theirs = column(rows.get(at)).unwrap_or_default();
                        let pointer = format!("/{}/{at}/{}", escaped(list), escaped(&cell.key));
                        sides.judge(cell, &ours[list][at][&cell.key], &theirs, &pointer);
                        if at < rows.len() {
                            cell.write(&mut sides.theirs[list][at], theirs);
                        }
                    }
                }
            }
        }
        if let (Some(theirs), Some(list)) = (sides.theirs.as_object_mut(), list) {
            // Lines stand where they stand in ours: at the end.
            if let Some(lines) = theirs.shift_remove(list) {
                theirs.insert(list.to_owned(), lines);
            }
        }
        sides
    }
}

impl Sides {
    fn judge(&mut self, cell: &Cell, ours: &Value, theirs: &Value, pointer: &str) {
        self.compared += 1;
        let (ours, pointer) = match &cell.inner {
            None => (ours, pointer.to_owned()),
            Some(inner) => (&ours[inner], format!("{pointer}/{}", escaped(inner))),
        };
        if !same(ours, theirs, cell.kind) {
            self.differ.push(pointer);
        }
    }
}

impl Cell {
    fn write(&self, place: &mut Value, theirs: Value) {
        match &self.inner {
            _ if theirs.is_null() => {}
            None => place[&self.key] = theirs,
            Some(inner) => place[&self.key][inner] = theirs,
        }
    }
}

/// The column of a value; `None` for what a query cannot give: lists, and objects without a number.
fn cell(list: Option<&String>, key: &str, value: &Value, kind: Kind) -> Option<Cell> {
    let (column, inner) = match value {
        Value::Object(members) => {
            let (inner, _) = members.iter().find(|(_, value)| matches!(value, Value::String(_) | Value::Number(_)))?;
            (format!("{key}.{inner}"), Some(inner.clone()))
        }
        Value::Array(_) | Value::Null => return None,
        // Plain text is base data by its number.
        _ if kind == Kind::BaseData => (format!("{key}.FNumber"), None),
        _ => (key.to_owned(), None),
    };
    Some(Cell { column, list: list.cloned(), key: key.to_owned(), inner, kind })
}

/// A member's name in a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Whether two values mean the same: numbers by value, dates without the time that a day has not, texts without blanks at
/// their ends. Nothing, a blank and an empty text are one.
fn same(ours: &Value, theirs: &Value, kind: Kind) -> bool {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    let (ours, theirs) = (text(ours), text(theirs));
    if ours == theirs {
        return true;
    }
    let number = |text: &str| Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok();
    match kind {
        Kind::Whole | Kind::Number => matches!((number(&ours), number(&theirs)), (Some(a), Some(b)) if a == b),
        Kind::Date => {
            let plain = |text: &str| {
                let text = text.replace('T', " ").replace('/', "-");
                text.trim_end_matches(".000").trim_end_matches(" 00:00:00").to_owned()
            };
            plain(&ours) == plain(&theirs)
        }
        Kind::Flag => {
            let flag = |text: &str| matches!(text.to_lowercase().as_str(), "true" | "1");
            flag(&ours) == flag(&theirs)
        }
        Kind::Text | Kind::BaseData | Kind::Flex | Kind::Other => false,
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
                {"Key": "FStockOrgId", "FieldType": "basedata"},
                {"Key": "FDate", "FieldType": "date"},
            ]},
            {"Key": "FEntity", "EntryPkFieldName": "FEntryID", "Fields": [
                {"Key": "FMaterialId", "FieldType": "basedata"},
                {"Key": "FQty", "FieldType": "decimal"},
            ]},
        ]}))
        .expect("a form")
    }

    fn row(values: &[(&str, Value)]) -> Map<String, Value> {
        values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    }

    #[test]
    fn both_sides_have_one_shape_and_differences_are_named() {
        let ours = json!({
            "FID": 0, "FBillNo": "A/1", "FStockOrgId": {"FNumber": "100"}, "FDate": "2026-01-31", "FColour": "red",
            "FEntity": [
                {"FMaterialId": {"FNumber": "M1"}, "FQty": 1.50},
                {"FMaterialId": {"FNumber": "M2"}, "FQty": 2},
                {"FMaterialId": {"FNumber": "M3"}, "FQty": 3},
            ],
        });
        let question = Question::about(&ours, &form());
        assert_eq!(question.line_id.as_deref(), Some("FEntity_FEntryID"));
        assert_eq!(
            question.columns,
            ["FID", "FEntity_FEntryID", "FBillNo", "FStockOrgId.FNumber", "FDate", "FMaterialId.FNumber", "FQty"]
        );
        let line = |material: &str, quantity: &str| {
            row(&[
                ("FBillNo", json!("A/1")),
                ("FStockOrgId.FNumber", json!("200")),
                ("FDate", json!("2026-01-31T00:00:00")),
                ("FMaterialId.FNumber", json!(material)),
                ("FQty", serde_json::from_str(quantity).expect("a number")),
            ])
        };
        let sides = question.sides(&ours, &[line("M1", "1.5000000000"), line("M2", "2.5")]);
        assert_eq!(
            sides.differ,
            ["/FStockOrgId/FNumber", "/FEntity/2/FMaterialId/FNumber", "/FEntity/1/FQty", "/FEntity/2/FQty"]
        );
        assert_eq!(sides.compared, 9);
        assert_eq!(
            sides.theirs.to_string(),
            r#"{"FBillNo":"A/1","FStockOrgId":{"FNumber":"200"},"FDate":"2026-01-31T00:00:00","FEntity":[{"FMaterialId":{"FNumber":"M1"},"FQty":1.5000000000},{"FMaterialId":{"FNumber":"M2"},"FQty":2.5}]}"#
        );
    }

    #[test]
    fn values_are_the_same_when_they_mean_the_same() {
        for (ours, theirs, kind, expected) in [
            (json!("12.0"), json!(12), Kind::Number, true),
            (json!(12), json!(13), Kind::Number, false),
            (json!(null), json!(" "), Kind::Text, true),
            (json!("a"), json!("a "), Kind::Text, true),
            (json!("12.0"), json!("12"), Kind::Text, false),
            (json!("2026-01-31 00:00:00"), json!("2026-01-31T00:00:00.000"), Kind::Date, true),
            (json!("2026-01-31 08:00:00"), json!("2026-01-31"), Kind::Date, false),
            (json!(true), json!("1"), Kind::Flag, true),
        ] {
            assert_eq!(same(&ours, &theirs, kind), expected, "{ours} {theirs}");
        }
    }
}
