//! The service as a process on a database with many tokens, and whoever is compared with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use access_tokens_testapp::Client;
use access_tokens_testapp::process::Installation;
use access_tokens_testkit::postgres::{Cluster, ROLE};
use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::cpu::{self, CpuOwner};
use crate::load::Call;
use crate::rpc;
use crate::seed::{self, Sql};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// SQLite: one file.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

/// A server on a port. It is killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
}

impl Process {
    /// Starts a command which will listen at an address.
    pub(crate) fn start(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let output = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log: log.to_owned(), address })
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it answers this question well. Says how long that took.
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
    // The order matters: who uses the database ends before it does.
    pub(crate) server: Process,
    pub(crate) http: SocketAddr,
    pub(crate) session: String,
    pub(crate) tokens: u64,
    installation: Installation,
    pub(crate) sql: Sql,
    cluster: Option<Cluster>,
    directory: TempDir,
}

impl Environment {
    /// Makes a database with so many tokens and starts the service on it.
    pub(crate) async fn set_up(binary: &Path, kind: Kind, tokens: u64, settings: &[&str]) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("access-tokens-bench-").tempdir()?;
        let cluster = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(block_in_place(|| Cluster::start_with(settings))?),
        };
        let url = match &cluster {
            None => format!("sqlite://{}", file(directory.path()).display()),
            Some(cluster) => block_in_place(|| cluster.create_database())?,
        };
        let installation = Installation::new(binary.to_str().context("a path in UTF-8")?, directory.path(), &url)
            .with("ACCESS_TOKENS__LOG__LEVEL", "warn")
            .with("ACCESS_TOKENS__GRPC__CONNECTION_AGE_SECONDS", "604800")
            // The flood of log-ins is bounded by hashing alone.
            .with("ACCESS_TOKENS__SESSIONS__LOGINS_PER_SECOND", "0");
        let started = Instant::now();
        block_in_place(|| seed_data(&installation, directory.path(), kind))?;
        let sql = match kind {
            Kind::Sqlite => Sql::sqlite(&file(directory.path()))?,
            Kind::Postgres => Sql::Postgres { database: url.rsplit('/').next().unwrap_or_default().to_owned() },
        };
        block_in_place(|| seed::tokens(&sql, cluster.as_ref(), tokens))?;
        eprintln!("{kind:?} with {tokens} tokens after {:.1} s", started.elapsed().as_secs_f64());
        let (server, http) = start(&installation, directory.path())?;
        let session = log_in(&server).await?;
        Ok(Self { server, http, session, tokens, installation, sql, cluster, directory })
    }

    /// A caller over so many connections.
    pub(crate) async fn caller(&self, connections: usize) -> Result<rpc::GrpcClient> {
        rpc::GrpcClient::connect(self.server.address, connections, &self.session).await
    }

    /// The server process.
    pub(crate) fn service(&self) -> CpuOwner {
        CpuOwner::Process(self.server.id())
    }

    /// The processes of the database, where it has some.
    pub(crate) fn database(&self) -> Result<Option<CpuOwner>> {
        let Some(cluster) = &self.cluster else { return Ok(None) };
        Ok(Some(CpuOwner::Family(cpu::postmaster(cluster.folder())?)))
    }

    /// The cluster underneath.
    pub(crate) fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// The URL of the database, for whoever is compared, and its name.
    pub(crate) fn url(&self) -> Result<(String, String)> {
        let (Some(cluster), Sql::Postgres { database }) = (&self.cluster, &self.sql) else { bail!("it is SQLite") };
        Ok((format!("postgres://{ROLE}@127.0.0.1:{}/{database}?sslmode=disable", cluster.port()), database.clone()))
    }

    /// The file of SQLite.
    pub(crate) fn file(&self) -> PathBuf {
        file(self.directory.path())
    }

    /// A place for files.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Imports a file.
    pub(crate) fn import(&self, path: &Path) -> Result<()> {
        import(&self.installation, path)
    }

    /// Starts the service again: how long until it has answered a question, and what it then takes in memory.
    pub(crate) async fn restart(&mut self, call: &Call) -> Result<Duration> {
        let _ = self.server.child.kill();
        let _ = self.server.child.wait();
        (self.server, self.http) = start(&self.installation, self.directory.path())?;
        self.server.wait_until_it_answers(&self.session, call).await
    }
}

fn file(directory: &Path) -> PathBuf {
    directory.join("access-tokens.db")
}

fn seed_data(installation: &Installation, directory: &Path, kind: Kind) -> Result<()> {
    if kind == Kind::Postgres {
        run(installation, &["keys", "init"])?;
        run(installation, &["migrate"])?;
    }
    let path = directory.join("fixtures.ndjson");
    std::fs::write(&path, seed::fixtures())?;
    import(installation, &path)
}

fn import(installation: &Installation, path: &Path) -> Result<()> {
    run(
        installation,
        &["import", "--create-organisation", "--organisation", seed::ORGANISATION, &path.display().to_string()],
    )
}

fn run(installation: &Installation, arguments: &[&str]) -> Result<()> {
    let output = installation.run(arguments);
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn start(installation: &Installation, directory: &Path) -> Result<(Process, SocketAddr)> {
    let http = free_address()?;
    let mut command = installation.command(&["serve"]);
    command.env("ACCESS_TOKENS__HTTP__LISTEN", http.to_string());
    Ok((Process::start(&mut command, installation.address(), &directory.join("serve.log"))?, http))
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

/// An address on which nobody listens yet.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
