//! Address of the client that sends a request, also behind proxies.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};

use crate::config::Network;

/// Header with the addresses that a request passed through, the client's first.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// IP address of the client that sends a call: that of the connection, or the one that a trusted proxy forwards.
///
/// An IPv4 address inside an IPv6 one (`::ffff:192.0.2.1`) is the IPv4 address. The address is in the extensions of every request that
/// arrives over a network, so that the limits for each address and the log use the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Returns the address of a connection that is not one of a trusted proxy.
    pub fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// Returns the rightmost address of `x-forwarded-for` that is not a trusted proxy, if the peer is a trusted proxy; else
    /// the peer's own.
    ///
    /// Entries are `ip`, `ip:port`, `[v6]` or `[v6]:port`. An entry that is none of these was not written by a trusted proxy:
    /// the proxy to its right counts as the client.
    pub fn resolve(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let mut client = peer.to_canonical();
        let lines = headers.get_all(FORWARDED_FOR).iter().rev().filter_map(|value| value.to_str().ok());
        for entry in lines.flat_map(|line| line.rsplit(',')) {
            if !is_trusted(client) {
                break;
            }
            let Some(address) = parse(entry.trim()) else { break };
            client = address;
        }
        Self(client)
    }

    /// Returns the address.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

impl fmt::Display for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reads one entry of `x-forwarded-for`. Some proxies add the port of the client.
fn parse(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn client(peer: &str, forwarded: &[&'static str]) -> String {
        let proxies: Vec<Network> =
            ["10.0.0.0/8", "127.0.0.1", "fd00::/8"].iter().map(|text| text.parse().expect("a network")).collect();
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_static(line));
        }
        ClientAddress::resolve(peer.parse().expect("an address"), &headers, &proxies).to_string()
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_counts() {
        assert_eq!(client("203.0.113.9", &["1.2.3.4"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.7"]), "1.2.3.4");
        assert_eq!(client("127.0.0.1", &["6.6.6.6", "1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("::ffff:10.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(client("fd00::1", &["2001:db8::7,fd00::2"]), "2001:db8::7");
        assert_eq!(client("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.2, 10.0.0.3"]), "10.0.0.2", "nobody but proxies");
    }

    #[test]
    fn an_entry_may_carry_a_port() {
        for (entry, expected) in [
            ("1.2.3.4:5678", "1.2.3.4"),
            ("[2001:db8::7]:443", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("2001:db8::7", "2001:db8::7"),
            ("::ffff:1.2.3.4", "1.2.3.4"),
            ("[::ffff:1.2.3.4]:9", "1.2.3.4"),
            ("6.6.6.6, 1.2.3.4:80 , 10.0.0.9:1", "1.2.3.4"),
        ] {
            assert_eq!(client("10.0.0.1", &[entry]), expected, "{entry}");
        }
    }

    #[test]
    fn what_is_no_address_ends_the_search() {
        for entry in ["nonsense", "", "unknown", "_hidden", "1.2.3.4:", "1.2.3.4:99999", "[1.2.3", "1.2.3.4 5.6.7.8"] {
            assert_eq!(client("10.0.0.1", &[entry]), "10.0.0.1", "{entry}");
        }
        assert_eq!(client("10.0.0.1", &["1.2.3.4, unknown, 10.0.0.7"]), "10.0.0.7");
    }
}
