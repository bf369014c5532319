//! Serving, from binding the first port to the last answer.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use access_tokens_auth::{Authenticator, SessionTokens};
use access_tokens_domain::guess_budget::DEFAULT_LIMIT;
use access_tokens_domain::notification::Notifier;
use access_tokens_domain::ports::{Clock, Random, Secrets};
use access_tokens_domain::service::AccessTokens;
use access_tokens_domain::service::import::Importer;
use access_tokens_grpc::server::{CallRouter, in_process, routers};
use access_tokens_grpc::{App, Limits};
use access_tokens_grpc::{Health, Readiness};
use access_tokens_host::{SystemClock, SystemRandom};
use access_tokens_net::accept::ConnectionLimits;
use access_tokens_net::connections::{Connection, Http2Limits, connections, split_by_stream_limit};
use access_tokens_net::port::{Port, PortNames};
use access_tokens_net::signals::StopSignal;
use access_tokens_secrets::{KeyProvider, KeyRing, KeyedSecrets};
use access_tokens_storage::{Database, DatabaseOptions, SetupError};
use access_tokens_telemetry::metrics::Metrics;
use anyhow::Context;
use futures::Stream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use {access_tokens_secrets as crypto, access_tokens_telemetry as telemetry};

use super::http_server::{DRAIN_TIMEOUT, HttpServer};
use super::ops::Ops;
use super::{certificates, ready, starting};
use crate::config::{GrpcSettings, Settings};
use crate::{databases, notification};

/// Maximum time for the first answer of the database before the start counts as delayed, and probes are answered without it.
const STARTUP_GRACE: Duration = Duration::from_secs(1);
/// Time between two attempts to reach an unavailable database.
const CONNECT_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// The same for a database that answers, and is a standby: it may be promoted at any time.
const PROMOTION_RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// Maximum time to close the database: transactions in progress, and moving the log of a SQLite file into the file.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1_400);
/// Maximum time to deliver the last notifications, and their deadline after the signal, shortly before the process ends.
const NOTIFICATION_TIMEOUT: Duration = Duration::from_secs(2);
const NOTIFICATION_DEADLINE: Duration = Duration::from_millis(9_500);

/// Serves until SIGTERM or SIGINT. `prepare` runs once, after the database is available and before the first call.
///
/// The ports are bound first: gRPC, and the gateway and the port for operators unless they are switched off. Health is NOT_SERVING until
/// the database answers and its schema is current, and again after a signal. Calls in progress then have eight seconds; the process ends
/// within ten seconds.
pub async fn serve(
    settings: &Settings,
    ring: &KeyRing,
    prepare: impl AsyncFnOnce(Arc<Database>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut stop = StopSignal::on_signals()?;
    let max_guess_chance = settings.policy.max_guess_chance;
    if max_guess_chance > DEFAULT_LIMIT {
        tracing::warn!(
            max_guess_chance,
            "policy.max_guess_chance is raised: policies may make secrets easier to guess"
        );
    }
    let port = {
        let GrpcSettings { listen, tls, allow_plain_text, .. } = &settings.grpc;
        Port::bind(&PortNames::GRPC, *listen, tls, *allow_plain_text).await?
    };
    let mut http_server = HttpServer::bind(settings, &stop).await?;
    let (health, metrics) = (Health::new(), Arc::new(Metrics::exported()));
    metrics.set_guess_limit(max_guess_chance);
    metrics.watch_certificates(certificates::of_service(settings));
    let known = health.clone();
    let ops = Ops::start(&settings.ops, &metrics, move || known.check()).await?;
    let dropped = [Some(Arc::clone(&port.dropped)), http_server.dropped(), ops.dropped.clone()];
    metrics.watch_certificate_reloads();
    metrics.watch_dropped(dropped.into_iter().flatten().collect());

    let Some(database) = wait_for_database(settings, &port, &mut http_server, &mut stop, &health).await? else {
        return Ok(());
    };
    prepare(Arc::clone(&database)).await?;
    ops.attach_database(&database);

    let clock = Arc::new(SystemClock);
    let random = Arc::new(SystemRandom);
    let (notifier, deliveries) = notification::start(&settings.notifications, &settings.webhooks, clock, random);
    let keys = Arc::new(KeyProvider::new(ring.clone()));
    // A ring in a setting does not change until the next start.
    let mut watchers = JoinSet::new();
    if let Some(file) = settings.keys.ring_file() {
        watchers.spawn(crypto::watch_key_file(file.to_owned(), Arc::clone(&keys)));
    }
    let app = Arc::new(assemble(&database, &keys, notifier, settings, metrics));
    let certificate_users: Vec<_> = settings.grpc.tls.identities.iter().map(|one| one.certificate_user()).collect();
    app.sessions.bind_certificates(&certificate_users).await;
    let sessions = Arc::clone(&app.sessions);
    watchers.spawn(async move { sessions.watch_releases().await });
    let sessions = Arc::clone(&app.sessions);
    watchers.spawn(async move { sessions.sweep_logins().await });
    let readiness = {
        let (database, sessions, health) = (Arc::clone(&database), Arc::clone(&app.sessions), health.clone());
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { ready::watch(&database, &sessions, &keys, &health).await })
    };

    let limits = Limits {
        max_concurrent_requests: settings.grpc.max_concurrent_requests,
        max_anonymous_requests: settings.grpc.max_anonymous_requests,
        max_anonymous_requests_per_address: settings.grpc.max_anonymous_requests_per_address,
        connection_age: settings.grpc.connection_age(),
    };
    let incoming = connections(port, http2_limits(&settings.grpc, &stop));
    http_server.attach_services(in_process(Arc::clone(&app), &health, limits));
    let mut server =
        tokio::spawn(serve_calls(routers(app, &health, limits, settings.grpc.reflection), incoming, stop.clone()));

    let seen = stop.clone();
    tokio::select! {
        () = stop.asked() => {}
        ended = &mut server => {
            // A server without connections ends in the same instant in which it is asked to.
            ended.context("the server broke")?.context("the server stopped by itself")?;
            anyhow::ensure!(seen.was_asked(), "the server stopped by itself");
        }
        ended = http_server.ended() => {
            ended.context("the gateway broke")?;
            anyhow::ensure!(seen.was_asked(), "the gateway stopped by itself");
        }
    }
    let asked = Instant::now();
    readiness.abort();
    // Until the task has ended, it could still change the health.
    let _ = readiness.await;
    health.set(Readiness::Stopping);
    let rest = async {
        if !server.is_finished() {
            let _ = (&mut server).await;
        }
    };
    let drained = timeout(DRAIN_TIMEOUT, async { tokio::join!(rest, http_server.drained()) }).await;
    if drained.is_err() {
        // An endless call, or a client that does not read, must not keep the process alive.
        tracing::warn!("calls that are still under way are cut");
        server.abort();
        http_server.abort();
    }
    watchers.abort_all();
    if timeout(CLOSE_TIMEOUT, database.close()).await.is_err() {
        tracing::warn!("transactions in progress are rolled back");
    }
    // The last transaction may have queued a notification.
    deliveries.drain(NOTIFICATION_TIMEOUT.min(NOTIFICATION_DEADLINE.saturating_sub(asked.elapsed()))).await;
    tracing::info!("stopped");
    Ok(())
}

