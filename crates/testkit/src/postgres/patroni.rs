//! Two PostgreSQL nodes under Patroni with an etcd, and a haproxy before them, all of them as Debian packages them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::cluster::{Cluster, data, free_port};
use super::tools::{self, Guarded, Tools};
use super::watchdog::Watchdog;

const MISSING: &str = "Patroni, etcd or haproxy is missing. Install them with `apt-get install patroni etcd-server haproxy`, \
    or run `scripts/soak-patroni`, which does so.";

/// Name of the pair in etcd.
const SCOPE: &str = "access-tokens";
/// Names of the nodes.
const NAMES: [&str; 2] = ["one", "two"];
/// Time after which a primary that does not renew its lock is replaced, in seconds. Patroni accepts no less.
const LOCK_LIFETIME: u32 = 20;
/// Time between two rounds of Patroni, and maximum time of its retries, in seconds.
const ROUND_INTERVAL: u32 = 5;
/// Maximum time of a start, a change of roles, or the repair of a node.
const STEP_TIMEOUT: Duration = Duration::from_secs(180);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A node: Patroni and its PostgreSQL.
#[derive(Debug)]
struct Node {
    // Fields are dropped in this order: Patroni ends before the server that it would start again.
    patroni: Option<Guarded>,
    /// Port of PostgreSQL.
    port: u16,
    /// Port of the HTTP server of Patroni.
    rest: u16,
    settings: PathBuf,
    watchdog: Watchdog,
}

/// A running pair. All of its programs end when it is dropped.
#[derive(Debug)]
pub struct PatroniPair {
    // Fields are dropped in this order: the nodes end before etcd.
    _haproxy: Guarded,
    nodes: [Node; 2],
    _etcd: Guarded,
    front: u16,
    tools: Tools,
    folder: tempfile::TempDir,
}

/// A running `patronictl switchover`.
#[derive(Debug)]
pub struct Switchover(Child);

impl Switchover {
    /// Waits for the end of the command, which must succeed.
    pub fn end(self) -> Result<()> {
        let output = self.0.wait_with_output()?;
        ensure!(output.status.success(), "patronictl failed: {}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }
}

impl PatroniPair {
    /// Returns whether the programs are installed.
    pub fn is_installed() -> bool {
        ["patroni", "patronictl", "etcd", "haproxy"].into_iter().all(|name| tools::program(name).is_some())
    }

    /// Creates and starts a pair with synchronous replication (`synchronous_mode`). Returns when the first node is the primary and the
    /// second one its synchronous standby.
    pub fn start() -> Result<Self> {
        let (tools, folder) = (Tools::find()?, tempfile::TempDir::with_prefix("access-tokens-patroni-")?);
        tools.give(folder.path())?;
        let [etcd_port, peer, front, one, one_rest, two, two_rest] = free_ports()?;
        let etcd = start_etcd(&tools, folder.path(), etcd_port, peer)?;
        let nodes = [Node::new(0, [one, one_rest, etcd_port])?, Node::new(1, [two, two_rest, etcd_port])?];
        let haproxy = start_haproxy(&tools, folder.path(), front, &nodes)?;
        let mut pair = Self { _haproxy: haproxy, nodes, _etcd: etcd, front, tools, folder };
        for node in [0, 1] {
            pair.resume(node)?;
            wait("the first node is the primary", || Ok(pair.leader() == Some(0)))?;
        }
        pair.wait_until_synchronous()?;
        Ok(pair)
    }

    /// Returns the primary, whichever node it is, as a cluster behind haproxy.
    pub fn cluster(&self) -> Result<Cluster> {
        wait("haproxy leads to the primary", || Ok(self.is_primary(self.front)))?;
        Cluster::run_elsewhere(self.front)
    }

    /// Returns the hosts and ports of both nodes, as a URL lists them.
    pub fn hosts(&self) -> String {
        self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect::<Vec<_>>().join(",")
    }

    /// Returns the node that holds the lock of the primary.
    pub fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.answers("/primary"))
    }

