//! What the keys of the ring protect in the database, for the commands that rotate keys.

use std::future::Future;

use super::error::StoreResult;
use crate::model::access_token::VerificationCode;
use crate::model::secret::CodeHash;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;

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

/// What needs keys in a part of the tokens, and verification codes of it.
pub type KeySample = (Vec<KeyUse>, Vec<(Position, VerificationCode)>);

/// Secrets under one key that were not used for a while.
#[derive(Debug, Clone, Copy)]
pub struct Unused<'a> {
    /// The id of the key.
    pub key: &'a str,
    /// They were neither used nor changed since then, as far as is known.
    pub since: Timestamp,
}

/// The credentials of users that are withdrawn.
#[derive(Debug, Clone, Copy)]
pub struct Withdrawal<'a> {
    /// Passwords are withdrawn.
    pub passwords: bool,
    /// Passwords of users for whom neither a log-in nor a change is recorded are withdrawn too. Older versions recorded neither.
    pub undated: bool,
    /// API keys are revoked. Their hashes are replaced by this one, which no key has. `None`: they stay.
    pub api_keys: Option<&'a CodeHash>,
}

/// The result of a withdrawal of credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withdrawn {
    /// The credentials are withdrawn.
    Done {
        /// Ids of the users who had passwords.
        users: Vec<String>,
        /// Number of users who keep their passwords because neither a log-in nor a change is recorded.
        undated: u64,
        /// Number of API keys.
        api_keys: u64,
    },
    /// Nothing is withdrawn: an organisation would have no enabled administrator left who can log in or has a valid API key. Names
    /// the administrators whose credentials would go, as `user of organisation`.
    LastAdmin(Vec<String>),
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

    /// Withdraws passwords and API keys whose hash is under a key and that were neither used nor changed since, in one transaction.
    /// The sessions of the API keys end. Nothing is withdrawn where an organisation would lose its last administrator.
    fn withdraw_credentials(
        &self,
        unused: Unused<'_>,
        withdrawal: Withdrawal<'_>,
        now: Timestamp,
    ) -> impl Future<Output = StoreResult<Withdrawn>> + Send;

    /// Takes the pass codes of tokens away whose hash is under a key, and that were not changed since, with their one-time
    /// passwords: of at most `limit` tokens after a position, in one transaction. Answers how many, and where the next batch
    /// begins. `None`: there are no more. A pass code that moved to another key meanwhile stays.
    fn withdraw_pass_codes(
        &self,
        unused: Unused<'_>,
        after: Option<&Position>,
        limit: u32,
    ) -> impl Future<Output = StoreResult<Option<(u64, Position)>>> + Send;

    /// Which keys are needed at `now`, and for how many rows: an expired one-time password needs none, nor does an API key that
    /// is revoked or has expired. Reads everything: for a command, not for a call.
    fn key_use(&self, now: Timestamp) -> impl Future<Output = StoreResult<Vec<KeyUse>>> + Send;

    /// The same of all users and API keys, and of the first and last `tokens` tokens by organisation and id; and up to `codes`
    /// verification codes of each of these two groups. For a start, which must not take longer with more tokens. In a small
    /// table, tokens are in both groups.
    fn sampled_key_use(
        &self,
        now: Timestamp,
        tokens: u32,
        codes: u32,
    ) -> impl Future<Output = StoreResult<KeySample>> + Send;
}
