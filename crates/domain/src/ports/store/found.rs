//! Arguments and results of reads of tokens: a token with its owners and the reference data of both.

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

/// A token, its joined owners, and their reference data, all of one point in time.
#[derive(Debug, Clone)]
pub struct FoundToken {
    /// The token.
    pub token: AccessToken,
    /// Owners of the token.
    pub owners: Owners,
    /// Reference data of the same version as the token, or a newer one.
    pub reference: Arc<Reference>,
}

/// The objects that a new token refers to.
#[derive(Debug, Clone)]
pub struct FoundOwners {
    /// Accounts with an identifier: none, one, or two when a name matches several.
    pub accounts: Vec<Arc<Account>>,
    /// Participant with an identifier.
    pub participant: Option<Arc<Participant>>,
    /// Reference data of the same version as the owners, or a newer one.
    pub reference: Arc<Reference>,
}

/// The result of listing the tokens of an owner.
#[derive(Debug, Clone)]
pub struct FoundPage {
    /// Ids of the owners with the identifier: none, one, or two when a name matches several.
    pub owners: Vec<String>,
    /// Tokens of the owner, if there is exactly one.
    pub tokens: Vec<FoundToken>,
}

/// The result of a lookup of one token. The work is the same whether or not the token exists.
#[derive(Debug)]
pub struct Lookup {
    /// The token.
    pub found: Option<FoundToken>,
    /// Reference data of the same version as the token, or a newer one.
    pub reference: Arc<Reference>,
}

/// The owners of a token, shared by all tokens of a result that have them.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    /// The account, when there is one and it was joined.
    pub accounts_receivable: Option<Arc<Account>>,
    /// The member, when there is one and it was joined.
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

/// An owner, by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerKey<'a> {
    /// An accounts receivable.
    AccountsReceivable(&'a str),
    /// A rewards participant.
    RewardsParticipant(&'a str),
}

/// A page of the tokens of an owner, in ascending id (byte order).
#[derive(Debug, Clone)]
pub struct TokenPage<'a> {
    /// Owner of the tokens.
    pub owner: &'a OwnerIdentifier,
    /// Only tokens of this classification.
    pub classification: Option<&'a str>,
    /// Only ids above this one.
    pub after: Option<&'a str>,
    /// Number of rows to skip.
    pub offset: u32,
    /// Maximum number of rows.
    pub limit: u32,
}
