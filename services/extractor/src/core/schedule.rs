//! Whose turn it is: firings of cron, wishes by command, runs that have to be tried again.
//!
//! A flow has one run at a time: a scan, a lookback or a window. Times are unix seconds of the wall clock, except the waits after
//! a failure, which are times of a stopwatch: a clock that jumps delays a run, it never makes a flood of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use chrono::DateTime;
use document::FlowName;
use flow::file::WhenRunning;
use flow::schedule::Plan;

use super::checkpoint::{Checkpoint, Window};

/// What a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// From W on.
    Scan,
    /// The slow second look.
    Lookback,
    /// A window, by command alone. W stays.
    Window(Window),
}

impl Kind {
    /// The word used in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Scan => "scan",
            Kind::Lookback => "lookback",
            Kind::Window(_) => "window",
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
    /// Whether windows of it can be read: they need a key and a watermark date.
    pub windows: bool,
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
    /// A window goes on when the stopwatch shows this; other runs of the flow need not wait so long.
    Paced(Duration),
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
    /// Windows asked for, oldest first; `None` for a flow that has none.
    windows: Option<VecDeque<Window>>,
    when_running: WhenRunning,
    /// A lookback before the first complete scan would be that scan.
    scanned: bool,
    running: Option<Due>,
    not_before: Duration,
    /// The same for windows alone.
    paced: Duration,
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

impl Entry {
    /// The run that is due at `now` and the firing it serves. Windows come last: they may be long and nothing waits for
    /// them.
    fn due(&mut self, now: i64, stopwatch: Duration) -> Option<(Kind, Option<i64>)> {
        let scan = self.scan.due(now);
        if scan.is_some() || self.scan.wished {
            self.scan.wished = false;
            return Some((Kind::Scan, scan));
        }
        if let Some(lookback) = self.lookback.as_mut().filter(|_| self.scanned) {
            let firing = lookback.due(now);
            if firing.is_some() || lookback.wished {
                lookback.wished = false;
                return Some((Kind::Lookback, firing));
            }
        }
        let windows = self.windows.as_ref().filter(|_| stopwatch >= self.paced);
        let window = windows.and_then(|windows| windows.front());
        window.map(|window| (Kind::Window(*window), None))
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
        let paced = before.as_ref().map(|entry| entry.paced).unwrap_or_default();
        let (running, windows) = before.map(|entry| (entry.running, entry.windows)).unwrap_or_default();
        let entry = Entry {
            scan,
            lookback,
            windows: timing.windows.then(|| windows.unwrap_or_default()),
            when_running: timing.when_running,
            scanned: checkpoint.completed.is_some(),
            running,
            not_before: Duration::ZERO,
            paced,
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
        match kind {
            Kind::Scan => entry.scan.wished = true,
            Kind::Lookback => match &mut entry.lookback {
                Some(lookback) => lookback.wished = true,
                None => return false,
            },
            Kind::Window(window) => match &mut entry.windows {
                Some(windows) if windows.contains(&window) => {}
                Some(windows) => windows.push_back(window),
                None => return false,
            },
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
            if let Some((kind, fired)) = entry.due(now, stopwatch) {
                due.push((fired.unwrap_or(now), Due { flow: flow.clone(), kind, fired }));
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
            (Kind::Scan, _) => Some(&mut entry.scan),
            (Kind::Lookback, lookback) => lookback.as_mut(),
            (Kind::Window(_), _) => None,
        };
        match ended {
            Ended::Complete => {
                entry.scanned |= due.kind == Kind::Scan;
                entry.not_before = Duration::ZERO;
                if let (Some(timer), Some(fired)) = (timer, due.fired) {
                    timer.served(fired.max(timer.last));
                }
                if let (Kind::Window(window), Some(windows)) = (due.kind, &mut entry.windows) {
                    windows.retain(|waiting| *waiting != window);
                }
            }
            Ended::Retry(not_before) => {
                entry.not_before = not_before;
                // A firing that was left out meanwhile must not take this one with it.
                if let Some(timer) = timer {
                    timer.wished |= due.fired.is_none_or(|fired| fired <= timer.last);
                }
            }
            Ended::Paced(paced) => entry.paced = paced,
            Ended::Stopped => {
                entry.stopped = true;
                entry.windows.iter_mut().for_each(VecDeque::clear);
            }
        }
    }

    /// Whether the flow was stopped.
    pub fn is_stopped(&self, flow: &FlowName) -> bool {
        self.flows.get(flow).is_some_and(|entry| entry.stopped)
    }
}

#[cfg(test)]
mod tests;
