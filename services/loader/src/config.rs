//! The settings of the stage; `defaults.toml` beside the manifest explains each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coordination::RedisSettings;
use document::{Code, Fault};
use runtime::health::HealthSettings;
use runtime::settings::{Refusals, Settings, duration};
use runtime::telemetry::TelemetrySettings;
use serde::{Deserialize, Deserializer, de};

use crate::core::{self, Numbers};

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
    /// Where quota and session are shared; absent: each replica for itself.
    #[serde(default)]
    pub redis: Option<RedisSettings>,
    /// The targets, by the name that flows use.
    #[serde(default)]
    pub connections: BTreeMap<String, kingdee::Settings>,
    /// The servers that connections may lead to.
    pub outbound: kingdee::Outbound,
    /// Who this replica is.
    pub worker: Worker,
    /// How call limits are shared.
    pub rate: Rate,
    /// How new flows are taken up.
    pub flows: Flows,
    /// Times of the session.
    pub session: Session,
    /// Saves.
    pub save: Save,
    /// Retries.
    pub retry: Retry,
    /// When a target is left alone.
    pub breaker: Breaker,
    /// When a flow waits.
    pub flow_breaker: FlowBreaker,
    /// When a lone document is given up.
    pub poison: Poison,
    /// What the ledger proves.
    pub ledger: Ledger,
    /// What may be in hand.
    pub hold: Hold,
    /// How the process ends.
    pub drain: Drain,
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty, )* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $( $(#[$field_doc])* pub $field: $type, )* }
    };
}

table!(
    /// Table `[worker]`.
    Worker {
        /// The name of this replica in its group; the same after a restart.
        member: String,
        /// The consumer group.
        group: String,
        /// Folder of the ledger's copy.
        data_dir: PathBuf,
    }
);
table!(
    /// Table `[rate]`.
    Rate {
        /// Processes that take calls from a quota, at most.
        max_replicas: u32,
        /// Which of them this is, from 0.
        replica: u32,
    }
);
table!(
    /// Table `[flows]`.
    Flows {
        /// The shortest time between two changes of the subscription.
        #[serde(with = "duration")]
        subscribe_every: Duration,
    }
);
table!(
    /// Table `[session]`.
    Session {
        /// How long a moving partition waits.
        #[serde(with = "duration")]
        release: Duration,
        /// How long a silent member keeps its partitions.
        #[serde(with = "duration")]
        timeout: Duration,
        /// How long a transaction may take.
        #[serde(with = "duration")]
        transaction: Duration,
        /// A commit slower than this ends the session.
        #[serde(with = "duration")]
        slow_commit: Duration,
        /// How long a barrier may stand still.
        #[serde(with = "duration")]
        barrier: Duration,
    }
);
table!(
    /// Table `[save]`.
    Save {
        /// From noting the time to the first byte.
        #[serde(with = "duration")]
        send_deadline: Duration,
        /// How long a request travels at most.
        #[serde(with = "duration")]
        net: Duration,
        /// How long the target works on it at most.
        #[serde(with = "duration")]
        exec_max: Duration,
        /// How long connecting takes at most.
        #[serde(with = "duration")]
        connect_allowance: Duration,
        /// Calls to one target at the same time.
        calls: usize,
        /// How long a batch waits for company.
        #[serde(with = "duration")]
        linger: Duration,
        /// Keys of one look-up.
        probe_keys: usize,
        /// Bytes of documents in one call, at most.
        max_bytes: usize,
    }
);
table!(
    /// Table `[retry]`.
    Retry {
        /// Waits before the first, second … try.
        #[serde(deserialize_with = "durations")]
        waits: Vec<Duration>,
        /// How far they are spread, as a share.
        jitter: f64,
        /// Retries of connecting.
        connect: u32,
        /// Attempts without proof.
        attempts: u32,
        /// Wait after throttling.
        #[serde(with = "duration")]
        throttled: Duration,
        /// Waits after the first, second … failure by a timed fault.
        #[serde(deserialize_with = "durations")]
        timed_faults: Vec<Duration>,
    }
);
table!(
    /// Table `[breaker]`.
    Breaker {
        /// Failures that open it.
        failures: usize,
        /// Within this.
        #[serde(with = "duration")]
        window: Duration,
        /// First wait.
        #[serde(with = "duration")]
        wait: Duration,
        /// Longest wait.
        #[serde(with = "duration")]
        wait_max: Duration,
        /// Successes that close it.
        successes: u32,
        /// Waits after refused logins.
        #[serde(deserialize_with = "durations")]
        login_waits: Vec<Duration>,
    }
);
table!(
    /// Table `[flow_breaker]`.
    FlowBreaker {
        /// Records that must have ended.
        records: usize,
        /// Records looked back on.
        window: usize,
        /// How long the flow waits.
        #[serde(with = "duration")]
        pause: Duration,
    }
);
table!(
    /// Table `[poison]`.
    Poison {
        /// How long a lone document is tried.
        #[serde(with = "duration")]
        patience: Duration,
    }
);
table!(
    /// Table `[ledger]`.
    Ledger {
        /// How far back it proves absence.
        #[serde(with = "duration")]
        horizon: Duration,
        /// Look everything up first.
        verify_first: bool,
        /// How far clocks may be apart.
        #[serde(with = "duration")]
        clock_allowance: Duration,
    }
);
table!(
    /// Table `[hold]`.
    Hold {
        /// Records of a partition.
        records: usize,
        /// Bytes of a partition.
        bytes: usize,
        /// Bytes over all partitions.
        total_bytes: usize,
    }
);
table!(
    /// Table `[drain]`.
    Drain {
        /// How long the call in flight may take after the wish to stop.
        #[serde(with = "duration")]
        deadline: Duration,
    }
);

