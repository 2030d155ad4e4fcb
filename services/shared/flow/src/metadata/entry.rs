//! Field entries: reading the ordered lists `request`, `otherRequest` and `takeOverRequest` into compiled entries.

use std::collections::HashMap;

use document::Code;
use serde_json::{Map, Value};

use super::coerce::{self, Kind};
use super::parser::{self, Parser};
use super::report::Report;
use super::value::Form;
use crate::reference::{self, Path};

/// Deepest nesting of entries.
pub(crate) const MAX_DEPTH: usize = 64;

const KEYS: [&str; 12] = [
    "field",
    "label",
    "type",
    "value",
    "describe",
    "is_required",
    "parent",
    "parser",
    "children",
    "id",
    "parent_id",
    "format",
];

/// One field of the output, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Output name.
    pub(crate) field: String,
    pub(crate) kind: Kind,
    pub(crate) form: Form,
    pub(crate) required: bool,
    pub(crate) parsers: Vec<Parser>,
    pub(crate) children: Vec<Entry>,
    /// Where the elements of an array with children come from.
    pub(crate) detail: Detail,
    /// JSON path of the entry in its document.
    pub(crate) place: String,
    /// The text of `value` as written, where it is a text.
    pub(crate) written: Option<String>,
}

/// Where the elements of an array with children come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Detail {
    /// Not an array with children.
    None,
    /// One element per element of the source array of this path.
    Source(Path),
    /// One element per row of the bill.
    Rows,
    /// One element per element of what the value form gives.
    Computed,
}

/// An entry on its way from the flat or nested list to its compiled form.
struct Draft<'a> {
    members: &'a Map<String, Value>,
    field: String,
    place: String,
    parent: Option<String>,
    children: Vec<Draft<'a>>,
}

/// Reads a list of entries, moving entries below the parents they name and compiling every value.
pub(crate) fn compile_list(list: &[Value], path: &str, report: &mut Report) -> Vec<Entry> {
    let drafts = draft_list(list, path, None, 1, report);
    compile_drafts(drafts, 1, report)
}

fn draft_list<'a>(
    list: &'a [Value],
    path: &str,
    enclosing: Option<&str>,
    depth: usize,
    report: &mut Report,
) -> Vec<Draft<'a>> {
    if depth > MAX_DEPTH {
        report.fault(Code::EntryDepth, path, format!("entries are nested deeper than {MAX_DEPTH} levels"));
        return Vec::new();
    }
    let mut drafts = Vec::with_capacity(list.len());
    for (index, item) in list.iter().enumerate() {
        let place = format!("{path}[{index}]");
        let Value::Object(members) = item else {
            report.wrong_kind(item, "a field entry", &place);
            continue;
        };
        report.unknown_keys(members, &KEYS, &place);
        let field = match members.get("field") {
            Some(Value::String(field)) if !field.is_empty() => field.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => {
                report.fault(Code::EntryField, &place, "the entry has no field");
                continue;
            }
        };
        // A parent of a form other than text, such as the 0 that exports write at the top, names nothing.
        let parent = members.get("parent").and_then(Value::as_str).filter(|parent| !parent.is_empty());
        let parent = parent.filter(|parent| Some(*parent) != enclosing).map(str::to_owned);
        let children = report
            .list(members, "children", &place)
            .map(|children| draft_list(children, &format!("{place}.children"), Some(&field), depth + 1, report))
            .unwrap_or_default();
        drafts.push(Draft { members, field, place, parent, children });
    }
    below_parents(drafts, report)
}

/// Moves each draft that names a parent to the end of that parent's children; the order among them stays.
fn below_parents<'a>(drafts: Vec<Draft<'a>>, report: &mut Report) -> Vec<Draft<'a>> {
    if drafts.iter().all(|draft| draft.parent.is_none()) {
        return drafts;
    }
    let mut first_of: HashMap<String, usize> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        first_of.entry(draft.field.clone()).or_insert(index);
    }
    let mut parents = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let Some(parent) = &draft.parent else {
            parents.push(None);
            continue;
        };
        let found = first_of.get(parent).copied().filter(|found| *found != index);
        if found.is_none() {
            let path = format!("{}.parent", draft.place);
            report.warn(Code::EntryParent, &path, format!("no other entry of this list is called {parent}"));
        }
        parents.push(found);
    }
    let mut order: Vec<(usize, usize)> = (0..drafts.len()).map(|index| (height(index, &parents), index)).collect();
    // Deepest first, so that a child carries its own children along when it moves.
    order.sort_by_key(|(height, index)| (std::cmp::Reverse(*height), *index));
    let mut slots: Vec<Option<Draft<'a>>> = drafts.into_iter().map(Some).collect();
    let mut below: HashMap<usize, Vec<Draft<'a>>> = HashMap::new();
    for (height, index) in order {
        let Some(mut draft) = slots[index].take() else { continue };
        draft.children.extend(below.remove(&index).unwrap_or_default());
        match parents[index] {
            _ if height >= MAX_DEPTH => {
                let detail = format!("{} is nested deeper than {MAX_DEPTH} levels, or below itself", draft.field);
                report.fault(Code::EntryDepth, &draft.place, detail);
            }
            Some(parent) => below.entry(parent).or_default().push(draft),
            None => slots[index] = Some(draft),
        }
    }
    slots.into_iter().flatten().collect()
}

