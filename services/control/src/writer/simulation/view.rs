//! What the simulated writer reads: the log as the index shows it, some records late, and what was committed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

use document::{DeadLetter, DeadLetterId, Fault, FlowName, FlowVersion, Record, TargetKey, topic};
use flow::{Flow, FlowBundle};
use queue::Next;

use crate::core::Letter;
use crate::index;
use crate::letter::{LetterEvent, OWN_NAME, State};
use crate::writer::library::{Kept, Library};

/// Tries that the flow gives a document.
pub(super) const TRIES: u32 = 4;

/// The shipped flow, with [`TRIES`].
pub(super) fn flow() -> Arc<Flow> {
    static FLOW: OnceLock<Arc<Flow>> = OnceLock::new();
    let read = || {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/flows/misc-inbound");
        let text = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the shipped flow");
        let flow = format!("{}\n[retry]\nattempt_cap = {TRIES}\n", text("flow.toml"));
        let (source, target) = (text("source.json"), text("target.json"));
        let bundle = FlowBundle { flow, source, target, collections: BTreeMap::new() };
        Arc::new(flow::compile(&bundle).expect("it compiles").flow)
    };
    Arc::clone(FLOW.get_or_init(read))
}

/// The log as the index shows it.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) letters: BTreeMap<DeadLetterId, DeadLetter>,
    pub(super) events: BTreeMap<DeadLetterId, LetterEvent>,
    pub(super) ends: BTreeMap<TargetKey, index::Entry>,
    pub(super) paused: bool,
    /// Records of the log that are taken in.
    pub(super) read: usize,
    dice: Cell<u64>,
}

impl View {
    /// Takes in at most `most` records more.
    pub(super) fn catch_up(&mut self, log: &[(String, Record)], most: usize) {
        for (topic, record) in log.iter().skip(self.read).take(most) {
            self.read += 1;
            let Some(value) = &record.value else { continue };
            if topic == topic::DEAD_LETTERS {
                let letter = DeadLetter::from_record(record).expect("letters read");
                self.letters.insert(letter.id(), letter);
            } else if topic == topic::DEAD_LETTER_EVENTS {
                let id = DeadLetterId(String::from_utf8(record.key.clone()).expect("an id"));
                self.events.insert(id, LetterEvent::read(value).expect("events read"));
            } else if topic.ends_with(".ledger") {
                let key = String::from_utf8(record.key.clone()).expect("a key");
                self.ends.insert(TargetKey(key), serde_json::from_slice(value).expect("entries read"));
            }
        }
    }

    pub(super) fn state(&self, id: &DeadLetterId) -> State {
        self.events.get(id).map_or(State::Open, |event| event.state)
    }
}

impl Library for View {
    fn letter(&self, id: &DeadLetterId) -> Result<Option<index::Letter>, Fault> {
        let Some(letter) = self.letters.get(id) else { return Ok(None) };
        let event = self.events.get(id).cloned();
        let row = index::LetterRow {
            id: id.clone(),
            tenant: letter.tenant.clone(),
            flow: letter.flow.clone(),
            flow_version: letter.flow_version.clone(),
            stage: letter.stage,
            category: letter.category,
            code: letter.code,
            state: Some(self.state(id)),
            document: letter.document_key.clone(),
            version: letter.version,
            target_key: letter.headers.get("sb-target-key").map(TargetKey::from),
            message: letter.message.clone(),
            field: None,
            attempts: letter.attempts,
            first_failed: letter.first_failed_at,
            last_failed: letter.last_failed_at,
            retry_at: letter.retry_at,
            replay: letter.replay.clone(),
            reason: None,
            revision: 0,
            claimed_by: None,
            state_by: None,
            trace: None,
            origin: None,
        };
        Ok(Some(index::Letter { row, letter: letter.clone(), event, partition: 0, offset: 0 }))
    }

    fn ends(&self, letter: &Letter) -> Result<Vec<index::Entry>, Fault> {
        let of = |entry: &&index::Entry| entry.document == letter.document;
        Ok(match &letter.target {
            Some(target) => self.ends.get(target).into_iter().cloned().collect(),
            None => self.ends.values().filter(of).cloned().collect(),
        })
    }

    fn due(&self, flow: &FlowName, now: i64, limit: usize) -> Result<Vec<DeadLetterId>, Fault> {
        let untouched = |id: &DeadLetterId| self.events.get(id).is_none_or(|event| event.by == OWN_NAME);
        let due = self.letters.iter().filter(|(id, letter)| {
            let is_due = letter.retry_at.is_some_and(|at| at <= now);
            letter.flow == *flow && is_due && self.state(id) == State::Open && untouched(id)
        });
        let mut due: Vec<_> = due.map(|(id, letter)| (letter.document_key.clone(), letter.version, id)).collect();
        due.sort();
        Ok(due.into_iter().map(|(_, _, id)| id.clone()).take(limit).collect())
    }

    fn record(&self, _: Next) -> Result<Option<Record>, Fault> {
        Ok(None)
    }

    fn flows(&self) -> Vec<Arc<Flow>> {
        vec![flow()]
    }

    fn flow(&self, _: &FlowName, version: &FlowVersion) -> Option<Arc<Flow>> {
        Some(flow()).filter(|flow| flow.version == *version)
    }

    fn is_paused(&self, _: &FlowName) -> bool {
        self.paused
    }

    fn chance(&self) -> [u8; 24] {
        self.dice.set(self.dice.get() + 1);
        let mut bytes = [7; 24];
        bytes[..8].copy_from_slice(&self.dice.get().to_be_bytes());
        bytes
    }
}

/// What the writer itself has committed, as a session's tables have it.
#[derive(Debug, Clone, Default)]
pub(super) struct Committed(Rc<RefCell<Facts>>);

/// Whether it is of a letter, and its key; its value.
type Facts = BTreeMap<(bool, Vec<u8>), Vec<u8>>;

impl Committed {
    /// Everything that a log holds of it.
    pub(super) fn of(log: &[(String, Record)]) -> Self {
        let committed = Self::default();
        log.iter().for_each(|(topic, record)| committed.take(topic, record));
        committed
    }

    pub(super) fn take(&self, topic: &str, record: &Record) {
        let of_letters = topic == topic::DEAD_LETTER_EVENTS;
        if of_letters || topic == topic::CONTROL {
            let key = (of_letters, record.key.clone());
            match &record.value {
                Some(value) => self.0.borrow_mut().insert(key, value.clone()),
                None => self.0.borrow_mut().remove(&key),
            };
        }
    }
}

impl Kept for Committed {
    fn event(&self, id: &DeadLetterId) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.borrow().get(&(true, id.0.clone().into_bytes())).cloned())
    }

    fn memory(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.borrow().get(&(false, key.as_bytes().to_vec())).cloned())
    }

    fn memories(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Fault> {
        let entries = self.0.borrow();
        let of_prefix = entries
            .range((false, prefix.as_bytes().to_vec())..)
            .take_while(|((of_letters, key), _)| !of_letters && key.starts_with(prefix.as_bytes()));
        let text = |key: &[u8]| String::from_utf8(key.to_vec()).expect("keys are text");
        Ok(of_prefix.map(|((_, key), value)| (text(key), value.clone())).collect())
    }
}
