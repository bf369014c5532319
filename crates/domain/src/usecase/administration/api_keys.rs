//! API keys: add, list, revoke, rotate.

use chrono::TimeDelta;

use super::grants::{Administration, PAGE_SIZE, may_grant};
use crate::model::error::Violations;
use crate::model::secret::{CodeHash, Secret};
use crate::model::session::{Caller, Permission, Permissions};
use crate::model::time::Timestamp;
use crate::ports::Purpose;
use crate::ports::code;
use crate::ports::store::{AccountStore, AdministrationStore, ApiKey, Change, KeyDetails, KeyTerms, Rotated, Store};
use crate::{Error, Reason, Result};

/// Maximum time for which both keys of a rotation are accepted: seven days.
pub const MAX_OVERLAP: TimeDelta = TimeDelta::days(7);

/// A key to be stored. The key generator makes its id and its hash.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Public part of the key.
    pub id: String,
    /// Keyed hash of the secret part.
    pub hash: CodeHash,
    /// Id of the technical user of the key.
    pub user: String,
    /// Permissions of the key.
    pub permissions: Permissions,
    /// Id of the unit that the key works for. `None`: the default unit of the user.
    pub unit: Option<String>,
    /// Time from which the key is refused.
    pub expires: Option<Timestamp>,
}

impl<S: Store + AccountStore + AdministrationStore> Administration<S> {
    /// Stores a key. The permissions of other keys of the same user stay as they are.
    ///
    /// Errors: INVALID_FIELD_VALUE for an expiry that has passed, UNIT_NOT_FOUND, and PERMISSION_DENIED for permissions
    /// that the caller does not hold.
    pub async fn add_api_key(&self, caller: &Caller, key: NewKey) -> Result<()> {
        may_grant(caller, key.permissions)?;
        let now = self.clock.now();
        self.check_terms(caller, key.unit.as_deref(), key.expires).await?;
        let account = self.store.account(caller.organisation, &key.user).await?.ok_or_else(|| {
            Error::field(Reason::ReferenceNotFound, "user", "there is no such user, or the user is disabled")
        })?;
        may_grant(caller, account.credential.permissions)?;
        let terms =
            KeyTerms { permissions: Some(key.permissions), unit: key.unit, expires: key.expires, revoked: None };
        let stored = ApiKey { id: key.id, organisation: caller.organisation, user: key.user, hash: key.hash, terms };
        Ok(self.store.add_api_key(&stored, now).await?)
    }

    /// Refuses an expiry that has passed, and a unit that does not exist.
    pub async fn check_terms(&self, caller: &Caller, unit: Option<&str>, expires: Option<Timestamp>) -> Result<()> {
        let mut violations = Violations::default();
        if expires.is_some_and(|expires| expires <= self.clock.now()) {
            violations.add(Reason::InvalidFieldValue, "expires_date", "has passed");
        }
        if let Some(unit) = unit
            && !self.store.reference(caller.organisation).await?.units.contains_key(unit)
        {
            violations.add(Reason::UnitNotFound, "unit", "no such unit");
        }
        violations.into_result()
    }

    /// Returns a page of the keys of the caller's organisation with an id above `after`, in the order of ids. A page
    /// with fewer than 200 keys is the last one.
    pub async fn list_api_keys(&self, caller: &Caller, after: Option<&str>) -> Result<Vec<KeyDetails>> {
        caller.require(Permission::Admin)?;
        Ok(self.store.api_keys(caller.organisation, after, PAGE_SIZE).await?)
    }

    /// Revokes a key. It ends within a second on every server, together with the sessions that it opened. Returns
    /// whether the key was valid before: it is no error to revoke a key twice.
    pub async fn revoke_api_key(&self, caller: &Caller, id: &str) -> Result<bool> {
        caller.require(Permission::Admin)?;
        let no_key = self.unusable_hash(id)?;
        match self.store.revoke_api_key(caller.organisation, id, &no_key, self.clock.now()).await? {
            Change::Done => Ok(true),
            Change::Already => Ok(false),
            Change::Unknown => Err(unknown_key()),
        }
    }

    /// Replaces a key by a new one with the same user, permissions, unit and expiry. The old key ends after `overlap`,
    /// or when it expires. Returns its end.
    pub async fn rotate_api_key(
        &self,
        caller: &Caller,
        old: &str,
        new: (&str, &CodeHash),
        overlap: TimeDelta,
    ) -> Result<Timestamp> {
        caller.require(Permission::Admin)?;
        if !(TimeDelta::zero()..=MAX_OVERLAP).contains(&overlap) {
            let text = format!("must be between 0 and {}", MAX_OVERLAP.num_seconds());
            return Err(Error::field(Reason::InvalidFieldValue, "overlap_seconds", text));
        }
        // The new key acts as the same user, so the caller needs the same rights as for a new key.
        let key = self.store.api_key(old).await?.filter(|key| key.organisation == caller.organisation);
        let key = key.ok_or_else(unknown_key)?;
        if let Some(account) = self.store.account(caller.organisation, &key.user).await? {
            may_grant(caller, account.credential.permissions)?;
        }
        let now = self.clock.now();
        match self.store.rotate_api_key(caller.organisation, old, new, now, now + overlap).await? {
            Rotated::Done(ends) => Ok(ends),
            Rotated::Unknown => Err(unknown_key()),
            Rotated::Ended => {
                let text = "is revoked or has expired: add a new key instead";
                Err(Error::field(Reason::InvalidFieldValue, "api_key", text))
            }
            Rotated::Replaced(next) => {
                let text = format!(
                    "was replaced by {next} before: rotate that key, or revoke it if it is lost and add a new key"
                );
                Err(Error::field(Reason::InvalidFieldValue, "api_key", text))
            }
        }
    }

    /// Returns a hash in the form of all others that no key has: its secret is random and is dropped.
    pub fn unusable_hash(&self, id: &str) -> Result<CodeHash> {
        let random = self.random.as_ref();
        let secret = Secret::new(format!("{}{}", code::hex_id(random)?, code::hex_id(random)?));
        self.secrets.code_hash(Purpose::ApiKey, id, &secret)
    }
}

fn unknown_key() -> Error {
    Error::field(Reason::ReferenceNotFound, "api_key", "there is no such API key in this organisation")
}
