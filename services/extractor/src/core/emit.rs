//! What becomes of a complete bill: records, letters, or nothing.

use chrono_tz::Tz;
use document::{
    Code, DeadLetter, Digest, DocumentKey, Extracted, Fault, FlowName, FlowVersion, Headers, Stage, Tenant,
    TraceParent, Version,
};
use flow::{Shaped, SourceRecord};
use serde_json::{Map, Value};

use super::columns::Columns;
use super::scan::Bill;
use super::seen::{Seen, SeenDocument};
use super::window;

/// Shapes the rows of one bill as the flow's source document says.
pub type Shaper<'a> = &'a dyn Fn(Vec<Map<String, Value>>) -> Shaped;

/// Documents that go by another version than the current one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The version.
    pub version: FlowVersion,
    /// How many of a hundred.
    pub percent: u8,
}

impl Share {
    /// Whether a document is one of them: the same answer whenever it comes, and a document of a small share is in every
    /// larger one.
    pub fn has(&self, key: &DocumentKey) -> bool {
        let hash = blake3::hash(key.as_str().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(first) % 100 < u64::from(self.percent)
    }
}

/// What of a flow decides about its bills.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Whose documents they are.
    pub tenant: Tenant,
    /// The flow.
    pub flow: FlowName,
    /// The definition its records are to be handled by.
    pub flow_version: FlowVersion,
    /// The documents that another definition is tried with.
    pub canary: Option<Share>,
    /// The zone of the source's dates.
    pub zone: Tz,
    /// How rows are read.
    pub columns: Columns,
    /// Whether a document is formed of all records of one number; else each record is a document.
    pub by_number: bool,
    /// Whether a document that was emitted stays as it is when it comes with other content.
    pub id_check: bool,
    /// Most bytes of one record.
    pub max_record_bytes: usize,
}

/// The instant and the identities of an emission, given by the caller.
pub struct Moment<'a> {
    /// The clock that versions follow, unix microseconds.
    pub micros: u64,
    /// Wall clock, unix microseconds.
    pub now: u64,
    /// The last version given out; moved on by each emission.
    pub last_version: &'a mut Option<Version>,
    /// `CURRENT_TIME` of the run, unix seconds.
    pub run_time: i64,
    /// `LAST_SYNC_TIME` of the run, unix seconds.
    pub since: i64,
    /// Whether documents are emitted again, as they were emitted or changed since.
    pub again: bool,
    /// Gives each document a trace of its own.
    pub mint: &'a mut dyn FnMut() -> TraceParent,
}

impl std::fmt::Debug for Moment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Moment").field("micros", &self.micros).field("last", &self.last_version).finish_non_exhaustive()
    }
}

/// How many documents came to which end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Written to the extracted topic.
    pub emitted: u64,
    /// As they were when they were emitted.
    pub unchanged: u64,
    /// REPEAT: changed after load, and the flow takes no second content.
    pub repeated: u64,
    /// Bills the flow's condition left nothing of.
    pub filtered: u64,
    /// Set aside as letters.
    pub letters: u64,
}

impl Counts {
    /// Adds another count to this one.
    pub fn add(&mut self, other: Counts) {
        self.emitted += other.emitted;
        self.unchanged += other.unchanged;
        self.repeated += other.repeated;
        self.filtered += other.filtered;
        self.letters += other.letters;
    }
}

/// What is to be written for a bill.
#[derive(Debug, Default)]
pub struct Emission {
    /// Records for the extracted topic.
    pub data: Vec<Extracted>,
    /// Records for the dead letters.
    pub letters: Vec<DeadLetter>,
    /// The bill's new entry, when it is not the old one.
    pub seen: Option<Seen>,
    /// Documents that changed after they were loaded, listed for the first time.
    pub changed_after_load: Vec<DocumentKey>,
    /// What it was, in numbers.
    pub counts: Counts,
}

/// One document of a bill before it is judged.
struct Candidate {
    key: DocumentKey,
    digest: Digest,
    body: Body,
}

enum Body {
    Rows(Vec<Value>),
    TooLarge(u64),
    /// What of the bill cannot become a record, and its rows as answered.
    Unshaped(Fault, Vec<u8>),
}

impl Rules {
    /// Judges a bill against what was seen of it.
    pub fn judge(&self, bill: Bill, before: Option<&Seen>, shape: Shaper<'_>, moment: &mut Moment<'_>) -> Emission {
        let mut emission = Emission::default();
        let created = bill.created.as_deref().and_then(|text| window::instant(text, self.zone));
        let mut now = Seen { stamp: bill.stamp.clone(), ..Seen::new(bill.key.clone()) };
        // A bill that a letter calls retracted and that is back needs a newer version to close that letter, like one that
        // is to be emitted again.
        let renewed = moment.again || before.is_some_and(|before| before.retracted);
        let candidates = self.candidates(bill, shape);
        if candidates.is_empty() {
            emission.counts.filtered += 1;
        }
        for candidate in candidates {
            let known = before.and_then(|before| before.document(&candidate.key));
            let document = match known {
                Some(known) if known.digest == candidate.digest && !renewed => {
                    emission.counts.unchanged += 1;
                    SeenDocument { changed_after_load: None, ..known.clone() }
                }
                // Who asks for bills again wants them as they are; what is in the target already the loader knows.
                Some(known) if known.digest != candidate.digest && self.id_check && !moment.again => {
                    emission.counts.repeated += 1;
                    if known.changed_after_load != Some(candidate.digest) {
                        emission.changed_after_load.push(candidate.key);
                    }
                    SeenDocument { changed_after_load: Some(candidate.digest), ..known.clone() }
                }
                _ => {
                    let version = Version::after(*moment.last_version, moment.micros);
                    *moment.last_version = Some(version);
                    let seen = SeenDocument {
                        key: candidate.key.clone(),
                        digest: candidate.digest,
                        version,
                        changed_after_load: None,
                    };
                    self.emit(candidate, version, created, moment, &mut emission);
                    seen
                }
            };
            now.documents.push(document);
        }
        if before != Some(&now) {
            emission.seen = Some(now);
        }
        emission
    }

