//! The slow second look (`omissionRemedy`): what became due late, changed unseen, or left the source.
//!
//! Heads alone are read over a few days behind W and compared with what was seen; only differences are read whole. W
//! and the cursor of the scan stay as they are.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use document::{Code, DocumentKey, Fault, Version};

use super::checkpoint::{Checkpoint, ScanMark};
use super::columns::Row;
use super::emit::Shaper;
use super::key::Key;
use super::run::{Answer, Ask, Batch, Instant, Lookup, Plan, Scope};
use super::scan::{Bill, Position, Scan};
use super::seen::Seen;
use super::window;
use crate::error::Rejected;

/// After how many lookbacks running without it a bill is called retracted.
pub const MISSES: u32 = 2;
/// One bill missing is a bill that left, however few there are.
const SHRUNK_AT_LEAST: usize = 2;

/// A lookback under way.
#[derive(Debug)]
pub struct Lookback {
    plan: Arc<Plan>,
    checkpoint: Checkpoint,
    mark: ScanMark,
    stage: Stage,
    present: HashSet<Key>,
    different: Vec<Key>,
    pending: VecDeque<Bill>,
    /// Entries of bills that were not found, to be written with the last batch.
    missing: Vec<Seen>,
    report: Report,
    fired: Option<i64>,
}

#[derive(Debug)]
enum Stage {
    Heads(Scan),
    /// All heads are read; the seen entries have to be shown.
    Compare,
    Fetch {
        scan: Scan,
        scope: Scope,
        rest: VecDeque<Scope>,
    },
    Done,
}

/// What a lookback found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Bills in the source's window.
    pub heads: usize,
    /// Bills read whole because they differed from what was seen.
    pub different: usize,
    /// Seen bills of the window that were not found.
    pub missing: usize,
    /// Of these, missing for the second time: letters were written.
    pub retracted: usize,
    /// So many were missing at once that nothing was concluded: a permission may be lost.
    pub shrunk: bool,
}

impl Report {
    /// The alert that goes with it.
    pub fn alert(&self, flow: &str) -> Option<Fault> {
        self.shrunk.then(|| {
            let detail = format!("{} bills seen before are missing at once, {} are there", self.missing, self.heads);
            Fault::new(Code::SourceShrunk, detail).of_record(flow)
        })
    }
}

impl Lookback {
    /// Begins at `now` (unix seconds) for the schedule's firing `fired`; `None` for a flow without a lookback.
    pub fn begin(plan: Arc<Plan>, checkpoint: Checkpoint, now: i64, fired: Option<i64>) -> Option<Self> {
        let look = plan.lookback.as_ref()?;
        let checkpoint = checkpoint.resumed();
        let since = checkpoint.watermark.saturating_sub(look.reach);
        let scan = Scan::new(Position::Start, look.limit, false, plan.max_bill_bytes);
        Some(Self {
            checkpoint,
            mark: ScanMark { t0: None, run_time: now, since, cursor: None },
            stage: Stage::Heads(scan),
            present: HashSet::new(),
            different: Vec::new(),
            pending: VecDeque::new(),
            missing: Vec::new(),
            report: Report::default(),
            fired,
            plan,
        })
    }

    /// The next page to read; `None` while the seen entries are awaited and when all is read.
    pub fn ask(&self) -> Option<Ask> {
        let look = self.plan.lookback.as_ref()?;
        let (heads, scope, position, limit) = match &self.stage {
            Stage::Heads(scan) => (true, Scope::Window, scan.next()?, look.limit),
            Stage::Fetch { scan, scope, .. } => (false, scope.clone(), scan.next()?, self.plan.limit),
            Stage::Compare | Stage::Done => return None,
        };
        let (since, run_time) = (self.mark.since, self.mark.run_time);
        Some(Ask { heads, lookback: true, scope, position, limit, since, run_time })
    }

    /// Takes the page that was asked for. `seen` is asked only about heads.
    ///
    /// # Errors
    /// [`Rejected`], or the fault of a lookup: the lookback is over without success.
    pub fn page(&mut self, answer: Answer, seen: Lookup<'_>) -> Result<Result<(), Rejected>, Fault> {
        let Some(look) = &self.plan.lookback else { return Ok(Ok(())) };
        match &mut self.stage {
            Stage::Heads(scan) => {
                let heads = match look.columns.read(answer.rows) {
                    Ok(rows) => without_repeats(rows),
                    Err(rejected) => return Ok(Err(rejected)),
                };
                let heads = match scan.accept(heads) {
                    Ok(heads) => heads,
                    Err(rejected) => return Ok(Err(rejected)),
                };
                let over = scan.next().is_none();
                for head in heads {
                    let known = seen(&head.key)?;
                    if known.is_none_or(|known| known.stamp != head.stamp || known.missing > 0) {
                        self.different.push(head.key.clone());
                    }
                    self.present.insert(head.key);
                }
                if over {
                    self.stage = Stage::Compare;
                }
                Ok(Ok(()))
            }
            Stage::Fetch { scan, rest, .. } => {
                let bills = match self.plan.rules.columns.read(answer.rows).and_then(|rows| scan.accept(rows)) {
                    Ok(bills) => bills,
                    Err(rejected) => return Ok(Err(rejected)),
                };
                self.pending.extend(bills);
                if scan.next().is_none() {
                    self.stage = fetch(&self.plan, std::mem::take(rest));
                }
                Ok(Ok(()))
            }
            Stage::Compare | Stage::Done => Ok(Ok(())),
        }
    }

