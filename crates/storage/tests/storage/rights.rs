//! Actions of other roles of a PostgreSQL cluster against the service: they have no effect, or the service refuses to
//! start.

use std::time::Duration;

use access_tokens_domain::directory::Country;
use access_tokens_domain::store::{ImportChanges, Store};
use access_tokens_storage::{DatabaseOptions, SetupError, connect};
use access_tokens_testkit::postgres;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection};

use crate::common::{organisation, token};

/// Key of the advisory lock of migrations.
const LOCK: &str = "7017561931753139572";

/// Runs SQL as the superuser, in the database of these options.
fn superuser(options: &DatabaseOptions, sql: &str) -> String {
    let name = options.url.rsplit('/').next().expect("a database");
    postgres::shared().psql(name, sql).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Creates a database for a role, and another role without rights in it.
fn with_stranger() -> (DatabaseOptions, String) {
    let options = DatabaseOptions::new(postgres::create_database());
    let stranger = format!("stranger_{}", options.url.rsplit('/').next().expect("a database"));
    superuser(&options, &format!("CREATE ROLE {stranger}"));
    (options, stranger)
}

/// Creates an object that the other role owns.
fn made_by(options: &DatabaseOptions, stranger: &str, sql: &str) {
    superuser(options, &format!("GRANT CREATE ON SCHEMA public TO {stranger}"));
    superuser(options, &format!("SET ROLE {stranger}; {sql}"));
}

async fn migrate(options: &DatabaseOptions) -> Result<(), SetupError> {
    let database = connect(options).await?;
    let migrated = database.migrate().await;
    database.close().await;
    migrated
}

#[tokio::test]
async fn a_new_schema_in_which_others_may_create_is_refused_with_the_cure() {
    let (options, stranger) = with_stranger();
    for (role, named) in [("PUBLIC", "PUBLIC".to_owned()), (stranger.as_str(), stranger.clone())] {
        superuser(&options, &format!("GRANT CREATE ON SCHEMA public TO {role}"));
        let refused = migrate(&options).await.expect_err("others may create").to_string();
        assert!(refused.contains(&named) && refused.contains("REVOKE CREATE ON SCHEMA"), "{refused}");
        let cure = refused.split("run ").nth(1).and_then(|rest| rest.split(" as the owner").next()).expect("a cure");
        superuser(&options, cure);
    }
    migrate(&options).await.expect("cured");
    // An existing installation keeps running; doctor and the log name the roles.
    superuser(&options, "GRANT CREATE ON SCHEMA public TO PUBLIC");
    migrate(&options).await.expect("goes on");
    let database = connect(&options).await.expect("connects");
    assert_eq!(database.rights().await.expect("rights").expect("PostgreSQL").creators, ["PUBLIC"]);
}

#[tokio::test]
async fn objects_of_others_are_refused_by_name() {
    for (sql, named) in [
        (
            "CREATE TABLE seaql_migrations (version varchar NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)",
            "table seaql_migrations",
        ),
        ("CREATE TABLE access_token (id text)", "table access_token"),
        ("CREATE VIEW session AS SELECT 1 AS id", "table session"),
        ("CREATE FUNCTION unnest(text[]) RETURNS SETOF text LANGUAGE sql AS 'SELECT NULL::text'", "function unnest"),
        ("CREATE TYPE pair AS ENUM ('a')", "type pair"),
    ] {
        let (options, stranger) = with_stranger();
        made_by(&options, &stranger, sql);
        let refused = migrate(&options).await.expect_err(sql).to_string();
        assert!(refused.contains(named) && refused.contains(&stranger), "{sql}: {refused}");
        assert_eq!(superuser(&options, "SELECT count(*) FROM pg_class WHERE relname = 'organisation'"), "0", "{sql}");
    }
}

#[tokio::test]
async fn a_function_that_fits_better_is_not_called_and_the_next_start_is_refused() {
    let (options, stranger) = with_stranger();
    migrate(&options).await.expect("migrated");
    let database = connect(&options).await.expect("connects");
    let key = organisation(&database, "DEMO").await;
    superuser(&options, "CREATE TABLE called (by text); GRANT ALL ON called TO PUBLIC");
    for (name, arguments, returns) in [
        ("json_populate_recordset", "access_token, json", "SETOF access_token"),
        ("json_populate_recordset", "country, json", "SETOF country"),
        ("json_array_elements_text", "json", "SETOF text"),
        ("unnest", "text[]", "SETOF text"),
    ] {
        let body =
            format!("INSERT INTO called VALUES (''{name}''); SELECT NULL::{}", returns.trim_start_matches("SETOF "));
        made_by(
            &options,
            &stranger,
            &format!("CREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE sql AS '{body}'"),
        );
    }
    let country = Country { id: "C1".into(), ..Country::default() };
    let changes = ImportChanges { countries: vec![country], tokens: vec![token("T1")], ..ImportChanges::default() };
    crate::common::import(&database, key, &changes).await;
    assert!(database.reference(key).await.expect("reads").countries.contains_key("C1"));
    assert_eq!(superuser(&options, "SELECT count(*) FROM called"), "0", "code of another role ran as the service");
    let refused = database.check_rights().await.expect_err("foreign functions").to_string();
    assert!(refused.contains("function json_populate_recordset") && refused.contains(&stranger), "{refused}");
    migrate(&options).await.expect_err("foreign functions");
}

#[tokio::test]
async fn tables_of_another_role_are_for_servers_that_do_not_migrate() {
    let (options, stranger) = with_stranger();
    migrate(&options).await.expect("migrated");
    let tables = superuser(
        &options,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
    );
    for table in tables.lines() {
        superuser(&options, &format!("ALTER TABLE {table} OWNER TO {stranger}; GRANT ALL ON {table} TO access_tokens"));
    }
    let database = connect(&options).await.expect("connects");
    database.check_rights().await.expect("one role owns all");
    let rights = database.rights().await.expect("rights").expect("PostgreSQL");
    assert_eq!(rights.table_owner.as_deref(), Some(stranger.as_str()));
    migrate(&options).await.expect_err("cannot change what another role owns");
    superuser(&options, &format!("ALTER SCHEMA public OWNER TO {stranger}"));
    assert!(database.rights().await.expect("rights").expect("PostgreSQL").foreign.is_empty());
    // One table of a third role is a trap.
    superuser(&options, "ALTER SCHEMA public OWNER TO pg_database_owner; ALTER TABLE session OWNER TO access_tokens");
    database.check_rights().await.expect_err("more than one owner");
}

#[tokio::test]
async fn a_role_that_lacks_rights_is_told_which() {
    let (options, _) = with_stranger();
    migrate(&options).await.expect("migrated");
    let url = postgres::shared().serve_as_other_role(&options.url).expect("granted");
    let served = connect(&DatabaseOptions::new(url)).await.expect("connects");
    let rights = served.rights().await.expect("rights").expect("PostgreSQL");
    assert_eq!((rights.missing.len(), rights.connectors.len(), rights.role.as_str()), (0, 0, postgres::SERVICE));
    superuser(&options, &format!("REVOKE DELETE ON session, unit FROM {}", postgres::SERVICE));
    let rights = served.rights().await.expect("rights").expect("PostgreSQL");
    assert_eq!(rights.missing, ["DELETE on session", "DELETE on unit"]);
}

#[tokio::test]
async fn tables_live_in_the_schema_of_the_setting_whatever_the_role_prefers() {
    for schema in ["tokens", "To\"kens; --", "\u{3b1}"] {
        let (mut options, _) = with_stranger();
        let name = options.url.rsplit('/').next().expect("a database").to_owned();
        superuser(&options, &format!("ALTER DATABASE {name} SET search_path = pg_catalog"));
        options.schema = schema.to_owned();
        migrate(&options).await.expect(schema);
        let database = connect(&options).await.expect("connects");
        assert!(database.pending_migrations().await.expect("knows").is_empty());
        let key = organisation(&database, "DEMO").await;
        crate::common::import(&database, key, &ImportChanges { tokens: vec![token("T1")], ..Default::default() }).await;
        let places = superuser(
            &options,
            "SELECT DISTINCT relnamespace::regnamespace::text FROM pg_class WHERE relname IN ('access_token', 'seaql_migrations')",
        );
        assert_eq!(places.lines().count(), 1, "{places}");
        assert_ne!(places, "public");
    }
}

#[tokio::test]
async fn tables_in_another_schema_of_the_search_path_are_not_made_a_second_time() {
    let (mut options, _) = with_stranger();
    options.schema = "old_place".to_owned();
    migrate(&options).await.expect("migrated");
    options.schema = "public".to_owned();
    options.url = format!("{}?options=-c%20search_path%3Dold_place", options.url);
    let refused = migrate(&options).await.expect_err("the tables are elsewhere").to_string();
    assert!(refused.contains("database.schema = \"old_place\""), "{refused}");
    let database = connect(&options).await.expect("connects");
    database.check_rights().await.expect_err("the tables are elsewhere");
}

/// A session that keeps what it locks.
async fn session(options: &DatabaseOptions) -> DatabaseConnection {
    let mut connect = ConnectOptions::new(&options.url);
    connect.max_connections(1).min_connections(1);
    sea_orm::Database::connect(connect).await.expect("connects")
}

#[tokio::test]
async fn a_lock_that_any_role_can_take_stops_neither_starts_nor_imports() {
    let (options, _) = with_stranger();
    migrate(&options).await.expect("migrated");
    let holder = session(&options).await;
    holder.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await.expect("taken");
    for organisation in 0..5 {
        let old_lock = format!("SELECT pg_advisory_lock(1635020651, {organisation})");
        holder.execute_unprepared(&old_lock).await.expect("taken");
    }
    migrate(&options).await.expect("nothing is pending");
    let database = connect(&options).await.expect("connects");
    let key = organisation(&database, "DEMO").await;
    let changes = ImportChanges {
        countries: vec![Country { id: "C1".into(), ..Country::default() }],
        ..ImportChanges::default()
    };
    crate::common::import(&database, key, &changes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_the_lock_ends_and_names_the_session_that_holds_it() {
    let (mut options, _) = with_stranger();
    options.migration_lock_timeout = Duration::from_millis(1_500);
    let holder = session(&options).await;
    holder.execute_unprepared(&format!("SELECT pg_advisory_lock({LOCK})")).await.expect("taken");
    let pid = superuser(
        &options,
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    );
    let refused = migrate(&options).await.expect_err("held").to_string();
    assert!(refused.contains(&format!("pid {}", pid.trim())) && refused.contains("role access_tokens"), "{refused}");
    options.migration_lock_timeout = Duration::from_secs(60);
    let waiting = tokio::spawn(async move { migrate(&options).await });
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!waiting.is_finished());
    holder.close().await.expect("gone");
    waiting.await.expect("no panic").expect("migrated");
}
