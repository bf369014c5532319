//! The service behind `access-tokens gateway`: its health, and the duration of its answers.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use access_tokens_grpc::layer::method;
use access_tokens_telemetry::metrics::Metrics;
use access_tokens_telemetry::rpc;
use http::{Request, Response};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::Service;

use crate::health_probe::is_serving;

/// Time between two health probes.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum time of a health probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Number of consecutive failed probes after which a ready service counts as unavailable. A late answer under load, or one that is lost
/// with a connection at its maximum age, must not take the gateway out of service.
const MAX_MISSES: u32 = 3;
/// Maximum length of a shown cause, in characters.
const MAX_CAUSE: usize = 300;

/// The state of the gateway, which follows the service.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// The service answered that it is not ready.
    NotReady,
    /// The service does not answer, with the cause.
    Away(String),
    Stopping,
}

/// The readiness of a gateway, which is that of the service behind it.
#[derive(Debug)]
pub(super) struct UpstreamHealth(Mutex<State>);

impl UpstreamHealth {
    /// Returns the state before the first probe.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State::Starting))
    }

    /// Returns whether the gateway is ready, or why it is not.
    pub(super) fn readiness(&self) -> Result<(), String> {
        let why = match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ready => return Ok(()),
            State::Starting => "starting, the service has not answered yet",
            State::NotReady => "the service says that it is not ready",
            State::Away(cause) => return Err(format!("not ready: the service does not answer: {cause}")),
            State::Stopping => "stopping",
        };
        Err(format!("not ready: {why}"))
    }

    /// Sets that the process was asked to stop.
    pub(super) fn stopping(&self) {
        self.set(State::Stopping);
    }

    /// Sets the state, and returns the previous one.
    fn set(&self, state: State) -> State {
        std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    fn is_ready(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == State::Ready
    }
}

/// Keeps the readiness up to date, until its task ends.
pub(super) async fn watch(channel: Channel, health: &UpstreamHealth) {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0;
    loop {
        ticks.tick().await;
        let state = probe(channel.clone()).await;
        misses = if matches!(state, State::Away(_)) { misses + 1 } else { 0 };
        if health.is_ready() && misses > 0 && misses < MAX_MISSES {
            continue;
        }
        let former = health.set(state.clone());
        match (former, state) {
            (State::Ready, State::Ready) => {}
            (_, State::Ready) => tracing::info!("ready"),
            (State::Ready, State::Away(error)) => tracing::warn!(error, "not ready: the service does not answer"),
            (State::Ready, _) => tracing::warn!("not ready: the service says that it is not ready"),
            _ => {}
        }
    }
}

async fn probe(channel: Channel) -> State {
    match timeout(PROBE_TIMEOUT, is_serving(channel, "")).await {
        Ok(Ok(true)) => State::Ready,
        Ok(Ok(false)) => State::NotReady,
        Ok(Err(status)) => State::Away(cause(&status)),
        Err(_) => State::Away(format!("no answer within {} seconds", PROBE_TIMEOUT.as_secs())),
    }
}

/// Returns the first cause of a failed call, such as a refused connection or an untrusted certificate.
fn cause(status: &Status) -> String {
    let deepest = anyhow::Chain::new(status).skip(1).last();
    let text = deepest.map_or_else(|| format!("{:?}", status.code()), ToString::to_string);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CAUSE).collect()
}

/// A client whose calls are counted and timed.
#[derive(Clone)]
pub(super) struct MeasuredClient<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> MeasuredClient<S> {
    pub(super) fn new(inner: S, metrics: &Arc<Metrics>) -> Self {
        Self { inner, metrics: Arc::clone(metrics) }
    }
}

