//! Rights of roles in the schema of a PostgreSQL database. Apart from [`prepare`], which creates the schema, it never
//! writes.
//!
//! A role that owns an object in the schema, or may create one, can make the service run its code: a function that
//! matches a call better than the one of PostgreSQL, or a table with a trigger in place of one of the service.
//! Statements of this crate name such functions with their schema, and these checks find objects of other roles before
//! the service uses them (ADR 33).

use std::fmt;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr};

use crate::options::{DatabaseOptions, SetupError, setup_error};
use crate::sql::connection::Connection;
use crate::sql::label::Label;
use crate::sql::tables::TABLES;
use crate::sql::{Sql, quoted};

/// Maximum number of objects, roles or rights that a check lists.
const MAX_LISTED: u32 = 10;

/// Rights that the current role needs on each table of the service, except the list of migrations, which it only reads.
const TABLE_RIGHTS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];

/// Table with the list of migrations, created by the migration library.
const MIGRATIONS: &str = "seaql_migrations";

/// An object in the schema that belongs to a role that the service does not trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignObject {
    /// `table`, `function`, `operator` or `type`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The role that owns it.
    pub owner: String,
}

impl fmt::Display for ForeignObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, owner } = self;
        write!(f, "{kind} {name} (owner {owner})")
    }
}

/// Rights of roles in the database and the schema, as far as they concern the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// The schema of the service.
    pub schema: String,
    /// Whether the schema exists.
    pub schema_exists: bool,
    /// Whether the schema has tables of the service.
    pub has_tables: bool,
    /// The role of this connection.
    pub role: String,
    /// Tables of the service, functions, operators and types that another role owns.
    pub foreign: Vec<ForeignObject>,
    /// The role that owns every table of the service, if it is another role and no other foreign object exists.
    pub table_owner: Option<String>,
    /// Roles that may create objects in the schema. `PUBLIC` stands for every role.
    pub creators: Vec<String>,
    /// Other roles that may log in and connect to the database.
    pub connectors: Vec<String>,
    /// Rights on tables that this role lacks, such as `INSERT on access_token`.
    pub missing: Vec<String>,
}

/// The roles that the service trusts: superusers, the owners of database and schema, and the roles of which it is a member.
/// A superuser counts as a member of every role, so its memberships say nothing.
const TRUSTED: &str = "(r.rolsuper OR r.oid = n.nspowner OR r.oid = d.datdba OR r.rolname = current_user \
    OR pg_catalog.pg_has_role(r.oid, 'MEMBER') AND NOT (SELECT m.rolsuper FROM pg_catalog.pg_roles m WHERE m.rolname = current_user))";

/// The schema, the database, and a role.
const SCOPE: &str = "pg_catalog.pg_namespace n CROSS JOIN pg_catalog.pg_database d CROSS JOIN pg_catalog.pg_roles r";

/// Tables, functions, operators and types of the schema `n`. Row types and array types come with their table or type.
const OBJECTS: &str = "
    SELECT 'table' AS kind, c.relname::text AS name, c.relowner AS owner FROM pg_catalog.pg_class c
        WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relname::text = ANY (CAST($2 AS text[]))
    UNION ALL SELECT 'function', p.proname::text, p.proowner FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid
    UNION ALL SELECT 'operator', o.oprname::text, o.oprowner FROM pg_catalog.pg_operator o WHERE o.oprnamespace = n.oid
    UNION ALL SELECT 'type', t.typname::text, t.typowner FROM pg_catalog.pg_type t
        WHERE t.typnamespace = n.oid AND t.typrelid = 0 AND t.typelem = 0";

impl Rights {
    /// Reports whether the tables exist and this role may not read which steps of the schema were applied. All steps seem to be
    /// pending then.
    pub fn hide_the_schema(&self) -> bool {
        let hiding = [format!("SELECT on {MIGRATIONS}"), usage(&self.schema)];
        self.has_tables && self.missing.iter().any(|right| hiding.contains(right))
    }
}

/// Creates the schema if it does not exist. Refuses a schema in which another role could run code as the service.
pub(crate) async fn prepare(connection: &DatabaseConnection, options: &DatabaseOptions) -> Result<(), SetupError> {
    check_place(connection, options).await?;
    let mut rights = read(connection, &options.schema).await.map_err(setup_error)?;
    if !rights.schema_exists {
        let create = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(&options.schema));
        let created = connection.execute_unprepared(&create).await.map_err(setup_error);
        rights = read(connection, &options.schema).await.map_err(setup_error)?;
        // Another process may have created it at the same time.
        if !rights.schema_exists {
            created?;
        }
    }
    check(&rights, true)
}

