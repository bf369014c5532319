//! Limits on guessing: attempts, locks, rates, issued codes, and the strength of secrets. These are state machines
//! without a clock and a store. Imports only the model.

pub mod attempts;
pub mod common_secrets;
pub mod guess_budget;
pub mod issues;
pub mod login;
pub mod password;
pub mod rate;
pub mod strength;

pub use crate::model::policy::{CodePolicy, Creation, Format, IssuePolicy, LockPolicy, Policy};
