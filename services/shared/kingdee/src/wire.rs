//! One request over HTTP, one reply back, and nothing in between: no retry, no redirect, no proxy.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use document::{Code, Fault};
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SET_COOKIE};
use serde_json::Value;

use crate::error::Error;
use crate::outbound::Outbound;
use crate::resolve::{Refused, Resolver};
use crate::session::WireSession;
use crate::settings::Settings;

/// The largest reply, after decompression.
pub(crate) const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// A connection that was idle this long is not used again: the server may have closed it, and a write that meets a
/// closed connection cannot be told from one that was cut.
const IDLE: Duration = Duration::from_secs(10);

/// What every service of documents begins with.
const FORM_SERVICE: &str = "Kingdee.BOS.WebApi.ServicesStub.DynamicFormService.";

/// What every service of logins begins with.
const LOGIN_SERVICE: &str = "Kingdee.BOS.WebApi.ServicesStub.AuthService.";

/// A complete reply.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) server_time: Option<DateTime<Utc>>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) session: Option<WireSession>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no complete reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Not a byte of the request was sent.
    Unreachable(reqwest::Error),
    /// The server's name leads where no call may go; nothing was sent.
    Refused(Refused),
    /// It did not come in time.
    TimedOut(Duration),
    /// The connection broke.
    Interrupted(reqwest::Error),
    /// The reply is over the limit.
    TooLarge,
}

impl Failure {
    pub(crate) fn into_error(self, method: &str) -> Error {
        let method = method.to_owned();
        match self {
            Failure::Unreachable(source) => Error::Unreachable { method, source },
            Failure::Refused(Refused { host, address, reason }) => {
                Error::AddressRefused { method, host, address, reason }
            }
            Failure::TimedOut(limit) => Error::TimedOut { method, limit },
            Failure::Interrupted(source) => Error::Interrupted { method, source },
            Failure::TooLarge => Error::TooLarge { method, limit: BODY_LIMIT },
        }
    }
}

/// The URL of a service as it is typed, and therefore signed.
pub(crate) fn service_url(base: &str, service: &str) -> String {
    let slash = if base.ends_with('/') { "" } else { "/" };
    format!("{base}{slash}{service}.common.kdsvc")
}

/// The service of a form's method.
pub(crate) fn form_service(method: &str) -> String {
    format!("{FORM_SERVICE}{method}")
}

/// The service of a login.
pub(crate) fn login_service(method: &str) -> String {
    format!("{LOGIN_SERVICE}{method}")
}

/// `{"formid":…,"data":…}`; `data` is JSON and goes in as it is.
pub(crate) fn form_body(form: &str, data: &[u8]) -> Bytes {
    let form = Value::from(form).to_string();
    [b"{\"formid\":".as_slice(), form.as_bytes(), b",\"data\":", data, b"}"].concat().into()
}

/// `{"data":…}`, for the methods whose form stands inside the data.
pub(crate) fn data_body(data: &[u8]) -> Bytes {
    [b"{\"data\":".as_slice(), data, b"}"].concat().into()
}

/// The connections to one server.
#[derive(Debug)]
pub(crate) struct Transport {
    http: reqwest::Client,
}

impl Transport {
    pub(crate) fn new(settings: &Settings, outbound: &Outbound) -> Result<Self, Error> {
        // Whoever came first has installed a provider; that there is one is all that counts.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let loopback_only = settings.is_clear_text() && settings.is_local();
        let resolver = Resolver { outbound: Arc::new(outbound.clone()), loopback_only };
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(resolver))
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(settings.connect_timeout)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true);
        let http = match &settings.ca_file {
            Some(path) => http.tls_certs_merge(authorities(path)?),
            None => http,
        };
        let http = http.build().map_err(Error::Build)?;
        Ok(Self { http })
    }

    /// Sends one request and reads its whole reply within `limit`.
    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
        limit: Duration,
    ) -> Result<Raw, Failure> {
        match tokio::time::timeout(limit, self.exchange(url, headers, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::TimedOut(limit)),
        }
    }

    async fn exchange(&self, url: &str, headers: &[(&'static str, String)], body: Bytes) -> Result<Raw, Failure> {
        let mut request = self.http.post(url).body(body);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let mut response = request.send().await.map_err(|error| failure(error.without_url()))?;
        let mut raw = Raw {
            status: response.status().as_u16(),
            server_time: server_time(response.headers()),
            retry_after: retry_after(response.headers()),
            session: session(response.headers()),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(error.without_url()))? {
            if raw.body.len() + chunk.len() > BODY_LIMIT {
                return Err(Failure::TooLarge);
            }
            raw.body.extend_from_slice(&chunk);
        }
        Ok(raw)
    }
}

/// Only a failed connection proves that nothing was sent; every other error leaves it open.
fn failure(error: reqwest::Error) -> Failure {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<Refused>() {
            return Failure::Refused(refused.clone());
        }
        cause = inner.source();
    }
    if error.is_connect() { Failure::Unreachable(error) } else { Failure::Interrupted(error) }
}

/// The certificates in a PEM file.
fn authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, Error> {
    let unusable = |detail: String| {
        let fault = Fault::new(Code::ErpSettings, detail).in_file(path.display().to_string()).at_path("ca_file");
        Error::Settings(vec![fault])
    };
    let bytes = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    match reqwest::Certificate::from_pem_bundle(&bytes) {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(unusable("holds no certificate in PEM".to_owned())),
        Err(error) => Err(unusable(error.to_string())),
    }
}

/// Whether headers can be sent at all; the values may come from settings.
pub(crate) fn is_sendable(headers: &[(&'static str, String)]) -> Result<(), &'static str> {
    for (name, value) in headers {
        let good = HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_bytes(value.as_bytes()).is_ok();
        if !good {
            return Err(name);
        }
    }
    Ok(())
}

fn server_time(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    http_date(headers.get(DATE)?.to_str().ok()?)
}

fn http_date(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(text.trim()).ok().map(|time| time.with_timezone(&Utc))
}

/// `Retry-After` in seconds, or as a date measured by the server's own clock; at most an hour.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (http_date(text)? - server_time(headers)?).to_std().unwrap_or_default(),
    };
    Some(wait.min(Duration::from_secs(3600)))
}

fn session(headers: &HeaderMap) -> Option<WireSession> {
    WireSession::from_set_cookie(headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn the_servers_clock_is_read_from_the_date_header() {
        let time = server_time(&headers(&[("date", "Thu, 01 Jan 2026 00:00:00 GMT")])).expect("a date");
        assert_eq!(time.timestamp(), 1_767_225_600);
        assert_eq!(server_time(&headers(&[("date", "yesterday")])), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_bounded() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers(&[("retry-after", "99999999")])), Some(Duration::from_secs(3600)));
        let dated = [("retry-after", "Thu, 01 Jan 2026 00:01:30 GMT"), ("date", "Thu, 01 Jan 2026 00:00:00 GMT")];
        assert_eq!(retry_after(&headers(&dated)), Some(Duration::from_secs(90)));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
    }

    #[test]
    fn bodies_hold_their_data_as_it_is() {
        assert_eq!(&form_body("A\"B", b"{\"x\":1.50}")[..], b"{\"formid\":\"A\\\"B\",\"data\":{\"x\":1.50}}");
        assert_eq!(&data_body(b"[1]")[..], b"{\"data\":[1]}");
    }
}
