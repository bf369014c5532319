//! The ledger of attempts and issues: what has to be counted before it is done.

use std::future::Future;

use super::error::StoreResult;
use crate::model::secret::SecretKind;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;
use crate::policy::attempts::Attempts;
use crate::policy::issues::Issues;

/// The version of an entry. An entry that was never written has version 0.
pub type Revision = i64;

/// An entry as it was read: its state, and the version that a write must find unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry<T> {
    /// The state.
    pub state: T,
    /// Its version.
    pub revision: Revision,
}

/// Attempts and issues, one entry each for a subject (the id of a token, or a decoy) and a kind of secret.
///
/// Every write is one statement, committed before it is answered, whatever becomes of the caller. `false`: somebody
/// else wrote since the entry was read, and nothing was written. Reads see every write that was answered before, on
/// whichever replica.
pub trait LedgerStore: Send + Sync + 'static {
    /// The attempts at one kind of secret.
    fn attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> impl Future<Output = StoreResult<Entry<Attempts>>> + Send;

    /// The attempts at every kind of which there are any.
    fn all_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
    ) -> impl Future<Output = StoreResult<Vec<(SecretKind, Entry<Attempts>)>>> + Send;

    /// Writes attempts in place of those that were read.
    fn save_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        attempts: &Entry<Attempts>,
    ) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Counts an attempt that was refused without a comparison. Its order among others does not matter.
    fn count_refused(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        at: Timestamp,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// The codes of one kind that were issued.
    fn issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> impl Future<Output = StoreResult<Entry<Issues>>> + Send;

    /// Writes issues in place of those that were read.
    fn save_issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        issues: &Entry<Issues>,
    ) -> impl Future<Output = StoreResult<bool>> + Send;
}
