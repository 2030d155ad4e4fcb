//! References: `{path}`, `{{path}}`, `{{path|filter}}`, and how a path finds its value in a JSON record.
//!
//! Both spellings of the braces mean the same. Braces around anything that is not a path are literal text, so JSON
//! inside a lookup is safe. A text is split into pieces once, when a document is loaded; values are put in later and
//! are never looked at again for references.

use std::fmt;

use document::{Code, Fault};
use serde_json::{Number, Value};

use crate::datetime::Filter;
use crate::function::Run;

/// One step of a path: the name of a member, which may also be the index of an array element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Segment {
    name: String,
    index: Option<usize>,
}

impl Segment {
    fn new(name: &str) -> Self {
        let digits = !name.is_empty() && name.chars().all(|c| c.is_ascii_digit());
        Self { name: name.to_owned(), index: digits.then(|| name.parse().ok()).flatten() }
    }

    /// The segment as written.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The element it names when it meets an array; absent when it is not an integer.
    pub fn index(&self) -> Option<usize> {
        self.index
    }
}

/// Segments joined by points, such as `details_list.goods_no`.
///
/// A segment is made of letters of any script, digits, `_`, `-` and `$`; the first does not begin with a digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    text: String,
    segments: Vec<Segment>,
}

impl Path {
    /// Reads a path by the grammar of references; nothing when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |segment: &str| !segment.is_empty() && segment.chars().all(is_path_char);
        if text.chars().next().is_none_or(|first| first.is_numeric()) || !text.split('.').all(fits) {
            return None;
        }
        Some(Self::lenient(text))
    }

    /// Takes a text as a path whatever its characters are: for names that a document writes without braces.
    pub fn lenient(text: &str) -> Self {
        Self { text: text.to_owned(), segments: text.split('.').map(Segment::new).collect() }
    }

    /// The path as written, with its points.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its segments; at least one.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// What remains of the path below `prefix`, when it begins with `prefix.`.
    pub fn below(&self, prefix: &Path) -> Option<Path> {
        self.text.strip_prefix(&prefix.text)?.strip_prefix('.').map(Path::lenient)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_path_char(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c) || matches!(c, '_' | '-' | '$')
}

/// Combining marks: scripts such as Thai and Devanagari write vowels with them.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{0900}'..='\u{0E4E}' | '\u{20D0}'..='\u{20F0}')
}

/// A name that the run answers and no record can hide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variable {
    /// Unix seconds of the previous successful source run.
    LastSyncTime,
    /// Unix seconds of the start of this run.
    CurrentTime,
    /// Unix seconds, so many days before the start of this run.
    DaysAgo(u32),
    /// Rows per page.
    PageSize,
    /// Rows before this page.
    StartRow,
    /// Number of this page, from 1.
    StartPage,
}

impl Variable {
    /// The variable a path names, if it names one.
    pub fn of(path: &Path) -> Option<Self> {
        match path.as_str() {
            "LAST_SYNC_TIME" => Some(Self::LastSyncTime),
            "CURRENT_TIME" => Some(Self::CurrentTime),
            "PAGINATION_PAGE_SIZE" => Some(Self::PageSize),
            "PAGINATION_START_ROW" => Some(Self::StartRow),
            "PAGINATION_START_PAGE" => Some(Self::StartPage),
            other => {
                let days = other.strip_prefix("DAYS_AGO_")?;
                let digits = !days.is_empty() && days.chars().all(|c| c.is_ascii_digit());
                digits.then(|| days.parse().ok()).flatten().map(Self::DaysAgo)
            }
        }
    }

    /// Its value in a run, a JSON integer; null for the page variables of a run without pages.
    pub fn value(self, run: &Run) -> Value {
        let page = |pick: fn(&crate::function::Page) -> u64| run.page.as_ref().map_or(Value::Null, |p| pick(p).into());
        match self {
            Self::LastSyncTime => run.last_sync_time.into(),
            Self::CurrentTime => run.now.into(),
            Self::DaysAgo(days) => Value::Number(Number::from(run.now.saturating_sub(i64::from(days) * 86_400))),
            Self::PageSize => page(|page| page.size),
            Self::StartRow => page(|page| page.start_row),
            Self::StartPage => page(|page| page.start_page),
        }
    }

    /// Whether it is a point in time, read as seconds by every filter.
    pub fn is_time(self) -> bool {
        matches!(self, Self::LastSyncTime | Self::CurrentTime | Self::DaysAgo(_))
    }
}

/// One reference of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it names.
    pub path: Path,
    /// What is done to the value, from left to right.
    pub filters: Vec<Filter>,
    written: String,
}

impl Reference {
    /// A reference to a path without filters.
    pub fn to_path(path: Path) -> Self {
        let written = format!("{{{path}}}");
        Self { path, filters: Vec::new(), written }
    }

    /// The reference as written, with its braces.
    pub fn written(&self) -> &str {
        &self.written
    }

