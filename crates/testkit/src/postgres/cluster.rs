//! A PostgreSQL cluster, and the one that the tests of a process share.

use std::fs::Permissions;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::tools::{self, Tools};
use super::watchdog::Watchdog;

/// The role that owns the databases. It is not a superuser.
pub const ROLE: &str = "access_tokens";

/// A role that uses the databases and owns nothing: see [`Cluster::serve_as_other_role`].
pub const SERVICE: &str = "access_tokens_service";

/// Maximum time of a start, including recovery after a crash.
pub(super) const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of a cluster for many concurrent tests.
const SETTINGS: &[&str] = &["max_connections=300", "fsync=on", "synchronous_commit=on", "full_page_writes=on"];

/// Returns the URL of a new, empty database in the cluster that the tests of this process share.
///
/// # Panics
/// PostgreSQL is not installed; the message says how to get it.
pub fn create_database() -> String {
    shared().create_database().unwrap_or_else(|error| panic!("{error:#}"))
}

/// Returns the cluster that the tests of this process share. A test that stops its cluster uses [`Cluster::start`].
///
/// # Panics
/// PostgreSQL is not installed; the message says how to get it.
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    let cluster = SHARED.get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}")));
    cluster.as_ref().unwrap_or_else(|message| panic!("{message}"))
}

/// A PostgreSQL cluster. Its server is stopped and its data are deleted when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    // Fields are dropped in this order: the server ends before the watchdog removes its data.
    server: Mutex<Option<Server>>,
    pub(super) port: u16,
    pub(super) tools: Tools,
    pub(super) settings: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    databases: AtomicU32,
    pub(super) watchdog: Watchdog,
}

