//! How far the stages behind are behind: scans of a flow wait while too much of it is on its way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use document::{Fault, FlowName, topic};
use queue::Admin;

use crate::config::Behind;

/// How far the stages behind are behind with a flow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HowFar {
    /// Records that are extracted and not yet loaded.
    pub records: i64,
    /// The share of its topic's retention that the oldest of them has used up: from 1 on it may be deleted unread.
    pub aged: f64,
}

/// Knows how far the stages behind are behind.
#[async_trait]
pub trait Downstream: Send + Sync {
    /// How far they are behind with a flow at `now`, unix milliseconds.
    ///
    /// # Errors
    /// What keeps Kafka from answering.
    async fn ask(&self, flow: &FlowName, now: i64) -> Result<HowFar, Fault>;
}

/// Asks Kafka.
#[derive(Debug)]
pub struct Groups {
    /// Who asks.
    pub admin: Admin,
    /// Whom to ask about.
    pub settings: Behind,
}

#[async_trait]
impl Downstream for Groups {
    async fn ask(&self, flow: &FlowName, now: i64) -> Result<HowFar, Fault> {
        let mut far = HowFar::default();
        for (group, topic) in [
            (&self.settings.transformer_group, topic::extracted(flow)),
            (&self.settings.loader_group, topic::mapped(flow)),
        ] {
            let lags = self.admin.lag(group, std::slice::from_ref(&topic)).await.map_err(|error| error.fault())?;
            let records = lags.iter().map(queue::Lag::records).sum::<i64>();
            far.records += records;
            if records > 0 {
                far.aged = far.aged.max(self.aged(group, &topic, now).await.map_err(|error| error.fault())?);
            }
        }
        Ok(far)
    }
}

impl Groups {
    /// The share of the retention of `topic` that the oldest record which `group` has to read has used up.
    async fn aged(&self, group: &str, topic: &str, now: i64) -> Result<f64, queue::Error> {
        let Some(retention) = self.admin.retention(topic).await? else { return Ok(0.0) };
        let oldest = self.admin.oldest_unread(group, topic).await?;
        Ok(oldest.map_or(0.0, |oldest| share(now.saturating_sub(oldest), retention)))
    }
}

/// An age in milliseconds as a share of `retention`; 0 for what lies in the future.
fn share(age: i64, retention: Duration) -> f64 {
    Duration::from_millis(u64::try_from(age).unwrap_or(0)).div_duration_f64(retention)
}

/// Remembers when it is worth asking: asking costs a connection, and a flow that emits little falls behind slowly.
#[derive(Debug)]
pub struct Congestion {
    settings: Behind,
    flows: Mutex<BTreeMap<FlowName, Known>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    far: HowFar,
    /// Records emitted since then.
    emitted: i64,
    /// When it was asked, monotonic.
    asked: Duration,
}

impl Congestion {
    /// Nothing is known yet.
    pub fn new(settings: Behind) -> Self {
        Self { settings, flows: Mutex::default() }
    }

    fn flows(&self) -> MutexGuard<'_, BTreeMap<FlowName, Known>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many records of a flow were emitted.
    pub fn emitted(&self, flow: &FlowName, records: u64) {
        let mut flows = self.flows();
        let known = flows.entry(flow.clone()).or_default();
        known.emitted = known.emitted.saturating_add(i64::try_from(records).unwrap_or(i64::MAX));
    }

    /// Whether it is time to ask about a flow; `now` is monotonic.
    pub fn wants_to_know(&self, flow: &FlowName, now: Duration) -> bool {
        let known = self.flows().get(flow).copied().unwrap_or_default();
        let Behind { records, retention, look_every, .. } = self.settings;
        known.far.records > records / 2
            || known.far.aged > retention / 2.0
            || known.emitted >= (records / 20).max(1)
            || now.saturating_sub(known.asked) >= look_every
    }

    /// What was answered at `now`, monotonic; whether scans may go on.
    pub fn told(&self, flow: &FlowName, far: HowFar, now: Duration) -> bool {
        self.flows().insert(flow.clone(), Known { far, emitted: 0, asked: now });
        far.records <= self.settings.records && far.aged <= self.settings.retention
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn congestion() -> (FlowName, Congestion) {
        let settings = Behind {
            records: 1_000,
            retention: 0.25,
            check_every: Duration::from_secs(15),
            look_every: minutes(60),
            transformer_group: String::new(),
            loader_group: String::new(),
        };
        (FlowName::new("misc").expect("valid"), Congestion::new(settings))
    }

    fn far(records: i64, aged: f64) -> HowFar {
        HowFar { records, aged }
    }

    #[test]
    fn a_flow_is_asked_about_when_it_emitted_much_or_was_far_behind() {
        let (flow, congestion) = congestion();
        let now = minutes(5);
        assert!(!congestion.wants_to_know(&flow, now));
        congestion.emitted(&flow, 49);
        assert!(!congestion.wants_to_know(&flow, now));
        congestion.emitted(&flow, 1);
        assert!(congestion.wants_to_know(&flow, now));
        assert!(!congestion.told(&flow, far(1_001, 0.0), now));
        assert!(congestion.wants_to_know(&flow, now));
        assert!(congestion.told(&flow, far(500, 0.0), now));
        assert!(!congestion.wants_to_know(&flow, now));
    }

    #[test]
    fn a_flow_that_emits_little_is_asked_about_by_the_hour_and_waits_for_what_is_about_to_expire() {
        let (flow, congestion) = congestion();
        assert!(congestion.wants_to_know(&flow, minutes(60)));
        assert!(congestion.told(&flow, far(3, 0.1), minutes(60)));
        assert!(!congestion.wants_to_know(&flow, minutes(119)));
        assert!(congestion.wants_to_know(&flow, minutes(120)));
        assert!(!congestion.told(&flow, far(3, 0.26), minutes(120)));
        assert!(congestion.wants_to_know(&flow, minutes(120)), "it is asked about until it has caught up");
        assert!(congestion.told(&flow, far(3, 0.12), minutes(121)));
        assert!(!congestion.wants_to_know(&flow, minutes(122)));
    }

    #[test]
    fn an_age_is_a_share_of_the_retention() {
        assert!((share(86_400_000, Duration::from_secs(4 * 86_400)) - 0.25).abs() < 1e-9);
        assert_eq!((share(-5, minutes(1)), share(0, minutes(1))), (0.0, 0.0));
    }
}