    /// The variable it names, if it names one.
    pub fn variable(&self) -> Option<Variable> {
        Variable::of(&self.path)
    }
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stays as it is.
    Literal(String),
    /// A place for a value.
    Reference(Reference),
}

/// A text split into what stays and what is filled in. Joining [`Piece`]s as written gives the text again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    /// The parts in order; two literals never stand side by side.
    pub pieces: Vec<Piece>,
}

impl Template {
    /// The only reference, when the text is exactly one reference.
    pub fn whole(&self) -> Option<&Reference> {
        match self.pieces.as_slice() {
            [Piece::Reference(reference)] => Some(reference),
            _ => None,
        }
    }

    /// The text, when it holds no reference.
    pub fn constant(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Its references in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Literal(_) => None,
        })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Literal(text) => f.write_str(text),
            Piece::Reference(reference) => f.write_str(reference.written()),
        })
    }
}

/// Splits a text into literals and references.
///
/// # Errors
/// `E_FILTER` with the column when a well-formed reference names a filter that does not exist.
pub fn parse_template(text: &str) -> Result<Template, Fault> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        match reference_at(&chars, at)? {
            Some((reference, end)) => {
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Reference(reference));
                at = end;
            }
            None => {
                literal.push(c);
                at += 1;
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Template { pieces })
}

/// The reference that begins at a character, and where it ends.
pub(crate) fn reference_at(chars: &[char], at: usize) -> Result<Option<(Reference, usize)>, Fault> {
    if chars.get(at) != Some(&'{') {
        return Ok(None);
    }
    let braces = if chars.get(at + 1) == Some(&'{') { 2 } else { 1 };
    let begin = at + braces;
    // A brace inside cannot belong to a reference, so the search stops there and stays linear.
    let inside = chars.iter().skip(begin).take_while(|c| is_path_char(**c) || matches!(c, '.' | '|')).count();
    let end = begin + inside;
    let closed = chars.iter().skip(end).take(braces).filter(|c| **c == '}').count() == braces;
    if !closed || inside == 0 {
        return Ok(None);
    }
    let written: String = chars.iter().skip(at).take(end + braces - at).collect();
    let body: String = chars.iter().skip(begin).take(inside).collect();
    let mut parts = body.split('|');
    let Some(path) = parts.next().and_then(Path::parse) else { return Ok(None) };
    let mut filters = Vec::new();
    for name in parts {
        let known = name.parse::<Filter>().map_err(|fault| fault.at_column((begin + 1).to_string()))?;
        filters.push(known);
    }
    Ok(Some((Reference { path, filters, written }, end + braces)))
}

/// The value a path finds in a record.
///
/// A record's own key that equals the whole path wins. An integer segment indexes an array; any other segment that
/// meets an array goes on in its first element.
pub fn walk<'a>(record: &'a Value, path: &Path) -> Option<&'a Value> {
    if let Some(found) = record.as_object().and_then(|object| object.get(path.as_str())) {
        return Some(found);
    }
    path.segments().iter().try_fold(record, step)
}

fn step<'a>(mut value: &'a Value, segment: &Segment) -> Option<&'a Value> {
    loop {
        match (value, segment.index()) {
            (Value::Object(object), _) => return object.get(segment.name()),
            (Value::Array(items), Some(index)) => return items.get(index),
            (Value::Array(items), None) => value = items.first()?,
            _ => return None,
        }
    }
}

/// Every value a path finds when it goes on in all elements of each array it meets: what an aggregate counts.
///
/// An element without the member counts as null. A path that ends at an array gives its elements. A path that finds
/// nothing before it meets an array gives nothing.
pub fn walk_all(record: &Value, path: &Path) -> Vec<Value> {
    let whole = record.as_object().and_then(|object| object.get(path.as_str()));
    let mut found = Vec::new();
    match whole {
        Some(value) => gather(value, &[], false, &mut found),
        None => gather(record, path.segments(), false, &mut found),
    }
    found
}

fn gather(value: &Value, rest: &[Segment], in_array: bool, found: &mut Vec<Value>) {
    match (value, rest.split_first()) {
        (Value::Array(items), Some((segment, below))) if segment.index().is_some() => {
            if let Some(item) = segment.index().and_then(|index| items.get(index)) {
                gather(item, below, in_array, found);
            }
        }
        (Value::Array(items), _) => items.iter().for_each(|item| gather(item, rest, true, found)),
        (Value::Object(object), Some((segment, below))) => match object.get(segment.name()) {
            Some(member) => gather(member, below, in_array, found),
            None if in_array => found.push(Value::Null),
            None => {}
        },
        (Value::Null, _) | (_, Some(_)) => {
            if in_array {
                found.push(Value::Null);
            }
        }
        (other, None) => found.push(other.clone()),
    }
}

pub(crate) fn unknown_filter(name: &str) -> Fault {
    Fault::new(Code::Filter, format!("unknown filter {name:?}"))
        .hint("known filters: date, datetime, time, timestamp, timestamp_ms")
}

#[cfg(test)]
mod tests;
