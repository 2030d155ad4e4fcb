//! Which brokers, how to log in, and the client settings that every one of our clients shares.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use document::SecretFile;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::ProducerContext;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tracing::{debug, info, warn};

use crate::error::{Error, code_of};

/// The largest record, key, headers and value together: 16 MiB, as `max.message.bytes` of every topic.
pub const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// What a record costs beside its bytes, generously: lengths, time stamps, batch header.
pub(crate) const RECORD_OVERHEAD: usize = 512;

/// The brokers and the way in.
///
/// Shape (TOML):
/// ```toml
/// [kafka]
/// brokers = "10.0.0.1:9093,10.0.0.2:9093"
/// [kafka.security]
/// protocol = "sasl_ssl"
/// mechanism = "SCRAM-SHA-512"
/// username = "starbridge"
/// password_file = "/run/secrets/kafka-password"
/// ca_file = "/etc/kafka/ca.pem"
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// `host:port`, comma separated; any of them leads to all.
    pub brokers: String,
    /// The way in; plain text where nothing is said.
    #[serde(default)]
    pub security: Security,
}

/// How the connection is protected.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(tag = "protocol", rename_all = "snake_case", deny_unknown_fields)]
pub enum Security {
    /// Neither encrypted nor logged in: loopback and tests.
    #[default]
    Plaintext,
    /// TLS, with a client certificate where the brokers want one.
    Ssl {
        /// PEM file of the authorities to trust; the system's where absent.
        ca_file: Option<PathBuf>,
        /// PEM file of our certificate.
        certificate_file: Option<PathBuf>,
        /// PEM file of our private key.
        key_file: Option<PathBuf>,
        /// Permits a private key that every user of the machine may read.
        #[serde(default)]
        allow_world_readable_secrets: bool,
    },
    /// TLS and a user with a password.
    SaslSsl {
        /// How the password is proven.
        mechanism: Mechanism,
        /// The user.
        username: String,
        /// The file that holds the password; line ends at its end do not count.
        password_file: PathBuf,
        /// PEM file of the authorities to trust; the system's where absent.
        ca_file: Option<PathBuf>,
        /// Permits a password file that every user of the machine may read.
        #[serde(default)]
        allow_world_readable_secrets: bool,
    },
}

/// SASL mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Mechanism {
    /// The password itself, inside TLS.
    #[serde(rename = "PLAIN")]
    Plain,
    /// Salted challenge and response over SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// Salted challenge and response over SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

impl Mechanism {
    fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Cluster {
    /// Brokers reached without protection.
    pub fn plaintext(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), security: Security::Plaintext }
    }

    /// What every client sets. Statistics stay off, retries come quickly and wait longer each time.
    pub(crate) fn common(&self, client_id: &str) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", client_id)
            .set("socket.timeout.ms", "10000")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("log.connection.close", "false")
            .set("statistics.interval.ms", "0")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            .set("retry.backoff.ms", "20")
            .set("retry.backoff.max.ms", "500")
            .set("topic.metadata.refresh.fast.interval.ms", "100")
            .set("message.max.bytes", MAX_RECORD_BYTES.to_string())
            .set_log_level(RDKafkaLogLevel::Notice);
        match &self.security {
            Security::Plaintext => {
                config.set("security.protocol", "plaintext");
            }
            Security::Ssl { ca_file, certificate_file, key_file, allow_world_readable_secrets } => {
                config.set("security.protocol", "ssl");
                set_file(&mut config, "ssl.ca.location", ca_file.as_deref())?;
                set_file(&mut config, "ssl.certificate.location", certificate_file.as_deref())?;
                if let Some(key_file) = key_file {
                    // The client reads the key by itself; whether it is one that only we may read is for us to see.
                    secret("$.kafka.security.key_file", key_file, *allow_world_readable_secrets)?;
                    config.set("ssl.key.location", key_file.display().to_string());
                }
            }
            Security::SaslSsl { mechanism, username, password_file, ca_file, allow_world_readable_secrets } => {
                let password = secret("$.kafka.security.password_file", password_file, *allow_world_readable_secrets)?;
                config
                    .set("security.protocol", "sasl_ssl")
                    .set("sasl.mechanism", mechanism.as_str())
                    .set("sasl.username", username)
                    .set("sasl.password", password.expose_secret());
                set_file(&mut config, "ssl.ca.location", ca_file.as_deref())?;
            }
        }
        Ok(config)
    }

    /// A consumer's settings: reads only what is decided, saves nothing by itself, skips nothing by itself, keeps at
    /// most 16 MB fetched ahead.
    pub(crate) fn consumer(&self, client_id: &str, group: &str) -> Result<ClientConfig, Error> {
        let mut config = self.common(client_id)?;
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("enable.partition.eof", "false")
            .set("queued.min.messages", "5000")
            .set("queued.max.messages.kbytes", "16384")
            .set("fetch.message.max.bytes", "1048576")
            .set("fetch.max.bytes", (MAX_RECORD_BYTES + 1024 * 1024).to_string())
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "100");
        Ok(config)
    }

    /// A member's settings on top: a fixed place in the group that survives a restart.
    pub(crate) fn member(&self, group: &str, instance: &str) -> Result<ClientConfig, Error> {
        let mut config = self.consumer(instance, group)?;
        config
            .set("group.instance.id", instance)
            .set("group.protocol", "classic")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "45000")
            .set("heartbeat.interval.ms", "3000")
            .set("max.poll.interval.ms", "300000");
        Ok(config)
    }

    /// A producer's settings: nothing lost, nothing twice, nothing reordered, at most 32 MB waiting.
    pub(crate) fn producer(&self, client_id: &str) -> Result<ClientConfig, Error> {
        let mut config = self.common(client_id)?;
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("queue.buffering.max.kbytes", "32768")
            .set("queue.buffering.max.messages", "50000")
            .set("message.timeout.ms", "20000")
            .set("request.timeout.ms", "10000")
            .set("topic.metadata.propagation.max.ms", "5000");
        Ok(config)
    }
}

