//! What a service counts: one meter, read by Prometheus at `/metrics`.
//!
//! Instruments are made from [`definitions`], the one list of names, units and labels; services pass the meter on and
//! keep the instruments they need. A gauge forgets label sets that are [`Gauge::remove`]d, so a flow that moves to
//! another replica does not leave its last value behind.

pub mod definitions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use prometheus::TextEncoder;

pub use definitions::{DEFINITIONS, Definition, Kind};

/// Label sets per instrument before further ones are summed under `otel_metric_overflow`: 500 flows with every outcome.
const LABEL_SETS: usize = 20_000;

/// Metrics that cannot be set up or written out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exporter refuses its registry.
    #[error("the metrics exporter cannot be set up")]
    Exporter(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// A metric cannot be written as Prometheus text.
    #[error("the metrics cannot be written out")]
    Encode(#[source] prometheus::Error),
}

/// The meter of a process and what it has measured. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics {
    provider: SdkMeterProvider,
    registry: prometheus::Registry,
    // The gauge's callback lives as long as this.
    _build: Gauge,
}

impl Metrics {
    /// A meter with `starbridge_build_info` and the figures of the process itself.
    ///
    /// # Errors
    /// [`Error::Exporter`].
    pub fn new(service: &str) -> Result<Self, Error> {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(Error::Exporter)?;
        let provider = SdkMeterProvider::builder()
            .with_reader(exporter)
            .with_resource(Resource::builder().with_service_name(format!("starbridge-{service}")).build())
            .with_view(|_: &Instrument| Stream::builder().with_cardinality_limit(LABEL_SETS).build().ok())
            .build();
        let meter = provider.meter("starbridge");
        let build = definitions::BUILD_INFO.gauge(&meter);
        build.set(&[("service", service), ("version", env!("CARGO_PKG_VERSION"))], 1.0);
        crate::process::observe(&meter);
        Ok(Self { provider, registry, _build: build })
    }

    /// The meter that instruments are made with.
    pub fn meter(&self) -> Meter {
        self.provider.meter("starbridge")
    }

    /// Everything measured so far, in the Prometheus text format.
    ///
    /// # Errors
    /// [`Error::Encode`].
    pub fn text(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(Error::Encode)
    }
}

/// Names and texts of a measurement's labels.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Labels in the form in which counters and histograms take them.
pub fn labels(labels: Labels<'_>) -> Vec<KeyValue> {
    labels.iter().map(|(name, text)| KeyValue::new(*name, (*text).to_owned())).collect()
}

