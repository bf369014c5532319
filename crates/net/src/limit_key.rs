//! Keys by which shares of a bounded resource are counted.

use std::net::{IpAddr, Ipv6Addr};

use access_tokens_domain::session::OrganisationKey;

use crate::client_address::ClientAddress;

/// Key by which permits and connections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitKey {
    /// A client address: an IPv4 address, or the /64 network of an IPv6 address.
    Address(IpAddr),
    /// An organisation.
    Organisation(OrganisationKey),
}

impl LimitKey {
    /// Returns the key of a client that is not authenticated. Calls within this process have no address, and share one
    /// key.
    pub fn of_address(address: Option<ClientAddress>) -> Self {
        let address = address.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), ClientAddress::ip);
        Self::Address(match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        })
    }
}
