//! The health service of gRPC, which reports to Kubernetes and grpcurl whether the service is ready.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_domain::{Error, Reason};
use access_tokens_proto::health::health_check_response::ServingStatus;
use access_tokens_proto::health::health_server::{self, HealthServer};
use access_tokens_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use access_tokens_proto::v1::access_token_service_server::SERVICE_NAME as ACCESS_TOKENS;
use access_tokens_proto::v1::authentication_service_server::SERVICE_NAME as AUTHENTICATION;
use access_tokens_proto::v1::directory_service_server::SERVICE_NAME as DIRECTORY;
use futures::{Stream, stream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use super::layer::method::MAX_REQUEST_BYTES;
use super::status;

/// The names under which health answers for the whole server and for each service.
const NAMES: [&str; 4] = ["", ACCESS_TOKENS, AUTHENTICATION, DIRECTORY];

/// The name under which a running process always answers SERVING. Kubernetes ends processes that do not answer, which helps if a
/// process hangs, and does not help if the database is down.
pub const ALIVE: &str = "alive";

/// The readiness of the service, with the reason if it is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Readiness {
    /// The service is ready.
    Ready,
    /// The database has not answered yet.
    #[default]
    Starting,
    /// The schema of the database is not current.
    Unmigrated,
    /// The role of the service may not read its tables.
    Unreadable,
    /// The key ring is not the one that the database was written with.
    ForeignKeys,
    /// The database answers, but calls get no connection.
    NoConnection,
    /// The database has stopped answering.
    Away,
    /// The database answers, and is a standby.
    Standby,
    /// The database answers and cannot be written, for this reason.
    Unwritable(&'static str),
    /// The process was asked to stop.
    Stopping,
}

impl Readiness {
    /// Succeeds if the service is ready. Otherwise returns the reason, for people.
    pub fn check(self) -> Result<(), String> {
        let why = match self {
            Self::Ready => return Ok(()),
            Self::Unwritable(why) => return Err(format!("not ready: the database cannot be written: {why}")),
            Self::Starting => "starting, the database has not answered yet",
            Self::Unmigrated => "the schema of the database is not current: run `access-tokens migrate`",
            Self::Unreadable => "the tables cannot be read",
            Self::ForeignKeys => "the keys are not those of the database: `access-tokens doctor` says more",
            Self::NoConnection => "the database gives no connection to calls",
            Self::Away => "the database does not answer",
            Self::Standby => "the database is a standby (in recovery)",
            Self::Stopping => "stopping",
        };
        Err(format!("not ready: {why}"))
    }
}

/// The readiness of the service, which begins as [`Readiness::Starting`]. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health {
    readiness: watch::Sender<Readiness>,
    /// The cause of the readiness, in addition to its own text.
    cause: Arc<Mutex<Option<String>>>,
}

impl Health {
    /// Returns a health that answers NOT_SERVING, for the server and every service.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a cause for the operator. It is kept until the readiness changes.
    pub fn explain(&self, cause: impl Into<String>) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.into());
    }

    /// Succeeds if the service is ready. Otherwise returns the reason with the cause, for people.
    pub fn check(&self) -> Result<(), String> {
        let why = self.readiness().check();
        match &*self.cause.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(cause) => why.map_err(|why| format!("{why}: {cause}")),
            None => why,
        }
    }

    /// Changes the readiness.
    pub fn set(&self, readiness: Readiness) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.readiness.send_replace(readiness);
    }

    /// Returns the present readiness.
    pub fn readiness(&self) -> Readiness {
        *self.readiness.borrow()
    }

    /// Returns the service that answers probes.
    pub fn service(&self) -> HealthServer<HealthGrpc> {
        HealthServer::new(HealthGrpc { readiness: self.readiness.clone() }).max_decoding_message_size(MAX_REQUEST_BYTES)
    }
}

/// Stands for each name that no service has.
const UNKNOWN_NAME: &str = "?";

