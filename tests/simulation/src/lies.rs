//! Answers of the source that are not what was asked. Each of them has to be noticed.

use extractor::core::columns::Columns;
use extractor::core::run::Ask;
use extractor::core::scan::Position;
use serde_json::{Value, json};

use crate::variety::Form;
use crate::world::World;

impl World {
    /// Spoils a page in one of the ways that a reader can notice; some leave it as it is where they do not fit.
    pub(crate) fn lie(&mut self, node: usize, ask: &Ask, columns: &Columns, rows: &mut Vec<Vec<Value>>) {
        let column = |key: Option<&str>| key.and_then(|key| columns.keys().iter().position(|known| known == key));
        let (key, entry, stamp) = (column(columns.key()), column(columns.entry()), column(columns.stamp()));
        // Texts have no order that a reader knows.
        let ordered = self.setting.variety.form != Form::Texts && key.is_some();
        let kind = self.second.below(10);
        let which = self.second.index(rows.len());
        // A page of one row has nothing in it that another one could belie.
        let telling = ordered && rows.len() > 1;
        match kind {
            0 => *rows = vec![vec![json!({"Result": {"ResponseStatus": {"IsSuccess": false}}})]],
            1 if ordered => rows.reverse(),
            2 => {
                // The whole row once more; a head that comes twice is one head.
                if !ask.heads {
                    rows.extend(rows.last().cloned());
                }
            }
            3 => {
                if let Some(cell) = rows.get_mut(which).zip(key.or(entry)).and_then(|(row, column)| row.get_mut(column))
                {
                    *cell = json!(true);
                }
            }
            4 => {
                if let Some(cell) = rows.get_mut(which).zip(stamp).and_then(|(row, column)| row.get_mut(column)) {
                    *cell = json!([]);
                }
            }
            5 => {
                // An id of another kind than the others.
                let cell = rows.last_mut().zip(key).and_then(|(row, column)| row.get_mut(column));
                if let Some(cell) = cell.filter(|_| telling) {
                    *cell = json!("other");
                }
            }
            6 if ordered => {
                // The filter is left aside.
                let all = Ask { position: Position::Start, ..ask.clone() };
                *rows = self.source.answer(node, &all, columns, self.seconds());
            }
            7 => {
                // So are the numbers of rows.
                if let Position::Row(start) = ask.position
                    && start > 0
                {
                    let first = Ask { position: Position::Row(0), ..ask.clone() };
                    *rows = self.source.answer(node, &first, columns, self.seconds());
                }
            }
            8 => {
                let cell = rows.last_mut().zip(entry).and_then(|(row, column)| row.get_mut(column));
                if let Some(cell) = cell.filter(|_| telling) {
                    *cell = Value::Null;
                }
            }
            _ => {
                if let Some(cell) = rows.get_mut(which).zip(key).and_then(|(row, column)| row.get_mut(column)) {
                    *cell = Value::Null;
                }
            }
        }
        self.trace.note(self.now, || format!("the source lies ({kind}) in a page of {} rows", rows.len()));
    }
}
