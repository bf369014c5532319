//! Administrators of an organisation. An import must leave at least one of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::overlay::Stored;
use crate::model::session::Permission;
use crate::ports::store::{Credential, ImportChanges, LoginState};

/// The users who can log in and administrate the organisation after the batch so far.
#[derive(Debug, Clone, Default)]
pub struct Administrators {
    states: HashMap<String, LoginState>,
    present: HashSet<String>,
}

impl Administrators {
    /// Returns the stored administrators, given the states of administrators and of the users of a batch.
    pub fn new(states: Vec<LoginState>) -> Self {
        let administrates = |state: &&LoginState| state.admin && state.enabled && (state.password || state.key);
        let present = states.iter().filter(administrates).map(|state| state.user.clone()).collect();
        Self { states: states.into_iter().map(|state| (state.user.clone(), state)).collect(), present }
    }

    /// Applies the changes that earlier batches of a check would have made.
    pub fn merge(&mut self, drafted: &DraftedAdministrators) {
        for credential in drafted.0.values() {
            self.set(credential);
        }
    }

    /// Returns whether a user can log in with this credential and administrate.
    fn administrates(&self, credential: &Credential) -> bool {
        let can_log_in = match self.states.get(&credential.user) {
            Some(state) => state.enabled && (credential.password.is_some() || state.key),
            None => credential.password.is_some(),
        };
        can_log_in && credential.permissions.contains(Permission::Admin)
    }

    /// Applies a changed credential.
    pub(super) fn set(&mut self, credential: &Credential) {
        if self.administrates(credential) {
            self.present.insert(credential.user.clone());
        } else {
            self.present.remove(&credential.user);
        }
    }

    /// Returns whether the changed credentials leave no administrator, while this user was one before.
    pub(super) fn loses_the_last(&self, user: &str, changed: &BTreeMap<String, &Credential>) -> bool {
        self.present.contains(user)
            && self.present.iter().all(|user| changed.contains_key(user))
            && !changed.values().any(|credential| self.administrates(credential))
    }
}

/// Credentials of users who became administrators, or were administrators, in earlier batches of a check.
#[derive(Debug, Default)]
pub struct DraftedAdministrators(HashMap<String, Credential>);

impl DraftedAdministrators {
    /// Records the changes that a batch would make.
    pub fn add(&mut self, before: &Stored, changes: &ImportChanges) {
        let admin = |credential: &Credential| credential.permissions.contains(Permission::Admin);
        for credential in &changes.credentials {
            let was = before.credentials.get(&credential.user).is_some_and(admin);
            if was || admin(credential) {
                self.0.insert(credential.user.clone(), credential.clone());
            }
        }
    }

    /// Returns the ids of the users.
    pub fn users(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::PassCodeHash;
    use crate::model::session::Permissions;

    fn state(user: &str, admin: bool, enabled: bool, password: bool, key: bool) -> LoginState {
        LoginState { user: user.to_owned(), admin, enabled, password, key }
    }

    fn credential(user: &str, password: bool, permissions: &str) -> Credential {
        Credential {
            user: user.to_owned(),
            password: password.then(|| PassCodeHash::from_stored("hash")),
            permissions: Permissions::parse(permissions).expect("permissions"),
            default_unit: None,
        }
    }

    /// Returns whether the first of these credentials removes the last administrator.
    fn none_with(administrators: &Administrators, changed: &[Credential]) -> bool {
        let user = &changed[0].user;
        let changed = changed.iter().map(|credential| (credential.user.clone(), credential)).collect();
        administrators.loses_the_last(user, &changed)
    }

    #[test]
    fn only_who_can_log_in_counts() {
        let states = vec![
            state("password", true, true, true, false),
            state("disabled", true, false, true, true),
            state("nothing", true, true, false, false),
            state("user", false, true, true, false),
        ];
        let mut administrators = Administrators::new(states.clone());
        let demoted = credential("password", true, "access_tokens.read");
        assert!(none_with(&administrators, std::slice::from_ref(&demoted)));
        // Users who cannot log in may lose their permission.
        assert!(!none_with(&administrators, &[credential("disabled", true, ""), credential("nothing", false, "")]));
        // A record may name a new administrator at the same time, but that administrator must be able to log in.
        assert!(!none_with(&administrators, &[demoted.clone(), credential("user", true, "admin")]));
        assert!(!none_with(&administrators, &[demoted.clone(), credential("new", true, "admin")]));
        assert!(none_with(&administrators, &[demoted.clone(), credential("new", false, "admin")]));
        assert!(none_with(&administrators, &[demoted.clone(), credential("disabled", true, "admin")]));
        administrators.set(&credential("user", true, "admin"));
        administrators.set(&demoted);
        assert!(!none_with(&administrators, &[demoted]));
        assert!(none_with(&administrators, &[credential("user", true, "directory.write")]));
        let by_key = Administrators::new(vec![state("key", true, true, false, true)]);
        assert!(none_with(&by_key, &[credential("key", false, "access_tokens.read")]));
        assert!(!none_with(&by_key, &[credential("key", false, "admin")]));
    }
}
