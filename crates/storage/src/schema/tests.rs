use access_tokens_testkit::postgres;

use super::*;
use crate::{DatabaseOptions, connect};

/// A SQLite database of this version, changed by statements of another program.
async fn sqlite_with(changes: &str) -> (tempfile::TempDir, Database) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("test.db");
    let options = DatabaseOptions::new(format!("sqlite://{}", file.display()));
    let database = connect(&options).await.expect("connects");
    database.migrate().await.expect("migrates");
    database.close().await;
    let connection = rusqlite::Connection::open(&file).expect("opens");
    connection.execute_batch(changes).expect(changes);
    connection.close().expect("closes");
    (folder, connect(&options).await.expect("connects"))
}

async fn postgres_with(changes: &str) -> Database {
    let url = postgres::create_database();
    let database = connect(&DatabaseOptions::new(&url)).await.expect("connects");
    database.migrate().await.expect("migrates");
    let name = url.rsplit('/').next().expect("a name");
    if !changes.is_empty() {
        postgres::shared().psql(name, changes).expect(changes);
    }
    database
}

#[tokio::test]
async fn what_the_migrations_make_is_accepted() {
    // The schema is also accepted with the tables that ANALYZE creates.
    for changes in ["", "ANALYZE"] {
        let (_folder, database) = sqlite_with(changes).await;
        assert_eq!(database.schema_faults().await.expect("read"), Vec::<String>::new());
    }
    let database = postgres_with("").await;
    assert_eq!(database.schema_faults().await.expect("read"), Vec::<String>::new());
}

/// The description in `schema/postgres.txt` is what this release's migrations create. After a new migration, write what
/// the failure of this test shows into it.
#[tokio::test]
async fn the_description_of_postgresql_is_of_this_release() {
    let database = postgres_with("").await;
    let tables =
        "SELECT string_agg(relname, ',') FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let rows = Sql::new(Label::CATALOG, tables).all(&database.readers()).await.expect("read");
    let tables: String = rows[0].try_get_by_index(0).expect("names");
    let rows = Sql::new(Label::CATALOG, POSTGRES_QUERY.replace("{tables}", &tables))
        .all(&database.readers())
        .await
        .expect("read");
    let made: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).expect("a line")).collect();
    let made: String = made.iter().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("ACCESS_TOKENS_WRITE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/schema/postgres.txt");
        std::fs::write(path, &made).expect("written");
    }
    assert!(made == POSTGRES, "run with ACCESS_TOKENS_WRITE_SCHEMA=1 to write schema/postgres.txt anew");
}

#[tokio::test]
async fn foreign_objects_and_missing_ones_are_found_in_sqlite() {
    for (changes, expected) in [
        (
            "CREATE TRIGGER t AFTER INSERT ON user_credential BEGIN UPDATE user_credential SET permissions = 'admin'; END",
            "trigger t is not of this service",
        ),
        ("CREATE VIEW v AS SELECT * FROM access_token", "view v is not of this service"),
        ("ALTER TABLE unit RENAME TO old; CREATE VIEW unit AS SELECT * FROM old", "table unit is missing"),
        ("ALTER TABLE unit DROP COLUMN description", "table unit is not as it is made"),
        ("ALTER TABLE unit ADD COLUMN note TEXT", "table unit is not as it is made"),
        ("DROP INDEX access_token_free_idx", "index access_token_free_idx is missing"),
        ("CREATE UNIQUE INDEX one ON unit (name)", "index one is not of this service"),
        ("CREATE TABLE notes (x)", "table notes is not of this service"),
        (
            "ALTER TABLE api_key RENAME TO old; CREATE TABLE api_key AS SELECT * FROM old; DROP TABLE old",
            "table api_key is not as it is made",
        ),
        (
            "DROP INDEX access_token_free_idx; CREATE INDEX access_token_free_idx ON access_token (id)",
            "index access_token_free_idx is not as it is made",
        ),
    ] {
        let (_folder, database) = sqlite_with(changes).await;
        let faults = database.schema_faults().await.expect("read");
        assert!(faults.iter().any(|fault| fault == expected), "{changes}: {faults:?}");
        let refused = database.check_schema().await.expect_err(changes).to_string();
        assert!(refused.contains(expected), "{refused}");
        database.migrate().await.expect_err("a start");
        database.close().await;
    }
}

