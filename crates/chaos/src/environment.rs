//! The environment of a scenario: processes of the real service on a database of their own.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::postgres::ROLE;
use access_tokens_testkit::proxy::FaultProxy;
use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tokio::task::block_in_place;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

pub(crate) use access_tokens_testapp::environment::{Kind, Options};

use crate::lying_proxy::LyingProxy;

pub(crate) const ORGANISATION: &str = "DEMO";
pub(crate) const USER: &str = "chaos";
pub(crate) const PASSWORD: &str = "correct horse";

/// All permissions.
const ALL_PERMISSIONS: &str =
    "access_tokens.read,access_tokens.write,access_tokens.lookup,access_tokens.secrets,directory.write,admin";

/// Maximum time until a process is ready.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Time for which a session is used. Sessions expire after two hours.
const SESSION_REUSE_TIME: Duration = Duration::from_secs(3_600);

/// Options of an environment.
#[derive(Default)]
pub(crate) struct Setup {
    /// Binary, database and directories.
    pub(crate) base: Options,
    /// Puts a fault proxy between the service and PostgreSQL.
    pub(crate) fault_proxy: bool,
    /// Number of processes of the service besides the first one.
    pub(crate) more_replicas: usize,
    /// Puts a [`LyingProxy`] between the clients and the service.
    pub(crate) lying_proxy: bool,
}

struct Replica {
    installation: Installation,
    server: Option<Server>,
}

/// Running processes of the service, with their database.
pub(crate) struct Environment {
    // Fields are dropped in this order: processes end before their database.
    replicas: Vec<Replica>,
    proxy: Option<FaultProxy>,
    lying_proxy: Option<LyingProxy>,
    session: Mutex<Option<(Instant, String)>>,
    key: Option<String>,
    base: access_tokens_testapp::environment::Environment,
}

impl Environment {
    /// Starts the service and gives it a user, an organisation with generous limits, and a policy with verification.
    pub(crate) async fn set_up(setup: Setup) -> Result<Self> {
        let mut options = setup.base;
        let proxy = match &options.cluster {
            Some(cluster) if setup.fault_proxy => {
                Some(FaultProxy::start(([127, 0, 0, 1], cluster.port()).into()).await?)
            }
            _ => None,
        };
        if let Some(proxy) = &proxy {
            options.database_hosts = Some(proxy.address().to_string());
        }
        let base = block_in_place(|| access_tokens_testapp::environment::Environment::prepare(options))?;
        let installation = base.installation();
        let mut replicas = vec![Replica { installation: installation.clone(), server: None }];
        replicas
            .extend((0..setup.more_replicas).map(|_| Replica { installation: installation.replica(), server: None }));
        let lying_proxy =
            if setup.lying_proxy { Some(LyingProxy::before(installation.address()).await?) } else { None };
        let mut environment = Self { replicas, proxy, lying_proxy, session: Mutex::default(), key: None, base };
        for replica in 0..environment.replicas.len() {
            environment.start(replica).await?;
        }
        block_in_place(|| environment.base.import_fixtures(ORGANISATION, &fixtures()))?;
        Ok(environment)
    }

    /// Starts one more process, with this URL of the database.
    pub(crate) async fn start_on(&mut self, url: &str) -> Result<()> {
        let installation = self.base.installation().replica().with_database(url);
        self.replicas.push(Replica { installation, server: None });
        self.start(self.replicas.len() - 1).await.map(drop)
    }

    /// Returns the URL of the database on these hosts.
    pub(crate) fn url_on(&self, hosts: &str) -> String {
        format!("postgres://{ROLE}@{hosts}/{}", self.base.database())
    }

    /// Starts a process and returns the time until it was ready.
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

    /// Starts a process and kills it after this time, before it is ready.
    pub(crate) async fn start_and_kill(&self, replica: usize, after: Duration) {
        let server = block_in_place(|| self.replicas[replica].installation.start(&["serve"]));
        tokio::time::sleep(after).await;
        block_in_place(|| server.kill());
    }

