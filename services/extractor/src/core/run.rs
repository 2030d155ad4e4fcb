//! One run of a flow: pages in, batches with their checkpoint out.
//!
//! A run begins from the last checkpoint and is thrown away at the first error: whoever owns the flow then begins
//! another one from the checkpoint that is saved. The next page may be asked for while a batch is being committed.

use std::collections::VecDeque;
use std::sync::Arc;

use document::{DeadLetter, DocumentKey, Extracted, Fault, TraceParent};
use serde_json::Value;

use super::checkpoint::{Checkpoint, ScanMark, Window, WindowMark};
use super::columns::Columns;
use super::emit::{Counts, Moment, Rules, Shaper};
use super::key::Key;
use super::rows::RowScan;
use super::scan::{Bill, Position, Scan};
use super::seen::Seen;
use crate::error::Rejected;

/// What a run goes by; made once per flow version.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What decides about bills.
    pub rules: Rules,
    /// Digest of what decides which bills a scan sees.
    pub config: String,
    /// How far a scan reaches back behind W, seconds.
    pub overlap: i64,
    /// How far W stays behind the start of the scan that moves it, seconds.
    pub settle: i64,
    /// Rows per page.
    pub limit: u32,
    /// For a form without a key: the column of the number, by which rows form bills.
    pub number_column: Option<usize>,
    /// Bytes of a bill beyond which only its size is kept.
    pub max_bill_bytes: u64,
    /// Most bytes of records in one batch; one bill still travels alone.
    pub max_batch_bytes: usize,
    /// The slow second look, where the flow has one.
    pub lookback: Option<LookbackPlan>,
    /// The rule that is switched off.
    #[cfg(feature = "ablation")]
    pub off: Option<super::ablation::Rule>,
}

/// What a lookback goes by.
#[derive(Debug, Clone)]
pub struct LookbackPlan {
    /// How far it looks back behind W, seconds.
    pub reach: i64,
    /// How heads are read.
    pub columns: Columns,
    /// Heads per page.
    pub limit: u32,
    /// Bills fetched with one query.
    pub chunk: usize,
    /// Whether its window is ours, so that a seen bill it does not show has left the source. The window of a document's
    /// own `omissionRemedy` is not: it brings differences, and nothing is concluded from what it leaves out.
    pub conclusive: bool,
    /// Share of the bills in the window that may be missing at once before it looks like a lost permission.
    pub shrunk_ratio: f64,
}

/// Which bills a query is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Those of the flow's filter whose watermark date is not below `since`.
    Window,
    /// The same, and whose watermark date is below this, unix seconds.
    Before(i64),
    /// Those of the flow's filter with these ids.
    Ids(Vec<Key>),
}

/// A page to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whether heads alone are wanted ([`LookbackPlan::columns`]) or whole bills ([`Rules::columns`]).
    pub heads: bool,
    /// Whether the lookback asks, whose filter may differ.
    pub lookback: bool,
    /// Which bills.
    pub scope: Scope,
    /// Which part of them.
    pub position: Position,
    /// Rows at most.
    pub limit: u32,
    /// `LAST_SYNC_TIME` and lower bound of the watermark date, unix seconds.
    pub since: i64,
    /// `CURRENT_TIME`, unix seconds.
    pub run_time: i64,
}

/// A page as it was read.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The rows.
    pub rows: Vec<Vec<Value>>,
    /// The server's clock when it answered, unix seconds.
    pub server_time: Option<i64>,
    /// Our clock when it answered, unix seconds.
    pub local_time: i64,
    /// How long the call took, rounded up to seconds.
    pub elapsed: i64,
}

/// What one transaction is to hold, in the order in which it must be written: data and letters, seen, checkpoint.
#[derive(Debug)]
pub struct Batch {
    /// For the flow's extracted topic.
    pub data: Vec<Extracted>,
    /// For the dead letters.
    pub letters: Vec<DeadLetter>,
    /// For the seen table.
    pub seen: Vec<Seen>,
    /// For the state table.
    pub checkpoint: Checkpoint,
    /// Whether the run is over with it.
    pub finished: bool,
    /// Documents listed as changed after load for the first time.
    pub changed_after_load: Vec<DocumentKey>,
    /// What it holds, in numbers.
    pub counts: Counts,
}

