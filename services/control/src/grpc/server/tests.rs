//! Who a client certificate makes of a caller.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_stream::StreamExt as _;

use super::*;
use crate::access::Credential;
use crate::grpc::gate::certified;

/// An authority.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
type Pair = (String, String);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, name: &str, hosts: &[&str]) -> Pair {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).expect("a certificate");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("for us alone");
    path
}

/// A port that asks for certificates of `clients`.
async fn port(authority: &Authority, clients: &Authority) -> (SocketAddr, ReceiverStream<std::io::Result<Connection>>) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let folder = tempfile::TempDir::new().expect("a folder");
    let (certificate, key) = authority.sign("control", &["localhost"]);
    let files = Files {
        certificate: file(folder.path(), "chain.pem", &certificate),
        key: file(folder.path(), "key.pem", &key),
        client_ca: Some(file(folder.path(), "clients.pem", &clients.pem)),
    };
    let config = tls(&files).expect("good files");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    (address, accept(listener, config))
}

/// Speaks TLS to the port, with a certificate or without.
async fn call(
    address: SocketAddr,
    authority: &Authority,
    own: Option<&Pair>,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_protocol_versions(&[version]).with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The request of a connection, as every service gets it.
fn introduced(connection: &Connection, token: Option<&str>) -> tonic::Request<()> {
    let mut request = tonic::Request::new(());
    request.extensions_mut().insert(connection.connect_info());
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token.parse().expect("ASCII"));
    }
    introduce(request).expect("it lets everything pass")
}

#[tokio::test]
async fn a_certificate_of_the_authority_names_its_caller_unless_a_token_does() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (address, mut accepted) = port(&authority, &clients).await;
    let robot = clients.sign("robot", &[]);
    let _stream = call(address, &authority, Some(&robot), &rustls::version::TLS13).await.expect("let in");
    let connection = accepted.next().await.expect("a connection").expect("shaken hands");
    let principal = certified(&introduced(&connection, None)).expect("named");
    assert_eq!((principal.name.as_str(), principal.credential), ("robot", Credential::Certificate));
    assert_eq!(principal.only_roles, None);
    let peer = introduced(&connection, None).extensions().get::<Peer>().map(|peer| peer.0.clone());
    assert_eq!(peer.as_deref(), Some("127.0.0.1"));
    // Whoever shows a token is who the token says, whatever machine they sit at.
    assert_eq!(certified(&introduced(&connection, Some("Bearer sbt1.x.y"))), None);
}

#[tokio::test]
async fn who_has_no_certificate_or_one_without_a_name_is_nobody() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (address, mut accepted) = port(&authority, &clients).await;
    for own in [None, Some(clients.sign("two words", &[])), Some(clients.sign("", &[]))] {
        let _stream = call(address, &authority, own.as_ref(), &rustls::version::TLS13).await.expect("let in");
        let connection = accepted.next().await.expect("a connection").expect("shaken hands");
        assert_eq!(certified(&introduced(&connection, None)), None);
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_and_an_older_tls_do_not_get_in() {
    let (authority, clients) = (Authority::new("servers"), Authority::new("clients"));
    let (address, mut accepted) = port(&authority, &clients).await;
    let stranger = Authority::new("strangers").sign("robot", &[]);
    // The client is done before the server has judged its certificate; the verdict is read.
    if let Ok(mut stream) = call(address, &authority, Some(&stranger), &rustls::version::TLS13).await {
        let verdict = stream.read(&mut [0; 1]).await.expect_err("shut out");
        assert!(verdict.to_string().contains("UnknownCA"), "{verdict}");
    }
    assert!(call(address, &authority, None, &rustls::version::TLS12).await.is_err());
    // Nobody of them is served: the next connection is the next one that was let in.
    let robot = clients.sign("robot", &[]);
    let _stream = call(address, &authority, Some(&robot), &rustls::version::TLS13).await.expect("let in");
    let connection = accepted.next().await.expect("a connection").expect("shaken hands");
    assert!(certified(&introduced(&connection, None)).is_some());
}
