//! Sessions that replicas share.
//!
//! In Redis a session is encrypted (AES-256-GCM, a fresh nonce for every write, bound to its identity and generation), so
//! who reads Redis cannot act as the integration user. Whatever Redis cannot do, the memory of this process does.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use document::{Code, Fault};
use redis::Script;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use tracing::warn;

use crate::error::Error;
use crate::link::{self, Link};
use crate::settings::RedisSettings;

/// How long a session is kept without being replaced.
const SESSION_KEPT: Duration = Duration::from_secs(8 * 3600);

/// How long a refusal is remembered.
const REFUSAL_KEPT: Duration = Duration::from_secs(24 * 3600);

const NONCE: usize = 12;

static READ: LazyLock<Script> = LazyLock::new(|| {
    Script::new("local held = redis.pcall('GET', KEYS[1]) if type(held) == 'string' then return held end return ''")
});

/// Writes unless a later generation is there; gives back what is there afterwards.
static WRITE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local held = redis.pcall('GET', KEYS[1])
         local generation = type(held) == 'string' and tonumber(string.match(held, '^(%d+):'))
         if generation and generation > tonumber(ARGV[1]) then return held end
         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
         return ARGV[2]",
    )
});

/// 0: it is our turn. Otherwise how many milliseconds it is somebody else's.
static TURN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local left = redis.call('PTTL', KEYS[1])
         if left > 0 and left <= tonumber(ARGV[1]) then return left end
         redis.call('SET', KEYS[1], '1', 'PX', ARGV[1])
         return 0",
    )
});

/// A session as it is held now.
#[derive(Debug, Clone)]
pub struct Held {
    /// Counts up with every new session of an identity, from 1.
    pub generation: u64,
    /// The session's text.
    pub session: SecretString,
}

/// Whether a login may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Yes, and nobody else for a while.
    Now,
    /// Not before this time has passed.
    After(Duration),
}

/// Keeps sessions in Redis, encrypted; in memory where Redis is not, or where there is no key.
#[derive(Clone)]
pub struct SessionStore {
    inner: Arc<Inner>,
}

struct Inner {
    link: Option<Link>,
    prefix: String,
    cipher: Option<Aes256Gcm>,
    memory: Mutex<HashMap<String, Slot>>,
}

#[derive(Default)]
struct Slot {
    held: Option<Held>,
    next_login: Option<Instant>,
    refused: Option<String>,
}

impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore").field("redis", &self.inner.link.is_some()).finish_non_exhaustive()
    }
}

impl SessionStore {
    /// Prepares a store. `None`: in memory alone.
    ///
    /// # Errors
    /// [`Error`] when the settings cannot work. A Redis that is down is no error.
    pub fn connect(settings: Option<&RedisSettings>) -> Result<Self, Error> {
        let link = settings.map(Link::new).transpose()?;
        let prefix = settings.map(|settings| settings.key_prefix.clone()).unwrap_or_default();
        let cipher = match settings {
            Some(settings) => settings.session_key_file.as_deref().map(|path| cipher(path, settings)).transpose()?,
            None => None,
        };
        Ok(Self { inner: Arc::new(Inner { link, prefix, cipher, memory: Mutex::default() }) })
    }

    /// The session of an identity.
    pub async fn get(&self, identity: &str) -> Option<Held> {
        if let (Some(link), Some(cipher)) = (&self.inner.link, &self.inner.cipher) {
            match link.run::<String>(READ.key(self.key("session", identity)).arg("")).await {
                Ok(text) => return open(cipher, identity, &text),
                Err(error) => warn!(%error, "session not read from redis, memory serves"),
            }
        }
        self.slot(identity, |slot| slot.held.clone())
    }

    /// Stores a session in place of generation `replaces` (0: none was known); gives back what is held now: this one, or
    /// the one of a faster process.
    pub async fn put(&self, identity: &str, replaces: u64, session: &SecretString) -> Held {
        let mut now = Held { generation: replaces + 1, session: session.clone() };
        if let (Some(link), Some(cipher)) = (&self.inner.link, &self.inner.cipher)
            && let Some(text) = seal(cipher, identity, &now)
        {
            let millis = SESSION_KEPT.as_millis() as u64;
            let key = self.key("session", identity);
            match link.run::<String>(WRITE.key(key).arg(replaces).arg(&text).arg(millis)).await {
                Ok(held) if held != text => now = open(cipher, identity, &held).unwrap_or(now),
                Ok(_) => {}
                Err(error) => warn!(%error, "session not written to redis, memory serves"),
            }
            // What Redis holds counts, even against a later generation of this process's own.
            return self.slot(identity, |slot| slot.held.insert(now).clone());
        }
        self.slot(identity, |slot| match &slot.held {
            Some(held) if held.generation > replaces => held.clone(),
            _ => slot.held.insert(now).clone(),
        })
    }

