//! The ports to the database. Lookups return `Option`: the use case decides what is an error.

mod account;
mod administration;
mod error;
mod found;
mod import;
mod keys;
mod ledger;
mod login;
mod read;
mod sequence;
mod token;

pub use crate::model::credential::Credential;
pub use account::{
    AccountStore, ApiKey, KeyTerms, NewSession, OrganisationRef, ReleasedAfter, ReleasedPage, ReleasedSession,
    SessionProof, UserAccount,
};
pub use administration::{AdministrationStore, Change, Disabled, KeyDetails, LoginState, Rotated, UserDetails};
pub use error::{StoreError, StoreFuture, StoreResult, Unique};
pub use found::{
    Account, FoundOwners, FoundPage, FoundToken, Lookup, OwnerJoins, OwnerKey, Owners, Participant, TokenPage,
};
pub use import::{DraftStore, ImportChanges, ImportKeys, ImportRows};
pub use keys::{KeySample, KeyStore, KeyUse, Position, Unused, Withdrawal, Withdrawn};
pub use ledger::{Entry, LedgerStore, Revision};
pub use login::{LoginStore, Unlocked};
pub use read::{CallState, LogPosition, ReadConsistency, ReadOptions};
pub use sequence::{LAST_NUMBER, Sequence};
pub use token::{Store, Transaction};
