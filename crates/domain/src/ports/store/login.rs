//! Log-ins of users: accounts, known networks, and attempts.

use super::error::StoreFuture;
use super::ledger::Entry;
use crate::model::secret::PassCodeHash;
use crate::model::session::OrganisationKey;
use crate::model::time::Timestamp;
use crate::policy::attempts::Attempts;
use crate::policy::login::{LoginAccount, Network};

/// The state of the log-ins of a user before they were unlocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocked {
    /// At least one network was locked, or the maximum number of wrong passwords of the day was reached.
    Locked,
    /// No log-in was locked. Wrong passwords were counted, and the counts are reset.
    Counted,
    /// Nothing was counted, and nothing has changed.
    Nothing,
}

/// Log-ins of users. Attempts are stored in the ledger under the kind PASSWORD. Each write is one statement that is
/// committed before the method returns. Reads on all replicas see every write that has returned before.
pub trait LoginStore: Send + Sync + 'static {
    /// Returns the account of a user name, with the row of the network.
    fn login_account(
        &self,
        organisation: OrganisationKey,
        username: &str,
        network: &Network,
    ) -> impl StoreFuture<Option<LoginAccount>>;

    /// Returns the attempts of a subject of [`crate::policy::login`].
    fn login_attempts(&self, organisation: OrganisationKey, subject: &str) -> impl StoreFuture<Entry<Attempts>>;

    /// Replaces attempts that were read. Returns `false` when another caller wrote since; nothing was written then.
    fn save_login_attempts(
        &self,
        organisation: OrganisationKey,
        subject: &str,
        attempts: &Entry<Attempts>,
    ) -> impl StoreFuture<bool>;

    /// Counts an attempt that was refused without a comparison.
    fn count_refused_login(&self, organisation: OrganisationKey, subject: &str, at: Timestamp) -> impl StoreFuture<()>;

    /// Records a log-in: the network becomes known to the user, and the first and the last date of the user are set. A
    /// user has a limited number of known networks; further ones are not stored.
    fn remember_login(
        &self,
        organisation: OrganisationKey,
        user: &str,
        network: &Network,
        at: Timestamp,
    ) -> impl StoreFuture<()>;

    /// Marks networks as known to a user without an expiry.
    fn enter_networks(&self, organisation: OrganisationKey, user: &str, networks: &[Network]) -> impl StoreFuture<()>;

    /// Replaces the password hash if it is still `old`.
    fn replace_password(
        &self,
        organisation: OrganisationKey,
        user: &str,
        old: &PassCodeHash,
        new: &PassCodeHash,
    ) -> impl StoreFuture<bool>;

    /// Ends all locks of the log-ins of a user, and resets the count of the day.
    fn unlock_logins(&self, organisation: OrganisationKey, user: &str, now: Timestamp) -> impl StoreFuture<Unlocked>;

    /// Returns the ids of users with a lock at `now`, on any network.
    fn locked_users(&self, organisation: OrganisationKey, now: Timestamp) -> impl StoreFuture<Vec<String>>;

    /// Returns the number of users with a password, and the number of those among them whose hash has none of these
    /// prefixes.
    fn count_passwords(&self, current: &[String]) -> impl StoreFuture<(u64, u64)>;

    /// Deletes attempts that no longer count, known networks that have expired, and the oldest attempts above a limit.
    fn sweep_logins(&self, now: Timestamp) -> impl StoreFuture<()>;
}