fn set_file(config: &mut ClientConfig, name: &str, file: Option<&Path>) -> Result<(), Error> {
    let Some(file) = file else { return Ok(()) };
    // The client's own message for a missing file does not name it.
    std::fs::metadata(file).map_err(|source| Error::Settings {
        detail: format!("{} cannot be read", file.display()),
        file: Some(file.to_owned()),
        source: Some(source),
    })?;
    config.set(name, file.display().to_string());
    Ok(())
}

fn secret(setting: &str, path: &Path, allow_world_readable: bool) -> Result<SecretString, Error> {
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.permissions().mode(), file)));
    SecretFile { path, setting, allow_world_readable }.text(opened).map_err(|fault| Error::Secret(fault.into()))
}

/// How often a lost connection is told, and how long a refused login explains why nothing answers.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// Hears what a client says beside its answers. A refused login shows nowhere else: requests just run out of time.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    refused: Mutex<Option<(Instant, KafkaError)>>,
    told: Mutex<Option<Instant>>,
}

fn kept<T>(cell: &Mutex<T>) -> MutexGuard<'_, T> {
    cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Ear {
    pub(crate) fn hear(&self, error: &KafkaError, reason: &str) {
        match code_of(error) {
            Some(
                RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SSL
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::UnsupportedSASLMechanism,
            ) => {
                warn!(%error, reason, "kafka refused the login");
                *kept(&self.refused) = Some((Instant::now(), error.clone()));
            }
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::Fenced | RDKafkaErrorCode::FencedInstanceId) => {
                warn!(%error, reason, "kafka client is no longer usable");
            }
            Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
                // Said with every attempt to connect: many times a second while a broker is away.
                let mut told = kept(&self.told);
                if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                    *told = Some(Instant::now());
                    info!(%error, reason, "kafka connection lost");
                }
            }
            _ => debug!(%error, reason, "kafka client event"),
        }
    }

    /// The error to report for `error`: the refused login, when that is why nothing answered.
    pub(crate) fn explain(
        &self,
        error: KafkaError,
        cluster: &Cluster,
        operation: &'static str,
        object: impl Into<String>,
    ) -> Error {
        let refused = kept(&self.refused).clone().filter(|(at, _)| at.elapsed() < TELL_EVERY);
        match (Error::from_kafka(error, &cluster.brokers, operation, object), refused) {
            (Error::Unreachable { brokers, operation, .. }, Some((_, source))) => {
                Error::Auth { brokers, operation, source }
            }
            (error, _) => error,
        }
    }
}

fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
            warn!(facility, message, "kafka client");
        }
        RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => info!(facility, message, "kafka client"),
        RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => debug!(facility, message, "kafka client"),
    }
}

impl ClientContext for Ear {
    fn error(&self, error: KafkaError, reason: &str) {
        self.hear(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }
}

impl ConsumerContext for Ear {}

/// The context of our producers: hears, and hands every delivery report to the batch that waits for it.
#[derive(Debug, Default)]
pub(crate) struct Reporter {
    pub(crate) ear: Ear,
    /// The end of a transaction got no answer, and was sent again.
    end_lost: AtomicBool,
}

impl Reporter {
    /// Whether the client had no answer to the end of a transaction since this was asked last. It sends such an end again
    /// by itself, and says so only in its log for `debug=eos`.
    pub(crate) fn lost_end(&self) -> bool {
        self.end_lost.swap(false, Ordering::SeqCst)
    }
}

impl ClientContext for Reporter {
    fn error(&self, error: KafkaError, reason: &str) {
        self.ear.hear(&error, reason);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let unanswered = |error| message.contains(&format!("EndTxn returned {error} "));
        if facility == "ENDTXN" && ["_TRANSPORT", "_TIMED_OUT", "_TIMED_OUT_QUEUE"].into_iter().any(unanswered) {
            self.end_lost.store(true, Ordering::SeqCst);
        }
        log(level, facility, message);
    }
}

impl ProducerContext for Reporter {
    type DeliveryOpaque = Box<crate::producer::Report>;

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, report: Self::DeliveryOpaque) {
        report.arrived(result);
    }
}

