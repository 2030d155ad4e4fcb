//! What is asked of the source per row, and how an answered row is read.

use serde_json::{Map, Value};

use super::key::Key;
use crate::error::Rejected;

/// The columns of a query: those the source document declares, in its order, then those the scan needs for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    keys: Vec<String>,
    members: Vec<String>,
    key: Option<usize>,
    entry: Option<usize>,
    stamp: Option<usize>,
    created: Option<usize>,
}

/// Which columns carry what a scan goes by; Kingdee keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Roles<'a> {
    /// The bill's inner id; `None` for a form without one.
    pub key: Option<&'a str>,
    /// The line's id; `None` when the query reads heads alone.
    pub entry: Option<&'a str>,
    /// The date that moves when a bill becomes due.
    pub stamp: Option<&'a str>,
    /// The date the bill was made.
    pub created: Option<&'a str>,
}

/// One row of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The bill's inner id; `None` only for a form without one.
    pub key: Option<Key>,
    /// The line's id; `None` for heads and for bills without lines.
    pub entry: Option<Key>,
    /// The watermark date as the source wrote it, in its own zone.
    pub stamp: Option<String>,
    /// The creation date as the source wrote it, in its own zone.
    pub created: Option<String>,
    /// Every cell, as answered.
    pub cells: Vec<Value>,
}

impl Columns {
    /// The declared columns (member name, Kingdee key), with those of `roles` that are not among them added behind.
    pub fn new(declared: &[(String, String)], roles: Roles<'_>) -> Self {
        let mut keys: Vec<String> = declared.iter().map(|(_, key)| key.clone()).collect();
        let members = declared.iter().map(|(member, _)| member.clone()).collect();
        // Kingdee compares field keys without case.
        let mut place = |wanted: Option<&str>| {
            wanted.map(|wanted| match keys.iter().position(|key| key.eq_ignore_ascii_case(wanted)) {
                Some(at) => at,
                None => {
                    keys.push(wanted.to_owned());
                    keys.len() - 1
                }
            })
        };
        let key = place(roles.key);
        let entry = place(roles.entry);
        let stamp = place(roles.stamp);
        let created = place(roles.created);
        Self { keys, members, key, entry, stamp, created }
    }

    /// The columns of a header-only scan: id and watermark, where there is one.
    pub fn header(key: &str, stamp: Option<&str>) -> Self {
        Self::new(&[], Roles { key: Some(key), stamp, ..Roles::default() })
    }

    /// The Kingdee keys to ask for, in order.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// The Kingdee key of the bill's id, when pages are cut by it.
    pub fn key(&self) -> Option<&str> {
        self.key.map(|at| self.keys[at].as_str())
    }

    /// The Kingdee key of the watermark date, where there is one.
    pub fn stamp(&self) -> Option<&str> {
        self.stamp.map(|at| self.keys[at].as_str())
    }

    /// The Kingdee key of the line's id, when lines are read.
    pub fn entry(&self) -> Option<&str> {
        self.entry.map(|at| self.keys[at].as_str())
    }

    /// The member under which the line's id stands in a stored row, when the document declares it.
    pub fn entry_member(&self) -> Option<&str> {
        self.entry.and_then(|at| self.members.get(at)).map(String::as_str)
    }

    /// The declared cells of a row as an object; what the scan added for itself is stripped.
    pub fn object(&self, cells: Vec<Value>) -> Map<String, Value> {
        // Two columns of one name: the later one that holds something wins.
        let mut object = Map::with_capacity(self.members.len());
        for (member, cell) in self.members.iter().zip(cells) {
            if !cell.is_null() || !object.contains_key(member) {
                object.insert(member.clone(), cell);
            }
        }
        object
    }

    /// Reads the rows of an answer.
    ///
    /// # Errors
    /// [`Rejected`] when a row has other than the asked number of cells, is the error object in the shape of a row,
    /// or carries no readable id. An answer that is not what was asked is never data.
    pub fn read(&self, rows: Vec<Vec<Value>>) -> Result<Vec<Row>, Rejected> {
        if let [only] = rows.as_slice()
            && let [Value::Object(cell)] = only.as_slice()
            && cell.contains_key("Result")
        {
            return Err(Rejected::ErrorObject);
        }
        let mut read = Vec::with_capacity(rows.len());
        for (at, cells) in rows.into_iter().enumerate() {
            if cells.len() != self.keys.len() {
                return Err(Rejected::Arity { row: at, expected: self.keys.len(), found: cells.len() });
            }
            let unreadable = |column: usize| Rejected::Unreadable { row: at, column: self.keys[column].clone() };
            let key = match self.key {
                Some(column) => Some(Key::read(&cells[column]).ok_or_else(|| unreadable(column))?),
                None => None,
            };
            let entry = match self.entry {
                // A bill without lines comes as one row whose line id is null or 0.
                Some(column) if cells[column].is_null() => None,
                Some(column) => Some(Key::read(&cells[column]).ok_or_else(|| unreadable(column))?),
                None => None,
            };
            let stamp = self.stamp.map(|column| text(&cells[column]).map_err(|()| unreadable(column))).transpose()?;
            let created =
                self.created.map(|column| text(&cells[column]).map_err(|()| unreadable(column))).transpose()?;
            read.push(Row { key, entry, stamp: stamp.flatten(), created: created.flatten(), cells });
        }
        Ok(read)
    }
}

