//! The gRPC server before the database is available: it answers to probes and callers that it is not ready.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use access_tokens_domain::{Error, Reason};
use access_tokens_grpc::layer::InFlightLayer;
use access_tokens_grpc::layer::protocol::Violation;
use access_tokens_grpc::{Health, status};
use access_tokens_net::connections::{Http2Limits, connections};
use access_tokens_net::port::Port;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tonic::transport::Server;
use tower::layer::layer_fn;
use tower::{ServiceExt, service_fn};

/// Prefix of the paths of health probes.
const HEALTH_PREFIX: &str = "/grpc.health.v1.Health/";

/// Serves health until `stop`. Other calls fail with DATABASE_UNAVAILABLE.
pub(super) async fn serve(port: Port, limits: Http2Limits, stop: impl Future<Output = ()>) {
    let server = Server::builder()
        .layer(InFlightLayer)
        .layer(layer_fn(|health: Routes| service_fn(move |request| answer(health.clone(), request))))
        .add_service(Health::new().service())
        .serve_with_incoming_shutdown(connections(port, limits), stop);
    if let Err(error) = server.await {
        tracing::warn!(%error, "connections were cut while starting");
    }
}

/// Returns the answer to a call before there is a service.
pub(super) fn refusal() -> Response<Body> {
    let error = Error::new(Reason::DatabaseUnavailable, "the service is starting: the database does not answer");
    status::from_error(&error.retry_after(Duration::from_secs(1))).into_http()
}

/// Answers a health probe, and refuses every other call.
async fn answer(health: Routes, request: Request<Body>) -> Result<Response<Body>, Infallible> {
    if let Some(violation) = Violation::of(&request) {
        return Ok(violation.answer());
    }
    if request.uri().path().starts_with(HEALTH_PREFIX) {
        return health.oneshot(request).await;
    }
    Ok(refusal())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use access_tokens_proto::health::HealthCheckRequest;
    use access_tokens_proto::health::health_check_response::ServingStatus;
    use access_tokens_proto::health::health_client::HealthClient;
    use access_tokens_proto::v1::access_token_service_server::SERVICE_NAME as ACCESS_TOKENS;
    use tokio::net::TcpListener;
    use tokio::sync::watch;
    use tonic::transport::Endpoint;

    use super::*;
    use crate::config::LoadedSettings;
    use crate::process::serve::http2_limits;
    use access_tokens_net::signals::StopSignal;

    #[tokio::test]
    async fn without_a_database_it_is_alive_and_not_ready() {
        let settings = LoadedSettings::load(None, [], &[]).expect("the defaults").settings;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = watch::Sender::new(false);
        let limits = http2_limits(&settings.grpc, &StopSignal::by(asked.subscribe()));
        tokio::spawn(serve(Port::plain(listener), limits, pending()));

        let mut client = HealthClient::new(Endpoint::from_shared(url).expect("a URL").connect_lazy());
        let (no, yes) = (ServingStatus::NotServing, ServingStatus::Serving);
        for (name, expected) in [("", no), (ACCESS_TOKENS, no), ("alive", yes)] {
            let answer = client.check(HealthCheckRequest { service: name.to_owned() }).await.expect("known");
            assert_eq!(answer.into_inner().status, expected as i32, "{name:?}");
        }
    }
}
