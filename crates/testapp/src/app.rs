//! The application under test: the production stack over a real socket, with a clock that the test sets.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use access_tokens_auth::{Authenticator, NewApiKey, SessionTokens};
use access_tokens_domain::directory::Organisation;
use access_tokens_domain::import::{self, Existing, Outcome};
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::service::AccessTokens;
use access_tokens_domain::service::import::Importer;
use access_tokens_domain::session::{Caller, Permissions};
use access_tokens_domain::store::{AccountStore, ApiKey, KeyTerms};
use access_tokens_domain::time::{TimeZone, Timestamp};
use access_tokens_grpc::server::router;
use access_tokens_grpc::{App, Limits};
use access_tokens_grpc::{Health, Readiness};
use access_tokens_host::SystemRandom;
use access_tokens_secrets::{KeyRing, KeyedSecrets};
use access_tokens_storage::{Database, DatabaseOptions, connect};
use access_tokens_testkit::clock::ManualClock;
use access_tokens_testkit::postgres;
use access_tokens_testkit::proxy::FaultProxy;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::client::{Client, Refusal};

/// The user that [`TestApp`] calls as, with all permissions, a unit and a business unit.
const TESTER: &str = r#"
{"user": {"id": "tester", "username": "tester", "person_name": "Test user", "email": "tester@example.com", "permissions": ["access_tokens.read", "access_tokens.write", "access_tokens.lookup", "access_tokens.secrets", "directory.write", "admin"], "default_unit": {"id": "test-unit", "name": "Test unit", "business_unit": {"id": "test-bu", "name": "Test business unit"}}, "password": "correct horse"}}
"#;

/// The services, for the socket and for gateways in the same process.
pub(crate) struct Services {
    pub(crate) app: Arc<App<Database>>,
    pub(crate) health: Health,
}

/// A running server and a client with all permissions. Dereferences to that client.
pub struct TestApp {
    /// The time that the server sees.
    pub clock: Arc<ManualClock>,
    /// The database of the server.
    pub database: Arc<Database>,
    url: String,
    keys: String,
    secrets: Arc<dyn Secrets>,
    client: Client,
    pub(crate) address: SocketAddr,
    pub(crate) services: Services,
    _files: Option<Arc<TempDir>>,
}

impl Deref for TestApp {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestApp {
    /// Starts the application on a new SQLite file.
    pub async fn sqlite() -> Self {
        let files = Arc::new(TempDir::new().expect("a temporary directory"));
        let url = format!("sqlite://{}", files.path().join("test.db").display());
        Self::prepared(url, Some(files)).await
    }

    /// Starts the application on a new PostgreSQL database, as a role that owns nothing in it.
    pub async fn postgres() -> Self {
        Self::prepared(migrated_by_another_role().await, None).await
    }

    /// Starts another application on a new database of the same kind.
    pub async fn another(&self) -> Self {
        if self.url.starts_with("sqlite:") { Self::sqlite().await } else { Self::postgres().await }
    }

    /// Starts the application on a new PostgreSQL database behind a fault proxy.
    pub async fn postgres_through_proxy() -> (Self, FaultProxy) {
        let url = tokio::task::block_in_place(postgres::create_database);
        let upstream = SocketAddr::from(([127, 0, 0, 1], postgres::shared().port()));
        let proxy = FaultProxy::start(upstream).await.expect("a proxy");
        (Self::prepared(proxy.through(&url), None).await, proxy)
    }

    /// Returns the address of the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL of the database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Starts another server on the same database.
    pub async fn second_replica(&self) -> Self {
        self.replica_at(&self.url).await
    }

    /// Starts another server that reaches the same database under another URL.
    pub async fn replica_at(&self, url: &str) -> Self {
        let files = self._files.clone();
        let mut replica = Self::start(url.to_owned(), self.keys.clone(), self.clock.clone(), files).await;
        replica.client = replica.client.with_session(self.client.session());
        replica
    }

    async fn prepared(url: String, files: Option<Arc<TempDir>>) -> Self {
        let clock = Arc::new(ManualClock::default());
        let keys = KeyRing::generate(&SystemRandom).expect("randomness").to_string();
        let mut app = Self::start(url, keys, clock, files).await;
        app.import("DEMO", TESTER).await;
        let token = app.login("DEMO", "tester", "correct horse", None).await.expect("the tester logs in");
        app.client = app.client.with_session(&token);
        app
    }

    async fn start(url: String, keys: String, clock: Arc<ManualClock>, files: Option<Arc<TempDir>>) -> Self {
        let database = Arc::new(connect(&DatabaseOptions::new(&url)).await.expect("a database"));
        database.migrate().await.expect("migrated");
        let ring = KeyRing::parse(&keys).expect("a key ring");
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let secrets: Arc<dyn Secrets> = Arc::new(KeyedSecrets::new(&ring, random.clone()));
        let ports = || (database.clone(), clock.clone() as Arc<dyn Clock>, random.clone(), secrets.clone());
        let (store, time, chance, hashing) = ports();
        let tokens = SessionTokens::new(&ring);
        let sessions = Arc::new(Authenticator::new(store, time, chance, hashing, tokens));
        let (store, time, chance, hashing) = ports();
        let access_tokens = AccessTokens::new(store, time, chance, hashing);
        let (store, time, chance, hashing) = ports();
        let importer = Importer::new(store, time, chance, hashing);
        let (database_up, replicas) = (database.watch_health(), database.replicas());
        let app = Arc::new(App { access_tokens, importer, sessions, metrics: Arc::default(), database_up, replicas });

        let health = Health::new();
        health.set(Readiness::Ready);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = router(app.clone(), &health, Limits::default());
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let client = Client::connect(address);
        let services = Services { app, health };
        Self { clock, database, url, keys, secrets, client, address, services, _files: files }
    }