type Board = Arc<Mutex<BTreeMap<Vec<(&'static str, String)>, f64>>>;

/// A value per label set that goes up and down. Clones share the values.
#[derive(Debug, Clone)]
pub struct Gauge(Board);

impl Gauge {
    fn key(labels: Labels<'_>) -> Vec<(&'static str, String)> {
        labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect()
    }

    /// Sets the value of a label set. Labels in the order of the definition.
    pub fn set(&self, labels: Labels<'_>, value: f64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(Self::key(labels), value);
    }

    /// Forgets a label set: it is no longer shown.
    pub fn remove(&self, labels: Labels<'_>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&Self::key(labels));
    }

    /// Forgets every label set.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Definition {
    /// The counter of this definition. Add to it with [`labels`].
    pub fn counter(&self, meter: &Meter) -> Counter<u64> {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        meter.u64_counter(self.name).with_unit(self.unit).with_description(self.description).build()
    }

    /// The histogram of this definition. Record in it with [`labels`].
    pub fn histogram(&self, meter: &Meter) -> Histogram<f64> {
        let Kind::Histogram(boundaries) = self.kind else {
            unreachable!("{} is asked for as what it is not", self.name);
        };
        meter
            .f64_histogram(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_boundaries(boundaries.to_vec())
            .build()
    }

    /// The gauge of this definition.
    pub fn gauge(&self, meter: &Meter) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        let board = Board::default();
        let shown = Arc::clone(&board);
        // The meter keeps the callback; the instrument itself is only a name for it.
        let _instrument = meter
            .f64_observable_gauge(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_callback(move |observer| {
                for (key, value) in shown.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    let attributes: Vec<KeyValue> =
                        key.iter().map(|(name, text)| KeyValue::new(*name, text.clone())).collect();
                    observer.observe(*value, &attributes);
                }
            })
            .build();
        Gauge(board)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names_of(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
    }

    #[test]
    fn every_definition_is_exported_under_its_name() {
        let metrics = Metrics::new("sample").expect("metrics");
        let meter = metrics.meter();
        let mut gauges = Vec::new();
        for definition in DEFINITIONS {
            let texts: Vec<(&'static str, &str)> = definition.labels.iter().map(|name| (*name, "x")).collect();
            match definition.kind {
                Kind::Counter => definition.counter(&meter).add(1, &labels(&texts)),
                Kind::Histogram(_) => definition.histogram(&meter).record(0.5, &labels(&texts)),
                Kind::Gauge if definition.name == definitions::BUILD_INFO.name => {}
                Kind::Gauge => {
                    let gauge = definition.gauge(&meter);
                    gauge.set(&texts, 2.0);
                    gauges.push(gauge);
                }
            }
        }
        let text = metrics.text().expect("text");
        let names = names_of(&text);
        for definition in DEFINITIONS {
            assert!(names.contains(&definition.exported().as_str()), "{} in {names:?}", definition.exported());
        }
        assert!(!text.contains("otel_scope"), "{text}");
    }

    #[test]
    fn the_names_operators_know_come_out() {
        let metrics = Metrics::new("sample").expect("metrics");
        let meter = metrics.meter();
        let records = definitions::RECORDS.counter(&meter);
        let document = [("tenant", "default"), ("flow", "f"), ("stage", "transform")];
        let mut all = document.to_vec();
        all.extend([("outcome", "mapped"), ("terminal", "false")]);
        records.add(3, &labels(&all));
        let freshness = definitions::FRESHNESS.gauge(&meter);
        freshness.set(&[("tenant", "default"), ("flow", "f")], 1.5);
        let text = metrics.text().expect("text");
        for line in [
            r#"starbridge_records_total{flow="f",outcome="mapped",stage="transform",tenant="default",terminal="false"} 3"#,
            r#"starbridge_freshness_seconds{flow="f",tenant="default"} 1.5"#,
            concat!(r#"starbridge_build_info{service="sample",version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        for name in
            ["process_resident_memory_bytes", "process_open_fds", "process_threads", "process_cpu_seconds_total"]
        {
            assert!(names_of(&text).contains(&name), "{name} in {text}");
        }
    }

    #[test]
    fn a_removed_label_set_is_no_longer_shown() {
        let metrics = Metrics::new("sample").expect("metrics");
        let gauge = definitions::CONSUMER_LAG.gauge(&metrics.meter());
        gauge.set(&[("flow", "a"), ("stage", "transform")], 7.0);
        gauge.set(&[("flow", "b"), ("stage", "transform")], 8.0);
        gauge.remove(&[("flow", "a"), ("stage", "transform")]);
        let text = metrics.text().expect("text");
        assert!(!text.contains(r#"starbridge_consumer_lag_records{flow="a""#), "{text}");
        assert!(text.contains(r#"starbridge_consumer_lag_records{flow="b",stage="transform"} 8"#), "{text}");
        gauge.clear();
        assert!(!metrics.text().expect("text").contains("starbridge_consumer_lag_records{"));
    }

    #[test]
    fn five_hundred_flows_keep_their_own_counts() {
        let metrics = Metrics::new("sample").expect("metrics");
        let records = definitions::RECORDS.counter(&metrics.meter());
        for flow in 0..500 {
            for outcome in 0..8 {
                records.add(1, &labels(&[("flow", &flow.to_string()), ("outcome", &outcome.to_string())]));
            }
        }
        let text = metrics.text().expect("text");
        assert_eq!(text.matches("starbridge_records_total{").count(), 4_000);
        assert!(!text.contains("otel_metric_overflow"));
    }
}
