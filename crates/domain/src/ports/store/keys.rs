//! The use of the keys of the ring in the database, for the commands that rotate keys.

use super::error::StoreFuture;
use crate::model::access_token::VerificationCode;
use crate::model::secret::CodeHash;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;

/// The position of a token in the order of [`KeyStore::verification_codes`].
pub type Position = (OrganisationKey, String);

/// The number of rows that need a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Kind of the rows: `pass codes`, `passwords`, `verification codes`, `one-time passwords` or `API keys`.
    pub what: &'static str,
    /// Id of the key. `None`: the rows need no key, since they came with an import and were never used.
    pub key: Option<String>,
    /// Number of rows.
    pub rows: u64,
}

/// The use of keys in a part of the tokens, and verification codes of these tokens.
pub type KeySample = (Vec<KeyUse>, Vec<(Position, VerificationCode)>);

/// Secrets under one key that were not used since a time.
#[derive(Debug, Clone, Copy)]
pub struct Unused<'a> {
    /// Id of the key.
    pub key: &'a str,
    /// Time since which the secrets were neither used nor changed, as far as is recorded.
    pub since: Timestamp,
}

/// The kinds of credentials that are withdrawn.
#[derive(Debug, Clone, Copy)]
pub struct Withdrawal<'a> {
    /// Whether passwords are withdrawn.
    pub passwords: bool,
    /// Whether this includes passwords of users for whom neither a log-in nor a change is recorded. Older versions
    /// recorded neither.
    pub undated: bool,
    /// Hash that replaces the hashes of API keys, which are revoked. No key has this hash. `None`: API keys stay.
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
    /// Nothing is withdrawn, because an organisation would have no enabled administrator left who can log in or has a
    /// valid API key. Lists the administrators that would lose their credentials, as `user of organisation`.
    LastAdmin(Vec<String>),
}

/// Operations on everything that the keys of the ring protect.
pub trait KeyStore: Send + Sync + 'static {
    /// Returns at most `limit` tokens after a position whose verification code is sealed or hashed with another key
    /// than `current`, in ascending order, with their positions. The cost does not depend on the number of tokens
    /// before the position.
    fn verification_codes(
        &self,
        current: &str,
        after: Option<&Position>,
        limit: u32,
    ) -> impl StoreFuture<Vec<(Position, VerificationCode)>>;

    /// Replaces each verification code that has not changed since it was read, in one transaction. Returns the number
    /// of replaced codes.
    fn replace_verification_codes(
        &self,
        replacements: &[(Position, VerificationCode, VerificationCode)],
    ) -> impl StoreFuture<u64>;

    /// Withdraws passwords and API keys whose hash is under a key and that were neither used nor changed since a time,
    /// in one transaction. The sessions of the API keys end. Nothing is withdrawn if an organisation would lose its
    /// last administrator.
    fn withdraw_credentials(
        &self,
        unused: Unused<'_>,
        withdrawal: Withdrawal<'_>,
        now: Timestamp,
    ) -> impl StoreFuture<Withdrawn>;

    /// Removes the pass codes of tokens whose hash is under a key and that were not changed since a time, together with
    /// their one-time passwords. One call is one transaction and covers at most `limit` tokens after a position.
    /// Returns the number of tokens and the position of the next batch. `None`: there are no more tokens. A pass code
    /// that moved to another key in the meantime stays.
    fn withdraw_pass_codes(
        &self,
        unused: Unused<'_>,
        after: Option<&Position>,
        limit: u32,
    ) -> impl StoreFuture<Option<(u64, Position)>>;

    /// Returns the keys that are needed at `now`, with the number of rows. Expired one-time passwords need no key, and
    /// neither do API keys that are revoked or expired. Reads all rows, so that only commands may call it.
    fn key_use(&self, now: Timestamp) -> impl StoreFuture<Vec<KeyUse>>;

    /// Returns the keys of all users and API keys, and of the first and last `tokens` tokens by organisation and id,
    /// and at most `codes` verification codes of each of these two groups. Called at a start, whose duration must not
    /// depend on the number of tokens. In a small table, a token can be in both groups.
    fn sampled_key_use(&self, now: Timestamp, tokens: u32, codes: u32) -> impl StoreFuture<KeySample>;
}
