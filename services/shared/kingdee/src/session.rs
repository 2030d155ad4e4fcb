//! Sessions: what one is on the wire, where replicas share it, who may open one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

/// A session as a cache keeps it: opaque text and the generation it was stored under.
#[derive(Debug, Clone)]
pub struct HeldSession {
    /// Counts up with every new session of an identity, from 1.
    pub generation: u64,
    /// The session, in this crate's own encoding.
    pub session: SecretString,
}

/// Whether a login may be tried now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginTurn {
    /// Yes, and nobody else for a while.
    Now,
    /// Not before this time has passed; look into the cache again first.
    After(Duration),
}

/// Where the replicas share a session. It may forget everything at any time.
#[async_trait]
pub trait SessionCache: Send + Sync {
    /// The session of an identity.
    async fn get(&self, identity: &str) -> Option<HeldSession>;

    /// Stores a new session in place of generation `replaces` (0: none was known), and gives back what is held now:
    /// this one, or the one of a faster replica.
    async fn put(&self, identity: &str, replaces: u64, session: &SecretString) -> HeldSession;

    /// Asks for the right to log in; at most one replica gets it in any `every`.
    async fn login_turn(&self, identity: &str, every: Duration) -> LoginTurn;

    /// Remembers that these credentials were refused, for all replicas.
    async fn refuse(&self, identity: &str, fingerprint: &str);

    /// Whether these credentials were refused before.
    async fn refused(&self, identity: &str, fingerprint: &str) -> bool;
}

/// Leave to make a call; the client asks only for the calls it adds by itself: logins, and reads after a new login.
#[async_trait]
pub trait Permits: Send + Sync {
    /// Waits until one more call may be made.
    async fn permit(&self);
}

/// Grants every permit at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoLimit;

#[async_trait]
impl Permits for NoLimit {
    async fn permit(&self) {}
}

/// The sessions of one process.
#[derive(Debug, Default)]
pub struct MemorySessions {
    held: Mutex<HashMap<String, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    session: Option<HeldSession>,
    next_login: Option<Instant>,
    refused: Option<String>,
}

impl MemorySessions {
    fn slot<T>(&self, identity: &str, with: impl FnOnce(&mut Slot) -> T) -> T {
        // Every change is one assignment, so a panic elsewhere leaves nothing half done.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        with(held.entry(identity.to_owned()).or_default())
    }
}

#[async_trait]
impl SessionCache for MemorySessions {
    async fn get(&self, identity: &str) -> Option<HeldSession> {
        self.slot(identity, |slot| slot.session.clone())
    }

    async fn put(&self, identity: &str, replaces: u64, session: &SecretString) -> HeldSession {
        self.slot(identity, |slot| match &slot.session {
            Some(held) if held.generation > replaces => held.clone(),
            _ => slot.session.insert(HeldSession { generation: replaces + 1, session: session.clone() }).clone(),
        })
    }

    async fn login_turn(&self, identity: &str, every: Duration) -> LoginTurn {
        let now = Instant::now();
        self.slot(identity, |slot| match slot.next_login {
            Some(next) if next > now => LoginTurn::After(next - now),
            _ => {
                slot.next_login = Some(now + every);
                LoginTurn::Now
            }
        })
    }

    async fn refuse(&self, identity: &str, fingerprint: &str) {
        self.slot(identity, |slot| slot.refused = Some(fingerprint.to_owned()));
    }

    async fn refused(&self, identity: &str, fingerprint: &str) -> bool {
        self.slot(identity, |slot| slot.refused.as_deref() == Some(fingerprint))
    }
}

/// A session as it goes on the wire.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct WireSession {
    id: String,
    asp_net: Option<String>,
}

impl fmt::Debug for WireSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WireSession(redacted)")
    }
}

