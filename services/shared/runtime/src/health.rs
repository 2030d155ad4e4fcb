//! How a process is asked for its state: `/live`, `/ready` and `/metrics` over plain HTTP.
//!
//! `/live` speaks of this process alone, so that a broker's outage restarts nobody. `/ready` lists the conditions that
//! the service named, and is 503 until all of them hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use document::{Code, Fault};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Table `[health]` of the settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthSettings {
    /// Host and port; port 0 takes any free one.
    pub listen: String,
    /// Where the bound address is written, for those who start the service on a free port.
    #[serde(default)]
    pub address_file: Option<PathBuf>,
}

/// The conditions under which a service can do its work. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

/// What `/ready` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    ready: bool,
    /// `ok`, or why not, by condition.
    conditions: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// The named conditions, of which none holds yet.
    pub fn new(conditions: impl IntoIterator<Item = &'static str>) -> Self {
        let waiting = conditions.into_iter().map(|name| (name, Some("starting".to_owned()))).collect();
        Self(Arc::new(Mutex::new(waiting)))
    }

    fn change(&self, condition: &'static str, reason: Option<String>) {
        let mut conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = conditions.insert(condition, reason.clone());
        drop(conditions);
        if before.as_ref() != Some(&reason) {
            match reason {
                None => tracing::info!(condition, "condition holds"),
                Some(reason) => tracing::warn!(condition, reason, "condition does not hold"),
            }
        }
    }

    /// The condition holds.
    pub fn ready(&self, condition: &'static str) {
        self.change(condition, None);
    }

    /// The condition does not hold, and why.
    pub fn not_ready(&self, condition: &'static str, reason: impl Into<String>) {
        self.change(condition, Some(reason.into()));
    }

    /// Whether all conditions hold.
    pub fn is_ready(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().all(Option::is_none)
    }

    fn report(&self) -> Report {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Report {
            ready: conditions.values().all(Option::is_none),
            conditions: conditions
                .iter()
                .map(|(name, reason)| (*name, reason.clone().unwrap_or_else(|| "ok".to_owned())))
                .collect(),
        }
    }
}

/// The running server. Dropping it closes the port and takes the address file away.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    address_file: Option<PathBuf>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Where it really listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(path) = &self.address_file
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(path = %path.display(), %error, "address file is left behind");
        }
    }
}

/// Serves `/live`, `/ready` and `/metrics`, from now until the answer is dropped.
///
/// # Errors
/// A [`Fault`] with [`Code::Listen`] when the address cannot be bound or its file cannot be written.
pub async fn serve(settings: &HealthSettings, readiness: Readiness, metrics: Metrics) -> Result<Server, Fault> {
    let refused = |error: std::io::Error| {
        Fault::new(Code::Listen, format!("cannot listen on {}: {error}", settings.listen)).at_path("$.health.listen")
    };
    let listener = TcpListener::bind(&settings.listen).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    if let Some(path) = &settings.address_file {
        write_whole(path, &address.to_string()).map_err(|error| {
            Fault::new(Code::Listen, format!("the address cannot be written: {error}"))
                .in_file(path.display().to_string())
                .at_path("$.health.address_file")
        })?;
    }
    tracing::info!(%address, "serving health and metrics");
    let router = Router::new()
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready).with_state(readiness))
        .route("/metrics", get(measured).with_state(metrics));
    let task = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the health server stopped");
        }
    });
    Ok(Server { address, address_file: settings.address_file.clone(), task })
}

/// Writes beside the file and renames, so that no reader sees half an address.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("part");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let report = readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn measured(State(metrics): State<Metrics>) -> Response {
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Status and body of a GET.
    async fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.expect("read");
        let status = reply.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        (status, reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).expect("a body"))
    }

    fn settings(listen: &str) -> HealthSettings {
        HealthSettings { listen: listen.to_owned(), address_file: None }
    }

    #[tokio::test]
    async fn readiness_follows_its_conditions_and_life_does_not() {
        let readiness = Readiness::new(["kafka", "flows"]);
        let metrics = Metrics::new("sample").expect("metrics");
        let server = serve(&settings("127.0.0.1:0"), readiness.clone(), metrics).await.expect("served");
        let address = server.address();
        assert_eq!(get(address, "/live").await, (200, "live\n".to_owned()));
        readiness.ready("kafka");
        assert_eq!(
            get(address, "/ready").await,
            (503, r#"{"ready":false,"conditions":{"flows":"starting","kafka":"ok"}}"#.to_owned())
        );
        readiness.ready("flows");
        assert_eq!(get(address, "/ready").await.0, 200);
        assert!(readiness.is_ready());
        readiness.not_ready("kafka", "no broker answers");
        let (status, body) = get(address, "/ready").await;
        assert_eq!((status, body.contains(r#""kafka":"no broker answers""#)), (503, true));
        assert_eq!(get(address, "/live").await.0, 200);
        let (status, text) = get(address, "/metrics").await;
        assert_eq!((status, text.contains("starbridge_build_info{")), (200, true));
        assert_eq!(get(address, "/other").await.0, 404);
    }

    #[tokio::test]
    async fn the_address_is_written_for_those_who_look_for_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("address");
        let given = HealthSettings { listen: "127.0.0.1:0".to_owned(), address_file: Some(path.clone()) };
        let metrics = Metrics::new("sample").expect("metrics");
        let server = serve(&given, Readiness::default(), metrics).await.expect("served");
        assert_eq!(std::fs::read_to_string(&path).expect("written"), server.address().to_string());
        drop(server);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_taken_port_is_a_fault_with_its_place() {
        let metrics = Metrics::new("sample").expect("metrics");
        let first = serve(&settings("127.0.0.1:0"), Readiness::default(), metrics.clone()).await.expect("served");
        let taken = settings(&first.address().to_string());
        let fault = serve(&taken, Readiness::default(), metrics).await.expect_err("taken");
        assert_eq!(fault.code, Code::Listen);
        assert_eq!(fault.place.path.as_deref(), Some("$.health.listen"));
    }
}
