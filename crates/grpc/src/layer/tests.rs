//! The layers around services of all kinds: their order, and the effect of each layer.

mod addresses;
mod admission;
mod certificates;
mod log;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use access_tokens_domain::certificate_user::CertificateUser;
use access_tokens_domain::ports::BoxFuture;
use access_tokens_domain::session::{Caller, OrganisationKey, Permission, Permissions, Session};
use access_tokens_domain::{Error, Reason, Result};
use access_tokens_proto::v1::ShowAccessTokenRequest;
use access_tokens_proto::v1::access_token_service_client::AccessTokenServiceClient;
use chrono::DateTime;
use futures::StreamExt;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use tokio::sync::{Notify, oneshot};
use tonic::{Code, Status};
use tonic_types::StatusExt;
use tower::{Layer, ServiceExt, service_fn};

use http::{Request, Response};
use tonic::body::Body;

use super::*;
use crate::status;

const SHOW: &str = "/accesstoken.v1.AccessTokenService/ShowAccessToken";
const RELEASE: &str = "/accesstoken.v1.AuthenticationService/ReleaseToken";
const LOGIN: &str = "/accesstoken.v1.AuthenticationService/Login";
const IMPORT: &str = "/accesstoken.v1.DirectoryService/ImportDirectory";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

/// Knows the session token `reader` (may read), `nobody` (may nothing), the API key `key` (may read) and
/// the certificate of `reader` (may read).
struct TestAuthenticator;

fn caller(permissions: &[Permission]) -> Caller {
    let permissions = permissions.iter().copied().collect::<Permissions>();
    Caller { organisation: OrganisationKey(1), user: Some("U1".to_owned()), unit: None, permissions }
}

impl Authenticate for TestAuthenticator {
    fn check(self: Arc<Self>, credential: Credential) -> BoxFuture<'static, Result<(Caller, Option<Arc<Session>>)>> {
        let reader = || caller(&[Permission::AccessTokensRead]);
        let session = Arc::new(Session {
            id: "S1".to_owned(),
            organisation: "O1".to_owned(),
            user: "U1".to_owned(),
            unit: None,
            issued_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
            api_key: None,
        });
        let known = match credential {
            Credential::Bearer(token) if token.expose() == "reader" => Some((reader(), Some(session))),
            Credential::Bearer(token) if token.expose() == "nobody" => Some((caller(&[]), Some(session))),
            Credential::Bearer(token) if token.expose() == "importer" => {
                Some((caller(&[Permission::DirectoryWrite]), Some(session)))
            }
            Credential::ApiKey(key) if key.expose() == "key" || key.expose().starts_with("atk_") => {
                Some((reader(), None))
            }
            Credential::Certificate(user) if user.username == "reader" => Some((reader(), None)),
            _ => None,
        };
        Box::pin(async move { known.ok_or_else(Error::invalid_token) })
    }
}

/// Permits for this number of calls.
fn limits_of(calls: usize) -> Limits {
    Limits { max_concurrent_requests: calls, max_anonymous_requests: calls, ..Limits::default() }
}

fn layers() -> CallLayers {
    CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits_of(8), database_up())
}

/// A database that is always up.
fn database_up() -> watch::Receiver<bool> {
    watch::Sender::new(true).subscribe()
}

/// A service inside of all layers.
fn calls<F, R>(handler: F) -> impl GrpcService
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    calls_in(layers(), handler)
}

fn calls_in<F, R>(layers: CallLayers, handler: F) -> impl GrpcService
where
    F: Fn(Request<Body>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    layers.layer(service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    }))
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().method("POST").uri(path).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).expect("a request")
}

fn show() -> Request<Body> {
    request(SHOW, &[("authorization", "Bearer reader")])
}

async fn ok(_: Request<Body>) -> Response<Body> {
    Response::new(Body::empty())
}

