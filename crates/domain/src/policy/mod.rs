//! Limits on guessing: attempts, locks, rates, issued codes, and how strong a secret is. State machines without clock and store.
//! Knows the model only.

pub mod attempts;
pub mod common_secrets;
pub mod guess_budget;
pub mod issues;
pub mod login;
pub mod password;
pub mod rate;
pub mod strength;

pub use crate::model::policy::{CodePolicy, Creation, Format, IssuePolicy, LockPolicy, Policy};
