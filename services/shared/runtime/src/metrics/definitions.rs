//! The list of everything that is measured: dashboards and rules may use these names and no others.
//!
//! Names are given in OpenTelemetry's form; the exporter writes `.` as `_` and adds unit and `_total`. Labels are
//! bounded sets: never a document number, an offset or a message.

/// What kind of instrument it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only goes up. Exported with `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts in buckets with these upper bounds.
    Histogram(&'static [f64]),
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Definition {
    /// The name, with dots.
    pub name: &'static str,
    /// What kind of instrument it is.
    pub kind: Kind,
    /// The unit by UCUM: `s`, `By`, or empty for things that are counted.
    pub unit: &'static str,
    /// What it says, for those who read dashboards.
    pub description: &'static str,
    /// The labels it may carry.
    pub labels: &'static [&'static str],
}

impl Definition {
    /// The name under which Prometheus sees it.
    pub fn exported(&self) -> String {
        let mut name = self.name.replace('.', "_");
        match self.unit {
            "s" => name.push_str("_seconds"),
            "By" => name.push_str("_bytes"),
            _ => {}
        }
        if self.kind == Kind::Counter {
            name.push_str("_total");
        }
        name
    }
}

/// From a millisecond to five minutes: the time of a batch or a call.
const CALL_SECONDS: &[f64] =
    &[0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// From half a second to a day: the road of a document from source to target.
const ROAD_SECONDS: &[f64] =
    &[0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];
/// From one to the largest batch.
const SIZES: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

macro_rules! definitions {
    ($( $(#[$doc:meta])* $constant:ident = $name:literal, $kind:expr, $unit:literal, [$($label:literal),*], $description:literal; )*) => {
        $(
            #[doc = $description]
            pub const $constant: Definition = Definition {
                name: $name, kind: $kind, unit: $unit, description: $description, labels: &[$($label),*],
            };
        )*

        /// Every metric there is.
        pub const DEFINITIONS: &[Definition] = &[$($constant),*];
    };
}

definitions! {
    RECORDS = "starbridge.records", Kind::Counter, "", ["tenant", "flow", "stage", "outcome", "terminal"],
        "Records by stage and outcome; terminal=true on the last outcome of a record";
    STAGE_DURATION = "starbridge.stage.duration", Kind::Histogram(CALL_SECONDS), "s", ["flow", "stage"],
        "Time a stage took for one batch of a flow";
    END_TO_END = "starbridge.end_to_end", Kind::Histogram(ROAD_SECONDS), "s", ["flow"],
        "Time from the observation of a document in its source to its end in the target";
    FRESHNESS = "starbridge.freshness", Kind::Gauge, "s", ["tenant", "flow"],
        "Now minus the newest source time that is fully loaded";
    OLDEST_UNPROCESSED_AGE = "starbridge.oldest.unprocessed.age", Kind::Gauge, "s", ["flow", "stage"],
        "Age of the oldest record that waits before a stage";
    CONSUMER_LAG = "starbridge.consumer.lag.records", Kind::Gauge, "", ["flow", "stage"],
        "Records that wait before a stage";
    CURSOR_TIMESTAMP = "starbridge.cursor.timestamp", Kind::Gauge, "s", ["tenant", "flow"],
        "The watermark: every source document modified before this unix time is published";
    LAST_SUCCESS_TIMESTAMP = "starbridge.last.success.timestamp", Kind::Gauge, "s", ["tenant", "flow"],
        "Unix time of the last complete scan of the source";
    SCHEDULE_INTERVAL = "starbridge.schedule.interval", Kind::Gauge, "s", ["tenant", "flow"],
        "Time between two firings of the flow's schedule";
    FLOW_ENABLED = "starbridge.flow.enabled", Kind::Gauge, "", ["tenant", "flow"],
        "1 when the flow runs, 0 when it is stopped";
    FLOW_PAUSED = "starbridge.flow.paused", Kind::Gauge, "", ["flow", "stage", "reason"],
        "Partitions of a flow that a stage holds back, by reason; anything above 0 needs a look";
    ERP_REQUESTS = "starbridge.erp.requests", Kind::Counter, "", ["tenant", "api", "outcome"],
        "Calls of the source and target systems";
    ERP_REQUEST_DURATION = "starbridge.erp.request.duration", Kind::Histogram(CALL_SECONDS), "s", ["api"],
        "Time a call of the source or target system took";
    BATCH_SIZE = "starbridge.batch.size", Kind::Histogram(SIZES), "", ["flow"],
        "Documents per save call";
    BATCH_PARTIAL_FAILURES = "starbridge.batch.partial.failures", Kind::Counter, "", ["flow"],
        "Save calls of which some documents were refused";
    RATE_LIMIT_WAIT = "starbridge.rate.limit.wait", Kind::Histogram(CALL_SECONDS), "s", ["tenant"],
        "Time a call waited for its permit";
    RATE_LIMIT_QUOTA_REMAINING = "starbridge.rate.limit.quota.remaining", Kind::Gauge, "", ["tenant"],
        "Calls that are permitted now";
    RETRIES = "starbridge.retries", Kind::Counter, "", ["flow", "layer", "class"],
        "Attempts after the first";
    BREAKER_STATE = "starbridge.breaker.state", Kind::Gauge, "", ["target"],
        "0 closed, 1 half open, 2 open: while open, nothing is sent to the target";
    IN_DOUBT = "starbridge.in_doubt", Kind::Gauge, "", ["flow"],
        "Documents of which it is not yet known whether the target saved them";
    IN_DOUBT_OLDEST_AGE = "starbridge.in_doubt.oldest.age", Kind::Gauge, "s", ["flow"],
        "Age of the oldest document in doubt";
    IN_DOUBT_RESOLVED = "starbridge.in_doubt.resolved", Kind::Counter, "", ["verdict"],
        "Documents in doubt that a probe decided";
    DEAD_LETTERS = "starbridge.dead_letters", Kind::Counter, "", ["flow", "stage", "category"],
        "Dead letters written";
    LETTERS = "starbridge.dead_letters", Kind::Gauge, "", ["flow", "stage", "category", "state"],
        "Dead letters that the control plane knows, by where they stand; every replica shows all of them";
    LETTER_OLDEST_OPEN_AGE = "starbridge.dead_letter.oldest.open.age", Kind::Gauge, "s", ["flow"],
        "Time since the oldest open dead letter failed first";
    REPLAY_JOBS = "starbridge.replay.jobs", Kind::Gauge, "", ["state"],
        "Replay jobs that are remembered, by state; every replica shows all of them";
    REPLAY_RECORDS = "starbridge.replay.records", Kind::Counter, "", ["flow", "outcome"],
        "Letters of replay jobs that came to their outcome";
    RECONCILE_FINDINGS = "starbridge.reconcile.findings", Kind::Gauge, "", ["flow", "kind"],
        "What the last whole reconciliation of a flow found wrong, by kind; every replica shows all of them";
    RECONCILE_TIMESTAMP = "starbridge.reconcile.timestamp", Kind::Gauge, "s", ["flow"],
        "Unix time as of which the last whole reconciliation of a flow was made";
    AUDIT_EVENTS = "starbridge.audit.events", Kind::Counter, "", ["result"],
        "Entries written to the audit topic, by how far the deed came";
    AUTH_FAILURES = "starbridge.auth.failures", Kind::Counter, "", ["code"],
        "Callers whose credential was not accepted, by the code they were told";
    WRITER_ACTIVE = "starbridge.writer.active", Kind::Gauge, "", [],
        "1 on the replica of the control plane that writes, 0 on others; the sum must be 1";
    INDEX_LAG = "starbridge.index.lag.records", Kind::Gauge, "", ["topic"],
        "Records that the index of the control plane has yet to read; ledgers count as one topic";
    RPC_DURATION = "starbridge.rpc.duration", Kind::Histogram(CALL_SECONDS), "s", ["call", "code"],
        "Time until a call of the control plane was answered, by call and gRPC status; of a stream until it began";
    CONFIG_INFO = "starbridge.config.info", Kind::Gauge, "", ["flow", "version"],
        "1 for the version of a flow that is in force";
    CONFIG_LAST_RELOAD_SUCCESS = "starbridge.config.last.reload.success", Kind::Gauge, "", ["flow"],
        "1 when the last change of the flow could be loaded, 0 when it was refused";
    BUILD_INFO = "starbridge.build.info", Kind::Gauge, "", ["service", "version"],
        "1, with service and version of the running binary";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_plain_and_described() {
        let mut names: Vec<String> = DEFINITIONS.iter().map(Definition::exported).collect();
        names.sort();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for definition in DEFINITIONS {
            let name = definition.exported();
            assert!(name.starts_with("starbridge_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
            assert!(definition.description.chars().count() > 10, "{name}");
            for label in definition.labels {
                assert!(!["document", "offset", "message", "key"].contains(label), "{name}{{{label}}}");
            }
        }
    }

    #[test]
    fn exported_names_follow_prometheus() {
        assert_eq!(RECORDS.exported(), "starbridge_records_total");
        assert_eq!(STAGE_DURATION.exported(), "starbridge_stage_duration_seconds");
        assert_eq!(END_TO_END.exported(), "starbridge_end_to_end_seconds");
        assert_eq!(CONSUMER_LAG.exported(), "starbridge_consumer_lag_records");
        assert_eq!(DEAD_LETTERS.exported(), "starbridge_dead_letters_total");
        assert_eq!(CURSOR_TIMESTAMP.exported(), "starbridge_cursor_timestamp_seconds");
    }
}
