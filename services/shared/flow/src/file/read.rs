//! Reading a flow file so that one pass names every fault with line and column.

use std::collections::BTreeMap;
use std::time::Duration;

use document::{Code, Fault, FlowName, Tenant};
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

use super::{FlowFile, MAX_DOCUMENTS, MAX_PARTITIONS, span, text_form};
use crate::{schedule, suggest};

/// What reading a flow file gave.
#[derive(Debug)]
pub struct Reading {
    /// The file as far as it could be read; defaults stand in for what could not.
    pub file: FlowFile,
    /// Everything wrong with it.
    pub faults: Vec<Fault>,
    name: String,
    places: Places,
}

/// Path of a key (`$.source.key`) to line and column, both from 1, of key and value.
type Places = BTreeMap<String, [(u64, u64); 2]>;

impl Reading {
    /// A fault at a key of this file, with line and column when the key is there.
    pub fn fault(&self, code: Code, path: &str, detail: impl Into<String>) -> Fault {
        place(Fault::new(code, detail).in_file(&self.name), &self.places, path, 1)
    }

    /// Whether the file itself holds this key.
    pub fn has(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }
}

/// Reads a flow file named `name`.
pub fn read(name: &str, text: &str) -> Reading {
    let (table, errors) = DeTable::parse_recoverable(text);
    let lines = Lines::of(text);
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| {
            let (line, column) = lines.at(error.span().map_or(0, |span| span.start));
            Fault::new(Code::Toml, error.message()).in_file(name).at_line(line, column.to_string())
        })
        .collect();
    let mut places = Places::new();
    let mut json = Value::Object(object(table.get_ref(), "$", &lines, &mut places));
    let syntax_is_whole = faults.is_empty();
    let broken: Vec<Option<u64>> = faults.iter().map(|fault| fault.place.line).collect();
    take_lists(&mut json, "$", name, &places, &mut faults);
    let file = deserialize(&mut json, name, &places, &mut faults);
    // What could be made of a line with a mistake of syntax is a guess.
    faults.retain(|fault| fault.code == Code::Toml || !broken.contains(&fault.place.line));
    let mut reading = Reading { file, faults, name: name.to_owned(), places };
    // Missing keys of a file that could not be read to its end would be guesses.
    if syntax_is_whole {
        check(&mut reading);
    }
    reading
}

/// Takes out every list: a flow file has none, and the deserialiser would take one for a table without its keys.
fn take_lists(json: &mut Value, path: &str, name: &str, places: &Places, faults: &mut Vec<Fault>) {
    let Some(table) = json.as_object_mut() else { return };
    table.retain(|key, value| {
        let path = format!("{path}.{key}");
        if value.is_array() {
            let fault = Fault::new(Code::FlowValue, format!("{key}: a list, and a flow file has no lists"));
            faults.push(place(fault.in_file(name), places, &path, 1));
            return false;
        }
        take_lists(value, &path, name, places, faults);
        true
    });
}

/// Takes out one offending key after the other until the rest can be read.
fn deserialize(json: &mut Value, name: &str, places: &Places, faults: &mut Vec<Fault>) -> FlowFile {
    loop {
        let error = match serde_path_to_error::deserialize::<_, FlowFile>(json.clone()) {
            Ok(file) => return file,
            Err(error) => error,
        };
        let keys: Vec<String> = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                serde_path_to_error::Segment::Map { key } => Some(key.clone()),
                _ => None,
            })
            .collect();
        let path = keys.iter().fold("$".to_owned(), |path, key| format!("{path}.{key}"));
        let message = error.inner().to_string();
        faults.push(explain(&message, &keys, &path, name, places));
        if !remove(json, &keys) {
            return FlowFile::default();
        }
    }
}

