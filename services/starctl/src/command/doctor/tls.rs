//! One TLS handshake, to see what a gRPC channel does not show.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use document::{Code, Fault};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

use crate::client::endpoint;
use crate::context::Settings;
use crate::exit;
use crate::output::failure::Failure;

/// What the handshake showed.
pub(super) struct Seen {
    /// The protocol and cipher suite.
    pub(super) protocol: String,
    pub(super) server: Certificate,
    /// The own certificate, where one is named.
    pub(super) client: Option<Certificate>,
}

/// What matters of a certificate.
pub(super) struct Certificate {
    pub(super) subject: String,
    pub(super) begins: DateTime<Utc>,
    pub(super) ends: DateTime<Utc>,
}

/// Shakes hands with the control plane.
pub(super) async fn look(settings: &Settings) -> Result<Seen, Failure> {
    let bad = |detail: String| Failure::of(Fault::new(Code::ControlUnreachable, detail), exit::UNREACHABLE);
    let name = ServerName::try_from(endpoint::server_name(settings)?).map_err(|error| bad(error.to_string()))?;
    let (config, own) = config(settings).map_err(&bad)?;
    let (host, port) = endpoint::host_and_port(&endpoint::address(settings.endpoint()?)?);
    let hands = async {
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    };
    let stream = match timeout(settings.timeout, hands).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(bad(endpoint::chain(&error))),
        Err(_) => return Err(bad(format!("no handshake within {} s", settings.timeout.as_secs()))),
    };
    let (_, connection) = stream.get_ref();
    let server =
        connection.peer_certificates().and_then(<[_]>::first).ok_or_else(|| bad("no certificate".to_owned()))?;
    let protocol = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or_default();
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
    Ok(Seen {
        protocol: format!("{protocol} {suite}"),
        server: certificate(server).map_err(&bad)?,
        client: own.as_ref().map(certificate).transpose().map_err(&bad)?,
    })
}

pub(super) type OwnCertificate = Option<CertificateDer<'static>>;

/// The same trust and identity as the channel's.
pub(super) fn config(settings: &Settings) -> Result<(ClientConfig, OwnCertificate), String> {
    let context = &settings.context;
    let mut roots = RootCertStore::empty();
    match &context.ca_cert {
        Some(path) => {
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())? {
                roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let (mut config, own) = match (&context.client_cert, &context.client_key) {
        (Some(certificate), Some(key)) => {
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(certificate).map_err(|error| error.to_string())?.collect();
            let chain = chain.map_err(|error| error.to_string())?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| error.to_string())?;
            let own = chain.first().cloned();
            (builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())?, own)
        }
        _ => (builder.with_no_client_auth(), None),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok((config, own))
}

/// What matters of one.
pub(super) fn certificate(der: &CertificateDer<'_>) -> Result<Certificate, String> {
    let (_, parsed) = parse_x509_certificate(der).map_err(|error| error.to_string())?;
    let at = |time: x509_parser::time::ASN1Time| {
        DateTime::from_timestamp(time.timestamp(), 0).ok_or_else(|| "the certificate lies beyond all dates".to_owned())
    };
    let validity = parsed.validity();
    Ok(Certificate {
        subject: parsed.subject().to_string(),
        begins: at(validity.not_before)?,
        ends: at(validity.not_after)?,
    })
}
