//! Use cases of administration: API keys and users.
//!
//! Each takes the caller first. A caller needs the permission `admin`, and can grant only permissions that it holds. The
//! command line holds all of them, since it holds the keys and the database.

mod api_keys;
mod users;

use std::sync::Arc;

pub use api_keys::{MAX_OVERLAP, NewKey};

use crate::ports::{Clock, Random, Secrets};
use crate::session::{Caller, Permission, Permissions};
use crate::{Error, Reason, Result};

/// Items of one page of a list.
const PAGE: u32 = 200;

/// The use cases of administration.
pub struct Administration<S> {
    store: Arc<S>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    secrets: Arc<dyn Secrets>,
}

impl<S> Administration<S> {
    /// Connects the use cases to their ports.
    pub fn new(store: Arc<S>, clock: Arc<dyn Clock>, random: Arc<dyn Random>, secrets: Arc<dyn Secrets>) -> Self {
        Self { store, clock, random, secrets }
    }
}

/// Refuses a caller that grants, or takes over, more than it holds.
fn may_grant(caller: &Caller, permissions: Permissions) -> Result<()> {
    caller.require(Permission::Admin)?;
    if caller.permissions.contains_all(permissions) {
        return Ok(());
    }
    let text = "a caller can grant only permissions that it holds";
    Err(Error::field(Reason::PermissionDenied, "permissions", text))
}
