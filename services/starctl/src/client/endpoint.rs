//! The way to a control plane: address, authority, client certificate.

use std::fs;
use std::path::Path;
use std::time::Duration;

use document::{Code, Fault};
use secrecy::SecretString;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity, Uri};

use super::token_command;
use crate::context::Settings;
use crate::exit;
use crate::output::failure::Failure;
use crate::private_file;

/// A connection that nobody speaks on is kept alive by a ping this often: a tail may be silent for hours.
const PING: Duration = Duration::from_secs(30);

/// The address as a URI: `https` where it names no scheme. Clear text is refused outside the own machine, because a token
/// goes with every request.
pub(crate) fn address(text: &str) -> Result<Uri, Failure> {
    let wrong = |detail: String| Failure::of(Fault::new(Code::CliContext, detail).at_path("endpoint"), exit::USAGE);
    let whole = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let uri: Uri = whole.parse().map_err(|error| wrong(format!("{text}: {error}")))?;
    let host = uri.host().ok_or_else(|| wrong(format!("{text} names no host")))?;
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err(wrong(format!("{text}: a token would travel in clear text; use https"))),
        _ => Err(wrong(format!("{text} is no https address"))),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host and port to connect to.
pub(crate) fn host_and_port(uri: &Uri) -> (String, u16) {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    (host.to_owned(), uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 }))
}

/// The name that the server's certificate must carry. It stays the same when another replica is spoken to.
pub(crate) fn server_name(settings: &Settings) -> Result<String, Failure> {
    match &settings.context.server_name {
        Some(name) => Ok(name.clone()),
        None => Ok(host_and_port(&address(settings.endpoint()?)?).0),
    }
}

/// How to reach an address with these settings.
pub(crate) fn endpoint(settings: &Settings, text: &str) -> Result<Endpoint, Failure> {
    let uri = address(text)?;
    let encrypted = uri.scheme_str() == Some("https");
    let endpoint = Endpoint::from(uri)
        .user_agent(concat!("starctl/", env!("CARGO_PKG_VERSION")))
        .expect("a version can be part of a header")
        .connect_timeout(settings.timeout)
        .http2_keep_alive_interval(PING)
        .keep_alive_while_idle(true);
    if !encrypted {
        return Ok(endpoint);
    }
    let context = &settings.context;
    let mut tls = ClientTlsConfig::new().domain_name(server_name(settings)?);
    tls = match &context.ca_cert {
        Some(path) => tls.ca_certificate(Certificate::from_pem(pem(path)?)),
        None => tls.with_native_roots(),
    };
    tls = match (&context.client_cert, &context.client_key) {
        (Some(certificate), Some(key)) => tls.identity(Identity::from_pem(pem(certificate)?, key_of(key)?)),
        (None, None) => tls,
        _ => return Err(Failure::usage("--client-cert and --client-key go together")),
    };
    endpoint.tls_config(tls).map_err(|error| {
        let fault = Fault::new(Code::CliContext, format!("the certificates cannot be used: {}", chain(&error)));
        Failure::of(fault, exit::USAGE)
    })
}

/// The text of a certificate file.
pub(crate) fn pem(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| no_file(path, error.to_string()))
}

fn key_of(path: &Path) -> Result<String, Failure> {
    private_file::read(path)?.ok_or_else(|| no_file(path, "there is no such file".to_owned()))
}

/// The token to sign in with, where a file of one is named or a program that tells one.
pub(crate) fn token(settings: &Settings) -> Result<Option<SecretString>, Failure> {
    if let Some((program, arguments)) = settings.context.token_command.split_first() {
        return token_command::run(program, arguments, settings.timeout).map(Some);
    }
    let Some(path) = &settings.context.token_file else { return Ok(None) };
    match private_file::read(path)? {
        Some(text) => Ok(Some(SecretString::from(text.trim()))),
        None => Err(Failure::of(
            Fault::new(Code::NotSignedIn, "the token file is not there").in_file(path.display().to_string()),
            exit::DENIED,
        )),
    }
}

fn no_file(path: &Path, detail: String) -> Failure {
    Failure::of(Fault::new(Code::NoSuchFile, detail).in_file(path.display().to_string()), exit::NOT_FOUND)
}

/// An error with everything that led to it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_text_stays_on_the_own_machine() {
        for good in [
            "https://control.example:7443",
            "control.example:7443",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost:1",
        ] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in ["http://control.example", "http://10.0.0.1:80", "ftp://x", "https://", "a b"] {
            let failure = address(bad).expect_err(bad);
            assert!(failure.to_string().starts_with(Code::CliContext.as_str()), "{failure}");
        }
        assert_eq!(host_and_port(&address("[::1]:7443").expect("an address")), ("::1".to_owned(), 7443));
    }
}
