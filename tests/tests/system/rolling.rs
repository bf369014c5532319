//! An upgrade without a failed call: servers are replaced one by one, while the schema of the next release is installed.

use std::error::Error;
use std::time::{Duration, Instant};

use access_tokens_proto::v1::access_token_identifier::Identifier;
use access_tokens_proto::v1::access_token_service_client::AccessTokenServiceClient;
use access_tokens_proto::v1::{AccessTokenIdentifier, CreateAccessTokenRequest, ShowAccessTokenRequest};
use access_tokens_testapp::process::{Installation, Server};
use access_tokens_testkit::postgres::{self, Cluster};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::block_in_place;
use tonic::transport::{Channel, Endpoint};
use tonic::{ConnectError, Request, Status};

use crate::processes::{add_user, logged_in};

const BINARY: &str = env!("CARGO_BIN_EXE_access-tokens-under-test");
/// Maximum time that a stopping server gives its calls.
const DRAIN_TIME: Duration = Duration::from_secs(10);
const CALLERS: usize = 8;
/// The schema changes of the next release: the first half of each change, see decision 10.
const NEXT_RELEASE: &str = "SET lock_timeout = '2s'; \
    ALTER TABLE access_token ADD COLUMN of_the_next_release TEXT; \
    CREATE TABLE next_release (id INTEGER PRIMARY KEY); \
    INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_next_release', 0)";

/// The results of a load.
#[derive(Debug, Default)]
struct Seen {
    created: Vec<String>,
    shown: usize,
    failed: Vec<String>,
    slowest: Duration,
    repeated: usize,
}

/// A client of all servers with client-side load balancing, which repeats the calls that a gRPC client repeats by itself: those
/// that were not sent, or that no server has begun to process.
#[derive(Clone)]
struct Caller {
    service: AccessTokenServiceClient<Channel>,
    session: String,
}

impl Caller {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.session).parse().expect("a token"));
        request
    }

    async fn create(self) -> Result<String, Status> {
        let request = self.request(CreateAccessTokenRequest::default());
        let created = self.service.clone().create_access_token(request).await?;
        Ok(created.into_inner().id)
    }

    async fn show(self, id: String) -> Result<String, Status> {
        let identifier = AccessTokenIdentifier { identifier: Some(Identifier::Id(id)) };
        let request = ShowAccessTokenRequest { access_token_identifier: Some(identifier), ..Default::default() };
        let shown = self.service.clone().show_access_token(self.request(request)).await?;
        Ok(shown.into_inner().id)
    }

    /// Creates tokens and shows them.
    async fn work(self, stop: watch::Receiver<bool>) -> Seen {
        let mut seen = Seen::default();
        while !*stop.borrow() {
            if let Some(id) = seen.call(|| self.clone().create()).await {
                let shown = seen.call(|| self.clone().show(id.clone())).await;
                seen.shown += usize::from(shown.as_ref() == Some(&id));
                seen.created.push(id);
            }
        }
        seen
    }
}

impl Seen {
    async fn call<F>(&mut self, call: impl Fn() -> F) -> Option<String>
    where
        F: Future<Output = Result<String, Status>>,
    {
        let asked = Instant::now();
        let answer = loop {
            match call().await {
                Err(status) if was_not_taken(&status) && asked.elapsed() < DRAIN_TIME => self.repeated += 1,
                answer => break answer,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        self.slowest = self.slowest.max(asked.elapsed());
        answer.map_err(|status| self.failed.push(format!("{status:?}"))).ok()
    }
}

/// Returns whether no server has begun to process the call. Only then a client may repeat it by itself.
fn was_not_taken(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let refused = error.downcast_ref::<h2::Error>().is_some_and(|error| {
            // A stream that GOAWAY leaves out, or that is refused.
            error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
        });
        let unsent = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        if refused || unsent || error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_are_replaced_one_by_one_and_no_call_fails() {
    let directory = TempDir::new().expect("a directory");
    let (url, cluster): (String, &Cluster) = block_in_place(|| (postgres::create_database(), postgres::shared()));
    let installation = Installation::new(BINARY, directory.path(), &url);
    assert!(installation.run(&["keys", "init"]).status.success(), "no keys");
    let installations = [installation.clone(), installation.replica(), installation.replica()];
    let mut servers: Vec<Option<Server>> =
        installations.iter().map(|installation| Some(installation.start(&["serve"]))).collect();
    installations.iter().for_each(Installation::wait_until_ready);
    add_user(&installation);
    let operator = logged_in(servers[0].as_ref().expect("running")).await;

    let endpoints = installations.each_ref().map(|installation| {
        let endpoint = Endpoint::from_shared(format!("http://{}", installation.address())).expect("a URI");
        endpoint.connect_timeout(Duration::from_secs(1))
    });
    let service = AccessTokenServiceClient::new(Channel::balance_list(endpoints.into_iter()));
    let caller = Caller { service, session: operator.session().to_owned() };
    let (stop, stopped) = watch::channel(false);
    let work: Vec<_> = (0..CALLERS).map(|_| tokio::spawn(caller.clone().work(stopped.clone()))).collect();

    let database = url.rsplit('/').next().expect("a name").to_owned();
    for (number, installation) in installations.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if number == 1 {
            // The first server of the next release has started and changed the schema. The others continue to work, and restart.
            block_in_place(|| cluster.psql(&database, NEXT_RELEASE)).expect("migrated");
        }
        let server = servers[number].take().expect("running");
        let (code, took) = block_in_place(|| server.terminate());
        assert_eq!(code, Some(0), "{}", installation.log());
        assert!(took < DRAIN_TIME, "{took:?}");
        servers[number] = Some(installation.start(&["serve"]));
        block_in_place(|| installation.wait_until_ready());
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop.send_replace(true);
    let mut all = Seen::default();
    for one in work {
        let seen = one.await.expect("no panic");
        all.created.extend(seen.created);
        all.failed.extend(seen.failed);
        all.shown += seen.shown;
        all.repeated += seen.repeated;
        all.slowest = all.slowest.max(seen.slowest);
    }
    assert!(all.failed.is_empty(), "{} calls failed, such as {:?}", all.failed.len(), all.failed.first());
    assert!(all.slowest < DRAIN_TIME, "{:?}", all.slowest);
    assert!(all.created.len() > 100 && all.shown == all.created.len(), "{} of {}", all.shown, all.created.len());
    assert!(all.repeated > 0, "the servers that went were never called");
    let created = all.created.iter().collect::<std::collections::HashSet<_>>();
    let stored = block_in_place(|| cluster.psql(&database, "SELECT count(*) FROM access_token")).expect("counted");
    assert_eq!(stored, created.len().to_string(), "each call took effect once");
    // Any server can answer, so the last one does.
    let last = servers.pop().flatten().expect("running");
    last.client().with_session(operator.session()).ok("ListClassifications", json!({})).await;
}
