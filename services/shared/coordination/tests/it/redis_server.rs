//! A real Redis of one test: its own port, its own scratch folder, gone afterwards.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) struct RedisServer {
    port: u16,
    folder: TempDir,
    options: Vec<String>,
    child: Option<Child>,
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that was free a moment ago. It lies below those that the kernel gives to connections by itself: between this
/// moment and the one at which the server binds it, no connection can take it.
pub(crate) fn free_port() -> u16 {
    let begin = RandomState::new().build_hasher().finish() % 20_000;
    let mut ports =
        (0..20_000).map(|step| 12_000 + u16::try_from((begin + step) % 20_000).expect("below the range's width"));
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// The same with further options of the command line.
    pub(crate) async fn start_with(options: Vec<String>) -> Self {
        let folder = TempDir::new().expect("a scratch folder");
        let mut server = Self { port: free_port(), folder, options, child: None };
        server.restart().await;
        server
    }

    /// Starts it (again) on the same port and folder.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is needed for this test: install it (Debian: apt-get install redis-server)");
        self.child = Some(child);
        for _ in 0..400 {
            if self.ask::<String>(redis::cmd("PING")).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("redis-server did not answer on port {} within ten seconds", self.port);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child can be killed");
            child.wait().expect("our own child ends");
        }
    }

    /// Stops it in its tracks, without an end.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("a running server").id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill is there");
        assert!(status.success());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One command on a connection of its own.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: redis::Cmd) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        command.query_async(&mut connection).await
    }
}
