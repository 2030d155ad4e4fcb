//! The systems that flows read from and write to, as the control plane reaches them: to try a connection, to look a
//! document up, and to ask what a form demands.
//!
//! Nothing is written to a system from here. Calls are taken from the limit that all services share, in the lane that
//! never takes more than its share while fresh documents wait.

pub mod beside;
pub mod judge;
pub mod look;
pub mod side;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use connection::check::{self, Taken, Trial};
use connection::{Quota, Replicas};
use document::{Code, Fault};
use kingdee::{Client, MemorySessions, Outbound, SessionCache, Settings};
use runtime::Clock;

use crate::config::Config;

/// The connections of the settings.
pub struct Systems {
    known: BTreeMap<String, Arc<System>>,
    outbound: Outbound,
    /// Sessions of trials: a trial always logs in itself, but not again once it was refused.
    trials: Arc<dyn SessionCache>,
    clock: Clock,
}

impl fmt::Debug for Systems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Systems").field("known", &self.known.keys()).finish_non_exhaustive()
    }
}

/// One of them.
#[derive(Debug)]
pub struct System {
    client: Client,
    quota: Quota,
    forms: look::Forms,
}

impl System {
    /// A system behind `client`, whose calls are taken from `quota`.
    pub fn new(client: Client, quota: Quota) -> Self {
        Self { client, quota, forms: look::Forms::default() }
    }

    /// How it is set up.
    pub fn settings(&self) -> &Settings {
        self.client.settings()
    }
}

impl Systems {
    /// Prepares every connection of the settings; nothing is sent yet.
    ///
    /// # Errors
    /// The fault of the first one, or of Redis, that cannot be used as it is set up.
    pub fn connect(config: &Config, clock: Clock) -> Result<Self, Fault> {
        let replicas = Replicas { most: config.rate.max_replicas, this: config.rate.replica };
        let ready = connection::connect(&config.connections, &config.outbound, config.redis.as_ref(), replicas)
            .map_err(|error| error.fault())?;
        let known = ready
            .into_iter()
            .map(|(name, connection)| (name, Arc::new(System::new(connection.client, connection.quota))));
        Ok(Self {
            known: known.collect(),
            outbound: config.outbound.clone(),
            trials: Arc::new(MemorySessions::default()),
            clock,
        })
    }

    /// Every connection by its name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &System)> {
        self.known.iter().map(|(name, system)| (name.as_str(), system.as_ref()))
    }

    /// A connection.
    ///
    /// # Errors
    /// `E_CONNECTION_UNKNOWN`.
    pub fn get(&self, name: &str) -> Result<&Arc<System>, Fault> {
        self.known.get(name).ok_or_else(|| {
            let detail = format!("{name:?} is not among the connections of this control plane's settings");
            Fault::new(Code::ConnectionUnknown, detail)
                .of_record(name)
                .hint("add the table [connections.NAME] that the stages have to the settings of control")
        })
    }

    /// Tries a connection step by step: reads `form`, and tries a save of it where `save` says so.
    ///
    /// # Errors
    /// As [`Systems::get`]; what is wrong with the connection is told by its steps.
    pub async fn check(&self, name: &str, form: &str, save: bool) -> Result<Vec<Taken>, Fault> {
        let system = self.get(name)?;
        let trial = Trial { settings: system.settings(), outbound: &self.outbound, quota: &system.quota, form, save };
        Ok(check::check(&trial, &self.trials, || self.now()).await)
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.clock.millis()).unwrap_or_default()
    }
}
