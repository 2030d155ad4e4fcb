//! The targets, out of the connections of the settings.

use std::collections::BTreeMap;
use std::sync::Arc;

use connection::{Connection, Replicas};
use runtime::Clock;

use crate::config::Config;
use crate::error::Error;
use crate::metrics::LoaderMetrics;
use crate::target::Target;

/// The targets by the names that flows use.
pub type Targets = BTreeMap<String, Arc<Target>>;

/// Prepares every target; nothing is sent yet.
///
/// # Errors
/// [`Error`] of the first one, or of Redis, that cannot be used as it is set up.
pub fn connect(config: &Config, clock: &Clock, metrics: &LoaderMetrics) -> Result<Targets, Error> {
    let replicas = Replicas { most: config.rate.max_replicas, this: config.rate.replica };
    let ready = connection::connect(&config.connections, &config.outbound, config.redis.as_ref(), replicas)?;
    let zones = config.connections.values().map(|settings| settings.zone);
    let targets = ready.into_iter().zip(zones).map(|((name, Connection { client, quota }), zone)| {
        let target = Target::new(Arc::new(client), quota, zone, clock.clone(), metrics.clone());
        (name, Arc::new(target))
    });
    Ok(targets.collect())
}