/// Refuses dangerous rights, and logs risky ones. `migrates`: this process changes the schema, so that a trusted role
/// must own the objects in it.
pub(crate) fn check(rights: &Rights, migrates: bool) -> Result<(), SetupError> {
    let Rights { schema, creators, foreign, table_owner, role, .. } = rights;
    if rights.missing.iter().any(|right| *right == usage(schema)) {
        return Err(SetupError::NoUsage { schema: schema.clone(), role: role.clone() });
    }
    if !creators.is_empty() {
        let (roles, cure) = (creators.join(", "), cure(rights));
        if migrates && !rights.has_tables && foreign.is_empty() {
            return Err(SetupError::OpenSchema { schema: schema.clone(), roles, cure });
        }
        tracing::warn!(schema, roles, cure, "other roles may create objects in the schema");
    }
    match table_owner {
        _ if foreign.is_empty() => Ok(()),
        Some(owner) if !migrates => {
            tracing::warn!(schema, owner, "the tables belong to a role that owns neither the schema nor the database");
            Ok(())
        }
        _ => {
            let objects = foreign.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(SetupError::ForeignObjects { schema: schema.clone(), objects })
        }
    }
}

/// Returns the statement after which other roles can no longer create objects in the schema.
pub fn cure(rights: &Rights) -> String {
    let roles = rights.creators.iter().map(|role| if role == "PUBLIC" { role.clone() } else { quoted(role) });
    format!("REVOKE CREATE ON SCHEMA {} FROM {}", quoted(&rights.schema), roles.collect::<Vec<_>>().join(", "))
}

/// Reads the rights that concern a schema.
pub(crate) async fn read(connection: &impl Connection, schema: &str) -> Result<Rights, DbErr> {
    let tables = TABLES.iter().chain([&MIGRATIONS]).copied().collect::<Vec<_>>();
    let role = texts(connection, Sql::new(Label::CATALOG, "SELECT CAST(current_user AS text)")).await?;
    let mut sql =
        Sql::new(Label::CATALOG, "SELECT CAST(n.nspname AS text) FROM pg_catalog.pg_namespace n WHERE n.nspname = ");
    sql.bind(schema);
    let schema_exists = !texts(connection, sql).await?.is_empty();
    let mut rights = Rights {
        schema: schema.to_owned(),
        schema_exists,
        role: role.into_iter().next().unwrap_or_default(),
        ..Rights::default()
    };
    let existing = existing(connection, schema, &tables).await?;
    rights.has_tables = existing > 0;
    rights.foreign = foreign(connection, schema, &tables).await?;
    rights.table_owner = one_owner(&rights.foreign, existing);
    rights.creators = creators(connection, schema).await?;
    rights.connectors = connectors(connection, schema).await?;
    rights.missing = missing(connection, schema, &tables).await?;
    Ok(rights)
}

/// Returns the number of tables of the service that exist.
async fn existing(connection: &impl Connection, schema: &str, tables: &[&str]) -> Result<usize, DbErr> {
    let mut sql = Sql::new(
        Label::CATALOG,
        "SELECT CAST(c.relname AS text) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname = ",
    );
    sql.bind(schema);
    let found = texts(connection, sql).await?;
    Ok(found.iter().filter(|name| tables.contains(&name.as_str())).count())
}

async fn foreign(connection: &impl Connection, schema: &str, tables: &[&str]) -> Result<Vec<ForeignObject>, DbErr> {
    let text = format!(
        "SELECT o.kind, o.name, CAST(r.rolname AS text) FROM {SCOPE}, LATERAL ({OBJECTS}) o \
         WHERE r.oid = o.owner AND NOT {TRUSTED} AND d.datname = pg_catalog.current_database() AND n.nspname = $1 \
         ORDER BY 1, 2 LIMIT {}",
        tables.len() as u32 + MAX_LISTED
    );
    let sql = Sql::fixed(Label::CATALOG, &text, vec![schema.into(), format!("{{{}}}", tables.join(",")).into()]);
    let rows = connection.fetch_rows(sql.label, sql.statement(DbBackend::Postgres)).await?;
    let object = |(kind, name, owner)| ForeignObject { kind, name, owner };
    rows.iter().map(|row| row.try_get_many_by_index().map(object)).collect()
}

/// Returns the role that owns every table, if no other object is foreign.
fn one_owner(foreign: &[ForeignObject], existing: usize) -> Option<String> {
    let owner = &foreign.first()?.owner;
    let same = foreign.iter().all(|object| object.kind == "table" && object.owner == *owner);
    (same && foreign.len() == existing).then(|| owner.clone())
}

