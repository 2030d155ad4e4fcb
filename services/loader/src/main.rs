//! `starbridge-loader`.

use anyhow::Context;
use loader::metrics::LoaderMetrics;
use loader::{CONDITIONS, Config, DEFAULTS, Loader, Surroundings, definitions};
use runtime::health::{self, Readiness};
use runtime::metrics::Metrics;
use runtime::watchdog::{LIMIT, Watchdog};
use runtime::{Clock, Shutdown, settings, telemetry};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    runtime::install_tls_provider();
    let Some(config) = settings::start::<Config>("loader", DEFAULTS)? else { return Ok(()) };
    let telemetry = telemetry::init("loader", &config.telemetry)?;
    let shutdown = Shutdown::on_signals().context("listening for signals")?;
    let clock = Clock::system();
    let watchdog = Watchdog::start(LIMIT, clock.clone()).context("starting the watchdog")?;
    let metrics = Metrics::new("loader")?;
    let readiness = Readiness::new(CONDITIONS);
    let _health = health::serve(&config.health, readiness.clone(), metrics.clone()).await?;

    let followed = definitions::follow(&config.kafka, &config.worker.member, &readiness, &shutdown).await;
    let Some(flows) = followed.context("reading the published flows")? else { return Ok(()) };
    let metrics = LoaderMetrics::new(&metrics.meter());
    let around = Surroundings { clock, readiness, metrics, heartbeat: watchdog.heartbeat("load") };
    let loader = Loader::new(config, flows, around).context("preparing the targets")?;
    let outcome = loader.run(shutdown).await;

    // Waited for here, not in a destructor: the last spans leave only if someone waits.
    telemetry.flush().await;
    outcome.context("loader stopped")
}