/// Returns the status of a response without data.
async fn call(service: impl GrpcService, request: Request<Body>) -> Status {
    let Ok(response) = service.oneshot(request).await;
    Status::from_header_map(response.headers()).unwrap_or_else(|| Status::ok(""))
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[test]
fn the_order_is_the_declared_one() {
    let nesting = std::any::type_name::<Calls<tonic::service::Routes>>();
    let names = nesting.split(['<', '>', ',', ' ']).filter_map(|path| path.rsplit("::").next());
    let names: Vec<_> = names.filter(|name| !["", "Stack", "Arc", "Endpoint"].contains(name)).collect();
    let declared = [
        "InFlight",
        "AdmissionControl",
        "CatchPanic",
        "AssignRequestId",
        "Trace",
        "Protocol",
        "ResponseBufferLimit",
        "Deadline",
        "RunToCompletion",
        "Auth",
        "NormalizeErrors",
        "Routes",
    ];
    assert_eq!(names, declared);
}

#[tokio::test]
async fn without_a_session_nothing_is_reached() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = reached.clone();
    let service = calls(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        ok(request)
    });
    for headers in [
        &[][..],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer wrong")],
        &[("authorization", "Basic a2V5Og==")],
        &[("authorization", "Bearer reader"), ("authorization", "Bearer reader")],
        &[("x-api-key", "wrong")],
        &[("x-api-key", "key"), ("x-api-key", "key")],
    ] {
        for path in [SHOW, RELEASE] {
            let status = call(service.clone(), request(path, headers)).await;
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unauthenticated, "INVALID_TOKEN"),
                "{headers:?}"
            );
        }
    }
    let unknown = "/accesstoken.v1.AccessTokenService/Nonsense";
    for path in [unknown, "/", "/grpc.health.v1.Health/Nonsense"] {
        let status = call(service.clone(), request(path, &[("authorization", "Bearer reader")])).await;
        let found = (status.code(), reason(&status));
        assert_eq!(found, (Code::Unimplemented, "METHOD_NOT_FOUND".to_owned()), "{path}");
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn every_call_is_counted_by_a_method_of_ours() {
    let metrics = Arc::new(Metrics::new());
    let service =
        calls_in(CallLayers::new(Arc::new(TestAuthenticator), metrics.clone(), &limits_of(8), database_up()), ok);
    call(service.clone(), show()).await;
    call(service.clone(), request(SHOW, &[])).await;
    call(service.clone(), request(HEALTH, &[])).await;
    for path in ["/somebody@example.com", "/accesstoken.v1.AccessTokenService/Nonsense"] {
        call(service.clone(), request(path, &[])).await;
    }
    let layers = CallLayers::new(Arc::new(TestAuthenticator), metrics.clone(), &limits_of(8), database_up());
    let mut gone = Box::pin(call(calls_in(layers, |_| std::future::pending()), show()));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    let (text, name) = (metrics.text(), "rpc_server_duration_seconds_count");
    let counts: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(name)).collect();
    let expected = [
        format!("{{rpc_grpc_status_code=\"0\",rpc_method=\"{}\"}} 1", &SHOW[1..]),
        format!("{{rpc_grpc_status_code=\"1\",rpc_method=\"{}\"}} 1", &SHOW[1..]),
        "{rpc_grpc_status_code=\"12\",rpc_method=\"unknown\"} 2".to_owned(),
        format!("{{rpc_grpc_status_code=\"16\",rpc_method=\"{}\"}} 1", &SHOW[1..]),
    ];
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn permission_is_checked_before_the_request_is_read() {
    let service = calls(|_| async { panic!("reached") });
    let status = call(service, request(SHOW, &[("authorization", "Bearer nobody")])).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::PermissionDenied, "PERMISSION_DENIED"));
    let details = status.get_error_details();
    assert_eq!(details.error_info().expect("info").metadata["permission"], "access_tokens.read");
}

#[tokio::test]
async fn a_handler_knows_the_caller_and_not_the_credential() {
    let service = calls(|request| async move {
        assert!(request.extensions().get::<Caller>().is_some_and(|caller| caller.user.as_deref() == Some("U1")));
        assert!(!request.headers().contains_key("authorization") && !request.headers().contains_key("x-api-key"));
        Response::builder()
            .header("with-session", request.extensions().get::<Arc<Session>>().is_some().to_string())
            .body(Body::empty())
            .expect("a response")
    });
    for (headers, with_session) in [
        ([("authorization", "Bearer reader")], "true"),
        ([("authorization", "bearer  reader ")], "true"),
        ([("x-api-key", "key")], "false"),
    ] {
        let Ok(response) = service.clone().oneshot(request(SHOW, &headers)).await;
        assert_eq!(response.headers()["with-session"], with_session, "{headers:?}");
    }
}

