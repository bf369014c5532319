//! `healthcheck`: for containers without a gRPC probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use http::Uri;
use tonic::transport::{Channel, Endpoint};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::config::{ClientAuth, GrpcSettings, Settings, UpstreamSettings};
use crate::tls::{Link, Trust};

/// Probes give up after a second or more; so does this.
const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let address = reachable(settings.grpc.listen);
    let channel = channel(address, &settings.grpc)?;
    let answer = async {
        let mut client = HealthClient::new(channel);
        let request = HealthCheckRequest { service: String::new() };
        let response = client.check(request).await.map_err(|_| "no answer")?;
        Ok::<_, &str>(response.into_inner().status)
    };
    let state = match answer.await {
        Ok(status) if status == ServingStatus::Serving as i32 => "SERVING",
        Ok(_) => "NOT_SERVING",
        Err(reason) => reason,
    };
    println!("{address} {state}");
    Ok(if state == "SERVING" { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The way to a server on this machine, which connects with the first call.
fn channel(address: SocketAddr, settings: &GrpcSettings) -> anyhow::Result<Channel> {
    let hurried = |endpoint: Endpoint| endpoint.connect_timeout(TIMEOUT).timeout(TIMEOUT);
    let tls = &settings.tls;
    if tls.certificate.is_none() {
        return Ok(hurried(Endpoint::from_shared(format!("http://{address}"))?).connect_lazy());
    }
    let url: Uri = format!("https://{address}").parse()?;
    let mut shown = UpstreamSettings::default();
    if tls.client_auth == ClientAuth::Required {
        // The only certificate that there is. A server whose authority is that of clients as well takes it.
        (shown.certificate, shown.key) = (tls.certificate.clone(), tls.key.clone());
    }
    Link::new(&url, Trust::Anybody, &shown, "grpc.tls")?.channel(&url, hurried)
}

/// Where a server that listens on `address` is reached from the same machine.
fn reachable(mut address: SocketAddr) -> SocketAddr {
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
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), asked);
        }
    }
}
