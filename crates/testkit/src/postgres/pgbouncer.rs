//! A pgbouncer before a cluster.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::cluster::{Cluster, ROLE, free_port};
use super::tools::{Guarded, Tools, program};

const MISSING: &str = "these tests start a pgbouncer of their own. Install it with `apt-get install pgbouncer`, or run \
    `scripts/test`, which does so.";

/// Maximum time of a start.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for which a client keeps a server connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Until it disconnects.
    Session,
    /// For one transaction.
    Transaction,
}

/// A running pgbouncer. It ends when it is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    running: Option<Guarded>,
    port: u16,
    cluster: u16,
    tools: Tools,
    folder: TempDir,
}

impl PgBouncer {
    /// Starts a pgbouncer with at most this number of connections to each database of the cluster.
    pub fn start(cluster: &Cluster, pooling: Pooling, connections: usize) -> Result<Self> {
        let (tools, folder, port) = (Tools::find()?, TempDir::with_prefix("access-tokens-pgbouncer-")?, free_port()?);
        let mode = if pooling == Pooling::Session { "session" } else { "transaction" };
        let users = folder.path().join("users");
        // Settings that the driver sends with each start, and that a pooler does not know.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\nmax_client_conn = 500\n\
             default_pool_size = {connections}\nignore_startup_parameters = extra_float_digits\n",
            cluster.port(),
            users.display(),
        );
        std::fs::write(&users, format!("\"{ROLE}\" \"\"\n"))?;
        std::fs::write(folder.path().join("settings"), settings)?;
        tools.give(folder.path())?;
        let running = Some(launch(&tools, &folder, port)?);
        Ok(Self { running, port, cluster: cluster.port(), tools, folder })
    }

    /// Returns the URL of the cluster with the address of the pgbouncer.
    pub fn through(&self, url: &str) -> String {
        url.replace(&format!("127.0.0.1:{}", self.cluster), &format!("127.0.0.1:{}", self.port))
    }

    /// Stops, which closes all connections, and starts again on the same port.
    pub fn restart(&mut self) -> Result<()> {
        self.running = None;
        self.running = Some(launch(&self.tools, &self.folder, self.port)?);
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, in synchronous code")]
fn launch(tools: &Tools, folder: &TempDir, port: u16) -> Result<Guarded> {
    let (log, settings) = (folder.path().join("log"), folder.path().join("settings").display().to_string());
    let running = tools.guarded(&program("pgbouncer").context(MISSING)?, &[&settings], &log)?;
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if start.elapsed() > COMMAND_TIMEOUT {
            bail!("pgbouncer does not listen: {}", std::fs::read_to_string(&log)?);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(running)
}
