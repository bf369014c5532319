//! The names of protocols in a TLS handshake (ALPN).

/// What gRPC is called in a handshake.
pub const HTTP2: &[u8] = b"h2";
/// What the gateway is called there.
pub const HTTP1: &[u8] = b"http/1.1";