    /// Returns the client with a new session, for tests in which hours pass.
    pub async fn logged_in_again(&self) -> Client {
        let token = self.login("DEMO", "tester", "correct horse", None).await.expect("the tester logs in");
        self.client.with_session(&token)
    }

    /// Returns the keys of the server, for values that a test hashes or compares itself.
    pub fn secrets(&self) -> Arc<dyn Secrets> {
        Arc::clone(&self.secrets)
    }

    /// Returns a caller of DEMO with these permissions, for use cases that a test calls without a server.
    pub async fn direct_caller(&self, permissions: &str) -> Caller {
        let organisation = self.database.organisation_by_name("DEMO").await.expect("a store").expect("DEMO");
        let permissions = Permissions::parse(permissions).expect("permissions");
        Caller { organisation: organisation.key, user: None, unit: None, permissions }
    }

    /// Returns the time that the server sees.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the number of PostgreSQL sessions of this database that are idle in a transaction.
    pub fn sessions_idle_in_transaction(&self) -> u64 {
        let database = self.url.rsplit('/').next().unwrap_or_default();
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND state LIKE 'idle in transaction%'"
        );
        let count = tokio::task::block_in_place(|| postgres::shared().psql("postgres", &sql)).expect("psql");
        count.trim().parse().expect("a count")
    }

    /// Creates a user of an organisation with exactly these permissions, and logs in.
    pub async fn client(&self, organisation: &str, permissions: &str) -> Client {
        let user = format!("user with {permissions:?}");
        let names: Vec<_> = permissions.split(',').filter(|name| !name.is_empty()).collect();
        let record = json!({"user": {"username": user, "password": "correct horse", "permissions": names}});
        self.import(organisation, &record.to_string()).await;
        let token = self.login(organisation, &user, "correct horse", None).await.expect("logged in");
        self.client.with_session(&token)
    }

    /// Creates an API key of DEMO.
    pub async fn add_api_key(&self, label: &str, permissions: &str) -> String {
        let names: Vec<_> = permissions.split(',').collect();
        let record = json!({"user": {"username": label, "permissions": names}}).to_string();
        let results = self.import_results("DEMO", &record).await;
        let (_, user) = results[0].as_ref().expect("imported").clone();
        let organisation = self.database.organisation_by_name("DEMO").await.expect("a store").expect("DEMO");
        let made = NewApiKey::generate(&SystemRandom, self.secrets.as_ref()).expect("a key");
        let terms = KeyTerms::default();
        let key = ApiKey { id: made.id, organisation: organisation.key, user, hash: made.hash, terms };
        self.database.add_api_key(&key, self.now()).await.expect("kept");
        made.key.expose().to_owned()
    }

    /// Imports lines, none of which may be refused. Returns the numbers of created, updated and unchanged records.
    pub async fn import(&self, organisation: &str, lines: &str) -> (usize, usize, usize) {
        let results = self.import_results(organisation, lines).await;
        let count = |outcome: Outcome| {
            let same = |result: &Result<(Outcome, String), Refusal>| match result {
                Ok((found, _)) => *found == outcome,
                Err(refusal) => panic!("a record was refused: {}", refusal.text()),
            };
            results.iter().filter(|result| same(result)).count()
        };
        (count(Outcome::Created), count(Outcome::Updated), count(Outcome::Unchanged))
    }

    /// Imports lines as the command does, and returns the result of each record.
    pub async fn import_results(&self, organisation: &str, lines: &str) -> Vec<Result<(Outcome, String), Refusal>> {
        self.import_with(Permissions::all(), organisation, lines).await
    }

    /// Returns the import without a server.
    pub fn importer(&self) -> Importer<Database> {
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        Importer::new(self.database.clone(), self.clock.clone(), random, self.secrets.clone())
    }

    /// Imports lines as a caller with these permissions.
    pub async fn import_with(
        &self,
        permissions: Permissions,
        organisation: &str,
        lines: &str,
    ) -> Vec<Result<(Outcome, String), Refusal>> {
        self.import_in(TimeZone::UTC, permissions, organisation, lines).await
    }

    /// Imports lines as a caller with these permissions, with dates in a time zone.
    pub async fn import_in(
        &self,
        time_zone: TimeZone,
        permissions: Permissions,
        organisation: &str,
        lines: &str,
    ) -> Vec<Result<(Outcome, String), Refusal>> {
        let fresh = Organisation::new(format!("ID OF {organisation}"), organisation);
        let organisation = self.database.ensure_organisation(&fresh).await.expect("an organisation");
        let caller = Caller { organisation: organisation.key, user: None, unit: None, permissions };
        let importer = self.importer().with_time_zone(time_zone);
        let lines = lines.lines().filter(|line| !line.trim().is_empty());
        let records: Vec<_> = lines.flat_map(|line| import::parse(line).expect("a record")).collect();
        let mut results = Vec::new();
        for batch in records.chunks(100) {
            let imported = importer.import(&caller, Existing::Overwrite, batch.to_vec()).await.expect("a batch");
            results
                .extend(imported.into_iter().map(|record| record.result.map_err(|error| Refusal::from_domain(&error))));
        }
        results
    }
}

/// Returns the URL of a PostgreSQL database that one role has migrated, for another role that only serves.
async fn migrated_by_another_role() -> String {
    let url = tokio::task::block_in_place(postgres::create_database);
    let database = connect(&DatabaseOptions::new(&url)).await.expect("a database");
    database.migrate().await.expect("migrated");
    database.close().await;
    let served = tokio::task::block_in_place(|| postgres::shared().serve_as_other_role(&url));
    served.unwrap_or_else(|error| panic!("{error:#}"))
}
