//! `starbridge-control`.

use anyhow::Context;
use control::metrics::ControlMetrics;
use control::{CONDITIONS, Config, Control, DEFAULTS, Surroundings};
use runtime::health::{self, Readiness};
use runtime::metrics::Metrics;
use runtime::watchdog::{LIMIT, Watchdog};
use runtime::{Clock, Shutdown, settings, telemetry};

fn main() -> anyhow::Result<()> {
    runtime::install_tls_provider();
    runtime::run(control()).context("starting the async runtime")?
}

async fn control() -> anyhow::Result<()> {
    let Some(config) = settings::start::<Config>("control", DEFAULTS)? else { return Ok(()) };
    let telemetry = telemetry::init("control", &config.telemetry)?;
    let shutdown = Shutdown::on_signals().context("listening for signals")?;
    let clock = Clock::system();
    let watchdog = Watchdog::start(LIMIT, clock.clone()).context("starting the watchdog")?;
    let metrics = Metrics::new("control")?;
    let readiness = Readiness::new(CONDITIONS);
    let _health = health::serve(&config.health, readiness.clone(), metrics.clone()).await?;

    let around = Surroundings {
        clock,
        readiness,
        writing: watchdog.heartbeat("write"),
        indexing: watchdog.heartbeat("index"),
        metrics: ControlMetrics::new(&metrics.meter()),
    };
    let outcome = match Control::start(config, around, &shutdown).await.context("preparing the control plane")? {
        Some(control) => control.run(shutdown).await.context("the control plane stopped"),
        None => Ok(()),
    };

    telemetry.flush().await;
    outcome
}
