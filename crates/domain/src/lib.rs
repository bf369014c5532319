//! The rules of access tokens: types, life cycle, policies, use cases and the ports they need.
//!
//! This crate knows no transport, no database and no runtime. A use case is one file in [`service`];
//! what it needs from outside is a trait in [`ports`] or [`store`].

pub mod access_token;
pub mod administration;
pub mod attempts;
pub mod card;
pub mod code;
pub mod common_secrets;
pub mod directory;
pub mod error;
pub mod guess_budget;
pub mod identifier;
pub mod import;
pub mod issues;
pub mod life_cycle;
pub mod login;
pub mod notification;
pub mod observer;
pub mod page;
pub mod password;
pub mod policy;
pub mod ports;
pub mod rate;
pub mod reference;
pub mod secret;
pub mod service;
pub mod session;
pub mod store;
pub mod strength;
pub mod text;
pub mod time;

pub use error::{Error, FieldViolation, Reason, Result};
