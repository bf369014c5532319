//! All operations that need a key: hashes of pass codes and codes, sealed codes, and the keys themselves. This crate
//! knows neither callers nor the database.
//!
//! A [`KeyRing`] holds root keys. No root key is used directly: HKDF derives one key for each purpose from it, so that
//! a key that becomes known for one purpose reveals nothing about another. The first key of the ring writes; all of
//! them read. A running process can replace its ring: values that are derived from [`KeyProvider`] follow.

mod codes;
mod hasher;
mod key_edit;
mod key_file;
mod key_rotation;
mod keys;
mod pass_code;
mod ring_text;
mod secrets;

pub use hasher::{HashingLoad, overloaded};
pub use key_rotation::{Derived, KEY_PROPAGATION_TIME, KeyProvider, watch_key_file};
pub use keys::{HmacSha256, KeyRing, KeyRingError, PerKey};
pub use pass_code::{HashRejection, assess_foreign, current_form};
pub use secrets::KeyedSecrets;
