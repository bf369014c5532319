//! Where a scenario plays: the real service, as processes, on a database of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::postgres::{Cluster, ROLE};
use access_tokens_testkit::proxy::FaultProxy;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::block_in_place;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::lying_proxy::LyingProxy;

pub(crate) const ORGANISATION: &str = "DEMO";
pub(crate) const USER: &str = "chaos";
pub(crate) const PASSWORD: &str = "correct horse";

/// Every permission.
const ALL_PERMISSIONS: &str =
    "access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets,directory.write,admin";

/// How long the service may take to become ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// A session lasts two hours.
const SESSION_REUSE_TIME: Duration = Duration::from_secs(3_600);

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// SQLite: one process.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Kind {
    /// For the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// How a stage is set.
#[derive(Default)]
pub(crate) struct Setup {
    /// The binary of the service.
    pub(crate) binary: String,
    /// A PostgreSQL cluster; without one it is SQLite.
    pub(crate) cluster: Option<Cluster>,
    /// Puts a proxy between the service and PostgreSQL.
    pub(crate) proxy: bool,
    /// Where the service finds PostgreSQL, in place of the cluster itself.
    pub(crate) front: Option<SocketAddr>,
    /// Processes of the service; at least one.
    pub(crate) replicas: usize,
    /// Environment variables of the service.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Puts a [`LyingProxy`] between clients and service.
    pub(crate) lying_proxy: bool,
    /// Where the service works, in place of a directory of its own.
    pub(crate) directory: Option<PathBuf>,
    /// Where the file of SQLite is, in place of that directory.
    pub(crate) files: Option<PathBuf>,
}

struct Replica {
    installation: Installation,
    server: Option<Server>,
}

/// The service and its database.
pub(crate) struct Environment {
    replicas: Vec<Replica>,
    cluster: Option<Cluster>,
    proxy: Option<FaultProxy>,
    database: String,
    session: Mutex<Option<(Instant, String)>>,
    key: Option<String>,
    lying_proxy: Option<LyingProxy>,
    files: PathBuf,
    directory: TempDir,
}

