//! Several hosts, a change of the primary, and servers that cannot be written.

use std::time::{Duration, Instant};

use access_tokens_domain::session::OrganisationKey;
use access_tokens_domain::store::{Store, StoreError, Transaction as _};
use access_tokens_storage::{Database, DatabaseOptions, Outage, OutageKind, SetupError, connect, connect_read_only};
use access_tokens_testkit::postgres::Cluster;
use access_tokens_testkit::switchable_proxy::SwitchableProxy;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use tokio::net::TcpListener;
use tokio::task::block_in_place;
use tokio::time::timeout;

use crate::common::{execute, organisation, postgres_options, token};

/// Maximum time until a loss or a change of role is known.
const NOTICE_TIME: Duration = Duration::from_secs(1);
/// Maximum time after a promotion until calls succeed.
const RETURN_TIME: Duration = Duration::from_secs(1);

/// A primary with a standby, and the URL of a database.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    url: String,
}

impl Pair {
    fn start() -> Self {
        block_in_place(|| {
            let primary = Cluster::start().expect("a primary");
            let url = primary.create_database().expect("a database");
            let standby = primary.standby().expect("a standby");
            Self { primary, standby, url }
        })
    }

    /// Returns the URL with these hosts.
    fn on(&self, hosts: &[String]) -> DatabaseOptions {
        DatabaseOptions::new(self.url.replace(&host(&self.primary), &hosts.join(",")))
    }

    /// Restarts the primary as a standby, which follows no server.
    fn demote(&self) {
        block_in_place(|| {
            std::fs::write(self.primary.folder().join("data/standby.signal"), "").expect("written");
            self.primary.restart().expect("restarted");
        });
    }
}

fn host(cluster: &Cluster) -> String {
    format!("127.0.0.1:{}", cluster.port())
}

/// Opens a database, and an organisation in it.
async fn open(options: &DatabaseOptions) -> (Database, OrganisationKey) {
    let database = connect(options).await.expect("connects");
    database.migrate().await.expect("migrates");
    let organisation = organisation(&database, "DEMO").await;
    (database, organisation)
}

/// Returns the process ids of the sessions of the service.
async fn sessions(url: &str) -> Vec<i32> {
    let connection = sea_orm::Database::connect(url).await.expect("connects past the store");
    let sql = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'access-tokens%' AND datname = current_database()";
    let rows = connection.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.expect("sessions");
    connection.close().await.expect("closes");
    rows.iter().map(|row| row.try_get("", "pid").expect("a number")).collect()
}

async fn outage_of(database: &Database) -> Outage {
    let mut health = database.watch_health();
    timeout(NOTICE_TIME, health.wait_for(|up| !up)).await.expect("noticed").expect("watched");
    database.outage().expect("it is down")
}

