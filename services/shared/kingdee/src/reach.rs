//! Whether a server can be reached, one part of the way after the other, as a person would look for what is broken.
//!
//! A call goes the same way by itself; here each part says for itself that it failed.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use document::{Code, Fault};
use rustls::CertificateError;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::outbound::Outbound;
use crate::resolve::Resolver;
use crate::settings::Settings;

/// The addresses that the server's name leads to and that may be called; the address itself where the URL has one.
///
/// # Errors
/// `E_ERP_NAME` for a name that leads nowhere, `E_ERP_ADDRESS` where no call may go, `E_ERP_SETTINGS` for a URL without
/// a server. The server is the fault's record.
pub async fn look_up(settings: &Settings, outbound: &Outbound) -> Result<Vec<SocketAddr>, Fault> {
    let Some(server) = settings.server() else {
        return Err(Fault::new(Code::ErpSettings, "the URL names no server").at_path("url"));
    };
    if let Some(address) = server.address() {
        return Ok(vec![SocketAddr::new(address, server.port())]);
    }
    let fault = |code: Code, detail: String| Err(Fault::new(code, detail).of_record(server.to_string()));
    let found: Vec<SocketAddr> =
        match timeout(settings.connect_timeout, lookup_host((server.host(), server.port()))).await {
            Ok(Ok(found)) => found.collect(),
            Ok(Err(error)) => return fault(Code::ErpName, error.to_string()),
            Err(_) => return fault(Code::ErpName, format!("no answer within {:?}", settings.connect_timeout)),
        };
    if found.is_empty() {
        return fault(Code::ErpName, "the name has no address".to_owned());
    }
    let loopback_only = settings.is_clear_text() && settings.is_local();
    let resolver = Resolver { outbound: Arc::new(outbound.clone()), loopback_only };
    match resolver.permitted(server.host(), &found) {
        Ok(permitted) => Ok(permitted),
        Err(refused) => fault(Code::ErpAddress, refused.to_string()),
    }
}

/// Opens a TCP connection to the first address that takes one, and closes it again. `limit` holds for each address.
///
/// # Errors
/// `E_ERP_REFUSED` when nothing listens at the port, `E_ERP_UNREACHABLE` when no answer comes. The address is the
/// fault's record.
pub async fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<SocketAddr, Fault> {
    let mut last = Fault::new(Code::ErpUnreachable, "there is no address");
    for address in addresses {
        last = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(*address),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Fault::new(Code::ErpRefused, error.to_string())
            }
            Ok(Err(error)) => Fault::new(Code::ErpUnreachable, error.to_string()),
            Err(_) => Fault::new(Code::ErpUnreachable, format!("no answer within {limit:?}")),
        }
        .of_record(address.to_string());
    }
    Err(last)
}

/// What of TLS failed, where the chain of `error` says that it did, with the words of whoever judged.
pub(crate) fn tls(error: &(dyn StdError + 'static)) -> Option<(Code, String)> {
    let mut next = Some(error);
    while let Some(error) = next {
        // An I/O error hides what it was made of from the chain.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.map(|inner| inner as &(dyn StdError + 'static));
        if let Some(error) = inner.unwrap_or(error).downcast_ref::<rustls::Error>() {
            return Some((code(error), error.to_string()));
        }
        next = inner.or_else(|| error.source());
    }
    None
}

fn code(error: &rustls::Error) -> Code {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Code::ErpTlsName,
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Code::ErpTlsAuthority,
        _ => Code::ErpTls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_in_tls_is_found_below_errors_of_input_and_output() {
        let wrapped = |error: rustls::Error| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let certificate = |error: CertificateError| wrapped(rustls::Error::InvalidCertificate(error));
        for (error, expected) in [
            (certificate(CertificateError::NotValidForName), Code::ErpTlsName),
            (certificate(CertificateError::UnknownIssuer), Code::ErpTlsAuthority),
            (certificate(CertificateError::Expired), Code::ErpTls),
            (wrapped(rustls::Error::DecryptError), Code::ErpTls),
        ] {
            assert_eq!(tls(&error).map(|(code, _)| code), Some(expected), "{error:?}");
        }
        assert_eq!(tls(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
    }
}