/// The instant and the identities of a batch.
pub struct Instant<'a> {
    /// Wall clock, unix microseconds.
    pub micros: u64,
    /// Gives each document a trace of its own.
    pub mint: &'a mut dyn FnMut() -> TraceParent,
}

impl std::fmt::Debug for Instant<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instant").field("micros", &self.micros).finish_non_exhaustive()
    }
}

impl Instant<'_> {
    /// Wall clock, unix seconds.
    pub fn seconds(&self) -> i64 {
        i64::try_from(self.micros / 1_000_000).expect("micros / 1e6 is below i64::MAX")
    }
}

/// Looks up what was seen of a bill.
pub type Lookup<'a> = &'a dyn Fn(&Key) -> Result<Option<Seen>, Fault>;

/// A scan from W on, or of a window.
#[derive(Debug)]
pub struct Run {
    plan: Arc<Plan>,
    checkpoint: Checkpoint,
    mark: ScanMark,
    paging: Paging,
    pending: VecDeque<Bill>,
    goal: Goal,
}

#[derive(Debug, Clone, Copy)]
enum Goal {
    /// To move W, for a firing of the schedule.
    Watermark(Option<i64>),
    /// To read a window. W and the mark of the scan stay as they are.
    Window(Window),
}

#[derive(Debug)]
enum Paging {
    Keys(Scan),
    Rows(RowScan),
}

impl Run {
    /// Goes on with the scan of `checkpoint`, or begins one at `now` (unix seconds) for the schedule's firing `fired`.
    pub fn begin(plan: Arc<Plan>, checkpoint: Checkpoint, now: i64, fired: Option<i64>) -> Self {
        let checkpoint = checkpoint.resumed();
        let mark = checkpoint.mark(&plan.config, plan.overlap, now);
        Self::new(plan, checkpoint, mark, Goal::Watermark(fired))
    }

    /// Goes on with the window of `checkpoint`, or begins it at `now` (unix seconds).
    pub fn window(plan: Arc<Plan>, checkpoint: Checkpoint, window: Window, now: i64) -> Self {
        let checkpoint = checkpoint.resumed();
        let mark = checkpoint.window_mark(&plan.config, window, now);
        Self::new(plan, checkpoint, mark, Goal::Window(window))
    }

    fn new(plan: Arc<Plan>, checkpoint: Checkpoint, mark: ScanMark, goal: Goal) -> Self {
        let paging = match plan.number_column {
            Some(number) => Paging::Rows(RowScan::new(number)),
            None => {
                let position = mark.cursor.clone().map_or(Position::Start, Position::After);
                let lines = plan.rules.columns.entry().is_some();
                let scan = Scan::new(position, plan.limit, lines, plan.max_bill_bytes);
                #[cfg(feature = "ablation")]
                let scan = scan.without(plan.off);
                Paging::Keys(scan)
            }
        };
        Self { plan, checkpoint, mark, paging, pending: VecDeque::new(), goal }
    }

    /// The next page to read; `None` when all are read.
    pub fn ask(&self) -> Option<Ask> {
        let position = match &self.paging {
            Paging::Keys(scan) => scan.next(),
            Paging::Rows(scan) => scan.next(),
        };
        position.map(|position| Ask {
            heads: false,
            lookback: false,
            scope: match self.goal {
                Goal::Watermark(_) => Scope::Window,
                Goal::Window(window) => Scope::Before(window.to),
            },
            position,
            limit: self.plan.limit,
            since: self.mark.since,
            run_time: self.mark.run_time,
        })
    }

    /// Takes the page that was asked for.
    ///
    /// # Errors
    /// [`Rejected`]: the run is over without success, W stays.
    pub fn page(&mut self, answer: Answer) -> Result<(), Rejected> {
        // T0 is the server's time when the first page was *asked* for: its answer is stamped after its statement
        // ran, and a bill that became due in between may have been missed by it.
        if self.mark.t0.is_none() {
            self.mark.t0 = Some(answer.server_time.unwrap_or(answer.local_time).saturating_sub(answer.elapsed));
        }
        let rows = self.plan.rules.columns.read(answer.rows)?;
        self.pending.extend(match &mut self.paging {
            Paging::Keys(scan) => scan.accept(rows)?,
            Paging::Rows(scan) => scan.accept(rows)?,
        });
        Ok(())
    }

    /// `CURRENT_TIME` and `LAST_SYNC_TIME` of the run, unix seconds.
    pub fn times(&self) -> (i64, i64) {
        (self.mark.run_time, self.mark.since)
    }

