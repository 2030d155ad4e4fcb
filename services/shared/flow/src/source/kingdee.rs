//! The envelope of a Kingdee bill query: reserved parameter names, columns, FieldKeys.

use document::{Code, Fault};
use serde_json::{Map, Value};

use super::{Column, SourceQuery};
use crate::collections::Shelf;
use crate::function::Run;
use crate::metadata::entry::Entry;
use crate::metadata::render::{self, Pass, constant_text};
use crate::metadata::scope::BillScope;
use crate::text::interpolate;

/// Names that are call parameters in whichever list they stand.
pub(crate) const RESERVED: [&str; 8] =
    ["FormId", "FieldKeys", "FilterString", "OrderString", "TopRowCount", "StartRow", "Limit", "SubSystemId"];

/// Endings of response fields that stand for a property of a base-data field.
const PROPERTIES: [&str; 5] = ["_Id", "_Number", "_Name", "_FNumber", "_FName"];

/// The columns of a query document: entries of `request` that are no call parameters, else those of `response`.
pub(crate) fn columns(request: &[Entry], response: &[Entry]) -> Vec<Column> {
    let asked: Vec<Column> = request
        .iter()
        .filter(|entry| !RESERVED.contains(&entry.field.as_str()))
        .map(|entry| Column {
            field: entry.field.clone(),
            key: constant_text(&entry.form).unwrap_or(&entry.field).to_owned(),
        })
        .collect();
    if !asked.is_empty() {
        return asked;
    }
    response.iter().map(|entry| Column { field: entry.field.clone(), key: key_of(&entry.field) }).collect()
}

/// `FCreateOrgId_FNumber` reads `FCreateOrgId.FNumber`.
fn key_of(field: &str) -> String {
    for property in PROPERTIES {
        if let Some(base) = field.strip_suffix(property)
            && !base.is_empty()
        {
            return format!("{base}.{}", property.trim_start_matches('_'));
        }
    }
    field.to_owned()
}

/// The call parameters of one run.
pub(crate) struct Parameters<'a> {
    pub(crate) lists: [&'a [Entry]; 2],
    pub(crate) columns: &'a [Column],
    pub(crate) form: Option<&'a str>,
    pub(crate) page_size: u32,
    pub(crate) file: &'a str,
    /// The records that lookups see.
    pub(crate) collections: &'a Shelf,
}

impl Parameters<'_> {
    /// Renders the query.
    pub(crate) fn query(&self, run: &Run, pass: Pass<'_>) -> Result<SourceQuery, Fault> {
        let text = |name: &str| self.value(name, pass).map(|value| interpolate(&value, false));
        let form_id = match self.form {
            Some(form) => form.to_owned(),
            None => text("FormId")?,
        };
        if form_id.is_empty() {
            let fault = Fault::new(Code::FormMissing, "neither the document nor the flow file names the form");
            return Err(fault.in_file(self.file).at_path("$.otherRequest").at_column("FormId"));
        }
        let start_row = run.page.map_or(0, |page| page.start_row);
        let field_keys = match self.value("FieldKeys", pass)? {
            Value::Array(keys) => keys.iter().map(|key| interpolate(key, false)).collect::<Vec<_>>().join(","),
            one => interpolate(&one, false),
        };
        let sub_system_id = text("SubSystemId")?;
        Ok(SourceQuery {
            form_id,
            columns: match field_keys.is_empty() {
                true => self.columns.to_vec(),
                false => field_keys.split(',').map(|key| self.named(key.trim())).collect(),
            },
            filter: text("FilterString")?,
            order: text("OrderString")?,
            limit: self
                .whole("Limit", u64::from(self.page_size), pass)
                .and_then(|limit| u32::try_from(limit).map_err(|_| self.refuse("Limit", &limit.to_string())))?,
            start_row: self.whole("StartRow", start_row, pass)?,
            top_row_count: self.whole("TopRowCount", 0, pass)?,
            sub_system_id: Some(sub_system_id).filter(|id| !id.is_empty()),
        })
    }

    /// The column of a key that the document lists by itself.
    fn named(&self, key: &str) -> Column {
        let known = self.columns.iter().find(|column| column.key == key);
        known.cloned().unwrap_or_else(|| Column { field: key.replace('.', "_"), key: key.to_owned() })
    }

    /// The value of a parameter: the last entry of that name that has one.
    fn value(&self, name: &str, pass: Pass<'_>) -> Result<Value, Fault> {
        let nothing = [Value::Object(Map::new())];
        let scope = BillScope::of_bill(&nothing, None, self.collections);
        let mut found = Value::Null;
        for entry in self.lists.iter().flat_map(|list| list.iter()).filter(|entry| entry.field == name) {
            let value = render::render_one(entry, &scope, pass)?;
            if !value.is_null() {
                found = value;
            }
        }
        Ok(found)
    }

    fn whole(&self, name: &str, default: u64, pass: Pass<'_>) -> Result<u64, Fault> {
        let text = interpolate(&self.value(name, pass)?, false);
        match text.trim() {
            "" => Ok(default),
            digits => digits.parse().map_err(|_| self.refuse(name, digits)),
        }
    }

    fn refuse(&self, name: &str, text: &str) -> Fault {
        let entry = self.lists.iter().flat_map(|list| list.iter()).rfind(|entry| entry.field == name);
        let place = entry.map_or("$.otherRequest", |entry| &entry.place);
        let fault = Fault::new(Code::CallOption, format!("{name} is {text:?}, but must be a whole number"));
        fault.in_file(self.file).at_path(place).at_column(name)
    }
}

impl SourceQuery {
    /// FieldKeys: the columns' keys in order.
    pub fn field_keys(&self) -> String {
        self.columns.iter().map(|column| column.key.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The call parameters under their reserved names; those without value are left out.
    pub fn parameters(&self) -> Map<String, Value> {
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("FormId", self.form_id.clone().into());
        put("FieldKeys", self.field_keys().into());
        if !self.filter.is_empty() {
            put("FilterString", self.filter.clone().into());
        }
        if !self.order.is_empty() {
            put("OrderString", self.order.clone().into());
        }
        put("TopRowCount", self.top_row_count.into());
        put("StartRow", self.start_row.into());
        put("Limit", self.limit.into());
        if let Some(id) = &self.sub_system_id {
            put("SubSystemId", id.clone().into());
        }
        members
    }

    /// A row of the answer as an object: the columns' fields with its values.
    ///
    /// # Errors
    /// [`Code::RowShape`] when the row has not as many values as there are columns.
    pub fn row(&self, values: Vec<Value>) -> Result<Map<String, Value>, Fault> {
        if values.len() != self.columns.len() {
            let detail =
                format!("the row has {} values, but {} columns were asked for", values.len(), self.columns.len());
            return Err(Fault::new(Code::RowShape, detail).at_column("FieldKeys"));
        }
        Ok(self.columns.iter().map(|column| column.field.clone()).zip(values).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn property_endings_become_property_paths() {
        for (field, key) in [
            ("FCreateOrgId_FNumber", "FCreateOrgId.FNumber"),
            ("FStockId_Id", "FStockId.Id"),
            ("FUnit_Name", "FUnit.Name"),
            ("FNumber", "FNumber"),
            ("FEntity_FEntryID", "FEntity_FEntryID"),
            ("_Id", "_Id"),
        ] {
            assert_eq!(key_of(field), key);
        }
    }
}
