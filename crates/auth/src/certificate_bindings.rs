//! Users of client certificates: the settings give their names, and each name is bound to an id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::session::OrganisationKey;

/// The id of the user of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BoundUser {
    pub(super) organisation: OrganisationKey,
    pub(super) user: String,
}

/// Ids of the users of certificates. A name is bound once, at the start of the server or as soon as the user exists,
/// and keeps its id until the server ends. A user that later gets the name of another user does not get its
/// certificates.
///
/// Only names in the settings are bound, so the number of entries is bounded.
#[derive(Debug, Default)]
pub(super) struct Bindings(Mutex<HashMap<CertificateUser, BoundUser>>);

impl Bindings {
    /// Returns the user to which the names are bound.
    pub(super) fn get(&self, names: &CertificateUser) -> Option<BoundUser> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(names).cloned()
    }

    /// Binds the names, unless another call has bound them. Returns the user to which they are bound.
    pub(super) fn bind(&self, names: &CertificateUser, user: BoundUser) -> BoundUser {
        let mut bound = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bound.entry(names.clone()).or_insert(user).clone()
    }
}
