mod rules;

use sea_orm_migration::sea_orm::{Statement, TransactionTrait};

use super::*;
use crate::options::DatabaseOptions;
use crate::{postgres, sqlite};

/// Start of an insert as the first version writes it: it names its columns.
const FIRST: &str = "INSERT INTO access_token (organisation_key, id, number, life_cycle_state, authentication_code, \
                     created_date, updated_date) VALUES (1, ";

async fn a_database_of_the_first_version_is_brought_up_to_date(connection: &DatabaseConnection) {
    Migrator::up(connection, Some(1)).await.expect("migrates");
    assert_eq!(pending(connection).await.expect("knows"), ["m0002_credential_ledger", "m0003_accounts"]);
    write(connection, "'T1', 'N1', 'EFFECTIVE', 'C1', 10, 20").await;
    for _ in 0..2 {
        match connection.get_database_backend() {
            DbBackend::Sqlite => migrate_sqlite(connection).await.expect("migrates"),
            _ => migrate_postgres(connection, Duration::from_secs(9)).await.expect("migrates"),
        }
        assert!(pending(connection).await.expect("knows").is_empty());
    }
    // The first version keeps working while this one uses the same database.
    write(connection, "'T2', 'N2', 'NOT_EFFECTIVE', 'C2', 30, 40").await;
    connection.execute_unprepared("UPDATE access_token SET updated_date = 50 WHERE id = 'T1'").await.expect("updates");
    let rows = rows(connection, "SELECT id, updated_date FROM access_token WHERE life_cycle_state_date IS NULL").await;
    assert_eq!(rows, [("T1".to_owned(), 50), ("T2".to_owned(), 40)]);

    let refused = "INSERT INTO credential_attempt (organisation_key, subject, kind) VALUES (1, 'T1', 'PASS_CODE')";
    connection.execute_unprepared(refused).await.expect("inserts");
    assert_eq!(self::rows(connection, "SELECT recent, revision FROM credential_attempt").await, [("[]".to_owned(), 0)]);
    assert!(self::rows(connection, "SELECT subject, revision FROM code_issue").await.is_empty());
}

async fn write(connection: &DatabaseConnection, values: &str) {
    connection.execute_unprepared(&format!("{FIRST}{values})")).await.expect("inserts");
}

async fn rows(connection: &DatabaseConnection, sql: &str) -> Vec<(String, i64)> {
    let statement = Statement::from_string(connection.get_database_backend(), format!("{sql} ORDER BY 1"));
    let rows = connection.query_all_raw(statement).await.expect("reads");
    rows.iter().map(|row| row.try_get_many_by_index().expect("a text and a number")).collect()
}

#[tokio::test]
async fn sqlite_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = DatabaseOptions::new(format!("sqlite://{}/test.db", folder.path().display()));
    let connection = sqlite::connect_writer(&options).await.expect("connects");
    a_database_of_the_first_version_is_brought_up_to_date(&connection).await;
}

#[tokio::test]
async fn postgres_of_the_first_version_is_brought_up_to_date() {
    let options = DatabaseOptions::new(access_tokens_testkit::postgres::create_database());
    let connection = postgres::connect_to_first(&options, postgres::Purpose::Migrate).await.expect("connects");
    a_database_of_the_first_version_is_brought_up_to_date(&connection).await;
}

/// Statements that arrive while the change waits for a table lock would wait behind it.
#[tokio::test]
async fn a_change_of_a_table_does_not_wait_for_long() {
    let options = DatabaseOptions::new(access_tokens_testkit::postgres::create_database());
    let connection = postgres::connect_to_first(&options, postgres::Purpose::Migrate).await.expect("connects");
    Migrator::up(&connection, Some(1)).await.expect("migrates");
    let backup = postgres::connect_to_first(&options, postgres::Purpose::Migrate).await.expect("connects");
    let backup = backup.begin().await.expect("begins");
    backup.execute_unprepared("SELECT count(*) FROM access_token").await.expect("reads");
    migrate_postgres(&connection, Duration::from_secs(9)).await.expect_err("in the way");
    backup.rollback().await.expect("ends");
    connection.execute_unprepared("SELECT pg_advisory_unlock_all()").await.expect("unlocks");
    migrate_postgres(&connection, Duration::from_secs(9)).await.expect("migrates");
}
