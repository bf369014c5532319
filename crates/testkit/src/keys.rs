//! Key rings with known keys.

use access_tokens_secrets::KeyRing;

/// A line of a key file.
pub const RING_A: &str = "a AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A line with another key.
pub const RING_B: &str = "b Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

/// Returns the key ring of these lines.
///
/// # Panics
///
/// If a line is no key.
pub fn ring(lines: &[&str]) -> KeyRing {
    KeyRing::parse(&lines.join("\n")).unwrap_or_else(|error| panic!("no key ring: {error}"))
}
