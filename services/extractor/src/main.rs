//! `starbridge-extractor`.

use std::sync::Arc;

use anyhow::Context;
use extractor::metrics::Instruments;
use extractor::source::Connections;
use extractor::{CONDITIONS, Config, DEFAULTS, Extractor, Surroundings, check};
use runtime::health::{self, Readiness};
use runtime::metrics::Metrics;
use runtime::settings::{self, Invocation};
use runtime::watchdog::{LIMIT, Watchdog};
use runtime::{Clock, Shutdown, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    runtime::install_tls_provider();
    let invocation = Invocation::of_process("extractor");
    let loaded = settings::load::<Config>("extractor", DEFAULTS, &invocation)?;
    let config = loaded.settings;
    if invocation.check_config {
        return Ok(check::report(&config, &loaded.effective)?);
    }
    let telemetry = telemetry::init("extractor", &config.telemetry)?;
    let shutdown = Shutdown::on_signals().context("listening for signals")?;
    let clock = Clock::system();
    let watchdog = Watchdog::start(LIMIT, clock.clone()).context("starting the watchdog")?;
    let (metrics, readiness) = (Metrics::new("extractor")?, Readiness::new(CONDITIONS));
    let _health = health::serve(&config.health, readiness.clone(), metrics.clone()).await?;
    let (instruments, heartbeat) = (Instruments::new(&metrics.meter()), watchdog.heartbeat("extract"));
    let source = Arc::new(Connections::connect(&config, clock.clone(), instruments.clone())?);
    let around = Surroundings { source, clock, readiness, instruments, heartbeat };
    let outcome = Extractor::new(config, around).run(shutdown).await;

    telemetry.flush().await;
    outcome.context("extractor stopped")
}
