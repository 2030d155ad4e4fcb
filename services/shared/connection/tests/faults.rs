//! A connection is set up wrongly in every way that people know; each is told by its step and by the entry of the
//! catalogue that says what to do.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use connection::Quota;
use connection::check::{Outcome, Step, Taken, Trial, check};
use coordination::{Limit, Limiter};
use document::Code;
use kingdee::{LoginMode, MemorySessions, Outbound, SessionCache, Settings};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use simulator::{Options, Running, start};
use tempfile::TempDir;
use tokio::net::TcpListener;

const ACCOUNT: &str = "5f3c9a1b7d2e40";
const USER: &str = "Administrator";
const APP_ID: &str = "118273_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE";
const SECRET: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const FORM: &str = "STK_MISCELLANEOUS";

/// A simulated system, and settings that are right for it.
struct Place {
    running: Running,
    folder: TempDir,
}

impl Place {
    async fn new(switches: &[&str]) -> Self {
        let usual = ["--acct-id", ACCOUNT, "--app-id", APP_ID, "--app-secret", SECRET, "--user", USER];
        let options = Options::from_arguments(usual.into_iter().chain(switches.iter().copied())).expect("options");
        let folder = TempDir::new().expect("a folder");
        Self { running: start(&options).await.expect("started"), folder }
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.running.url(), ACCOUNT, USER);
        settings.app_id = APP_ID.to_owned();
        settings.app_secret_file = Some(secret(self.folder.path(), "secret", SECRET));
        settings.calls_per_minute = 60_000;
        settings
    }

    async fn tell(&self, path: &str, body: &str) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let admin = self.running.admin_url();
        let mut stream = tokio::net::TcpStream::connect(admin.trim_start_matches("http://")).await.expect("admin");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
}

fn secret(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("for us alone");
    path
}

async fn tried(settings: &Settings, save: bool) -> Vec<Taken> {
    let server = settings.account();
    let outbound = Outbound::only(server.split('/').next().expect("a server")).expect("a server");
    let limiter = Limiter::connect(None).expect("no settings, no fault");
    let quota = Quota { limiter, account: settings.account(), limit: Limit::alone(settings.calls_per_minute) };
    let sessions: Arc<dyn SessionCache> = Arc::new(MemorySessions::default());
    let taken =
        check(&Trial { settings, outbound: &outbound, quota: &quota, form: FORM, save }, &sessions, Utc::now).await;
    assert_eq!(taken.iter().map(|taken| taken.step).collect::<Vec<_>>(), Step::ALL);
    let told = format!("{taken:?}");
    assert!(!told.contains(SECRET) && !told.contains("hunter2"), "{told}");
    taken
}

/// The step that failed, its code, and that nothing behind it was taken.
async fn failed(settings: &Settings) -> (Step, Code) {
    let taken = tried(settings, false).await;
    let at = taken.iter().position(|taken| matches!(taken.outcome, Outcome::Failed(_))).expect("a step failed");
    let Outcome::Failed(fault) = &taken[at].outcome else { panic!("{taken:?}") };
    assert!(!fault.code.english().way_out.is_empty() && !fault.code.chinese().way_out.is_empty());
    assert!(fault.place.record.is_some() || fault.place.path.is_some(), "{fault}");
    for before in &taken[..at] {
        assert!(!matches!(before.outcome, Outcome::Failed(_)), "{taken:?}");
    }
    for behind in &taken[at + 1..] {
        assert!(matches!(behind.outcome, Outcome::Skipped(_)), "{taken:?}");
    }
    (taken[at].step, fault.code)
}

#[tokio::test]
async fn a_good_connection_passes_every_step_and_creates_nothing() {
    let place = Place::new(&[]).await;
    for login in [LoginMode::Signed, LoginMode::AppSecret, LoginMode::Sign] {
        let settings = Settings { login, ..place.settings() };
        let taken = tried(&settings, true).await;
        let skipped: Vec<Step> =
            taken.iter().filter(|taken| !matches!(taken.outcome, Outcome::Passed(_))).map(|taken| taken.step).collect();
        assert_eq!(skipped, [Step::Tls], "{taken:?}");
        let saved = &taken.last().expect("steps").outcome;
        assert_eq!(*saved, Outcome::Passed("an empty document was judged and refused".to_owned()));
        // No bill came of it: the query of the next round still finds none.
        assert_eq!(taken[7].outcome, Outcome::Passed("0 rows".to_owned()));
    }
}

#[tokio::test]
async fn unknown_host_and_refused_port_are_told() {
    let place = Place::new(&[]).await;
    let unknown = Settings {
        url: "https://no-such-host.invalid/K3Cloud/".to_owned(),
        connect_timeout: Duration::from_secs(3),
        ..place.settings()
    };
    assert_eq!(failed(&unknown).await, (Step::Name, Code::ErpName));
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        listener.local_addr().expect("bound").port()
    };
    let refused = Settings { url: format!("http://127.0.0.1:{port}/K3Cloud/"), ..place.settings() };
    assert_eq!(failed(&refused).await, (Step::Tcp, Code::ErpRefused));
}

