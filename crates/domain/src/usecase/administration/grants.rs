//! The ports that the use cases of administration share, and the permissions that a caller can grant.

use std::sync::Arc;

use crate::model::session::{Caller, Permission, Permissions};
use crate::ports::{Clock, Random, Secrets};
use crate::{Error, Reason, Result};

/// Number of items of one page of a list.
pub(super) const PAGE_SIZE: u32 = 200;

/// The use cases of administration.
pub struct Administration<S> {
    pub(super) store: Arc<S>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) secrets: Arc<dyn Secrets>,
}

impl<S> Administration<S> {
    /// Connects the use cases to their ports.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, secrets: Arc<dyn Secrets>) -> Self {
        Self { store, clock, random, secrets }
    }
}

/// Refuses a caller that grants, or takes over, permissions that it does not hold.
pub(super) fn may_grant(caller: &Caller, permissions: Permissions) -> Result<()> {
    caller.require(Permission::Admin)?;
    if caller.permissions.contains_all(permissions) {
        return Ok(());
    }
    let text = "a caller can grant only permissions that it holds";
    Err(Error::field(Reason::PermissionDenied, "permissions", text))
}
