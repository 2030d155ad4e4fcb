//! Where calls may lead.
//!
//! A connection names a server; whoever may write a connection must not thereby reach everything this process can
//! reach. So the deployment lists the servers, and what a listed name leads to is looked at again with every connection
//! that is made: a name can be pointed at the service's own machine or network after it was listed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use reqwest::Url;
use serde::{Deserialize, Deserializer, de};

/// The servers that connections may lead to.
///
/// Shape (TOML):
/// ```toml
/// [outbound]
/// hosts = ["example.ik3cloud.com:443", "erp.internal:8443"]
/// networks = ["10.20.0.0/16"]
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Outbound {
    /// Host and port of every server that a connection may name. An address listed here may be called although it is
    /// private or loopback; a name may not, see `networks`.
    pub hosts: Vec<HostPort>,
    /// Networks that are not public and that listed names may lead into.
    pub networks: Vec<Network>,
}

/// A server: `host:port`, the port always said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// As a URL writes it: lower case, IPv6 in brackets.
    host: String,
    port: u16,
}

impl HostPort {
    /// The server a URL leads to.
    pub(crate) fn of(url: &Url) -> Option<Self> {
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        Some(Self { host, port: url.port_or_known_default()? })
    }

    /// The address, where it is one and not a name.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it can only mean this machine. What `localhost` leads to is checked when it is looked up.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.address().is_some_and(|address| canonical(address).is_loopback())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not host:port, such as erp.example.com:443 or [fd00::1]:8443");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        // Read as the URL of a connection is read, so that the two are written alike.
        let url = Url::parse(&format!("https://{host}/")).map_err(|_| wrong())?;
        let is_bare = url.port().is_none() && url.path() == "/" && url.username().is_empty() && url.query().is_none();
        let host = url.host_str().filter(|host| is_bare && !host.is_empty()).ok_or_else(wrong)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// A network: `10.20.0.0/16`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a network such as 10.20.0.0/16 or fd00::/8");
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > longest {
            return Err(wrong());
        }
        Ok(Self { address, prefix })
    }
}

macro_rules! deserialize_from_text {
    ($($name:ident),*) => { $(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )* };
}
deserialize_from_text!(HostPort, Network);

impl Outbound {
    /// The least that lets calls lead to this one server: for a test or a tool that knows where it calls.
    ///
    /// # Errors
    /// What is wrong with `server` as `host:port`.
    pub fn only(server: &str) -> Result<Self, String> {
        Ok(Self { hosts: vec![server.parse()?], networks: Vec::new() })
    }

    /// Whether a connection may name this server.
    pub(crate) fn lists(&self, server: &HostPort) -> bool {
        self.hosts.contains(server)
    }

    /// Whether an address that stands in a listed URL may be called.
    ///
    /// # Errors
    /// Why it may not, in words that follow the address.
    pub(crate) fn judge_listed(address: IpAddr) -> Result<(), &'static str> {
        match nature(canonical(address)) {
            Nature::Public | Nature::Local(_) => Ok(()),
            Nature::Never(why) => Err(why),
        }
    }

    /// Whether the address that a listed name led to may be called.
    ///
    /// # Errors
    /// Why it may not, in words that follow the address.
    pub(crate) fn judge_found(&self, address: IpAddr) -> Result<(), &'static str> {
        let address = canonical(address);
        match nature(address) {
            Nature::Public => Ok(()),
            Nature::Local(_) if self.networks.iter().any(|network| network.contains(address)) => Ok(()),
            Nature::Local(why) | Nature::Never(why) => Err(why),
        }
    }
}

