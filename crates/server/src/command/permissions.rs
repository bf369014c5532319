//! Permissions on the command line.

/// A list of permissions on the command line.
pub(super) fn permissions(list: &str) -> Result<access_tokens_domain::session::Permissions, String> {
    use access_tokens_domain::session::{Permission, Permissions};
    Permissions::parse(list).map_err(|unknown| {
        let known: Vec<_> = Permission::ALL.into_iter().map(Permission::name).collect();
        format!("{unknown} is no permission; known are {}", known.join(", "))
    })
}
