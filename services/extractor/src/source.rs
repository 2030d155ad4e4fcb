//! The door to the source systems.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connection::{Connection, Quota, Replicas};
use coordination::{Breaker, BreakerSettings, Gate, Lane};
use document::{Code, Fault};
use kingdee::Client;
use runtime::Clock;

use crate::config::Config;
use crate::core::reply::{self, SourceError};
use crate::core::run::{Answer, Ask};
use crate::metrics::Instruments;
use crate::query::bill_query;
use crate::unit::Unit;

/// Reads pages.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads one page of a flow's source.
    async fn page(&self, unit: &Unit, ask: &Ask) -> Result<Answer, SourceError>;
}

/// The connections of the settings, each with its client, breaker and share of the call limit.
#[derive(Debug)]
pub struct Connections {
    by_name: BTreeMap<String, Guarded>,
    clock: Clock,
    instruments: Instruments,
}

/// A connection with its breaker.
#[derive(Debug)]
struct Guarded {
    name: String,
    client: Client,
    quota: Quota,
    breaker: Mutex<Breaker>,
}

impl Connections {
    /// Prepares every connection; nothing is sent yet.
    ///
    /// # Errors
    /// The fault of the first connection, or of Redis's settings, that cannot work.
    pub fn connect(config: &Config, clock: Clock, instruments: Instruments) -> Result<Self, Fault> {
        let replicas = Replicas { most: config.rate.max_replicas, this: config.rate.replica };
        let ready = connection::connect(&config.connections, &config.outbound, config.redis.as_ref(), replicas);
        let guarded = |(name, connection): (String, Connection)| {
            let breaker = Mutex::new(Breaker::new(BreakerSettings::default()));
            let Connection { client, quota } = connection;
            (name.clone(), Guarded { name, client, quota, breaker })
        };
        let by_name = ready.map_err(|error| error.fault())?.into_iter().map(guarded).collect();
        Ok(Self { by_name, clock, instruments })
    }
}

impl Guarded {
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the breaker lets a call through.
    async fn gate(&self, clock: &Clock) {
        loop {
            let gate = self.breaker().ask(clock.monotonic());
            match gate {
                Gate::Go | Gate::Probe => return,
                Gate::Wait(wait) => tokio::time::sleep(wait.min(Duration::from_secs(5))).await,
            }
        }
    }
}

#[async_trait]
impl Source for Connections {
    async fn page(&self, unit: &Unit, ask: &Ask) -> Result<Answer, SourceError> {
        let name = &unit.flow.settings.source.connection;
        let Some(connection) = self.by_name.get(name) else {
            let fault = Fault::new(Code::ConnectionUnknown, format!("no connection {name:?}"));
            return Err(SourceError::Stop(fault.of_record(unit.flow.name.as_str())));
        };
        let query = bill_query(&unit.flow, &unit.plan, ask).map_err(SourceError::Stop)?;
        let (tenant, clock) = (unit.flow.tenant.as_str(), &self.clock);
        connection.gate(clock).await;
        let asked = clock.monotonic();
        killpoint::reached("source.gate.passed");
        connection.quota.permit(Lane::Fresh).await;
        killpoint::reached("source.permitted");
        let sent = clock.monotonic();
        self.instruments.permit(tenant, sent.saturating_sub(asked));
        let answer = connection.client.execute_bill_query(&query).await;
        killpoint::reached("source.answered");
        let answered = clock.monotonic();
        let elapsed = answered.saturating_sub(sent);
        let error = match &answer {
            Ok(_) => None,
            Err(error) => Some(error.class()),
        };
        {
            let mut breaker = connection.breaker();
            reply::tell(&mut breaker, error, answered);
            self.instruments.breaker(&connection.name, breaker.is_open());
        }
        self.instruments.request(tenant, elapsed, error.map(reply::word));
        match answer {
            Ok(page) => Ok(Answer {
                rows: page.rows,
                server_time: page.server_time.map(|time| time.timestamp()),
                local_time: clock.seconds(),
                elapsed: i64::try_from(elapsed.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX),
            }),
            Err(error) => Err(SourceError::of(error.class(), error.fault())),
        }
    }
}
