//! Logs as JSON lines on standard error, and traces to a collector when one is named.
//!
//! One trace follows one document through every stage: its `traceparent` rides in the record's headers, and each stage
//! writes its own span id into what it passes on.

use std::io;

use document::{Code, Fault, TraceParent};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{EnvFilter, FilterFn, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Table `[telemetry]` of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// What is logged: a level, or levels by module such as `info,loader=debug`.
    #[serde(default = "default_log")]
    pub log: String,
    /// Where traces go, OTLP over gRPC (`http://collector:4317`); empty sends none.
    #[serde(default)]
    pub otlp_endpoint: String,
}

fn default_log() -> String {
    "info".to_owned()
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self { log: default_log(), otlp_endpoint: String::new() }
    }
}

/// What must be flushed before the process ends.
#[derive(Debug)]
#[must_use = "the last spans leave only through flush"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Starts logs and traces of the process. Needs a running tokio runtime when traces are on.
///
/// # Errors
/// A [`Fault`] with [`Code::Telemetry`] at the setting that cannot be used.
pub fn init(service: &str, settings: &TelemetrySettings) -> Result<Telemetry, Fault> {
    let logs = logs(&settings.log, io::stderr)?;
    let provider = match settings.otlp_endpoint.as_str() {
        "" => None,
        endpoint => Some(tracer(service, endpoint)?),
    };
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("starbridge")).with_filter(FilterFn::new(
            |metadata| {
                // The exporter's own connection must not make spans about sending spans.
                let own = ["opentelemetry", "tonic", "hyper", "h2", "tower", "reqwest"];
                !own.iter().any(|target| metadata.target().starts_with(target))
            },
        ))
    });
    tracing_subscriber::registry().with(logs).with(traces).try_init().map_err(|error| {
        Fault::new(Code::Telemetry, format!("logs are set up already: {error}")).at_path("$.telemetry")
    })?;
    std::panic::set_hook(Box::new(|panic| {
        // Where, and not what: the words of a panic may quote a document.
        let location = panic.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(str::to_owned);
        tracing::error!(location, thread, "panic");
    }));
    Ok(Telemetry { provider })
}

fn tracer(service: &str, endpoint: &str) -> Result<SdkTracerProvider, Fault> {
    let refused = |detail: String| Fault::new(Code::Telemetry, detail).at_path("$.telemetry.otlp_endpoint");
    if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
        return Err(refused(format!("{endpoint:?} must begin with http:// or https://")));
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .map_err(|error| refused(format!("{endpoint:?} cannot be used: {error}")))?;
    let resource = Resource::builder()
        .with_service_name(format!("starbridge-{service}"))
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// One JSON object per event: `timestamp`, `level`, `target`, `message` and the event's fields.
fn logs<S, W>(filter: &str, writer: W) -> Result<impl Layer<S>, Fault>
where
    S: Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let refused = |error: ParseError| {
        Fault::new(Code::Telemetry, format!("{filter:?} is no log filter: {error}")).at_path("$.telemetry.log")
    };
    EnvFilter::builder().parse(filter).map_err(refused)?;
    // The telemetry crates speak of themselves at every level; whoever wants to hear them says so.
    let quiet = format!("opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn,{filter}");
    let filter = EnvFilter::builder().parse(quiet).map_err(refused)?;
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer);
    Ok(layer.with_filter(filter))
}

impl Telemetry {
    /// Sends what is still held back. Waited for at the end of `main`, not in a destructor.
    pub async fn flush(self) {
        let Some(provider) = self.provider else { return };
        // The exporter blocks while it sends.
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent"),
            Err(error) => tracing::warn!(%error, "the last spans were not sent"),
        }
    }
}

/// Begins the trace of a document. `random` is any random number.
pub fn new_trace(random: [u8; 24]) -> TraceParent {
    let mut trace = TraceParent { trace_id: [0; 16], span_id: [0; 8], flags: 1 };
    trace.trace_id.copy_from_slice(&random[..16]);
    trace.span_id.copy_from_slice(&random[16..]);
    // Zero means "none" in either place.
    if trace.trace_id == [0; 16] {
        trace.trace_id[15] = 1;
    }
    if trace.span_id == [0; 8] {
        trace.span_id[7] = 1;
    }
    trace
}

/// Continues the trace of a document with a new span id, made from `random`, any random number.
pub fn child(parent: &TraceParent, random: u64) -> TraceParent {
    TraceParent { span_id: random.max(1).to_be_bytes(), ..*parent }
}

/// Makes `span` part of the document's trace, and gives the `traceparent` to write on: that of the span where traces
/// are exported, else a [`child`]. To be called before the span is entered.
pub fn follow(span: &Span, parent: &TraceParent, random: u64) -> TraceParent {
    let remote = SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        TraceFlags::new(parent.flags),
        true,
        TraceState::NONE,
    );
    // Without the layer of the exporter there is no parent to set, and nothing is lost.
    if span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote)).is_err() {
        return child(parent, random);
    }
    let context = span.context();
    let own = context.span().span_context().clone();
    if own.is_valid() && own.trace_id().to_bytes() == parent.trace_id && own.span_id().to_bytes() != parent.span_id {
        TraceParent { span_id: own.span_id().to_bytes(), ..*parent }
    } else {
        child(parent, random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::Registry;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic while held").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_are_json_lines_with_their_fields() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = logs::<Registry, _>("info,quiet=warn", move || writer.clone()).expect("a filter");
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(topic = "入库", offset = 3, "record rejected");
            tracing::debug!("not shown");
            tracing::info!(target: "quiet", "not shown either");
        });
        let text = String::from_utf8(sink.0.lock().expect("no panic while held").clone()).expect("UTF-8");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
        assert_eq!(lines.len(), 1, "{text}");
        assert_eq!(lines[0]["level"], "INFO");
        assert_eq!(lines[0]["message"], "record rejected");
        assert_eq!(lines[0]["topic"], "入库");
        assert_eq!(lines[0]["offset"], 3);
    }

    #[test]
    fn settings_that_cannot_be_used_are_faults_with_their_place() {
        let fault = init("sample", &TelemetrySettings { log: "a=b=c".to_owned(), ..TelemetrySettings::default() })
            .expect_err("no filter");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::Telemetry, Some("$.telemetry.log")));
        let fault = tracer("sample", "collector:4317").expect_err("no scheme");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::Telemetry, Some("$.telemetry.otlp_endpoint")));
    }

    #[test]
    fn traces_begin_and_go_on_from_the_randomness_given() {
        let mut random = [7; 24];
        random[16..].copy_from_slice(&[9; 8]);
        let trace = new_trace(random);
        assert_eq!(trace.to_string(), "00-07070707070707070707070707070707-0909090909090909-01");
        assert_eq!(child(&trace, 255).to_string(), "00-07070707070707070707070707070707-00000000000000ff-01");
        assert_eq!(child(&trace, 0).span_id, [0, 0, 0, 0, 0, 0, 0, 1]);
        let zero = new_trace([0; 24]);
        assert_eq!(zero.to_string().parse::<TraceParent>(), Ok(zero));
    }

    #[test]
    fn a_span_joins_the_trace_of_its_document() {
        let parent = new_trace([5; 24]);
        assert_eq!(follow(&Span::none(), &parent, 3), child(&parent, 3));

        let provider = SdkTracerProvider::builder().build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("sample"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("transform");
            let own = follow(&span, &parent, 3);
            assert_eq!(own.trace_id, parent.trace_id);
            assert_ne!(own.span_id, parent.span_id);
            assert_ne!(own.span_id, child(&parent, 3).span_id);
        });
    }
}