fn durations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    texts.iter().map(|text| duration::parse(text).map_err(de::Error::custom)).collect()
}

impl Config {
    /// How often calls are made again for a flow that does not say so itself.
    pub fn retries(&self) -> core::Retry {
        let Retry { connect, attempts, ref waits, .. } = self.retry;
        core::Retry { connect, attempts, waits: waits.clone() }
    }

    /// The numbers of the protocol.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            send_deadline: self.save.send_deadline,
            net: self.save.net,
            exec_max: self.save.exec_max,
            connect_allowance: self.save.connect_allowance,
            jitter: self.retry.jitter,
            breaker_failures: self.breaker.failures,
            breaker_window: self.breaker.window,
            breaker_wait: self.breaker.wait,
            breaker_wait_max: self.breaker.wait_max,
            breaker_successes: self.breaker.successes,
            login_waits: self.breaker.login_waits.clone(),
            throttle_wait: self.retry.throttled,
            linger: self.save.linger,
            calls: self.save.calls,
            probe_keys: self.save.probe_keys,
            in_hand: self.hold.records,
            in_hand_bytes: self.hold.bytes,
            total_bytes: self.hold.total_bytes,
            horizon: self.ledger.horizon,
            verify_first: self.ledger.verify_first,
            clock_allowance: self.ledger.clock_allowance,
            flow_breaker_least: self.flow_breaker.records,
            flow_breaker_window: self.flow_breaker.window,
            flow_breaker_pause: self.flow_breaker.pause,
            retry_after: self.retry.timed_faults.clone(),
            poison_patience: self.poison.patience,
            ..Numbers::default()
        }
    }
}

