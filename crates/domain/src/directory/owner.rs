//! Owners of tokens: accounts receivable and rewards participants.

use super::named;

named! {
    /// The state of an accounts receivable.
    AccountsReceivableState {
        /// In use.
        Active = "ACTIVE",
        /// On hold; its tokens are still its own.
        Suspended = "SUSPENDED",
        /// Ended: it no longer counts as an owner.
        Terminated = "TERMINATED",
    }
}

named! {
    /// The state of a rewards participant.
    RewardsParticipantState {
        /// A member.
        Effective = "EFFECTIVE",
        /// No longer a member: does not count as an owner.
        Terminated = "TERMINATED",
    }
}

/// A customer's account.
#[derive(Debug, Clone, PartialEq)]
pub struct AccountsReceivable {
    /// Unique in the organisation.
    pub id: String,
    /// Unique in the organisation when present.
    pub number: Option<String>,
    /// Not unique.
    pub name: Option<String>,
    /// The state.
    pub life_cycle_state: AccountsReceivableState,
    /// The contact information that owns the account.
    pub account_owner: Option<String>,
}

/// A member of the loyalty scheme.
#[derive(Debug, Clone, PartialEq)]
pub struct RewardsParticipant {
    /// Unique in the organisation.
    pub id: String,
    /// Unique in the organisation when present.
    pub number: Option<String>,
    /// The state; records older than R12 have none, which counts as EFFECTIVE.
    pub life_cycle_state: Option<RewardsParticipantState>,
    /// The account of the member.
    pub accounts_receivable: Option<String>,
}