    /// Whether [`Lookback::compare`] is due.
    pub fn wants_entries(&self) -> bool {
        matches!(self.stage, Stage::Compare)
    }

    /// Shows every seen entry of the flow, to find those of the window that the source no longer shows.
    ///
    /// # Errors
    /// The fault of an entry that does not read.
    pub fn compare(&mut self, entries: &mut dyn Iterator<Item = Result<Seen, Fault>>) -> Result<(), Fault> {
        let bound = window::lower_bound(self.mark.since, self.plan.rules.zone);
        let conclusive = self.plan.lookback.as_ref().is_some_and(|look| look.conclusive);
        let (mut expected, mut missing) = (0_usize, Vec::new());
        for entry in entries {
            let entry = entry?;
            let inside = entry.stamp.as_deref().and_then(window::comparable).is_some_and(|stamp| stamp >= bound);
            if !conclusive || !inside || entry.documents.is_empty() {
                continue;
            }
            expected += 1;
            if !self.present.contains(&entry.id) {
                missing.push(entry);
            }
        }
        let ratio = self.plan.lookback.as_ref().map_or(1.0, |look| look.shrunk_ratio);
        // Bills already called retracted are no news.
        let news = missing.iter().filter(|entry| !entry.retracted).count();
        self.report = Report {
            heads: self.present.len(),
            different: self.different.len(),
            missing: news,
            retracted: 0,
            shrunk: news >= SHRUNK_AT_LEAST && share(news, expected) > ratio,
        };
        if !self.report.shrunk {
            self.missing = missing.into_iter().filter(|entry| !entry.retracted).collect();
        }
        let scopes = self.scopes();
        self.present = HashSet::new();
        self.stage = fetch(&self.plan, scopes);
        Ok(())
    }

    /// Differences by id; the whole window when that is most of it.
    fn scopes(&mut self) -> VecDeque<Scope> {
        let chunk = self.plan.lookback.as_ref().map_or(1, |look| look.chunk.max(1));
        let different = std::mem::take(&mut self.different);
        if different.len() > chunk && different.len() * 2 > self.present.len() {
            return VecDeque::from([Scope::Window]);
        }
        different.chunks(chunk).map(|ids| Scope::Ids(ids.to_vec())).collect()
    }

    /// `CURRENT_TIME` and `LAST_SYNC_TIME` of the run, unix seconds.
    pub fn times(&self) -> (i64, i64) {
        (self.mark.run_time, self.mark.since)
    }

    /// Bills that wait for a batch.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What was found; whole once the run is finished.
    pub fn report(&self) -> Report {
        self.report
    }

    /// Takes up to `max` bills. The last batch is finished and holds the marks and letters of missing bills.
    ///
    /// # Errors
    /// A fault of the lookup.
    pub fn batch(
        &mut self,
        max: usize,
        seen: Lookup<'_>,
        shape: Shaper<'_>,
        instant: &mut Instant<'_>,
    ) -> Result<Batch, Fault> {
        let mut batch = Batch::empty(self.checkpoint.clone());
        batch.take(&self.plan, &mut self.pending, max, seen, shape, &self.mark, false, instant)?;
        batch.finished = self.pending.is_empty() && matches!(self.stage, Stage::Done);
        if batch.finished {
            let failed_at = i64::try_from(instant.micros / 1_000).unwrap_or(i64::MAX);
            for mut entry in std::mem::take(&mut self.missing) {
                entry.missing += 1;
                if entry.missing >= MISSES {
                    entry.retracted = true;
                    self.report.retracted += 1;
                    for document in &entry.documents {
                        batch.counts.letters += 1;
                        batch.letters.push(self.retraction(&document.key, document.version, failed_at));
                    }
                }
                batch.seen.push(entry);
            }
            batch.checkpoint.looked_back = self.fired.or(batch.checkpoint.looked_back);
        }
        self.checkpoint = batch.checkpoint.clone();
        Ok(batch)
    }

    /// The letter carries the version that was emitted last, so that any newer one closes it.
    fn retraction(&self, key: &DocumentKey, version: Version, failed_at: i64) -> document::DeadLetter {
        let detail = "the source no longer shows this bill: it was un-audited or deleted after it was extracted";
        let fault = Fault::new(Code::SourceRetracted, detail).of_record(key.as_str());
        self.plan.rules.letter(key.clone(), version, &fault, failed_at, None, Vec::new())
    }
}

fn fetch(plan: &Plan, mut scopes: VecDeque<Scope>) -> Stage {
    match scopes.pop_front() {
        None => Stage::Done,
        Some(scope) => {
            let lines = plan.rules.columns.entry().is_some();
            let scan = Scan::new(Position::Start, plan.limit, lines, plan.max_bill_bytes);
            Stage::Fetch { scan, scope, rest: scopes }
        }
    }
}

/// A filter on lines can make a head come once per line.
fn without_repeats(mut rows: Vec<Row>) -> Vec<Row> {
    rows.dedup_by(|a, b| a.key == b.key);
    rows
}

#[expect(clippy::cast_precision_loss, reason = "a share of counts far below 2^52, compared with a threshold")]
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
