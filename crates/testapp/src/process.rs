//! The service as a process: started from its binary, called over its ports, stopped by signals.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;

/// Maximum time of a start or a stop, on a busy machine with an unoptimised build.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Ports of servers. Linux uses ports from 32,768 on for outgoing connections.
const SERVER_PORTS: Range<u16> = 10_000..32_000;

/// An installation: a binary with a working directory, a database, and addresses for gRPC, HTTP and operators.
#[derive(Clone)]
pub struct Installation {
    binary: PathBuf,
    directory: PathBuf,
    database: String,
    variables: Vec<(String, String)>,
    address: SocketAddr,
    http: SocketAddr,
    ops: SocketAddr,
}

/// A process that serves. It is killed when it is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    http: SocketAddr,
    ops: SocketAddr,
}

impl Installation {
    /// Returns an installation of a binary in a directory, with a database URL and free ports.
    pub fn new(binary: &str, directory: &Path, database: &str) -> Self {
        let (binary, directory) = (PathBuf::from(binary), directory.to_owned());
        let [address, http, ops] = free_addresses();
        Self { binary, directory, database: database.to_owned(), variables: Vec::new(), address, http, ops }
    }

    /// Returns the same installation with one more environment variable.
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut installation = self.clone();
        installation.variables.push((name.to_owned(), value.to_owned()));
        installation
    }

    /// Returns the same installation with other ports: one more replica.
    pub fn replica(&self) -> Self {
        let [address, http, ops] = free_addresses();
        Self { address, http, ops, ..self.clone() }
    }

    /// Returns the same installation with another URL of its database.
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// Returns the address on which its server will serve gRPC.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address on which its server will serve HTTP.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Returns the address on which its server will serve operators.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops
    }

    /// Returns the command of the binary with these arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("ACCESS_TOKENS__DATABASE__URL", &self.database)
            .env("ACCESS_TOKENS__GRPC__LISTEN", self.address.to_string())
            .env("ACCESS_TOKENS__HTTP__LISTEN", self.http.to_string())
            .env("ACCESS_TOKENS__OPS__LISTEN", self.ops.to_string())
            // RUST_LOG would override the level that a test sets.
            .env_remove("RUST_LOG")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the binary runs")
    }

    /// Runs a command with this standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        use std::io::Write;
        let mut command = self.command(arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        // A command that is refused ends before it reads.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("the binary ends")
    }

    /// Starts a server. Its output goes to a file in the directory.
    pub fn start(&self, arguments: &[&str]) -> Server {
        let log = self.directory.join(format!("{}.log", self.address.port()));
        let log = std::fs::File::options().create(true).append(true).open(log).expect("a log file");
        let mut command = self.command(arguments);
        command.stdout(log.try_clone().expect("a log file")).stderr(log);
        let child = command.spawn().expect("the binary runs");
        Server { child, address: self.address, http: self.http, ops: self.ops }
    }

    /// Returns the output of its servers.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join(format!("{}.log", self.address.port()))).unwrap_or_default()
    }

    /// Waits until `healthcheck` succeeds.
    pub fn wait_until_ready(&self) {
        let started = Instant::now();
        while !self.run(&["healthcheck"]).status.success() {
            assert!(started.elapsed() < PROCESS_TIMEOUT, "the server is not ready: {}", self.log());
            sleep_until_next_poll();
        }
    }

    /// Waits until the HTTP port accepts connections. That is enough for a gateway, whose service may be unreachable.
    pub fn wait_until_listening(&self) {
        let started = Instant::now();
        while TcpStream::connect(self.http).is_err() {
            assert!(started.elapsed() < PROCESS_TIMEOUT, "no server listens: {}", self.log());
            sleep_until_next_poll();
        }
    }
}

impl Server {
    /// Returns a client without a session. Needs a runtime.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Returns the address on which it serves gRPC.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address on which it serves HTTP.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Returns the address on which it serves operators.
    pub fn ops_address(&self) -> SocketAddr {
        self.ops
    }

    /// Returns whether the process is running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "the process is gone already");
    }

    /// Sends SIGTERM, and returns the exit code and the time until the process ended.
    pub fn terminate(mut self) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        self.signal("TERM");
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return (status.code(), asked.elapsed());
            }
            assert!(asked.elapsed() < PROCESS_TIMEOUT, "the process does not stop");
            sleep_until_next_poll();
        }
    }

    /// Kills the process, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("a child");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a free address of this machine, for another program.
pub fn free_address() -> SocketAddr {
    let [address, ..] = free_addresses();
    address
}

/// Returns three free addresses of this machine. A process hands out each port once, and below the ports of outgoing connections: a
/// port that the system chooses could be taken by a connection of another test before the server binds it.
fn free_addresses() -> [SocketAddr; 3] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(SERVER_PORTS.end - SERVER_PORTS.start);
    // Concurrent processes begin at different ports.
    let first = std::process::id().wrapping_mul(97) % count;
    [(); 3].map(|()| {
        let ports = (0..count).map(|_| (first + NEXT.fetch_add(1, Ordering::Relaxed)) % count);
        let mut ports = ports.filter_map(|offset| u16::try_from(offset).ok()).map(|offset| SERVER_PORTS.start + offset);
        let port = ports.find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
        SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("a free port")))
    })
}

#[expect(clippy::disallowed_methods, reason = "waits for another process, outside of any runtime's way")]
fn sleep_until_next_poll() {
    std::thread::sleep(POLL_INTERVAL);
}