    fn emit(
        &self,
        candidate: Candidate,
        version: Version,
        created: Option<i64>,
        moment: &mut Moment<'_>,
        emission: &mut Emission,
    ) {
        let trace = (moment.mint)();
        let failed_at = i64::try_from(moment.now / 1_000).unwrap_or(i64::MAX);
        let too_large = |bytes: u64| {
            Fault::new(Code::TooLarge, format!("the record has {bytes} bytes, {} are allowed", self.max_record_bytes))
                .of_record(candidate.key.as_str())
        };
        let (fault, body) = match candidate.body {
            Body::TooLarge(bytes) => (too_large(bytes), Vec::new()),
            Body::Unshaped(fault, body) => (fault, body),
            Body::Rows(rows) => {
                let value = serde_json::to_vec(&rows).expect("JSON values are JSON");
                if value.len() <= self.max_record_bytes {
                    emission.counts.emitted += 1;
                    emission.data.push(Extracted {
                        tenant: self.tenant.clone(),
                        flow: self.flow.clone(),
                        flow_version: self.version_for(&candidate.key).clone(),
                        document_key: candidate.key,
                        version,
                        digest: candidate.digest,
                        created,
                        run_time: moment.run_time,
                        run_since: moment.since,
                        trace,
                        replay: None,
                        value,
                    });
                    return;
                }
                (too_large(value.len() as u64), Vec::new())
            }
        };
        emission.counts.letters += 1;
        emission.letters.push(self.letter(candidate.key, version, &fault, failed_at, Some(trace), body));
    }

    /// The definition that a document is to be handled by.
    pub fn version_for(&self, key: &DocumentKey) -> &FlowVersion {
        let canary = self.canary.as_ref().filter(|share| share.has(key));
        canary.map_or(&self.flow_version, |share| &share.version)
    }

    /// A letter of this stage. It has no origin: the record never was in a topic.
    pub fn letter(
        &self,
        key: DocumentKey,
        version: Version,
        fault: &Fault,
        failed_at: i64,
        trace: Option<TraceParent>,
        body: Vec<u8>,
    ) -> DeadLetter {
        let column = fault.place.column.clone();
        DeadLetter {
            tenant: self.tenant.clone(),
            flow: self.flow.clone(),
            flow_version: self.version_for(&key).clone(),
            document_key: key,
            version,
            stage: Stage::Extract,
            category: fault.code.category(),
            code: fault.code,
            message: fault.detail.clone(),
            field: column.or_else(|| fault.place.path.clone()),
            origin: None,
            origin_timestamp: None,
            attempts: 1,
            first_failed_at: failed_at,
            last_failed_at: failed_at,
            retry_at: None,
            replay: None,
            trace,
            headers: Headers::new(),
            claim_check: false,
            body,
        }
    }

    /// The documents of a bill.
    fn candidates(&self, bill: Bill, shape: Shaper<'_>) -> Vec<Candidate> {
        if let Some(bytes) = bill.oversized {
            // Its size and date stand for its content, of which nothing was kept.
            let digest = Digest::of_value(&serde_json::json!([bytes, bill.stamp]));
            let key = self.whole_key(&bill, shape);
            return vec![Candidate { key, digest, body: Body::TooLarge(bytes) }];
        }
        let rows: Vec<Map<String, Value>> = bill.rows.iter().map(|cells| self.columns.object(cells.clone())).collect();
        let mut shaped = shape(rows.clone());
        if !shaped.rejected.is_empty() {
            // A bill without some of its rows would be another bill: it is set aside whole.
            let (_, fault) = shaped.rejected.swap_remove(0);
            let values: Vec<Value> = rows.into_iter().map(Value::Object).collect();
            let digest = Digest::of_rows(&values, self.columns.entry_member());
            let body = serde_json::to_vec(&values).expect("JSON values are JSON");
            let body = if body.len() > self.max_record_bytes { Vec::new() } else { body };
            let key = self.whole_key(&bill, shape);
            return vec![Candidate { key, digest, body: Body::Unshaped(fault, body) }];
        }
        let mut documents: Vec<(DocumentKey, Vec<Value>)> = Vec::new();
        for SourceRecord { id, number, content } in shaped.records {
            let key = match self.by_number {
                true if number.is_empty() => DocumentKey(id),
                true => DocumentKey(number),
                false => DocumentKey(id),
            };
            let content = Value::Object(content);
            match documents.iter_mut().find(|(present, _)| self.by_number && *present == key) {
                Some((_, rows)) => rows.push(content),
                None => documents.push((key, vec![content])),
            }
        }
        let entry = self.columns.entry_member();
        documents
            .into_iter()
            .map(|(key, rows)| Candidate { key, digest: Digest::of_rows(&rows, entry), body: Body::Rows(rows) })
            .collect()
    }

    /// The key of a bill that is set aside whole: its number where documents are formed by number and the first row
    /// alone can be shaped, else the bill's inner id.
    fn whole_key(&self, bill: &Bill, shape: Shaper<'_>) -> DocumentKey {
        let first = bill.rows.first().filter(|_| self.by_number).cloned();
        let shaped = first.map(|cells| shape(vec![self.columns.object(cells)])).unwrap_or_default();
        match shaped.records.into_iter().next() {
            Some(record) if !record.number.is_empty() => DocumentKey(record.number),
            _ => DocumentKey(bill.key.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
