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
    /// Returns the network of an address: its first `prefix` bits, at most as many as it has.
    pub(crate) fn of(address: IpAddr, prefix: u8) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self { address: Ipv4Addr::from(u32::from(address) & mask).into(), prefix }
            }
            IpAddr::V6(address) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self { address: Ipv6Addr::from(u128::from(address) & mask).into(), prefix }
            }
        }
    }

    /// Returns whether the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shared = |network: u128, address: u128, width: u32| {
            let ignored = width - u32::from(self.prefix);
            // A shift by the full width would overflow. In this case no bit is compared.
            ignored == width || network >> ignored == address >> ignored
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                shared(u32::from(network).into(), u32::from(address).into(), u32::BITS)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => shared(network.into(), address.into(), u128::BITS),
            _ => false,
        }
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
        let width = if address.is_ipv4() { 32 } else { 128 };
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidNetwork;

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a range of addresses is written as 10.0.0.0/8")
    }
}

impl std::error::Error for InvalidNetwork {}

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
