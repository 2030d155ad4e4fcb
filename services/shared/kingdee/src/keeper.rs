//! Keeps the identity of a client: its secret, its session, and the memory of having been refused.
//!
//! Rules: one login at a time per process and one in five seconds per account; a session is replaced only by whoever saw
//! that very session fail; after a clear refusal nothing is tried until the secret's file changes, because three wrong
//! logins lock the account.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use document::{Code, Fault, SecretFile};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;
use tracing::{info, warn};
use vault::file::SealedFile;

use crate::error::Error;
use crate::login::{self, Outcome};
use crate::query::{self, Context};
use crate::session::{LoginTurn, Permits, SessionCache, WireSession, session_headers};
use crate::settings::{LoginMode, Settings};
use crate::sign::USER_AGENT;
use crate::status::Status;
use crate::wire::{self, Transport};

/// The least time between two logins of an account.
const LOGIN_EVERY: Duration = Duration::from_secs(5);

/// How often the cache is looked into while another replica may be logging in.
const TURNS: usize = 12;

/// Waits after the first, second and further doubtful refusal in a row.
const DOUBTS: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(60), Duration::from_secs(600)];

/// What a call is made with.
#[derive(Debug, Default)]
pub(crate) struct Token {
    session: Option<WireSession>,
    /// Held by the first call of an identity that is not proven yet, so that only one at a time can be refused.
    _alone: Option<OwnedMutexGuard<()>>,
}

#[derive(Debug)]
struct State {
    secret: SecretString,
    fingerprint: String,
    generation: u64,
    session: Option<WireSession>,
    /// A call was served since the last refusal.
    proven: bool,
    doubts: usize,
    refusal: Option<Refusal>,
}

#[derive(Debug, Clone)]
struct Refusal {
    text: String,
    /// `None`: until the secret changes.
    until: Option<Instant>,
}

pub(crate) struct Keeper {
    settings: Arc<Settings>,
    name: String,
    cache: Arc<dyn SessionCache>,
    permits: Arc<dyn Permits>,
    state: Mutex<State>,
    flight: Arc<tokio::sync::Mutex<()>>,
}