impl Settings for Config {
    fn check(&self, refusals: &mut Refusals<'_>) {
        if self.worker.member.trim().is_empty() {
            refusals.value("worker.member", "must be a name that no other replica has");
        }
        if self.rate.replica >= self.rate.max_replicas {
            refusals.value("rate.replica", format!("must be below max_replicas, {}", self.rate.max_replicas));
        }
        if self.retry.waits.is_empty() {
            refusals.value("retry.waits", "must hold one wait at least");
        }
        if self.retry.timed_faults.is_empty() {
            refusals.value("retry.timed_faults", "must hold one wait at least");
        }
        if !(0.0..=0.9).contains(&self.retry.jitter) {
            refusals.value("retry.jitter", "must be 0 to 0.9");
        }
        let at_least_one = [
            ("save.calls", self.save.calls),
            ("save.probe_keys", self.save.probe_keys),
            ("save.max_bytes", self.save.max_bytes),
            ("hold.records", self.hold.records),
            ("breaker.failures", self.breaker.failures),
            ("flow_breaker.records", self.flow_breaker.records),
        ];
        for (key, value) in at_least_one {
            if value == 0 {
                refusals.value(key, "must be at least 1");
            }
        }
        let mut contradiction = |path: &str, detail: String| {
            refusals.fault(Fault::new(Code::LoaderSettings, detail).at_path(path));
        };
        if self.session.transaction >= self.session.timeout {
            contradiction("$.session.transaction", "must be shorter than session.timeout".to_owned());
        }
        if self.breaker.login_waits.is_empty() {
            contradiction("$.breaker.login_waits", "must name at least one wait".to_owned());
        }
        if self.breaker.wait > self.breaker.wait_max {
            contradiction("$.breaker.wait", "must not be longer than breaker.wait_max".to_owned());
        }
        for (name, connection) in &self.connections {
            let path = format!("$.connections.{name}");
            if connection.connect_timeout > self.save.connect_allowance {
                // Else a save could leave later than the settling of an unknown outcome reckons with.
                let detail = "connect_timeout must not be longer than save.connect_allowance".to_owned();
                contradiction(&format!("{path}.connect_timeout"), detail);
            }
        }
        for (name, connection) in &self.connections {
            for fault in connection.faults(&self.outbound) {
                let path = format!("$.connections.{name}.{}", fault.place.path.as_deref().unwrap_or_default());
                refusals.fault(fault.at_path(path));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::settings::{Invocation, load};

    fn loaded(environment: &[(&str, &str)]) -> Result<Config, Vec<Fault>> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let invocation = Invocation { environment, ..Invocation::default() };
        load::<Config>("loader", DEFAULTS, &invocation).map(|loaded| loaded.settings).map_err(|faults| faults.0)
    }

    #[test]
    fn the_defaults_are_those_of_the_protocol() {
        let config = loaded(&[]).expect("good defaults");
        assert_eq!((config.numbers(), config.retries()), (Numbers::default(), core::Retry::default()));
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused_with_their_place() {
        let refused = |environment: &[(&str, &str)]| {
            let faults = loaded(environment).expect_err("refused");
            assert_eq!(faults.len(), 1, "{faults:?}");
            (faults[0].code, faults[0].place.path.clone().expect("a path"))
        };
        assert_eq!(refused(&[("LOADER__BREAKER__WAIT", "2m")]), (Code::LoaderSettings, "$.breaker.wait".to_owned()));
        let none = refused(&[("LOADER__BREAKER__LOGIN_WAITS", "[]")]);
        assert_eq!(none, (Code::LoaderSettings, "$.breaker.login_waits".to_owned()));
        assert_eq!(
            refused(&[("LOADER__SESSION__TRANSACTION", "45s")]),
            (Code::LoaderSettings, "$.session.transaction".to_owned())
        );
        assert_eq!(refused(&[("LOADER__RATE__REPLICA", "1")]), (Code::SettingsValue, "$.rate.replica".to_owned()));
        assert_eq!(refused(&[("LOADER__SAVE__CALLS", "0")]), (Code::SettingsValue, "$.save.calls".to_owned()));
        let waits = refused(&[("LOADER__RETRY__TIMED_FAULTS", "[]")]);
        assert_eq!(waits, (Code::SettingsValue, "$.retry.timed_faults".to_owned()));
    }
    #[test]
    fn a_connection_leads_only_to_a_server_that_is_listed() {
        let mut environment = vec![
            ("LOADER__CONNECTIONS__B__URL", "https://erp.example.com/k3cloud/"),
            ("LOADER__CONNECTIONS__B__ACCT_ID", "5f3c9a1b7d2e40"),
            ("LOADER__CONNECTIONS__B__USER", "integration"),
            ("LOADER__CONNECTIONS__B__APP_ID", "118273_x"),
            ("LOADER__CONNECTIONS__B__APP_SECRET_FILE", "/run/secrets/b"),
        ];
        let faults = loaded(&environment).expect_err("refused");
        assert_eq!((faults.len(), faults[0].code), (1, Code::ErpNotListed), "{faults:?}");
        assert_eq!(faults[0].place.path.as_deref(), Some("$.connections.b.url"));
        environment.push(("LOADER__OUTBOUND__HOSTS", "[\"erp.example.com:443\"]"));
        assert!(loaded(&environment).is_ok());
        environment.push(("LOADER__OUTBOUND__NETWORKS", "[\"10.0.0.0/40\"]"));
        assert_eq!(loaded(&environment).expect_err("refused")[0].code, Code::SettingsValue);
    }
}
