//! The ledger of attempts and issues. They are counted before the secret is compared or the code is issued.

use super::error::StoreFuture;
use crate::model::secret::SecretKind;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;
use crate::policy::attempts::Attempts;
use crate::policy::issues::Issues;

/// The version of an entry. An entry that was never written has version 0.
pub type Revision = i64;

/// An entry with its state, and with the version that a write must find unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry<T> {
    /// State.
    pub state: T,
    /// Version.
    pub revision: Revision,
}

/// Attempts and issues. There is one entry each for a subject (the id of a token, or a dummy subject) and a kind of
/// secret.
///
/// Every write is one statement that is committed before the method returns, even if the caller stops waiting. A write
/// returns `false` when another caller wrote since the entry was read; nothing was written then. Reads on all replicas
/// see every write that has returned before.
pub trait LedgerStore: Send + Sync + 'static {
    /// Returns the attempts at one kind of secret.
    fn attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
    ) -> impl StoreFuture<Entry<Attempts>>;

    /// Returns the attempts at every kind that has any.
    fn all_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
    ) -> impl StoreFuture<Vec<(SecretKind, Entry<Attempts>)>>;

    /// Replaces the attempts that were read.
    fn save_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        attempts: &Entry<Attempts>,
    ) -> impl StoreFuture<bool>;

    /// Counts an attempt that was refused without a comparison. The order of such attempts does not matter.
    fn count_refused(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        at: Timestamp,
    ) -> impl StoreFuture<()>;

    /// Returns the issued codes of one kind.
    fn issues(&self, organisation: OrganisationKey, subject: &str, kind: SecretKind)
    -> impl StoreFuture<Entry<Issues>>;

    /// Replaces the issues that were read.
    fn save_issues(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        kind: SecretKind,
        issues: &Entry<Issues>,
    ) -> impl StoreFuture<bool>;
}
