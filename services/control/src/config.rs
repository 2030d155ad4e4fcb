//! The settings of the control plane; `defaults.toml` beside the manifest explains each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coordination::RedisSettings;
use document::{Code, Fault};
use runtime::health::HealthSettings;
use runtime::settings::{Refusals, Settings, duration};
use runtime::telemetry::TelemetrySettings;
use serde::Deserialize;

use crate::access::{KeyRing, SigningKey};
use crate::grpc::Bounds;
use crate::grpc::server::Files;
use crate::mask::{DEFAULT_RULES, Masker};
use crate::secret;
use crate::writer::jobs::Rules;

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
    /// Where the limits of calls are shared; absent: this replica keeps an even part.
    #[serde(default)]
    pub redis: Option<RedisSettings>,
    /// The systems, by the names that flows use; those of the stages.
    #[serde(default)]
    pub connections: BTreeMap<String, kingdee::Settings>,
    /// The servers that connections may lead to.
    pub outbound: kingdee::Outbound,
    /// How limits of calls are shared.
    pub rate: Rate,
    /// The port.
    pub grpc: Grpc,
    /// Who this replica is.
    pub worker: Worker,
    /// Who is let in.
    pub access: Access,
    /// What payloads hide.
    pub mask: Mask,
    /// How replays are bounded.
    pub replay: ReplaySettings,
    /// How much is exported at once.
    pub export: ExportSettings,
    /// Who carries what of flows.
    pub flows: FlowSettings,
    /// How topics are made.
    pub topics: Topics,
}

/// Table `[grpc]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grpc {
    /// Host and port.
    pub listen: String,
    /// Where the bound address is written.
    #[serde(default)]
    pub address_file: Option<PathBuf>,
    /// Where others reach it.
    pub advertise: String,
    /// Certificate chain.
    pub certificate_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
    /// The authority of client certificates.
    pub client_ca_file: PathBuf,
}

/// Table `[rate]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Processes that take calls from a system's limit, at most.
    pub max_replicas: u32,
    /// Which of them this is, from 0.
    pub replica: u32,
}

/// Table `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worker {
    /// The name of this replica in its group; the same after a restart.
    pub member: String,
    /// The consumer group.
    pub group: String,
    /// Folder of the index and of the session's copy.
    pub data_dir: PathBuf,
}

/// Table `[access]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The key that signs tokens.
    pub signing_key_file: PathBuf,
    /// Keys that verify as well.
    pub trusted_key_files: Vec<PathBuf>,
    /// The name of this installation in tokens.
    pub audience: String,
    /// The credential of the first administrator.
    pub bootstrap_file: PathBuf,
    /// How long after the start it can be used.
    #[serde(with = "duration")]
    pub bootstrap_within: Duration,
}

/// Table `[mask]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Rules of fields.
    pub fields: Vec<String>,
}

/// Table `[replay]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplaySettings {
    /// Letters a second where a replay names none.
    pub rate: f64,
    /// The highest rate.
    pub rate_max: f64,
    /// Letters of one request.
    pub letters: usize,
    /// Time between two rounds.
    #[serde(with = "duration")]
    pub round: Duration,
    /// Whether letters whose fault is timed are replayed without anybody asking.
    pub timed: bool,
    /// Letters above which another person has to approve a replay; 0 where nobody has.
    pub approval_above: usize,
    /// How long a plan waits for it.
    #[serde(with = "duration")]
    pub approval_within: Duration,
    /// How long a published letter may be without an outcome before it is published again.
    #[serde(with = "duration")]
    pub emit_again: Duration,
}

/// Table `[export]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportSettings {
    /// Letters of one file.
    pub letters: usize,
}

/// Table `[flows]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowSettings {
    /// The transformer's consumer group.
    pub transformer_group: String,
    /// The loader's consumer group.
    pub loader_group: String,
}

/// Table `[topics]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topics {
    /// Replicas of a topic.
    pub replication: i32,
}

