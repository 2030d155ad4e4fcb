//! One layer of settings, and where each of its keys was written.

use std::collections::BTreeMap;
use std::path::Path;

use document::{Code, Fault};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

/// The place of a key in a file: line and column in characters, both from 1.
type Position = (u64, u64);

/// Values of one origin.
#[derive(Debug)]
pub(super) struct Layer {
    /// How the origin is called in faults.
    name: String,
    values: Dict,
    /// Places of the keys, by path; empty for the environment.
    positions: BTreeMap<Vec<String>, Position>,
    /// Names and texts of the variables, by path; empty for files.
    variables: BTreeMap<Vec<String>, (String, String)>,
}

/// All layers, weakest first.
#[derive(Debug)]
pub(super) struct Layers(pub(super) Vec<Layer>, String);

/// `LOADER__` for `loader`.
pub(super) fn prefix(service: &str) -> String {
    format!("{}__", service.to_uppercase().replace('-', "_"))
}

/// A path as operators write it: `$.batch.max_age`.
pub(super) fn dotted(path: &[String]) -> String {
    path.join(".")
}

fn position_of(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line as u64, column as u64)
}

impl Layer {
    /// The defaults in the binary.
    pub(super) fn defaults(service: &str, text: &str) -> Result<Self, Fault> {
        Self::toml(&format!("defaults of {service}"), text)
    }

    /// A settings file.
    pub(super) fn file(path: &Path) -> Result<Self, Fault> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::toml(&name, &text),
            Err(error) => Err(Fault::new(Code::SettingsFile, format!("cannot be read: {error}")).in_file(name)),
        }
    }

    fn toml(name: &str, text: &str) -> Result<Self, Fault> {
        let refused = |detail: &str, byte: Option<usize>| {
            let fault = Fault::new(Code::SettingsFile, format!("is not TOML: {detail}")).in_file(name);
            match byte.map(|byte| position_of(text, byte)) {
                Some((line, column)) => fault.at_line(line, column.to_string()),
                None => fault,
            }
        };
        let read = |error: toml::de::Error| {
            // The parser's words quote no values, its long form would.
            refused(error.message(), error.span().map(|span| span.start))
        };
        let spans = DeTable::parse(text).map_err(read)?;
        let table: toml::Table = toml::from_str(text).map_err(read)?;
        let values = Value::serialize(&table)
            .and_then(|value| value.deserialize::<Dict>())
            .map_err(|error| refused(&error.to_string(), None))?;
        let mut positions = BTreeMap::new();
        note(spans.get_ref(), text, &mut Vec::new(), &mut positions);
        Ok(Self { name: name.to_owned(), values, positions, variables: BTreeMap::new() })
    }

    /// The variables of `service`. A part of a name stands for the key of an earlier layer that differs only in `-`.
    pub(super) fn environment(service: &str, environment: &BTreeMap<String, String>, earlier: &Layers) -> Self {
        let prefix = prefix(service);
        let mut layer = Self {
            name: "environment".to_owned(),
            values: Dict::new(),
            positions: BTreeMap::new(),
            variables: BTreeMap::new(),
        };
        for (variable, text) in environment {
            let Some(rest) = variable.strip_prefix(&prefix) else { continue };
            let mut path: Vec<String> = Vec::new();
            for part in rest.to_lowercase().split("__") {
                let key = earlier.key_written_as(&path, part).unwrap_or_else(|| part.to_owned());
                path.push(key);
            }
            let value = text.parse::<Value>().unwrap_or_else(|never| match never {});
            put(&mut layer.values, &path, value);
            layer.variables.insert(path, (variable.clone(), text.clone()));
        }
        layer
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

impl Layers {
    pub(super) fn new(service: &str) -> Self {
        Self(Vec::new(), service.to_owned())
    }

    /// The key under `parent` that is `part` when its dashes are written as underscores.
    fn key_written_as(&self, parent: &[String], part: &str) -> Option<String> {
        self.0.iter().rev().find_map(|layer| {
            let table = find(&layer.values, parent)?;
            table.keys().find(|key| key.to_lowercase().replace('-', "_") == part).cloned()
        })
    }

    /// The variable that would set `path`.
    pub(super) fn variable(&self, path: &[String]) -> String {
        format!("{}{}", prefix(&self.1), path.join("__").to_uppercase().replace('-', "_"))
    }

    /// Names where `path` was set: the strongest layer that has it, or else the nearest table around it.
    pub(super) fn place(&self, fault: Fault, path: &[String]) -> Fault {
        let fault = fault.at_path(format!("$.{}", dotted(path)));
        for length in (1..=path.len()).rev() {
            let (part, whole) = (&path[..length], length == path.len());
            for layer in self.0.iter().rev() {
                if let Some((variable, _)) = layer.variables.get(part) {
                    return fault.in_file(format!("environment variable {variable}"));
                }
                // A missing key belongs to the file the operator writes, not to the defaults around it.
                if let Some((line, column)) = layer.positions.get(part) {
                    return fault.in_file(&layer.name).at_line(*line, column.to_string());
                }
            }
            if whole && !self.0.iter().any(|layer| !layer.positions.is_empty()) {
                break;
            }
        }
        // Nothing around it is set anywhere: name the file that could set it.
        match self.0.iter().rev().find(|layer| layer.name != "environment") {
            Some(layer) => fault.in_file(&layer.name),
            None => fault,
        }
    }

    /// Where a layer says something else than a table of what is a table by the defaults. A list would be read as the
    /// table without its keys, and hide what the defaults say.
    pub(super) fn not_tables(&self) -> Vec<Vec<String>> {
        let mut found = Vec::new();
        if let Some((defaults, layers)) = self.0.split_first() {
            layers.iter().for_each(|layer| not_tables(&defaults.values, &layer.values, &mut Vec::new(), &mut found));
        }
        found
    }

    /// The text of the variable that sets `path`, unless a stronger layer does.
    pub(super) fn environment_text(&self, path: &[String]) -> Option<String> {
        let (_, text) = self.0.last()?.variables.get(path)?;
        Some(text.clone())
    }

    /// What the weakest layer says of `path`.
    pub(super) fn default_of(&self, path: &[String]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        find(&self.0.first()?.values, parents)?.get(last).cloned()
    }
}

fn note(table: &DeTable<'_>, text: &str, path: &mut Vec<String>, positions: &mut BTreeMap<Vec<String>, Position>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        positions.insert(path.clone(), position_of(text, key.span().start));
        match value.get_ref() {
            DeValue::Table(inner) => note(inner, text, path, positions),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    path.push(index.to_string());
                    positions.insert(path.clone(), position_of(text, item.span().start));
                    if let DeValue::Table(inner) = item.get_ref() {
                        note(inner, text, path, positions);
                    }
                    path.pop();
                }
            }
            _ => {}
        }
        path.pop();
    }
}

