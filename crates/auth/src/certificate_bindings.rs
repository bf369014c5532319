//! Certificates of clients: each stands for a user, as the settings say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::session::OrganisationKey;

/// A user that a certificate stands for, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BoundUser {
    pub(super) organisation: OrganisationKey,
    pub(super) user: String,
}

/// The users of certificates by id: bound once, at the start of the server or as soon as the user exists, and not bound again
/// until the server ends. A user that later gets the name of another one does not get its certificates.
///
/// Only names of the settings are bound, so the number of entries is bounded.
#[derive(Debug, Default)]
pub(super) struct Bindings(Mutex<HashMap<CertificateUser, BoundUser>>);

impl Bindings {
    /// The user that the names are bound to.
    pub(super) fn get(&self, names: &CertificateUser) -> Option<BoundUser> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(names).cloned()
    }

    /// Binds the names, unless another call was earlier. Returns the user that they are bound to.
    pub(super) fn bind(&self, names: &CertificateUser, user: BoundUser) -> BoundUser {
        let mut bound = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bound.entry(names.clone()).or_insert(user).clone()
    }
}
