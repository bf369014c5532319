//! The gRPC services: convert a request, call its use case, convert the result. The crate knows neither configuration nor command line.
//!
//! - [`convert`] is the only place where messages of the contract meet types of the domain.
//! - [`status`] is the only place where an error becomes a `tonic::Status`.
//! - [`layer`] has the layers that every call passes before it reaches a service, in one declared order.
//! - [`server`] puts services and layers together, over a socket or without one.

mod access_token_service;
mod app;
mod authentication_service;
mod caller;
mod convert;
mod credentials;
mod directory_service;
mod duplicates;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod import_budget;
pub mod import_session;
pub mod layer;
mod limits;
mod read_after;
mod reflection;
mod rpcs;
pub mod server;
pub mod status;
#[cfg(test)]
mod tests;

pub use app::App;
pub use health::ALIVE;
pub use health::{Health, Readiness};
pub use limits::Limits;
