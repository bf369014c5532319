//! A PostgreSQL role of the service without some grants: the cause is named, and each cure works.

use std::time::{Duration, Instant};

use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres;
use tempfile::TempDir;

use crate::processes::text;

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const MIGRATE: &str = "access-tokens migrate";
/// Maximum time until a line of the log is written.
const LOG_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the log of the installation contains these words.
async fn says(installation: &Installation, words: &str) {
    let started = Instant::now();
    while !installation.log().contains(words) {
        assert!(started.elapsed() < LOG_TIMEOUT, "{words}: {}", installation.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_grants_is_told_so_and_not_to_migrate() {
    let cluster = tokio::task::block_in_place(postgres::shared);
    for lost in ["ALL TABLES IN SCHEMA public", "TABLE seaql_migrations"] {
        let url = tokio::task::block_in_place(postgres::create_database);
        let directory = TempDir::new().expect("a directory");
        let owner = Installation::new(BINARY, directory.path(), &url);
        for command in [&["keys", "init"][..], &["migrate"]] {
            let done = owner.run(command);
            assert!(done.status.success(), "{}", text(&done));
        }
        let service = cluster.serve_as_other_role(&url).expect("granted");
        let database = url.rsplit('/').next().expect("a database");
        cluster.psql(database, &format!("REVOKE ALL ON {lost} FROM {}", postgres::SERVICE)).expect("revoked");
        let installation = Installation::new(BINARY, directory.path(), &service)
            .with("ACCESS_TOKENS__DATABASE__MIGRATE_AT_START", "false");
        let cause = format!("the role {} may not read the tables", postgres::SERVICE);

        let refused = installation.run(&["organisation", "add", "ACME"]);
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&cause) && !said.contains(MIGRATE), "{said}");

        let said = text(&installation.run(&["doctor"]));
        assert!(said.contains("SELECT on seaql_migrations") && !said.contains(MIGRATE), "{said}");

        let _server = installation.start(&["serve"]);
        says(&installation, &cause).await;
        assert!(!installation.log().contains(MIGRATE), "{}", installation.log());
        assert!(!installation.run(&["healthcheck"]).status.success(), "it is ready without its tables");

        // The grants are the cure, without a restart.
        cluster.serve_as_other_role(&url).expect("granted");
        installation.wait_until_ready();
    }
}

#[test]
fn a_schema_that_is_not_current_is_to_be_migrated() {
    let (directory, url) = (TempDir::new().expect("a directory"), postgres::create_database());
    let installation =
        Installation::new(BINARY, directory.path(), &url).with("ACCESS_TOKENS__DATABASE__MIGRATE_AT_START", "false");
    assert!(installation.run(&["keys", "init"]).status.success());
    let said = text(&installation.run(&["organisation", "add", "ACME"]));
    assert!(said.contains(MIGRATE) && !said.contains("may not read"), "{said}");
}
