//! The outcome of a call, as far as the client can know it.

use access_tokens_testapp::{Client, Refusal};
use serde_json::Value;

/// Reasons of refusals after which the call may have taken effect.
const UNCERTAIN_REASONS: &[&str] = &["", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"];

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// Acknowledged, with this answer.
    Done(Value),
    /// Refused for this reason, without an effect.
    Refused(String),
    /// Unknown: the call may have taken effect, or may still do so.
    Unknown(String),
}

impl Outcome {
    /// Returns the outcome that a refusal means.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        if UNCERTAIN_REASONS.contains(&refusal.reason.as_str()) {
            Self::Unknown(format!("{:?} {}", refusal.code(), refusal.text()))
        } else {
            Self::Refused(refusal.reason.clone())
        }
    }

    /// Returns the text that stands for the outcome in the ledger file.
    pub(crate) fn ledger_word(&self) -> &str {
        match self {
            Self::Done(_) => "OK",
            Self::Refused(reason) => reason,
            Self::Unknown(_) => "UNKNOWN",
        }
    }
}

/// Calls a method.
pub(crate) async fn call(client: &Client, method: &str, request: Value) -> Outcome {
    match client.try_call(method, request).await {
        Ok(answer) => Outcome::Done(answer),
        Err(refusal) => Outcome::of(&refusal),
    }
}
