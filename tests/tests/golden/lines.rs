//! Records of a topic as a file that a person can read.

use std::path::PathBuf;

use document::{Headers, Received, Record};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    key: String,
    headers: Vec<(String, String)>,
    /// None deletes the key.
    value: Option<String>,
}

/// Records, in the order of their topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines(Vec<Line>);

fn path(release: &str, name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(release).join(format!("{name}.ndjson"))
}

impl Lines {
    pub(crate) fn of(records: Vec<Record>) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("what is written here is text");
        let line = |record: Record| Line {
            key: text(record.key),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            value: record.value.map(text),
        };
        Self(records.into_iter().map(line).collect())
    }

    pub(crate) fn read(release: &str, name: &str) -> Self {
        let path = path(release, name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(text.lines().map(|line| serde_json::from_str(line).expect("a line of the file")).collect())
    }

    pub(crate) fn write(&self, release: &str, name: &str) {
        let path = path(release, name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        let lines: String =
            self.0.iter().map(|line| format!("{}\n", serde_json::to_string(line).expect("JSON"))).collect();
        std::fs::write(path, lines).expect("written");
    }

    /// As a reader of `topic` gets them.
    pub(crate) fn received(&self, topic: &str) -> Vec<Received> {
        let record = |line: &Line| Record {
            key: line.key.clone().into_bytes(),
            headers: Headers::from_iter(line.headers.clone()),
            value: line.value.clone().map(String::into_bytes),
        };
        let at = |(offset, line): (i64, &Line)| Received {
            topic: topic.to_owned(),
            partition: 0,
            offset,
            timestamp: Some(1_767_225_600_000),
            record: record(line),
        };
        (0..).zip(&self.0).map(at).collect()
    }

    /// The same records as a newer release might write them: with a header, and a member of every object, that nobody
    /// knows here.
    pub(crate) fn newer(&self) -> Self {
        let newer = |line: &Line| {
            let mut line = line.clone();
            line.headers.push(("sb-added-later".to_owned(), "x".to_owned()));
            let value = line.value.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
            if let Some(value @ serde_json::Value::Object(_)) = value {
                line.value = Some(extended(value).to_string());
            }
            line
        };
        Self(self.0.iter().map(newer).collect())
    }
}

/// Objects that are maps from names to one kind of thing, where a member more is a thing more.
const MAPS: [&str; 1] = ["collections"];

fn extended(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(members) => {
            // A choice is one member by its name; another one beside it would be another language.
            let is_choice = members.len() == 1;
            let mut members: serde_json::Map<String, serde_json::Value> = members
                .into_iter()
                .map(
                    |(name, value)| if MAPS.contains(&name.as_str()) { (name, value) } else { (name, extended(value)) },
                )
                .collect();
            if !is_choice {
                members.insert("added_later".to_owned(), serde_json::json!({"a": [1.50, null]}));
            }
            members.into()
        }
        serde_json::Value::Array(items) => items.into_iter().map(extended).collect(),
        plain => plain,
    }
}
