//! The HTTP server of the gateway within `serve`. Its port is bound before there is a service behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access_tokens_gateway::Malformed;
use access_tokens_grpc::layer::{Calls, method};
use access_tokens_net::accept::ConnectionLimits;
use access_tokens_net::drop_counters::DropCounters;
use access_tokens_net::http1;
use access_tokens_net::port::{Port, PortNames};
use access_tokens_net::signals::StopSignal;
use access_tokens_telemetry::rpc;
use axum::Router;
use axum::middleware::map_response;
use http::header::STRICT_TRANSPORT_SECURITY;
use http::{HeaderValue, Request, Response};
use tokio::sync::SetOnce;
use tokio::task::{JoinError, JoinHandle};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{ServiceExt, service_fn};

use super::{http_log, starting};
use crate::config::{HttpSettings, Settings};

/// Maximum time of calls in progress after the signal to stop.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// Value of `Strict-Transport-Security` on an encrypted port: one year, for this host only.
const STRICT_TRANSPORT: &str = "max-age=31536000";

/// The services in this process. Empty until they are started.
type Services = Arc<SetOnce<Calls<Routes>>>;

/// An HTTP port with the gateway, or none where the setting is empty.
pub(super) struct HttpServer<'a> {
    settings: &'a Settings,
    stop: StopSignal,
    services: Services,
    port: Option<Port>,
    server: Option<JoinHandle<()>>,
}

impl<'a> HttpServer<'a> {
    /// Binds the port. Calls are not answered yet.
    pub(super) async fn bind(settings: &'a Settings, stop: &StopSignal) -> anyhow::Result<Self> {
        let port = match settings.http.listen {
            Some(address) => Some(bind(address, settings).await?),
            None => None,
        };
        Ok(Self { settings, stop: stop.clone(), services: Services::default(), port, server: None })
    }

    /// Returns the counts of closed connections. None without a port.
    pub(super) fn dropped(&self) -> Option<Arc<DropCounters>> {
        self.port.as_ref().map(|port| Arc::clone(&port.dropped))
    }

    /// Starts to answer. Calls fail with DATABASE_UNAVAILABLE until there are services.
    pub(super) fn start(&mut self) {
        let Some(port) = self.port.take() else { return };
        let services = Arc::clone(&self.services);
        let service = service_fn(move |request| answer(services.get().cloned(), request));
        let service = rpc::Client::new(service, method::name);
        let router = access_tokens_gateway::router(service, self.settings.gateway_config());
        self.server = Some(spawn(port, router, self.settings, self.stop.clone()));
    }

    /// Starts to answer calls with these services.
    pub(super) fn attach_services(&mut self, services: Calls<Routes>) {
        // This runs once, so that the cell is empty.
        let _ = self.services.set(services);
        self.start();
    }

    /// Waits for the server to end, which it does after the signal to stop. If there is no server, this never returns.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        match &mut self.server {
            Some(server) => server.await,
            None => std::future::pending().await,
        }
    }

    /// Waits until all calls in progress are answered, after the signal to stop.
    pub(super) async fn drained(&mut self) {
        if self.server.as_ref().is_some_and(|server| !server.is_finished()) {
            let _ = self.ended().await;
        }
    }

    /// Cancels the calls in progress.
    pub(super) fn abort(&self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Binds the port of the gateway.
pub(super) async fn bind(address: SocketAddr, settings: &Settings) -> anyhow::Result<Port> {
    let HttpSettings { tls, allow_plain_text, .. } = &settings.http;
    Port::bind(&PortNames::HTTP, address, tls, *allow_plain_text).await
}

/// Spawns the server of the gateway, which ends after the signal to stop.
pub(super) fn spawn(port: Port, router: Router, settings: &Settings, mut stop: StopSignal) -> JoinHandle<()> {
    let limits = ConnectionLimits {
        max_connections: settings.http.max_connections,
        anonymous_per_address: settings.http.max_anonymous_connections_per_address,
        trusted_proxies: settings.gateway.trusted_proxies.as_slice().into(),
    };
    let service = http1::HttpService {
        router: with_strict_transport(router, settings),
        refuse: Malformed::answer,
        log: http_log::with_request_log,
        idle: http1::IDLE_TIME,
    };
    tokio::spawn(http1::serve(port, limits, service, async move { stop.asked().await }))
}

/// Adds `Strict-Transport-Security` to every answer where the port is encrypted: browsers then never use plain text for this host.
fn with_strict_transport(router: Router, settings: &Settings) -> Router {
    if settings.http.tls.certificate.is_none() {
        return router;
    }
    router.layer(map_response(async |mut response: axum::response::Response| {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(STRICT_TRANSPORT));
        response
    }))
}

async fn answer(services: Option<Calls<Routes>>, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    match services {
        Some(services) => services.oneshot(request).await,
        None => Ok(starting::refusal()),
    }
}
