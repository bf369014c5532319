//! The service under test: in the process of the test over a real socket, or as a program of its own; with a client for
//! it, and what is checked of it as a whole.
//!
//! It puts the crates of the service together as the server does. What tests of a single crate need is in `testkit`.

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