impl Keeper {
    pub(crate) fn new(
        settings: Arc<Settings>,
        cache: Arc<dyn SessionCache>,
        permits: Arc<dyn Permits>,
    ) -> Result<Self, Error> {
        let secret = secret(&settings)?;
        let fingerprint = fingerprint(&settings, &secret);
        let state =
            State { secret, fingerprint, generation: 0, session: None, proven: false, doubts: 0, refusal: None };
        let name = settings.identity();
        Ok(Self { settings, name, cache, permits, state: Mutex::new(state), flight: Arc::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and every change is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_signed(&self) -> bool {
        self.settings.login == LoginMode::Signed
    }

    /// What the next call is made with; opens a session where the mode needs one.
    pub(crate) async fn token(&self, transport: &Transport) -> Result<Token, Error> {
        if !self.is_signed() {
            if let Some(session) = self.state().session.clone() {
                return Ok(Token { session: Some(session), _alone: None });
            }
            let _flight = self.flight.lock().await;
            if let Some(session) = self.state().session.clone() {
                return Ok(Token { session: Some(session), _alone: None });
            }
            let session = self.open(transport, None).await?;
            return Ok(Token { session: Some(session), _alone: None });
        }
        if self.state().proven {
            return Ok(Token { session: self.state().session.clone(), _alone: None });
        }
        let alone = self.flight.clone().lock_owned().await;
        if !self.state().proven {
            self.check_refusal()?;
            return Ok(Token { session: self.state().session.clone(), _alone: Some(alone) });
        }
        Ok(Token { session: self.state().session.clone(), _alone: None })
    }

    /// The headers of a call.
    pub(crate) fn headers(&self, url: &str, token: &Token) -> Result<Vec<(&'static str, String)>, Error> {
        let mut headers = if self.is_signed() {
            let secret = self.state().secret.clone();
            login::identity(&self.settings, secret.expose_secret())
                .headers(url, Utc::now().timestamp())
                .map_err(crate::settings::unsignable)?
        } else {
            plain_headers()
        };
        headers.extend(token.session.as_ref().map(session_headers).unwrap_or_default());
        Ok(headers)
    }

    /// Whether the loss of the session explains a refusal: the call presented one that may have ended.
    pub(crate) fn may_be_stale(&self, token: &Token) -> bool {
        token.session.is_some()
    }

    /// A call was served: the identity is proven, and a session that came with the reply is kept.
    pub(crate) fn served(&self, token: &Token, came: Option<WireSession>) {
        let mut state = self.state();
        state.proven = true;
        state.doubts = 0;
        state.refusal = None;
        if self.is_signed()
            && let Some(came) = came
            && (state.session.is_none() || state.session == token.session)
        {
            state.session = Some(came);
        }
    }

    /// The session of `token` was lost: sees to it that the next call has another.
    pub(crate) async fn renew(&self, transport: &Transport, token: &Token) -> Result<(), Error> {
        if self.is_signed() {
            let mut state = self.state();
            if state.session == token.session {
                state.session = None;
            }
            return Ok(());
        }
        let _flight = self.flight.lock().await;
        if self.state().session != token.session {
            return Ok(());
        }
        self.state().session = None;
        self.open(transport, token.session.as_ref()).await.map(|_| ())
    }

    /// A call was refused although its session was fresh: the identity is in doubt.
    pub(crate) fn doubt(&self, text: &str) -> Error {
        let mut state = self.state();
        let wait = DOUBTS.get(state.doubts).or(DOUBTS.last()).copied().unwrap_or(LOGIN_EVERY);
        state.doubts += 1;
        state.proven = false;
        state.session = None;
        state.refusal = Some(Refusal { text: text.to_owned(), until: Some(Instant::now() + wait) });
        drop(state);
        warn!(identity = self.name, wait_seconds = wait.as_secs(), "identity refused, not tried again for a while");
        self.refused(text)
    }

    fn refused(&self, text: &str) -> Error {
        Error::AuthFailed { identity: self.name.clone(), text: text.to_owned() }
    }

    /// Fails while an earlier refusal stands; looks whether the secret's file has changed since.
    fn check_refusal(&self) -> Result<(), Error> {
        let standing = {
            let state = self.state();
            match &state.refusal {
                Some(Refusal { until: Some(until), .. }) if *until <= Instant::now() => None,
                other => other.clone(),
            }
        };
        let Some(refusal) = standing else { return Ok(()) };
        // A small local file, read only while a refusal stands.
        if let Ok(secret) = secret(&self.settings) {
            let fingerprint = fingerprint(&self.settings, &secret);
            let mut state = self.state();
            if fingerprint != state.fingerprint {
                info!(identity = self.name, "secret changed, refusal forgotten");
                state.secret = secret;
                state.fingerprint = fingerprint;
                state.refusal = None;
                state.doubts = 0;
                return Ok(());
            }
        }
        Err(self.refused(&refusal.text))
    }

    /// Takes over the session of another replica or logs in. The caller holds the flight.
    async fn open(&self, transport: &Transport, failed: Option<&WireSession>) -> Result<WireSession, Error> {
        self.check_refusal()?;
        let fingerprint = self.state().fingerprint.clone();
        if self.cache.refused(&self.name, &fingerprint).await {
            return Err(self.give_up("refused before, in this process or another", None));
        }
        let mut replaces = self.state().generation;
        for _ in 0..TURNS {
            if let Some(held) = self.cache.get(&self.name).await
                && let Some(session) = WireSession::decode(&held.session)
            {
                replaces = replaces.max(held.generation);
                if failed != Some(&session) {
                    self.adopt(held.generation, &session);
                    return Ok(session);
                }
            }
            match self.cache.login_turn(&self.name, LOGIN_EVERY).await {
                LoginTurn::After(wait) => tokio::time::sleep(wait.min(LOGIN_EVERY)).await,
                LoginTurn::Now => {
                    self.permits.permit().await;
                    let session = self.log_in(transport, &fingerprint).await?;
                    let held = self.cache.put(&self.name, replaces, &session.encode()).await;
                    let session = WireSession::decode(&held.session).unwrap_or(session);
                    self.adopt(held.generation, &session);
                    return Ok(session);
                }
            }
        }
        Err(Error::SessionLost { method: "login".to_owned() })
    }

    fn adopt(&self, generation: u64, session: &WireSession) {
        let mut state = self.state();
        state.generation = generation;
        state.session = Some(session.clone());
    }

    async fn log_in(&self, transport: &Transport, fingerprint: &str) -> Result<WireSession, Error> {
        let secret = self.state().secret.clone();
        let (method, body) = login::request(&self.settings, &secret, Utc::now())
            .expect("a session is opened only in the modes that have a login");
        let url = wire::service_url(&self.settings.url, &wire::login_service(method));
        let raw = transport
            .post(&url, &plain_headers(), body.into(), self.settings.query_timeout)
            .await
            .map_err(|failure| failure.into_error(method))?;
        // A server in trouble, or one that refuses calls for now, says nothing of the identity.
        let account = self.settings.account();
        let context = Context { method, form: "", account: &account };
        let reply = query::read_unless(context, raw.status, raw.retry_after, &raw.body, Status::throttled)?;
        match login::understand(&reply, raw.session.as_ref()) {
            Outcome::Open(session) => {
                info!(identity = self.name, method, "logged in");
                Ok(session)
            }
            Outcome::Refused(text) => {
                self.cache.refuse(&self.name, fingerprint).await;
                Err(self.give_up(&text, Some(method)))
            }
            Outcome::Unclear(text) => Err(self.doubt(&text)),
        }
    }

    /// Remembers a refusal until the secret changes.
    fn give_up(&self, text: &str, method: Option<&str>) -> Error {
        let mut state = self.state();
        state.session = None;
        state.proven = false;
        state.refusal = Some(Refusal { text: text.to_owned(), until: None });
        drop(state);
        warn!(identity = self.name, method, "login refused, not tried again until the secret changes");
        self.refused(text)
    }
}

fn plain_headers() -> Vec<(&'static str, String)> {
    vec![
        ("Accept-Charset", "utf-8".to_owned()),
        ("User-Agent", USER_AGENT.to_owned()),
        ("Content-Type", "application/json".to_owned()),
    ]
}

/// Reads the secret that the mode of login needs.
fn secret(settings: &Settings) -> Result<SecretString, Error> {
    let (setting, path) = match settings.login {
        LoginMode::Password => ("password_file", &settings.password_file),
        LoginMode::Signed | LoginMode::AppSecret | LoginMode::Sign => ("app_secret_file", &settings.app_secret_file),
    };
    let path = path.as_deref().unwrap_or(Path::new(""));
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.permissions().mode(), file)));
    let file = SecretFile { path, setting, allow_world_readable: settings.allow_world_readable_secrets };
    let text = file.text(opened).map_err(|fault| Error::Secret(fault.into()))?;
    unsealed(settings, text).map_err(|fault| {
        let named = fault.place.file.is_some();
        let fault = if named { fault } else { fault.in_file(path.display().to_string()).at_path(setting) };
        Error::Secret(fault.into())
    })
}

/// What a secret's file holds, opened where it is sealed.
fn unsealed(settings: &Settings, text: SecretString) -> Result<SecretString, Fault> {
    let Some(sealed) = SealedFile::read(text.expose_secret())? else { return Ok(text) };
    let Some(folder) = &settings.master_keys else {
        let fault = Fault::new(Code::MasterKey, "the secret is sealed, and no master keys are named");
        return Err(fault.hint("name their folder: master_keys in the connection's settings"));
    };
    sealed.open(&settings.name, &vault::file::master_keys(folder)?)
}

/// Tells one secret of an identity from another without showing it.
fn fingerprint(settings: &Settings, secret: &SecretString) -> String {
    let mut hash = Sha256::new();
    for part in [settings.identity().as_str(), secret.expose_secret()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = hex::encode(hash.finalize());
    text.truncate(16);
    text
}