/// A server that speaks TLS with a certificate for `name`, signed by an authority; its address and the authority.
async fn tls(name: &str) -> (SocketAddr, String, tokio::task::JoinHandle<()>) {
    let mut authority = CertificateParams::new(Vec::new()).expect("an authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().expect("a key");
    let pem = authority.self_signed(&authority_key).expect("signed").pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().expect("a key");
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).expect("a name").signed_by(&key, &issuer).expect("signed");
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).expect("a certificate");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            // Whether the client likes the certificate is the client's word, heard at its side.
            tokio::spawn(async move { drop(acceptor.accept(stream).await) });
        }
    });
    (address, pem, serving)
}

#[tokio::test]
async fn a_certificate_of_another_name_and_one_of_an_unknown_authority_are_told_apart() {
    let place = Place::new(&[]).await;
    let (address, authority, serving) = tls("erp.example.com").await;
    let ca_file = Some(secret(place.folder.path(), "ca.pem", &authority));
    let url = format!("https://{address}/K3Cloud/");
    let other_name = Settings { url: url.clone(), ca_file, ..place.settings() };
    assert_eq!(failed(&other_name).await, (Step::Tls, Code::ErpTlsName));
    serving.abort();
    let (address, _, serving) = tls("127.0.0.1").await;
    let unknown = Settings { url: format!("https://{address}/K3Cloud/"), ..place.settings() };
    assert_eq!(failed(&unknown).await, (Step::Tls, Code::ErpTlsAuthority));
    serving.abort();
    let plain = place.running.url().replace("http://", "https://");
    assert_eq!(failed(&Settings { url: plain, ..place.settings() }).await, (Step::Tls, Code::ErpTls));
}

#[tokio::test]
async fn each_part_of_a_wrong_identity_is_told() {
    for login in [LoginMode::Signed, LoginMode::AppSecret, LoginMode::Sign] {
        let place = Place::new(&["--login-words", "exact"]).await;
        let right = Settings { login, ..place.settings() };
        let account = Settings { acct_id: "5f3c9a1b7d2e41".to_owned(), ..right.clone() };
        assert_eq!(failed(&account).await, (Step::Login, Code::UnknownAccount), "{login:?}");
        let user = Settings { user: "nobody".to_owned(), ..right.clone() };
        assert_eq!(failed(&user).await, (Step::Login, Code::AuthUser), "{login:?}");
        let application = Settings { app_id: "118274_1Z0pwYjoQlAW18/Pw5XCS+VE1Ix+XAqE".to_owned(), ..right.clone() };
        assert_eq!(failed(&application).await, (Step::Login, Code::AuthApplication), "{login:?}");
        let wrong = Some(secret(place.folder.path(), "wrong", "hunter2"));
        let secret = Settings { app_secret_file: wrong, ..right };
        assert_eq!(failed(&secret).await, (Step::Login, Code::AuthSecret), "{login:?}");
    }
    // A server that does not say which part is wrong leaves all of them to be looked at.
    let place = Place::new(&["--login-words", "vague"]).await;
    let wrong = Some(secret(place.folder.path(), "wrong", "hunter2"));
    let settings = Settings { app_secret_file: wrong, ..place.settings() };
    assert_eq!(failed(&settings).await, (Step::Login, Code::AuthFailed));
}

#[tokio::test]
async fn a_missing_permission_a_skewed_clock_and_a_form_that_is_none_are_told() {
    let place = Place::new(&[]).await;
    let fault = r#"{"kind":"error","call":"ExecuteBillQuery","code":2,"message":"当前用户没有其他入库单的查看权限"}"#;
    place.tell("/faults", fault).await;
    assert_eq!(failed(&place.settings()).await, (Step::Permission, Code::TargetPermission));
    place.tell("/clock", r#"{"advance_ms":1200000}"#).await;
    let taken = tried(&place.settings(), true).await;
    let Outcome::Failed(fault) = &taken[8].outcome else { panic!("{taken:?}") };
    assert_eq!((taken[8].step, fault.code), (Step::Clock, Code::ErpClock));
    // A save does not depend on the clock.
    assert!(matches!(taken[9].outcome, Outcome::Passed(_)), "{taken:?}");
}

#[tokio::test]
async fn what_is_no_web_api_throttles_or_is_slow_is_told() {
    let place = Place::new(&[]).await;
    place.tell("/faults", r#"{"kind":"html","call":"QueryBusinessInfo"}"#).await;
    assert_eq!(failed(&place.settings()).await, (Step::Service, Code::ReplyHtml));
    let prefix = Settings { url: place.running.url().replace("K3Cloud", "K3Clod"), ..place.settings() };
    assert_eq!(failed(&prefix).await, (Step::Service, Code::ErpStatus));
    place.tell("/faults", r#"{"kind":"throttle","call":"QueryBusinessInfo"}"#).await;
    assert_eq!(failed(&place.settings()).await, (Step::Service, Code::ErpThrottled));
    place.tell("/faults", r#"{"kind":"latency","call":"QueryBusinessInfo","ms":5000}"#).await;
    let impatient = Settings {
        connect_timeout: Duration::from_millis(700),
        query_timeout: Duration::from_secs(1),
        ..place.settings()
    };
    assert_eq!(failed(&impatient).await, (Step::Service, Code::ErpTimeout));
}
