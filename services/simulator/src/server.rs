//! Connections: HTTP/1.1 with the power to break them off at any point.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, DATE, SET_COOKIE};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Duration, sleep, timeout};

use crate::door::{self, App};
use crate::fault::Manner;

/// Largest body taken.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// How long a connection may finish what it does when the server ends.
const GRACE: Duration = Duration::from_secs(1);

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// TCP reset.
    Reset,
    /// Orderly close.
    Close,
}

/// What goes back.
#[derive(Debug)]
pub enum Answer {
    /// A whole response.
    Whole {
        /// Status.
        status: u16,
        /// Headers beside Date and Content-Length.
        headers: Vec<(String, String)>,
        /// Body.
        body: String,
    },
    /// These bytes as they are, then the end of the connection.
    Broken(Vec<u8>, Cut),
    /// Nothing for this long, then the end of the connection.
    Hang(Duration),
}

impl Answer {
    /// A JSON reply with cookies.
    pub fn json(status: u16, body: String, cookies: Vec<String>) -> Self {
        let kind = (CONTENT_TYPE.to_string(), "application/json; charset=utf-8".to_owned());
        let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE.to_string(), cookie));
        Self::Whole { status, headers: [kind].into_iter().chain(cookies).collect(), body }
    }

    /// An HTML page.
    pub fn page(status: u16, body: &str) -> Self {
        let kind = (CONTENT_TYPE.to_string(), "text/html; charset=utf-8".to_owned());
        Self::Whole { status, headers: vec![kind], body: body.to_owned() }
    }

    /// The end of the connection without a byte.
    pub fn cut(how: Manner) -> Self {
        Self::Broken(Vec::new(), if how == Manner::Rst { Cut::Reset } else { Cut::Close })
    }

    /// Half a body whose whole length was announced.
    pub fn truncated(body: &str, cut: Cut) -> Self {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut bytes = head.into_bytes();
        bytes.extend(body.bytes().take(body.len() / 2));
        Self::Broken(bytes, cut)
    }

    /// A chunked body whose second chunk has no length.
    pub fn broken_chunk(body: &str, cut: Cut) -> Self {
        let half = body.len() / 2;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut bytes = format!("{head}{half:x}\r\n").into_bytes();
        bytes.extend(body.bytes().take(half));
        bytes.extend(b"\r\nno length\r\n");
        Self::Broken(bytes, cut)
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Short result for the request log.
    pub fn result(&self) -> String {
        match self {
            Self::Whole { status, .. } => format!("http {status}"),
            Self::Broken(..) | Self::Hang(_) => "cut".to_owned(),
        }
    }
}

/// Ends a connection from within a request.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was broken off")
    }
}

impl std::error::Error for Broken {}

/// What is left to do on a connection when its HTTP side has ended.
type Ending = Arc<Mutex<Option<(Vec<u8>, Cut)>>>;

/// Serves the WebAPI until `stop` turns true.
pub async fn serve(listener: TcpListener, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, Arc::clone(&app), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Waits for the word to stop; a sender that is gone means the same.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn connection(stream: TcpStream, app: Arc<App>, mut stop: watch::Receiver<bool>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small packets stay delayed");
    }
    let ending = Ending::default();
    let service = {
        let ending = Arc::clone(&ending);
        service_fn(move |request| -> Pin<Box<dyn Future<Output = Result<_, Broken>> + Send>> {
            Box::pin(respond(request, Arc::clone(&app), Arc::clone(&ending)))
        })
    };
    let mut http = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = poll_fn(|context| http.poll_without_shutdown(context)) => Some(ended),
        () = stopped(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut http).graceful_shutdown();
            timeout(GRACE, poll_fn(|context| http.poll_without_shutdown(context))).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended");
    }
    let mut stream = http.into_parts().io.into_inner();
    let left = ending.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let result = match left {
        None => stream.shutdown().await,
        Some((bytes, cut)) => {
            let written = stream.write_all(&bytes).await;
            match cut {
                // With a zero linger the close sends a reset.
                Cut::Reset => written.and_then(|()| stream.set_zero_linger()),
                Cut::Close => stream.shutdown().await,
            }
        }
    };
    if let Err(error) = result {
        tracing::trace!(%error, "a connection was already gone");
    }
}

async fn respond(request: Request<Incoming>, app: Arc<App>, ending: Ending) -> Result<Response<Full<Bytes>>, Broken> {
    let (parts, body) = request.into_parts();
    let date = || app.clock.http_date();
    let answer = if parts.method == Method::POST {
        // A caller that leaves while it sends, or sends without end, has not called.
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|_| Broken)?.to_bytes();
        door::answer(Arc::clone(&app), parts.uri.path().to_owned(), parts.headers, body.to_vec()).await
    } else {
        Answer::page(405, "<!DOCTYPE html><html><body>405</body></html>")
    };
    let (status, headers, body) = match answer {
        Answer::Whole { status, headers, body } => (status, headers, body),
        Answer::Broken(bytes, cut) => {
            *ending.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some((bytes, cut));
            return Err(Broken);
        }
        Answer::Hang(time) => {
            sleep(time).await;
            return Err(Broken);
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let map = response.headers_mut();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            map.append(name, value);
        }
    }
    if let Ok(date) = HeaderValue::try_from(date()) {
        map.insert(DATE, date);
    }
    map.remove(CONTENT_LENGTH);
    Ok(response)
}
