//! Properties of the bytes on the wire that hold for every method: over a real socket, or with bytes that no client would send.

use std::time::Duration;

use access_tokens_proto::v1;
use access_tokens_proto::v1::access_token_service_client::AccessTokenServiceClient;
use access_tokens_proto::v1::authentication_service_client::AuthenticationServiceClient;
use http_body_util::Full;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::{v1 as reflection, v1alpha};
use tonic_types::StatusExt;
use tower::ServiceExt;

use super::{World, refused, with};
use crate::Readiness;
use crate::limits::Limits;
use crate::server;

/// A channel to the service over a socket of this machine.
pub(super) async fn channel(world: &World, limits: Limits) -> Channel {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let router = server::router(world.app.clone(), &world.health, limits);
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));
    Channel::from_shared(format!("http://{address}")).expect("a URI").connect().await.expect("connected")
}

fn login(username: &str) -> v1::LoginRequest {
    v1::LoginRequest {
        username: username.to_owned(),
        password: "secret".to_owned(),
        organisation: "DEMO".to_owned(),
        unit: None,
    }
}

#[tokio::test]
async fn a_call_goes_over_a_socket() {
    let world = World::new().await;
    let channel = channel(&world, Limits::default()).await;
    let token = AuthenticationServiceClient::new(channel.clone()).login(login("anna")).await.expect("logged in");
    let mut request = with(&token.into_inner().token, v1::ListClassificationsRequest::default());
    request.metadata_mut().insert("x-request-id", "r-1".parse().expect("metadata"));
    let listed = AccessTokenServiceClient::new(channel).list_classifications(request).await.expect("listed");
    assert_eq!(listed.metadata().get("x-request-id").expect("echoed"), "r-1");
    assert_eq!(listed.into_inner().classifications.len(), 1);
}

#[tokio::test]
async fn health_says_no_until_told() {
    let world = World::new().await;
    let mut client = HealthClient::new(channel(&world, Limits::default()).await);
    let names = [
        "",
        "accesstoken.v1.AccessTokenService",
        "accesstoken.v1.AuthenticationService",
        "accesstoken.v1.DirectoryService",
    ];
    for (readiness, expected) in [
        (None, ServingStatus::NotServing),
        (Some(Readiness::Ready), ServingStatus::Serving),
        (Some(Readiness::Away), ServingStatus::NotServing),
    ] {
        if let Some(readiness) = readiness {
            world.health.set(readiness);
        }
        for name in names {
            let answer =
                client.check(HealthCheckRequest { service: name.to_owned() }).await.expect("known").into_inner();
            assert_eq!(answer.status(), expected, "{name:?}");
        }
        let alive = client.check(HealthCheckRequest { service: "alive".to_owned() }).await.expect("known").into_inner();
        assert_eq!(alive.status(), ServingStatus::Serving, "whatever it waits for");
    }
    let unknown = client.check(HealthCheckRequest { service: "nonsense".to_owned() }).await;
    assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let world = World::new().await;
    let channel = channel(&world, Limits::default()).await;
    let request = reflection::ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut client = ServerReflectionClient::new(channel.clone());
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("served").into_inner();
    let answer = answers.message().await.expect("an answer").expect("one").message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    for name in ["accesstoken.v1.AccessTokenService", "accesstoken.v1.DirectoryService", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let request = v1alpha::ServerReflectionRequest {
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            "accesstoken.v1.AccessToken".to_owned(),
        )),
        ..Default::default()
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("served").into_inner();
    let answer = answers.message().await.expect("an answer").expect("one").message_response;
    let expected = matches!(
        answer,
        Some(v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(ref files))
            if !files.file_descriptor_proto.is_empty()
    );
    assert!(expected, "{answer:?}");
}

#[tokio::test]
async fn a_large_request_is_refused_with_its_limit() {
    let world = World::new().await;
    let mut client = AuthenticationServiceClient::new(channel(&world, Limits::default()).await);
    let (code, reason, details) = refused(client.login(login(&"x".repeat(70_000))).await);
    assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "REQUEST_TOO_LARGE"));
    assert_eq!(details.error_info().expect("info").metadata["limit"], "65536");
    assert_eq!(refused(client.login(login(&"x".repeat(60_000))).await).1, "FIELD_TOO_LONG");
}

