//! How far the stages behind are behind: scans of a flow wait while too much of it is on its way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use document::{Fault, FlowName, topic};
use queue::Admin;

use crate::config::Behind;

/// Knows how many records of a flow are extracted and not yet loaded.
#[async_trait]
pub trait Downstream: Send + Sync {
    /// Their number.
    ///
    /// # Errors
    /// What keeps Kafka from answering.
    async fn records(&self, flow: &FlowName) -> Result<i64, Fault>;
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
    async fn records(&self, flow: &FlowName) -> Result<i64, Fault> {
        let mut records = 0;
        for (group, topic) in [
            (&self.settings.transformer_group, topic::extracted(flow)),
            (&self.settings.loader_group, topic::mapped(flow)),
        ] {
            let lags = self.admin.lag(group, &[topic]).await.map_err(|error| error.fault())?;
            records += lags.iter().map(queue::Lag::records).sum::<i64>();
        }
        Ok(records)
    }
}

/// Remembers when it is worth asking: asking costs a connection, and a flow that emits little cannot fall far behind.
#[derive(Debug)]
pub struct Congestion {
    limit: i64,
    flows: Mutex<BTreeMap<FlowName, Known>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    records: i64,
    emitted: i64,
}

impl Congestion {
    /// Scans wait at `limit` records.
    pub fn new(limit: i64) -> Self {
        Self { limit, flows: Mutex::default() }
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

    /// Whether it is time to ask about a flow.
    pub fn wants_to_know(&self, flow: &FlowName) -> bool {
        let known = self.flows().get(flow).copied().unwrap_or_default();
        known.records > self.limit / 2 || known.emitted >= (self.limit / 20).max(1)
    }

    /// What was answered; whether scans may go on.
    pub fn told(&self, flow: &FlowName, records: i64) -> bool {
        self.flows().insert(flow.clone(), Known { records, emitted: 0 });
        records <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_asked_about_when_it_emitted_much_or_was_far_behind() {
        let flow = FlowName::new("misc").expect("valid");
        let congestion = Congestion::new(1_000);
        assert!(!congestion.wants_to_know(&flow));
        congestion.emitted(&flow, 49);
        assert!(!congestion.wants_to_know(&flow));
        congestion.emitted(&flow, 1);
        assert!(congestion.wants_to_know(&flow));
        assert!(!congestion.told(&flow, 1_001));
        assert!(congestion.wants_to_know(&flow));
        assert!(congestion.told(&flow, 500));
        assert!(!congestion.wants_to_know(&flow));
    }
}
