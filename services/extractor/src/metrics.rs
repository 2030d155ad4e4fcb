//! What the service counts; names and labels are those of [`runtime::metrics::definitions`], and two of its own.

use std::time::Duration;

use document::{DeadLetter, Stage};
use flow::Flow;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use runtime::metrics::definitions::{
    BREAKER_STATE, CONFIG_INFO, CONFIG_LAST_RELOAD_SUCCESS, CONSUMER_LAG, CURSOR_TIMESTAMP, DEAD_LETTERS,
    ERP_REQUEST_DURATION, ERP_REQUESTS, FLOW_ENABLED, FLOW_PAUSED, LAST_SUCCESS_TIMESTAMP, RATE_LIMIT_WAIT, RECORDS,
    RETRIES, SCHEDULE_INTERVAL, STAGE_DURATION,
};
use runtime::metrics::{Definition, Gauge, Kind, labels};

use crate::core::emit::Counts;

const STAGE: Stage = Stage::Extract;
const API: &str = "executeBillQuery";
/// Why a flow does not run: its source, its saved state, its topic, or somebody let it rest.
const REASONS: [&str; 4] = ["source_schema", "state", "topic", "request"];

/// Bills that the last lookback missed all at once; above 0 somebody should look at the permissions of the source.
pub const SOURCE_SHRUNK: Definition = Definition {
    name: "starbridge.source.shrunk",
    kind: Kind::Gauge,
    unit: "",
    description: "Bills seen before that the last lookback missed all at once; 0 when nothing looks wrong",
    labels: &["tenant", "flow"],
};

/// Documents listed as changed after they were loaded.
pub const CHANGED_AFTER_LOAD: Definition = Definition {
    name: "starbridge.changed.after.load",
    kind: Kind::Counter,
    unit: "",
    description: "Documents that changed in the source after they were loaded and whose flow takes no second content",
    labels: &["tenant", "flow"],
};

/// The instruments of the service. Clones share them.
#[derive(Debug, Clone)]
pub struct Instruments {
    records: Counter<u64>,
    duration: Histogram<f64>,
    dead_letters: Counter<u64>,
    changed: Counter<u64>,
    requests: Counter<u64>,
    request_duration: Histogram<f64>,
    permit_wait: Histogram<f64>,
    retries: Counter<u64>,
    breaker: Gauge,
    lag: Gauge,
    cursor: Gauge,
    success: Gauge,
    interval: Gauge,
    enabled: Gauge,
    paused: Gauge,
    shrunk: Gauge,
    config: Gauge,
    reload: Gauge,
}

#[expect(clippy::cast_precision_loss, reason = "unix seconds and counts are far below 2^52")]
fn float(number: i64) -> f64 {
    number as f64
}

