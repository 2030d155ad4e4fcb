//! Whose turn it is: firings of cron, wishes by command, runs that have to be tried again.
//!
//! A flow has one run at a time, a scan or a lookback. Times are unix seconds of the wall clock, except the waits after
//! a failure, which are times of a stopwatch: a clock that jumps delays a run, it never makes a flood of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::DateTime;
use document::FlowName;
use flow::file::WhenRunning;
use flow::schedule::Plan;

use super::checkpoint::Checkpoint;

/// What a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From W on.
    Scan,
    /// The slow second look.
    Lookback,
}

impl Kind {
    /// The word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Scan => "scan",
            Kind::Lookback => "lookback",
        }
    }
}

/// A run that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The flow.
    pub flow: FlowName,
    /// What to run.
    pub kind: Kind,
    /// The firing it serves; `None` for a wish by command or at start.
    pub fired: Option<i64>,
}

/// When a flow runs.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The scan's firings.
    pub scan: Plan,
    /// The lookback's.
    pub lookback: Option<Plan>,
    /// What a firing does while a run goes on.
    pub when_running: WhenRunning,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is complete.
    Complete,
    /// It is to be tried again when the stopwatch shows this.
    Retry(Duration),
    /// Nothing can be done until somebody changes something.
    Stopped,
}

/// Every flow this process owns, and when it is due.
#[derive(Debug, Default)]
pub struct Board {
    flows: BTreeMap<FlowName, Entry>,
    /// Flows that rest, taken on here or not.
    resting: BTreeSet<FlowName>,
}

#[derive(Debug)]
struct Entry {
    scan: Timer,
    lookback: Option<Timer>,
    when_running: WhenRunning,
    /// A lookback before the first complete scan would be that scan.
    scanned: bool,
    running: Option<Due>,
    not_before: Duration,
    stopped: bool,
}

#[derive(Debug)]
struct Timer {
    plan: Plan,
    last: i64,
    next: Option<i64>,
    wished: bool,
}

impl Timer {
    fn new(plan: Plan, last: i64, wished: bool) -> Self {
        let next = after(&plan, last);
        Self { plan, last, next, wished }
    }

    fn served(&mut self, last: i64) {
        self.last = last;
        self.next = after(&self.plan, last);
    }

    /// The firing that is due: the latest one, since missed firings happen once.
    fn due(&mut self, now: i64) -> Option<i64> {
        if self.last > now {
            // The clock was set back: what it fired in the time that is yet to come does not count.
            self.served(now);
        }
        self.next.filter(|next| *next <= now).map(|next| latest(&self.plan, self.last, now).unwrap_or(next))
    }
}

fn after(plan: &Plan, last: i64) -> Option<i64> {
    plan.next_after(DateTime::from_timestamp(last, 0)?).map(|next| next.timestamp())
}

fn latest(plan: &Plan, last: i64, now: i64) -> Option<i64> {
    let missed = plan.missed(DateTime::from_timestamp(last, 0)?, DateTime::from_timestamp(now, 0)?);
    missed.map(|missed| missed.timestamp())
}

impl Board {
    /// Takes a flow on, with what its checkpoint says; a flow that never ran waits for its next firing, unless `wished`.
    /// Taking it on again (another version) keeps a run that is under way and wishes that wait.
    pub fn put(&mut self, flow: FlowName, timing: Timing, checkpoint: &Checkpoint, now: i64, wished: bool) {
        let before = self.flows.remove(&flow);
        let kept = |timer: Option<&Timer>| timer.is_some_and(|timer| timer.wished);
        let wished = wished || checkpoint.scan.is_some() || kept(before.as_ref().map(|entry| &entry.scan));
        let scan = Timer::new(timing.scan, checkpoint.fired.unwrap_or(now), wished);
        let wished = kept(before.as_ref().and_then(|entry| entry.lookback.as_ref()));
        let lookback = timing.lookback.map(|plan| Timer::new(plan, checkpoint.looked_back.unwrap_or(now), wished));
        let entry = Entry {
            scan,
            lookback,
            when_running: timing.when_running,
            scanned: checkpoint.completed.is_some(),
            running: before.and_then(|entry| entry.running),
            not_before: Duration::ZERO,
            stopped: false,
        };
        self.flows.insert(flow, entry);
    }

    /// Lets a flow go.
    pub fn remove(&mut self, flow: &FlowName) {
        self.flows.remove(flow);
    }