#[tokio::test]
async fn open_methods_need_no_session_and_keep_their_metadata() {
    let service = calls(|request| async move {
        assert!(request.extensions().get::<Caller>().is_none() && request.headers().contains_key("x-api-key"));
        ok(request).await
    });
    for path in [LOGIN, HEALTH] {
        assert_eq!(call(service.clone(), request(path, &[("x-api-key", "k")])).await.code(), Code::Ok);
    }
}

#[tokio::test]
async fn the_request_id_comes_back_with_answers_and_errors() {
    let service = calls(ok);
    for request in [request(SHOW, &[("x-request-id", "r-1")]), request(LOGIN, &[("x-request-id", "r-1")])] {
        let Ok(response) = service.clone().oneshot(request).await;
        assert_eq!(response.headers()["x-request-id"], "r-1");
    }
    let Ok(response) = service.oneshot(request(LOGIN, &[])).await;
    assert_eq!(response.headers()["x-request-id"].len(), 36);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_without_its_message() {
    let service = calls(|_| async { panic!("the pass code is 1234") });
    let status = call(service, show()).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Internal, "INTERNAL"));
    assert!(!format!("{status:?}").contains("1234"));
}

/// A handler that waits to be released, and reports when it has ended.
#[derive(Clone)]
struct Slow {
    go: Arc<Notify>,
    ended: Arc<Mutex<Option<oneshot::Sender<()>>>>,
}

impl Slow {
    fn new() -> (Self, oneshot::Receiver<()>) {
        let (ended, has_ended) = oneshot::channel();
        (Self { go: Arc::new(Notify::new()), ended: Arc::new(Mutex::new(Some(ended))) }, has_ended)
    }

    async fn handle(self) -> Response<Body> {
        self.go.notified().await;
        if let Some(ended) = self.ended.lock().expect("a lock").take() {
            let _ = ended.send(());
        }
        Response::new(Body::empty())
    }

    /// Returns the handler inside of layers.
    fn within(&self, layers: CallLayers) -> impl GrpcService + use<> {
        let slow = self.clone();
        calls_in(layers, move |_| slow.clone().handle())
    }
}

#[tokio::test]
async fn a_caller_that_goes_does_not_take_the_work_along() {
    let (slow, has_ended) = Slow::new();
    let service = slow.within(layers());
    let mut waiting = Box::pin(service.oneshot(show()));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    slow.go.notify_one();
    has_ended.await.expect("the work went on to its end");
}

#[tokio::test]
async fn a_deadline_ends_the_wait_and_not_the_work() {
    let (slow, has_ended) = Slow::new();
    let service = slow.within(layers());
    let status = call(service, request(SHOW, &[("authorization", "Bearer reader"), ("grpc-timeout", "20m")])).await;
    assert_eq!(status.code(), Code::DeadlineExceeded);
    slow.go.notify_one();
    has_ended.await.expect("the work went on to its end");
}

