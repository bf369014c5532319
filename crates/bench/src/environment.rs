//! The service as a process on a database with many tokens, and the processes that are compared with it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
pub(crate) use access_tokens_testapp::environment::Kind;
use access_tokens_testapp::environment::Options;
use access_tokens_testkit::postgres::{Cluster, ROLE};
use anyhow::{Context, Result, bail, ensure};
use tokio::task::block_in_place;

use crate::cpu::{self, CpuOwner};
use crate::load::Call;
use crate::rpc;
use crate::seed::{self, Sql};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// A server with an address. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a command that will listen at an address.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let output = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log: log.to_owned(), address })
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the call succeeds, and returns the time since the start of the wait.
    pub(crate) async fn wait_until_it_answers(&mut self, session: &str, call: &Call) -> Result<Duration> {
        let started = Instant::now();
        loop {
            if let Ok(caller) = rpc::GrpcClient::connect(self.address, 1, session).await
                && let Ok((0, _)) = caller.unary(call.clone()).await
            {
                return Ok(started.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended by itself ({status}): {}", std::fs::read_to_string(&self.log)?);
            }
            ensure!(started.elapsed() < START_TIMEOUT, "it does not answer: {}", std::fs::read_to_string(&self.log)?);
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The service and its database.
pub(crate) struct Environment {
    // Fields are dropped in this order: the service ends before its database.
    pub(crate) server: Process,
    pub(crate) session: String,
    pub(crate) tokens: u64,
    pub(crate) sql: Sql,
    base: access_tokens_testapp::environment::Environment,
}

impl Environment {
    /// Creates a database with this number of tokens and starts the service on it. `settings` are those of PostgreSQL.
    pub(crate) async fn set_up(binary: &Path, kind: Kind, tokens: u64, settings: &[&str]) -> Result<Self> {
        let cluster = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(block_in_place(|| Cluster::start_with(settings))?),
        };
        // Only hashing bounds the flood of log-ins.
        let variables = vec![("ACCESS_TOKENS__SESSIONS__LOGINS_PER_SECOND", "0".to_owned())];
        let binary = binary.to_str().context("a path in UTF-8")?.to_owned();
        let options = Options { binary, cluster, variables, ..Options::default() };
        let started = Instant::now();
        let base = block_in_place(|| access_tokens_testapp::environment::Environment::prepare(options))?;
        block_in_place(|| base.import_fixtures(seed::ORGANISATION, &seed::fixtures()))?;
        let sql = match kind {
            Kind::Sqlite => Sql::sqlite(base.file())?,
            Kind::Postgres => Sql::Postgres { database: base.database().to_owned() },
        };
        block_in_place(|| seed::tokens(&sql, base.cluster(), tokens))?;
        eprintln!("{kind:?} with {tokens} tokens after {:.1} s", started.elapsed().as_secs_f64());
        let server = start(&base)?;
        let session = log_in(&server).await?;
        Ok(Self { server, session, tokens, sql, base })
    }

    /// Returns a gRPC client with this number of connections.
    pub(crate) async fn caller(&self, connections: usize) -> Result<rpc::GrpcClient> {
        rpc::GrpcClient::connect(self.server.address, connections, &self.session).await
    }

    /// Returns the process of the service.
    pub(crate) fn service(&self) -> CpuOwner {
        CpuOwner::Process(self.server.id())
    }

    /// Returns the processes of PostgreSQL, if the database is PostgreSQL.
    pub(crate) fn database(&self) -> Result<Option<CpuOwner>> {
        let Some(cluster) = self.cluster() else { return Ok(None) };
        Ok(Some(CpuOwner::Family(cpu::postmaster(cluster.folder())?)))
    }

    /// Returns the URL of the PostgreSQL database for other programs, and its name.
    pub(crate) fn url(&self) -> Result<(String, String)> {
        let (Some(cluster), Sql::Postgres { database }) = (self.cluster(), &self.sql) else { bail!("it is SQLite") };
        Ok((format!("postgres://{ROLE}@127.0.0.1:{}/{database}?sslmode=disable", cluster.port()), database.clone()))
    }

    /// Restarts the service, and returns the time until the call succeeded.
    pub(crate) async fn restart(&mut self, call: &Call) -> Result<Duration> {
        let _ = self.server.child.kill();
        let _ = self.server.child.wait();
        self.server = start(&self.base)?;
        self.server.wait_until_it_answers(&self.session, call).await
    }
}

impl Deref for Environment {
    type Target = access_tokens_testapp::environment::Environment;

    fn deref(&self) -> &Self::Target {
        &self.base
    }
}

fn start(base: &access_tokens_testapp::environment::Environment) -> Result<Process> {
    let installation = base.installation();
    Process::start(&mut installation.command(&["serve"]), installation.address(), &base.directory().join("serve.log"))
}

async fn log_in(server: &Process) -> Result<String> {
    let (client, started) = (Client::connect(server.address), Instant::now());
    loop {
        match client.login(seed::ORGANISATION, seed::USER, seed::PASSWORD, None).await {
            Ok(token) => return Ok(token),
            Err(refusal) => ensure!(started.elapsed() < START_TIMEOUT, "no session: {}", refusal.text()),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
