//! The parts of the application that the services use.

use std::sync::Arc;

use access_tokens_auth::Authenticator;
use access_tokens_domain::service::AccessTokens;
use access_tokens_domain::service::import::Importer;
use access_tokens_storage::Replicas;
use access_tokens_telemetry::metrics::Metrics;
use tokio::sync::watch;

/// The parts of the application that the services use.
pub struct App<S> {
    /// The use cases of access tokens.
    pub access_tokens: AccessTokens<S>,
    /// The import of the directory.
    pub importer: Importer<S>,
    /// Sessions and API keys.
    pub sessions: Arc<Authenticator<S>>,
    /// Metrics of calls.
    pub metrics: Arc<Metrics>,
    /// Whether the database answers. Calls are refused while it does not.
    pub database_up: watch::Receiver<bool>,
    /// Replicas of the database that may answer reads.
    pub replicas: Option<Arc<Replicas>>,
}
