//! When most records of a flow fail alike, the flow is wrong and not the records: it waits before letters are written.

use std::collections::{BTreeMap, VecDeque};

use document::{Code, Fault, FlowName, FlowVersion};
use serde::Deserialize;

use super::hold::Reason;

/// Table `[breaker]` of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// Fewer records than this decide nothing.
    pub records: usize,
    /// More than this share of them must fail alike, per cent.
    pub percent: usize,
}

/// How many of the last records decide, as a multiple of [`BreakerSettings::records`].
const WINDOW: usize = 10;

/// What makes two failures alike: the code, and the field without its position in a list.
type Alike = (Code, Option<String>);

#[derive(Debug, Default)]
struct Tally {
    last: VecDeque<Option<Alike>>,
    open: Option<Alike>,
}

/// Counts the outcomes of the last records of each flow version.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    tallies: BTreeMap<(FlowName, FlowVersion), Tally>,
}

fn alike(fault: &Fault) -> Alike {
    let field = fault.place.path.as_ref().map(|path| path.chars().filter(|c| !c.is_ascii_digit()).collect());
    (fault.code, field)
}

impl Breaker {
    /// Nothing counted yet.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, tallies: BTreeMap::new() }
    }

    /// Whether records of this version wait.
    pub fn is_open(&self, flow: &FlowName, version: &FlowVersion) -> bool {
        self.tallies.get(&(flow.clone(), version.clone())).is_some_and(|tally| tally.open.is_some())
    }

    /// Counts the outcome of one record.
    pub fn count(&mut self, flow: &FlowName, version: &FlowVersion, fault: Option<&Fault>) {
        let name = (flow.clone(), version.clone());
        if !self.tallies.contains_key(&name) {
            // Only the current version is counted: what was known of earlier ones is of no use any more.
            self.tallies.retain(|(counted, _), tally| counted != flow || tally.open.is_some());
        }
        let tally = self.tallies.entry(name).or_default();
        tally.last.push_back(fault.map(alike));
        if tally.last.len() > self.settings.records * WINDOW {
            tally.last.pop_front();
        }
    }

    /// Whether the count says now, and did not before, that the version is wrong.
    pub fn opens(&mut self, flow: &FlowName, version: &FlowVersion) -> bool {
        let settings = self.settings;
        let Some(tally) = self.tallies.get_mut(&(flow.clone(), version.clone())) else { return false };
        if tally.open.is_some() || tally.last.len() < settings.records {
            return false;
        }
        let mut counts: BTreeMap<&Alike, usize> = BTreeMap::new();
        for failure in tally.last.iter().flatten() {
            *counts.entry(failure).or_default() += 1;
        }
        let worst = counts.into_iter().max_by_key(|(_, count)| *count);
        let open = worst.filter(|(_, count)| count * 100 > tally.last.len() * settings.percent);
        tally.open = open.map(|(failure, _)| failure.clone());
        tally.open.is_some()
    }

    /// Forgets the versions of which `replaced` is true.
    pub fn forget(&mut self, replaced: impl Fn(&FlowName, &FlowVersion) -> bool) {
        self.tallies.retain(|(flow, version), _| !replaced(flow, version));
    }

    /// What the records of an open version fail with.
    pub fn words(&self, reason: &Reason) -> Option<String> {
        let Reason::Failing { flow, version } = reason else { return None };
        let (code, field) = self.tallies.get(&(flow.clone(), version.clone()))?.open.as_ref()?;
        Some(field.as_ref().map_or_else(|| code.to_string(), |field| format!("{code} at {field}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(name: &str) -> FlowName {
        FlowName::new(name).expect("a flow's name")
    }

    /// Counts so many failures that are alike, and says whether the version waits then.
    fn fail(breaker: &mut Breaker, name: &str, version: &str, times: usize) -> bool {
        let (flow, version) = (flow(name), FlowVersion::from(version));
        let fault = Fault::new(Code::Required, "FDate has no value").at_path("$.FDate");
        (0..times).for_each(|_| breaker.count(&flow, &version, Some(&fault)));
        breaker.opens(&flow, &version)
    }

    fn breaker() -> Breaker {
        Breaker::new(BreakerSettings { records: 20, percent: 50 })
    }

    #[test]
    fn another_version_of_a_flow_begins_at_nothing_and_touches_no_other_flow() {
        let mut breaker = breaker();
        assert!(!fail(&mut breaker, "a", "v1", 19));
        assert!(!fail(&mut breaker, "b", "v1", 19));
        assert!(!fail(&mut breaker, "a", "v2", 19));
        assert!(fail(&mut breaker, "b", "v1", 1));
        // What was counted of a version before another one came is not taken up again.
        assert!(!fail(&mut breaker, "a", "v1", 1));
    }

    #[test]
    fn a_version_that_waits_goes_on_waiting_when_another_one_is_counted() {
        let mut breaker = breaker();
        assert!(fail(&mut breaker, "a", "v1", 20));
        assert!(!fail(&mut breaker, "a", "v2", 1));
        assert!(breaker.is_open(&flow("a"), &"v1".into()));
        breaker.forget(|_, version| version.as_str() == "v1");
        assert!(!breaker.is_open(&flow("a"), &"v1".into()));
    }
    #[test]
    fn the_last_two_hundred_records_decide() {
        let mut breaker = breaker();
        (0..100).for_each(|_| breaker.count(&flow("a"), &"v1".into(), None));
        // Half of them is not most of them.
        assert!(!fail(&mut breaker, "a", "v1", 100));
        assert!(fail(&mut breaker, "a", "v1", 1));
    }

    #[test]
    fn failures_of_long_ago_do_not_count() {
        let mut breaker = breaker();
        (0..80).for_each(|_| breaker.count(&flow("a"), &"v1".into(), None));
        assert!(!fail(&mut breaker, "a", "v1", 80));
        (0..200).for_each(|_| breaker.count(&flow("a"), &"v1".into(), None));
        assert!(!fail(&mut breaker, "a", "v1", 100));
    }
}
