//! The control plane: what operators and their tools ask of Starbridge, over gRPC.
//!
//! Lists answer from an index of the dead letters that a restart rebuilds from Kafka; every change is authorised,
//! audited before its effect, and made by the one replica that owns the audit topic.

pub mod access;
pub mod audit;
pub mod backfill;
pub mod canary;
pub mod config;
pub mod core;
pub mod extracts;
pub mod follow;
pub mod grpc;
pub mod index;
pub mod letter;
pub mod mask;
pub mod metrics;
pub mod mirror;
mod own;
pub mod reconcile;
pub mod secret;
pub mod selector;
pub mod systems;
pub mod writer;

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault, topic};
use queue::{Admin, Cluster, FlowRegistry, Peek, topics};
use runtime::health::Readiness;
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock, Shutdown};
use tokio::net::TcpListener;
use tracing::{info, warn};

pub use config::{Config, DEFAULTS};

use crate::access::lockout::Limits;
use crate::access::{Bootstrap, Lockout};
use crate::audit::Hash;
use crate::extracts::Extracts;
use crate::follow::Feed;
use crate::grpc::gate::Gate;
use crate::grpc::{Shared, server};
use crate::index::Index;
use crate::metrics::ControlMetrics;
use crate::mirror::Mirror;
use crate::systems::Systems;
use crate::writer::library::Sources;
use crate::writer::{Settings, Writer};

/// The conditions of `/ready`.
pub const CONDITIONS: [&str; 2] = ["kafka", "index"];

/// What the control plane is given besides its settings.
#[derive(Debug)]
pub struct Surroundings {
    /// Time.
    pub clock: Clock,
    /// What `/ready` says.
    pub readiness: Readiness,
    /// Watched while the writer goes round.
    pub writing: Heartbeat,
    /// Watched while the index is fed.
    pub indexing: Heartbeat,
    /// What is counted.
    pub metrics: ControlMetrics,
}

/// One replica of the control plane, its port bound.
#[derive(Debug)]
pub struct Control {
    listener: TcpListener,
    tls: rustls::ServerConfig,
    shared: Arc<Shared>,
    writer: Writer,
    readiness: Readiness,
}

impl Control {
    /// Reads every file, waits for the brokers, makes missing topics and binds the port; `None` when asked to stop
    /// meanwhile.
    ///
    /// # Errors
    /// The fault of a file, a folder or a setting that cannot be used.
    pub async fn start(config: Config, around: Surroundings, shutdown: &Shutdown) -> Result<Option<Self>, Fault> {
        killpoint::reached("control.starting");
        let tls = server::tls(&config.files())?;
        let keys = Arc::new(config.keys()?);
        let masker = config.masker()?;
        let systems = Systems::connect(&config, around.clock.clone())?;
        let now = DateTime::from_timestamp_millis(around.clock.millis()).unwrap_or_default();
        let bootstrap = bootstrap(&config, now)?;
        let folder = &config.worker.data_dir;
        std::fs::create_dir_all(folder)
            .map_err(|error| Fault::new(Code::Index, error.to_string()).in_file(folder.display().to_string()))?;
        let index = Arc::new(Index::open(&folder.join("letters.sqlite"))?);
        let listener = TcpListener::bind(&config.grpc.listen).await.map_err(|error| {
            Fault::new(Code::ControlSettings, format!("cannot listen on {}: {error}", config.grpc.listen))
                .at_path("$.grpc.listen")
        })?;
        let bound = listener.local_addr().map(|address| address.to_string()).unwrap_or_default();
        if let Some(path) = &config.grpc.address_file {
            std::fs::write(path, &bound).map_err(|error| {
                Fault::new(Code::ControlSettings, error.to_string()).in_file(path.display().to_string())
            })?;
        }
        let address = if config.grpc.advertise.is_empty() { bound.clone() } else { config.grpc.advertise.clone() };
        killpoint::reached("control.bound");
        let admin = Admin::connect(&config.kafka).map_err(|error| error.fault())?;
        let member = config.worker.member.clone();
        let Some(flows) = topics_and_flows(&config, &admin, &around.readiness, shutdown).await? else {
            return Ok(None);
        };
        info!(address = bound, member, "serving gRPC");
        let (mirror, extracts) = (Mirror::default(), Extracts::default());
        let feed = Feed {
            cluster: config.kafka.clone(),
            member: member.clone(),
            index: Arc::clone(&index),
            mirror: mirror.clone(),
            extracts: extracts.clone(),
            flows: flows.clone(),
            clock: around.clock.clone(),
            heartbeat: around.indexing,
            metrics: around.metrics.clone(),
        };
        let progress = feed.start().map_err(|error| Fault::new(Code::Index, error.to_string()))?;
        let peek = Peek::new(&config.kafka, &format!("{member}-peek"));
        let sources = Sources { index: Arc::clone(&index), flows: flows.clone(), peek: peek.clone() };
        let settings = Settings {
            cluster: config.kafka.clone(),
            group: config.worker.group.clone(),
            member: member.clone(),
            address,
            data_dir: folder.join("session"),
            round: config.replay.round,
            keys: Arc::clone(&keys),
            metrics: around.metrics.clone(),
            rules: config.rules(),
        };
        let (clock, readiness) = (around.clock.clone(), around.readiness.clone());
        let (writer, handle) =
            Writer::new(settings, sources, clock, readiness.clone(), around.writing, progress.clone());
        let shared = Arc::new(Shared {
            index,
            mirror,
            extracts,
            flows,
            peek,
            admin,
            writer: handle,
            progress,
            clock: around.clock,
            gate: Gate {
                keys,
                audience: config.access.audience.clone(),
                lockout: Mutex::new(Lockout::new(Limits::default())),
            },
            masker,
            systems,
            bounds: config.bounds(),
            bootstrap,
            member,
            carriers: config.flows.clone(),
            replication: config.topics.replication,
            warnings: config.warnings(),
            metrics: around.metrics,
        });
        Ok(Some(Self { listener, tls, shared, writer, readiness }))
    }