    /// Waits until one node is the primary, and the other one is its synchronous standby. Returns the primary.
    pub fn wait_until_synchronous(&self) -> Result<usize> {
        let mut leader = None;
        wait("one node is the primary and the other one its synchronous standby", || {
            leader = self.leader();
            Ok(leader.is_some_and(|leader| self.nodes[1 - leader].answers("/synchronous")))
        })?;
        leader.context("no primary")
    }

    /// Waits until a node accepts writes.
    pub fn wait_until_primary(&self, node: usize) -> Result<()> {
        wait("the node is promoted", || Ok(self.is_primary(self.nodes[node].port)))
    }

    /// Begins to make a node the primary, by `patronictl switchover`. The command ends a little later than the change.
    pub fn switch_over_to(&self, node: usize) -> Result<Switchover> {
        let mut command = self.tools.script(r#"exec "$@""#);
        command.arg(tools::program("patronictl").context(MISSING)?).arg("-c").arg(&self.nodes[node].settings);
        command.args(["switchover", "--candidate", NAMES[node], "--force", SCOPE]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Switchover(command.spawn()?))
    }

    /// Kills Patroni and PostgreSQL of a node as `kill -9` does.
    pub fn kill(&mut self, node: usize) -> Result<()> {
        let node = &mut self.nodes[node];
        node.patroni = None;
        let lock = std::fs::read_to_string(data(&node.watchdog).join("postmaster.pid")).unwrap_or_default();
        let server: u32 = lock.lines().next().context("PostgreSQL does not run")?.parse()?;
        let children = tools::children(server)?;
        tools::signal("KILL", &[server])?;
        // Children end by themselves too, and may have ended already.
        for child in children {
            let _ = tools::signal("KILL", &[child]);
        }
        Ok(())
    }

    /// Starts Patroni of a node that does not run. Patroni repairs and starts PostgreSQL.
    pub fn resume(&mut self, node: usize) -> Result<()> {
        let log = self.folder.path().join(NAMES[node]);
        let node = &mut self.nodes[node];
        let (program, settings) = (tools::program("patroni").context(MISSING)?, node.settings.display().to_string());
        node.patroni = Some(self.tools.guarded(&program, &[&settings], &log)?);
        Ok(())
    }

    fn is_primary(&self, port: u16) -> bool {
        let mut psql = self.tools.command("psql");
        psql.env("PGCONNECT_TIMEOUT", "2").args(["-XqAt", "-h", "127.0.0.1", "-U", "postgres", "-d", "postgres", "-p"]);
        psql.arg(port.to_string()).args(["-c", "SELECT NOT pg_is_in_recovery()"]);
        tools::run(&mut psql).is_ok_and(|answer| answer == "t")
    }
}

impl Node {
    fn new(number: usize, ports: [u16; 3]) -> Result<Self> {
        let (tools, [port, rest, _]) = (Tools::find()?, ports);
        let folder = tempfile::Builder::new().prefix("access-tokens-postgres-").tempdir()?.keep();
        tools.give(&folder)?;
        let watchdog = Watchdog::over(&tools, folder.clone())?;
        let settings = folder.join("patroni.json");
        std::fs::write(&settings, node_settings(number, &tools, &folder, ports).to_string())?;
        Ok(Self { patroni: None, port, rest, settings, watchdog })
    }

    /// Returns whether Patroni answers a path with the status 200.
    fn answers(&self, path: &str) -> bool {
        let ask = || -> Result<bool> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.rest))?;
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
            let mut status = [0; 12];
            stream.read_exact(&mut status)?;
            Ok(status.ends_with(b" 200"))
        };
        ask().unwrap_or(false)
    }
}

