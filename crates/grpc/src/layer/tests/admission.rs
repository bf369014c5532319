//! Bounds of the permits that anonymous callers and organisations can take.

use access_tokens_net::client_address::ClientAddress;
use access_tokens_proto::options;
use hyper::body::{Bytes, Frame};

use super::*;

/// A body that begins with these bytes and never ends.
fn unfinished(begins: &'static [u8]) -> Body {
    let begin = futures::stream::iter([Ok::<_, Status>(Frame::data(Bytes::from_static(begins)))]);
    Body::new(StreamBody::new(begin.chain(futures::stream::pending())))
}

fn from(address: [u8; 4], mut request: Request<Body>) -> Request<Body> {
    request.extensions_mut().insert(ClientAddress::new(address.into()));
    request
}

/// Every method of the catalogue, without a credential, with a wrong one and with a right one, by a client that sends no message
/// or a part of one: none of them takes a permit from others.
#[tokio::test(start_paused = true)]
async fn an_unfinished_message_of_any_method_takes_no_permit() {
    let methods = options::methods().iter().map(|method| method.grpc_path.as_str());
    let probes = [HEALTH, "/grpc.health.v1.Health/Watch"];
    for path in methods.chain(probes) {
        let layers = CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits_of(1), database_up());
        let service = calls_in(layers, ok);
        for credential in [None, Some("Bearer wrong"), Some("Bearer reader"), Some("Bearer importer")] {
            for begins in [&b""[..], b"\0\0\0\0\x20half of it"] {
                let headers: Vec<_> = credential.iter().map(|credential| ("authorization", *credential)).collect();
                let stalled = from([192, 0, 2, 1], request(path, &headers).map(|_| unfinished(begins)));
                let mut stalled = Box::pin(call(service.clone(), stalled));
                let _ = futures::poll!(&mut stalled);
                for (honest, by) in [(show(), 7), (request(LOGIN, &[]), 7), (request(HEALTH, &[]), 7)] {
                    let status = call(service.clone(), from([192, 0, 2, by], honest)).await;
                    assert_eq!(status.code(), Code::Ok, "{path} {credential:?} {begins:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_message_of_a_method_without_a_session_arrives_in_five_seconds() {
    let service = calls(ok);
    for (path, credential, seconds) in [
        (LOGIN, None, 5),
        ("/accesstoken.v1.AuthenticationService/LoginWithApiKey", None, 5),
        ("/grpc.health.v1.Health/Watch", None, 5),
        (HEALTH, None, 5),
        (SHOW, Some("Bearer reader"), 30),
    ] {
        let headers: Vec<_> = credential.iter().map(|credential| ("authorization", *credential)).collect();
        let started = tokio::time::Instant::now();
        let status = call(service.clone(), request(path, &headers).map(|_| unfinished(b"\0"))).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{path}");
        assert_eq!(started.elapsed().as_secs(), seconds, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_take_nothing_from_authenticated_calls() {
    let limits = Limits {
        max_concurrent_requests: 2,
        max_anonymous_requests: 4,
        max_anonymous_requests_per_address: 2,
        ..Limits::default()
    };
    let layers = CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits, database_up());
    let slow = calls_in(layers.clone(), |_| std::future::pending());
    let service = calls_in(layers, ok);
    // The maximum number of logins, from two addresses.
    let mut logins: Vec<_> =
        (0..8).map(|n| Box::pin(call(slow.clone(), from([192, 0, 2, n % 2], request(LOGIN, &[]))))).collect();
    for login in &mut logins {
        assert!(futures::poll!(login).is_pending());
    }
    for _ in 0..10 {
        assert_eq!(call(service.clone(), from([192, 0, 2, 0], show())).await.code(), Code::Ok);
        assert_eq!(call(service.clone(), from([192, 0, 2, 0], request(HEALTH, &[]))).await.code(), Code::Ok);
    }
}

#[tokio::test(start_paused = true)]
async fn one_address_has_its_share_of_the_logins_only() {
    let limits = Limits { max_anonymous_requests: 4, max_anonymous_requests_per_address: 2, ..Limits::default() };
    let layers = CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits, database_up());
    let slow = calls_in(layers.clone(), |_| std::future::pending());
    let service = calls_in(layers, ok);
    let flood = (0..100).map(|_| Box::pin(call(slow.clone(), from([192, 0, 2, 1], request(LOGIN, &[])))));
    let mut flood: Vec<_> = flood.collect();
    for login in &mut flood {
        assert!(futures::poll!(login).is_pending());
    }
    assert_eq!(call(service.clone(), from([192, 0, 2, 2], request(LOGIN, &[]))).await.code(), Code::Ok);
    let status = call(service, from([192, 0, 2, 1], request(LOGIN, &[]))).await;
    assert_eq!(reason(&status), "OVERLOADED");
}

#[tokio::test(start_paused = true)]
async fn streams_that_never_end_leave_calls_their_permits() {
    let layers = CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits_of(16), database_up());
    let slow = calls_in(layers.clone(), |request: Request<Body>| async move {
        let _ = request.into_body().collect().await;
        Response::new(Body::empty())
    });
    let service = calls_in(layers, ok);
    let import = || request(IMPORT, &[("authorization", "Bearer importer")]).map(|_| unfinished(b"\0"));
    let mut imports: Vec<_> = (0..40).map(|_| Box::pin(call(slow.clone(), import()))).collect();
    for import in &mut imports {
        assert!(futures::poll!(import).is_pending());
    }
    assert_eq!(call(service, show()).await.code(), Code::Ok);
}