async fn return_of(database: &Database) {
    let mut health = database.watch_health();
    timeout(RETURN_TIME, health.wait_for(|up| *up)).await.expect("back").expect("watched");
    assert_eq!(database.outage(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_several_hosts_the_primary_is_used() {
    let pair = Pair::start();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().expect("an address").to_string();
    let (primary, standby, nothing) = (host(&pair.primary), host(&pair.standby), "127.0.0.1:1".to_owned());
    let (database, organisation) = open(&pair.on(std::slice::from_ref(&primary))).await;
    for hosts in [
        [primary.clone(), standby.clone(), nothing.clone()],
        [standby.clone(), nothing.clone(), primary.clone()],
        [silent.clone(), standby.clone(), primary.clone()],
    ] {
        let started = Instant::now();
        let database = connect(&pair.on(&hosts)).await.expect("connects");
        assert!(started.elapsed() < Duration::from_secs(2), "{hosts:?}: {:?}", started.elapsed());
        database.insert_token(organisation, &token(&hosts.join(" "))).await.expect("written");
        database.close().await;
    }
    drop(database);

    let refused = connect(&pair.on(&[standby.clone(), nothing.clone(), silent.clone()])).await.map(drop);
    let Err(SetupError::NoPrimary { cause, .. }) = refused else { panic!("{refused:?}") };
    for part in [
        format!("{standby} is a standby (in recovery)"),
        format!("connection refused by {nothing}"),
        format!("no answer from {silent}"),
    ] {
        assert!(cause.contains(&part), "{cause}");
    }
    let refused = connect(&pair.on(&[nothing.clone(), "127.0.0.1:2".to_owned()])).await.map(drop);
    let Err(SetupError::Unreachable { cause, .. }) = refused else { panic!("{refused:?}") };
    assert!(cause.contains("127.0.0.1:1") && cause.contains("127.0.0.1:2"), "{cause}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_promotion_is_followed_to_the_other_host() {
    let pair = Pair::start();
    let (primary, standby) = (host(&pair.primary), host(&pair.standby));
    let (database, organisation) = open(&pair.on(&[primary.clone(), standby.clone()])).await;
    database.insert_token(organisation, &token("before")).await.expect("written");
    block_in_place(|| pair.standby.wait_for_replay(&pair.primary)).expect("replayed");

    block_in_place(|| pair.primary.kill()).expect("killed");
    let outage = outage_of(&database).await;
    assert_eq!(outage.kind, OutageKind::Standby, "{outage:?}");
    assert!(outage.cause.contains(&standby) && outage.cause.contains(&primary), "{}", outage.cause);
    let refused = database.insert_token(organisation, &token("refused")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");

    block_in_place(|| pair.standby.promote()).expect("promoted");
    return_of(&database).await;
    database.insert_token(organisation, &token("after")).await.expect("written");
    let mut transaction = database.begin().await.expect("begun");
    transaction.insert_token(organisation, &token("in a transaction")).await.expect("written");
    transaction.commit().await.expect("committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_that_becomes_a_standby_is_left_at_once() {
    let pair = Pair::start();
    let forwarder = SwitchableProxy::to(pair.primary.port()).await.expect("a forwarder");
    let (database, organisation) = open(&pair.on(&[forwarder.address().to_string()])).await;
    block_in_place(|| pair.standby.wait_for_replay(&pair.primary)).expect("replayed");

    pair.demote();
    block_in_place(|| pair.standby.promote()).expect("promoted");
    let outage = outage_of(&database).await;
    assert_eq!(outage.kind, OutageKind::Standby, "{outage:?}");
    let reason = format!("{} is a standby (in recovery)", forwarder.address());
    assert_eq!(outage.cause, reason);
    let refused = database.insert_token(organisation, &token("refused")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let ping = database.ping().await.expect_err("it is down");
    assert!(std::error::Error::source(&ping).is_some_and(|cause| cause.to_string().contains("standby")), "{ping:?}");

    forwarder.switch_to(pair.standby.port());
    return_of(&database).await;
    database.insert_token(organisation, &token("after")).await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_is_no_database_until_it_is_promoted() {
    let pair = Pair::start();
    drop(open(&pair.on(&[host(&pair.primary)])).await);
    block_in_place(|| pair.standby.wait_for_replay(&pair.primary)).expect("replayed");
    let options = pair.on(&[host(&pair.standby)]);
    let refused = connect(&options).await.map(drop);
    let Err(SetupError::NoPrimary { cause, cure }) = refused else { panic!("{refused:?}") };
    assert_eq!(cause, format!("{} is a standby (in recovery)", host(&pair.standby)));
    assert!(cure.contains("database.url"), "{cure}");
    // A process that only reads, such as doctor, says more about it.
    let inspected = connect_read_only(&options).await.expect("connects");
    let settings = inspected.settings().await.expect("settings");
    assert!(settings.iter().any(|setting| setting.name == "in_hot_standby" && setting.value == "on"), "{settings:?}");

    block_in_place(|| pair.standby.promote()).expect("promoted");
    let database = connect(&options).await.expect("connects");
    assert!(database.pending_migrations().await.expect("the schema").is_empty());
}

/// A host that is in the list by mistake must not take the writes of a lost primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_primary_of_another_cluster_is_not_used() {
    let (own, foreign) = block_in_place(|| (Cluster::start().expect("a cluster"), Cluster::start().expect("another")));
    let url = block_in_place(|| own.create_database()).expect("a database");
    let foreign_url = block_in_place(|| foreign.create_database()).expect("a database");
    assert_eq!(foreign_url, url.replace(&host(&own), &host(&foreign)), "the same name and role");
    let name = url.rsplit('/').next().expect("a name");
    let options = DatabaseOptions::new(url.replace(&host(&own), &format!("{},{}", host(&own), host(&foreign))));
    let (database, organisation) = open(&options).await;
    drop(open(&DatabaseOptions::new(foreign_url)).await);

    block_in_place(|| own.kill()).expect("killed");
    let outage = outage_of(&database).await;
    assert_eq!(outage.kind, OutageKind::Foreign, "{outage:?}");
    assert!(outage.cause.contains(&host(&foreign)), "{}", outage.cause);
    let refused = database.insert_token(organisation, &token("refused")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");

    block_in_place(|| own.restart()).expect("restarted");
    return_of(&database).await;
    database.insert_token(organisation, &token("after")).await.expect("written");
    assert_eq!(
        block_in_place(|| foreign.psql(name, "SELECT count(*) FROM access_token")).expect("a count").trim(),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_refuses_writes_is_left_until_it_accepts_them() {
    let cluster = block_in_place(|| Cluster::start().expect("a cluster"));
    let options = DatabaseOptions::new(block_in_place(|| cluster.create_database()).expect("a database"));
    let (database, organisation) = open(&options).await;
    let set = |value: &str| {
        block_in_place(|| {
            cluster.psql("postgres", &format!("ALTER SYSTEM SET default_transaction_read_only = {value}"))?;
            cluster.psql("postgres", "SELECT pg_reload_conf()")
        })
        .expect("set");
    };
    set("on");
    let outage = outage_of(&database).await;
    assert_eq!(outage.kind, OutageKind::ReadOnly, "{outage:?}");
    assert!(outage.cause.contains("default_transaction_read_only"), "{}", outage.cause);
    let refused = connect(&options).await.map(drop);
    assert!(matches!(refused, Err(SetupError::NoPrimary { .. })), "{refused:?}");
    set("off");
    return_of(&database).await;
    database.insert_token(organisation, &token("after")).await.expect("written");
}

/// A forwarder may keep some connections on a server that refuses writes, while others lead to the new primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_on_which_a_write_is_refused_are_not_used_again() {
    let options = postgres_options().await;
    let (database, organisation) = open(&options).await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                  $$ BEGIN RAISE 'read-only' USING ERRCODE = '25006'; END $$";
    execute(&options.url, refuse).await;
    execute(&options.url, "CREATE TRIGGER refuse BEFORE INSERT ON access_token EXECUTE FUNCTION refuse()").await;
    for in_transaction in [false, true] {
        let before = sessions(&options.url).await;
        let refused = if in_transaction {
            let mut transaction = database.begin().await.expect("begun");
            transaction.insert_token(organisation, &token("refused")).await
        } else {
            database.insert_token(organisation, &token("refused")).await
        };
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        let started = Instant::now();
        while sessions(&options.url).await.iter().any(|session| before.contains(session)) {
            assert!(started.elapsed() < NOTICE_TIME, "in a transaction: {in_transaction}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(database.outage(), None);
        // Pools are replaced once a second at most.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    execute(&options.url, "DROP TRIGGER refuse ON access_token").await;
    database.insert_token(organisation, &token("accepted")).await.expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_second_primary_with_a_later_history_replaces_the_first_one() {
    let pair = Pair::start();
    let (database, organisation) = open(&pair.on(&[host(&pair.primary), host(&pair.standby)])).await;
    block_in_place(|| pair.standby.wait_for_replay(&pair.primary)).expect("replayed");
    // The old primary is not stopped, and accepts writes.
    block_in_place(|| pair.standby.promote()).expect("promoted");
    let name = pair.url.rsplit('/').next().expect("a database");
    let started = Instant::now();
    let mut number = 0;
    loop {
        number += 1;
        let id = format!("T{number}");
        let written = database.insert_token(organisation, &token(&id)).await;
        let sql = format!("SELECT count(*) FROM access_token WHERE id = '{id}'");
        if written.is_ok() && block_in_place(|| pair.standby.psql(name, &sql)).expect("a count") == "1" {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(8), "it stays on the old primary");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn attributes_of_a_session_that_contradict_the_use_are_refused() {
    let url = "postgres://u:hunter2@127.0.0.1:1,127.0.0.1:2/d?target_session_attrs=";
    let refused = connect(&DatabaseOptions::new(format!("{url}standby"))).await.map(drop);
    let Err(SetupError::Url(refusal)) = refused else { panic!("{refused:?}") };
    assert!(refusal.contains("database.url") && !refusal.contains("hunter2"), "{refusal}");
    let options = DatabaseOptions::new(format!("{url}primary"));
    options.check().expect("valid");
    options.check_replica(&format!("{url}standby")).expect("valid");
    let refusal = options.check_replica(&format!("{url}read-write")).expect_err("it is for the primary").to_string();
    assert!(refusal.contains("database.replica_urls") && !refusal.contains("hunter2"), "{refusal}");
    assert!(options.is_replicated() && !DatabaseOptions::new("postgres://h/d").is_replicated());
}
