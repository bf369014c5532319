//! A collector as operators run one: a process that receives OTLP and writes everything that it receives to its output.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const EXPORT_TIMEOUT: Duration = Duration::from_secs(20);

/// A running collector. It is killed when it is dropped.
pub(super) struct Collector {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

/// A span, as the collector received it.
#[derive(Debug, Clone, Default)]
pub(super) struct Span {
    pub(super) service: String,
    pub(super) trace: String,
    pub(super) parent: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) attributes: BTreeMap<String, String>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [address, http] = held.map(|held| held.local_addr().expect("an address"));
        let said = File::create(folder.path().join("said")).expect("a file");
        let child = Command::new(program())
            .args(["start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"])
            .args(["--debug-log", "traces", "--debug-log", "metrics", "--debug-log", "logs"])
            .args(["--otlp-grpc-endpoint", &address.to_string(), "--otlp-http-endpoint", &http.to_string()])
            .arg("--pid-file")
            .arg(folder.path().join("pid"))
            .arg("--log-file")
            .arg(folder.path().join("log"))
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a file"))
            .stderr(said)
            .spawn()
            .expect("the collector starts");
        let collector = Self { child, address, folder };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < EXPORT_TIMEOUT, "the collector does not listen: {}", collector.said());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        collector
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Kills the collector.
    pub(super) fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("a child");
    }

    /// Returns its whole output.
    pub(super) fn said(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("said")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has received something that contains this text.
    pub(super) async fn wait_for(&self, text: &str) {
        let started = Instant::now();
        while !self.said().contains(text) {
            assert!(started.elapsed() < EXPORT_TIMEOUT, "{text} was not sent: {}", self.said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let (mut spans, mut service, mut traces) = (Vec::<Span>::new(), String::new(), false);
        for line in self.said().lines() {
            if let Some((kind, _)) = line.split_once(" #").filter(|(kind, _)| kind.starts_with("Resource")) {
                traces = kind == "ResourceSpans";
            } else if line.starts_with("Span #") && traces {
                spans.push(Span { service: service.clone(), ..Span::default() });
            } else if let Some((name, value)) = line.trim_start().strip_prefix("-> ").and_then(|a| a.split_once(": ")) {
                let value = value.split_once('(').and_then(|(_, value)| value.strip_suffix(')')).unwrap_or(value);
                if name == "service.name" {
                    value.clone_into(&mut service);
                } else if let Some(span) = spans.last_mut().filter(|_| traces) {
                    span.attributes.insert(name.to_owned(), value.to_owned());
                }
            } else if let (Some(span), Some((name, value))) = (spans.last_mut(), line.split_once(':')) {
                let field = match name.trim() {
                    "Trace ID" => &mut span.trace,
                    "Parent ID" => &mut span.parent,
                    "ID" => &mut span.id,
                    "Name" => &mut span.name,
                    "Kind" => &mut span.kind,
                    "Status code" => &mut span.status,
                    _ => continue,
                };
                value.trim().clone_into(field);
            }
        }
        spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `scripts/test` installs it.
fn program() -> PathBuf {
    let target = Path::new(super::BINARY).ancestors().nth(2).expect("a target directory");
    let libraries = std::fs::read_dir(target.join("tools/telemetry/lib")).into_iter().flatten().flatten();
    let mut programs = libraries.map(|library| library.path().join("site-packages/rotel/rotel-agent"));
    programs
        .find(|program| program.exists())
        .unwrap_or_else(|| panic!("there is no OTLP receiver below {}: scripts/test installs it", target.display()))
}
