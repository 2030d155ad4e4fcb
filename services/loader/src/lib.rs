//! The loading stage: mapped bills in, one save per bill in the target, proven.
//!
//! An intent is written before every save, an outcome after it, and a lost reply is resolved by looking into the
//! target before anything is sent again. What became of each target key is kept in the flow's ledger topic, read back
//! as a table. [`core`] decides everything and does no I/O; [`life`] carries its actions out over one Kafka session
//! after another, [`target`] speaks to the target systems, [`compare`] tells our own document from a foreign one.

pub mod compare;
pub mod config;
pub mod connections;
pub mod core;
pub mod definition;
pub mod definitions;
pub mod error;
pub mod life;
pub mod metrics;
pub mod probe;
pub mod target;
mod topics;

use std::time::Duration;

use queue::{Admin, FlowRegistry};
use runtime::health::Readiness;
use runtime::watchdog::Heartbeat;
use runtime::{Backoff, Clock, Shutdown};
use tracing::{info, warn};

pub use config::{Config, DEFAULTS};
pub use error::Error;

use crate::connections::Targets;
use crate::core::Carried;
use crate::definition::Limits;
use crate::definitions::Definitions;
use crate::life::{Life, Outcome};
use crate::metrics::LoaderMetrics;
use crate::topics::Topics;

/// The conditions of `/ready`.
pub const CONDITIONS: [&str; 2] = ["kafka", "flows"];

/// What the loop is given besides settings and flows.
#[derive(Debug)]
pub struct Surroundings {
    /// Time.
    pub clock: Clock,
    /// What `/ready` says.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: LoaderMetrics,
    /// Watched while the loop goes round.
    pub heartbeat: Heartbeat,
}

/// The stage.
#[derive(Debug)]
pub struct Loader {
    config: Config,
    flows: FlowRegistry,
    definitions: Definitions,
    targets: Targets,
    topics: Topics,
    around: Surroundings,
}

impl Loader {
    /// Prepares targets; nothing is sent yet.
    ///
    /// # Errors
    /// [`Error`] when a connection, Redis or Kafka cannot be used as it is set up.
    pub fn new(config: Config, flows: FlowRegistry, around: Surroundings) -> Result<Self, Error> {
        let targets = connections::connect(&config, &around.clock, &around.metrics)?;
        let names = targets.keys().cloned().collect();
        let limits = Limits { max_bytes: config.save.max_bytes, retry: config.retries() };
        let definitions = Definitions::new(flows.clone(), names, limits, around.clock.clone());
        let topics = Topics::new(Admin::connect(&config.kafka)?, config.flows.subscribe_every);
        Ok(Self { config, flows, definitions, targets, topics, around })
    }

    /// Loads until `shutdown` is requested. Every session that ends for another reason is followed by a new one that
    /// knows only what Kafka and this process's own calls tell.
    ///
    /// # Errors
    /// None today; what ends a session is told and followed by another one.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Error> {
        let waits = Backoff::new(Duration::from_millis(500), Duration::from_secs(30)).expect("500 ms is below 30 s");
        killpoint::reached("loader.started");
        self.around.readiness.ready("flows");
        let mut carried = Carried::default();
        let mut failures = 0;
        loop {
            if !self.wait_for_topics(&shutdown).await {
                return Ok(());
            }
            killpoint::reached("loader.topics.there");
            let life = Life {
                config: &self.config,
                definitions: &self.definitions,
                targets: &self.targets,
                topics: &mut self.topics,
                around: &self.around,
                flows: self.flows.clone(),
            };
            let (outcome, worked) = life.live(carried, &shutdown).await;
            match outcome {
                Outcome::Drained => {
                    info!("drained");
                    return Ok(());
                }
                Outcome::Ended(rest) => carried = rest,
            }
            if shutdown.is_requested() {
                return Ok(());
            }
            failures = if worked { 1 } else { failures + 1 };
            let wait = waits.wait(failures, None, rand::random());
            self.around.readiness.not_ready("kafka", "the session ended, another one is being opened");
            warn!(wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX), "session ended, opening another one");
            self.pause(wait, &shutdown).await;
        }
    }

    /// Waits until a flow is published whose topics are there. `false` when the process is to stop first.
    async fn wait_for_topics(&mut self, shutdown: &Shutdown) -> bool {
        loop {
            self.around.heartbeat.beat();
            self.topics.refresh(&self.definitions.names(), self.around.clock.monotonic()).await;
            if !self.topics.wanted().is_empty() {
                return true;
            }
            // Nothing to do is no trouble.
            self.around.readiness.ready("kafka");
            self.pause(Duration::from_secs(1), shutdown).await;
            if shutdown.is_requested() {
                return false;
            }
        }
    }

    async fn pause(&self, wait: Duration, shutdown: &Shutdown) {
        let until = tokio::time::Instant::now() + wait;
        while tokio::time::Instant::now() < until {
            self.around.heartbeat.beat();
            let step = (tokio::time::Instant::now() + Duration::from_secs(5)).min(until);
            tokio::select! {
                () = tokio::time::sleep_until(step) => {}
                () = shutdown.requested() => return,
            }
        }
    }
}
