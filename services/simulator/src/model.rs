//! From a Model to the cells of a document.

use serde_json::{Map, Value};

use crate::options::EmptyText;
use crate::reply::Problem;
use crate::save::{Context, Flags, Mode};
use crate::schema::{Field, Form, Slot};
use crate::store::{Document, Entry, Store};
use crate::value::{Cell, Kind, read_cell};

/// A member, without regard to the case of its key.
pub(crate) fn find<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).or_else(|| object.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value))
}

/// An internal id: a positive number, or its text.
pub(crate) fn id_of(value: &Value) -> Option<i64> {
    let id = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    };
    id.filter(|id| *id > 0)
}

/// A Model being filled in.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a mut Store,
    pub(crate) form: &'a Form,
    pub(crate) flags: &'a Flags,
    pub(crate) context: Context<'a>,
    pub(crate) update: bool,
    pub(crate) mode: Mode,
    pub(crate) problems: Vec<Problem>,
}

impl Work<'_> {
    /// Sets what the Model gives.
    pub(crate) fn fill(&mut self, document: &mut Document, model: &Map<String, Value>) {
        for (key, value) in model {
            if let Some(index) = self.form.entities.iter().position(|entity| entity.key.eq_ignore_ascii_case(key)) {
                if self.is_wanted(key)
                    && let Value::Array(rows) = value
                    && let Some(entries) = document.entries.get(index).cloned()
                {
                    let entries = self.rows(index, entries, rows);
                    if let Some(slot) = document.entries.get_mut(index) {
                        *slot = entries;
                    }
                }
            } else if self.form.sub_heads.iter().any(|sub_head| sub_head.key.eq_ignore_ascii_case(key)) {
                for (inner, value) in value.as_object().into_iter().flatten() {
                    self.head(document, inner, value);
                }
            } else {
                self.head(document, key, value);
            }
        }
    }

    fn is_wanted(&self, key: &str) -> bool {
        !self.update || self.flags.only.is_empty() || self.flags.only.iter().any(|only| only.eq_ignore_ascii_case(key))
    }

    /// Sets a head field. Unknown keys and maintained fields are passed over, as the server does.
    fn head(&mut self, document: &mut Document, key: &str, value: &Value) {
        let form = self.form;
        let Some(Slot::Head(index)) = form.slot(key) else { return };
        let kept = &form.maintained;
        let maintained = [kept.status, kept.created, kept.modified, kept.approved].contains(&Some(index));
        if (maintained && self.mode != Mode::Plant) || !self.is_wanted(key) {
            return;
        }
        if let Some(field) = form.head.get(index)
            && let Some(cell) = self.cell(field, value)
            && let Some(slot) = document.head.get_mut(index)
        {
            *slot = cell;
        }
    }

    fn rows(&mut self, index: usize, before: Vec<Entry>, rows: &[Value]) -> Vec<Entry> {
        let Some(entity) = self.form.entities.get(index) else { return before };
        let mut kept = if self.flags.delete_entries && self.update { Vec::new() } else { before.clone() };
        for row in rows.iter().filter_map(Value::as_object) {
            let id =
                find(row, &entity.pk).or_else(|| find(row, &format!("{}_{}", entity.key, entity.pk))).and_then(id_of);
            // An empty object is no row: `[{}]` empties the entity.
            if row.is_empty() {
                continue;
            }
            let mut entry = match id {
                Some(id) if self.update => match before.iter().find(|entry| entry.id == id) {
                    Some(entry) => entry.clone(),
                    None => {
                        self.problems.push(Problem::new(9, format!("分录内码[{id}]不存在")).of_field(&entity.pk));
                        continue;
                    }
                },
                _ => Entry { id: self.store.allot_entry(), cells: vec![Cell::Null; entity.fields.len()] },
            };
            let new = !before.iter().any(|known| known.id == entry.id);
            for (field, slot) in entity.fields.iter().zip(&mut entry.cells) {
                if let Some(value) = find(row, &field.key)
                    && (new || self.is_wanted(&field.key))
                    && let Some(cell) = self.cell(field, value)
                {
                    *slot = cell;
                }
            }
            if new {
                self.store.fill_defaults(&entity.fields, &mut entry.cells, self.context.now);
                self.blank_texts(&entity.fields, &mut entry.cells);
            }
            kept.retain(|known| known.id != entry.id);
            kept.push(entry);
        }
        kept.sort_by_key(|entry| entry.id);
        kept
    }

    /// The cell a Model value stands for; `None` leaves the field as it was, with the problem noted.
    fn cell(&mut self, field: &Field, value: &Value) -> Option<Cell> {
        let cell = match &field.kind {
            Kind::BaseData(target) => return self.reference(field, target, value),
            kind => read_cell(kind, value),
        };
        match cell {
            Ok(Cell::Decimal(number)) => Some(Cell::Decimal(match field.kind {
                Kind::Decimal(places) if self.flags.round => {
                    number.round_dp_with_strategy(places, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
                }
                _ => number,
            })),
            Ok(cell) => Some(cell),
            Err(text) => {
                let message = format!("字段“{}”的值“{text}”格式不正确", field.name);
                self.problems.push(Problem::new(11, message).of_field(&field.key));
                None
            }
        }
    }

    fn reference(&mut self, field: &Field, target: &str, value: &Value) -> Option<Cell> {
        let at = self.store.find(target)?;
        let (id, code) = match value {
            Value::Object(object) => {
                let id = ["FId", "Id", self.store.table(at).form.pk.as_str()].iter().find_map(|key| find(object, key));
                let keys = ["FNumber", "FUserID", "FStaffNumber", "FCODE", "FName"];
                let code = keys.iter().find_map(|key| find(object, key)).or_else(|| object.values().next());
                (id.and_then(id_of), code.map(plain_text).unwrap_or_default())
            }
            other => (None, plain_text(other)),
        };
        if id.is_none() && code.trim().is_empty() {
            return Some(Cell::Null);
        }
        let found = match id {
            Some(id) => self.store.table(at).get(id),
            None if self.flags.by_number => {
                let by_name = value.as_object().is_some_and(|object| find(object, "FNumber").is_none());
                let found = self.store.base_data(at, &code);
                found.or_else(|| by_name.then(|| self.store.base_data_by_name(at, &code)).flatten())
            }
            None => self.store.base_data_by_name(at, &code),
        };
        let usable =
            found.filter(|document| document.is_usable(&self.store.table(at).form)).map(|document| document.id);
        if let Some(id) = usable {
            return Some(Cell::Reference(id));
        }
        if self.flags.create_base_data && self.mode == Mode::Plant {
            return self.store.ensure_base_data(target, &code, &code, self.context.now).map(Cell::Reference);
        }
        if self.flags.verify_base_data {
            let message = format!("基础资料字段“{}”的编码值[\"{code}\"]不存在或不可用", field.name);
            self.problems.push(Problem::new(9, message).of_field(&field.key));
            return None;
        }
        Some(Cell::Null)
    }

    /// Gives a new document the defaults of its head.
    pub(crate) fn defaults(&mut self, document: &mut Document) {
        self.store.fill_defaults(&self.form.head, &mut document.head, self.context.now);
        self.blank_texts(&self.form.head, &mut document.head);
    }

    /// Texts that were not given, as the switch wants them. The number is left alone: absent means generated.
    fn blank_texts(&self, fields: &[Field], cells: &mut [Cell]) {
        let blank = match self.context.rules.empty_text {
            EmptyText::Null => return,
            EmptyText::Empty => "",
            EmptyText::Blank => " ",
        };
        let number = self.form.head.get(self.form.number).map(|field| field.key.as_str());
        for (field, cell) in fields.iter().zip(cells) {
            let empty = *cell == Cell::Null || cell.as_text() == Some("");
            if field.kind == Kind::Text && empty && Some(field.key.as_str()) != number {
                *cell = Cell::text(blank);
            }
        }
    }

    /// Demands what is required.
    pub(crate) fn require(&mut self, document: &Document) {
        let blamed: Vec<String> = self.problems.iter().filter_map(|problem| problem.field.clone()).collect();
        let missing = |field: &Field, cell: &Cell| {
            let empty = *cell == Cell::Null || cell.as_text().is_some_and(|text| text.trim().is_empty());
            field.required && empty && !blamed.contains(&field.key)
        };
        for (field, cell) in self.form.head.iter().zip(&document.head) {
            if missing(field, cell) {
                self.problems.push(Problem::new(11, format!("字段“{}”是必填项", field.name)).of_field(&field.key));
            }
        }
        for (entity, rows) in self.form.entities.iter().zip(&document.entries) {
            if entity.required && rows.is_empty() {
                self.problems.push(Problem::new(11, format!("单据体“{}”是必填项", entity.name)).of_field(&entity.key));
            }
            for (index, row) in rows.iter().enumerate() {
                for (field, cell) in entity.fields.iter().zip(&row.cells) {
                    if missing(field, cell) {
                        let message = format!(
                            "单据体实体【{}】第【{}】行分录，【{}】字段必录",
                            entity.name,
                            index + 1,
                            field.name
                        );
                        self.problems.push(Problem::new(11, message).of_field(&field.key));
                    }
                }
            }
        }
    }
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}