impl Cluster {
    /// Creates and starts a cluster.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Creates and starts a cluster with settings (`name=value`) that override the usual ones, such as `fsync=off`.
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir()?;
        Self::start_in(&folder.keep(), settings, &[])
    }

    /// Creates and starts a cluster that encrypts a connection on request, with a certificate and its key in PEM.
    pub fn start_encrypted(certificate: &str, key: &str) -> Result<Self> {
        let (folder, tools) = (tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir()?, Tools::find()?);
        let mut settings = vec!["ssl=on".to_owned()];
        for (setting, text) in [("ssl_cert_file", certificate), ("ssl_key_file", key)] {
            let path = folder.path().join(setting);
            std::fs::write(&path, text)?;
            // PostgreSQL refuses a key that other users can read.
            std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
            tools.give(&path)?;
            settings.push(format!("{setting}={}", path.display()));
        }
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        Self::start_in(&folder.keep(), &settings, &[])
    }

    /// Creates and starts a cluster in an empty directory, for example on a small disk, with environment variables for the server.
    /// The directory is deleted with the cluster.
    pub fn start_in(folder: &Path, settings: &[&str], variables: &[(&str, &str)]) -> Result<Self> {
        let tools = Tools::find()?;
        tools.give(folder)?;
        let watchdog = Watchdog::over(&tools, folder.to_owned())?;
        initialise(&tools, &data(&watchdog))?;
        let settings = SETTINGS.iter().chain(settings).map(ToString::to_string).collect();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let cluster = Self::launched(tools, settings, variables, watchdog)?;
        cluster.create_roles()?;
        Ok(cluster)
    }

    /// Starts a cluster on existing data.
    pub(super) fn launched(
        tools: Tools,
        settings: Vec<String>,
        variables: Vec<(String, String)>,
        watchdog: Watchdog,
    ) -> Result<Self> {
        let (server, databases) = (Mutex::new(None), AtomicU32::new(0));
        let mut cluster = Self { server, port: 0, tools, settings, variables, databases, watchdog };
        cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// Returns a cluster that another program runs, at this port of 127.0.0.1. It gets the usual roles.
    pub(super) fn run_elsewhere(port: u16) -> Result<Self> {
        let (tools, folder) = (Tools::find()?, tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir()?);
        tools.give(folder.path())?;
        let watchdog = Watchdog::over(&tools, folder.keep())?;
        let (server, databases, settings, variables) = (Mutex::new(None), AtomicU32::new(0), Vec::new(), Vec::new());
        let cluster = Self { server, port, tools, settings, variables, databases, watchdog };
        cluster.create_roles()?;
        Ok(cluster)
    }

    fn create_roles(&self) -> Result<()> {
        self.psql("postgres", &format!("CREATE ROLE {ROLE} LOGIN; CREATE ROLE {SERVICE} LOGIN")).map(drop)
    }

    /// Returns the URL of a new, empty database that belongs to [`ROLE`].
    pub fn create_database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        // The template is template0, which takes no connections: an open connection would make the command fail.
        self.psql("postgres", &format!("CREATE DATABASE {name} OWNER {ROLE} TEMPLATE template0"))?;
        self.psql("postgres", &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"))?;
        Ok(format!("postgres://{ROLE}@127.0.0.1:{}/{name}", self.port))
    }

    /// Gives [`SERVICE`] the rights of a role that serves, in a migrated database of [`ROLE`], by the statements of
    /// docs/operations.md. Returns the URL with that role.
    pub fn serve_as_other_role(&self, url: &str) -> Result<String> {
        let database = url.rsplit('/').next().context("a URL without a database")?;
        let grants = format!(
            "GRANT CONNECT ON DATABASE {database} TO {SERVICE}; GRANT USAGE ON SCHEMA public TO {SERVICE}; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {SERVICE}; \
             REVOKE INSERT, UPDATE, DELETE ON seaql_migrations FROM {SERVICE}"
        );
        self.psql(database, &grants)?;
        Ok(url.replace(&format!("//{ROLE}@"), &format!("//{SERVICE}@")))
    }

    /// Returns the port on 127.0.0.1. It stays the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of the cluster, with `data` and the `log` of the server.
    pub fn folder(&self) -> &Path {
        self.watchdog.folder()
    }

    /// Runs SQL as the superuser. Returns the rows, one per line, with columns separated by `|`.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String> {
        let mut psql = self.tools.command("psql");
        psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        tools::run(psql.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]))
    }

    /// Stops as an operator does, which closes all connections, and starts again.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.resume()
    }

    /// Stops as an operator does: closes all connections, and ends when connected standbys have received everything.
    pub fn stop(&self) -> Result<()> {
        self.end(&mut self.server(), "INT")
    }

    /// Stops as in a crash: nothing is flushed, and the next start recovers from the log.
    pub fn stop_immediate(&self) -> Result<()> {
        self.end(&mut self.server(), "QUIT")
    }

    /// Freezes all processes. They can only be killed afterwards.
    pub fn freeze(&self) -> Result<()> {
        self.server().as_ref().map_or(Ok(()), |server| server.signal_all("STOP"))
    }

    /// Restricts all processes, including those that start later, to these cores: `0`, or `1-3`.
    pub fn pin(&self, cores: &str) -> Result<()> {
        self.server().as_ref().map_or(Ok(()), |server| server.pin(cores))
    }

    /// Kills all processes, as a power cut does.
    pub fn kill(&self) -> Result<()> {
        let Some(mut server) = self.server().take() else { return Ok(()) };
        server.signal_all("KILL")?;
        server.0.wait()?;
        Ok(())
    }

    /// Starts again after a stop, on the same port.
    pub fn resume(&self) -> Result<()> {
        let mut server = self.server();
        if server.is_none() {
            *server = Some(self.launch(self.port)?);
        }
        Ok(())
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, server: &mut Option<Server>, signal: &str) -> Result<()> {
        server.take().map_or(Ok(()), |mut server| server.end(signal))
    }

    /// Another process may take a port before the server binds it; then another port is tried.
    fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut failure = None;
        for _ in 0..10 {
            let port = free_port()?;
            match self.launch(port) {
                Ok(server) => {
                    self.port = port;
                    *self.server() = Some(server);
                    return Ok(());
                }
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(()), Err)
    }

    fn launch(&self, port: u16) -> Result<Server> {
        let log_path = self.watchdog.folder().join("log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(&log_path)?;
        let mut command = self.tools.command("postgres");
        command.arg("-D").arg(data(&self.watchdog)).args(["-p", &port.to_string()]);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.envs(self.variables.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let mut server = Server(command.spawn().context("cannot run postgres")?);
        let ready = server.wait_until_ready(&data(&self.watchdog).join("postmaster.pid"));
        ready.with_context(|| std::fs::read_to_string(&log_path).unwrap_or_default())?;
        Ok(server)
    }
}

pub(super) fn data(watchdog: &Watchdog) -> PathBuf {
    watchdog.folder().join("data")
}

fn initialise(tools: &Tools, data: &Path) -> Result<()> {
    let mut initdb = tools.command("initdb");
    initdb.arg("-D").arg(data).args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8"]);
    initdb.args(["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]);
    tools::run(&mut initdb).context("the tests need PostgreSQL 15 or later, with ICU")?;
    Ok(())
}

/// Returns a port without a listener, below the ports of outgoing connections, so that a stopped cluster finds it free again.
pub(super) fn free_port() -> Result<u16> {
    let somewhere = RandomState::new().build_hasher().finish();
    let ports = (0..1_000).map(|step| 15_000 + ((somewhere.wrapping_add(step * 7)) % 17_000) as u16);
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.into_iter().find(free).context("no free port on 127.0.0.1")
}

/// A running postmaster. It stops at once when it is dropped.
#[derive(Debug)]
struct Server(Child);

impl Server {
    /// The last line of the lock file says when connections are accepted.
    #[expect(clippy::disallowed_methods, reason = "waits for another process, in synchronous code")]
    fn wait_until_ready(&mut self, lock_file: &Path) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < COMMAND_TIMEOUT {
            if let Some(status) = self.0.try_wait()? {
                bail!("postgres did not start ({status})");
            }
            let lock = std::fs::read_to_string(lock_file).unwrap_or_default();
            let mine = lock.lines().next() == Some(self.0.id().to_string().as_str());
            if mine && lock.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("postgres was not ready after {} s", COMMAND_TIMEOUT.as_secs())
    }

    /// The parent comes first: its later children inherit its setting.
    fn pin(&self, cores: &str) -> Result<()> {
        let parent = self.0.id();
        tools::pin(cores, parent)?;
        // Children may have ended meanwhile.
        for child in tools::children(parent)? {
            let _ = tools::pin(cores, child);
        }
        Ok(())
    }

    fn end(&mut self, signal: &str) -> Result<()> {
        tools::signal(signal, &[self.0.id()])?;
        let status = self.0.wait()?;
        ensure!(status.code().is_some(), "postgres ended by {status}");
        Ok(())
    }

    /// The parent comes first, so that it starts no more children.
    fn signal_all(&self, signal: &str) -> Result<()> {
        let parent = self.0.id();
        let children = tools::children(parent)?;
        tools::signal(signal, &[parent])?;
        let new = tools::children(parent)?;
        // Children may have ended meanwhile.
        for child in children.into_iter().chain(new) {
            let _ = tools::signal(signal, &[child]);
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) && self.end("QUIT").is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