#[tokio::test]
async fn foreign_objects_and_missing_ones_are_found_in_postgresql() {
    for (changes, expected) in [
        (
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.permissions := ''admin''; RETURN NEW; END'; \
             CREATE TRIGGER t BEFORE INSERT ON user_credential FOR EACH ROW EXECUTE FUNCTION f()",
            "trigger user_credential.t",
        ),
        ("CREATE RULE r AS ON DELETE TO released_session DO INSTEAD NOTHING", "rule released_session.r"),
        ("ALTER TABLE unit RENAME TO old; CREATE VIEW unit AS SELECT * FROM old", "table unit"),
        (
            "ALTER TABLE access_token DROP CONSTRAINT access_token_identifier_key",
            "constraint access_token.access_token_identifier_key",
        ),
        ("ALTER TABLE access_token DROP CONSTRAINT access_token_life_cycle_state_check", "CHECK"),
        ("ALTER TABLE unit DROP COLUMN description", "column unit.description"),
        ("ALTER TABLE unit ADD COLUMN note text NOT NULL", "column unit.note"),
        ("ALTER TABLE unit ALTER COLUMN name TYPE varchar(10)", "column unit.name"),
        ("CREATE UNIQUE INDEX one ON unit (name)", "index unit.one"),
        ("ALTER TABLE api_key ENABLE ROW LEVEL SECURITY", "table api_key"),
        ("ALTER TABLE access_token SET UNLOGGED", "table access_token"),
        ("CREATE TABLE more () INHERITS (user_credential)", "child user_credential.more"),
        ("CREATE TABLE seaql_copy () INHERITS (seaql_migrations)", "child seaql_migrations.seaql_copy"),
    ] {
        let database = postgres_with(changes).await;
        let refused = database.check_schema().await.expect_err(changes).to_string();
        assert!(refused.contains(expected), "{changes}: {refused}");
        database.migrate().await.expect_err("a start");
        database.close().await;
    }
}

#[tokio::test]
async fn what_a_newer_release_adds_is_accepted() {
    let step = "INSERT INTO seaql_migrations VALUES ('m9999_newer', 1)";
    let additions = "ALTER TABLE unit ADD COLUMN note TEXT; ALTER TABLE unit ADD COLUMN size INTEGER NOT NULL DEFAULT 0; \
                     CREATE INDEX unit_note_idx ON unit (note); CREATE TABLE audit (x INTEGER);";
    let (_folder, database) = sqlite_with(&format!("{additions}{step}")).await;
    assert_eq!(database.schema_faults().await.expect("read"), Vec::<String>::new());
    database.migrate().await.expect("the old version is started again beside it");
    for harmful in ["CREATE TRIGGER t AFTER INSERT ON unit BEGIN SELECT 1; END", "CREATE UNIQUE INDEX u ON unit (name)"]
    {
        let (_folder, database) = sqlite_with(&format!("{additions}{step};{harmful}")).await;
        assert_eq!(database.schema_faults().await.expect("read").len(), 1, "{harmful}");
    }
    // An index of an operator and columns of a newer release.
    let database = postgres_with(additions).await;
    assert_eq!(database.schema_faults().await.expect("read"), Vec::<String>::new());
}

#[tokio::test]
async fn an_older_schema_is_compared_with_the_steps_that_made_it() {
    let made = made_by(1).await.expect("made");
    assert!(made.len() < made_by(Migrator::migrations().len()).await.expect("made").len());
    let folder = tempfile::tempdir().expect("a folder");
    let options = DatabaseOptions::new(format!("sqlite://{}/test.db", folder.path().display()));
    let connection = crate::sqlite::connect_writer(&options).await.expect("connects");
    Migrator::up(&connection, Some(1)).await.expect("migrates");
    connection.close().await.expect("closes");
    let database = connect(&options).await.expect("connects");
    assert_eq!(database.schema_faults().await.expect("read"), Vec::<String>::new());
    database.migrate().await.expect("migrates");
    assert_eq!(database.schema_faults().await.expect("read"), Vec::<String>::new());
}

#[test]
fn a_table_is_taken_apart_at_its_commas() {
    let (head, items, tail) =
        parts("CREATE TABLE t (a TEXT CHECK (a IN ('x', 'y')), b, PRIMARY KEY (a, b)) STRICT").expect("a table");
    assert_eq!((head, tail), ("CREATE TABLE t", "STRICT"));
    assert_eq!(items, ["a TEXT CHECK (a IN ('x', 'y'))", "b", "PRIMARY KEY (a, b)"]);
    assert!(parts("CREATE TABLE t").is_none());
}
