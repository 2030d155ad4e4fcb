//! The stages of the simulation: what is published fails again or is applied, now or late, once per version and replay.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use document::{Category, Code, DeadLetter, DeadLetterId, Headers, Record, Stage, Tenant, Version, topic};
use serde_json::{Value, json};

use super::view::flow;

/// A record on its way, and when it is handled.
#[derive(Debug)]
struct OnTheWay {
    at: i64,
    stage: Stage,
    record: Record,
}

/// Transformer and loader in one.
#[derive(Debug, Default)]
pub(super) struct Road {
    /// Records of the log that were taken.
    taken: usize,
    waiting: VecDeque<OnTheWay>,
    ends: BTreeMap<String, Value>,
    /// How often a step fails yet.
    pub(super) fails: BTreeMap<DeadLetterId, u32>,
    /// Which of them fail in a way that may pass by itself.
    pub(super) timed: BTreeSet<DeadLetterId>,
    /// Which publications failed again: letter and job.
    fared: BTreeMap<(DeadLetterId, String), bool>,
    attempts: BTreeMap<DeadLetterId, u32>,
    /// How often a version of a document was put into the target.
    pub(super) applied: BTreeMap<(String, u64), u32>,
}

fn header(record: &Record, name: &str) -> String {
    record.headers.get(name).unwrap_or_default().to_owned()
}

impl Road {
    pub(super) fn is_empty(&self, log: &[(String, Record)]) -> bool {
        self.taken == log.len() && self.waiting.is_empty()
    }

    /// When the next record is handled.
    pub(super) fn next_at(&self) -> Option<i64> {
        self.waiting.front().map(|record| record.at)
    }

    /// A document fails for the first time; gives its letter.
    pub(super) fn fail_first(&mut self, document: &str, version: u64, stage: Stage, now: i64) -> (String, Record) {
        let mut headers = Headers::new();
        headers.set("sb-document-key", document).set("sb-version", version);
        if stage == Stage::Load {
            headers.set("sb-target-key", document);
            self.put_end(document, version, json!({"end": "parked", "replays": [], "at": now}));
        }
        let record = Record { key: document.as_bytes().to_vec(), headers, value: Some(b"{}".to_vec()) };
        self.letter(&record, stage, now)
    }

    /// Takes what was published, each record `delay` after it was seen, in order.
    pub(super) fn take(&mut self, log: &[(String, Record)], now: i64, mut delay: impl FnMut() -> i64) {
        for (topic, record) in log.iter().skip(self.taken) {
            let stage = match topic.as_str() {
                name if name == topic::extracted(&flow().name) => Stage::Transform,
                name if name == topic::mapped(&flow().name) => Stage::Load,
                _ => continue,
            };
            let at = (now + delay()).max(self.waiting.back().map_or(0, |last| last.at));
            self.waiting.push_back(OnTheWay { at, stage, record: record.clone() });
        }
        self.taken = log.len();
    }

    /// Handles what is due; gives what becomes readable.
    pub(super) fn handle(&mut self, now: i64) -> Vec<(String, Record)> {
        let mut written = Vec::new();
        while self.waiting.front().is_some_and(|first| first.at <= now) {
            let Some(OnTheWay { stage, record, .. }) = self.waiting.pop_front() else { break };
            if stage == Stage::Transform && self.fails_again(&record, stage) {
                written.push(self.letter(&record, stage, now));
                continue;
            }
            self.load(record, now, &mut written);
        }
        written
    }

    fn load(&mut self, mut record: Record, now: i64, written: &mut Vec<(String, Record)>) {
        let (document, replay) = (header(&record, "sb-document-key"), header(&record, "sb-replay"));
        let version: u64 = header(&record, "sb-version").parse().expect("a version");
        record.headers.set("sb-target-key", &document);
        let entry = self.ends.get(&document).cloned().unwrap_or(json!({"version": 0, "replays": []}));
        let held = entry["version"].as_u64().expect("a version");
        let mut replays = if held == version { entry["replays"].as_array().cloned().expect("a list") } else { vec![] };
        if replays.contains(&json!(replay)) {
            return;
        }
        if held > version || (held == version && entry["end"] == "applied") {
            let mut entry = entry;
            entry["dropped"] = json!({"version": version, "replay": replay});
            written.push(self.put_end(&document, held, entry));
            return;
        }
        replays.push(json!(replay));
        if self.fails_again(&record, Stage::Load) {
            let letter = self.letter(&record, Stage::Load, now);
            let id = String::from_utf8(letter.1.key.clone()).expect("an id");
            let entry = json!({"end": "parked", "replays": replays, "letter": id, "at": now});
            written.extend([letter, self.put_end(&document, version, entry)]);
            return;
        }
        *self.applied.entry((document.clone(), version)).or_default() += 1;
        written.push(self.put_end(&document, version, json!({"end": "applied", "replays": replays, "at": now})));
    }

    fn put_end(&mut self, document: &str, version: u64, mut entry: Value) -> (String, Record) {
        entry["document"] = json!(document);
        entry["version"] = json!(version);
        entry["flow_version"] = json!("v1");
        self.ends.insert(document.to_owned(), entry.clone());
        let value = Some(entry.to_string().into_bytes());
        let record = Record { key: document.as_bytes().to_vec(), headers: Headers::new(), value };
        (topic::ledger(&flow().name), record)
    }

    fn id(record: &Record, stage: Stage) -> DeadLetterId {
        let version = Version(header(record, "sb-version").parse().expect("a version"));
        DeadLetterId::of(&flow().name, &header(record, "sb-document-key").as_str().into(), version, stage)
    }

    /// A stage is a function of what it gets: copies of one publication fare alike.
    fn fails_again(&mut self, record: &Record, stage: Stage) -> bool {
        let id = Self::id(record, stage);
        let publication = (id.clone(), header(record, "sb-replay"));
        if let Some(before) = self.fared.get(&publication) {
            return *before;
        }
        let left = self.fails.entry(id).or_default();
        let fails = *left > 0;
        *left = left.saturating_sub(1);
        self.fared.insert(publication, fails);
        fails
    }

    fn letter(&mut self, record: &Record, stage: Stage, now: i64) -> (String, Record) {
        let id = Self::id(record, stage);
        let attempts = self.attempts.entry(id.clone()).or_default();
        *attempts += 1;
        let letter = DeadLetter {
            tenant: Tenant::default(),
            flow: flow().name.clone(),
            flow_version: flow().version.clone(),
            document_key: header(record, "sb-document-key").as_str().into(),
            version: Version(header(record, "sb-version").parse().expect("a version")),
            stage,
            category: Category::ReferenceMissing,
            code: Code::ReferenceMissing,
            message: String::new(),
            field: None,
            origin: None,
            origin_timestamp: None,
            attempts: *attempts,
            first_failed_at: now,
            last_failed_at: now,
            retry_at: self.timed.contains(&id).then_some(now + 60_000 * i64::from(*attempts)),
            replay: record.headers.get("sb-replay").map(str::to_owned),
            trace: None,
            headers: DeadLetter::headers_of(&record.headers),
            claim_check: false,
            body: b"{}".to_vec(),
        };
        (topic::DEAD_LETTERS.to_owned(), letter.into_record())
    }
}
