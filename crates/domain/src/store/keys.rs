//! What the keys of the ring protect in the database, for the commands that rotate keys.

use std::future::Future;

use super::StoreResult;
use crate::access_token::VerificationCode;
use crate::session::OrganisationKey;
use crate::time::Timestamp;

/// Where a token stands in the order in which [`KeyStore::verification_codes`] goes through all of them.
pub type Position = (OrganisationKey, String);

/// How many rows need a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// What it protects there: `pass codes`, `passwords`, `verification codes`, `one-time passwords` or `API keys`.
    pub what: &'static str,
    /// The id of the key; `None`: none, the rows came with an import and were never used.
    pub key: Option<String>,
    /// Rows.
    pub rows: u64,
}

/// What the keys protect.
pub trait KeyStore: Send + Sync + 'static {
    /// Up to `limit` tokens after a position whose verification code is sealed or hashed with another key than
    /// `current`, with where each stands. Ascending; reads little however many tokens there are before.
    fn verification_codes(
        &self,
        current: &str,
        after: Option<&Position>,
        limit: u32,
    ) -> impl Future<Output = StoreResult<Vec<(Position, VerificationCode)>>> + Send;

    /// Replaces verification codes that are still those that were read, in one transaction. Answers how many were.
    fn replace_verification_codes(
        &self,
        replacements: &[(Position, VerificationCode, VerificationCode)],
    ) -> impl Future<Output = StoreResult<u64>> + Send;

    /// Which keys are needed at `now`, and for how many rows: an expired one-time password needs none. Reads everything:
    /// for a command, not for a call.
    fn key_use(&self, now: Timestamp) -> impl Future<Output = StoreResult<Vec<KeyUse>>> + Send;
}
