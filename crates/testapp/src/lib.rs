//! The service under test, in the process of the test over a real socket, or as a program; with a client, and checks of the service
//! as a whole.
//!
//! The crate assembles the crates of the service as the server does. Support for tests of a single crate is in `testkit`.

mod app;
pub mod canary;
mod client;
pub mod environment;
mod gateway;
pub mod import_race;
pub mod process;

pub use app::TestApp;
pub use client::{Client, Refusal};
pub use gateway::Deployment;
