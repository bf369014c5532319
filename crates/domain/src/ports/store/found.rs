//! What reads of tokens take and answer: a token with its owners and what they refer to.

use std::sync::Arc;

use crate::model::access_token::AccessToken;
use crate::model::directory::{AccountsReceivable, ContactInformation, RewardsParticipant};
use crate::model::field_selection::FieldSelection;
use crate::model::identifier::OwnerIdentifier;
use crate::model::reference::Reference;

/// The owners that a read joins to its tokens. Others are not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnerJoins {
    /// The accounts receivable with its owner.
    pub accounts_receivable: bool,
    /// The rewards participant with its account.
    pub rewards_participant: bool,
}

impl OwnerJoins {
    /// Joins both owners.
    pub const ALL: Self = Self { accounts_receivable: true, rewards_participant: true };
    /// Joins no owner.
    pub const NONE: Self = Self { accounts_receivable: false, rewards_participant: false };
}

impl From<&FieldSelection> for OwnerJoins {
    /// Returns the joins that an access token with the selected fields needs.
    fn from(fields: &FieldSelection) -> Self {
        Self {
            accounts_receivable: fields.contains("accounts_receivable"),
            rewards_participant: fields.contains("rewards_participant"),
        }
    }
}

/// A token, the owners that were asked for, and what they refer to, all of one moment.
#[derive(Debug, Clone)]
pub struct FoundToken {
    /// The token.
    pub token: AccessToken,
    /// Its owners.
    pub owners: Owners,
    /// Reference data, as old as the token or younger.
    pub reference: Arc<Reference>,
}

/// What a new token may refer to.
#[derive(Debug, Clone)]
pub struct FoundOwners {
    /// The accounts of an identifier: none, one, or two when a name matches several.
    pub accounts: Vec<Arc<Account>>,
    /// The participant of an identifier.
    pub participant: Option<Arc<Participant>>,
    /// Reference data, as old as these or younger.
    pub reference: Arc<Reference>,
}

/// What listing an owner's tokens came to.
#[derive(Debug, Clone)]
pub struct FoundPage {
    /// The ids of the owners whom the identifier names: none, one, or two when a name matches several.
    pub owners: Vec<String>,
    /// The tokens of the only one.
    pub tokens: Vec<FoundToken>,
}

/// What looking for one token came to. It takes the same work whether or not there is one.
#[derive(Debug)]
pub struct Lookup {
    /// The token.
    pub found: Option<FoundToken>,
    /// Reference data of that moment or younger.
    pub reference: Arc<Reference>,
}

/// The owners of a token, shared where several tokens have the same.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// The account, when there is one and it was asked for.
    pub accounts_receivable: Option<Arc<Account>>,
    /// The member, when there is one and it was asked for.
    pub rewards_participant: Option<Arc<Participant>>,
}

/// An accounts receivable with its owner.
#[derive(Debug, Clone)]
pub struct Account {
    /// The account.
    pub record: AccountsReceivable,
    /// The contact information of [`AccountsReceivable::account_owner`].
    pub account_owner: Option<ContactInformation>,
}

/// A rewards participant with its account.
#[derive(Debug, Clone)]
pub struct Participant {
    /// The participant.
    pub record: RewardsParticipant,
    /// The account of [`RewardsParticipant::accounts_receivable`].
    pub accounts_receivable: Option<Arc<Account>>,
}

/// One owner, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKey<'a> {
    /// An accounts receivable.
    AccountsReceivable(&'a str),
    /// A rewards participant.
    RewardsParticipant(&'a str),
}

/// A page of an owner's tokens, in ascending id (byte order).
#[derive(Debug, Clone)]
pub struct TokenPage<'a> {
    /// Whose.
    pub owner: &'a OwnerIdentifier,
    /// Only of this classification.
    pub classification: Option<&'a str>,
    /// Only ids after this one.
    pub after: Option<&'a str>,
    /// Number of rows to skip.
    pub offset: u32,
    /// Maximum number of rows.
    pub limit: u32,
}
