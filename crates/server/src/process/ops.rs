//! The port for operators, of `serve` and of the gateway as a separate process: liveness, readiness and metrics.
//!
//! The port opens first and closes last: it answers before the database does, and while a stopping process finishes its last calls. It is
//! separate from the other ports because its information is for operators only.

use std::future::pending;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use access_tokens_gateway::Malformed;
use access_tokens_net::accept::ConnectionLimits;
use access_tokens_net::drop_counters::DropCounters;
use access_tokens_net::http1;
use access_tokens_net::port::{Port, PortNames};
use access_tokens_storage::Database;
use access_tokens_telemetry as telemetry;
use access_tokens_telemetry::VERSION;
use access_tokens_telemetry::metrics::{GuessBounds, Metrics, TEXT_TYPE};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::http_log;
use super::ops_paths::{BUILDINFO, LIVEZ, METRICS, READYZ};
use crate::config::OpsSettings;

/// Minimum time between two counts of access tokens.
const TOKEN_COUNT_INTERVAL: Duration = Duration::from_secs(60);
/// Minimum ratio of the time after a count to the duration of the count. With ten million tokens on SQLite, a count takes seconds.
const TOKEN_COUNT_REST_FACTOR: u32 = 100;

/// Limits on connections, which suffice for a few scrapers and probes. Above the limits, a new connection replaces the oldest connection of
/// the address that has most connections, so that one client cannot prevent probes.
const MAX_CONNECTIONS: usize = 64;
const MAX_CONNECTIONS_PER_ADDRESS: usize = 32;
/// Maximum idle time of a connection between two requests.
const IDLE_TIME: Duration = Duration::from_secs(5);
/// Maximum time that a scrape waits for the database.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The port for operators, or none where the setting is empty. Dropping this closes the port.
pub(super) struct Ops {
    state: Arc<OpsState>,
    server: Option<JoinHandle<()>>,
    /// The counts of closed connections. None without a port.
    pub(super) dropped: Option<Arc<DropCounters>>,
    collector: OnceLock<JoinHandle<()>>,
}

/// Returns whether the process is ready, or why it is not.
type Readiness = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The state that the port shows.
struct OpsState {
    metrics: Arc<Metrics>,
    readiness: Readiness,
    database: OnceLock<Weak<Database>>,
    /// The time of the next count of tokens. Locked while the database is queried.
    next_count: Arc<Mutex<Option<Instant>>>,
}

impl Ops {
    /// Binds the port and starts to answer. `readiness` is called at each probe.
    pub(super) async fn start(
        settings: &OpsSettings,
        metrics: &Arc<Metrics>,
        readiness: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let state = Arc::new(OpsState {
            metrics: Arc::clone(metrics),
            readiness: Box::new(readiness),
            database: OnceLock::new(),
            next_count: Arc::default(),
        });
        let mut dropped = None;
        let server = match settings.listen {
            Some(address) => {
                let port = Port::bind(&PortNames::OPS, address, &settings.tls, settings.allow_plain_text).await?;
                dropped = Some(Arc::clone(&port.dropped));
                let service = http1::HttpService {
                    router: router(Arc::clone(&state)),
                    refuse: malformed,
                    log: http_log::with_request_log,
                    idle: IDLE_TIME,
                };
                let limits = ConnectionLimits {
                    max_connections: MAX_CONNECTIONS,
                    anonymous_per_address: MAX_CONNECTIONS_PER_ADDRESS,
                    trusted_proxies: Arc::default(),
                };
                Some(tokio::spawn(http1::serve(port, limits, service, pending())))
            }
            None => None,
        };
        Ok(Self { state, server, dropped, collector: OnceLock::new() })
    }

    /// Starts to show the state of this database.
    pub(super) fn attach_database(&self, database: &Arc<Database>) {
        // This runs once, so that the cell is empty.
        let _ = self.state.database.set(Arc::downgrade(database));
        if telemetry::is_exporting() {
            let _ = self.collector.set(tokio::spawn(collect(Arc::clone(&self.state))));
        }
    }
}

impl Drop for Ops {
    fn drop(&mut self) {
        for task in self.server.iter().chain(self.collector.get()) {
            task.abort();
        }
    }
}

/// Answers a malformed HTTP request, in plain text as everything on this port.
fn malformed(malformed: Malformed) -> Response {
    (malformed.status(), format!("{}\n", malformed.description())).into_response()
}

fn router(state: Arc<OpsState>) -> Router {
    Router::new()
        // Liveness: while this is answered, the process need not be killed. It does not depend on the database.
        .route(LIVEZ, get(async || "alive\n"))
        .route(READYZ, get(ready))
        .route(METRICS, get(metrics))
        .route(BUILDINFO, get(build_info))
        .with_state(state)
}

async fn ready(State(state): State<Arc<OpsState>>) -> impl IntoResponse {
    match (state.readiness)() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(state): State<Arc<OpsState>>) -> impl IntoResponse {
    update_database_metrics(&state).await;
    ([(CONTENT_TYPE, TEXT_TYPE)], state.metrics.text())
}

async fn build_info() -> impl IntoResponse {
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let facts = json!({"name": "access-tokens", "version": VERSION, "target": target, "profile": profile});
    ([(CONTENT_TYPE, "application/json")], format!("{facts}\n"))
}

/// Updates the metrics regularly for an exporter, which does not scrape.
async fn collect(state: Arc<OpsState>) {
    loop {
        update_database_metrics(&state).await;
        sleep(TOKEN_COUNT_INTERVAL).await;
    }
}

/// Updates the metrics that only the database knows. Without an answer, they are not shown.
async fn update_database_metrics(state: &OpsState) {
    let Some(database) = state.database.get().and_then(Weak::upgrade) else { return };
    // One query at a time. Other scrapes show the last known values.
    let Ok(mut next_count) = Arc::clone(&state.next_count).try_lock_owned() else { return };
    let metrics = Arc::clone(&state.metrics);
    // A separate task runs the query, because a scrape that is cancelled must not drop a future that holds a connection.
    let query = tokio::spawn(async move {
        let bounds = GuessBounds::of(database.as_ref()).await;
        metrics.set_guess_bounds(bounds.unwrap_or_default());
        let begun = Instant::now();
        if next_count.is_none_or(|next| next <= begun) {
            metrics.set_tokens(database.tokens_by_state().await.unwrap_or_default());
            *next_count = Some(Instant::now() + TOKEN_COUNT_INTERVAL.max(begun.elapsed() * TOKEN_COUNT_REST_FACTOR));
        }
    });
    let _ = timeout(DATABASE_TIMEOUT, query).await;
}
