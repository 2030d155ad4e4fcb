//! What a value sees while a bill is rendered: the bill's rows, the current one, and the elements around it.

use std::sync::Arc;

use serde_json::Value;

use crate::collections::Collections;
use crate::function::Scope;
use crate::lookup::Query;
use crate::reference::{Path, walk, walk_all};

/// One element of a source array that is being rendered.
#[derive(Debug, Clone)]
pub(crate) struct Element<'a> {
    names: Arc<[Path]>,
    value: &'a Value,
}

/// The scope of one place in a bill.
#[derive(Debug, Clone)]
pub(crate) struct BillScope<'a> {
    rows: &'a [Value],
    row: usize,
    /// From the outermost to the innermost.
    elements: Vec<Element<'a>>,
    batch: Option<Batch<'a>>,
    collections: &'a dyn Collections,
}

/// The bills of one call, visible under the operation's `rowsKey`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch<'a> {
    pub(crate) name: &'a str,
    pub(crate) bills: &'a Value,
}

impl<'a> BillScope<'a> {
    /// The header of a bill made of `rows`; its current row is the first.
    pub(crate) fn of_bill(rows: &'a [Value], batch: Option<Batch<'a>>, collections: &'a dyn Collections) -> Self {
        Self { rows, row: 0, elements: Vec::new(), batch, collections }
    }

    /// The line of one row.
    pub(crate) fn at_row(&self, row: usize) -> Self {
        Self { row, ..self.clone() }
    }

    /// Paths by which the array `name` is known here: as written, and below the array around it.
    pub(crate) fn names_of(&self, name: &Path) -> Arc<[Path]> {
        let mut names = vec![name.clone()];
        if let Some(outer) = self.elements.last() {
            for above in outer.names.iter().filter(|above| name.below(above).is_none()) {
                names.push(Path::lenient(&format!("{above}.{name}")));
            }
        }
        names.into()
    }

    /// The line of one element of the array that is known by `names`.
    pub(crate) fn at_element(&self, names: Arc<[Path]>, value: &'a Value) -> Self {
        let mut scope = self.clone();
        scope.elements.push(Element { names, value });
        scope
    }

    pub(crate) fn rows(&self) -> &'a [Value] {
        self.rows
    }

    /// The value of a path by the rules of the format: the element whose array the path begins with, the record, the
    /// elements themselves, the bills of the call.
    pub(crate) fn get(&self, path: &Path) -> Option<&'a Value> {
        if let Some((element, rest)) = self.own_element(path) {
            return walk(element, &rest);
        }
        let record = self.rows.get(self.row);
        if let Some(record) = record.filter(|record| begins(record, path)) {
            return walk(record, path);
        }
        if let Some(element) = self.knowing_element(path) {
            return walk(element, path);
        }
        self.of_batch(path).and_then(|(bills, rest)| match rest {
            Some(rest) => walk(bills, &rest),
            None => Some(bills),
        })
    }

    /// The innermost element whose array the path begins with, and what remains of the path.
    fn own_element(&self, path: &Path) -> Option<(&'a Value, Path)> {
        self.elements
            .iter()
            .rev()
            .find_map(|element| element.names.iter().find_map(|name| Some((element.value, path.below(name)?))))
    }

    /// The innermost element that answers the path by itself.
    fn knowing_element(&self, path: &Path) -> Option<&'a Value> {
        self.elements.iter().rev().map(|element| element.value).find(|element| begins(element, path))
    }

    fn of_batch(&self, path: &Path) -> Option<(&'a Value, Option<Path>)> {
        let batch = self.batch?;
        match path.as_str() == batch.name {
            true => Some((batch.bills, None)),
            false => path.below(&Path::lenient(batch.name)).map(|rest| (batch.bills, Some(rest))),
        }
    }
}

/// Whether a record answers a path: by its first segment, or by a key that is the whole path.
fn begins(record: &Value, path: &Path) -> bool {
    let first = path.segments().first().map_or("", |segment| segment.name());
    record.as_object().is_some_and(|members| members.contains_key(first) || members.contains_key(path.as_str()))
}

impl Scope for BillScope<'_> {
    fn value(&self, path: &Path) -> Value {
        self.get(path).cloned().unwrap_or(Value::Null)
    }

    /// All elements of an array path and all rows of a plain field, wherever the aggregate stands; inside an element
    /// that alone knows the path, what it knows.
    fn elements(&self, path: &Path) -> Vec<Value> {
        if self.rows.iter().any(|row| begins(row, path)) {
            let of_row = |row: &Value| match begins(row, path) {
                true => walk_all(row, path),
                // A row without the field still is a row.
                false => vec![Value::Null],
            };
            return self.rows.iter().flat_map(of_row).collect();
        }
        match self.knowing_element(path) {
            Some(element) => walk_all(element, path),
            None => match self.of_batch(path) {
                Some((bills, Some(rest))) => walk_all(bills, &rest),
                Some((bills, None)) => bills.as_array().cloned().unwrap_or_default(),
                None => Vec::new(),
            },
        }
    }

    fn find(&self, query: &Query) -> Value {
        self.collections.find(query)
    }
}
