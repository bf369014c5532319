//! The address that a call is counted under.

use std::net::IpAddr;

use access_tokens_gateway::Network;
use access_tokens_net::client_address::{ClientAddress, RemoteAddress};
use access_tokens_net::connection_tracker::{ConnectionInfo, ConnectionTracker};
use access_tokens_net::tls::Peer;

use super::*;

/// The address that a handler sees of a call over a connection from `peer`.
async fn seen(peer: &str, headers: &[(&str, &str)]) -> Option<String> {
    let service = calls(|request| async move {
        let address = request.extensions().get::<ClientAddress>().map(ToString::to_string).unwrap_or_default();
        Response::builder().header("seen", address).body(Body::empty()).expect("a response")
    });
    let proxies: Vec<Network> = vec!["10.0.0.0/8".parse().expect("a network")];
    let peer: IpAddr = peer.parse().expect("an address");
    let mut request = request(LOGIN, headers);
    request.extensions_mut().insert(ConnectionInfo {
        peer: Peer::default(),
        tracker: Arc::new(ConnectionTracker::detached()),
        remote: RemoteAddress::new(peer, &proxies.into()),
    });
    let Ok(response) = service.oneshot(request).await;
    response.headers().get("seen").and_then(|seen| seen.to_str().ok()).map(str::to_owned)
}

#[tokio::test]
async fn a_forwarded_address_counts_from_a_trusted_proxy_only() {
    for (peer, forwarded, expected) in [
        ("192.0.2.1", "203.0.113.7", "192.0.2.1"),
        ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("::ffff:10.0.0.1", "[2001:db8::1]:80, 10.0.0.2:1", "2001:db8::1"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("::ffff:192.0.2.1", "203.0.113.7", "192.0.2.1"),
    ] {
        let seen = seen(peer, &[("x-forwarded-for", forwarded)]).await;
        assert_eq!(seen.as_deref(), Some(expected), "{peer} {forwarded}");
    }
}

#[tokio::test]
async fn what_the_gateway_of_this_process_says_counts() {
    let service = calls(|request| async move {
        let address = request.extensions().get::<ClientAddress>().copied();
        assert_eq!(address, Some(ClientAddress::new([203, 0, 113, 7].into())));
        ok(request).await
    });
    let mut request = request(LOGIN, &[("x-forwarded-for", "198.51.100.1")]);
    request.extensions_mut().insert(ClientAddress::new([203, 0, 113, 7].into()));
    assert_eq!(call(service, request).await.code(), Code::Ok);
}
