//! A server that says exactly what a test wants, down to the last byte and beyond.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The method of the service, such as `BatchSave`.
    pub(crate) method: String,
    /// Lower-case names.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    /// Which connection it came on, from 0.
    pub(crate) connection: usize,
}

/// What is done with a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Status, extra header lines, body.
    Say(u16, String, Vec<u8>),
    /// Says nothing for this long, then closes.
    Hang(Duration),
    /// Announces more bytes than it sends, then closes.
    Cut(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Waits, then goes on with the answer.
    After(Duration, Box<Answer>),
}

pub(crate) fn say(body: impl Into<String>) -> Answer {
    Answer::Say(200, String::new(), body.into().into_bytes())
}

pub(crate) fn status(code: u16, headers: &str, body: &str) -> Answer {
    Answer::Say(code, headers.to_owned(), body.as_bytes().to_vec())
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (log, handler): (_, Arc<Handler>) = (seen.clone(), Arc::new(handler));
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, connection, log.clone(), handler.clone()));
            }
        });
        Self { address, seen, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/K3Cloud/", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Request> {
        self.seen.lock().expect("no panic in the server").clone()
    }

    /// How many requests came for a method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen().iter().filter(|request| request.method == method).count()
    }
}

async fn serve(stream: TcpStream, connection: usize, log: Arc<Mutex<Vec<Request>>>, handler: Arc<Handler>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream, connection).await {
        log.lock().expect("no panic in the server").push(request.clone());
        let mut answer = handler(&request);
        while let Answer::After(wait, then) = answer {
            tokio::time::sleep(wait).await;
            answer = *then;
        }
        match answer {
            Answer::Say(code, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {code} X\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: {}\r\n{headers}\r\n",
                    body.len()
                );
                if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
                    return;
                }
            }
            Answer::Cut(body) => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len() + 10);
                drop(stream.write_all(&[head.as_bytes(), &body].concat()).await);
                return;
            }
            Answer::Hang(time) => {
                tokio::time::sleep(time).await;
                return;
            }
            Answer::Reset => {
                stream.get_ref().set_zero_linger().expect("a socket option");
                return;
            }
            Answer::After(..) => panic!("waited out above"),
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Request> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok().filter(|length| *length > 0)?;
    let path = first.split(' ').nth(1)?;
    let method = path.trim_end_matches(".common.kdsvc").rsplit(['.', '/']).next()?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let length: usize = headers.get("content-length")?.parse().ok()?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request { method, headers, body: String::from_utf8(body).ok()?, connection })
}
