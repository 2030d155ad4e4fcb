//! The settings of the service; `defaults.toml` beside the manifest explains each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use runtime::health::HealthSettings;
use runtime::settings::{Refusals, Settings};
use runtime::telemetry::TelemetrySettings;
use serde::Deserialize;

/// Every setting with its comment.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// What headers and key of a record may take beside its value, bytes.
const ENVELOPE_BYTES: usize = 64 * 1024;

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
    /// What replicas share; absent: each process by itself.
    #[serde(default)]
    pub redis: Option<coordination::RedisSettings>,
    /// The sources, by the names flow files use.
    #[serde(default)]
    pub connections: BTreeMap<String, kingdee::Settings>,
    /// The servers that connections may lead to.
    pub outbound: kingdee::Outbound,
    /// Who this replica is.
    pub worker: Worker,
    /// Where flows are found.
    pub flows: Flows,
    /// How sources are read.
    pub scan: ScanSettings,
    /// How the second look goes.
    pub lookback: LookbackSettings,
    /// When scans wait for the stages behind them.
    pub behind: Behind,
    /// How call limits are shared.
    pub rate: Rate,
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
    /// Folder of the embedded tables.
    pub data_dir: PathBuf,
}

/// Table `[flows]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flows {
    /// Folders that are a flow or hold folders that are.
    pub folders: Vec<PathBuf>,
    /// Time between two looks at them.
    #[serde(with = "runtime::settings::duration")]
    pub poll: Duration,
    /// Whether every flow is scanned once when this process takes it up.
    pub run_at_start: bool,
    /// Replicas of the topics that are made.
    pub replication: i32,
}

/// Table `[scan]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanSettings {
    /// Runs at the same time.
    pub concurrent: usize,
    /// Pages after which a run lets the others go first.
    pub turn_pages: u32,
    /// Bills per commit.
    pub batch_bills: usize,
    /// The longest a read bill waits for its commit.
    #[serde(with = "runtime::settings::duration")]
    pub commit_every: Duration,
    /// Rows per page at most.
    pub max_page_rows: u32,
    /// Bytes of one record at most.
    pub max_record_bytes: usize,
    /// Bytes of records in one commit.
    pub max_batch_bytes: usize,
    /// The longest wait between two attempts of a run.
    #[serde(with = "runtime::settings::duration")]
    pub longest_wait: Duration,
}

/// Table `[lookback]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LookbackSettings {
    /// Heads per page.
    pub page_rows: u32,
    /// Bills fetched by id with one query.
    pub chunk: usize,
    /// Share of seen bills whose absence looks like a lost permission.
    pub shrunk_ratio: f64,
}

/// Table `[behind]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Behind {
    /// Records on their way beyond which scans of a flow wait.
    pub records: i64,
    /// Share of its topic's retention that the oldest of them may have used up.
    pub retention: f64,
    /// Time between two looks while they wait.
    #[serde(with = "runtime::settings::duration")]
    pub check_every: Duration,
    /// Time between two looks at a flow that gives no reason for one.
    #[serde(with = "runtime::settings::duration")]
    pub look_every: Duration,
    /// The transformer's consumer group.
    pub transformer_group: String,
    /// The loader's consumer group.
    pub loader_group: String,
}

/// Table `[rate]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Processes that share the accounts.
    pub max_replicas: u32,
    /// Which of them this is, from 0.
    pub replica: u32,
}

/// Table `[drain]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// How long runs may take to come to an end after the wish to stop.
    #[serde(with = "runtime::settings::duration")]
    pub deadline: Duration,
}