    /// The flows taken on.
    pub fn flows(&self) -> impl Iterator<Item = &FlowName> {
        self.flows.keys()
    }

    /// Whether a run of the flow goes on.
    pub fn is_running(&self, flow: &FlowName) -> bool {
        self.flows.get(flow).is_some_and(|entry| entry.running.is_some())
    }

    /// A wish by command: a run as soon as the one under way is over. Whether the flow is known here.
    pub fn wish(&mut self, flow: &FlowName, kind: Kind) -> bool {
        let Some(entry) = self.flows.get_mut(flow) else { return false };
        entry.not_before = Duration::ZERO;
        match (kind, &mut entry.lookback) {
            (Kind::Scan, _) => entry.scan.wished = true,
            (Kind::Lookback, Some(lookback)) => lookback.wished = true,
            (Kind::Lookback, None) => return false,
        }
        true
    }

    /// Lets these flows rest and no others, until it is told anew; gives those for which that is a change. Nothing of a
    /// flow that rests is due: wishes are kept, and firings are missed.
    pub fn rest(&mut self, resting: BTreeSet<FlowName>) -> Vec<FlowName> {
        let before = std::mem::replace(&mut self.resting, resting);
        before.symmetric_difference(&self.resting).cloned().collect()
    }

    /// Whether the flow rests.
    pub fn is_resting(&self, flow: &FlowName) -> bool {
        self.resting.contains(flow)
    }

    /// What is due at `now` (wall clock) and `stopwatch`, longest overdue first. Each is running from here on.
    pub fn tick(&mut self, now: i64, stopwatch: Duration) -> Vec<Due> {
        let mut due: Vec<(i64, Due)> = Vec::new();
        for (flow, entry) in &mut self.flows {
            if let Some(running) = &entry.running {
                if running.kind == Kind::Scan
                    && entry.when_running == WhenRunning::Skip
                    && let Some(firing) = entry.scan.due(now)
                    && running.fired != Some(firing)
                {
                    entry.scan.served(firing);
                }
                continue;
            }
            if entry.stopped || self.resting.contains(flow) || stopwatch < entry.not_before {
                continue;
            }
            let scan = entry.scan.due(now);
            if scan.is_some() || entry.scan.wished {
                entry.scan.wished = false;
                due.push((scan.unwrap_or(now), Due { flow: flow.clone(), kind: Kind::Scan, fired: scan }));
            } else if let Some(lookback) = &mut entry.lookback
                && entry.scanned
            {
                let firing = lookback.due(now);
                if firing.is_some() || lookback.wished {
                    lookback.wished = false;
                    due.push((firing.unwrap_or(now), Due { flow: flow.clone(), kind: Kind::Lookback, fired: firing }));
                }
            }
        }
        due.sort_by_key(|(since, _)| *since);
        let due: Vec<Due> = due.into_iter().map(|(_, due)| due).collect();
        for due in &due {
            if let Some(entry) = self.flows.get_mut(&due.flow) {
                entry.running = Some(due.clone());
            }
        }
        due
    }

    /// A run is over. One that has to be tried again keeps its firing.
    pub fn ended(&mut self, flow: &FlowName, ended: Ended) {
        let Some(entry) = self.flows.get_mut(flow) else { return };
        let Some(due) = entry.running.take() else { return };
        let timer = match (due.kind, &mut entry.lookback) {
            (Kind::Scan, _) => &mut entry.scan,
            (Kind::Lookback, Some(lookback)) => lookback,
            (Kind::Lookback, None) => return,
        };
        match ended {
            Ended::Complete => {
                entry.scanned |= due.kind == Kind::Scan;
                entry.not_before = Duration::ZERO;
                if let Some(fired) = due.fired {
                    timer.served(fired.max(timer.last));
                }
            }
            Ended::Retry(not_before) => {
                entry.not_before = not_before;
                // A firing that was left out meanwhile must not take this one with it.
                timer.wished |= due.fired.is_none_or(|fired| fired <= timer.last);
            }
            Ended::Stopped => entry.stopped = true,
        }
    }

    /// Whether the flow was stopped.
    pub fn is_stopped(&self, flow: &FlowName) -> bool {
        self.flows.get(flow).is_some_and(|entry| entry.stopped)
    }
}

#[cfg(test)]
mod tests;
