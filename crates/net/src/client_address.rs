//! Address of the client of a call, for limits per address and for the log.
//!
//! Every call that comes over a network has a [`ClientAddress`] in its extensions, over gRPC and through the gateway:
//! `request.extensions().get::<ClientAddress>()` in a layer or in a service (tonic keeps the extensions). It is absent
//! only if a test calls the services in its own process. Attempts to log in are counted by the network of the address
//! (`access_tokens_domain::login::Network`).
//!
//! `grpc.trusted_proxies` and `gateway.trusted_proxies` name the proxies whose forwarded addresses are believed (ADR
//! 27).

use std::net::IpAddr;
use std::sync::Arc;

pub use access_tokens_gateway::ClientAddress;
use access_tokens_gateway::Network;
use http::HeaderMap;

/// Address of the peer of a connection, and whether the peer is a trusted proxy.
#[derive(Debug, Clone)]
pub struct RemoteAddress {
    address: IpAddr,
    /// All trusted proxies, if the peer is one of them.
    proxies: Option<Arc<[Network]>>,
}

impl RemoteAddress {
    /// Describes a connection from an address, given the trusted proxies.
    pub fn new(address: IpAddr, proxies: &Arc<[Network]>) -> Self {
        let trusted = proxies.iter().any(|network| network.contains(address));
        Self { address, proxies: trusted.then(|| Arc::clone(proxies)) }
    }

    /// Returns whether the peer is a trusted proxy.
    pub fn is_trusted_proxy(&self) -> bool {
        self.proxies.is_some()
    }

    /// Returns the client of a call over the connection.
    pub fn client(&self, headers: &HeaderMap) -> ClientAddress {
        match &self.proxies {
            Some(proxies) => ClientAddress::resolve(self.address, headers, proxies),
            None => ClientAddress::new(self.address),
        }
    }
}
