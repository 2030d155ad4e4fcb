//! From the name of a server to addresses that may be called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::outbound::Outbound;

/// Looks names up and hands on only addresses that may be called. The connection is then made to such an address and
/// the name is not looked up again, so there is no second answer that nobody judged.
#[derive(Debug, Clone)]
pub(crate) struct Resolver {
    pub(crate) outbound: Arc<Outbound>,
    /// For `http://localhost`: what is not encrypted stays on this machine, whatever the name leads to.
    pub(crate) loopback_only: bool,
}

/// No address of a name may be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} leads to {address}, {reason}")]
pub(crate) struct Refused {
    pub(crate) host: String,
    pub(crate) address: IpAddr,
    pub(crate) reason: &'static str,
}

impl Resolver {
    /// The addresses that may be called; an error when all that were found may not.
    pub(crate) fn permitted(&self, host: &str, found: &[SocketAddr]) -> Result<Vec<SocketAddr>, Refused> {
        let mut refused = None;
        let mut permitted = Vec::new();
        for address in found {
            let verdict = if self.loopback_only && !address.ip().to_canonical().is_loopback() {
                Err("which is not this machine")
            } else {
                self.outbound.judge_found(address.ip())
            };
            match verdict {
                Ok(()) => permitted.push(*address),
                Err(reason) => refused = Some(Refused { host: host.to_owned(), address: address.ip(), reason }),
            }
        }
        match refused {
            Some(refused) if permitted.is_empty() => Err(refused),
            Some(_) | None => Ok(permitted),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            // The port is set by whoever connects.
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let permitted = resolver.permitted(name.as_str(), &found)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addresses: &[&str]) -> Vec<SocketAddr> {
        addresses.iter().map(|text| SocketAddr::new(text.parse().expect("an address"), 0)).collect()
    }

    fn resolver(networks: &[&str], loopback_only: bool) -> Resolver {
        let networks = networks.iter().map(|text| text.parse().expect("a network")).collect();
        Resolver { outbound: Arc::new(Outbound { hosts: Vec::new(), networks }), loopback_only }
    }

    #[test]
    fn only_addresses_that_may_be_called_are_handed_on() {
        let found = found(&["10.0.0.1", "120.92.1.1", "169.254.169.254"]);
        assert_eq!(resolver(&[], false).permitted("erp", &found), Ok(vec![found[1]]));
        assert_eq!(resolver(&["10.0.0.0/8"], false).permitted("erp", &found), Ok(vec![found[0], found[1]]));
    }

    #[test]
    fn a_name_without_such_an_address_is_refused_with_the_address_and_the_reason() {
        let refused =
            resolver(&[], false).permitted("erp.example.com", &found(&["169.254.169.254"])).expect_err("refused");
        assert_eq!(refused.to_string(), "erp.example.com leads to 169.254.169.254, a link-local address");
    }

    #[test]
    fn clear_text_to_localhost_stays_on_this_machine() {
        let resolver = resolver(&["0.0.0.0/0"], true);
        assert!(resolver.permitted("localhost", &found(&["127.0.0.1"])).is_ok());
        assert!(resolver.permitted("localhost", &found(&["120.92.1.1"])).is_err());
    }
}
