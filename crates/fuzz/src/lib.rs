//! Fuzz targets: one function for each kind of input that clients send. Each reads any bytes as the service reads them, and asserts
//! more than that nothing panics.
//!
//! libFuzzer calls the targets (`tests/fuzz`, by `scripts/fuzz`), and so does a test with all inputs of the corpus.
//! `docs/fuzzing.md` describes the assertions.

mod canary;
mod dates;
mod gateway;
mod import;
mod json;
mod masks;
mod messages;
mod pages;
mod policies;
mod ports;
mod selection;
mod sessions;

pub use dates::dates;
pub use gateway::{gateway_body, gateway_query};
pub use import::import;
pub use json::json;
pub use masks::masks;
pub use messages::messages;
pub use pages::pages;
pub use policies::policies;
pub use sessions::sessions;

/// A function that accepts any bytes, and panics if an assertion fails.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const TARGETS: [(&str, Target); 10] = [
    ("dates", dates),
    ("gateway_body", gateway_body),
    ("gateway_query", gateway_query),
    ("import", import),
    ("json", json),
    ("masks", masks),
    ("messages", messages),
    ("pages", pages),
    ("policies", policies),
    ("sessions", sessions),
];
