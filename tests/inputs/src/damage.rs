//! What can be done to a JSON value, one place at a time.

use serde_json::{Value, json};

/// A damaged copy of a document.
#[derive(Debug, Clone)]
pub struct Damaged {
    /// What was done, and where: `request[2].value becomes a list`.
    pub what: String,
    /// The document.
    pub document: Value,
}

/// The paths of all nodes below the root, each before what it holds.
pub fn paths(document: &Value) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    walk(document, &mut Vec::new(), &mut found);
    found
}

/// One step on the way to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member.
    Member(String),
    /// An element.
    Element(usize),
}

fn walk(node: &Value, way: &mut Vec<Step>, found: &mut Vec<Vec<Step>>) {
    let mut visit = |step: Step, child: &Value| {
        way.push(step);
        found.push(way.clone());
        walk(child, way, found);
        way.pop();
    };
    match node {
        Value::Object(members) => members.iter().for_each(|(name, child)| visit(Step::Member(name.clone()), child)),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, child)| visit(Step::Element(at), child)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The node at a path.
pub fn node<'a>(document: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(document, |node, step| match step {
        Step::Member(name) => node.get(name),
        Step::Element(at) => node.get(*at),
    })
}

fn node_mut<'a>(document: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |node, step| match step {
        Step::Member(name) => node.get_mut(name),
        Step::Element(at) => node.get_mut(*at),
    })
}

/// A path in words.
pub fn words(path: &[Step]) -> String {
    path.iter().fold("$".to_owned(), |text, step| match step {
        Step::Member(name) => format!("{text}.{name}"),
        Step::Element(at) => format!("{text}[{at}]"),
    })
}

/// Copies of the document in which one node is of another kind than it was.
pub fn other_kinds(document: &Value) -> Vec<Damaged> {
    let kinds = [json!(true), json!(7), json!("x"), json!([]), json!({})];
    let mut damaged = Vec::new();
    for path in paths(document) {
        let Some(before) = node(document, &path) else { continue };
        for kind in &kinds {
            if std::mem::discriminant(kind) == std::mem::discriminant(before) {
                continue;
            }
            damaged.push(replaced(document, &path, kind.clone()));
        }
    }
    damaged
}

/// A copy of the document with another value at a path.
pub fn replaced(document: &Value, path: &[Step], value: Value) -> Damaged {
    let what = format!("{} becomes {value}", words(path));
    let mut copy = document.clone();
    if let Some(place) = node_mut(&mut copy, path) {
        *place = value;
    }
    Damaged { what, document: copy }
}

/// Copies of the document in each of which one object has a member that nobody knows.
pub fn strange_members(document: &Value) -> Vec<Damaged> {
    let objects = std::iter::once(Vec::new()).chain(paths(document));
    let objects = objects.filter(|path| node(document, path).is_some_and(Value::is_object));
    let add = |path: Vec<Step>| {
        let mut copy = document.clone();
        if let Some(Value::Object(members)) = node_mut(&mut copy, &path) {
            members.insert("stranger".to_owned(), json!(1));
        }
        Damaged { what: format!("{} gets a member stranger", words(&path)), document: copy }
    };
    objects.map(add).collect()
}

/// The document as TOML, which has no null: such a member is left out.
///
/// # Panics
/// When the document is no table.
pub fn to_toml(document: &Value) -> String {
    fn of(value: &Value) -> Option<toml::Value> {
        Some(match value {
            Value::Null => return None,
            Value::Bool(flag) => toml::Value::Boolean(*flag),
            // A number of our JSON keeps its text, which TOML would take for a table.
            Value::Number(number) => match number.as_i64() {
                Some(whole) => toml::Value::Integer(whole),
                None => toml::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => toml::Value::String(text.clone()),
            Value::Array(items) => toml::Value::Array(items.iter().filter_map(of).collect()),
            Value::Object(members) => {
                let members = members.iter().filter_map(|(name, member)| Some((name.clone(), of(member)?)));
                toml::Value::Table(members.collect())
            }
        })
    }
    toml::to_string(&of(document)).expect("a table")
}

/// The bytes with edits: each edit is four bytes, of which two say where, one what is done and one with what.
///
/// For fuzzing: a sample with a few edits reaches deeper than noise, and any input is one.
pub fn edited(sample: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for edit in edits.chunks_exact(4).take(64) {
        let &[high, low, what, with] = edit else { continue };
        let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
        match what % 6 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, with),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            // A piece comes twice.
            3 => {
                let end = (at + usize::from(with)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            // A piece is missing.
            4 => {
                let end = (at + usize::from(with)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ if at < bytes.len() => bytes[at] = with,
            _ => {}
        }
    }
    bytes
}
