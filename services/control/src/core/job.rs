//! A replay job: letters in a fixed order, published at a rate, each followed to its outcome.
//!
//! What a job must remember lies in `starbridge.control`, in records small enough to be rewritten often: `job/{id}` is
//! the [`Job`], `job-items/{id}/{chunk}` a [`Chunk`] of its letters.

use std::collections::BTreeSet;

use document::{DeadLetterId, DocumentKey, FlowName};
use serde::{Deserialize, Serialize};

use super::approval::Approval;
use super::{Letter, Memory};

/// Letters of one chunk.
pub const CHUNK: usize = 500;
/// Outcomes that must be known before a failure ratio ends a job.
const RATIO_LEAST: u64 = 20;

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Publishes, or waits for outcomes.
    Running,
    /// Publishes nothing until resumed.
    Paused,
    /// A plan: publishes nothing until another person approves it.
    AwaitsApproval,
    /// Every letter has its outcome.
    Done,
    /// Ended by a person.
    Cancelled,
    /// Ended by itself: too many failures.
    Stopped,
}

impl Status {
    /// Every one.
    pub const ALL: [Status; 6] =
        [Status::Running, Status::Paused, Status::AwaitsApproval, Status::Done, Status::Cancelled, Status::Stopped];

    /// The word for it, as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Running => "running",
            Status::Paused => "paused",
            Status::AwaitsApproval => "awaits_approval",
            Status::Done => "done",
            Status::Cancelled => "cancelled",
            Status::Stopped => "stopped",
        }
    }

    /// Whether nothing more is published.
    pub fn is_over(self) -> bool {
        matches!(self, Status::Done | Status::Cancelled | Status::Stopped)
    }
}

/// The flow version that letters are handled by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Under {
    /// The one that is current when the letter is published.
    Current,
    /// The one it failed under.
    Original,
    /// This one.
    Version(String),
}

/// Where the road begins again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begin {
    /// At the step that failed.
    Failed,
    /// At the mapping, from the bill as the source gave it.
    Transform,
}

/// How a replay is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Letters a second.
    pub rate: f64,
    /// The flow version.
    pub under: Under,
    /// Where the road begins again.
    pub from: Begin,
    /// Letters that failed more often are parked.
    pub attempt_cap: u32,
    /// Share of failures that ends the job; 0 never does.
    pub stop_on_failure_ratio: f64,
    /// A person's word on the one document of the job: `absent` or `applied as ID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
}

/// Letters by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// In the job.
    pub total: u64,
    /// Published at least once.
    pub published: u64,
    /// Applied.
    pub resolved: u64,
    /// Overtaken.
    pub superseded: u64,
    /// Failed again.
    pub failed: u64,
    /// Left alone.
    pub skipped: u64,
    /// Published, and without an outcome yet.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub on_the_way: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Counts {
    fn ended(&self) -> u64 {
        self.resolved + self.superseded + self.failed + self.skipped
    }
}

/// A job, without its letters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its id; the replay id of every record it publishes.
    pub id: String,
    /// Who started it.
    pub by: String,
    /// When, unix milliseconds.
    pub created_at: i64,
    /// Why.
    pub reason: String,
    /// The selector that chose its letters; empty when ids did.
    pub selector: String,
    /// How.
    pub options: Options,
    /// How far it is.
    pub status: Status,
    /// What became of its letters.
    pub counts: Counts,
    /// When it was over, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<i64>,
    /// Why it is paused, cancelled or stopped.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Whether the control plane began it by itself, because a timed fault was due again. Its letters are of one flow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub timed: bool,
    /// The approval it needs, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// What became of a letter in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Not published yet.
    Waiting,
    /// Published, its outcome not known.
    Published,
    /// Applied.
    Resolved,
    /// Overtaken.
    Superseded,
    /// Failed again.
    Failed,
    /// Left alone.
    Skipped,
}

impl Fate {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Fate::Waiting => "waiting",
            Fate::Published => "published",
            Fate::Resolved => "resolved",
            Fate::Superseded => "superseded",
            Fate::Failed => "failed",
            Fate::Skipped => "skipped",
        }
    }

    fn is_final(self) -> bool {
        !matches!(self, Fate::Waiting | Fate::Published)
    }
}

/// A letter of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The letter.
    pub id: DeadLetterId,
    /// Its flow.
    pub flow: FlowName,
    /// Its document: a later version waits for an earlier one.
    pub document: DocumentKey,
    /// What became of it.
    pub fate: Fate,
    /// When it was published last, unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<i64>,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The revision of its payload when the job was made.
    #[serde(default, skip_serializing_if = "is_no_edit")]
    pub edit: u32,
}

