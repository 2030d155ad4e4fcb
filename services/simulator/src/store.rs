//! The documents of the simulated server, in memory, by form.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::NaiveDateTime;
use serde_json::{Map, Value};

use crate::schema::{Field, Form, Slot};
use crate::value::{Cell, Kind, Seen};

/// A document.
#[derive(Debug, Clone)]
pub struct Document {
    /// Internal id.
    pub id: i64,
    /// Values of head and sub-heads, by head index of the form.
    pub head: Vec<Cell>,
    /// Rows by entity, ordered by row id; the sequence of a row is its place, from 1.
    pub entries: Vec<Vec<Entry>>,
}

/// A row of a document.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Internal id.
    pub id: i64,
    /// Values by field index of the entity.
    pub cells: Vec<Cell>,
}

/// The documents of one form.
#[derive(Debug, Clone)]
pub struct Table {
    /// The form.
    pub form: Arc<Form>,
    documents: BTreeMap<i64, Document>,
    numbers: HashMap<Arc<str>, Vec<i64>>,
    /// Documents with a number that is blank or ends in blanks: comparison and the index differ there.
    blank_ended: usize,
}

/// Everything the server holds.
#[derive(Debug, Clone)]
pub struct Store {
    tables: Vec<Table>,
    forms: HashMap<String, usize>,
    next_id: i64,
    next_entry: i64,
    generated: i64,
}

impl Document {
    /// A document of `form` without values.
    pub fn empty(form: &Form, id: i64) -> Self {
        Self { id, head: vec![Cell::Null; form.head.len()], entries: vec![Vec::new(); form.entities.len()] }
    }

    /// The number, where it has one.
    pub fn number<'a>(&'a self, form: &Form) -> Option<&'a str> {
        self.head.get(form.number).and_then(Cell::as_text).filter(|text| !text.trim().is_empty())
    }

    /// The status code; a form without a status counts as audited.
    pub fn status<'a>(&'a self, form: &Form) -> &'a str {
        form.maintained.status.and_then(|index| self.head.get(index)).and_then(Cell::as_text).unwrap_or("C")
    }

    /// Sets a maintained field, where the form has it.
    pub fn maintain(&mut self, index: Option<usize>, cell: Cell) {
        if let Some(slot) = index.and_then(|index| self.head.get_mut(index)) {
            *slot = cell;
        }
    }

    /// Whether others may refer to it: audited and not disabled.
    pub fn is_usable(&self, form: &Form) -> bool {
        let forbidden = form.maintained.forbidden.and_then(|index| self.head.get(index)).and_then(Cell::as_text);
        self.status(form) == "C" && forbidden != Some("B")
    }
}

impl Table {
    /// All documents, by id.
    pub fn documents(&self) -> &BTreeMap<i64, Document> {
        &self.documents
    }

    /// The document of this id.
    pub fn get(&self, id: i64) -> Option<&Document> {
        self.documents.get(&id)
    }

    /// Ids of the documents that carry `number`, in ascending order.
    pub fn by_number(&self, number: &str) -> &[i64] {
        self.numbers.get(number).map_or(&[], Vec::as_slice)
    }

    /// Whether the number index answers comparisons with numbers: no number is blank or ends in blanks.
    pub fn has_plain_numbers(&self) -> bool {
        self.blank_ended == 0
    }

    /// Puts a document in, in place of the one of its id; gives that one back.
    pub fn put(&mut self, document: Document) -> Option<Document> {
        let before = self.remove(document.id);
        self.blank_ended += usize::from(is_blank_ended(&self.form, &document));
        if let Some(number) = document.number(&self.form) {
            let ids = self.numbers.entry(number.into()).or_default();
            ids.push(document.id);
            ids.sort_unstable();
        }
        self.documents.insert(document.id, document);
        before
    }

    /// Takes a document out.
    pub fn remove(&mut self, id: i64) -> Option<Document> {
        let document = self.documents.remove(&id)?;
        self.blank_ended -= usize::from(is_blank_ended(&self.form, &document));
        if let Some(number) = document.number(&self.form)
            && let Some(ids) = self.numbers.get_mut(number)
        {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.numbers.remove(number);
            }
        }
        Some(document)
    }
}

fn is_blank_ended(form: &Form, document: &Document) -> bool {
    let number = document.head.get(form.number).and_then(Cell::as_text);
    number.is_some_and(|number| number.is_empty() || number.ends_with(' '))
}

impl Store {
    /// A store of `forms` without documents. Ids of servers with different seeds differ.
    pub fn new(forms: Vec<Form>, seed: u64) -> Self {
        let tables: Vec<Table> = forms
            .into_iter()
            .map(|form| Table {
                form: Arc::new(form),
                documents: BTreeMap::new(),
                numbers: HashMap::new(),
                blank_ended: 0,
            })
            .collect();
        let forms = tables.iter().enumerate().map(|(at, table)| (table.form.id.to_lowercase(), at)).collect();
        let offset = i64::try_from(seed % 1_000).expect("a number below 1000 fits") * 1_000;
        Self { tables, forms, next_id: 100_000 + offset, next_entry: 200_000 + offset, generated: 0 }
    }

    /// Index of the form of this id, compared without regard to case.
    pub fn find(&self, form: &str) -> Option<usize> {
        self.forms.get(&form.trim().to_lowercase()).copied()
    }

    /// The table at an index that `find` gave.
    pub fn table(&self, at: usize) -> &Table {
        self.tables.get(at).expect("indexes come from find and tables are never removed")
    }

    /// The table at an index that `find` gave, for change.
    pub fn table_mut(&mut self, at: usize) -> &mut Table {
        self.tables.get_mut(at).expect("indexes come from find and tables are never removed")
    }