fn not_tables(defaults: &Dict, values: &Dict, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, value) in values {
        let Some(default) = defaults.get(key).and_then(Value::as_dict) else { continue };
        path.push(key.clone());
        match value.as_dict() {
            Some(table) => not_tables(default, table, path, found),
            None => found.push(path.clone()),
        }
        path.pop();
    }
}

/// The table at `path`.
fn find<'a>(values: &'a Dict, path: &[String]) -> Option<&'a Dict> {
    path.iter().try_fold(values, |table, key| table.get(key)?.as_dict())
}

fn find_mut<'a>(values: &'a mut Dict, path: &[String]) -> Option<&'a mut Dict> {
    path.iter().try_fold(values, |table, key| match table.get_mut(key)? {
        Value::Dict(_, inner) => Some(inner),
        _ => None,
    })
}

fn put(values: &mut Dict, path: &[String], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        values.insert(first.clone(), value);
        return;
    }
    let entry = values.entry(first.clone()).or_insert_with(|| Value::from(Dict::new()));
    if !matches!(entry, Value::Dict(..)) {
        *entry = Value::from(Dict::new());
    }
    if let Value::Dict(_, inner) = entry {
        put(inner, rest, value);
    }
}

/// Takes the value at `path` out.
pub(super) fn take(values: &mut Dict, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    find_mut(values, parents)?.remove(last)
}

/// Puts `value` in the place of another one at `path`; whether that changed anything.
pub(super) fn replace(values: &mut Dict, path: &[String], value: Value) -> bool {
    let Some((last, parents)) = path.split_last() else { return false };
    let Some(entry) = find_mut(values, parents).and_then(|table| table.get_mut(last)) else { return false };
    let changed = *entry != value;
    *entry = value;
    changed
}

/// Whether the setting's name says that it holds a secret itself, and not the way to one.
pub(super) fn is_secret(path: &[String]) -> bool {
    path.last().is_some_and(|name| {
        let name = name.to_lowercase();
        let sounds_secret =
            ["password", "secret", "token", "credential", "api_key"].iter().any(|word| name.contains(word));
        sounds_secret && !name.ends_with("_file")
    })
}

/// The joined settings as TOML. A value that may be a secret is left out, as is a password inside an address.
pub(super) fn effective(values: &Dict) -> String {
    let mut shown = values.clone();
    redact(&mut shown, &mut Vec::new());
    toml::to_string(&shown).unwrap_or_else(|error| format!("# cannot be shown: {error}\n"))
}

fn redact(values: &mut Dict, path: &mut Vec<String>) {
    for (key, value) in values.iter_mut() {
        path.push(key.clone());
        match value {
            Value::Dict(_, inner) => redact(inner, path),
            value if is_secret(path) => *value = Value::from("[redacted]"),
            Value::String(_, text) => {
                if let Some((scheme, rest)) = text.split_once("://")
                    && let Some((_, host)) = rest.rsplit_once('@')
                {
                    *text = format!("{scheme}://[redacted]@{host}");
                }
            }
            _ => {}
        }
        path.pop();
    }
}