impl Config {
    /// The files of the port.
    pub fn files(&self) -> Files {
        let client_ca = &self.grpc.client_ca_file;
        Files {
            certificate: self.grpc.certificate_file.clone(),
            key: self.grpc.key_file.clone(),
            client_ca: (!client_ca.as_os_str().is_empty()).then(|| client_ca.clone()),
        }
    }

    /// The keys of tokens, read from their files.
    ///
    /// # Errors
    /// The fault of the file that cannot be used.
    pub fn keys(&self) -> Result<KeyRing, Fault> {
        let read = |file: &Path, setting: &str| {
            let in_file = |fault: Fault| fault.in_file(file.display().to_string()).at_path(setting.to_owned());
            SigningKey::from_pem(&secret::text(file, setting)?).map_err(in_file)
        };
        let mut ring = KeyRing::new(read(&self.access.signing_key_file, "$.access.signing_key_file")?);
        for file in &self.access.trusted_key_files {
            ring.trust(read(file, "$.access.trusted_key_files")?.public());
        }
        Ok(ring)
    }

    /// What masks payloads.
    ///
    /// # Errors
    /// The fault of the rule that does not read.
    pub fn masker(&self) -> Result<Masker, Fault> {
        match self.mask.fields.is_empty() {
            true => Masker::new(DEFAULT_RULES),
            false => Masker::new(&self.mask.fields),
        }
    }

    /// Settings that make the installation less safe, in words.
    pub fn warnings(&self) -> Vec<String> {
        let readable = |allowed: bool| {
            let words = "kafka.security: secrets that every user of the machine may read are permitted";
            allowed.then(|| words.to_owned())
        };
        let found = match &self.kafka.security {
            queue::Security::Plaintext => Some("kafka: the brokers are spoken to without TLS and log-in".to_owned()),
            queue::Security::Ssl { allow_world_readable_secrets, .. }
            | queue::Security::SaslSsl { allow_world_readable_secrets, .. } => readable(*allow_world_readable_secrets),
        };
        found.into_iter().collect()
    }

    /// How jobs go on.
    pub fn rules(&self) -> Rules {
        Rules {
            emit_again: i64::try_from(self.replay.emit_again.as_millis()).unwrap_or(i64::MAX),
            timed: self.replay.timed.then_some(self.replay.rate),
        }
    }

    /// Bounds on requests.
    pub fn bounds(&self) -> Bounds {
        let ReplaySettings { rate, rate_max, letters, approval_above, approval_within, .. } = self.replay;
        let within = i64::try_from(approval_within.as_millis()).unwrap_or(i64::MAX);
        let approval = (approval_above > 0).then_some((approval_above, within));
        Bounds { rate, rate_max, letters, exported: self.export.letters, approval }
    }
}

