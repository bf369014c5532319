//! Permissions on the command line.

use access_tokens_domain::session::{Permission, Permissions};

/// Reads a list of permissions.
pub(super) fn permissions(list: &str) -> Result<Permissions, String> {
    Permissions::parse(list).map_err(|unknown| {
        let known: Vec<_> = Permission::ALL.into_iter().map(Permission::name).collect();
        format!("{unknown} is no permission; known are {}", known.join(", "))
    })
}

/// Formats permissions for the output of a command.
pub(super) fn shown_permissions(permissions: Permissions) -> String {
    if permissions.is_empty() { "nothing".to_owned() } else { permissions.to_string() }
}
