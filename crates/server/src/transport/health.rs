//! What Kubernetes and grpcurl are told about readiness.

use access_tokens_proto::v1::access_token_service_server::SERVICE_NAME as ACCESS_TOKENS;
use access_tokens_proto::v1::authentication_service_server::SERVICE_NAME as AUTHENTICATION;
use access_tokens_proto::v1::directory_service_server::SERVICE_NAME as DIRECTORY;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// The names that health is asked for: the whole server and each service.
pub(super) const NAMES: [&str; 4] = ["", ACCESS_TOKENS, AUTHENTICATION, DIRECTORY];

/// Says whether the service is ready. It is not until told.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// NOT_SERVING, for the server and every service.
    pub async fn new() -> Self {
        let health = Self { reporter: HealthReporter::new() };
        health.set_serving(false).await;
        health
    }

    /// The database answers and its schema is current, or no longer so.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in NAMES {
            self.reporter.set_service_status(name, status).await;
        }
    }

    pub(super) fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }
}