    /// Serves and writes until `shutdown` is requested.
    ///
    /// # Errors
    /// What keeps the port from being served.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), tonic::transport::Error> {
        let Self { listener, tls, shared, writer, readiness } = self;
        killpoint::reached("control.serving");
        let writing = tokio::spawn(writer.run(shutdown.clone()));
        let progress = shared.progress.clone();
        let watching = tokio::spawn(async move {
            let mut every = tokio::time::interval(std::time::Duration::from_millis(200));
            while !progress.is_caught_up() {
                every.tick().await;
            }
            readiness.ready("index");
        });
        let remembering = tokio::spawn(grpc::access::remember_bootstrap(Arc::clone(&shared)));
        let showing = tokio::spawn(metrics::show(Arc::clone(&shared)));
        let filling = tokio::spawn(backfill::run::run(Arc::clone(&shared)));
        let trying = tokio::spawn(canary::run(Arc::clone(&shared)));
        let reconciling = tokio::spawn(reconcile::run::run(Arc::clone(&shared)));
        let served = server::serve(listener, tls, shared, shutdown).await;
        killpoint::reached("control.served");
        watching.abort();
        remembering.abort();
        showing.abort();
        filling.abort();
        trying.abort();
        reconciling.abort();
        if writing.await.is_err() {
            warn!("the writer panicked");
        }
        served
    }
}

/// What is known of the credential of the first administrator, where one is set.
fn bootstrap(config: &Config, now: DateTime<Utc>) -> Result<Option<Bootstrap>, Fault> {
    let file = &config.access.bootstrap_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let credential = secret::text(file, "$.access.bootstrap_file")?;
    let hash = Hash::of(secrecy::ExposeSecret::expose_secret(&credential).as_bytes());
    let within = TimeDelta::from_std(config.access.bootstrap_within).unwrap_or(TimeDelta::days(1));
    Ok(Some(Bootstrap { hash, expires: now + within, used: None }))
}

/// Makes the topics that are missing and follows the published flows, waiting for the brokers as long as it takes.
async fn topics_and_flows(
    config: &Config,
    admin: &Admin,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> Result<Option<FlowRegistry>, Fault> {
    let cluster: &Cluster = &config.kafka;
    let mut attempt = 0;
    loop {
        let tried = async {
            admin.ensure(&topics::house(), config.topics.replication).await?;
            FlowRegistry::follow(cluster, &config.worker.member).await
        };
        let tried = tokio::select! {
            () = shutdown.requested() => return Ok(None),
            tried = tried => tried,
        };
        match tried {
            Ok(flows) => return Ok(Some(flows)),
            Err(error) if matches!(error.code(), Code::KafkaSettings | Code::PartitionsDiffer) => {
                return Err(error.fault());
            }
            Err(error) => {
                attempt += 1;
                let fault = error.fault();
                warn!(code = %fault.code, place = %fault.place, attempt, topic = topic::FLOWS, "the brokers cannot be used yet");
                readiness.not_ready("kafka", fault.code.to_string());
                let wait = Backoff::HOUSE.wait(attempt, None, rand::random());
                tokio::select! {
                    () = shutdown.requested() => return Ok(None),
                    () = tokio::time::sleep(wait) => {}
                }
            }
        }
    }
}