fn is_no_edit(edit: &u32) -> bool {
    *edit == 0
}

impl Item {
    /// A letter that is to be published.
    pub fn waiting(letter: &Letter) -> Self {
        Self {
            id: letter.id.clone(),
            flow: letter.flow.clone(),
            document: letter.document.clone(),
            fate: Fate::Waiting,
            published_at: None,
            why: String::new(),
            edit: letter.edit(),
        }
    }
}

/// Some letters of a job, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Their number in the job begins here.
    pub first: usize,
    /// The letters.
    pub items: Vec<Item>,
}

/// The key of a job.
pub fn job_key(id: &str) -> String {
    format!("job/{id}")
}

/// The key of a chunk; keys sort as chunks do.
pub fn chunk_key(id: &str, chunk: usize) -> String {
    format!("job-items/{id}/{chunk:08}")
}

impl Job {
    /// Whether the writer has nothing to do with it any more: it publishes nothing, and what it published has its outcome.
    pub fn is_settled(&self) -> bool {
        self.status.is_over() && self.counts.on_the_way == 0
    }
}

/// A job with its letters, as the writer holds it until it is settled.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// The job.
    pub job: Job,
    /// Its letters, in the order in which they are published.
    pub items: Vec<Item>,
    /// Letters that may be published now: grows with time, to one second's worth and one letter.
    allowance: f64,
    /// When it grew last, unix milliseconds.
    grown_at: Option<i64>,
    /// The first letter whose fate is not final.
    open_from: usize,
    /// Chunks that differ from what is written.
    touched: BTreeSet<usize>,
    /// Outcomes since they were last taken, each with its letter's flow.
    settled: Vec<(FlowName, Fate)>,
}

impl Replay {
    /// A new job over `items`.
    pub fn new(mut job: Job, items: Vec<Item>) -> Self {
        job.counts = Counts { total: items.len() as u64, ..Counts::default() };
        let touched = (0..items.len().div_ceil(CHUNK)).collect();
        Self { job, items, allowance: 0.0, grown_at: None, open_from: 0, touched, settled: Vec::new() }
    }

    /// A job as it was written. Nothing is allowed yet: a restart brings no burst.
    pub fn of_memory(job: Job, mut chunks: Vec<Chunk>) -> Self {
        chunks.sort_by_key(|chunk| chunk.first);
        let items = chunks.into_iter().flat_map(|chunk| chunk.items).collect();
        let touched = BTreeSet::new();
        let settled = Vec::new();
        let mut replay = Self { job, items, allowance: 0.0, grown_at: None, open_from: 0, touched, settled };
        replay.recount();
        replay
    }

    /// Letters that the job will publish, or of which it waits to hear.
    pub fn held(&self) -> impl Iterator<Item = &Item> {
        let over = self.job.status.is_over();
        let held = move |item: &&Item| item.fate == Fate::Published || (item.fate == Fate::Waiting && !over);
        self.items.iter().skip(self.open_from).filter(held)
    }

    /// Letters that were published and whose outcome is not known, with their number in the job.
    pub fn published(&self) -> impl Iterator<Item = (usize, &Item)> {
        let open = self.items.iter().enumerate().skip(self.open_from);
        open.filter(|(_, item)| item.fate == Fate::Published)
    }

    /// The letters that may be published now, in order: as many as the rate has allowed since it was asked last, none
    /// behind an unfinished or failed earlier version of its document. At most `most`.
    pub fn due(&mut self, now: i64, most: usize) -> Vec<usize> {
        let rate = self.job.options.rate;
        if let Some(grown_at) = self.grown_at {
            let seconds = (now - grown_at).max(0) as f64 / 1000.0;
            // One second's worth, and the part of a letter that the last round left over.
            self.allowance = (self.allowance + seconds * rate).min(rate + 1.0);
        }
        self.grown_at = Some(now);
        if self.job.status != Status::Running || self.allowance < 1.0 {
            return Vec::new();
        }
        let most = most.min(self.allowance as usize);
        let mut busy: BTreeSet<(&FlowName, &DocumentKey)> = BTreeSet::new();
        let mut due = Vec::new();
        for (number, item) in self.items.iter().enumerate().skip(self.open_from) {
            if due.len() >= most {
                break;
            }
            let key = (&item.flow, &item.document);
            match item.fate {
                Fate::Waiting if busy.insert(key) => due.push(number),
                Fate::Published => drop(busy.insert(key)),
                Fate::Waiting | Fate::Resolved | Fate::Superseded | Fate::Failed | Fate::Skipped => {}
            }
        }
        due
    }