    /// Bills that wait for a batch.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes up to `max` bills with the checkpoint that stands for them. The last batch of a run is finished, and that of
    /// a scan from W moves W; it may hold no bill at all.
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
        let again = matches!(self.goal, Goal::Window(Window { again: true, .. }));
        let last = batch.take(&self.plan, &mut self.pending, max, seen, shape, &self.mark, again, instant)?;
        if let (Some(last), Paging::Keys(_)) = (last, &self.paging) {
            self.mark.cursor = Some(last);
        }
        batch.finished = self.pending.is_empty() && self.ask().is_none();
        self.note_progress(&mut batch, instant.seconds());
        self.checkpoint = batch.checkpoint.clone();
        Ok(batch)
    }

    /// Puts down how far the run is with this batch.
    fn note_progress(&self, batch: &mut Batch, now: i64) {
        let going_on = (!batch.finished).then(|| self.mark.clone());
        let (checkpoint, config) = (&mut batch.checkpoint, self.plan.config.clone());
        match self.goal {
            Goal::Window(window) => {
                checkpoint.window = going_on.map(|scan| WindowMark { window, config, scan });
                if let Some(part) = window.part {
                    let counts = batch.counts;
                    checkpoint.backfills.note(part.backfill, |mark| {
                        mark.read_to = if batch.finished { Some(window.to) } else { mark.read_to };
                        mark.emitted += counts.emitted;
                        mark.unchanged += counts.unchanged;
                        mark.letters += counts.letters;
                        mark.at = now;
                    });
                }
            }
            Goal::Watermark(fired) => {
                checkpoint.config = config;
                checkpoint.scan = going_on;
                if batch.finished {
                    let t0 = self.mark.t0.unwrap_or(checkpoint.watermark);
                    checkpoint.watermark = checkpoint.watermark.max(t0.saturating_sub(self.plan.settle));
                    checkpoint.fired = fired.or(checkpoint.fired);
                    checkpoint.completed = Some(now);
                }
            }
        }
    }
}

impl Batch {
    pub(super) fn empty(checkpoint: Checkpoint) -> Self {
        Self {
            data: Vec::new(),
            letters: Vec::new(),
            seen: Vec::new(),
            checkpoint,
            finished: false,
            changed_after_load: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Judges bills from the front of `pending` and gives the id of the last one taken; `again`: emits also those that
    /// are as they were. Takes none, and lets the checkpoint grant versions, while it grants too few.
    #[expect(clippy::too_many_arguments, reason = "all of them are the caller's state, used once")]
    pub(super) fn take(
        &mut self,
        plan: &Plan,
        pending: &mut VecDeque<Bill>,
        max: usize,
        seen: Lookup<'_>,
        shape: Shaper<'_>,
        mark: &ScanMark,
        again: bool,
        instant: &mut Instant<'_>,
    ) -> Result<Option<Key>, Fault> {
        let Some(micros) = self.checkpoint.clock(instant.micros).or(pending.is_empty().then_some(instant.micros))
        else {
            self.checkpoint.grant(instant.micros);
            return Ok(None);
        };
        let mut last_version = self.checkpoint.last_version;
        let mut last = None;
        let mut bytes = 0;
        for _ in 0..max {
            if bytes >= plan.max_batch_bytes {
                break;
            }
            let Some(bill) = pending.pop_front() else { break };
            let key = bill.key.clone();
            let before = seen(&key)?;
            let mut moment = Moment {
                micros,
                now: instant.micros,
                last_version: &mut last_version,
                run_time: mark.run_time,
                since: mark.since,
                again,
                mint: &mut *instant.mint,
            };
            let emission = plan.rules.judge(bill, before.as_ref(), shape, &mut moment);
            bytes += emission.data.iter().map(|record| record.value.len()).sum::<usize>();
            bytes += emission.letters.iter().map(|letter| letter.body.len()).sum::<usize>();
            self.data.extend(emission.data);
            self.letters.extend(emission.letters);
            self.seen.extend(emission.seen);
            self.changed_after_load.extend(emission.changed_after_load);
            self.counts.add(emission.counts);
            last = Some(key);
        }
        if last_version != self.checkpoint.last_version {
            self.checkpoint.last_version = last_version;
            self.checkpoint.grant(instant.micros);
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests;
