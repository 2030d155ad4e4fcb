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
    let limiter = Limiter::connect(config.redis.as_ref())?;
    let sessions: Arc<dyn SessionCache> = Arc::new(Shared(SessionStore::connect(config.redis.as_ref())?));
    let mut targets = Targets::new();
    for (name, settings) in &config.connections {
        let limit = Limit {
            per_minute: settings.calls_per_minute,
            max_replicas: config.rate.max_replicas,
            replica: config.rate.replica,
        };
        limit.check()?;
        let quota = Quota { limiter: limiter.clone(), account: settings.account(), limit };
        let logins = Arc::new(Logins(quota.clone()));
        let client = Client::new(settings.clone(), &config.outbound, Arc::clone(&sessions), logins)
            .map_err(|error| Error::Connection { name: name.clone(), source: Box::new(error) })?;
        let target = Target::new(Arc::new(client), quota, settings.zone, clock.clone(), metrics.clone());
        targets.insert(name.clone(), Arc::new(target));
    }
    Ok(targets)
}

/// Permits for the calls that the client adds by itself.
struct Logins(Quota);

#[async_trait]
impl Permits for Logins {
    async fn permit(&self) {
        while !self.0.limiter.permit(&self.0.account, &self.0.limit, Lane::Fresh).await.is_fresh() {}
    }
}

/// The session that replicas share.
struct Shared(SessionStore);

fn held(held: Held) -> HeldSession {
    HeldSession { generation: held.generation, session: held.session }
}

#[async_trait]
impl SessionCache for Shared {
    async fn get(&self, identity: &str) -> Option<HeldSession> {
        self.0.get(identity).await.map(held)
    }

    async fn put(&self, identity: &str, replaces: u64, session: &SecretString) -> HeldSession {
        held(self.0.put(identity, replaces, session).await)
    }

    async fn login_turn(&self, identity: &str, every: Duration) -> LoginTurn {
        match self.0.login_turn(identity, every).await {
            Turn::Now => LoginTurn::Now,
            Turn::After(wait) => LoginTurn::After(wait),
        }
    }

    async fn refuse(&self, identity: &str, fingerprint: &str) {
        self.0.refuse(identity, fingerprint).await;
    }

    async fn refused(&self, identity: &str, fingerprint: &str) -> bool {
        self.0.refused(identity, fingerprint).await
    }
    let replicas = Replicas { most: config.rate.max_replicas, this: config.rate.replica };
    let ready = connection::connect(&config.connections, config.redis.as_ref(), replicas)?;
    let zones = config.connections.values().map(|settings| settings.zone);
    let targets = ready.into_iter().zip(zones).map(|((name, Connection { client, quota }), zone)| {
        let target = Target::new(Arc::new(client), quota, zone, clock.clone(), metrics.clone());
        (name, Arc::new(target))
    });
    Ok(targets.collect())
}
