//! From rows to stored records: condition, formatResponse, beatFlat, splitArray, identity.

use document::{Code, Fault};
use serde_json::{Map, Value};

use super::flatten::{self, Piece};
use super::{Identity, IdentityForm, SourceDocument};
use crate::function::{self, Run};
use crate::reference::{Path, walk};
use crate::text::interpolate;

/// A record as the platform stores it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceRecord {
    /// Unique key, as text.
    pub id: String,
    /// Bill code, as text; the id where the row has no number.
    pub number: String,
    /// The row after condition, formatResponse and flattening.
    pub content: Map<String, Value>,
}

/// What shaping made of a page of rows.
#[derive(Debug, Default)]
pub struct Shaped {
    /// Records to store, in order.
    pub records: Vec<SourceRecord>,
    /// Rows that cannot become records, with their index in the input.
    pub rejected: Vec<(usize, Fault)>,
    /// Rows the condition left out.
    pub dropped: usize,
}

impl SourceDocument {
    /// Shapes rows into records. The first row that cannot become a record fails all.
    ///
    /// # Errors
    /// The fault of that row.
    pub fn shape(&self, rows: Vec<Map<String, Value>>, run: &Run) -> Result<Vec<SourceRecord>, Fault> {
        let mut shaped = self.shape_each(rows, run);
        match shaped.rejected.is_empty() {
            true => Ok(shaped.records),
            false => Err(shaped.rejected.swap_remove(0).1),
        }
    }

    /// Shapes rows into records, each row for itself.
    pub fn shape_each(&self, rows: Vec<Map<String, Value>>, run: &Run) -> Shaped {
        let mut shaped = Shaped::default();
        for (index, row) in rows.into_iter().enumerate() {
            match self.shape_row(row, run) {
                Ok(Some(records)) => shaped.records.extend(records),
                Ok(None) => shaped.dropped += 1,
                Err(fault) => shaped.rejected.push((index, fault.in_file(&self.file))),
            }
        }
        shaped
    }

    /// The records of one row; `None` when the condition leaves it out.
    fn shape_row(&self, mut row: Map<String, Value>, run: &Run) -> Result<Option<Vec<SourceRecord>>, Fault> {
        if !self.condition.keep(&mut row, run)? {
            return Ok(None);
        }
        for formatting in &self.formattings {
            formatting.apply(&mut row, run)?;
        }
        // Taken before the row is taken apart; what only an element knows is read from the element, and after a split
        // the id may be the element's own.
        let whole = Value::Object(row);
        let (id, number) = match self.split_array {
            Some(_) => (String::new(), String::new()),
            None => (self.id.read(&whole, run)?, self.number.read(&whole, run)?),
        };
        let Value::Object(content) = whole else { return Ok(None) };
        let mut pieces = vec![Piece { content, suffix: String::new() }];
        for name in &self.beat_flat {
            pieces = flatten::beat_flat(pieces, name);
        }
        if let Some(path) = &self.split_array {
            pieces = flatten::split_array(pieces, path);
        }
        pieces.into_iter().map(|piece| self.identify(piece, &id, &number, run)).collect::<Result<_, _>>().map(Some)
    }

    fn identify(&self, piece: Piece, id: &str, number: &str, run: &Run) -> Result<SourceRecord, Fault> {
        let Piece { content, suffix } = piece;
        let content = Value::Object(content);
        let own_id = if id.is_empty() { self.id.read(&content, run)? } else { format!("{id}{suffix}") };
        let own_number = if number.is_empty() { self.number.read(&content, run)? } else { number.to_owned() };
        let Value::Object(mut content) = content else { unreachable!("made of an object above") };
        if own_id.is_empty() {
            let fault = Fault::new(Code::RowId, format!("the row has no {}", self.id.written));
            let record = if own_number.is_empty() { None } else { Some(own_number) };
            let fault = fault.at_path("$.id").at_column(&self.id.written);
            return Err(match record {
                Some(number) => fault.of_record(number),
                None => fault,
            });
        }
        if !id.is_empty()
            && !suffix.is_empty()
            && let IdentityForm::Path(path) = &self.id.form
            && let Some(place) = member_mut(&mut content, path)
        {
            *place = Value::String(own_id.clone());
        }
        let base = if id.is_empty() { &own_id } else { id };
        let number = if own_number.is_empty() { base.to_owned() } else { own_number };
        Ok(SourceRecord { id: own_id, number, content })
    }
}

fn member_mut<'a>(content: &'a mut Map<String, Value>, path: &Path) -> Option<&'a mut Value> {
    if content.contains_key(path.as_str()) {
        return content.get_mut(path.as_str());
    }
    let (first, rest) = path.segments().split_first()?;
    rest.iter().try_fold(content.get_mut(first.name())?, |value, segment| value.get_mut(segment.name()))
}

impl Identity {
    /// The identity of a record as text; empty when it has none.
    fn read(&self, record: &Value, run: &Run) -> Result<String, Fault> {
        match &self.form {
            IdentityForm::Path(path) => {
                Ok(walk(record, path).map_or_else(String::new, |value| interpolate(value, false)))
            }
            IdentityForm::Template(template) => {
                // A template whose references are all empty names nothing, whatever stands between them.
                let mut any = false;
                for reference in template.references() {
                    any |= !interpolate(&function::resolve(reference, record, run)?, false).is_empty();
                }
                if any { function::render(template, record, run, false) } else { Ok(String::new()) }
            }
        }
    }
}