pub(crate) fn forward_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    log(level, facility, message);
}

#[cfg(test)]
mod tests {
    use super::*;
    use document::Code;

    fn read(text: &str) -> Cluster {
        toml::from_str(text).expect("settings")
    }

    #[test]
    fn plain_text_is_the_default() {
        let cluster = read("brokers = 'localhost:9092'");
        let config = cluster.common("c").expect("usable");
        assert_eq!(config.get("security.protocol"), Some("plaintext"));
        assert_eq!(config.get("message.max.bytes"), Some("16777216"));
        assert_eq!(config.get("statistics.interval.ms"), Some("0"));
    }

    #[test]
    fn unknown_settings_are_refused() {
        assert!(toml::from_str::<Cluster>("brokers = 'a'\nbroker = 'b'").is_err());
        assert!(toml::from_str::<Cluster>("brokers = 'a'\n[security]\nprotocol = 'ssl'\nca = 'x'").is_err());
    }

    fn file(folder: &tempfile::TempDir, mode: u32) -> PathBuf {
        let path = folder.path().join(format!("secret-{mode:o}"));
        std::fs::write(&path, "p w\r\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode set");
        path
    }

    fn with_password(file: &Path, more: &str) -> Cluster {
        read(&format!(
            "brokers = 'a'\n[security]\nprotocol = 'sasl_ssl'\nmechanism = 'SCRAM-SHA-512'\nusername = 'u'\n\
             password_file = '{}'\n{more}",
            file.display()
        ))
    }

    #[test]
    fn the_password_comes_from_its_file_without_the_line_end() {
        let folder = tempfile::tempdir().expect("folder");
        let config = with_password(&file(&folder, 0o440), "").common("c").expect("usable");
        assert_eq!(config.get("sasl.password"), Some("p w"));
        assert_eq!(config.get("sasl.mechanism"), Some("SCRAM-SHA-512"));
        assert_eq!(config.get("security.protocol"), Some("sasl_ssl"));
    }

    #[test]
    fn a_secret_that_everybody_may_read_is_refused_unless_the_settings_permit_it() {
        let folder = tempfile::tempdir().expect("folder");
        let open = file(&folder, 0o444);
        let error = with_password(&open, "").common("c").expect_err("open to everybody");
        assert_eq!(error.code(), Code::SettingsSecretFile);
        assert_eq!(error.place().file, Some(open.display().to_string()));
        assert_eq!(error.place().path.as_deref(), Some("$.kafka.security.password_file"));
        assert!(error.fault().hint.is_some_and(|hint| hint.contains("chmod o-rwx")));
        assert!(with_password(&open, "allow_world_readable_secrets = true").common("c").is_ok());

        let key = |path: PathBuf| Cluster {
            brokers: "a".to_owned(),
            security: Security::Ssl {
                ca_file: None,
                certificate_file: None,
                key_file: Some(path),
                allow_world_readable_secrets: false,
            },
        };
        assert_eq!(key(open).common("c").expect_err("open to everybody").code(), Code::SettingsSecretFile);
        assert!(key(file(&folder, 0o400)).common("c").is_ok());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = PathBuf::from("no/such/password");
        let security = Security::SaslSsl {
            mechanism: Mechanism::Plain,
            username: "u".to_owned(),
            password_file: missing.clone(),
            ca_file: None,
            allow_world_readable_secrets: false,
        };
        let error = Cluster { brokers: "a".to_owned(), security }.common("c").expect_err("no file");
        assert_eq!(error.code(), Code::SettingsSecretFile);
        assert_eq!(error.place().file.as_deref(), Some("no/such/password"));

        let security = Security::Ssl {
            ca_file: Some(missing),
            certificate_file: None,
            key_file: None,
            allow_world_readable_secrets: false,
        };
        let error = Cluster { brokers: "a".to_owned(), security }.common("c").expect_err("no file");
        assert_eq!(error.code(), Code::KafkaSettings);
        assert_eq!(error.place().file.as_deref(), Some("no/such/password"));
    }

    #[test]
    fn queues_are_capped_and_nothing_is_skipped() {
        let cluster = Cluster::plaintext("a");
        let member = cluster.member("g", "loader-0-0").expect("usable");
        for (name, value) in [
            ("queued.max.messages.kbytes", "16384"),
            ("auto.offset.reset", "error"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("isolation.level", "read_committed"),
            ("group.instance.id", "loader-0-0"),
            ("group.protocol", "classic"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "45000"),
        ] {
            assert_eq!(member.get(name), Some(value), "{name}");
        }
        let producer = cluster.producer("p").expect("usable");
        for (name, value) in [
            ("queue.buffering.max.kbytes", "32768"),
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("compression.type", "lz4"),
            ("partitioner", "murmur2_random"),
        ] {
            assert_eq!(producer.get(name), Some(value), "{name}");
        }
    }
}
