//! Checks which roles of PostgreSQL could act as the service, and whether its own role has all rights that it needs.

use access_tokens_storage::{Database, cure};

use super::database::error_text;
use super::report::Report;

const CHECK: &str = "roles";

/// The documentation of the roles and their rights.
const MANUAL: &str = "\"PostgreSQL roles\" in docs/operations.md has the statements";

pub(super) async fn check(database: &Database, report: &mut Report) {
    let rights = match database.rights().await {
        Ok(Some(rights)) => rights,
        Ok(None) => return,
        Err(error) => {
            report.problem(CHECK, format!("the catalogue cannot be read: {}", error_text(error)), MANUAL);
            return;
        }
    };
    let (schema, role) = (&rights.schema, &rights.role);
    if let Err(error) = database.check_rights().await {
        report.problem(CHECK, error.to_string(), MANUAL);
    } else if let Some(owner) = &rights.table_owner {
        let message = format!("the tables belong to {owner}, which owns neither the schema {schema} nor the database");
        report.warning(
            CHECK,
            message,
            format!("ALTER SCHEMA \"{schema}\" OWNER TO \"{owner}\", if this role is meant to migrate"),
        );
    }
    if !rights.creators.is_empty() {
        let roles = rights.creators.join(", ");
        let message = format!(
            "other roles may create objects in the schema {schema}, and could run code as the service: {roles}"
        );
        report.warning(CHECK, message, cure(&rights));
    }
    if !rights.connectors.is_empty() {
        let message = format!(
            "other roles may connect to the database, and could hold locks or connections: {}",
            rights.connectors.join(", ")
        );
        let cure = "REVOKE CONNECT ON DATABASE name FROM PUBLIC, and GRANT it to the roles of the service";
        report.warning(CHECK, message, cure);
    }
    if rights.has_tables && !rights.missing.is_empty() {
        let message = format!("the role {role} lacks rights: {}", rights.missing.join(", "));
        report.problem(CHECK, message, MANUAL);
    }
    let seen = rights.foreign.is_empty() && rights.creators.is_empty() && rights.connectors.is_empty();
    if seen && rights.missing.is_empty() {
        report.ok(CHECK, format!("no other role can act in the schema {schema} or connect to the database"));
    }
}
