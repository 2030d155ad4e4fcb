//! A control plane, a home folder, and the binary between them.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;

use chrono::{DateTime, Datelike, Utc};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

use crate::desk::Desk;

/// The token of the user.
pub(crate) const TOKEN: &str = "sbt1.claims.signature";

/// How a command went.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn new(output: Output, hidden: &[(String, &str)]) -> Self {
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("UTF-8");
            hidden.iter().fold(text, |text, (from, to)| text.replace(from, to))
        };
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Everything a user or script sees, for snapshots.
    pub(crate) fn seen(&self) -> String {
        let code = self.code.map_or("signal".to_owned(), |code| code.to_string());
        format!("exit {code}\n--- stdout\n{}--- stderr\n{}", self.out, self.err)
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.seen()))
    }
}

/// One replica with its certificate.
pub(crate) struct Replica {
    pub(crate) desk: Desk,
    pub(crate) port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A day that no test sees.
fn far() -> DateTime<Utc> {
    DateTime::from_timestamp(3_786_912_000, 0).expect("a time")
}

/// An authority that signs the certificates of one test.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate of this authority and its key.
    fn certificate(&self, name: &str, ends: DateTime<Utc>) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let day = |number: u32| u8::try_from(number).expect("small");
        params.not_after = rcgen::date_time_ymd(ends.year(), day(ends.month()), day(ends.day()));
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// A client's certificate and key.
    pub(crate) fn client(&self, name: &str) -> (String, String) {
        self.client_until(name, far())
    }

    /// The same, of a certificate that ends at the beginning of that day.
    pub(crate) fn client_until(&self, name: &str, ends: DateTime<Utc>) -> (String, String) {
        self.certificate(name, ends)
    }

    /// Starts a replica whose certificate says `localhost`.
    pub(crate) fn replica(&self) -> Replica {
        self.replica_until(far())
    }

    /// Starts a replica whose certificate ends at the beginning of that day.
    pub(crate) fn replica_until(&self, ends: DateTime<Utc>) -> Replica {
        let (certificate, key) = self.certificate("localhost", ends);
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Certificate::from_pem(&self.pem))
            .client_auth_optional(true);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener can be nonblocking");
        let port = listener.local_addr().expect("bound").port();
        let (stop, stopped) = oneshot::channel();
        let desk = Desk::default();
        let (served, dying) = (desk.clone(), desk.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let mut server = Server::builder().tls_config(tls).expect("an identity");
                let serving = served.services(&mut server).serve_with_incoming(TcpListenerStream::new(listener));
                tokio::select! {
                    served = serving => served.expect("it serves"),
                    _ = stopped => {}
                    () = dying.death() => {}
                }
            });
        });
        Replica { desk, port, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }
}

/// A user at a machine with one context that leads to a control plane.
pub(crate) struct Bed {
    pub(crate) replica: Replica,
    pub(crate) authority: Authority,
    pub(crate) home: TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// With more lines in the context.
    pub(crate) fn with(more: &str) -> Self {
        let authority = Authority::new();
        let replica = authority.replica();
        let home = TempDir::new().expect("a scratch folder");
        let bed = Self { replica, authority, home };
        bed.write("ca.pem", &bed.authority.pem, 0o644);
        bed.write("token", TOKEN, 0o600);
        let config = format!(
            "current = \"test\"\n[contexts.test]\nendpoint = \"https://localhost:{}\"\nca_cert = \"{}\"\ntoken_file = \"{}\"\n{more}",
            bed.replica.port,
            bed.path("ca.pem").display(),
            bed.path("token").display(),
        );
        bed.write(".config/starctl/config.toml", &config, 0o600);
        bed
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.replica.desk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("inside the home")).expect("a folder");
        fs::write(&path, text).expect("a writable folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
    }

    /// The command, in an environment that holds nothing but the home folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_starctl"));
        command.args(arguments).env_clear().env("HOME", self.home.path()).env("TZ", "UTC").stdin(Stdio::null());
        command
    }

    pub(crate) fn starctl(&self, arguments: &[&str]) -> Ran {
        self.ran(self.command(arguments).output().expect("the binary runs"))
    }

    /// The same with this on its standard input.
    pub(crate) fn starctl_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut command = self.command(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the binary runs");
        match child.stdin.take().expect("piped").write_all(input.as_bytes()) {
            // What is refused before it is read may have ended by now.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            written => written.expect("read"),
        }
        self.ran(child.wait_with_output().expect("it ends"))
    }

    /// Starts a command that goes on by itself.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }

    /// How a command went, without what differs from run to run.
    pub(crate) fn ran(&self, output: Output) -> Ran {
        let hidden = [
            (self.home.path().display().to_string(), "HOME"),
            (format!("localhost:{}", self.replica.port), "localhost:PORT"),
            (format!("127.0.0.1:{}", self.replica.port), "127.0.0.1:PORT"),
        ];
        Ran::new(output, &hidden)
    }
}
