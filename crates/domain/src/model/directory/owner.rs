//! Owners of tokens: accounts receivable and rewards participants.

use serde::{Deserialize, Serialize};

use crate::model::named::named_document;

named_document! {
    /// The state of an accounts receivable.
    AccountsReceivableState {
        /// In use.
        Active = "ACTIVE",
        /// On hold. The account keeps its tokens.
        Suspended = "SUSPENDED",
        /// Closed. The account no longer counts as an owner.
        Terminated = "TERMINATED",
    }
}

named_document! {
    /// The state of a rewards participant.
    RewardsParticipantState {
        /// A member.
        Effective = "EFFECTIVE",
        /// No longer a member. The participant no longer counts as an owner.
        Terminated = "TERMINATED",
    }
}

impl AccountsReceivable {
    /// Returns an account of which only the id is known.
    pub fn new(id: &str) -> Self {
        let life_cycle_state = AccountsReceivableState::Active;
        Self { id: id.to_owned(), number: None, name: None, life_cycle_state, account_owner: None }
    }
}

impl RewardsParticipant {
    /// Returns a participant of which only the id is known.
    pub fn new(id: &str) -> Self {
        Self { id: id.to_owned(), number: None, life_cycle_state: None, accounts_receivable: None }
    }
}

/// A customer's account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountsReceivable {
    /// Unique in the organisation.
    pub id: String,
    /// Unique in the organisation when present.
    pub number: Option<String>,
    /// Name; not unique.
    pub name: Option<String>,
    /// The state.
    pub life_cycle_state: AccountsReceivableState,
    /// The contact information that owns the account.
    pub account_owner: Option<String>,
}

/// A member of the loyalty scheme.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewardsParticipant {
    /// Unique in the organisation.
    pub id: String,
    /// Unique in the organisation when present.
    pub number: Option<String>,
    /// State. Records older than R12 have none, which counts as EFFECTIVE.
    pub life_cycle_state: Option<RewardsParticipantState>,
    /// The account of the member.
    pub accounts_receivable: Option<String>,
}