/// tonic applies the caller's deadline too, in the client and in the server, and both would answer CANCELLED.
#[tokio::test]
async fn a_deadline_is_answered_by_us_and_not_by_tonic() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let handler = service_fn(|_| async { Ok::<_, Infallible>(std::future::pending::<Response<Body>>().await) });
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().layer(layers()).serve_with_incoming(handler, incoming));
    let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).expect("a URI");
    let client = AccessTokenServiceClient::new(channel.connect().await.expect("connected"));
    let calls = (0..4).map(|_| {
        let mut client = client.clone();
        let mut request = tonic::Request::new(ShowAccessTokenRequest::default());
        request.metadata_mut().insert("authorization", "Bearer reader".parse().expect("metadata"));
        request.metadata_mut().insert("grpc-timeout", "1S".parse().expect("metadata"));
        async move { client.show_access_token(request).await.expect_err("it never ends") }
    });
    for status in futures::future::join_all(calls).await {
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
        assert!(status.message().contains("may or may not"), "{status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_longer_than_the_limit_whatever_it_asks_for() {
    let service = calls(|_| std::future::pending());
    for headers in
        [&[("authorization", "Bearer reader")][..], &[("authorization", "Bearer reader"), ("grpc-timeout", "5H")]]
    {
        let started = tokio::time::Instant::now();
        let status = call(service.clone(), request(SHOW, headers)).await;
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert_eq!(started.elapsed().as_secs(), 30);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_sending_does_not_keep_the_task() {
    let (ended, has_ended) = oneshot::channel();
    let ended = Arc::new(Mutex::new(Some(ended)));
    let service = calls(move |request| {
        let ended = ended.lock().expect("a lock").take();
        async move {
            let read = request.into_body().collect().await.map(drop);
            let _ = ended.expect("one call").send(read.clone().map_err(|status| status.code()));
            read.map_or_else(Status::into_http, |()| Response::new(Body::empty()))
        }
    });
    // A body without any bytes that never ends.
    let stalled = BodyStream::new(Body::empty()).chain(futures::stream::pending());
    let request = show().map(|_| Body::new(StreamBody::new(stalled)));
    let request = {
        let (mut head, body) = request.into_parts();
        head.uri = http::Uri::from_static(IMPORT);
        head.headers.insert("authorization", "Bearer importer".parse().expect("a value"));
        Request::from_parts(head, body)
    };
    assert_eq!(call(service, request).await.code(), Code::DeadlineExceeded);
    let ended = tokio::time::timeout(Duration::from_secs(600), has_ended).await.expect("the task ended in time");
    assert_eq!(ended.expect("the task told"), Err(Code::DeadlineExceeded));
}

#[tokio::test]
async fn a_place_is_taken_until_the_work_is_done() {
    let (slow, has_ended) = Slow::new();
    let layers = CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits_of(1), database_up());
    let busy = slow.within(layers.clone());
    let service = calls_in(layers, ok);
    let mut waiting = Box::pin(busy.oneshot(show()));
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    let status = call(service.clone(), show()).await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(
        status.get_error_details().retry_info().is_some_and(|info| info.retry_delay == Some(Duration::from_secs(1)))
    );
    assert_eq!(call(service.clone(), request(HEALTH, &[])).await.code(), Code::Ok, "health is never refused");
    slow.go.notify_one();
    has_ended.await.expect("the work ended");
    tokio::task::yield_now().await;
    assert_eq!(call(service, show()).await.code(), Code::Ok);
}

#[tokio::test]
async fn without_a_database_whoever_waits_and_whoever_comes_is_told_at_once_and_the_work_is_cut() {
    let (slow, _) = Slow::new();
    let database = watch::Sender::new(true);
    let layers = CallLayers::new(Arc::new(TestAuthenticator), Arc::default(), &limits_of(1), database.subscribe());
    let mut waiting = Box::pin(call(slow.within(layers.clone()), show()));
    assert!(futures::poll!(&mut waiting).is_pending());
    database.send_replace(false);
    let service = calls_in(layers, ok);
    for status in [waiting.await, call(service.clone(), show()).await] {
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
        assert!(status.get_error_details().retry_info().is_some());
    }
    assert_eq!(call(service.clone(), request(HEALTH, &[])).await.code(), Code::Ok, "health needs no database");
    database.send_replace(true);
    tokio::task::yield_now().await;
    assert_eq!(call(service, show()).await.code(), Code::Ok, "the place of what was cut is free");
}

#[tokio::test]
async fn what_tonic_refuses_has_a_reason_and_what_we_refuse_stays() {
    let refusals = [
        (Status::out_of_range("decoded message length too large"), Code::ResourceExhausted, "REQUEST_TOO_LARGE"),
        (Status::internal("failed to decode: invalid wire type"), Code::InvalidArgument, "INVALID_FIELD_VALUE"),
        (Status::unimplemented("compression"), Code::Unimplemented, "METHOD_NOT_FOUND"),
        (status::from_error(&Error::internal("ours")), Code::Internal, "INTERNAL"),
        (status::from_error(&Error::new(Reason::Conflict, "ours")), Code::Aborted, "CONFLICT"),
    ];
    for (refusal, code, name) in refusals {
        let service = calls(move |_| {
            let response = refusal.clone().into_http();
            async move { response }
        });
        let status = call(service, show()).await;
        assert_eq!((status.code(), reason(&status).as_str()), (code, name));
        assert!(!status.message().contains("wire type"), "tonic's words are not ours");
    }
}
