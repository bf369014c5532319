//! The gateway as a separate process: HTTP on one side, a channel to the service on the other.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_gateway::router;
use access_tokens_grpc::layer::method;
use access_tokens_host::url::is_local;
use access_tokens_net::log_throttle::LogThrottle;
use access_tokens_net::signals::StopSignal;
use access_tokens_net::tls::{Trust, UpstreamConnector, UpstreamSettings};
use access_tokens_telemetry::metrics::Metrics;
use access_tokens_telemetry::rpc;
use anyhow::{Context, ensure};
use http::Uri;
use http::uri::Scheme;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tower::ServiceExt;

use super::http_server::DRAIN_TIMEOUT;
use super::ops::Ops;
use super::upstream::{self, MeasuredClient, UpstreamHealth};
use super::{certificates, http_server};
use crate::config::Settings;

/// Maximum time of a connection attempt to the service.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle time after which a connection is pinged, and maximum time of the answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the HTTP API over the service at `upstream`, until SIGTERM or SIGINT.
///
/// The gateway connects with its first health probe, and again whenever the connection is lost. Without a connection, calls fail with
/// DATABASE_UNAVAILABLE. The port for operators opens first and closes last. The gateway is ready while the service is, until a signal
/// arrives.
pub async fn gateway(settings: &Settings, upstream: Uri) -> anyhow::Result<()> {
    let mut stop = StopSignal::on_signals()?;
    let address = settings.http.listen.context("http.listen is empty: there is nothing to serve on")?;
    let channel = channel(upstream, &settings.gateway.upstream)?;
    let port = http_server::bind(address, settings).await?;
    let (metrics, health) = (Arc::new(Metrics::exported_of_gateway()), Arc::new(UpstreamHealth::new()));
    let ops = start_ops(settings, &metrics, &health).await?;
    metrics.watch_dropped([Some(Arc::clone(&port.dropped)), ops.dropped.clone()].into_iter().flatten().collect());
    let probes = {
        let (channel, health) = (channel.clone(), Arc::clone(&health));
        tokio::spawn(async move { upstream::watch(channel, &health).await })
    };

    let logged = channel.map_err(log_failures(Arc::new(LogThrottle::default())));
    let service = rpc::Client::new(MeasuredClient::new(logged, &metrics), method::name);
    let mut server = http_server::spawn(port, router(service, settings.gateway_config()), settings, stop.clone());
    let seen = stop.clone();
    tokio::select! {
        () = stop.asked() => {}
        ended = &mut server => {
            // A server without connections ends in the same instant in which it is asked to.
            ended.context("the server broke")?;
            anyhow::ensure!(seen.was_asked(), "the server stopped by itself");
        }
    }
    probes.abort();
    // Until the task has ended, it could still change the state.
    let _ = probes.await;
    health.stopping();
    if !server.is_finished() && timeout(DRAIN_TIMEOUT, &mut server).await.is_err() {
        tracing::warn!("calls that are still under way are cut");
        server.abort();
    }
    drop(ops);
    tracing::info!("stopped");
    Ok(())
}

/// Starts the port for operators, which shows the state of the service behind the gateway.
async fn start_ops(settings: &Settings, metrics: &Arc<Metrics>, health: &Arc<UpstreamHealth>) -> anyhow::Result<Ops> {
    metrics.watch_certificates(certificates::of_gateway(settings));
    let known = Arc::clone(health);
    metrics.watch_upstream(move || known.readiness().is_ok());
    let known = Arc::clone(health);
    Ops::start(&settings.ops, metrics, move || known.readiness()).await
}

/// Returns the channel to the service: encrypted, or within this machine.
fn channel(upstream: Uri, settings: &UpstreamSettings) -> anyhow::Result<Channel> {
    if upstream.scheme() == Some(&Scheme::HTTPS) {
        return UpstreamConnector::new(&upstream, Trust::Authorities, settings, "gateway.upstream")?
            .channel(&upstream, with_timeouts);
    }
    ensure!(
        is_local(&upstream) || settings.allow_plain_text,
        "{upstream} is on another machine, and calls with their sessions would go there in plain text: write https; or set \
         gateway.upstream.allow_plain_text = true, where something else encrypts"
    );
    Ok(with_timeouts(Endpoint::from(upstream)).connect_lazy())
}

/// Logs once a minute why calls do not reach the service. Their callers see only DATABASE_UNAVAILABLE.
///
/// A connection that the service closes regularly is not logged. Its calls are sent again.
fn log_failures(throttle: Arc<LogThrottle>) -> impl Fn(tonic::transport::Error) -> tonic::transport::Error + Clone {
    move |error| {
        let causes = || std::iter::successors(Some(&error as &dyn std::error::Error), |cause| cause.source());
        if causes().any(is_usual_end) {
            tracing::debug!("a connection to the service has ended; calls that were not processed are sent again");
        } else if throttle.permits() {
            let mut causes: Vec<_> = causes().map(ToString::to_string).collect();
            causes.dedup();
            tracing::warn!(cause = causes.join(": "), "calls do not reach the service behind the gateway");
        }
        error
    }
}

/// Returns whether a call failed unprocessed because the service closes its connection by age or when it stops. The service then sends
/// GOAWAY without an error, or refuses the stream; calls that wait for the connection are cancelled.
fn is_usual_end(cause: &(dyn std::error::Error + 'static)) -> bool {
    let h2 = cause.downcast_ref::<h2::Error>().is_some_and(|error| match error.reason() {
        Some(h2::Reason::NO_ERROR) => error.is_go_away() && error.is_remote(),
        reason => reason == Some(h2::Reason::REFUSED_STREAM),
    });
    h2 || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
}

fn with_timeouts(endpoint: Endpoint) -> Endpoint {
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_calls_that_were_refused_unprocessed_are_no_trouble() {
        assert!(is_usual_end(&h2::Error::from(h2::Reason::REFUSED_STREAM)));
        for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL, h2::Reason::ENHANCE_YOUR_CALM] {
            assert!(!is_usual_end(&h2::Error::from(reason)), "{reason}");
        }
        assert!(!is_usual_end(&std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
    }
}
