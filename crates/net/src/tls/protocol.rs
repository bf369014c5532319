//! The names of protocols in a TLS handshake (ALPN).

/// Protocol of gRPC.
pub const HTTP2: &[u8] = b"h2";
/// Protocol of the gateway.
pub const HTTP1: &[u8] = b"http/1.1";
