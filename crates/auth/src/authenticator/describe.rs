//! The description of a caller, for the caller itself.

use access_tokens_domain::Result;
use access_tokens_domain::session::{Caller, Permissions};
use access_tokens_domain::store::{AccountStore, Store};

use super::Authenticator;

/// A caller with the names of its user and organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerDescription {
    /// Id of the user. API keys and certificates act as a user too.
    pub user: Option<String>,
    /// User name. `None`: the user has none.
    pub username: Option<String>,
    /// Name of the organisation.
    pub organisation: String,
    /// Id of the unit that the caller works for.
    pub unit: Option<String>,
    /// Permissions of the caller.
    pub permissions: Permissions,
}

impl<S: Store + AccountStore> Authenticator<S> {
    /// Describes a caller. The names are the current ones, and not those of the time when its session was opened.
    pub async fn describe(&self, caller: Caller) -> Result<CallerDescription> {
        let reference = self.store.reference(caller.organisation).await?;
        let user = caller.user.as_ref().and_then(|id| reference.users.get(id));
        Ok(CallerDescription {
            username: user.and_then(|user| user.username.clone()),
            organisation: reference.organisation.name.clone(),
            user: caller.user,
            unit: caller.unit,
            permissions: caller.permissions,
        })
    }
}