/// Answers calls until the signal to stop, and then those that are in progress.
async fn serve_calls(
    [high_limit_router, low_limit_router]: [CallRouter; 2],
    incoming: impl Stream<Item = io::Result<Connection>>,
    mut stop: StopSignal,
) -> Result<(), tonic::transport::Error> {
    let (high_limit, low_limit) = split_by_stream_limit(incoming);
    let high_limit_router =
        high_limit_router.serve_with_incoming_shutdown(high_limit, async move { stop.asked().await });
    // This server ends with its last connection, which is after the other server is asked to stop: no connection is lost between them.
    let low_limit_router = low_limit_router.serve_with_incoming_shutdown(low_limit, pending());
    tokio::try_join!(high_limit_router, low_limit_router).map(drop)
}

/// Returns the database as soon as it answers. Until then, probes are answered without it. None if the process was asked to stop before.
async fn wait_for_database(
    settings: &Settings,
    port: &Port,
    http_server: &mut HttpServer<'_>,
    stop: &mut StopSignal,
    health: &Health,
) -> anyhow::Result<Option<Arc<Database>>> {
    let mut connecting = Box::pin(connect_with_retries(settings, health));
    if let Ok(connected) = timeout(STARTUP_GRACE, &mut connecting).await {
        return connected.map(Some);
    }
    http_server.start();
    let (done, ended) = tokio::sync::oneshot::channel::<()>();
    let waiting = {
        let (port, limits) = (port.clone(), http2_limits(&settings.grpc, stop));
        tokio::spawn(starting::serve(port, limits, async { drop(ended.await) }))
    };
    let connected = tokio::select! {
        connected = connecting => connected.map(Some),
        () = stop.asked() => Ok(None),
    };
    drop(done);
    // The connections are asked to end and reconnect. A client that does not is cut off with the task.
    let abort = waiting.abort_handle();
    if timeout(STARTUP_GRACE, waiting).await.is_err() {
        abort.abort();
    }
    connected
}

/// The stage at which a start failed.
enum StartError {
    Unopened(SetupError),
    Refused(SetupError),
    Unmigrated(SetupError),
}

impl From<SetupError> for StartError {
    fn from(error: SetupError) -> Self {
        Self::Unopened(error)
    }
}

