//! What outsiders send, taken in as the service takes it in: one function for each kind of input. Each asserts more than
//! that nothing panics, and takes any bytes.
//!
//! libFuzzer calls them (`tests/fuzz`, by `scripts/fuzz`), and so does a test, with everything that a fuzzer has found worth
//! keeping. `docs/fuzzing.md` says what each asserts.

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

/// A function that takes any bytes, and panics where something does not hold.
pub type Target = fn(&[u8]);

/// Every target by its name.
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
