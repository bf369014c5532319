//! A PostgreSQL that encrypts.

use access_tokens_storage::{DatabaseOptions, connect as open};
use access_tokens_testkit::postgres::{self, Cluster};

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_must_prove_who_it_is() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    let good = put(directory.path(), "authority.pem", &authority.pem()).display().to_string();
    let other = put(directory.path(), "other.pem", &Authority::new().pem()).display().to_string();
    let pair = authority.server(&["localhost"]);
    let (cluster, address) = tokio::task::block_in_place(|| {
        let cluster = Cluster::start_encrypted(&pair.certificate, &pair.key).expect("a cluster");
        let url = cluster.create_database().expect("a database");
        (cluster, url)
    });
    let named = address.replace("127.0.0.1", "localhost");

    let url = format!("{named}?sslmode=verify-full&sslrootcert={good}");
    let database = open(&DatabaseOptions::new(&url)).await.expect("it proves who it is");
    database.migrate().await.expect("migrated");
    let sessions = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                    WHERE application_name LIKE 'access-tokens%'";
    let encrypted = tokio::task::block_in_place(|| cluster.psql("postgres", sessions)).expect("an answer");
    assert_eq!(encrypted.trim(), "t");

    for (url, what) in [
        (format!("{address}?sslmode=verify-full&sslrootcert={good}"), "not valid for name"),
        (format!("{named}?sslmode=verify-full&sslrootcert={other}"), "UnknownIssuer"),
        (format!("{named}?sslmode=verify-ca&sslrootcert={other}"), "UnknownIssuer"),
        (format!("{named}?sslmode=verify-full"), "UnknownIssuer"),
    ] {
        let refused = open(&DatabaseOptions::new(&url)).await.err().expect(what).to_string();
        assert!(refused.contains(what), "{url}: {refused}");
    }
    // A server with the right name and without a certificate must not be trusted.
    let plain = tokio::task::block_in_place(postgres::create_database).replace("127.0.0.1", "localhost");
    let refused = open(&DatabaseOptions::new(format!("{plain}?sslmode=verify-full&sslrootcert={good}"))).await;
    assert!(refused.err().expect("no TLS").to_string().contains("does not support TLS"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_on_a_database_that_encrypts() {
    let (directory, authority) = (TempDir::new().expect("a directory"), Authority::new());
    put(directory.path(), "authority.pem", &authority.pem());
    let pair = authority.server(&["localhost"]);
    let (_cluster, url) = tokio::task::block_in_place(|| {
        let cluster = Cluster::start_encrypted(&pair.certificate, &pair.key).expect("a cluster");
        let url = cluster.create_database().expect("a database").replace("127.0.0.1", "localhost");
        (cluster, url)
    });
    let url = format!("{url}?sslmode=verify-full&sslrootcert=authority.pem");
    let place = sqlite(&directory).with("ACCESS_TOKENS__DATABASE__URL", &url);
    assert!(place.run(&["keys", "init"]).status.success());
    let server = place.start(&["serve"]);
    place.wait_until_ready();
    add_user(&place);
    logged_in(&server.client()).await.ok("CreateAccessToken", json!({"fields_set": "id"})).await;
}
