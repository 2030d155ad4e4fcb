//! How long every call takes, and what it was answered.

use std::task::{Context, Poll};
use std::time::Duration;

use runtime::Clock;
use tonic::Status;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;

use crate::access::policy;
use crate::metrics::ControlMetrics;

/// A service whose calls are measured.
#[derive(Debug, Clone)]
pub struct Timed<S> {
    inner: S,
    metrics: ControlMetrics,
    clock: Clock,
}

impl<S> Timed<S> {
    /// Measures the calls of `inner`.
    pub fn new(inner: S, metrics: ControlMetrics, clock: Clock) -> Self {
        Self { inner, metrics, clock }
    }
}

impl<S: NamedService> NamedService for Timed<S> {
    const NAME: &'static str = S::NAME;
}

/// The name of a call without its package. Whoever calls may write any path: one that is no call of ours has one name.
fn name(path: &str) -> &'static str {
    policy::rule(path).map_or("other", |rule| rule.call.rsplit_once("v1.").map_or(rule.call, |(_, name)| name))
}

/// The status of an answer. What was refused has it in the head; what has a body goes well, as far as is known by then.
fn code(head: &http::HeaderMap) -> tonic::Code {
    Status::from_header_map(head).map_or(tonic::Code::Ok, |status| status.code())
}

impl<S, B, R> Service<http::Request<B>> for Timed<S>
where
    S: Service<http::Request<B>, Response = http::Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        let (call, begun): (_, Duration) = (name(request.uri().path()), clock.monotonic());
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            metrics.rpc(call, code(answer.headers()), clock.monotonic().saturating_sub(begun));
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::metrics::Metrics;
    use tonic::body::Body;

    /// Refuses everything.
    #[derive(Clone)]
    struct Refuses;

    impl Service<http::Request<Body>> for Refuses {
        type Response = http::Response<Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<Body>) -> Self::Future {
            std::future::ready(Ok(Status::not_found("no").into_http()))
        }
    }

    #[tokio::test]
    async fn a_call_is_measured_under_its_name_and_status_and_strangers_share_one() {
        let metrics = Metrics::new("control").expect("metrics");
        let clock = Clock::system();
        let mut timed = Timed::new(Refuses, ControlMetrics::new(&metrics.meter()), clock);
        for path in ["/starbridge.control.v1.FlowService/GetFlow", "/x/1", "/x/2"] {
            let request = http::Request::builder().uri(path).body(Body::empty()).expect("a request");
            timed.call(request).await.expect("answered");
        }
        let text = metrics.text().expect("text");
        for line in [
            r#"starbridge_rpc_duration_seconds_count{call="FlowService/GetFlow",code="NOT_FOUND"} 1"#,
            r#"starbridge_rpc_duration_seconds_count{call="other",code="NOT_FOUND"} 2"#,
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
        assert_eq!(code(&http::HeaderMap::new()), tonic::Code::Ok);
    }
}
