//! Encryption of connections to PostgreSQL.

use std::net::IpAddr;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::host_list::parameter_names;

/// Returns how connections are encrypted. If the URL does not say it, connections to another machine require a verified
/// certificate: the default of the driver accepts plain text from any server that claims to have no encryption.
pub(crate) fn ssl_mode(url: &str, parsed: &PgConnectOptions) -> PgSslMode {
    let is_explicit = parameter_names(url).any(|name| ["sslmode", "ssl-mode"].contains(&name));
    if is_explicit || is_local(parsed) { parsed.get_ssl_mode() } else { PgSslMode::VerifyFull }
}

/// Reports whether the server is on this machine. A host name counts as another machine, even if it resolves to this
/// one.
pub(crate) fn is_local(parsed: &PgConnectOptions) -> bool {
    let host = parsed.get_host().trim_start_matches('[').trim_end_matches(']');
    let loopback = host.parse::<IpAddr>().map(|address| address.to_canonical().is_loopback());
    parsed.get_socket().is_some() || host.starts_with('/') || loopback.unwrap_or(host.eq_ignore_ascii_case("localhost"))
}
