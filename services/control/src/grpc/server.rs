//! The port: TLS 1.3 and nothing less, client certificates where their authority is known, reflection and health.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, Fault};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use starbridge_proto::v1;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpConnectInfo, TlsConnectInfo};
use tracing::debug;

use super::gate::{Certified, Peer};
use super::timed::Timed;
use super::{
    Shared, access, audit, backfills, connections, dead_letters, doubts, flows, reconciliations, records, replays,
    system,
};
use runtime::Shutdown;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections that are shaking hands, or wait to be served.
const WAITING: usize = 128;
/// Bytes of one request.
const REQUEST: usize = 8 << 20;
/// Bytes of one answer.
const ANSWER: usize = 32 << 20;

/// The files of the port.
#[derive(Debug, Clone)]
pub struct Files {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// The authority of client certificates, PEM; without it none is asked for.
    pub client_ca: Option<PathBuf>,
}

fn refused(setting: &str, path: &Path, detail: impl std::fmt::Display) -> Fault {
    Fault::new(Code::ControlSettings, detail.to_string())
        .in_file(path.display().to_string())
        .at_path(setting.to_owned())
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let file = File::open(path).map_err(|error| refused(setting, path, error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(BufReader::new(file)).collect();
    match read {
        Ok(read) if !read.is_empty() => Ok(read),
        Ok(_) => Err(refused(setting, path, "holds no certificate")),
        Err(error) => Err(refused(setting, path, format!("is no PEM: {error}"))),
    }
}

/// How the port speaks TLS.
///
/// # Errors
/// A fault with [`Code::ControlSettings`] at the file that cannot be used.
pub fn tls(files: &Files) -> Result<ServerConfig, Fault> {
    let chain = certificates("$.grpc.certificate_file", &files.certificate)?;
    let pem = crate::secret::bytes(&files.key, "$.grpc.key_file")?;
    let key = PrivateKeyDer::from_pem_slice(secrecy::ExposeSecret::expose_secret(&pem))
        .map_err(|_| refused("$.grpc.key_file", &files.key, "holds no private key in PEM"))?;
    let builder = ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("$.grpc.client_ca_file", path)? {
                roots.add(certificate).map_err(|error| refused("$.grpc.client_ca_file", path, error))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                // People come with a token instead.
                .allow_unauthenticated()
                .build()
                .map_err(|error| refused("$.grpc.client_ca_file", path, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| refused("$.grpc.certificate_file", &files.certificate, error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// The common name of a certificate that the TLS layer has checked: whoever it was given to.
fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    crate::access::principal::is_principal_name(&name).then_some(name)
}

/// A connection on which TLS was spoken.
struct Connection(TlsStream<tokio::net::TcpStream>);

impl Connected for Connection {
    type ConnectInfo = TlsConnectInfo<TcpConnectInfo>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.0.connect_info()
    }
}

impl tokio::io::AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl tokio::io::AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Accepts connections and shakes hands, each in a task of its own: a slow one holds up nobody.
fn accept(listener: TcpListener, config: ServerConfig) -> ReceiverStream<std::io::Result<Connection>> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            if sender.is_closed() {
                return;
            }
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => drop(sender.send(Ok(Connection(stream))).await),
                    Ok(Err(error)) => debug!(%peer, %error, "no TLS handshake"),
                    Err(_) => debug!(%peer, "a TLS handshake took too long"),
                }
            });
        }
    });
    ReceiverStream::new(receiver)
}

/// Puts what the connection proves beside the request.
#[expect(clippy::unnecessary_wraps, reason = "the form of an interceptor")]
fn introduce(mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
    let info = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
    let peer = info.and_then(|info| info.get_ref().remote_addr()).map(|peer: SocketAddr| peer.ip().to_string());
    let name = info.and_then(|info| {
        let certificates = info.peer_certs()?;
        common_name(certificates.first()?.as_ref())
    });
    if let Some(peer) = peer {
        request.extensions_mut().insert(Peer(peer));
    }
    if let Some(name) = name {
        request.extensions_mut().insert(Certified(name));
    }
    Ok(request)
}

/// Serves every service until `shutdown` is requested.
///
/// # Errors
/// What keeps the port from being served.
pub async fn serve(
    listener: TcpListener,
    config: ServerConfig,
    shared: Arc<Shared>,
    shutdown: Shutdown,
) -> Result<(), tonic::transport::Error> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(starbridge_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors that were compiled in are whole");
    let (metrics, clock) = (shared.metrics.clone(), shared.clock.clone());
    macro_rules! service {
        ($server:path, $service:expr) => {{
            use $server as GeneratedServer;
            let server =
                GeneratedServer::new($service).max_decoding_message_size(REQUEST).max_encoding_message_size(ANSWER);
            let server = tonic::service::interceptor::InterceptedService::new(server, introduce);
            Timed::new(server, metrics.clone(), clock.clone())
        }};
    }
    Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_concurrent_streams(64)
        .add_service(health_service)
        .add_service(reflection)
        .add_service(service!(v1::access_service_server::AccessServiceServer, access::Access(Arc::clone(&shared))))
        .add_service(service!(v1::audit_service_server::AuditServiceServer, audit::Audits(Arc::clone(&shared))))
        .add_service(service!(
            v1::backfill_service_server::BackfillServiceServer,
            backfills::Backfills(Arc::clone(&shared))
        ))
        .add_service(service!(
            v1::connection_service_server::ConnectionServiceServer,
            connections::Connections(Arc::clone(&shared))
        ))
        .add_service(service!(
            v1::dead_letter_service_server::DeadLetterServiceServer,
            dead_letters::DeadLetters(Arc::clone(&shared))
        ))
        .add_service(service!(v1::doubt_service_server::DoubtServiceServer, doubts::Doubts(Arc::clone(&shared))))
        .add_service(service!(v1::flow_service_server::FlowServiceServer, flows::Flows(Arc::clone(&shared))))
        .add_service(service!(
            v1::reconciliation_service_server::ReconciliationServiceServer,
            reconciliations::Reconciliations(Arc::clone(&shared))
        ))
        .add_service(service!(v1::record_service_server::RecordServiceServer, records::Records(Arc::clone(&shared))))
        .add_service(service!(v1::replay_service_server::ReplayServiceServer, replays::Replays(Arc::clone(&shared))))
        .add_service(service!(v1::system_service_server::SystemServiceServer, system::System(shared)))
        .serve_with_incoming_shutdown(accept(listener, config), async move { shutdown.requested().await })
        .await
}

#[cfg(test)]
mod tests;
