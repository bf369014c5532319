//! What Kubernetes and grpcurl are told about readiness.

use std::sync::{Arc, Mutex, PoisonError};

use access_tokens_proto::v1::access_token_service_server::SERVICE_NAME as ACCESS_TOKENS;
use access_tokens_proto::v1::authentication_service_server::SERVICE_NAME as AUTHENTICATION;
use access_tokens_proto::v1::directory_service_server::SERVICE_NAME as DIRECTORY;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The names that health is asked for: the whole server and each service.
pub(super) const NAMES: [&str; 4] = ["", ACCESS_TOKENS, AUTHENTICATION, DIRECTORY];

/// The name under which a process says that it lives, whatever it waits for: Kubernetes ends those that do not, which helps
/// against a process that is stuck and not against a database that is away.
pub(crate) const ALIVE: &str = "alive";

/// Whether the service is ready, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It is.
    Ready,
    /// The database has not answered yet.
    Starting,
    /// The schema of the database is not current.
    Unmigrated,
    /// The key ring is not the one that the database was written with.
    ForeignKeys,
    /// The database answers, and gives no connection to calls.
    NoConnection,
    /// The database answers no longer.
    Away,
    /// The database is there, and cannot be written: why.
    Unwritable(&'static str),
    /// The process was asked to stop.
    Stopping,
}

impl Readiness {
    /// Returns why the service is not ready, for people.
    pub fn check(self) -> Result<(), String> {
        let why = match self {
            Self::Ready => return Ok(()),
            Self::Unwritable(why) => return Err(format!("not ready: the database cannot be written: {why}")),
            Self::Starting => "starting, the database has not answered yet",
            Self::Unmigrated => "the schema of the database is not current: run `access-tokens migrate`",
            Self::ForeignKeys => "the keys are not those of the database: `access-tokens doctor` says more",
            Self::NoConnection => "the database gives no connection to calls",
            Self::Away => "the database does not answer",
            Self::Stopping => "stopping",
        };
        Err(format!("not ready: {why}"))
    }
}

/// Says whether the service is ready. It is not until told.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    readiness: Arc<Mutex<Readiness>>,
    /// Why it is not ready, beyond what the readiness itself says.
    cause: Arc<Mutex<Option<String>>>,
}

impl Health {
    /// NOT_SERVING, for the server and every service.
    pub async fn new() -> Self {
        let readiness = Readiness::Starting;
        let (reporter, readiness_now) = (HealthReporter::new(), Arc::new(Mutex::new(readiness)));
        let health = Self { reporter, readiness: readiness_now, cause: Arc::default() };
        health.reporter.set_service_status(ALIVE, ServingStatus::Serving).await;
        health.set(readiness).await;
        health
    }

    /// Says why it is not ready, for the operator. It counts until the readiness is another one.
    pub fn explain(&self, cause: impl Into<String>) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.into());
    }

    /// Why the service is not ready, for people, with the cause.
    pub fn check(&self) -> Result<(), String> {
        let why = self.readiness().check();
        match &*self.cause.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(cause) => why.map_err(|why| format!("{why}: {cause}")),
            None => why,
        }
    }

    /// It has changed.
    pub async fn set(&self, readiness: Readiness) {
        *self.cause.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
        let ready = readiness == Readiness::Ready;
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// What was said last.
    pub fn readiness(&self) -> Readiness {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }
}
