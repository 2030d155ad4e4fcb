//! The connection to Redis: made when needed, dropped when in doubt, never waited for longer than the limit.

use std::fs::File;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use document::{Code, Fault, SecretFile};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ClientTlsConfig, ConnectionAddr, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    ScriptInvocation, TlsCertificates,
};
use secrecy::ExposeSecret as _;
use tokio::sync::Mutex;

use crate::error::Error;
use crate::settings::RedisSettings;

/// The longest wait that settings may ask for.
const LONGEST: Duration = Duration::from_millis(500);

pub(crate) struct Link {
    client: redis::Client,
    timeout: Duration,
    open: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    pub(crate) fn new(settings: &RedisSettings) -> Result<Self, Error> {
        if settings.timeout.is_zero() || settings.timeout > LONGEST {
            return Err(wrong("timeout", "must be above zero and at most 500ms"));
        }
        if settings.key_prefix.is_empty() || settings.key_prefix.contains(['{', '}']) {
            return Err(wrong("key_prefix", "must not be empty or hold { or }"));
        }
        let info = settings
            .url
            .as_str()
            .into_connection_info()
            .map_err(|_| wrong("url", "is not a URL such as redis://host:6379/0"))?;
        let mut redis = info.redis_settings().clone();
        if redis.username().is_some() || redis.password().is_some() {
            return Err(wrong("url", "must not carry a user or password: use username and password_file"));
        }
        if let Some(username) = &settings.username {
            redis = redis.set_username(username);
        }
        if let Some(path) = &settings.password_file {
            let secret = secret_file("$.redis.password_file", path, settings);
            let password = secret.text(open(path)).map_err(|fault| Error::Secret(fault.into()))?;
            redis = redis.set_password(password.expose_secret());
        }
        // Whoever came first has installed a provider; that there is one is all that counts.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        let info = info.set_redis_settings(redis);
        let client = match certificates(settings, encrypted)? {
            Some(certificates) => redis::Client::build_with_tls(info, certificates)
                .map_err(|_| wrong("ca_file", "the certificates or the key cannot be used: all are PEM")),
            None => redis::Client::open(info).map_err(|_| wrong("url", "cannot be used for a connection")),
        }?;
        Ok(Self { client, timeout: settings.timeout, open: Mutex::default() })
    }

    /// Runs a script within the limit. The time a connection takes to be made is part of it.
    ///
    /// A timed-out script may have run: scripts are written so that this only wastes a permit.
    pub(crate) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisError> {
        let timeout = || RedisError::from((ErrorKind::Io, "no answer in time"));
        let outcome = tokio::time::timeout(self.timeout, self.attempt(script)).await;
        let outcome = outcome.unwrap_or_else(|_| Err(timeout()));
        if outcome.is_err() {
            // The next attempt begins with a fresh connection: it cannot meet a late answer or a dead socket.
            if let Ok(mut open) = self.open.try_lock() {
                *open = None;
            }
        }
        outcome
    }

