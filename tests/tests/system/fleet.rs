//! Several server processes on one database, their clients, and their counts of comparisons.

use access_tokens_proto::options::methods;
use access_tokens_testapp::Client;
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::http::HttpClient;
use serde_json::Value;
use tempfile::TempDir;

use crate::processes::{add_user, logged_in, text};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
const PASSWORD: &str = "staple battery";

/// The servers log each comparison. They wait longer for a connection than by default, because a refused attempt is not compared
/// and proves nothing; and no connection reaches its maximum age during a test.
const SERVE: &[&str] = &[
    "serve",
    "--set",
    "log.level=error,access_tokens::comparison=trace",
    "--set",
    "database.acquire_timeout_ms=30000",
    "--set",
    "database.lock_timeout_ms=20000",
    "--set",
    "database.statement_timeout_ms=30000",
    "--set",
    "grpc.max_connection_age_seconds=604800",
];

/// Returns a number from an environment variable, or the default.
pub(crate) fn count_from(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

/// Processes on one database. They are killed before their directory is deleted.
pub(crate) struct Fleet {
    servers: Vec<Server>,
    installations: Vec<Installation>,
    session: String,
    _directory: TempDir,
}

impl Fleet {
    /// Starts processes on a new database and imports records into it.
    pub(crate) async fn start(processes: usize, database: &str, records: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let installation = Installation::new(BINARY, directory.path(), database);
        if !database.starts_with("sqlite:") {
            assert!(installation.run(&["keys", "init"]).status.success(), "no keys");
        }
        let mut installations = vec![installation];
        installations.extend((1..processes).map(|_| installations[0].replica()).collect::<Vec<_>>());
        let servers: Vec<_> = installations.iter().map(|installation| installation.start(SERVE)).collect();
        installations.iter().for_each(Installation::wait_until_ready);

        std::fs::write(directory.path().join("records.ndjson"), records).expect("written");
        let imported = installations[0].run(&["import", "--create-organisation", "records.ndjson"]);
        assert!(imported.status.success(), "{}", text(&imported));
        add_user(&installations[0]);
        // The guessing client has the permissions of a till.
        let add = ["user", "add", "--organisation", "DEMO", "--username", "till", "--password-stdin"];
        let add = [&add[..], &["--permissions", "access_tokens.read,access_tokens.write"]].concat();
        let added = installations[0].run_with_input(&add, PASSWORD);
        assert!(added.status.success(), "{}", text(&added));
        let session = servers[0].client().login("DEMO", "till", PASSWORD, None).await.expect("logged in");
        Self { servers, installations, session, _directory: directory }
    }

    /// Returns a client of the first process with all permissions.
    pub(crate) async fn operator(&self) -> Client {
        logged_in(&self.servers[0]).await
    }

    /// Returns gRPC clients with the permissions of a till, each of another process than the one before.
    pub(crate) fn doors(&self, connections: usize) -> Vec<Door> {
        let servers = self.servers.iter().cycle().take(connections * self.servers.len());
        servers.map(|server| Door::Grpc(server.client().with_session(&self.session))).collect()
    }

    /// Returns HTTP clients: for each process one on the paths of the original API, and one on the canonical paths.
    pub(crate) fn gateways(&self) -> Vec<Door> {
        let of = |server: &Server| HttpClient::new(server.http_address(), &self.session);
        let legacy = self.servers.iter().map(|server| Door::Http(of(server)));
        legacy.chain(self.servers.iter().map(|server| Door::Http(of(server).canonical()))).collect()
    }

    /// Kills a process as a crash would, and starts it again.
    pub(crate) fn crash(&mut self, process: usize) {
        self.servers.remove(process).kill();
        self.servers.insert(process, self.installations[process].start(SERVE));
    }

    /// Waits until all processes are ready.
    pub(crate) fn wait_until_ready(&self) {
        self.installations.iter().for_each(Installation::wait_until_ready);
    }

    /// Returns the number of comparisons of a kind of secret with a stored hash, over all processes, including those that were
    /// killed.
    pub(crate) fn comparisons(&self, kind: &str) -> usize {
        let told = format!("access_tokens::comparison: kind=\"{kind}\"");
        self.installations
            .iter()
            .map(|installation| installation.log().lines().filter(|line| line.contains(&told)).count())
            .sum()
    }
}

/// A client of a process.
#[derive(Clone)]
pub(crate) enum Door {
    Grpc(Client),
    Http(HttpClient),
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The call succeeded.
    Right,
    /// The call was refused for this reason.
    Refused(String),
    /// There was no answer, or none from a process with a database. The effect of the call is unknown.
    Unanswered,
}

impl Door {
    /// Calls a method, with a request in the form of the contract.
    pub(crate) async fn call(&self, method: &str, request: Value) -> Outcome {
        let reason = match self {
            Self::Grpc(client) => match client.try_call(method, request).await {
                Ok(_) => return Outcome::Right,
                Err(refusal) => refusal.reason,
            },
            Self::Http(client) => match client.try_post(path(method), spread(request)).await {
                Some(answer) if answer.json().get("data").is_some() => return Outcome::Right,
                Some(answer) => answer.reason().to_owned(),
                None => String::new(),
            },
        };
        if reason.is_empty() || reason == "DATABASE_UNAVAILABLE" {
            Outcome::Unanswered
        } else {
            Outcome::Refused(reason)
        }
    }
}

/// Returns the path of a method in the gateway, from the contract.
fn path(method: &str) -> &'static str {
    let method = methods().iter().find(|each| each.grpc_path.ends_with(&format!("/{method}"))).expect("a method");
    let original = method.http.first().expect("a path");
    assert!(original.body, "{} is called by GET", original.path);
    original.path.trim_start_matches("/crmapi/rest/v2/")
}

/// Returns a request in the form of the HTTP API: the members of a credential are members of the identifier, and null stands for
/// `update_mask`.
fn spread(mut request: Value) -> Value {
    if let Some(mask) = request.as_object_mut().and_then(|members| members.remove("update_mask")) {
        for path in mask.as_str().expect("a mask").split(',') {
            request.as_object_mut().expect("an object").entry(path).or_insert(Value::Null);
        }
    }
    if let Some(identifier) = request.get_mut("access_token_identifier")
        && let Some(credential) = identifier.get_mut("credential").map(Value::take)
    {
        *identifier = credential;
    }
    request
}