/// How many parents stand above an entry; counted no further than the limit, so that a ring ends too.
fn height(index: usize, parents: &[Option<usize>]) -> usize {
    let mut at = index;
    for above in 0..MAX_DEPTH {
        match parents[at] {
            Some(parent) => at = parent,
            None => return above,
        }
    }
    MAX_DEPTH
}

fn compile_drafts(drafts: Vec<Draft<'_>>, depth: usize, report: &mut Report) -> Vec<Entry> {
    let first = drafts.first().map(|draft| draft.place.clone());
    if let Some(place) = first.filter(|_| depth > MAX_DEPTH) {
        report.fault(Code::EntryDepth, &place, format!("entries are nested deeper than {MAX_DEPTH} levels"));
        return Vec::new();
    }
    drafts.into_iter().map(|draft| compile_draft(draft, depth, report)).collect()
}

fn compile_draft(draft: Draft<'_>, depth: usize, report: &mut Report) -> Entry {
    let Draft { members, field, place, children, .. } = draft;
    let children = compile_drafts(children, depth + 1, report);
    let kind = kind_of(members, &place, !children.is_empty(), report);
    let declared = members.get("value").unwrap_or(&Value::Null);
    let value_place = format!("{place}.value");
    let (detail, form) = match (kind, children.is_empty()) {
        (Kind::Array, false) => detail_of(declared, &value_place, report),
        _ => (Detail::None, Form::compile(declared, &value_place, report)),
    };
    let parsers = members
        .get("parser")
        .map(|parser| parser::compile(parser, &field, &format!("{place}.parser"), report))
        .unwrap_or_default();
    let required = report.truth(members, "is_required", &place).unwrap_or(false);
    let written = declared.as_str().map(str::to_owned);
    Entry { field, kind, form, required, parsers, children, detail, place, written }
}

fn kind_of(members: &Map<String, Value>, place: &str, has_children: bool, report: &mut Report) -> Kind {
    let name = report.text(members, "type", place).unwrap_or_default();
    let kind = match Kind::named(name) {
        Some(kind) => kind,
        None => {
            if !name.is_empty() {
                let fault = report.warn(Code::UnknownType, &format!("{place}.type"), format!("unknown type {name}"));
                fault.hint = Some(crate::suggest::hint(name, coerce::NAMES));
            }
            Kind::Any
        }
    };
    match (kind, has_children) {
        // Children say more than a missing type.
        (Kind::Any, true) => Kind::Object,
        (Kind::Array | Kind::Object, _) | (_, false) => kind,
        (_, true) => {
            let path = format!("{place}.children");
            report.warn(Code::UnknownKey, &path, format!("children have no effect on type {name}"));
            kind
        }
    }
}

/// The source of a detail array: a plain path, braces tolerated, else whatever the value gives.
fn detail_of(declared: &Value, place: &str, report: &mut Report) -> (Detail, Form) {
    let text = match declared {
        Value::Null => return (Detail::Rows, Form::Absent),
        Value::String(text) if text.trim().is_empty() => return (Detail::Rows, Form::Absent),
        Value::String(text) => text,
        _ => return (Detail::Computed, Form::compile(declared, place, report)),
    };
    if let Some(path) = Path::parse(text.trim()) {
        return (Detail::Source(path), Form::Absent);
    }
    match reference::parse_template(text.trim()).map(|template| template.whole().cloned()) {
        Ok(Some(reference)) if reference.filters.is_empty() => (Detail::Source(reference.path), Form::Absent),
        _ => (Detail::Computed, Form::compile(declared, place, report)),
    }
}

impl Entry {
    /// Calls `see` with this entry and every entry below it.
    pub(crate) fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Entry)) {
        see(self);
        for child in &self.children {
            child.walk(see);
        }
    }
}

/// Calls `see` with every entry of a list and below it.
pub(crate) fn walk_all<'a>(entries: &'a [Entry], see: &mut dyn FnMut(&'a Entry)) {
    for entry in entries {
        entry.walk(see);
    }
}

#[cfg(test)]
mod tests;