impl Instruments {
    /// Makes the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            records: RECORDS.counter(meter),
            duration: STAGE_DURATION.histogram(meter),
            dead_letters: DEAD_LETTERS.counter(meter),
            changed: CHANGED_AFTER_LOAD.counter(meter),
            requests: ERP_REQUESTS.counter(meter),
            request_duration: ERP_REQUEST_DURATION.histogram(meter),
            permit_wait: RATE_LIMIT_WAIT.histogram(meter),
            retries: RETRIES.counter(meter),
            breaker: BREAKER_STATE.gauge(meter),
            lag: CONSUMER_LAG.gauge(meter),
            cursor: CURSOR_TIMESTAMP.gauge(meter),
            success: LAST_SUCCESS_TIMESTAMP.gauge(meter),
            interval: SCHEDULE_INTERVAL.gauge(meter),
            enabled: FLOW_ENABLED.gauge(meter),
            paused: FLOW_PAUSED.gauge(meter),
            shrunk: SOURCE_SHRUNK.gauge(meter),
            config: CONFIG_INFO.gauge(meter),
            reload: CONFIG_LAST_RELOAD_SUCCESS.gauge(meter),
        }
    }

    /// Counts a committed batch that took `time`.
    pub fn batch(&self, flow: &Flow, counts: Counts, letters: &[DeadLetter], changed: usize, time: Duration) {
        let (tenant, name) = (flow.tenant.as_str(), flow.name.as_str());
        // Only what goes no further has its last outcome here.
        for (outcome, terminal, count) in [
            ("emitted", "false", counts.emitted),
            ("unchanged", "true", counts.unchanged),
            ("repeat", "true", counts.repeated),
            ("filtered", "true", counts.filtered),
            ("dead_letter", "true", counts.letters),
        ] {
            if count > 0 {
                let texts = [
                    ("tenant", tenant),
                    ("flow", name),
                    ("stage", STAGE.as_str()),
                    ("outcome", outcome),
                    ("terminal", terminal),
                ];
                self.records.add(count, &labels(&texts));
            }
        }
        for letter in letters {
            let texts = [("flow", name), ("stage", STAGE.as_str()), ("category", letter.category.as_str())];
            self.dead_letters.add(1, &labels(&texts));
        }
        if changed > 0 {
            self.changed.add(changed as u64, &labels(&[("tenant", tenant), ("flow", name)]));
        }
        self.duration.record(time.as_secs_f64(), &labels(&[("flow", name), ("stage", STAGE.as_str())]));
    }

    /// Counts a call of a source; `failure` is the class of its error.
    pub fn request(&self, tenant: &str, time: Duration, failure: Option<&'static str>) {
        let outcome = failure.unwrap_or("ok");
        self.requests.add(1, &labels(&[("tenant", tenant), ("api", API), ("outcome", outcome)]));
        self.request_duration.record(time.as_secs_f64(), &labels(&[("api", API)]));
    }

    /// Counts the wait for a permit.
    pub fn permit(&self, tenant: &str, wait: Duration) {
        self.permit_wait.record(wait.as_secs_f64(), &labels(&[("tenant", tenant)]));
    }

    /// Counts an attempt after the first.
    pub fn retry(&self, flow: &str, class: &'static str) {
        self.retries.add(1, &labels(&[("flow", flow), ("layer", "source"), ("class", class)]));
    }

    /// Shows a connection's breaker.
    pub fn breaker(&self, connection: &str, open: bool) {
        self.breaker.set(&[("target", connection)], if open { 2.0 } else { 0.0 });
    }

    /// Shows how many records of a flow are on their way.
    pub fn behind(&self, flow: &str, records: i64) {
        self.lag.set(&[("flow", flow), ("stage", "downstream")], float(records));
    }

    /// Shows a flow that this process owns: W, the last complete scan, the time between two firings.
    pub fn owned(&self, flow: &Flow, watermark: i64, completed: Option<i64>, interval: Option<i64>) {
        let texts = [("tenant", flow.tenant.as_str()), ("flow", flow.name.as_str())];
        self.cursor.set(&texts, float(watermark));
        if let Some(completed) = completed {
            self.success.set(&texts, float(completed));
        }
        if let Some(interval) = interval {
            self.interval.set(&texts, float(interval));
        }
    }

    /// Shows whether a flow runs; when not, why.
    pub fn enabled(&self, flow: &Flow, stopped: Option<&'static str>) {
        let (tenant, name) = (flow.tenant.as_str(), flow.name.as_str());
        self.enabled.set(&[("tenant", tenant), ("flow", name)], if stopped.is_none() { 1.0 } else { 0.0 });
        for reason in REASONS {
            let texts = [("flow", name), ("stage", STAGE.as_str()), ("reason", reason)];
            if stopped == Some(reason) {
                self.paused.set(&texts, 1.0);
            } else {
                self.paused.remove(&texts);
            }
        }
    }

    /// Shows what a lookback found missing at once.
    pub fn shrunk(&self, flow: &Flow, missing: usize) {
        let texts = [("tenant", flow.tenant.as_str()), ("flow", flow.name.as_str())];
        self.shrunk.set(&texts, float(i64::try_from(missing).unwrap_or(i64::MAX)));
    }

    /// A flow is no longer this process's affair.
    pub fn disowned(&self, tenant: &str, flow: &str) {
        let texts = [("tenant", tenant), ("flow", flow)];
        for gauge in [&self.cursor, &self.success, &self.interval, &self.enabled, &self.shrunk] {
            gauge.remove(&texts);
        }
        for reason in REASONS {
            self.paused.remove(&[("flow", flow), ("stage", STAGE.as_str()), ("reason", reason)]);
        }
        self.lag.remove(&[("flow", flow), ("stage", "downstream")]);
    }

    /// Shows the version of a flow that is in force.
    pub fn version(&self, flow: &str, before: Option<&str>, version: &str) {
        if let Some(before) = before {
            self.config.remove(&[("flow", flow), ("version", before)]);
        }
        self.config.set(&[("flow", flow), ("version", version)], 1.0);
    }

    /// A flow was taken away.
    pub fn gone(&self, flow: &str, version: &str) {
        self.config.remove(&[("flow", flow), ("version", version)]);
        self.reload.remove(&[("flow", flow)]);
    }

    /// Shows whether the last change of a flow could be loaded.
    pub fn loaded(&self, flow: &str, good: bool) {
        self.reload.set(&[("flow", flow)], if good { 1.0 } else { 0.0 });
    }
}