    /// Asks for the right to log in; at most one process gets it in any `every`.
    pub async fn login_turn(&self, identity: &str, every: Duration) -> Turn {
        let now = Instant::now();
        let wait = self.slot(identity, |slot| match slot.next_login {
            Some(next) if next > now => Some(next - now),
            _ => None,
        });
        if let Some(wait) = wait {
            return Turn::After(wait);
        }
        if let Some(link) = &self.inner.link {
            let millis = every.as_millis() as u64;
            match link.run::<u64>(TURN.key(self.key("turn", identity)).arg(millis)).await {
                Ok(0) => {}
                Ok(left) => return Turn::After(Duration::from_millis(left)),
                Err(error) => warn!(%error, "login turn not asked of redis, memory serves"),
            }
        }
        self.slot(identity, |slot| match slot.next_login {
            // Somebody in this process was faster while we asked.
            Some(next) if next > now => Turn::After(next - now),
            _ => {
                slot.next_login = Some(now + every);
                Turn::Now
            }
        })
    }

    /// Remembers that credentials were refused, for a day or until others are.
    pub async fn refuse(&self, identity: &str, fingerprint: &str) {
        self.slot(identity, |slot| slot.refused = Some(fingerprint.to_owned()));
        let held = Held { generation: 1, session: fingerprint.to_owned().into() };
        if let (Some(link), Some(cipher)) = (&self.inner.link, &self.inner.cipher)
            && let Some(text) = seal(cipher, &refusal(identity), &held)
        {
            let millis = REFUSAL_KEPT.as_millis() as u64;
            let key = self.key("refused", identity);
            if let Err(error) = link.run::<String>(WRITE.key(key).arg(1).arg(&text).arg(millis)).await {
                warn!(%error, "refusal not written to redis, memory serves");
            }
        }
    }

    /// Whether these very credentials were refused before.
    pub async fn refused(&self, identity: &str, fingerprint: &str) -> bool {
        if self.slot(identity, |slot| slot.refused.as_deref() == Some(fingerprint)) {
            return true;
        }
        let (Some(link), Some(cipher)) = (&self.inner.link, &self.inner.cipher) else { return false };
        match link.run::<String>(READ.key(self.key("refused", identity)).arg("")).await {
            Ok(text) => {
                open(cipher, &refusal(identity), &text).is_some_and(|held| held.session.expose_secret() == fingerprint)
            }
            Err(error) => {
                warn!(%error, "refusal not read from redis, memory serves");
                false
            }
        }
    }

    fn key(&self, kind: &str, identity: &str) -> String {
        format!("{}:{kind}:{identity}", self.inner.prefix)
    }

    fn slot<T>(&self, identity: &str, with: impl FnOnce(&mut Slot) -> T) -> T {
        let mut memory: MutexGuard<'_, _> = self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner);
        with(memory.entry(identity.to_owned()).or_default())
    }
}

/// Under which name a refusal is bound, so that it can never be taken for a session.
fn refusal(identity: &str) -> String {
    format!("refused/{identity}")
}

/// What a text is bound to.
fn bound_to(identity: &str, generation: u64) -> Vec<u8> {
    format!("starbridge session\n{identity}\n{generation}").into_bytes()
}

/// `generation:base64(nonce, text, tag)`.
fn seal(cipher: &Aes256Gcm, identity: &str, held: &Held) -> Option<String> {
    let nonce: [u8; NONCE] = rand::random();
    let aad = bound_to(identity, held.generation);
    let payload = Payload { msg: held.session.expose_secret().as_bytes(), aad: &aad };
    let sealed = cipher.encrypt(&Nonce::from(nonce), payload).ok()?;
    Some(format!("{}:{}", held.generation, STANDARD.encode([nonce.as_slice(), &sealed].concat())))
}

/// Opens what [`seal`] made; anything else is nothing.
fn open(cipher: &Aes256Gcm, identity: &str, text: &str) -> Option<Held> {
    let (generation, sealed) = text.split_once(':')?;
    let generation = generation.parse().ok()?;
    let sealed = STANDARD.decode(sealed).ok()?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
    let aad = bound_to(identity, generation);
    let session = cipher.decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: &aad }).ok()?;
    Some(Held { generation, session: String::from_utf8(session).ok()?.into() })
}

/// Reads a key: 32 bytes, or 64 hexadecimal digits.
fn cipher(path: &Path, settings: &RedisSettings) -> Result<Aes256Gcm, Error> {
    let file = link::secret_file("$.redis.session_key_file", path, settings);
    let bytes = file.bytes(link::open(path)).map_err(|fault| Error::Secret(fault.into()))?;
    let bytes = bytes.expose_secret();
    let wrong = |detail: &str| {
        let fault = Fault::new(Code::RedisSecret, detail).in_file(path.display().to_string()).at_path(file.setting);
        Error::Secret(fault.into())
    };
    let key: [u8; 32] = match <[u8; 32]>::try_from(bytes) {
        Ok(key) => key,
        Err(_) => {
            let mut key = [0; 32];
            hex::decode_to_slice(bytes.trim_ascii(), &mut key)
                .map_err(|_| wrong("a session key is 32 bytes, or 64 hexadecimal digits"))?;
            key
        }
    };
    Aes256Gcm::new_from_slice(&key).map_err(|_| wrong("the key has the wrong length"))
}

#[cfg(test)]
mod tests;
