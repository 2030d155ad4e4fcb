//! The settings of the stage; `defaults.toml` beside the manifest explains each.

use std::path::PathBuf;
use std::time::Duration;

use runtime::health::HealthSettings;
use runtime::settings::{Refusals, Settings};
use runtime::telemetry::TelemetrySettings;
use serde::Deserialize;

use crate::core::BreakerSettings;

/// Every setting with its comment.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// All settings.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the process answers for itself.
    pub health: HealthSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
    /// The brokers.
    pub kafka: queue::Cluster,
    /// Who this replica is.
    pub worker: Worker,
    /// When a batch is closed.
    pub batch: Batch,
    /// How new flows are taken up.
    pub flows: Flows,
    /// What waiting partitions may cost.
    pub hold: Hold,
    /// When a flow waits.
    pub breaker: BreakerSettings,
    /// How the process ends.
    pub drain: Drain,
}

/// Table `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// The name of this replica in its group; the same after a restart.
    pub member: String,
    /// The consumer group.
    pub group: String,
    /// Folder for the notes on records in hand.
    pub data_dir: PathBuf,
}

/// Table `[batch]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// The most records in one.
    pub records: usize,
    /// The longest wait for them.
    #[serde(with = "runtime::settings::duration")]
    pub wait: Duration,
}

/// Table `[flows]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flows {
    /// The shortest time between two changes of the subscription.
    #[serde(with = "runtime::settings::duration")]
    pub subscribe_every: Duration,
}

/// Table `[hold]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Records kept for waiting partitions, bytes.
    pub max_bytes: usize,
}

/// Table `[drain]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// How long the batch in hand may take after the wish to stop.
    #[serde(with = "runtime::settings::duration")]
    pub deadline: Duration,
}

impl Settings for Config {
    fn check(&self, refusals: &mut Refusals<'_>) {
        if !(1..=10_000).contains(&self.batch.records) {
            refusals.value("batch.records", "must be 1 to 10000");
        }
        if self.batch.wait.is_zero() || self.batch.wait > Duration::from_secs(10) {
            refusals.value("batch.wait", "must be longer than 0s and at most 10s");
        }
        if self.breaker.records == 0 {
            refusals.value("breaker.records", "must be at least 1");
        }
        if !(1..=99).contains(&self.breaker.percent) {
            refusals.value("breaker.percent", "must be 1 to 99");
        }
        if self.worker.member.trim().is_empty() {
            refusals.value("worker.member", "must be a name that no other replica has");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;
    use runtime::settings::{Invocation, load};

    #[test]
    fn the_defaults_are_whole() {
        let config = load::<Config>("transformer", DEFAULTS, &Invocation::default()).expect("good defaults").settings;
        assert_eq!(config.batch.records, 500);
        assert_eq!(config.batch.wait, Duration::from_millis(200));
        assert_eq!(config.breaker, BreakerSettings { records: 20, percent: 50 });
        assert_eq!(config.flows.subscribe_every, Duration::from_secs(60));
    }

    #[test]
    fn numbers_that_cannot_work_are_refused_where_they_were_set() {
        let set = |name: &str, value: &str| {
            let environment = [(name.to_owned(), value.to_owned())].into();
            let faults = load::<Config>("transformer", DEFAULTS, &Invocation { environment, ..Invocation::default() })
                .expect_err("refused")
                .0;
            assert_eq!((faults.len(), faults[0].code), (1, Code::SettingsValue), "{faults:?}");
            assert_eq!(faults[0].place.file, Some(format!("environment variable {name}")));
            faults[0].place.path.clone().expect("a path")
        };
        assert_eq!(set("TRANSFORMER__BATCH__RECORDS", "0"), "$.batch.records");
        assert_eq!(set("TRANSFORMER__BATCH__WAIT", "1m"), "$.batch.wait");
        assert_eq!(set("TRANSFORMER__BREAKER__RECORDS", "0"), "$.breaker.records");
        assert_eq!(set("TRANSFORMER__BREAKER__PERCENT", "100"), "$.breaker.percent");
        assert_eq!(set("TRANSFORMER__WORKER__MEMBER", " "), "$.worker.member");
    }
}
