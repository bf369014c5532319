//! Everything that needs a key: pass codes, codes, sealed codes, and the keys themselves.
//!
//! A [`KeyRing`] holds root keys. No root key is used directly: HKDF derives one key a purpose from each, so that what
//! is learned about one purpose says nothing about another. The first key of the ring writes, all of them read.

mod codes;
mod hasher;
mod key_file;
mod keys;
mod pass_code;
mod secrets;
mod system;

#[cfg(test)]
pub(crate) use keys::tests;
pub(crate) use keys::{HmacSha256, PerKey};
pub use keys::{KeyRing, KeyRingError};
pub use secrets::KeyedSecrets;
pub use system::{SystemClock, SystemRandom};