    /// Kills a process as `kill -9` does.
    pub(crate) fn kill(&mut self, replica: usize) {
        if let Some(server) = self.replicas[replica].server.take() {
            block_in_place(|| server.kill());
        }
    }

    /// Sends SIGTERM to a process and returns its exit code and the time until it ended.
    pub(crate) fn terminate(&mut self, replica: usize) -> Result<(Option<i32>, Duration)> {
        let server = self.replicas[replica].server.take().context("it does not run")?;
        Ok(block_in_place(|| server.terminate()))
    }

    /// Sends a signal to a process.
    pub(crate) fn signal(&self, replica: usize, name: &str) {
        if let Some(server) = &self.replicas[replica].server {
            block_in_place(|| server.signal(name));
        }
    }

    /// Returns the number of processes.
    pub(crate) fn replicas(&self) -> usize {
        self.replicas.len()
    }

    /// Returns a running process.
    pub(crate) fn server(&self, replica: usize) -> Result<&Server> {
        self.replicas[replica].server.as_ref().context("it does not run")
    }

    /// Returns the proxy between the service and PostgreSQL.
    pub(crate) fn proxy(&self) -> Result<&FaultProxy> {
        self.proxy.as_ref().context("no proxy was asked for")
    }

    /// Runs SQL in the database of the service, as its superuser.
    pub(crate) fn psql(&self, sql: &str) -> Result<String> {
        block_in_place(|| self.base.psql(sql))
    }

    /// Waits until PostgreSQL has ended the sessions of killed processes, so that their statements have ended too.
    pub(crate) async fn wait_for_sessions_to_end(&self) -> Result<()> {
        if self.cluster().is_none() {
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

    /// Gives all later clients an API key, which does not expire.
    pub(crate) fn use_api_key(&mut self) -> Result<()> {
        self.key = Some(self.api_key("chaos-key", ALL_PERMISSIONS)?);
        Ok(())
    }

    /// Creates an API key with this name and these permissions.
    pub(crate) fn api_key(&self, name: &str, permissions: &str) -> Result<String> {
        let arguments =
            ["api-key", "add", "--organisation", ORGANISATION, "--name", name, "--permissions", permissions];
        let said = block_in_place(|| self.base.run(&arguments))?;
        said.split_whitespace().next_back().map(str::to_owned).context("no API key is printed")
    }

    /// Returns the API key of the clients, if they have one.
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

    /// Returns a client with its own connection to the process itself, not through the lying proxy.
    pub(crate) async fn direct_client(&self, replica: usize) -> Result<Client> {
        let client = self.client_for(self.replicas[replica].installation.address()).await?;
        Ok(client.with_deadline(Duration::from_secs(10)))
    }

    /// Returns the address that clients call for a process: its own one, or that of the lying proxy.
    pub(crate) fn entry_address(&self, replica: usize) -> SocketAddr {
        match &self.lying_proxy {
            Some(lying_proxy) => lying_proxy.address(),
            None => self.replicas[replica].installation.address(),
        }
    }

    /// Returns a client with its own connection.
    pub(crate) async fn client(&self, replica: usize) -> Result<Client> {
        self.client_at(self.entry_address(replica)).await
    }

    /// Returns a client with its own connection to an address that forwards to the service.
    pub(crate) async fn client_at(&self, address: SocketAddr) -> Result<Client> {
        Ok(self.client_for(address).await?.with_deadline(Duration::from_secs(5)))
    }

    /// Returns the lines of the logs that report a panic.
    pub(crate) fn panics(&self) -> Vec<String> {
        let logs = self.replicas.iter().map(|replica| replica.installation.log());
        logs.flat_map(|log| log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

impl Deref for Environment {
    type Target = access_tokens_testapp::environment::Environment;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

impl DerefMut for Environment {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.base
    }
}

/// The records of the organisation, as lines for `import`.
fn fixtures() -> String {
    // Codes without limits in practice, and long enough that the guess budget allows this number of attempts.
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
        json!({"user": {"id": USER, "username": USER, "password": PASSWORD,
            "permissions": ALL_PERMISSIONS.split(',').collect::<Vec<_>>()}}),
    ];
    records.map(|record| record.to_string()).join("\n")
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