fn node_settings(number: usize, tools: &Tools, folder: &Path, [port, rest, etcd]: [u16; 3]) -> Value {
    // YAML contains JSON.
    json!({
        "scope": SCOPE,
        "name": NAMES[number],
        "restapi": {"listen": format!("127.0.0.1:{rest}"), "connect_address": format!("127.0.0.1:{rest}")},
        "etcd3": {"host": format!("127.0.0.1:{etcd}")},
        "bootstrap": {
            "dcs": {
                "ttl": LOCK_LIFETIME, "loop_wait": ROUND_INTERVAL, "retry_timeout": ROUND_INTERVAL,
                "synchronous_mode": true,
                "postgresql": {"use_pg_rewind": true, "parameters": {"max_connections": 100, "wal_keep_size": "256MB"}},
            },
            "initdb": [
                "no-sync", {"auth": "trust"}, {"encoding": "UTF8"}, {"locale": "C.UTF-8"}, {"locale-provider": "icu"},
                {"icu-locale": "en-US"},
            ],
        },
        "postgresql": {
            "listen": format!("127.0.0.1:{port}"), "connect_address": format!("127.0.0.1:{port}"),
            "data_dir": folder.join("data"), "bin_dir": tools.bin(), "pgpass": folder.join("pgpass"),
            "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"],
            "authentication": {
                "superuser": {"username": "postgres", "password": "not used"},
                "replication": {"username": "replicator", "password": "not used"},
            },
            "parameters": {"unix_socket_directories": folder},
        },
    })
}

fn start_etcd(tools: &Tools, folder: &Path, port: u16, peer: u16) -> Result<Guarded> {
    let (client, peer) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer}"));
    let (data, members) = (folder.join("etcd").display().to_string(), format!("etcd={peer}"));
    let program = tools::program("etcd").context(MISSING)?;
    let arguments = [
        "--name=etcd",
        "--data-dir",
        &data,
        "--listen-client-urls",
        &client,
        "--advertise-client-urls",
        &client,
        "--listen-peer-urls",
        &peer,
        "--initial-advertise-peer-urls",
        &peer,
        "--initial-cluster",
        &members,
    ];
    tools.guarded(&program, &arguments, &folder.join("etcd.log"))
}

/// Leads to the node that Patroni calls the primary. A connection to another node is closed. Without `retries 0`, a connection to a node
/// that is lost, and not yet known to be, is kept waiting for some seconds.
fn start_haproxy(tools: &Tools, folder: &Path, front: u16, nodes: &[Node; 2]) -> Result<Guarded> {
    let mut text = format!(
        "global\n  maxconn 500\ndefaults\n  mode tcp\n  retries 0\n  timeout connect 2s\n  timeout client 30m\n  timeout server 30m\n  \
         timeout check 2s\nlisten primary\n  bind 127.0.0.1:{front}\n  option httpchk GET /primary\n  \
         http-check expect status 200\n  default-server inter 1s fall 2 rise 1 on-marked-down shutdown-sessions\n"
    );
    for (name, node) in NAMES.iter().zip(nodes) {
        text += &format!("  server {name} 127.0.0.1:{} check port {}\n", node.port, node.rest);
    }
    let settings = folder.join("haproxy");
    std::fs::write(&settings, text)?;
    let program = tools::program("haproxy").context(MISSING)?;
    tools.guarded(&program, &["-db", "-f", &settings.display().to_string()], &folder.join("haproxy.log"))
}

/// Returns different free ports.
fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
    let mut ports = [0; COUNT];
    for at in 0..COUNT {
        // A port is free until it is used, so it may be found twice.
        while ports[at] == 0 || ports[..at].contains(&ports[at]) {
            ports[at] = free_port()?;
        }
    }
    Ok(ports)
}

#[expect(clippy::disallowed_methods, reason = "waits for other processes, in synchronous code")]
fn wait(what: &str, mut is_reached: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !is_reached()? {
        if start.elapsed() > STEP_TIMEOUT {
            bail!("not in time: {what}");
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}
