//! What the stage counts; names and labels are those of [`runtime::metrics::definitions`].

use std::collections::BTreeMap;
use std::time::Duration;

use document::topic;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use queue::Lag;
use runtime::metrics::definitions::{CONSUMER_LAG, DEAD_LETTERS, FLOW_PAUSED, RECORDS, STAGE_DURATION};
use runtime::metrics::{Gauge, labels};

use crate::core::{Handled, Holds, Outcome, STAGE};

/// The instruments of the stage.
#[derive(Debug, Clone)]
pub struct StageMetrics {
    records: Counter<u64>,
    duration: Histogram<f64>,
    dead_letters: Counter<u64>,
    lag: Gauge,
    paused: Gauge,
}

impl StageMetrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            records: RECORDS.counter(meter),
            duration: STAGE_DURATION.histogram(meter),
            dead_letters: DEAD_LETTERS.counter(meter),
            lag: CONSUMER_LAG.gauge(meter),
            paused: FLOW_PAUSED.gauge(meter),
        }
    }

    /// Counts a batch that was written and saved, and took `time`.
    pub fn batch(&self, handled: &[Handled], time: Duration) {
        let mut counts: BTreeMap<(&str, &str, Outcome), u64> = BTreeMap::new();
        let mut letters: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for record in handled {
            *counts.entry((record.tenant.as_str(), record.flow.as_str(), record.outcome)).or_default() += 1;
            if let Some(fault) = &record.fault {
                *letters.entry((record.flow.as_str(), fault.code.category().as_str())).or_default() += 1;
            }
        }
        let mut flows: Vec<&str> = Vec::new();
        for ((tenant, flow, outcome), count) in counts {
            let terminal = if outcome.is_terminal() { "true" } else { "false" };
            let texts = [
                ("tenant", tenant),
                ("flow", flow),
                ("stage", STAGE.as_str()),
                ("outcome", outcome.as_str()),
                ("terminal", terminal),
            ];
            self.records.add(count, &labels(&texts));
            if flows.last() != Some(&flow) {
                flows.push(flow);
            }
        }
        for ((flow, category), count) in letters {
            let texts = [("flow", flow), ("stage", STAGE.as_str()), ("category", category)];
            self.dead_letters.add(count, &labels(&texts));
        }
        for flow in flows {
            self.duration.record(time.as_secs_f64(), &labels(&[("flow", flow), ("stage", STAGE.as_str())]));
        }
    }

    /// Shows what waits, and the flows that were stopped because their topic is not what it was.
    pub fn waiting<'a>(&self, holds: &Holds, stopped: impl Iterator<Item = &'a str>) {
        self.paused.clear();
        let show = |flow: &str, reason: &str, count: usize| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let texts = [("flow", flow), ("stage", STAGE.as_str()), ("reason", reason)];
            self.paused.set(&texts, f64::from(count));
        };
        for (reason, count) in holds.reasons() {
            show(reason.flow().as_str(), reason.as_str(), count);
        }
        for topic in stopped {
            if let Some(flow) = topic::flow_of(topic) {
                show(flow.as_str(), "topic", 1);
            }
        }
    }

    /// Shows how far the stage is behind.
    pub fn lag(&self, lags: &[Lag]) {
        let mut by_flow: BTreeMap<String, i64> = BTreeMap::new();
        for lag in lags {
            if let Some(flow) = topic::flow_of(&lag.topic_partition.topic) {
                *by_flow.entry(flow.to_string()).or_default() += lag.records();
            }
        }
        self.lag.clear();
        for (flow, records) in by_flow {
            let records = u32::try_from(records.max(0)).unwrap_or(u32::MAX);
            self.lag.set(&[("flow", &flow), ("stage", STAGE.as_str())], f64::from(records));
        }
    }
}