    /// Notes that a letter was published. One that is published again, because nothing came of it, is counted once.
    pub fn note_published(&mut self, number: usize, now: i64) {
        let again = self.items[number].fate == Fate::Published;
        if !again {
            self.job.counts.published += 1;
            self.allowance -= 1.0;
        }
        self.items[number].published_at = Some(now);
        self.set(number, Fate::Published, String::new());
    }

    /// Notes what became of a letter. Later versions of a document whose earlier version failed are left alone.
    pub fn note(&mut self, number: usize, fate: Fate, why: String) {
        self.set(number, fate, why);
        if fate == Fate::Failed {
            let (flow, document) = (self.items[number].flow.clone(), self.items[number].document.clone());
            for later in number + 1..self.items.len() {
                let item = &self.items[later];
                if item.fate == Fate::Waiting && item.flow == flow && item.document == document {
                    self.set(later, Fate::Skipped, "an earlier version of the document failed".to_owned());
                }
            }
        }
    }

    /// Ends the job where every letter has its outcome, or too many have failed.
    pub fn conclude(&mut self, now: i64) {
        let counts = self.job.counts;
        let outcomes = counts.resolved + counts.superseded + counts.failed;
        let limit = self.job.options.stop_on_failure_ratio;
        if self.job.status.is_over() {
            return;
        }
        if counts.ended() == counts.total {
            self.end(Status::Done, String::new(), now);
        } else if limit > 0.0 && outcomes >= RATIO_LEAST && counts.failed as f64 > limit * outcomes as f64 {
            self.end(Status::Stopped, format!("{} of {outcomes} letters failed again", counts.failed), now);
        }
    }

    /// Ends the job. What is published is followed to its outcome; what waits stays open.
    pub fn end(&mut self, status: Status, note: String, now: i64) {
        self.job.status = status;
        self.job.note = note;
        self.job.ended_at = Some(now);
    }

    /// The records that bring what is written up to date.
    pub fn write(&mut self) -> Vec<Memory> {
        let id = self.job.id.clone();
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("jobs are plain structures of text and numbers");
        let mut memory = vec![(job_key(&id), Some(json(serde_json::to_vec(&self.job))))];
        for number in std::mem::take(&mut self.touched) {
            let first = number * CHUNK;
            let items = self.items[first..self.items.len().min(first + CHUNK)].to_vec();
            memory.push((chunk_key(&id, number), Some(json(serde_json::to_vec(&Chunk { first, items })))));
        }
        memory
    }

    /// The outcomes since this was last asked, each with its letter's flow.
    pub fn take_settled(&mut self) -> Vec<(FlowName, Fate)> {
        std::mem::take(&mut self.settled)
    }

    fn set(&mut self, number: usize, fate: Fate, why: String) {
        let item = &mut self.items[number];
        let before = item.fate;
        item.fate = fate;
        item.why = why;
        self.touched.insert(number / CHUNK);
        if !before.is_final() && fate.is_final() {
            self.settled.push((item.flow.clone(), fate));
        }
        let on_the_way = |fate| u64::from(fate == Fate::Published);
        self.job.counts.on_the_way = self.job.counts.on_the_way + on_the_way(fate) - on_the_way(before);
        if !before.is_final() {
            match fate {
                Fate::Waiting | Fate::Published => {}
                Fate::Resolved => self.job.counts.resolved += 1,
                Fate::Superseded => self.job.counts.superseded += 1,
                Fate::Failed => self.job.counts.failed += 1,
                Fate::Skipped => self.job.counts.skipped += 1,
            }
        }
        while self.items.get(self.open_from).is_some_and(|item| item.fate.is_final()) {
            self.open_from += 1;
        }
    }

    /// The counts follow from the letters: what was written in two records may be of two instants.
    fn recount(&mut self) {
        let of = |fate: Fate| self.items.iter().filter(|item| item.fate == fate).count() as u64;
        self.job.counts = Counts {
            total: self.items.len() as u64,
            published: self.items.iter().filter(|item| item.published_at.is_some()).count() as u64,
            resolved: of(Fate::Resolved),
            superseded: of(Fate::Superseded),
            failed: of(Fate::Failed),
            skipped: of(Fate::Skipped),
            on_the_way: of(Fate::Published),
        };
        self.open_from = self.items.iter().take_while(|item| item.fate.is_final()).count();
    }
}
