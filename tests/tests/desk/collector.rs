//! Where traces go: a collector that keeps what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Every span as text, by the name of its service.
type Spans = Arc<Mutex<BTreeMap<String, Vec<String>>>>;

/// A collector on a port of its own. Dropped, it answers no more.
#[derive(Debug)]
pub(crate) struct Collector {
    port: u16,
    spans: Spans,
    task: tokio::task::JoinHandle<()>,
}

struct Keeper(Spans);

#[tonic::async_trait]
impl TraceService for Keeper {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for group in request.into_inner().resource_spans {
            let attributes = group.resource.iter().flat_map(|resource| &resource.attributes);
            let service = attributes.filter(|attribute| attribute.key == "service.name").find_map(|name| {
                match name.value.as_ref()?.value.as_ref()? {
                    any_value::Value::StringValue(name) => Some(name.clone()),
                    _ => None,
                }
            });
            let spans = group.scope_spans.iter().flat_map(|scope| &scope.spans);
            kept.entry(service.unwrap_or_default()).or_default().extend(spans.map(|span| format!("{span:?}")));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// Listens on loopback.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let spans = Spans::default();
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(Keeper(Arc::clone(&spans))));
        let task = tokio::spawn(async move {
            server.serve_with_incoming(TcpIncoming::from(listener)).await.expect("the collector serves");
        });
        Self { port, spans, task }
    }

    /// What a service calls it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Every span as text, by the name of the service that sent it.
    pub(crate) fn all(&self) -> BTreeMap<String, Vec<String>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every span that a service has sent.
    pub(crate) fn spans(&self, service: &str) -> Vec<String> {
        self.all().remove(service).unwrap_or_default()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}
