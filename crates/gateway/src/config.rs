//! The settings of the gateway.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

use crate::{Release, TimeZone};

/// The settings of a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayConfig {
    /// The release of the original API that is presented. Later methods and fields are left out.
    pub release: Release,
    /// The time zone of dates without one, in requests and responses.
    pub time_zone: TimeZone,
    /// Maximum time for one call.
    pub timeout: Duration,
    /// The proxies whose `x-forwarded-for` is trusted.
    pub trusted_proxies: Vec<Network>,
    /// Whether the page at `/docs` and `/openapi.json` are served.
    pub docs: bool,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            release: Release::default(),
            time_zone: TimeZone::UTC,
            timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            docs: true,
        }
    }
}

/// A range of addresses, for example `10.0.0.0/8`; or a single one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Returns whether the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(self.address, self.prefix) == masked(address.to_canonical(), self.prefix)
    }
}

/// Returns the number of bits of an address.
fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// Returns the first `prefix` bits of an address; the others are 0.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    // A shift by the full width would overflow. In this case no bit is kept.
    let dropped = u32::from(width(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) & u32::MAX.checked_shl(dropped).unwrap_or(0)).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & u128::MAX.checked_shl(dropped).unwrap_or(0)).into(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let width = width(address);
        let prefix = prefix.map_or(Ok(width), |prefix| prefix.parse().map_err(|_| InvalidNetwork))?;
        match address.to_canonical() {
            _ if prefix > width => Err(InvalidNetwork),
            // `::ffff:10.0.0.0/104` is `10.0.0.0/8`: addresses are compared in that form.
            v4 @ IpAddr::V4(_) if address.is_ipv6() && prefix >= 96 => Ok(Self { address: v4, prefix: prefix - 96 }),
            _ => Ok(Self { address, prefix }),
        }
    }
}

/// A text that names no range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a range of addresses is written as 10.0.0.0/8")]
pub struct InvalidNetwork;

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Network>().expect("a network").contains(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_contains_what_shares_its_prefix() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.168.1.7", "192.168.1.7") && !contains("192.168.1.7", "192.168.1.8"));
        assert!(contains("0.0.0.0/0", "203.0.113.9") && contains("::/0", "2001:db8::1"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        assert!(contains("127.0.0.0/8", "::ffff:127.0.0.1"), "an IPv4 address in an IPv6 socket");
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("::ffff:10.0.0.0/104", "10.9.9.9") && !contains("::ffff:10.0.0.0/104", "11.0.0.1"));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "example.com", "10.0.0.0/-1"] {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork), "{bad}");
        }
    }
}