/// What kind of address it is, as far as calls are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Public,
    /// Inside: to be called only where the deployment says so.
    Local(&'static str),
    /// No server of anybody's documents is there.
    Never(&'static str),
}

/// Where clouds serve the credentials of a machine outside the link-local range.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// **Source**: the registries of special-purpose addresses (RFC 6890 and its successors).
fn nature(address: IpAddr) -> Nature {
    if METADATA.contains(&address) {
        return Nature::Never("which serves the metadata of a cloud's machine");
    }
    match address {
        IpAddr::V4(address) => match address.octets() {
            [169, 254, ..] => Nature::Never("a link-local address"),
            [0, ..] => Nature::Never("an unspecified address"),
            [224..=239, ..] => Nature::Never("a multicast address"),
            [240..=255, ..] => Nature::Never("a reserved address"),
            [127, ..] => Nature::Local("a loopback address"),
            [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => Nature::Local("a private address"),
            [100, 64..=127, ..] => Nature::Local("a carrier's shared address"),
            [192, 0, 0, _] | [192, 0, 2, _] | [198, 18..=19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => {
                Nature::Local("an address for special purposes")
            }
            _ => Nature::Public,
        },
        IpAddr::V6(address) => match address.segments() {
            [0xfe80..=0xfebf, ..] => Nature::Never("a link-local address"),
            [0, 0, 0, 0, 0, 0, 0, 0] => Nature::Never("an unspecified address"),
            [0xff00..=0xffff, ..] => Nature::Never("a multicast address"),
            [0, 0, 0, 0, 0, 0, 0, 1] => Nature::Local("a loopback address"),
            [0xfc00..=0xfdff, ..] | [0xfec0..=0xfeff, ..] => Nature::Local("a private address"),
            [0x2001, 0xdb8, ..] | [0x0100, 0, 0, 0, ..] => Nature::Local("an address for special purposes"),
            _ => Nature::Public,
        },
    }
}

/// The IPv4 address that an IPv6 one stands for (mapped, compatible, NAT64, 6to4), so that no spelling gets past.
fn canonical(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let four = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match six.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => address,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn public_addresses_are_called_and_inner_ones_only_where_their_network_is_listed() {
        let outbound = Outbound {
            hosts: Vec::new(),
            networks: ["10.20.0.0/16", "127.0.0.1", "fd12:3456::/32"]
                .map(|text| text.parse().expect("a network"))
                .to_vec(),
        };
        for good in ["120.92.1.1", "2606:4700::1111", "10.20.255.1", "127.0.0.1", "fd12:3456::9", "::ffff:10.20.0.1"] {
            assert_eq!(outbound.judge_found(address(good)), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("10.21.0.1", "a private address"),
            ("172.31.0.1", "a private address"),
            ("192.168.1.1", "a private address"),
            ("127.0.0.2", "a loopback address"),
            ("::1", "a loopback address"),
            ("fd00::1", "a private address"),
            ("100.64.0.1", "a carrier's shared address"),
            ("198.18.0.1", "an address for special purposes"),
            ("::ffff:192.168.1.1", "a private address"),
            ("::192.168.1.1", "a private address"),
            ("64:ff9b::10.0.0.1", "a private address"),
            ("2002:c0a8:101::1", "a private address"),
        ] {
            assert_eq!(outbound.judge_found(address(bad)), Err(why), "{bad}");
        }
    }

    #[test]
    fn link_local_and_metadata_addresses_are_refused_whatever_is_listed() {
        let everything = Outbound {
            hosts: Vec::new(),
            networks: ["0.0.0.0/0", "::/0"].map(|text| text.parse().expect("a network")).to_vec(),
        };
        for bad in [
            "169.254.169.254",
            "169.254.0.23",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "0.0.0.0",
            "::",
            "224.0.0.1",
            "255.255.255.255",
        ] {
            assert!(everything.judge_found(address(bad)).is_err(), "{bad}");
            assert!(Outbound::judge_listed(address(bad)).is_err(), "{bad}");
        }
        assert_eq!(everything.judge_found(address("192.168.1.1")), Ok(()));
        assert_eq!(Outbound::judge_listed(address("127.0.0.1")), Ok(()));
    }

    #[test]
    fn servers_are_compared_as_urls_write_them() {
        for (listed, url) in [
            ("ERP.example.com:443", "https://erp.example.com/K3Cloud/"),
            ("erp.example.com:80", "http://erp.example.com"),
            ("127.0.0.1:8001", "http://127.0.0.1:8001/K3Cloud/"),
            ("[FD00::1]:8443", "https://[fd00::1]:8443/"),
            ("金蝶.example:443", "https://金蝶.example/"),
        ] {
            let server = HostPort::of(&Url::parse(url).expect("a URL")).expect("a server");
            assert_eq!(Outbound::only(listed).map(|outbound| outbound.lists(&server)), Ok(true), "{listed}");
        }
        let outbound = Outbound::only("erp.example.com:443").expect("a server");
        for other in
            ["https://erp.example.com:8443/", "https://erp.example.com.evil.example/", "http://erp.example.com/"]
        {
            assert!(!outbound.lists(&HostPort::of(&Url::parse(other).expect("a URL")).expect("a server")), "{other}");
        }
    }

    #[test]
    fn what_is_neither_a_server_nor_a_network_is_refused() {
        for bad in ["erp.example.com", "https://erp:443", "erp:443/x", "u@erp:443", "erp:", ":443", "erp:99999", ""] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad:?}");
        }
        for bad in ["10.0.0.0/33", "fd00::/129", "10.0.0/8", "erp", "10.0.0.0/x", ""] {
            assert!(bad.parse::<Network>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn loopback_is_told_from_other_machines() {
        let is_loopback = |host: &str| format!("{host}:1").parse::<HostPort>().expect("a server").is_loopback();
        for host in ["127.0.0.1", "127.8.8.8", "[::1]", "[::ffff:127.0.0.1]", "LOCALHOST"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["10.0.0.1", "localhost.example.com", "[::2]", "0.0.0.0"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
