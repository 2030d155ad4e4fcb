//! What the stage counts; names and labels are those of [`runtime::metrics::definitions`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use document::FlowName;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use queue::Lag;
use runtime::metrics::definitions::{
    BATCH_SIZE, BREAKER_STATE, CONSUMER_LAG, DEAD_LETTERS, END_TO_END, ERP_REQUEST_DURATION, ERP_REQUESTS, FLOW_PAUSED,
    FRESHNESS, IN_DOUBT, IN_DOUBT_OLDEST_AGE, IN_DOUBT_RESOLVED, LAST_SUCCESS_TIMESTAMP, OLDEST_UNPROCESSED_AGE,
    RATE_LIMIT_WAIT, RECORDS, RETRIES,
};
use runtime::metrics::{Gauge, labels};

use crate::core::Core;
use crate::core::event::{Ended, Observation};

const STAGE: &str = "load";

/// The instruments of the stage. Clones share them.
#[derive(Debug, Clone)]
pub struct LoaderMetrics {
    records: Counter<u64>,
    end_to_end: Histogram<f64>,
    freshness: Gauge,
    /// Per flow: its tenant and the newest observation that was applied, unix milliseconds.
    newest: Arc<Mutex<BTreeMap<FlowName, (String, i64)>>>,
    last_success: Gauge,
    oldest: Gauge,
    lag: Gauge,
    paused: Gauge,
    requests: Counter<u64>,
    request_duration: Histogram<f64>,
    batch_size: Histogram<f64>,
    rate_limit_wait: Histogram<f64>,
    retries: Counter<u64>,
    breaker: Gauge,
    in_doubt: Gauge,
    in_doubt_age: Gauge,
    resolved: Counter<u64>,
    dead_letters: Counter<u64>,
}

fn float(value: impl TryInto<u32>) -> f64 {
    f64::from(value.try_into().unwrap_or(u32::MAX))
}

/// Milliseconds from `then` to `now`, as seconds; never negative.
fn seconds(now: i64, then: i64) -> f64 {
    Duration::from_millis(u64::try_from(now.saturating_sub(then)).unwrap_or(0)).as_secs_f64()
}

impl LoaderMetrics {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            records: RECORDS.counter(meter),
            end_to_end: END_TO_END.histogram(meter),
            freshness: FRESHNESS.gauge(meter),
            newest: Arc::default(),
            last_success: LAST_SUCCESS_TIMESTAMP.gauge(meter),
            oldest: OLDEST_UNPROCESSED_AGE.gauge(meter),
            lag: CONSUMER_LAG.gauge(meter),
            paused: FLOW_PAUSED.gauge(meter),
            requests: ERP_REQUESTS.counter(meter),
            request_duration: ERP_REQUEST_DURATION.histogram(meter),
            batch_size: BATCH_SIZE.histogram(meter),
            rate_limit_wait: RATE_LIMIT_WAIT.histogram(meter),
            retries: RETRIES.counter(meter),
            breaker: BREAKER_STATE.gauge(meter),
            in_doubt: IN_DOUBT.gauge(meter),
            in_doubt_age: IN_DOUBT_OLDEST_AGE.gauge(meter),
            resolved: IN_DOUBT_RESOLVED.counter(meter),
            dead_letters: DEAD_LETTERS.counter(meter),
        }
    }

    /// Counts what the core saw at unix millisecond `now`.
    pub fn observe(&self, tenant: &str, observation: &Observation, now: i64) {
        match observation {
            Observation::Ended { flow, outcome, observed } => {
                let word = match outcome {
                    Ended::Applied => "applied",
                    Ended::Superseded => "superseded",
                    Ended::Skipped => "skipped",
                    Ended::Parked => "parked",
                };
                let name = flow.as_str();
                let texts =
                    [("tenant", tenant), ("flow", name), ("stage", STAGE), ("outcome", word), ("terminal", "true")];
                self.records.add(1, &labels(&texts));
                if *outcome == Ended::Applied {
                    self.end_to_end.record(seconds(now, *observed), &labels(&[("flow", name)]));
                    self.last_success.set(&[("tenant", tenant), ("flow", name)], seconds(now, 0));
                    let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
                    let (_, newest) = newest.entry(flow.clone()).or_insert_with(|| (tenant.to_owned(), *observed));
                    *newest = (*newest).max(*observed);
                }
            }
            Observation::Letter { flow, stage, category, .. } => {
                let texts = [("flow", flow.as_str()), ("stage", stage.as_str()), ("category", category.as_str())];
                self.dead_letters.add(1, &labels(&texts));
            }
            Observation::Retry { flow, layer, class } => {
                self.retries.add(1, &labels(&[("flow", flow.as_str()), ("layer", layer), ("class", class)]));
            }
            Observation::Batch { flow, documents, .. } => {
                self.batch_size.record(float(*documents), &labels(&[("flow", flow.as_str())]));
            }
            Observation::Resolved { verdict, .. } => self.resolved.add(1, &labels(&[("verdict", verdict)])),
            Observation::Breaker { target, state, .. } => self.breaker.set(&[("target", target)], f64::from(*state)),
            Observation::Alert(_) => {}
        }
    }

    /// Shows how the core stands.
    pub fn stand(&self, core: &Core, now: i64) {
        for (flow, (tenant, newest)) in self.newest.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            self.freshness.set(&[("tenant", tenant), ("flow", flow.as_str())], seconds(now, *newest));
        }
        self.in_doubt.clear();
        self.in_doubt_age.clear();
        for (flow, (count, first)) in core.in_doubt() {
            self.in_doubt.set(&[("flow", flow.as_str())], float(count));
            self.in_doubt_age.set(&[("flow", flow.as_str())], seconds(now, first));
        }
        for (target, state) in core.breakers() {
            self.breaker.set(&[("target", target)], f64::from(state));
        }
        self.oldest.clear();
        for (flow, oldest) in core.oldest_in_hand() {
            self.oldest.set(&[("flow", flow.as_str()), ("stage", STAGE)], seconds(now, oldest));
        }
        self.paused.clear();
        for (flow, reason, count) in core.waiting() {
            self.paused.set(&[("flow", flow.as_str()), ("stage", STAGE), ("reason", reason)], float(count));
        }
    }

    /// Shows how far behind the input is.
    pub fn lag(&self, lags: &[Lag]) {
        self.lag.clear();
        let mut flows = BTreeMap::new();
        for lag in lags {
            if let Some(flow) = document::topic::flow_of(&lag.topic_partition.topic) {
                *flows.entry(flow).or_insert(0) += lag.records();
            }
        }
        for (flow, records) in flows {
            self.lag.set(&[("flow", flow.as_str()), ("stage", STAGE)], float(records));
        }
    }

    /// Counts a call to a target.
    pub fn request(&self, tenant: &str, api: &'static str, outcome: &'static str, took: Duration) {
        self.requests.add(1, &labels(&[("tenant", tenant), ("api", api), ("outcome", outcome)]));
        self.request_duration.record(took.as_secs_f64(), &labels(&[("api", api)]));
    }

    /// Notes how long a permit was waited for.
    pub fn rate_limit_wait(&self, tenant: &str, took: Duration) {
        self.rate_limit_wait.record(took.as_secs_f64(), &labels(&[("tenant", tenant)]));
    }
}
