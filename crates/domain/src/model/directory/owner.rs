//! Owners of tokens: accounts receivable and rewards participants.

use serde::{Deserialize, Serialize};

use crate::model::named::named_document;

named_document! {
    /// The state of an accounts receivable.
    #[derive(Default)]
    AccountsReceivableState {
        /// In use.
        #[default]
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

/// A customer's account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