#[tokio::test]
async fn large_metadata_does_not_reach_a_handler() {
    let world = World::new().await;
    let mut client = AuthenticationServiceClient::new(channel(&world, Limits::default()).await);
    let mut request = Request::new(login("anna"));
    request.metadata_mut().insert("x-large", "x".repeat(20_000).parse().expect("metadata"));
    assert!(client.login(request).await.is_err());
}

#[tokio::test]
async fn bytes_that_are_no_message_are_a_bad_request() {
    let world = World::new().await;
    let good = [0_u8, 0, 0, 0, 0];
    let cases: [(&[u8], &str); 5] = [
        (&[0, 0, 0, 0, 2, 0xff, 0xff], "INVALID_FIELD_VALUE"),
        (&[0, 0, 0, 0, 9, 1], "INVALID_FIELD_VALUE"),
        (&[7, 0, 0, 0, 0], "INVALID_FIELD_VALUE"),
        (&[], "INVALID_FIELD_VALUE"),
        (&good, "REQUIRED_FIELD_MISSING"),
    ];
    for (bytes, expected) in cases {
        let request = http::Request::builder()
            .method("POST")
            .uri("/accesstoken.v1.AuthenticationService/Login")
            .header("content-type", "application/grpc")
            .body(Body::new(Full::new(tonic::codegen::Bytes::copy_from_slice(bytes))))
            .expect("a request");
        let Ok(response) = world.service.clone().oneshot(request).await;
        let status = Status::from_header_map(response.headers()).expect("refused");
        let reason = status.get_error_details().error_info().map(|info| info.reason.clone());
        assert_eq!((status.code(), reason.as_deref()), (Code::InvalidArgument, Some(expected)), "{bytes:?}");
    }
}

#[tokio::test]
async fn calls_that_nobody_waits_for_leave_nothing_behind() {
    let world = World::new().await;
    let mut client = AuthenticationServiceClient::new(channel(&world, Limits::default()).await);
    for _ in 0..20 {
        let mut request = Request::new(login("anna"));
        request.metadata_mut().insert("grpc-timeout", "5m".parse().expect("metadata"));
        let status = client.login(request).await.expect_err("a hash takes longer");
        // The client has its own timer, which may expire first. Hashes of earlier calls may still hold the permits.
        let expected = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted);
        assert!(expected, "{status:?}");
    }
    // Hashes that have begun run to their end, and each keeps its permit until then.
    let free = async {
        while let Err(status) = client.login(login("anna")).await {
            assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        }
    };
    tokio::time::timeout(Duration::from_secs(20), free).await.expect("nothing is left behind");
}

#[tokio::test]
async fn a_full_service_says_so() {
    let world = World::new().await;
    let client = AuthenticationServiceClient::new(
        channel(&world, Limits { max_anonymous_requests: 1, ..Limits::default() }).await,
    );
    // More than can be hashed before the callers give up.
    let calls = (0..400).map(|_| {
        let mut client = client.clone();
        async move { client.login(login("anna")).await }
    });
    let results = futures::future::join_all(calls).await;
    let (ok, full): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert!(!ok.is_empty() && !full.is_empty(), "{} of 400", ok.len());
    for result in full {
        let (code, reason, details) = refused(result);
        assert_eq!((code, reason.as_str()), (Code::ResourceExhausted, "OVERLOADED"));
        assert_eq!(details.retry_info().expect("a wait").retry_delay, Some(Duration::from_secs(1)));
    }
}

#[tokio::test]
async fn an_old_connection_closes_without_losing_a_call() {
    let world = World::new().await;
    let limits = Limits { connection_age: Duration::from_millis(200), ..Limits::default() };
    let mut client = AuthenticationServiceClient::new(channel(&world, limits).await);
    let started = std::time::Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        client.login(login("anna")).await.expect("on this connection or the next");
    }
}