impl Settings for Config {
    fn check(&self, refusals: &mut Refusals<'_>) {
        let mut at_least_one = |key: &str, number: usize| {
            if number == 0 {
                refusals.value(key, "must be at least 1");
            }
        };
        at_least_one("scan.concurrent", self.scan.concurrent);
        at_least_one("scan.turn_pages", self.scan.turn_pages as usize);
        at_least_one("scan.batch_bills", self.scan.batch_bills);
        at_least_one("scan.max_page_rows", self.scan.max_page_rows as usize);
        at_least_one("scan.max_batch_bytes", self.scan.max_batch_bytes);
        at_least_one("lookback.page_rows", self.lookback.page_rows as usize);
        at_least_one("lookback.chunk", self.lookback.chunk);
        at_least_one("flows.replication", usize::try_from(self.flows.replication).unwrap_or(0));
        at_least_one("rate.max_replicas", self.rate.max_replicas as usize);
        at_least_one("behind.records", usize::try_from(self.behind.records).unwrap_or(0));
        let most = queue::MAX_RECORD_BYTES - ENVELOPE_BYTES;
        if !(1..=most).contains(&self.scan.max_record_bytes) {
            refusals.value("scan.max_record_bytes", format!("must be 1 to {most}"));
        }
        if !(0.0..1.0).contains(&self.lookback.shrunk_ratio) {
            refusals.value("lookback.shrunk_ratio", "must be from 0 to below 1");
        }
        if !(self.behind.retention > 0.0 && self.behind.retention < 1.0) {
            refusals.value("behind.retention", "must be above 0 and below 1");
        }
        if self.rate.replica >= self.rate.max_replicas {
            refusals.value("rate.replica", "must be below max_replicas");
        }
        if self.worker.member.trim().is_empty() {
            refusals.value("worker.member", "must be a name that no other replica has");
        }
        for (key, duration) in [
            ("flows.poll", self.flows.poll),
            ("scan.commit_every", self.scan.commit_every),
            ("behind.check_every", self.behind.check_every),
            ("behind.look_every", self.behind.look_every),
        ] {
            if duration.is_zero() {
                refusals.value(key, "must be longer than 0s");
            }
        }
        if self.scan.longest_wait < Duration::from_secs(1) || self.scan.longest_wait > Duration::from_secs(86_400) {
            refusals.value("scan.longest_wait", "must be 1s to 24h");
        }
        for (name, connection) in &self.connections {
            for mut fault in connection.faults(&self.outbound) {
                let inner = fault.place.path.unwrap_or_default();
                fault.place.path = Some(format!("$.connections.{name}.{inner}"));
                refusals.fault(fault);
            }
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
        let config = load::<Config>("extractor", DEFAULTS, &Invocation::default()).expect("good defaults").settings;
        assert_eq!((config.scan.batch_bills, config.scan.commit_every), (500, Duration::from_secs(5)));
        assert_eq!((config.behind.records, config.behind.look_every), (1_000_000, Duration::from_secs(3_600)));
        assert_eq!(config.worker.group, "starbridge.extractor");
        assert!(config.connections.is_empty() && config.redis.is_none());
    }

    #[test]
    fn numbers_that_cannot_work_are_refused_where_they_were_set() {
        for (name, value, path) in [
            ("EXTRACTOR__SCAN__CONCURRENT", "0", "$.scan.concurrent"),
            ("EXTRACTOR__SCAN__MAX_RECORD_BYTES", "16777216", "$.scan.max_record_bytes"),
            ("EXTRACTOR__LOOKBACK__SHRUNK_RATIO", "1.5", "$.lookback.shrunk_ratio"),
            ("EXTRACTOR__BEHIND__RETENTION", "1.0", "$.behind.retention"),
            ("EXTRACTOR__RATE__REPLICA", "2", "$.rate.replica"),
            ("EXTRACTOR__WORKER__MEMBER", " ", "$.worker.member"),
            ("EXTRACTOR__FLOWS__POLL", "0s", "$.flows.poll"),
        ] {
            let environment = [(name.to_owned(), value.to_owned())].into();
            let faults = load::<Config>("extractor", DEFAULTS, &Invocation { environment, ..Invocation::default() })
                .expect_err("refused")
                .0;
            assert_eq!((faults.len(), faults[0].code), (1, Code::SettingsValue), "{faults:?}");
            assert_eq!(faults[0].place.path.as_deref(), Some(path));
        }
    }
    #[test]
    fn a_connection_leads_only_to_a_server_that_is_listed() {
        let read = |environment: &[(&str, &str)]| {
            let environment =
                environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            load::<Config>("extractor", DEFAULTS, &Invocation { environment, ..Invocation::default() })
                .map(|loaded| loaded.settings)
                .map_err(|faults| faults.0)
        };
        let mut environment = vec![
            ("EXTRACTOR__CONNECTIONS__B__URL", "https://erp.example.com/k3cloud/"),
            ("EXTRACTOR__CONNECTIONS__B__ACCT_ID", "5f3c9a1b7d2e40"),
            ("EXTRACTOR__CONNECTIONS__B__USER", "integration"),
            ("EXTRACTOR__CONNECTIONS__B__APP_ID", "118273_x"),
            ("EXTRACTOR__CONNECTIONS__B__APP_SECRET_FILE", "/run/secrets/b"),
        ];
        let faults = read(&environment).expect_err("refused");
        assert_eq!((faults.len(), faults[0].code), (1, Code::ErpNotListed), "{faults:?}");
        assert_eq!(faults[0].place.path.as_deref(), Some("$.connections.b.url"));
        environment.push(("EXTRACTOR__OUTBOUND__HOSTS", "[\"erp.example.com:443\"]"));
        assert!(read(&environment).is_ok());
        environment.push(("EXTRACTOR__OUTBOUND__NETWORKS", "[\"10.0.0.0/40\"]"));
        assert_eq!(read(&environment).expect_err("refused")[0].code, Code::SettingsValue);
    }
}