async fn connect_with_retries(settings: &Settings, health: &Health) -> anyhow::Result<Arc<Database>> {
    let options = DatabaseOptions { observer: telemetry::statement_observer(), ..settings.database.options() };
    let mut last_error = None;
    loop {
        let prepared = async |database: &Database| {
            database.claim().map_err(StartError::Refused)?;
            if database.is_sqlite() || settings.database.migrate_at_start {
                database.migrate().await.map_err(StartError::Unmigrated)?;
            } else {
                database.check_rights().await.map_err(StartError::Refused)?;
                database.check_schema().await.map_err(StartError::Refused)?;
            }
            Ok(())
        };
        match databases::open(&options, prepared).await {
            Ok(database) => return Ok(database),
            // A file that cannot be opened will not recover; a server that is unavailable may.
            Err(StartError::Unopened(
                error @ (SetupError::Database(_) | SetupError::Unreachable { .. } | SetupError::NoPrimary { .. }),
            )) if !settings.database.is_sqlite() => {
                let standby = matches!(error, SetupError::NoPrimary { .. });
                let error = error.parts().0;
                // Logged again only when the cause changes, such as from a refused connection to a wrong password.
                if last_error.as_ref() != Some(&error) {
                    tracing::warn!(error, "waiting for the database");
                    health.set(if standby { Readiness::Standby } else { Readiness::Starting });
                    health.explain(error.as_str());
                }
                last_error = Some(error);
                sleep(if standby { PROMOTION_RETRY_INTERVAL } else { CONNECT_RETRY_INTERVAL }).await;
            }
            Err(StartError::Unopened(error) | StartError::Refused(error)) => return Err(error.into()),
            Err(StartError::Unmigrated(error)) => {
                return Err(error).context("the schema of the database cannot be brought up to date");
            }
        }
    }
}

/// Returns the limits on connections of the gRPC port.
pub(super) fn http2_limits(settings: &GrpcSettings, stop: &StopSignal) -> Http2Limits {
    let connections = ConnectionLimits {
        max_connections: settings.max_connections,
        anonymous_per_address: settings.max_anonymous_connections_per_address,
        trusted_proxies: settings.trusted_proxies.as_slice().into(),
    };
    Http2Limits {
        connections,
        age: settings.connection_age(),
        idle: Duration::from_secs(settings.idle_seconds),
        stop: stop.clone(),
    }
}

/// Connects the use cases with their ports and metrics.
fn assemble(
    database: &Arc<Database>,
    keys: &Arc<KeyProvider>,
    notifier: Arc<dyn Notifier>,
    settings: &Settings,
    metrics: Arc<Metrics>,
) -> App<Database> {
    let max_guess_chance = settings.policy.max_guess_chance;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let max_foreign_memory = settings.hashing.max_foreign_memory.kib();
    let keyed = KeyedSecrets::live(Arc::clone(keys), Arc::clone(&random)).with_max_foreign_memory(max_foreign_memory);
    let keyed = Arc::new(keyed);
    let secrets: Arc<dyn Secrets> = keyed.clone();
    metrics.watch_hashing(move || keyed.hashing());
    let live = Arc::clone(keys);
    metrics.watch_key(move || live.ring().made());
    let watched = Arc::downgrade(database);
    metrics.watch_sqlite(move || watched.upgrade()?.group_commit_counts());
    let watched = Arc::downgrade(database);
    metrics.watch_sqlite_queue(move || watched.upgrade()?.waiting_to_write());
    let watched = database.replicas().map(|replicas| Arc::downgrade(&replicas));
    metrics.watch_reads(move || Some(watched.as_ref()?.upgrade()?.read_counts()));
    let watched = Arc::downgrade(database);
    metrics.watch_connections(move || watched.upgrade().map(|database| database.connections()).unwrap_or_default());
    let access_tokens = AccessTokens::new(database.clone(), clock.clone(), random.clone(), secrets.clone())
        .with_notifier(notifier)
        .with_max_guess_chance(max_guess_chance)
        .with_observer(metrics.clone());
    let importer = Importer::new(database.clone(), clock.clone(), random.clone(), secrets.clone())
        .with_max_guess_chance(max_guess_chance);
    let sessions = Authenticator::new(database.clone(), clock, random, secrets, SessionTokens::live(keys.clone()))
        .with_observer(metrics.clone())
        .limiting_logins(settings.sessions.limits());
    let sessions = Arc::new(sessions);
    let (database_up, replicas) = (database.watch_health(), database.replicas());
    let watched = Arc::downgrade(&sessions);
    metrics.watch_released(move || watched.upgrade().map_or(0, |sessions| sessions.count_released()));
    App { access_tokens, importer, sessions, metrics, database_up, replicas }
}

#[cfg(test)]
mod tests;
