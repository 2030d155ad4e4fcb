//! A link between our services and a system around them: every byte goes through a gate that lets it pass, cuts the
//! connection, holds it back or slows it down.
//!
//! What a stalled gate holds back is delivered once it opens again; what is under way when a gate cuts never arrives.

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::servers::free_ports;

/// Bytes that are carried at a time: a slow link is slow in small steps.
const PORTION: usize = 4_096;

/// Which bytes are meant, as our services see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What they send.
    Out,
    /// What they receive.
    Back,
    /// Both.
    Both,
}

impl Way {
    fn means(self, way: Way) -> bool {
        self == Way::Both || self == way
    }
}

/// What a link does with bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Lets them pass.
    Open,
    /// Closes every connection, and every new one at once.
    Cut,
    /// Holds them back.
    Stalled(Way),
    /// Lets them pass slowly.
    Slow {
        /// Which.
        way: Way,
        /// Bytes a second.
        rate: u32,
        /// Added to every portion.
        latency: Duration,
    },
}

/// The systems that links lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// The source Galaxy.
    Source,
    /// The target Galaxy.
    Target,
    /// Redis.
    Redis,
    /// Kafka.
    Kafka,
}

/// One link. Dropped, it is cut for good.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    gate: watch::Sender<Gate>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// An open link to `upstream`, a port of the loopback, on a free port.
    ///
    /// # Errors
    /// No port can be bound.
    pub async fn to(upstream: u16) -> anyhow::Result<Self> {
        let port = free_ports(1)?[0];
        let listener = TcpListener::bind(("127.0.0.1", port)).await.context("binding a link")?;
        let (gate, watched) = watch::channel(Gate::Open);
        let task = tokio::spawn(serve(listener, upstream, watched));
        Ok(Self { port, gate, task })
    }

    /// Where services reach the system through it.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sets the gate, for connections that are there and those to come.
    pub fn set(&self, gate: Gate) {
        self.gate.send_replace(gate);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The links of a road, shared by all services.
#[derive(Debug)]
pub struct Links {
    /// To the source.
    pub source: Proxy,
    /// To the target.
    pub target: Proxy,
    /// To Redis.
    pub redis: Proxy,
    /// To Kafka, one a node.
    pub kafka: Vec<Proxy>,
}

impl Links {
    /// Sets the gate to a system.
    pub fn set(&self, system: System, gate: Gate) {
        match system {
            System::Source => self.source.set(gate),
            System::Target => self.target.set(gate),
            System::Redis => self.redis.set(gate),
            System::Kafka => self.kafka.iter().for_each(|link| link.set(gate)),
        }
    }

    /// Opens every link.
    pub fn open(&self) {
        for system in [System::Source, System::Target, System::Redis, System::Kafka] {
            self.set(system, Gate::Open);
        }
    }
}

async fn serve(listener: TcpListener, upstream: u16, gate: watch::Receiver<Gate>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted && *gate.borrow() != Gate::Cut {
                    connections.spawn(carry(client, upstream, gate.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until an end closes it or the gate cuts it.
async fn carry(client: TcpStream, upstream: u16, mut gate: watch::Receiver<Gate>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    // A portion that waits for another one's acknowledgement would be slow by itself.
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let out = pump(from_client, to_server, Way::Out, gate.clone());
    let back = pump(from_server, to_client, Way::Back, gate.clone());
    tokio::select! {
        _ = async { tokio::join!(out, back) } => {}
        _ = gate.wait_for(|gate| *gate == Gate::Cut) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: Way, mut gate: watch::Receiver<Gate>) {
    let mut portion = vec![0; PORTION];
    while let Ok(length @ 1..) = from.read(&mut portion).await {
        // Bytes that meet a cut wait for the end of their connection.
        let passes = |gate: &Gate| match gate {
            Gate::Cut => false,
            Gate::Stalled(held) => !held.means(way),
            Gate::Open | Gate::Slow { .. } => true,
        };
        let Ok(now) = gate.wait_for(passes).await.map(|gate| *gate) else { return };
        if let Gate::Slow { way: slow, rate, latency } = now
            && slow.means(way)
        {
            let bytes = u32::try_from(length).unwrap_or(u32::MAX);
            tokio::time::sleep(latency + Duration::from_secs(1) * bytes / rate.max(1)).await;
        }
        let Some(bytes) = portion.get(..length) else { return };
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
    // The other end learns that no more comes; one that is gone knows already.
    to.shutdown().await.ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, timeout};

    const SOON: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_millis(400);

    /// A server that says everything again, a link to it and a connection through it.
    async fn echo() -> (JoinHandle<()>, Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let port = listener.local_addr().expect("an address").port();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        let link = Proxy::to(port).await.expect("a link");
        let stream = TcpStream::connect(("127.0.0.1", link.port())).await.expect("connected");
        (server, link, stream)
    }

    /// What comes back to `word`, unless it takes longer than `patience`.
    async fn said(stream: &mut TcpStream, word: &[u8], patience: Duration) -> Option<std::io::Result<Vec<u8>>> {
        stream.write_all(word).await.expect("written");
        heard(stream, word.len(), patience).await
    }

    async fn heard(stream: &mut TcpStream, length: usize, patience: Duration) -> Option<std::io::Result<Vec<u8>>> {
        let mut answer = vec![0; length];
        let read = timeout(patience, stream.read_exact(&mut answer)).await.ok()?;
        Some(read.map(|_| answer))
    }

    #[tokio::test]
    async fn an_open_link_passes_everything_and_the_end() {
        let (_server, _link, mut stream) = echo().await;
        let word = vec![7; 3 * PORTION + 1];
        assert_eq!(said(&mut stream, &word, SOON).await.expect("in time").expect("an answer"), word);
        stream.shutdown().await.expect("ended");
        assert_eq!(timeout(SOON, stream.read(&mut [0; 4])).await.expect("in time").expect("the end"), 0);
    }

    #[tokio::test]
    async fn a_cut_link_closes_what_is_there_and_what_comes() {
        let (_server, link, mut stream) = echo().await;
        assert_eq!(said(&mut stream, b"a", SOON).await.expect("in time").expect("an answer"), b"a");
        link.set(Gate::Cut);
        assert!(heard(&mut stream, 1, SOON).await.expect("in time").is_err());
        let mut late = TcpStream::connect(("127.0.0.1", link.port())).await.expect("accepted");
        assert!(heard(&mut late, 1, SOON).await.expect("in time").is_err());
        link.set(Gate::Open);
        let mut next = TcpStream::connect(("127.0.0.1", link.port())).await.expect("connected");
        assert_eq!(said(&mut next, b"b", SOON).await.expect("in time").expect("an answer"), b"b");
    }

    #[tokio::test]
    async fn a_stalled_link_delivers_when_it_opens_and_never_when_it_is_cut() {
        for way in [Way::Out, Way::Back, Way::Both] {
            let (_server, link, mut stream) = echo().await;
            link.set(Gate::Stalled(way));
            assert!(said(&mut stream, b"held", LONG).await.is_none(), "{way:?}");
            link.set(Gate::Open);
            assert_eq!(heard(&mut stream, 4, SOON).await.expect("in time").expect("an answer"), b"held");
            link.set(Gate::Stalled(way));
            assert!(said(&mut stream, b"lost", LONG).await.is_none(), "{way:?}");
            link.set(Gate::Cut);
            assert!(heard(&mut stream, 4, SOON).await.expect("in time").is_err());
        }
    }

    #[tokio::test]
    async fn one_direction_is_held_while_the_other_passes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let link = Proxy::to(listener.local_addr().expect("an address").port()).await.expect("a link");
        let mut stream = TcpStream::connect(("127.0.0.1", link.port())).await.expect("connected");
        let (mut server, _) = listener.accept().await.expect("accepted");
        link.set(Gate::Stalled(Way::Back));
        stream.write_all(b"out").await.expect("written");
        assert_eq!(heard(&mut server, 3, SOON).await.expect("in time").expect("arrived"), b"out");
        server.write_all(b"back").await.expect("written");
        assert!(heard(&mut stream, 4, LONG).await.is_none());
    }

    #[tokio::test]
    async fn a_slow_link_takes_its_time() {
        let (_server, link, mut stream) = echo().await;
        link.set(Gate::Slow { way: Way::Back, rate: 1_000, latency: Duration::from_millis(100) });
        let begin = Instant::now();
        assert_eq!(said(&mut stream, &[1; 500], SOON).await.expect("in time").expect("an answer").len(), 500);
        assert!(begin.elapsed() >= Duration::from_millis(600), "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn a_dropped_link_is_gone() {
        let (_server, link, mut stream) = echo().await;
        let port = link.port();
        drop(link);
        assert!(heard(&mut stream, 1, SOON).await.expect("in time").is_err());
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err());
    }
}