impl Settings for Config {
    fn check(&self, refusals: &mut Refusals<'_>) {
        if self.worker.member.trim().is_empty() {
            refusals.value("worker.member", "must be a name that no other replica has");
        }
        for (key, path) in
            [("grpc.certificate_file", &self.grpc.certificate_file), ("grpc.key_file", &self.grpc.key_file)]
        {
            if path.as_os_str().is_empty() {
                refusals.value(key, "must name a PEM file: there is no way to serve without TLS");
            }
        }
        if self.access.signing_key_file.as_os_str().is_empty() {
            refusals.value("access.signing_key_file", "must name the key that signs tokens");
        }
        if !(self.replay.rate > 0.0 && self.replay.rate <= self.replay.rate_max) {
            let detail = "must be above 0 and not above replay.rate_max";
            refusals.fault(Fault::new(Code::ControlSettings, detail).at_path("$.replay.rate"));
        }
        if self.rate.replica >= self.rate.max_replicas {
            refusals.value("rate.replica", format!("must be below max_replicas, {}", self.rate.max_replicas));
        }
        for (name, connection) in &self.connections {
            for fault in connection.faults(&self.outbound) {
                let path = format!("$.connections.{name}.{}", fault.place.path.as_deref().unwrap_or_default());
                refusals.fault(fault.at_path(path));
            }
        }
        if self.replay.emit_again.is_zero() {
            refusals.value("replay.emit_again", "must be longer than nothing");
        }
        if self.replay.approval_within.is_zero() {
            refusals.value("replay.approval_within", "must be longer than nothing");
        }
        for (name, letters) in [("replay.letters", self.replay.letters), ("export.letters", self.export.letters)] {
            if letters == 0 {
                refusals.value(name, "must be at least 1");
            }
        }
        if let Err(fault) = self.masker() {
            refusals.fault(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::settings::{Invocation, load};

    fn refused(environment: &[(&str, &str)]) -> Vec<(Code, Option<String>)> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let invocation = Invocation { environment, ..Invocation::default() };
        let faults = load::<Config>("control", DEFAULTS, &invocation).err().map(|faults| faults.0).unwrap_or_default();
        faults.into_iter().map(|fault| (fault.code, fault.place.path)).collect()
    }

    const FILES: [(&str, &str); 3] = [
        ("CONTROL__GRPC__CERTIFICATE_FILE", "c.pem"),
        ("CONTROL__GRPC__KEY_FILE", "k.pem"),
        ("CONTROL__ACCESS__SIGNING_KEY_FILE", "s.pem"),
    ];

    #[test]
    fn nothing_is_served_without_certificate_and_key() {
        let paths: Vec<Option<String>> = refused(&[]).into_iter().map(|(_, path)| path).collect();
        for path in ["$.grpc.certificate_file", "$.grpc.key_file", "$.access.signing_key_file"] {
            assert!(paths.contains(&Some(path.to_owned())), "{path}: {paths:?}");
        }
        assert_eq!(refused(&FILES), []);
    }

    #[test]
    fn brokers_without_tls_are_told() {
        let environment = FILES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let invocation = Invocation { environment, ..Invocation::default() };
        let config = load::<Config>("control", DEFAULTS, &invocation).expect("good settings").settings;
        assert_eq!(config.warnings(), ["kafka: the brokers are spoken to without TLS and log-in"]);
    }

    #[test]
    fn a_connection_leads_only_to_a_server_that_is_listed() {
        let mut environment = FILES.to_vec();
        environment.extend([
            ("CONTROL__CONNECTIONS__B__URL", "https://erp.example.com/k3cloud/"),
            ("CONTROL__CONNECTIONS__B__ACCT_ID", "5f3c9a1b7d2e40"),
            ("CONTROL__CONNECTIONS__B__USER", "integration"),
            ("CONTROL__CONNECTIONS__B__APP_ID", "118273_x"),
            ("CONTROL__CONNECTIONS__B__APP_SECRET_FILE", "/run/secrets/b"),
            ("CONTROL__RATE__REPLICA", "2"),
        ]);
        let expected = [
            (Code::SettingsValue, Some("$.rate.replica".to_owned())),
            (Code::ErpNotListed, Some("$.connections.b.url".to_owned())),
        ];
        assert_eq!(refused(&environment), expected);
        environment.push(("CONTROL__OUTBOUND__HOSTS", "[\"erp.example.com:443\"]"));
        environment.push(("CONTROL__RATE__MAX_REPLICAS", "3"));
        assert_eq!(refused(&environment), []);
    }

    #[test]
    fn a_rate_above_the_highest_is_refused() {
        let mut environment = FILES.to_vec();
        environment.push(("CONTROL__REPLAY__RATE", "500"));
        assert_eq!(refused(&environment), [(Code::ControlSettings, Some("$.replay.rate".to_owned()))]);
        environment[3] = ("CONTROL__REPLAY__APPROVAL_WITHIN", "0s");
        assert_eq!(refused(&environment), [(Code::SettingsValue, Some("$.replay.approval_within".to_owned()))]);
        environment[3] = ("CONTROL__EXPORT__LETTERS", "0");
        assert_eq!(refused(&environment), [(Code::SettingsValue, Some("$.export.letters".to_owned()))]);
        environment[3] = ("CONTROL__REPLAY__EMIT_AGAIN", "0s");
        assert_eq!(refused(&environment), [(Code::SettingsValue, Some("$.replay.emit_again".to_owned()))]);
    }
}
