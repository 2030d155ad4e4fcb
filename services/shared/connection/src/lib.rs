//! The connections of a service's settings, made ready: a client for each, whose session all replicas share and whose
//! calls are taken from its account's share of the call limit.
//!
//! The client knows nothing of replicas, and what replicas agree on knows nothing of the client; here they meet.

pub mod check;
mod sessions;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use coordination::{Lane, Limit, Limiter, Permit, RedisSettings, SessionStore};
use document::{Code, Fault};
use kingdee::{Client, Outbound, Permits, SessionCache, Settings};

use sessions::Sessions;

/// Why connections cannot be used as they are set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of them.
    #[error("connection {name} cannot be used")]
    Client {
        /// Its name in the settings.
        name: String,
        /// Why.
        #[source]
        source: Box<kingdee::Error>,
    },
    /// Redis, or the split of the call limit.
    #[error("the quota cannot be shared")]
    Coordination(#[from] coordination::Error),
}

impl Error {
    /// The entry of the catalogue.
    pub fn code(&self) -> Code {
        match self {
            Error::Client { source, .. } => source.code(),
            Error::Coordination(error) => error.code(),
        }
    }

    /// The error as a person meets it.
    pub fn fault(&self) -> Fault {
        match self {
            Error::Client { source, .. } => source.fault(),
            Error::Coordination(error) => error.fault().clone(),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Makes calls, and takes permits for those it adds by itself.
    pub client: Client,
    /// Grants permits for the others.
    pub quota: Quota,
}

/// An account's share of its call limit. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Quota {
    /// Grants permits.
    pub limiter: Limiter,
    /// The account they are for.
    pub account: String,
    /// How many there are, and who shares them.
    pub limit: Limit,
}

impl Quota {
    /// Waits for leave to make one call. A permit that has become old while it was waited for is worth nothing: another
    /// one is waited for then.
    pub async fn permit(&self, lane: Lane) -> Permit {
        loop {
            let permit = self.limiter.permit(&self.account, &self.limit, lane).await;
            if permit.is_fresh() {
                return permit;
            }
        }
    }
}

#[async_trait]
impl Permits for Quota {
    async fn permit(&self) {
        Quota::permit(self, Lane::Fresh).await;
    }
}

/// Who shares the accounts of the connections.
#[derive(Debug, Clone, Copy)]
pub struct Replicas {
    /// Processes that take calls from a quota, at most.
    pub most: u32,
    /// Which of them this is, from 0.
    pub this: u32,
}

/// Prepares every connection; nothing is sent yet.
///
/// # Errors
/// [`Error`] of the first one, or of Redis, that cannot be used as it is set up.
pub fn connect(
    connections: &BTreeMap<String, Settings>,
    outbound: &Outbound,
    redis: Option<&RedisSettings>,
    replicas: Replicas,
) -> Result<BTreeMap<String, Connection>, Error> {
    let limiter = Limiter::connect(redis)?;
    let sessions: Arc<dyn SessionCache> = Arc::new(Sessions(SessionStore::connect(redis)?));
    let mut ready = BTreeMap::new();
    for (name, settings) in connections {
        let per_minute = settings.calls_per_minute;
        let limit = Limit { per_minute, max_replicas: replicas.most, replica: replicas.this };
        limit.check()?;
        let quota = Quota { limiter: limiter.clone(), account: settings.account(), limit };
        let settings = Settings { name: name.clone(), ..settings.clone() };
        let client = Client::new(settings, outbound, Arc::clone(&sessions), Arc::new(quota.clone()))
            .map_err(|error| Error::Client { name: name.clone(), source: Box::new(error) })?;
        ready.insert(name.clone(), Connection { client, quota });
    }
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn permits_come_one_after_another_and_are_fresh() {
        let limiter = Limiter::connect(None).expect("no settings, no fault");
        let quota = Quota { limiter, account: "a".to_owned(), limit: Limit::alone(60) };
        for _ in 0..3 {
            assert!(quota.permit(Lane::Replay).await.is_fresh());
        }
        Permits::permit(&quota).await;
    }

    #[test]
    fn no_connections_are_no_fault_and_faults_of_the_quota_keep_their_code() {
        let nobody = Outbound::default();
        let ready =
            connect(&BTreeMap::new(), &nobody, None, Replicas { most: 1, this: 0 }).expect("nothing to prepare");
        assert!(ready.is_empty());
        let error = Error::from(Limit { per_minute: 1, max_replicas: 100, replica: 0 }.check().expect_err("too thin"));
        assert_eq!((error.code(), error.fault().code), (Code::QuotaSplit, Code::QuotaSplit));
    }
}