async fn creators(connection: &impl Connection, schema: &str) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(
        Label::CATALOG,
        format!(
            "SELECT DISTINCT coalesce(CAST(g.rolname AS text), 'PUBLIC') FROM pg_catalog.pg_namespace n \
         CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a \
         LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee \
         WHERE a.privilege_type = 'CREATE' AND (g.oid IS NULL OR NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles r \
         CROSS JOIN pg_catalog.pg_database d WHERE r.oid = g.oid AND d.datname = pg_catalog.current_database() AND {TRUSTED})) \
         AND n.nspname = "
        ),
    );
    sql.bind(schema).push(&format!(" ORDER BY 1 LIMIT {MAX_LISTED}"));
    texts(connection, sql).await
}

async fn connectors(connection: &impl Connection, schema: &str) -> Result<Vec<String>, DbErr> {
    // A role that has rights on the tables belongs to the service, such as the role of the servers where this role
    // migrates.
    let mut sql = Sql::new(
        Label::CATALOG,
        "SELECT CAST(r.rolname AS text) FROM pg_catalog.pg_roles r CROSS JOIN pg_catalog.pg_database d \
         WHERE d.datname = pg_catalog.current_database() AND r.rolcanlogin AND NOT r.rolsuper AND r.oid <> d.datdba \
         AND NOT pg_catalog.pg_has_role(r.oid, 'MEMBER') AND pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT') \
         AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid \
         WHERE c.relname = 'access_token' AND (c.relowner = r.oid OR pg_catalog.has_table_privilege(r.oid, c.oid, 'SELECT')) \
         AND n.nspname = ",
    );
    sql.bind(schema).push(&format!(") ORDER BY 1 LIMIT {MAX_LISTED}"));
    texts(connection, sql).await
}

/// Returns the name of the right without which a role does not see the tables of a schema: PostgreSQL then leaves the
/// schema out of the search path, so that a migration would create temporary tables.
fn usage(schema: &str) -> String {
    format!("USAGE on the schema {schema}")
}

async fn missing(connection: &impl Connection, schema: &str, tables: &[&str]) -> Result<Vec<String>, DbErr> {
    let mut sql = Sql::new(
        Label::CATALOG,
        "SELECT CAST(n.nspname AS text) FROM pg_catalog.pg_namespace n \
         WHERE NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND n.nspname = ",
    );
    sql.bind(schema);
    let mut missing: Vec<_> = texts(connection, sql).await?.iter().map(|schema| usage(schema)).collect();
    for right in TABLE_RIGHTS {
        let mut sql = Sql::new(
            Label::CATALOG,
            format!(
                "SELECT CAST(c.relname AS text) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'p') AND NOT pg_catalog.has_table_privilege(c.oid, '{right}') AND n.nspname = "
            ),
        );
        sql.bind(schema).push(" ORDER BY 1");
        let found = texts(connection, sql).await?;
        let needed = |table: &String| tables.contains(&table.as_str()) && (right == "SELECT" || table != MIGRATIONS);
        missing.extend(found.iter().filter(|table| needed(table)).map(|table| format!("{right} on {table}")));
    }
    Ok(missing)
}

/// Refuses a schema without tables while another schema in the search path of the role has them: a release before the
/// setting `database.schema` has put them there.
pub(crate) async fn check_place(connection: &impl Connection, options: &DatabaseOptions) -> Result<(), SetupError> {
    let with_tables = "SELECT CAST(n.nspname AS text) FROM pg_catalog.pg_class c \
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname = 'seaql_migrations' AND EXISTS (\
        SELECT 1 FROM pg_catalog.pg_class t WHERE t.relnamespace = n.oid AND t.relname = 'access_token')";
    let schemas = texts(connection, Sql::new(Label::CATALOG, with_tables)).await.map_err(setup_error)?;
    if schemas.is_empty() || schemas.contains(&options.schema) {
        return Ok(());
    }
    let path = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'search_path' UNION ALL SELECT CAST(current_user AS text)";
    let path = texts(connection, Sql::new(Label::CATALOG, path)).await.map_err(setup_error)?;
    let (path, user) = (path.first().map_or("", String::as_str), path.get(1).map_or("", String::as_str));
    let mut path = path.split(',').map(|name| name.trim().trim_matches('"'));
    match path.find_map(|name| schemas.iter().find(|schema| *schema == if name == "$user" { user } else { name })) {
        Some(schema) => Err(SetupError::OtherSchema { schema: schema.clone(), configured: options.schema.clone() }),
        None => Ok(()),
    }
}

async fn texts(connection: &impl Connection, sql: Sql) -> Result<Vec<String>, DbErr> {
    let rows = connection.fetch_rows(sql.label, sql.statement(DbBackend::Postgres)).await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