impl WireSession {
    pub(crate) fn new(id: &str, asp_net: Option<&str>) -> Option<Self> {
        let clean =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b';' && b != b',');
        clean(id).then(|| Self { id: id.to_owned(), asp_net: asp_net.filter(|text| clean(text)).map(str::to_owned) })
    }

    /// Reads `Set-Cookie` headers. Servers put several cookies into one header, joined by commas.
    pub(crate) fn from_set_cookie<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let (mut id, mut asp_net) = (None, None);
        for part in headers.into_iter().flat_map(|header| header.split([',', ';'])) {
            match part.trim().split_once('=') {
                Some((name, value)) if name.eq_ignore_ascii_case("kdservice-sessionid") => id = Some(value.trim()),
                Some((name, value)) if name.eq_ignore_ascii_case("ASP.NET_SessionId") => asp_net = Some(value.trim()),
                _ => {}
            }
        }
        Self::new(id?, asp_net)
    }

    /// The same session with the second cookie of a reply, where it has none of its own.
    pub(crate) fn with_cookies(mut self, cookies: Option<&WireSession>) -> Self {
        self.asp_net = self.asp_net.or_else(|| cookies.and_then(|cookies| cookies.asp_net.clone()));
        self
    }

    pub(crate) fn encode(&self) -> SecretString {
        format!("{}\n{}", self.id, self.asp_net.as_deref().unwrap_or_default()).into()
    }

    pub(crate) fn decode(text: &SecretString) -> Option<Self> {
        let (id, asp_net) = text.expose_secret().split_once('\n')?;
        Self::new(id, Some(asp_net))
    }
}

/// The headers a session adds to a request.
pub(crate) fn session_headers(session: &WireSession) -> Vec<(&'static str, String)> {
    let mut cookie = format!("Theme=standard;kdservice-sessionid={}", session.id);
    if let Some(asp_net) = &session.asp_net {
        cookie.push_str("; ASP.NET_SessionId=");
        cookie.push_str(asp_net);
    }
    vec![("kdservice-sessionid", session.id.clone()), ("Cookie", cookie)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    #[test]
    fn cookies_are_read_from_one_header_or_two() {
        let joined = WireSession::from_set_cookie(["kdservice-sessionid=abc; path=/, ASP.NET_SessionId=xyz; HttpOnly"]);
        let apart = WireSession::from_set_cookie(["kdservice-sessionid=abc; Path=/", "asp.net_sessionid=xyz; Path=/"]);
        assert_eq!(joined, WireSession::new("abc", Some("xyz")));
        assert_eq!(apart, joined);
        assert_eq!(WireSession::from_set_cookie(["Theme=standard"]), None);
        assert_eq!(WireSession::from_set_cookie(["kdservice-sessionid=; path=/"]), None);
    }

    #[test]
    fn a_session_survives_its_encoding_and_never_prints() {
        for session in [WireSession::new("abc", Some("xyz")), WireSession::new("abc", None)] {
            let session = session.expect("a session");
            assert_eq!(WireSession::decode(&session.encode()), Some(session.clone()));
            assert!(!format!("{session:?} {:?}", session.encode()).contains("abc"));
        }
        assert_eq!(WireSession::new("two\nlines", None), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_faster_login_wins_and_turns_are_five_seconds_apart() {
        let cache = MemorySessions::default();
        assert_eq!(cache.put("i", 0, &secret("first")).await.generation, 1);
        let held = cache.put("i", 0, &secret("slower")).await;
        assert_eq!((held.generation, held.session.expose_secret()), (1, "first"));
        assert_eq!(cache.put("i", 1, &secret("second")).await.generation, 2);
        assert!(cache.get("other").await.is_none());

        let every = Duration::from_secs(5);
        assert_eq!(cache.login_turn("i", every).await, LoginTurn::Now);
        assert_eq!(cache.login_turn("i", every).await, LoginTurn::After(every));
        assert_eq!(cache.login_turn("other", every).await, LoginTurn::Now);
        tokio::time::advance(every).await;
        assert_eq!(cache.login_turn("i", every).await, LoginTurn::Now);

        cache.refuse("i", "f").await;
        assert!(cache.refused("i", "f").await);
        assert!(!cache.refused("i", "another secret").await);
    }
}
