//! Users: list, disable, enable.

use super::grants::{Administration, PAGE_SIZE, may_grant};
use crate::model::session::{Caller, Permission};
use crate::ports::store::{AccountStore, AdministrationStore, Change, Disabled, Store, UserDetails};
use crate::{Error, Reason, Result};

impl<S: Store + AccountStore + AdministrationStore> Administration<S> {
    /// Returns a page of the users of the caller's organisation with a credential and an id above `after`, in the order
    /// of ids. A page with fewer than 200 users is the last one.
    pub async fn list_users(&self, caller: &Caller, after: Option<&str>) -> Result<Vec<UserDetails>> {
        caller.require(Permission::Admin)?;
        Ok(self.store.users(caller.organisation, after, PAGE_SIZE).await?)
    }

    /// Disables a user. The user cannot log in, and its sessions, its API keys and its certificates are refused within
    /// a second on every server. Returns whether the user was enabled before: it is no error to disable a user twice.
    ///
    /// Returns LAST_ADMIN when no other user of the organisation could administrate.
    pub async fn disable_user(&self, caller: &Caller, username: &str) -> Result<bool> {
        self.may_change(caller, username).await?;
        match self.store.disable_user(caller.organisation, username, self.clock.now()).await? {
            Disabled::Done => Ok(true),
            Disabled::Already => Ok(false),
            Disabled::Unknown => Err(unknown_user()),
            Disabled::LastAdmin => Err(Error::new(
                Reason::LastAdmin,
                "the user is the last enabled administrator of the organisation: give another user the permission admin first",
            )),
        }
    }

    /// Enables a user, with the password that it had. Sessions that ended stay ended. Returns whether the user was
    /// disabled before: it is no error to enable a user twice.
    pub async fn enable_user(&self, caller: &Caller, username: &str) -> Result<bool> {
        self.may_change(caller, username).await?;
        match self.store.enable_user(caller.organisation, username).await? {
            Change::Done => Ok(true),
            Change::Already => Ok(false),
            Change::Unknown => Err(unknown_user()),
        }
    }

    /// Refuses a caller that does not hold all permissions of the user.
    async fn may_change(&self, caller: &Caller, username: &str) -> Result<()> {
        caller.require(Permission::Admin)?;
        let credential = self.store.credential_by_username(caller.organisation, username).await?;
        may_grant(caller, credential.ok_or_else(unknown_user)?.permissions)
    }
}

fn unknown_user() -> Error {
    Error::field(Reason::ReferenceNotFound, "username", "there is no user of this name that could log in")
}