/// The fault a message of the deserialiser stands for.
fn explain(message: &str, keys: &[String], path: &str, name: &str, places: &Places) -> Fault {
    let (code, words) = text_form::split_coded(message);
    if let Some(code) = code {
        return place(Fault::new(code, words).in_file(name), places, path, 1);
    }
    let key = keys.last().map_or("", String::as_str);
    if words.starts_with("unknown field") {
        // serde lists the known keys between backticks, the offending one first.
        let known: Vec<&str> = words.split('`').skip(1).step_by(2).skip(1).collect();
        let fault = Fault::new(Code::FlowKey, format!("unknown key {key}")).hint(suggest::hint(key, known));
        return place(fault.in_file(name), places, path, 0);
    }
    place(Fault::new(Code::FlowValue, format!("{key}: {words}")).in_file(name), places, path, 1)
}

fn place(fault: Fault, places: &Places, path: &str, part: usize) -> Fault {
    let fault = fault.at_path(path);
    match places.get(path) {
        Some(spots) => fault.at_line(spots[part].0, spots[part].1.to_string()),
        None => fault,
    }
}

fn remove(json: &mut Value, keys: &[String]) -> bool {
    let Some((last, parents)) = keys.split_last() else { return false };
    let mut table = json;
    for key in parents {
        match table.get_mut(key) {
            Some(inner) => table = inner,
            None => return false,
        }
    }
    table.as_object_mut().and_then(|table| table.remove(last)).is_some()
}

/// What no flow can do without, and the ranges of its numbers.
fn check(reading: &mut Reading) {
    let file = reading.file.clone();
    let mut found = Vec::new();
    let mut missing = |path: &str, what: &str| {
        if !reading.has(path) {
            found.push(reading.fault(Code::FlowMissing, path, format!("{what} is missing")));
        }
    };
    missing("$.flow", "flow, the flow's name,");
    missing("$.start_from", "start_from, the LAST_SYNC_TIME of the first run,");
    missing("$.source.connection", "source.connection");
    missing("$.target.connection", "target.connection");
    if file.source.lookback.is_some() {
        missing("$.source.lookback.cron", "source.lookback.cron");
    }
    if file.reconcile.is_some() {
        missing("$.reconcile.cron", "reconcile.cron");
    }
    for (path, text) in [
        ("$.source.connection", &file.source.connection),
        ("$.source.key", &file.source.key),
        ("$.source.document", &file.source.document),
        ("$.target.connection", &file.target.connection),
        ("$.target.key", &file.target.key),
        ("$.target.document", &file.target.document),
    ] {
        if text.trim().is_empty() && reading.has(path) {
            found.push(reading.fault(Code::FlowMissing, path, "the text is empty"));
        }
    }
    if let Some(marker) = &file.target.marker {
        let is_field = marker.chars().all(|c| c.is_alphanumeric() || c == '_') && !marker.is_empty();
        if !is_field {
            let detail = format!("{marker:?} is no field at the top of a bill");
            found.push(reading.fault(Code::FlowValue, "$.target.marker", detail));
        }
        if reading.has("$.target.key") {
            let detail = "a bill is found by its key or by its marker, not by both";
            found.push(reading.fault(Code::FlowValue, "$.target.marker", detail).hint("leave one of them out"));
        }
    }
    if reading.has("$.flow") {
        found.extend(
            FlowName::new(file.flow.clone())
                .err()
                .map(|invalid| reading.fault(Code::FlowLabel, "$.flow", invalid.to_string())),
        );
    }
    found.extend(
        Tenant::new(file.tenant.clone())
            .err()
            .map(|invalid| reading.fault(Code::FlowLabel, "$.tenant", invalid.to_string())),
    );
    let lookback_cron = file.source.lookback.iter().map(|lookback| ("$.source.lookback.cron", lookback.cron.as_str()));
    let reconcile_cron = file.reconcile.iter().map(|reconcile| ("$.reconcile.cron", reconcile.cron.as_str()));
    let schedule_cron = std::iter::once(("$.schedule.cron", file.schedule.cron.as_str()));
    for (path, cron) in schedule_cron.chain(lookback_cron).chain(reconcile_cron) {
        if cron.is_empty() && !reading.has(path) {
            continue;
        }
        if let Err(why) = schedule::check(cron) {
            found.push(reading.fault(Code::Cron, path, why));
        }
    }
    if let Some(documents) = file.batch.documents
        && !(1..=MAX_DOCUMENTS).contains(&documents)
    {
        let detail = format!("batch.documents is {documents}, but must be 1 to {MAX_DOCUMENTS}");
        found.push(reading.fault(Code::BatchRange, "$.batch.documents", detail));
    }
    for (path, value, low, high) in [
        ("$.partitions", u64::from(file.partitions), 1, u64::from(MAX_PARTITIONS)),
        ("$.batch.max_bytes", file.batch.max_bytes, 1024, 100_000_000),
        ("$.retry.connect", file.retry.connect.map_or(1, u64::from), 1, 20),
        ("$.retry.server_error", file.retry.server_error.map_or(1, u64::from), 1, 20),
        ("$.retry.attempt_cap", u64::from(file.retry.attempt_cap), 1, 100),
        (
            "$.source.lookback.days",
            file.source.lookback.as_ref().map_or(1, |lookback| u64::from(lookback.days)),
            1,
            366,
        ),
        ("$.reconcile.days", file.reconcile.as_ref().map_or(1, |reconcile| u64::from(reconcile.days)), 1, 366),
        ("$.reconcile.grace", file.reconcile.as_ref().map_or(1, |reconcile| reconcile.grace.as_secs()), 0, 86_400),
    ] {
        if !(low..=high).contains(&value) {
            let key = path.trim_start_matches("$.");
            found.push(reading.fault(Code::Range, path, format!("{key} is {value}, but must be {low} to {high}")));
        }
    }
    if let Some(reconcile) = &file.reconcile
        && !(0.0..=1.0).contains(&reconcile.sample)
    {
        let detail = format!("reconcile.sample is {}, but must be 0 to 1", reconcile.sample);
        found.push(reading.fault(Code::Range, "$.reconcile.sample", detail));
    }
    let (shortest, longest) = (Duration::from_millis(10), Duration::from_secs(600));
    for (path, wait) in
        [("$.retry.first_wait", file.retry.first_wait), ("$.retry.longest_wait", file.retry.longest_wait)]
    {
        if let Some(wait) = wait.filter(|wait| !(shortest..=longest).contains(wait)) {
            let (key, wait) = (path.trim_start_matches("$."), span::format(wait));
            found.push(reading.fault(Code::Range, path, format!("{key} is {wait}, but must be 10ms to 10m")));
        }
    }
    reading.faults.append(&mut found);
}