impl<S, Q, A> Service<Request<Q>> for MeasuredClient<S>
where
    S: Service<Request<Q>, Response = Response<A>, Future: Send + 'static>,
{
    type Response = Response<A>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let method = method::find(request.uri().path()).map_or("unknown", |method| method.path.trim_start_matches('/'));
        let (metrics, started) = (Arc::clone(&self.metrics), Instant::now());
        let called = self.inner.call(request);
        Box::pin(async move {
            let answer = called.await;
            let code = answer.as_ref().map_or(Code::Unavailable, rpc::code);
            metrics.upstream_call(method, code, started.elapsed());
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::net::TcpListener;
    use tokio::time::sleep;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::{Endpoint, Server};
    use tonic_health::ServingStatus;
    use tonic_health::server::{HealthReporter, health_reporter};
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// Starts a service whose health the reporter sets.
    async fn service(listener: TcpListener) -> (HealthReporter, tokio::task::JoinHandle<()>) {
        let (reporter, health) = health_reporter();
        let server = Server::builder().add_service(health).serve_with_incoming(TcpListenerStream::new(listener));
        (reporter, tokio::spawn(async move { drop(server.await) }))
    }

    async fn wait_until(health: &UpstreamHealth, expected: &str) {
        let since = Instant::now();
        loop {
            let found = health.readiness().map_or_else(|why| why, |()| "ready".to_owned());
            if found.contains(expected) {
                return;
            }
            assert!(since.elapsed() < Duration::from_secs(10), "{found}, and not {expected}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn readiness_is_that_of_the_service_and_names_the_cause() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("a URL").connect_lazy();
        let health = Arc::new(UpstreamHealth::new());
        assert_eq!(health.readiness(), Err("not ready: starting, the service has not answered yet".to_owned()));
        let watched = Arc::clone(&health);
        let watcher = tokio::spawn(async move { watch(channel, &watched).await });
        wait_until(&health, "the service does not answer: Connection refused").await;

        let (reporter, server) = service(TcpListener::bind(address).await.expect("the port")).await;
        wait_until(&health, "ready").await;
        reporter.set_service_status("", ServingStatus::NotServing).await;
        wait_until(&health, "not ready: the service says that it is not ready").await;
        reporter.set_service_status("", ServingStatus::Serving).await;
        wait_until(&health, "ready").await;
        server.abort();
        watcher.abort();
        health.stopping();
        assert_eq!(health.readiness(), Err("not ready: stopping".to_owned()));
    }

    #[tokio::test]
    async fn a_service_without_answers_is_unavailable() {
        let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", silent.local_addr().expect("an address"));
        let channel = Endpoint::from_shared(url).expect("a URL").connect_lazy();
        let health = Arc::new(UpstreamHealth::new());
        let watched = Arc::clone(&health);
        let watcher = tokio::spawn(async move { watch(channel, &watched).await });
        wait_until(&health, "not ready: the service does not answer: no answer within 2 seconds").await;
        watcher.abort();
    }

    #[tokio::test]
    async fn calls_are_counted_by_method_and_code() {
        let metrics = Arc::new(Metrics::new());
        let answer = |code: Option<&'static str>| {
            service_fn(move |_: Request<()>| async move {
                let mut response = Response::new(());
                if let Some(code) = code {
                    response.headers_mut().insert("grpc-status", http::HeaderValue::from_static(code));
                }
                Ok::<_, Infallible>(response)
            })
        };
        let show = "/accesstoken.v1.AccessTokenService/ShowAccessToken";
        for (path, code) in [(show, None), (show, Some("5")), (show, Some("5")), ("/a/stranger's", Some("12"))] {
            let request = Request::builder().uri(path).body(()).expect("a request");
            MeasuredClient::new(answer(code), &metrics).oneshot(request).await.expect("answered");
        }
        let failing = service_fn(|_: Request<()>| async { Err::<Response<()>, _>("away") });
        let request = Request::builder().uri(show).body(()).expect("a request");
        MeasuredClient::new(failing, &metrics).oneshot(request).await.expect_err("away");
        let text = metrics.text();
        let method = show.trim_start_matches('/');
        for (method, code, count) in [(method, 0, 1), (method, 5, 2), (method, 14, 1), ("unknown", 12, 1)] {
            let line = format!(
                "rpc_client_duration_seconds_count{{rpc_grpc_status_code=\"{code}\",rpc_method=\"{method}\"}} {count}"
            );
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
    }
}
