//! A real Redis.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::process::{Process, Spec, pause};
use super::{free_ports, variable};

/// A Redis of our own, or one that runs already.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    url: String,
    process: Option<Process>,
    scratch: PathBuf,
}

impl Redis {
    /// The Redis that `STARBRIDGE_TEST_REDIS` names, else one of our own with its data in `scratch`.
    ///
    /// # Errors
    /// `redis-server` is not installed or does not come up.
    pub fn shared(scratch: &Path) -> anyhow::Result<Self> {
        match variable("STARBRIDGE_TEST_REDIS") {
            Some(url) => {
                let port = url.rsplit(':').next().and_then(|tail| tail.trim_end_matches('/').parse().ok());
                let port = port.with_context(|| format!("no port in STARBRIDGE_TEST_REDIS {url}"))?;
                Ok(Self { port, url, process: None, scratch: scratch.to_owned() })
            }
            None => Self::start(scratch),
        }
    }

    /// One of our own, on a free port, keeping nothing on disk.
    ///
    /// # Errors
    /// `redis-server` is not installed or does not come up.
    pub fn start(scratch: &Path) -> anyhow::Result<Self> {
        let port = free_ports(1)?[0];
        let mut redis =
            Self { port, url: format!("redis://127.0.0.1:{port}/"), process: None, scratch: scratch.to_owned() };
        redis.restart()?;
        Ok(redis)
    }

    /// `redis://127.0.0.1:PORT/`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it, if it runs, and starts it empty on the same port.
    ///
    /// # Errors
    /// It does not come up.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.kill()?;
        let port = self.port.to_string();
        let spec = Spec::new("redis", "redis-server", &self.scratch).arguments([
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--maxmemory-policy",
            "noeviction",
        ]);
        let process = Process::spawn(spec)?;
        let begin = Instant::now();
        while self.command("PING").is_err() {
            if begin.elapsed() > Duration::from_secs(10) {
                bail!("redis-server did not come up (apt-get install redis-server):\n{}", process.last_words());
            }
            pause(Duration::from_millis(20));
        }
        self.process = Some(process);
        Ok(())
    }

    /// Kills it.
    ///
    /// # Errors
    /// It cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// The process, when it is ours.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Sends one command without blanks in its words, such as `FLUSHALL`, and gives the first line of the answer.
    ///
    /// # Errors
    /// It does not answer within two seconds, or answers with an error.
    pub fn command(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).context("connecting to Redis")?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(format!("{command}\r\n").as_bytes()).context("writing to Redis")?;
        let mut answer = [0_u8; 512];
        let read = stream.read(&mut answer).context("reading from Redis")?;
        let text = String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned();
        if text.starts_with('-') || text.is_empty() {
            bail!("Redis answers {command:?} with {text:?}");
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_answers_and_comes_back_empty() {
        let scratch = tempfile::tempdir().expect("scratch");
        let mut redis = Redis::start(scratch.path()).expect("started");
        assert_eq!(redis.command("SET a 1").expect("answer"), "+OK");
        redis.restart().expect("restarted");
        assert_eq!(redis.command("EXISTS a").expect("answer"), ":0");
        redis.kill().expect("killed");
        assert!(redis.command("PING").is_err());
    }
}