/// Offsets at which the lines of a text begin.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(offset, _)| offset + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// Line and column, both from 1; columns count characters.
    fn at(&self, offset: usize) -> (u64, u64) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line as u64, column as u64 + 1)
    }
}

fn object(table: &DeTable<'_>, path: &str, lines: &Lines<'_>, places: &mut Places) -> Map<String, Value> {
    table
        .iter()
        .map(|(key, value)| {
            let path = format!("{path}.{}", key.get_ref());
            places.insert(path.clone(), [lines.at(key.span().start), lines.at(value.span().start)]);
            (key.get_ref().to_string(), json(value.get_ref(), &path, lines, places))
        })
        .collect()
}

fn json(value: &DeValue<'_>, path: &str, lines: &Lines<'_>, places: &mut Places) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => {
            let text = number.as_str();
            i64::from_str_radix(text, number.radix()).map_or_else(|_| Value::String(text.to_owned()), Value::from)
        }
        DeValue::Float(number) => {
            number.as_str().parse().map_or_else(|_| Value::String(number.as_str().to_owned()), Value::Number)
        }
        DeValue::Boolean(truth) => Value::Bool(*truth),
        DeValue::Datetime(instant) => Value::String(instant.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().enumerate();
            items.map(|(index, item)| json(item.get_ref(), &format!("{path}[{index}]"), lines, places)).collect()
        }
        DeValue::Table(table) => Value::Object(object(table, path, lines, places)),
    }
}

#[cfg(test)]
mod tests;
