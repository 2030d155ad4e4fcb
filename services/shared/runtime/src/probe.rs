//! Asks a running service how it is, as health checks of containers do: an image of ours holds no other program.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use document::{Code, Fault};

use crate::health::HealthSettings;

const PATIENCE: Duration = Duration::from_secs(3);
/// More of an answer is not read.
const LONGEST: u64 = 1024 * 1024;

/// GETs `path` (`/live`, `/ready` or `/metrics`) of the service that runs with these settings, and gives the body.
///
/// # Errors
/// A [`Fault`] with [`Code::NotReady`] at the path when nobody answers within 3 s, or not with 200.
pub fn probe(health: &HealthSettings, path: &str) -> Result<String, Fault> {
    let not_ready = |detail: String| Fault::new(Code::NotReady, detail).at_path(path);
    let (status, body) =
        ask(health, path).map_err(|error| not_ready(format!("{} does not answer: {error}", health.listen)))?;
    if status == 200 { Ok(body) } else { Err(not_ready(format!("answers {status}: {}", body.trim()))) }
}

fn ask(health: &HealthSettings, path: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address(health)?, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut reply = String::new();
    stream.take(LONGEST).read_to_string(&mut reply)?;
    let unreadable = || io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer");
    let (head, body) = reply.split_once("\r\n\r\n").ok_or_else(unreadable)?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    Ok((status, body.to_owned()))
}

/// Where the service can be reached from beside it.
fn address(health: &HealthSettings) -> io::Result<SocketAddr> {
    let told = health.address_file.as_deref().and_then(|file: &Path| std::fs::read_to_string(file).ok());
    let listen = told.as_deref().unwrap_or(&health.listen).trim();
    let mut address =
        listen.to_socket_addrs()?.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such host"))?;
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::{Readiness, serve};
    use crate::metrics::Metrics;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_is_asked_where_it_listens() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("address");
        let settings = HealthSettings { listen: "0.0.0.0:0".to_owned(), address_file: Some(file) };
        let readiness = Readiness::new(["kafka"]);
        let metrics = Metrics::new("sample").expect("metrics");
        let _server = serve(&settings, readiness.clone(), metrics).await.expect("served");
        let ask = |path: &'static str| {
            let settings = settings.clone();
            async move { tokio::task::spawn_blocking(move || probe(&settings, path)).await.expect("no panic") }
        };
        assert_eq!(ask("/live").await, Ok("live\n".to_owned()));
        let fault = ask("/ready").await.expect_err("not ready");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::NotReady, Some("/ready")));
        assert_eq!(fault.detail, r#"answers 503: {"ready":false,"conditions":{"kafka":"starting"}}"#);
        readiness.ready("kafka");
        assert_eq!(ask("/ready").await.map(|body| body.contains("true")), Ok(true));
    }

    #[test]
    fn a_service_that_is_not_there_is_a_fault() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let settings = HealthSettings { listen: free.to_string(), address_file: None };
        let fault = probe(&settings, "/live").expect_err("nobody there");
        assert_eq!((fault.code, fault.place.path.as_deref()), (Code::NotReady, Some("/live")));
    }
}
