//! What became of a call, as far as its caller can know.

use access_tokens_testapp::{Client, Refusal};
use serde_json::Value;

/// Reasons that leave open whether the call took effect.
const UNCERTAIN_REASONS: &[&str] = &["", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL"];

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    /// It was acknowledged, with this answer.
    Done(Value),
    /// It was refused for this reason: it has no effect.
    Refused(String),
    /// It may have taken effect, or may still do so.
    Unknown(String),
}

impl Outcome {
    /// What a refusal means.
    pub(crate) fn of(refusal: &Refusal) -> Self {
        if UNCERTAIN_REASONS.contains(&refusal.reason.as_str()) {
            Self::Unknown(format!("{:?} {}", refusal.code(), refusal.text()))
        } else {
            Self::Refused(refusal.reason.clone())
        }
    }

    /// For the ledger.
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
