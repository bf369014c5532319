//! `healthcheck`: queries the readiness of a server, for containers without a gRPC probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use access_tokens_grpc::ALIVE;
use access_tokens_net::tls::{Trust, UpstreamConnector, local};
use anyhow::Context;
use http::header::HOST;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::config::{GrpcSettings, OpsSettings, Settings};
use crate::health_probe::is_serving;

/// Maximum time of an answer. Probes give up after a second or more.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum length of the reason that a gateway gives, in bytes.
const MAX_REASON_BYTES: usize = 4 * 1024;

pub(super) async fn run(settings: Settings, gateway: bool) -> anyhow::Result<ExitCode> {
    let (address, state) = if gateway {
        let address = settings.ops.listen.context("ops.listen is empty: the gateway cannot be asked without it")?;
        let address = local_address(address);
        let state = timeout(TIMEOUT, gateway_state(address, &settings.ops)).await;
        (address, state.ok().and_then(Result::ok).unwrap_or("no answer"))
    } else {
        let address = local_address(settings.grpc.listen);
        (address, service_state(channel(address, &settings.grpc)?).await)
    };
    println!("{address} {state}");
    Ok(if state == "SERVING" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Returns whether a server of this service answers on its gRPC port, ready or not.
pub(super) async fn is_alive(settings: &Settings) -> bool {
    let Ok(channel) = channel(local_address(settings.grpc.listen), &settings.grpc) else { return false };
    is_serving(channel, ALIVE).await.unwrap_or(false)
}

async fn service_state(channel: Channel) -> &'static str {
    match is_serving(channel, "").await {
        Ok(true) => "SERVING",
        Ok(false) => "NOT_SERVING",
        Err(_) => "no answer",
    }
}

/// Queries /readyz. The reason of a gateway that is not ready is printed on standard error. The error is that of a call without an answer.
async fn gateway_state(address: SocketAddr, ops: &OpsSettings) -> anyhow::Result<&'static str> {
    let stream = local::connect(address, &ops.tls, "ops.tls").await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get("/readyz").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if answer.status() == StatusCode::OK {
        return Ok("SERVING");
    }
    if let Ok(reason) = Limited::new(answer.into_body(), MAX_REASON_BYTES).collect().await {
        eprint!("{}", String::from_utf8_lossy(&reason.to_bytes()));
    }
    Ok("NOT_SERVING")
}

/// Returns a channel to a server on this machine. It connects with the first call.
fn channel(address: SocketAddr, settings: &GrpcSettings) -> anyhow::Result<Channel> {
    let with_timeouts = |endpoint: Endpoint| endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT);
    let tls = &settings.tls;
    if tls.certificate.is_none() {
        return Ok(with_timeouts(Endpoint::from_shared(format!("http://{address}"))?).connect_lazy());
    }
    let url: Uri = format!("https://{address}").parse()?;
    let shown = local::own_certificate(tls);
    UpstreamConnector::new(&url, Trust::AnyCertificate, &shown, "grpc.tls")?.channel(&url, with_timeouts)
}

/// Returns the address at which a server that listens on `address` is reached from the same machine.
fn local_address(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_on_the_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(local_address(listen.parse().expect("an address")).to_string(), asked);
        }
    }
}