/// Returns the status of the subject of a probe: the process, the server, or one of its services.
fn serving_status(name: &str, readiness: Readiness) -> ServingStatus {
    match name {
        ALIVE => ServingStatus::Serving,
        name if !NAMES.contains(&name) => ServingStatus::ServiceUnknown,
        _ if readiness == Readiness::Ready => ServingStatus::Serving,
        _ => ServingStatus::NotServing,
    }
}

/// The health service. Its streams have no end of their own: the layers end them with the age of their connection, and let the connection
/// count as idle before.
#[derive(Debug)]
pub struct HealthGrpc {
    readiness: watch::Sender<Readiness>,
}

#[tonic::async_trait]
impl health_server::Health for HealthGrpc {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        match serving_status(&request.get_ref().service, *self.readiness.borrow()) {
            ServingStatus::ServiceUnknown => {
                let unknown = Error::field(Reason::ReferenceNotFound, "service", "is not the name of a service");
                Err(status::from_error(&unknown))
            }
            known => Ok(Response::new(answer(known))),
        }
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let readiness = *self.readiness.borrow();
        let names = NAMES.into_iter().chain([ALIVE]);
        let statuses = names.map(|name| (name.to_owned(), answer(serving_status(name, readiness)))).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    /// Sends the present status, and then each change. An unknown name has the status SERVICE_UNKNOWN, which is no error.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        // An unknown name is text of the caller, which is not kept: streams need no session and have no end.
        let known = NAMES.into_iter().chain([ALIVE]).find(|known| *known == request.get_ref().service);
        let name = known.unwrap_or(UNKNOWN_NAME);
        let state = (self.readiness.subscribe(), name, None);
        let changes = stream::unfold(state, |(mut readiness, name, sent)| async move {
            loop {
                let now = serving_status(name, *readiness.borrow_and_update());
                if sent != Some(now) {
                    return Some((Ok(answer(now)), (readiness, name, Some(now))));
                }
                // The sender lives as long as the process.
                readiness.changed().await.ok()?;
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use access_tokens_proto::health::health_server::Health as _;
    use futures::{FutureExt, StreamExt};

    use super::*;

    fn named(name: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest { service: name.to_owned() })
    }

    #[tokio::test]
    async fn a_watch_tells_changes_of_what_it_watches_and_nothing_twice() {
        let health = Health::new();
        let service = HealthGrpc { readiness: health.readiness.clone() };
        for (name, before, after) in [
            ("", ServingStatus::NotServing, Some(ServingStatus::Serving)),
            (DIRECTORY, ServingStatus::NotServing, Some(ServingStatus::Serving)),
            (ALIVE, ServingStatus::Serving, None),
            ("nonsense", ServingStatus::ServiceUnknown, None),
            ("accesstoken.v1.DirectoryService ", ServingStatus::ServiceUnknown, None),
        ] {
            health.set(Readiness::Starting);
            let mut sent = service.watch(named(name)).await.expect("watched").into_inner();
            let mut next = || sent.next().now_or_never().map(|next| next.expect("no end").expect("no error").status());
            assert_eq!(next(), Some(before), "{name:?}");
            health.set(Readiness::Away);
            assert_eq!(next(), None, "{name:?}");
            health.set(Readiness::Ready);
            assert_eq!(next(), after, "{name:?}");
            health.set(Readiness::Ready);
            assert_eq!(next(), None, "{name:?}");
        }
    }

    #[tokio::test]
    async fn the_list_has_what_a_check_knows() {
        let health = Health::new();
        let service = HealthGrpc { readiness: health.readiness.clone() };
        for readiness in [Readiness::Starting, Readiness::Ready, Readiness::Stopping] {
            health.set(readiness);
            let statuses =
                service.list(Request::new(HealthListRequest {})).await.expect("a list").into_inner().statuses;
            assert_eq!(statuses.len(), NAMES.len() + 1);
            for (name, listed) in &statuses {
                assert_eq!(*listed, service.check(named(name)).await.expect("known").into_inner(), "{name:?}");
            }
        }
        let unknown = service.check(named("nonsense")).await.expect_err("unknown");
        assert_eq!(unknown.code(), tonic::Code::NotFound);
    }
}
