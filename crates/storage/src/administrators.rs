//! SQL conditions on administrators and their keys.

use access_tokens_domain::time::Timestamp;

use crate::convert::micros;
use crate::sql::Sql;

/// Returns the condition that a list of permissions contains `admin`.
pub(crate) fn has_admin(column: &str) -> String {
    format!("(',' || {column} || ',') LIKE '%,admin,%'")
}

/// Appends the condition that the user of `c` has a valid key that does not exclude the permission `admin`.
pub(crate) fn push_has_key(sql: &mut Sql, now: Timestamp) {
    sql.push(
        "EXISTS (SELECT 1 FROM api_key k WHERE k.organisation_key = c.organisation_key AND k.user_id = c.user_id ",
    );
    sql.push("AND k.revoked_date IS NULL AND (k.expires_date IS NULL OR k.expires_date > ").bind(micros(now));
    sql.push(") AND (k.permissions IS NULL OR ").push(&has_admin("k.permissions")).push("))");
}
