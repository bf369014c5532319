//! TLS with rustls and ring: certificates of listeners, users of client certificates, and connections to other
//! services.
//!
//! Files are read again when they change ([`ReloadingTls`]), so that certificates may be short-lived.

mod certificate_reload;
mod client;
mod files;
mod identity;
pub mod local;
mod names;
mod protocol;
mod provider;
mod settings;
mod validity;
mod x509;

pub use certificate_reload::{ReloadingTls, TlsConnection, check, reload_failures};
pub use client::{Trust, UpstreamConnector};
pub use identity::Peer;
pub use protocol::{HTTP1, HTTP2};
pub use settings::{ClientAuth, IdentitySettings, TlsSettings, UpstreamSettings};
pub use validity::validities;
