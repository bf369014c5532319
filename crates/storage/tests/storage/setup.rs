//! Opening a database and its schema.

use std::time::Duration;

use access_tokens_domain::store::{AccountStore, StoreError};
use access_tokens_storage::{DatabaseOptions, SetupError, connect};

use crate::common::{TestDatabase, postgres, postgres_options, sqlite_options};

on_both!(a_migrated_database_answers);

async fn a_migrated_database_answers(test: TestDatabase) {
    test.database.ping().await.expect("answers");
    assert!(test.database.pending_migrations().await.expect("knows").is_empty());
    test.sql("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_from_the_future', 0)").await;
    assert!(test.database.pending_migrations().await.expect("knows").is_empty(), "an older version goes on serving");
    test.database.migrate().await.expect("and can be started again");
}

async fn three_processes_migrate(options: DatabaseOptions) {
    let mut databases = Vec::new();
    for _ in 0..3 {
        databases.push(connect(&options).await.expect("connects"));
    }
    let pending = databases[0].pending_migrations().await.expect("knows");
    assert_eq!(pending, ["m0001_initial", "m0002_credential_ledger", "m0003_accounts"]);
    assert!(databases[0].organisation_by_name("DEMO").await.is_err());
    let tasks: Vec<_> =
        databases.iter().cloned().map(|database| tokio::spawn(async move { database.migrate().await })).collect();
    for task in tasks {
        task.await.expect("no panic").expect("migrates");
    }
    for database in databases {
        assert!(database.pending_migrations().await.expect("knows").is_empty());
        database.migrate().await.expect("again, for nothing");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_processes_migrate_sqlite_at_once() {
    let (options, _folder) = sqlite_options();
    three_processes_migrate(options).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_processes_migrate_postgres_at_once() {
    three_processes_migrate(postgres_options().await).await;
}

#[tokio::test]
async fn bad_urls_are_refused_without_repeating_them() {
    for url in [
        "mysql://me:secret@host/db",
        "postgres://me:secret@ho st/db",
        "postgres://me:secret@host:port/db",
        "sqlite:",
        "sqlite::memory:",
        "sqlite://x.db?mode=memory",
        "sqlite://x.db?nonsense=1",
    ] {
        let refused = connect(&DatabaseOptions::new(url)).await.err().expect(url);
        assert!(matches!(refused, SetupError::Url(_)), "{url}: {refused}");
        assert!(!format!("{refused} {refused:?}").contains("secret"), "{refused:?}");
    }
    assert!(!format!("{:?}", DatabaseOptions::new("postgres://me:secret@host/db")).contains("secret"));
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_a_new_sqlite_file() {
    use std::os::unix::fs::PermissionsExt;
    let (options, folder) = sqlite_options();
    let database = connect(&options).await.expect("connects");
    database.migrate().await.expect("migrates");
    for file in std::fs::read_dir(folder.path()).expect("a folder").flatten() {
        let mode = file.metadata().expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn an_unreachable_postgres_is_said_so_soon() {
    let options = DatabaseOptions::new("postgres://me:secret@127.0.0.1:1/db");
    let refused = tokio::time::timeout(Duration::from_secs(5), connect(&options)).await.expect("soon");
    let refused = refused.err().expect("unreachable");
    assert!(matches!(refused, SetupError::Unreachable { .. }));
    assert!(!format!("{refused:?}").contains("secret"));
}

#[tokio::test]
async fn postgres_that_loses_commits_is_refused() {
    let options = postgres_options().await;
    connect(&options).await.expect("safe");
    let name = options.url.rsplit_once('/').expect("a name").1;
    crate::common::execute(&options.url, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).await;
    let refused = connect(&options).await.err().expect("unsafe");
    assert!(matches!(refused, SetupError::Unsafe { setting: "synchronous_commit", .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_postgres_that_goes_away_is_unavailable_and_comes_back() {
    let test = postgres().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'access-tokens%' \
                AND datname = current_database()";
    test.sql(kill).await;
    // The first user of a dead connection may get an error.
    match test.database.organisation_by_name("DEMO").await {
        Ok(found) => assert!(found.is_some()),
        Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}"),
    }
    let mut found = None;
    for _ in 0..10 {
        found = test.database.organisation_by_name("DEMO").await.ok().flatten();
        if found.is_some() {
            break;
        }
    }
    assert!(found.is_some());
}