    async fn attempt<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, RedisError> {
        let mut connection = self.connection().await?;
        script.invoke_async(&mut connection).await
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = &*open {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(open.insert(connection).clone())
    }
}

/// What is wrong with a setting.
fn wrong(path: &str, detail: &str) -> Error {
    Error::Settings(Fault::new(Code::RedisSettings, detail.to_owned()).at_path(path).into())
}

/// What the settings say of certificates; `None` where they say nothing.
fn certificates(settings: &RedisSettings, encrypted: bool) -> Result<Option<TlsCertificates>, Error> {
    let named = [
        ("ca_file", &settings.ca_file),
        ("certificate_file", &settings.certificate_file),
        ("key_file", &settings.key_file),
    ];
    match named.iter().find(|(_, file)| file.is_some()) {
        None => return Ok(None),
        Some((name, _)) if !encrypted => return Err(wrong(name, "is of use with a rediss:// url alone")),
        Some(_) => {}
    }
    let read = |name: &str, path: &Path| {
        std::fs::read(path).map_err(|error| {
            let detail = format!("cannot be read: {error}");
            let fault = Fault::new(Code::RedisSettings, detail).in_file(path.display().to_string());
            Error::Settings(fault.at_path(format!("$.redis.{name}")).into())
        })
    };
    let client_tls = match (&settings.certificate_file, &settings.key_file) {
        (None, None) => None,
        (Some(_), None) => return Err(wrong("key_file", "a certificate needs its key")),
        (None, Some(_)) => return Err(wrong("certificate_file", "a key needs its certificate")),
        (Some(certificate), Some(key)) => {
            let secret = secret_file("$.redis.key_file", key, settings);
            let key = secret.text(open(key)).map_err(|fault| Error::Secret(fault.into()))?;
            let client_key = key.expose_secret().as_bytes().to_vec();
            Some(ClientTlsConfig { client_cert: read("certificate_file", certificate)?, client_key })
        }
    };
    let root_cert = settings.ca_file.as_deref().map(|path| read("ca_file", path)).transpose()?;
    Ok(Some(TlsCertificates { client_tls, root_cert }))
}

/// The file of a secret that the settings name as `setting`.
pub(crate) fn secret_file<'a>(setting: &'a str, path: &'a Path, settings: &RedisSettings) -> SecretFile<'a> {
    SecretFile { path, setting, allow_world_readable: settings.allow_world_readable_secrets }
}

/// Opens a secret's file: its permission bits, and what reads from it.
pub(crate) fn open(path: &Path) -> io::Result<(u32, File)> {
    let file = File::open(path)?;
    Ok((file.metadata()?.permissions().mode(), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut RedisSettings)) -> Error {
        let mut settings = RedisSettings::at("redis://127.0.0.1:6379/0");
        change(&mut settings);
        Link::new(&settings).err().expect("refused")
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let wrong: [(Error, &str); 5] = [
            (refused(|s| s.url = "http://127.0.0.1".to_owned()), "url"),
            (refused(|s| s.url = "redis://:secret@127.0.0.1".to_owned()), "url"),
            (refused(|s| s.timeout = Duration::from_millis(501)), "timeout"),
            (refused(|s| s.timeout = Duration::ZERO), "timeout"),
            (refused(|s| s.key_prefix = "{x}".to_owned()), "key_prefix"),
        ];
        for (error, path) in wrong {
            assert_eq!(error.code(), Code::RedisSettings);
            assert_eq!(error.fault().place.path.as_deref(), Some(path));
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_file_that_cannot_be_read_is_named() {
        let error = refused(|s| s.password_file = Some("/nowhere/password".into()));
        assert_eq!(error.code(), Code::SettingsSecretFile);
        assert_eq!(error.fault().place.file.as_deref(), Some("/nowhere/password"));
        assert_eq!(error.fault().place.path.as_deref(), Some("$.redis.password_file"));
    }

    #[test]
    fn a_password_that_everybody_may_read_is_refused_unless_the_settings_permit_it() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("password");
        std::fs::write(&path, "open sesame").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).expect("mode set");
        let error = refused(|s| s.password_file = Some(path.clone()));
        assert_eq!(error.code(), Code::SettingsSecretFile);
        assert_eq!(error.fault().place.file, Some(path.display().to_string()));
        let mut settings = RedisSettings::at("redis://127.0.0.1:6379/0");
        settings.password_file = Some(path);
        settings.allow_world_readable_secrets = true;
        assert!(Link::new(&settings).is_ok());
    }

    #[test]
    fn certificates_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let path = folder.path().join("file.pem");
        std::fs::write(&path, "no PEM").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode set");
        let over_tls = |change: &dyn Fn(&mut RedisSettings)| {
            refused(|settings| {
                settings.url = "rediss://127.0.0.1:6379/0".to_owned();
                change(settings);
            })
        };
        let file = || Some(path.clone());
        let wrong: [(Error, &str); 5] = [
            (refused(|s| s.ca_file = file()), "ca_file"),
            (over_tls(&|s| s.certificate_file = file()), "key_file"),
            (over_tls(&|s| s.key_file = file()), "certificate_file"),
            (over_tls(&|s| s.ca_file = Some("/nowhere/ca.pem".into())), "$.redis.ca_file"),
            (over_tls(&|s| (s.certificate_file, s.key_file) = (file(), file())), "ca_file"),
        ];
        for (error, path) in wrong {
            assert_eq!(error.code(), Code::RedisSettings, "{error}");
            assert_eq!(error.fault().place.path.as_deref(), Some(path));
        }
    }

    #[test]
    fn settings_are_read_with_their_defaults_and_unknown_names_refused() {
        let settings: RedisSettings =
            serde_json::from_str("{\"url\":\"redis://h\",\"timeout\":\"250ms\"}").expect("settings");
        assert_eq!(settings.timeout, Duration::from_millis(250));
        assert_eq!(settings.key_prefix, "starbridge");
        assert!(serde_json::from_str::<RedisSettings>("{\"url\":\"redis://h\",\"retries\":3}").is_err());
        assert!(serde_json::from_str::<RedisSettings>("{\"url\":\"redis://h\",\"timeout\":\"soon\"}").is_err());
    }
}