    /// Every table.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// An id for a new document.
    pub fn allot_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id
    }

    /// An id for a new row.
    pub fn allot_entry(&mut self) -> i64 {
        self.next_entry += 1;
        self.next_entry
    }

    /// A number that no document of the form carries.
    pub fn allot_number(&mut self, at: usize) -> String {
        loop {
            self.generated += 1;
            let number = format!("{}{:06}", self.table(at).form.prefix, self.generated);
            if self.table(at).by_number(&number).is_empty() {
                return number;
            }
        }
    }

    /// The usable document of base-data form `at` with this number; any such document when none is usable.
    pub fn base_data(&self, at: usize, number: &str) -> Option<&Document> {
        let table = self.table(at);
        let mut found = table.by_number(number).iter().filter_map(|id| table.get(*id));
        let first = found.clone().next();
        found.find(|document| document.is_usable(&table.form)).or(first)
    }

    /// The document of base-data form `at` with this name.
    pub fn base_data_by_name(&self, at: usize, name: &str) -> Option<&Document> {
        let table = self.table(at);
        let title = table.form.title?;
        table.documents.values().find(|document| document.head.get(title).and_then(Cell::as_text) == Some(name))
    }

    /// Creates base data, audited, unless the number exists.
    pub fn ensure_base_data(&mut self, form: &str, number: &str, name: &str, at: NaiveDateTime) -> Option<i64> {
        let index = self.find(form)?;
        if let Some(known) = self.table(index).by_number(number).first() {
            return Some(*known);
        }
        let id = self.allot_id();
        let form = Arc::clone(&self.table(index).form);
        let mut document = Document::empty(&form, id);
        document.maintain(Some(form.number), Cell::text(number));
        document.maintain(form.title, Cell::text(name));
        self.finish_planting(&form, &mut document, at);
        self.table_mut(index).put(document);
        Some(id)
    }

    /// Marks a document as audited at `at`, with its defaults.
    pub fn finish_planting(&self, form: &Form, document: &mut Document, at: NaiveDateTime) {
        self.fill_defaults(&form.head, &mut document.head, at);
        for (entity, rows) in form.entities.iter().zip(&mut document.entries) {
            rows.iter_mut().for_each(|row| self.fill_defaults(&entity.fields, &mut row.cells, at));
        }
        let kept = &form.maintained;
        for index in [kept.created, kept.modified, kept.approved] {
            document.maintain(index, Cell::Time(at));
        }
        document.maintain(kept.status, Cell::text("C"));
    }

    /// Gives empty cells the defaults of their fields.
    pub fn fill_defaults(&self, fields: &[Field], cells: &mut [Cell], now: NaiveDateTime) {
        for (field, cell) in fields.iter().zip(cells) {
            if *cell == Cell::Null
                && let Some(default) = &field.default
            {
                *cell = self.default_cell(&field.kind, default, now);
            }
        }
    }

    /// The cell that a schema's default stands for; `@now` is the server's time.
    pub fn default_cell(&self, kind: &Kind, default: &Value, now: NaiveDateTime) -> Cell {
        if default.as_str() == Some("@now") {
            let time = Value::from(crate::clock::write_time(now));
            return crate::value::read_cell(kind, &time).unwrap_or(Cell::Null);
        }
        match kind {
            Kind::BaseData(form) => {
                let found = self.find(form).zip(default.as_str()).and_then(|(at, number)| self.base_data(at, number));
                found.map_or(Cell::Null, |document| Cell::Reference(document.id))
            }
            _ => crate::value::read_cell(kind, default).unwrap_or(Cell::Null),
        }
    }

    /// What a slot of a document holds; `entry` is the row, with its sequence, for slots of rows.
    pub fn seen<'a>(document: &'a Document, entry: Option<(usize, &'a Entry)>, slot: Slot) -> Seen<'a> {
        match slot {
            Slot::Pk => Seen::Int(document.id),
            Slot::Head(index) => document.head.get(index).map_or(Seen::Null, Cell::seen),
            Slot::EntryPk(_) => entry.map_or(Seen::Null, |(_, entry)| Seen::Int(entry.id)),
            Slot::EntrySeq(_) => entry.map_or(Seen::Null, |(seq, _)| i64::try_from(seq).map_or(Seen::Null, Seen::Int)),
            Slot::Entry(_, index) => entry.and_then(|(_, entry)| entry.cells.get(index)).map_or(Seen::Null, Cell::seen),
        }
    }

    /// A document as a Model, base data as `{"FNumber": …}`, with status and dates: what the admin port dumps.
    pub fn dump(&self, at: usize, document: &Document) -> Value {
        let form = &self.table(at).form;
        let mut model = Map::new();
        model.insert(form.pk.clone(), document.id.into());
        for (field, cell) in form.head.iter().zip(&document.head) {
            model.insert(field.key.clone(), self.dump_cell(&field.kind, cell));
        }
        for (entity, rows) in form.entities.iter().zip(&document.entries) {
            let rows = rows.iter().map(|row| {
                let mut object = Map::from_iter([(entity.pk.clone(), Value::from(row.id))]);
                for (field, cell) in entity.fields.iter().zip(&row.cells) {
                    object.insert(field.key.clone(), self.dump_cell(&field.kind, cell));
                }
                Value::Object(object)
            });
            model.insert(entity.key.clone(), rows.collect());
        }
        Value::Object(model)
    }

    fn dump_cell(&self, kind: &Kind, cell: &Cell) -> Value {
        let (Kind::BaseData(form), Cell::Reference(id)) = (kind, cell) else { return cell.seen().json() };
        let number = self.find(form).and_then(|at| {
            let table = self.table(at);
            table.get(*id)?.number(&table.form).map(str::to_owned)
        });
        serde_json::json!({ "FNumber": number })
    }
}