/// A date cell as text; blank and null are no date.
fn text(cell: &Value) -> Result<Option<String>, ()> {
    match cell {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;
    use serde_json::json;

    fn columns() -> Columns {
        let declared = [("entry", "FEntity_FEntryID"), ("no", "FBillNo"), ("org", "FStockOrgId.FNumber")]
            .map(|(member, key)| (member.to_owned(), key.to_owned()));
        Columns::new(
            &declared,
            Roles {
                key: Some("FID"),
                entry: Some("FENTITY_FENTRYID"),
                stamp: Some("FApproveDate"),
                created: Some("FCreateDate"),
            },
        )
    }

    #[test]
    fn missing_columns_are_added_and_stripped_again() {
        let columns = columns();
        assert_eq!(
            columns.keys(),
            ["FEntity_FEntryID", "FBillNo", "FStockOrgId.FNumber", "FID", "FApproveDate", "FCreateDate"]
        );
        assert_eq!(columns.entry_member(), Some("entry"));
        // Queries sort and filter by these: they are named as they are asked for.
        let named = (columns.key(), columns.entry(), columns.stamp());
        assert_eq!(named, (Some("FID"), Some("FEntity_FEntryID"), Some("FApproveDate")));
        let rows = columns
            .read(vec![vec![json!(7), json!("A"), json!("100"), json!(1), json!("2024-03-14T09:00:00"), json!(null)]])
            .expect("a row");
        assert_eq!((rows[0].key.clone(), rows[0].entry.clone()), (Some(Key::Integer(1)), Some(Key::Integer(7))));
        assert_eq!((rows[0].stamp.as_deref(), rows[0].created.as_deref()), (Some("2024-03-14T09:00:00"), None));
        let object = columns.object(rows[0].cells.clone());
        assert_eq!(Value::Object(object), json!({"entry": 7, "no": "A", "org": "100"}));
    }

    #[test]
    fn an_answer_that_is_not_rows_is_refused_with_its_place() {
        let columns = columns();
        let good = vec![json!(7), json!("A"), json!("100"), json!(1), json!(null), json!(null)];
        let short = columns.read(vec![good.clone(), vec![json!(1)]]).expect_err("too few cells");
        assert_eq!(short, Rejected::Arity { row: 1, expected: 6, found: 1 });
        assert_eq!(short.code(), Code::SourcePage);
        assert_eq!(short.fault("misc").place.path.as_deref(), Some("$[1]"));

        let error = json!({"Result": {"ResponseStatus": {"IsSuccess": false}}});
        assert_eq!(columns.read(vec![vec![error]]), Err(Rejected::ErrorObject));

        let mut keyless = good;
        keyless[3] = json!(null);
        let fault = columns.read(vec![keyless]).expect_err("no id").fault("misc");
        assert_eq!(fault.code, Code::SourcePage);
        assert_eq!(fault.place.column.as_deref(), Some("FID"));
        assert_eq!(fault.place.record.as_deref(), Some("misc"));
    }

    #[test]
    fn a_header_scan_asks_for_id_and_date() {
        assert_eq!(Columns::header("FID", Some("FApproveDate")).keys(), ["FID", "FApproveDate"]);
    }

    #[test]
    fn of_two_columns_under_one_name_the_later_one_that_holds_something_wins() {
        let declared = [("no", "FBillNo"), ("no", "FOldNo")].map(|(member, key)| (member.to_owned(), key.to_owned()));
        let columns = Columns::new(&declared, Roles::default());
        for (first, second, read) in [
            (json!("A"), json!("B"), json!("B")),
            (json!("A"), json!(null), json!("A")),
            (json!(null), json!("B"), json!("B")),
            (json!(null), json!(null), json!(null)),
        ] {
            assert_eq!(Value::Object(columns.object(vec![first, second])), json!({ "no": read }));
        }
    }

    #[test]
    fn a_bill_without_lines_and_a_blank_date_are_read_and_a_date_that_is_none_is_refused() {
        let row = |stamp: Value| vec![json!(null), json!("A"), json!("100"), json!(1), stamp, json!(20_240_314)];
        for blank in [json!(null), json!(""), json!("  ")] {
            let [read] = columns().read(vec![row(blank)]).expect("a row").try_into().expect("one row");
            assert_eq!((read.entry, read.stamp, read.created.as_deref()), (None, None, Some("20240314")));
        }
        let unreadable = Rejected::Unreadable { row: 0, column: "FApproveDate".to_owned() };
        assert_eq!(columns().read(vec![row(json!(true))]), Err(unreadable));
    }
}
