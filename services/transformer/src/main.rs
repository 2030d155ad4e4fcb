//! `starbridge-transformer`.

use anyhow::Context;
use runtime::health::{self, Readiness};
use runtime::metrics::Metrics;
use runtime::watchdog::{LIMIT, Watchdog};
use runtime::{Clock, Shutdown, settings, telemetry};
use transformer::doors::{self, KafkaSink, KafkaSource, Spans};
use transformer::metrics::StageMetrics;
use transformer::notes::Notes;
use transformer::{CONDITIONS, Config, DEFAULTS, Surroundings, Transformer};

fn main() -> anyhow::Result<()> {
    runtime::install_tls_provider();
    runtime::run(transform()).context("starting the async runtime")?
}

async fn transform() -> anyhow::Result<()> {
    let Some(config) = settings::start::<Config>("transformer", DEFAULTS)? else { return Ok(()) };
    let telemetry = telemetry::init("transformer", &config.telemetry)?;
    let shutdown = Shutdown::on_signals().context("listening for signals")?;
    let clock = Clock::system();
    let watchdog = Watchdog::start(LIMIT, clock.clone()).context("starting the watchdog")?;
    let metrics = Metrics::new("transformer")?;
    let readiness = Readiness::new(CONDITIONS);
    let _health = health::serve(&config.health, readiness.clone(), metrics.clone()).await?;

    let (kafka, worker) = (&config.kafka, &config.worker);
    let followed = doors::follow(kafka, &worker.member, &readiness, &shutdown).await;
    let Some(flows) = followed.context("reading the published flows")? else { return Ok(()) };
    let sink = KafkaSink::connect(kafka, &worker.member).context("preparing the producer")?;
    let source = KafkaSource::new(kafka, &worker.group, &worker.member);
    let notes = Notes::open(&worker.data_dir).context("opening the notes in data_dir")?;
    let (heartbeat, metrics) = (watchdog.heartbeat("transform"), StageMetrics::new(&metrics.meter()));
    let around = Surroundings { clock, readiness, metrics, heartbeat, notes };
    let outcome = Transformer::new(config, source, sink, flows, Spans, around).run(shutdown).await;

    telemetry.flush().await;
    outcome.context("transformer stopped")
}
