//! From settings to a running server.

use std::collections::HashSet;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use document::Fault;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Duration;

use crate::clock::Clock;
use crate::door::App;
use crate::fault::{Faults, Spec};
use crate::galaxy::{Galaxy, Parts};
use crate::journal::Journal;
use crate::limit::Limit;
use crate::options::Options;
use crate::orders::{self, OrderFile};
use crate::query::Package;
use crate::rules::{Refusals, Rules};
use crate::save::{Context, Flags, Mode, save_one};
use crate::session::Sessions;
use crate::signature::Credentials;
use crate::store::Store;
use crate::{admin, schema, server, target};

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The order file or a list beside it is not what it must be.
    #[error("{}", .0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))]
    Input(Vec<Fault>),
    /// A file could not be read or created.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A setting, schema or fault makes no sense.
    #[error("{0}")]
    Setting(String),
    /// A port could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The port.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A running server. Dropping it ends it as well, without waiting.
#[derive(Debug)]
pub struct Running {
    /// Address of the WebAPI.
    pub address: SocketAddr,
    /// Address of the admin port.
    pub admin: SocketAddr,
    prefix: String,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// The base URL for clients, with its trailing slash.
    pub fn url(&self) -> String {
        format!("http://{}/{}", self.address, self.prefix)
    }

    /// The base URL of the admin port.
    pub fn admin_url(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// The line that a starter reads.
    pub fn line(&self) -> String {
        json!({
            "listen": self.address.to_string(),
            "admin": self.admin.to_string(),
            "url": self.url(),
            "admin_url": self.admin_url(),
        })
        .to_string()
    }

    /// Ends the server and waits for it.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a port ended badly");
            }
        }
    }
}

/// Starts a server: reads everything first, then opens its ports.
///
/// # Errors
///
/// When a file, setting or port is not as it must be; nothing was started then.
pub async fn start(options: &Options) -> Result<Running, StartError> {
    let app = Arc::new(prepare(options)?);
    let listen = async |address: SocketAddr| {
        let listener = TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen { address, source })?;
        Ok::<_, StartError>((listener, address))
    };
    let (listener, address) = listen(options.listen).await?;
    let (admin_listener, admin) = listen(options.admin).await?;
    let (stop, stopped) = watch::channel(false);
    let mut admin_stopped = stopped.clone();
    let router = admin::router(Arc::clone(&app));
    let admin_task = tokio::spawn(async move {
        let stopped = async move { server::stopped(&mut admin_stopped).await };
        if let Err(error) = axum::serve(admin_listener, router).with_graceful_shutdown(stopped).await {
            tracing::error!(%error, "the admin port ended");
        }
    });
    let tasks = vec![tokio::spawn(server::serve(listener, app, stopped)), admin_task];
    let prefix = options.url_prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    Ok(Running { address, admin, prefix, stop, tasks })
}

fn prepare(options: &Options) -> Result<App, StartError> {
    let app_secret = match (&options.app_secret, &options.app_secret_file) {
        (Some(secret), _) => secret.0.clone(),
        (None, Some(path)) => secret(path)?,
        (None, None) => return Err(StartError::Setting("an application secret is needed".to_owned())),
    };
    let credentials = Credentials {
        acct_id: options.acct_id.clone(),
        user: options.user.clone(),
        app_id: options.app_id.clone(),
        app_secret,
        password: options.password_file.as_deref().map(secret).transpose()?,
    };
    let clock = Clock::new(options.zone);
    let rules = Rules::of(options);
    let store = fill(options, &clock, &rules)?;
    let mut faults = Faults::new(options.seed);
    for text in &options.fail {
        faults.add(Spec::parse(text).map_err(|why| StartError::Setting(format!("--fail {text}: {why}")))?);
    }
    let window = Duration::from_millis(options.call_window_ms);
    let log = match &options.request_log {
        Some(path) => Some(File::create(path).map_err(|source| StartError::File { path: path.clone(), source })?),
        None => None,
    };
    let parts = Parts {
        store,
        rules,
        sessions: Sessions::new(Duration::from_secs(options.session_idle_s), options.login_words),
        limit: Limit::new(options.calls_per_minute, window),
        faults,
        journal: Journal::new(log, window),
    };
    let galaxy = Galaxy::new(parts, credentials, options.signed_path);
    Ok(App::new(galaxy, clock, options.url_prefix.clone(), options.limit_reply))
}

/// The documents that exist from the start.
fn fill(options: &Options, clock: &Clock, rules: &Rules) -> Result<Store, StartError> {
    let orders = options.orders.as_deref().map(OrderFile::open).transpose().map_err(StartError::Input)?;
    let base = options.base_data_from.as_deref().map(OrderFile::open).transpose().map_err(StartError::Input)?;
    let unknown = options.unknown_products.as_deref().map(target::read_list).transpose().map_err(StartError::Input)?;
    let held = options.held_numbers.as_deref().map(target::read_list).transpose().map_err(StartError::Input)?;

    let mut schemas = Vec::new();
    for path in &options.schema {
        let text = std::fs::read_to_string(path).map_err(|source| StartError::File { path: path.clone(), source })?;
        schemas.push((path.display().to_string(), text));
    }
    let forms = schema::load(&schemas).map_err(StartError::Setting)?;
    let mut store = Store::new(forms, options.seed);
    let now = clock.local();
    plant_records(&mut store, rules, now)?;
    let at = match &options.approved_at {
        None => now,
        Some(text) => {
            let instant = clock.parse(text);
            clock.localize(instant.ok_or_else(|| StartError::Setting(format!("--approved-at {text} is not a time")))?)
        }
    };
    if let Some(file) = orders {
        let count = orders::plant(&mut store, &file, &options.orders_prefix, at).map_err(StartError::Setting)?;
        tracing::info!(count, "orders loaded");
    }
    if let Some(file) = base {
        let unknown: HashSet<String> = unknown.into_iter().flatten().collect();
        target::plant(&mut store, &file, &unknown, at);
    }
    if let Some(numbers) = held {
        target::plant_foreign(&mut store, &numbers, at).map_err(StartError::Setting)?;
    }
    Ok(store)
}

/// The records that schemas bring. Base data first: bills may refer to it.
fn plant_records(store: &mut Store, rules: &Rules, now: chrono::NaiveDateTime) -> Result<(), StartError> {
    let refusals = Refusals::default();
    let context = Context { now, rules, refusals: &refusals };
    let options = Map::from_iter([("IsVerifyBaseDataField".to_owned(), Value::from(true))]);
    let flags = Flags::read(&Package(&options));
    for base in [true, false] {
        for at in 0..store.tables().len() {
            let form = Arc::clone(&store.table(at).form);
            for record in form.records.iter().filter(|_| form.base == base) {
                save_one(store, at, record, &flags, Mode::Plant, context).map_err(|problems| {
                    let why: Vec<String> = problems.into_iter().map(|problem| problem.message).collect();
                    StartError::Setting(format!("a record of {}: {}", form.id, why.join("; ")))
                })?;
            }
        }
    }
    Ok(())
}

/// A secret from its file, without the line end.
fn secret(path: &Path) -> Result<String, StartError> {
    let text = std::fs::read_to_string(path).map_err(|source| StartError::File { path: path.to_owned(), source })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
