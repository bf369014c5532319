//! Log-ins of users: the account, the networks that it is known from, and the attempts.

use std::future::Future;

use super::error::StoreResult;
use super::ledger::Entry;
use crate::model::secret::PassCodeHash;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;
use crate::policy::attempts::Attempts;
use crate::policy::login::{LoginAccount, Network};

/// The state of the log-ins of a user before they were unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// At least one network was locked, or the wrong passwords of the day were used up.
    Locked,
    /// No log-in was locked. Wrong passwords were counted, and no longer are.
    Counted,
    /// Nothing was counted, and nothing has changed.
    Nothing,
}

/// Log-ins of users. Attempts are stored in the ledger under the kind PASSWORD. Each write of them is one statement and is
/// committed before it is answered; reads see each write that was answered before, on each replica.
pub trait LoginStore: Send + Sync + 'static {
    /// The account of a user name, with what is known of the network.
    fn login_account(
        &self,
        organisation: OrganisationKey,
        username: &str,
        network: &Network,
    ) -> impl Future<Output = StoreResult<Option<LoginAccount>>> + Send;

    /// The attempts of a subject of [`crate::policy::login`].
    fn login_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
    ) -> impl Future<Output = StoreResult<Entry<Attempts>>> + Send;

    /// Writes attempts in place of those that were read. `false`: another writer came first, and nothing was written.
    fn save_login_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        attempts: &Entry<Attempts>,
    ) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Counts an attempt that was refused without a comparison.
    fn count_refused_login(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        at: Timestamp,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Writes a log-in: the network becomes known to the user, and the first and the last date of the user are set. A user
    /// has a bounded number of known networks; further ones are not stored.
    fn remember_login(
        &self,
        organisation: OrganisationKey,
        user: &str,
        network: &Network,
        at: Timestamp,
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Marks networks as known to a user for good.
    fn enter_networks(
        &self,
        organisation: OrganisationKey,
        user: &str,
        networks: &[Network],
    ) -> impl Future<Output = StoreResult<()>> + Send;

    /// Replaces the password hash if it is still `old`.
    fn replace_password(
        &self,
        organisation: OrganisationKey,
        user: &str,
        old: &PassCodeHash,
        new: &PassCodeHash,
    ) -> impl Future<Output = StoreResult<bool>> + Send;

    /// Ends all locks of the log-ins of a user, and the count of the day.
    fn unlock_logins(
        &self,
        organisation: OrganisationKey,
        user: &str,
        now: Timestamp,
    ) -> impl Future<Output = StoreResult<Unlocked>> + Send;

    /// The ids of users with a lock at `now`, on any network.
    fn locked_users(
        &self,
        organisation: OrganisationKey,
        now: Timestamp,
    ) -> impl Future<Output = StoreResult<Vec<String>>> + Send;

    /// Number of users with a password, and of those among them whose hash begins with none of these texts.
    fn count_passwords(&self, current: &[String]) -> impl Future<Output = StoreResult<(u64, u64)>> + Send;

    /// Deletes attempts that no longer count, known networks that have expired, and the oldest attempts above a bound.
    fn sweep_logins(&self, now: Timestamp) -> impl Future<Output = StoreResult<()>> + Send;
}
