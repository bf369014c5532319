//! `healthcheck`: for containers without a gRPC probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tonic::transport::Endpoint;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::config::Settings;

/// Probes give up after a second or more; so does this.
const TIMEOUT: Duration = Duration::from_secs(3);

pub(super) async fn run(settings: Settings) -> anyhow::Result<ExitCode> {
    let address = reachable(settings.grpc.listen);
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.connect_timeout(TIMEOUT).timeout(TIMEOUT);
    let answer = async {
        let mut client = HealthClient::new(endpoint.connect().await.map_err(|_| "no answer")?);
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
