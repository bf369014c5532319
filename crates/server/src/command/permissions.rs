//! Permissions on the command line.

/// Reads a list of permissions.
pub(super) fn permissions(list: &str) -> Result<access_tokens_domain::session::Permissions, String> {
    use access_tokens_domain::session::{Permission, Permissions};
    Permissions::parse(list).map_err(|unknown| {
        let known: Vec<_> = Permission::ALL.into_iter().map(Permission::name).collect();
        format!("{unknown} is no permission; known are {}", known.join(", "))
    })
}