impl Environment {
    /// Starts the service and gives it a user, an organisation with generous limits, and a policy with verification.
    pub(crate) async fn set_up(setup: Setup) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("access-tokens-chaos-").tempdir()?;
        let work = setup.directory.unwrap_or_else(|| directory.path().to_owned());
        let files = setup.files.unwrap_or_else(|| work.clone());
        let mut url = match &setup.cluster {
            None => format!("sqlite://{}", files.join("access-tokens.db").display()),
            Some(cluster) => block_in_place(|| cluster.create_database())?,
        };
        if let (Some(cluster), Some(front)) = (&setup.cluster, setup.front) {
            url = url.replace(&format!("127.0.0.1:{}", cluster.port()), &front.to_string());
        }
        let database = url.rsplit('/').next().unwrap_or_default().to_owned();
        let proxy = match &setup.cluster {
            Some(cluster) if setup.proxy => Some(FaultProxy::start(([127, 0, 0, 1], cluster.port()).into()).await?),
            _ => None,
        };
        if let Some(proxy) = &proxy {
            url = proxy.through(&url);
        }
        let mut installation = Installation::new(&setup.binary, &work, &url)
            .with("ACCESS_TOKENS__LOG__LEVEL", "warn")
            .with("ACCESS_TOKENS__GRPC__CONNECTION_AGE_SECONDS", "604800");
        for (name, value) in &setup.variables {
            installation = installation.with(name, value);
        }
        if setup.cluster.is_some() {
            let made = block_in_place(|| installation.run(&["keys", "init"]));
            ensure!(made.status.success(), "no keys: {}", String::from_utf8_lossy(&made.stderr));
        }
        let mut replicas = vec![Replica { installation: installation.clone(), server: None }];
        replicas.extend((1..setup.replicas).map(|_| Replica { installation: installation.replica(), server: None }));
        let lying_proxy =
            if setup.lying_proxy { Some(LyingProxy::before(installation.address()).await?) } else { None };
        let (session, cluster) = (Mutex::default(), setup.cluster);
        let mut environment =
            Self { replicas, cluster, proxy, database, session, key: None, lying_proxy, files, directory };
        for replica in 0..environment.replicas.len() {
            environment.start(replica).await?;
        }
        environment.seed_data().await?;
        Ok(environment)
    }

    async fn seed_data(&self) -> Result<()> {
        // Codes at will, and long enough that the guess budget allows so many attempts.
        let policy = |verified: bool| {
            json!({
                "verification_required": verified, "verification_code_length": 10, "otp_length": 8,
                "otp_lifetime_seconds": 600, "pass_code": {"min_length": 8},
                "issue": {"burst": 1000, "cooldown_seconds": 0, "per_day": 10000},
                "lock": {"attempts": 100, "hard_limit": 1000, "attempts_per_day": 200},
            })
        };
        let records = [
            json!({"organisation": {"definition": policy(false)}}),
            json!({"classification": {"id": "verified", "name": "verified", "policy": policy(true)}}),
            json!({"user": {"id": USER, "username": USER, "password": PASSWORD, "permissions": [
                "access_tokens.read", "access_tokens.write", "access_tokens.lookup", "access_tokens.secrets",
                "directory.write", "admin",
            ]}}),
        ];
        let text = records.map(|record| record.to_string()).join("\n");
        let path = self.directory.path().join("fixtures.ndjson");
        std::fs::write(&path, text)?;
        let arguments =
            ["import", "--create-organisation", "--organisation", ORGANISATION, &path.display().to_string()];
        let imported = block_in_place(|| self.replicas[0].installation.run(&arguments));
        ensure!(imported.status.success(), "import: {}", String::from_utf8_lossy(&imported.stderr));
        Ok(())
    }

    /// Starts one of the processes. Answers after which time it was ready.
    pub(crate) async fn start(&mut self, replica: usize) -> Result<Duration> {
        let replica = &mut self.replicas[replica];
        let started = Instant::now();
        let mut server = block_in_place(|| replica.installation.start(&["serve"]));
        while !serves(&server).await {
            ensure!(server.is_running(), "the service ended by itself: {}", tail(&replica.installation.log()));
            ensure!(
                started.elapsed() < START_TIMEOUT,
                "the service is not ready: {}",
                tail(&replica.installation.log())
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        replica.server = Some(server);
        Ok(started.elapsed())
    }

    /// Starts one of the processes and kills it before it can be ready.
    pub(crate) async fn start_and_kill(&self, replica: usize, after: Duration) {
        let server = block_in_place(|| self.replicas[replica].installation.start(&["serve"]));
        tokio::time::sleep(after).await;
        block_in_place(|| server.kill());
    }

    /// Kills one of the processes as `kill -9` does.
    pub(crate) fn kill(&mut self, replica: usize) {
        if let Some(server) = self.replicas[replica].server.take() {
            block_in_place(|| server.kill());
        }
    }

    /// Asks one of the processes to stop. Answers its exit code and the time it took.
    pub(crate) fn terminate(&mut self, replica: usize) -> Result<(Option<i32>, Duration)> {
        let server = self.replicas[replica].server.take().context("it does not run")?;
        Ok(block_in_place(|| server.terminate()))
    }

    /// Sends a signal to one of the processes.
    pub(crate) fn signal(&self, replica: usize, name: &str) {
        if let Some(server) = &self.replicas[replica].server {
            block_in_place(|| server.signal(name));
        }
    }

    /// How many processes there are.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// One of the processes, that runs.
    pub(crate) fn server(&self, replica: usize) -> Result<&Server> {
        self.replicas[replica].server.as_ref().context("it does not run")
    }

    /// The cluster underneath.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// From now on another cluster, which has the same data, is the one underneath. Answers the one before.
    pub(crate) fn replace_cluster(&mut self, cluster: Cluster) -> Option<Cluster> {
        self.cluster.replace(cluster)
    }

    /// The network between the service and PostgreSQL.
    pub(crate) fn proxy(&self) -> Result<&FaultProxy> {
        self.proxy.as_ref().context("no proxy was asked for")
    }

    /// Where the ledger may be: no fault touches it.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The file of SQLite.
    pub(crate) fn file(&self) -> PathBuf {
        self.files.join("access-tokens.db")
    }

    /// Runs SQL in the database of the service, as its superuser.
    pub(crate) fn psql(&self, sql: &str) -> Result<String> {
        let cluster = self.cluster.as_ref().context("it is SQLite")?;
        block_in_place(|| cluster.psql(&self.database, sql))
    }

    /// Waits until no process that was killed has a session of PostgreSQL any more: what it began comes to its end.
    pub(crate) async fn wait_for_sessions_to_end(&self) -> Result<()> {
        if self.cluster.is_none() {
            return Ok(());
        }
        let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE usename = '{ROLE}'");
        for _ in 0..1_000 {
            if self.psql(&sql)? == "0" {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        bail!("sessions of a process that was killed do not end")
    }

    async fn session(&self) -> Result<String> {
        let lock = || self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, token)) = &*lock()
            && since.elapsed() < SESSION_REUSE_TIME
        {
            return Ok(token.clone());
        }
        let login = self.server(0)?.client().login(ORGANISATION, USER, PASSWORD, None).await;
        let token = login.map_err(|refusal| anyhow::anyhow!("no session: {}", refusal.text()))?;
        *lock() = Some((Instant::now(), token.clone()));
        Ok(token)
    }

    /// From now on callers have an API key, which does not expire.
    pub(crate) fn use_api_key(&mut self) -> Result<()> {
        self.key = Some(self.api_key("chaos-key", ALL_PERMISSIONS)?);
        Ok(())
    }

    /// A new API key of this name with these permissions.
    pub(crate) fn api_key(&self, name: &str, permissions: &str) -> Result<String> {
        let arguments =
            ["api-key", "add", "--organisation", ORGANISATION, "--name", name, "--permissions", permissions];
        let added = block_in_place(|| self.replicas[0].installation.run(&arguments));
        ensure!(added.status.success(), "no API key: {}", String::from_utf8_lossy(&added.stderr));
        let said = String::from_utf8_lossy(&added.stdout).into_owned();
        said.split_whitespace().next_back().map(str::to_owned).context("no API key is printed")
    }

    /// The API key of callers, once they have one.
    pub(crate) fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    async fn client_for(&self, address: SocketAddr) -> Result<Client> {
        let client = Client::connect(address);
        Ok(match &self.key {
            Some(key) => client.with_api_key(key),
            None => client.with_session(&self.session().await?),
        })
    }

    /// A caller with a connection of its own, whom nobody lies to.
    pub(crate) async fn direct_client(&self, replica: usize) -> Result<Client> {
        let client = self.client_for(self.replicas[replica].installation.address()).await?;
        Ok(client.with_deadline(Duration::from_secs(10)))
    }

    /// Where callers find one of the processes: it, or whatever stands before it.
    pub(crate) fn entry_address(&self, replica: usize) -> SocketAddr {
        match &self.lying_proxy {
            Some(lying_proxy) => lying_proxy.address(),
            None => self.replicas[replica].installation.address(),
        }
    }

    /// A caller with a connection of its own.
    pub(crate) async fn client(&self, replica: usize) -> Result<Client> {
        self.client_at(self.entry_address(replica)).await
    }

    /// A caller with a connection of its own to somebody who passes calls on.
    pub(crate) async fn client_at(&self, address: SocketAddr) -> Result<Client> {
        Ok(self.client_for(address).await?.with_deadline(Duration::from_secs(5)))
    }

    /// What the processes have said of themselves that nobody wants to read.
    pub(crate) fn panics(&self) -> Vec<String> {
        let logs = self.replicas.iter().map(|replica| replica.installation.log());
        logs.flat_map(|log| log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

async fn serves(server: &Server) -> bool {
    let ask = async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address())).ok()?;
        let channel = endpoint.timeout(Duration::from_secs(1)).connect().await.ok()?;
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await.ok()?;
        Some(answer.into_inner().status() == ServingStatus::Serving)
    };
    ask.await.unwrap_or(false)
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
