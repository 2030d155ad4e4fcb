//! Where Redis is.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// How to reach Redis. Secrets are named by file and read when a limiter or store is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://host:port/db` or `rediss://…`, without user or password.
    pub url: String,
    /// The ACL user; absent means the default user.
    #[serde(default)]
    pub username: Option<String>,
    /// The file that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities to trust at `rediss://`; those of the system where absent.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// PEM file of our certificate, where the server wants one.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// The file that holds the key sessions are encrypted with: 32 bytes, or 64 hexadecimal digits. Without it sessions
    /// stay in the memory of each process.
    #[serde(default)]
    pub session_key_file: Option<PathBuf>,
    /// Permits secret files that every user of the machine may read.
    #[serde(default)]
    pub allow_world_readable_secrets: bool,
    /// What every key begins with; one prefix for all that share quotas.
    #[serde(default = "default_prefix")]
    pub key_prefix: String,
    /// How long to wait for Redis before going on without it; at most 500 ms.
    #[serde(default = "default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

fn default_prefix() -> String {
    "starbridge".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_millis(300)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let millis = match text.trim().strip_suffix("ms") {
        Some(number) => number.trim().parse::<u64>().ok(),
        None => {
            text.trim().strip_suffix('s').and_then(|n| n.trim().parse::<u64>().ok()).and_then(|n| n.checked_mul(1000))
        }
    };
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| de::Error::custom(format!("{text:?} is not a duration such as 300ms or 1s")))
}

impl RedisSettings {
    /// Redis at a URL, everything else at its default.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            username: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            session_key_file: None,
            allow_world_readable_secrets: false,
            key_prefix: default_prefix(),
            timeout: default_timeout(),
        }
    }
}
