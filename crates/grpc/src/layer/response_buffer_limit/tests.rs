//! Large responses, and callers that do not read them.

use std::convert::Infallible;

use access_tokens_net::client_address::RemoteAddress;
use access_tokens_net::connection_tracker::{ConnectionInfo, ConnectionTracker};
use access_tokens_net::tls::Peer;
use http::HeaderMap;
use tonic::Code;
use tonic_types::StatusExt;
use tower::{ServiceExt, service_fn};

use super::super::{Endpoint, GrpcService, InFlight, Stack};
use super::*;

const LIST: &str = "/accesstoken.v1.AccessTokenService/ListAccessTokens";
const IMPORT: &str = "/accesstoken.v1.DirectoryService/ImportDirectory";
const MIB: usize = 1 << 20;

/// A service whose responses have as many bytes as a header of the request says, and trailers.
fn service(limit: &ResponseBufferLimit) -> impl GrpcService + use<> {
    let inner = service_fn(|request: Request<Body>| async move {
        let size: usize = request.headers()["size"].to_str().expect("text").parse().expect("a number");
        let message: Bytes = (0..size).map(|place| (place % 251) as u8).collect();
        let frames = [Frame::data(message), Frame::trailers(HeaderMap::from_iter([status_ok()]))];
        Ok::<_, Infallible>(Response::new(prepend(frames.map(Ok).into_iter(), Body::empty())))
    });
    InFlight::new(Stack { middleware: limit.clone(), inner: Endpoint(inner) })
}

fn status_ok() -> (http::HeaderName, http::HeaderValue) {
    (Status::GRPC_STATUS, http::HeaderValue::from_static("0"))
}

fn connection() -> Arc<ConnectionTracker> {
    Arc::new(ConnectionTracker::detached())
}

async fn call(
    limit: &ResponseBufferLimit,
    path: &str,
    size: usize,
    over: Option<&Arc<ConnectionTracker>>,
) -> Response<Body> {
    let request = Request::builder().method("POST").uri(path).header("content-type", "application/grpc");
    let mut request = request.header("size", size).body(Body::empty()).expect("a request");
    if let Some(tracker) = over {
        request.extensions_mut().insert(ConnectionInfo {
            remote: RemoteAddress::new([127, 0, 0, 1].into(), &Arc::default()),
            peer: Peer::default(),
            tracker: Arc::clone(tracker),
        });
    }
    let Ok(response) = service(limit).oneshot(request).await;
    response
}

/// Returns a response, or `None` if there was no room for it.
async fn list(
    limit: &ResponseBufferLimit,
    size: usize,
    over: Option<&Arc<ConnectionTracker>>,
) -> Option<Response<Body>> {
    let response = call(limit, LIST, size, over).await;
    let Some(status) = Status::from_header_map(response.headers()) else { return Some(response) };
    let details = status.get_error_details();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(details.error_info().map(|info| info.reason.as_str()), Some("OVERLOADED"));
    assert_eq!(details.retry_info().and_then(|info| info.retry_delay), Some(RETRY_AFTER));
    None
}

#[tokio::test]
async fn every_answer_arrives_as_it_was() {
    let limit = ResponseBufferLimit::new();
    for size in [0, 1, UNTRACKED_BYTES, UNTRACKED_BYTES + 1, 3 * CHUNK_BYTES, 10 * MIB + 1, MAX_BUFFERED_BYTES + MIB] {
        for over in [None, Some(connection())] {
            let response = list(&limit, size, over.as_ref()).await.expect("room");
            let whole = response.into_body().collect().await.expect("a body");
            assert_eq!(whole.trailers().and_then(|trailers| trailers.get("grpc-status")), Some(&status_ok().1));
            let bytes = whole.to_bytes();
            assert!(bytes.len() == size && bytes.iter().zip((0..=250).cycle()).all(|(one, other)| *one == other));
        }
    }
    assert_eq!(limit.room.available_permits(), MAX_BUFFERED_BYTES);
}

#[tokio::test]
async fn an_answer_without_a_body_stays_without_one() {
    let inner = service_fn(|_| async { Ok::<_, Infallible>(buffer_full()) });
    let layered = InFlight::new(Stack { middleware: ResponseBufferLimit::new(), inner: Endpoint(inner) });
    let Ok(response) = layered.oneshot(Request::new(Body::empty())).await;
    assert!(response.body().is_end_stream(), "its head ends the stream");
}

#[tokio::test]
async fn what_a_stream_has_to_say_later_does_not_hold_its_head() {
    let later = stream::once(async {
        tokio::task::yield_now().await;
        Ok::<_, Status>(Frame::data(Bytes::from_static(b"later")))
    });
    let body = Arc::new(Mutex::new(Some(Body::new(StreamBody::new(later)))));
    let inner = service_fn(move |_| {
        let body = body.lock().expect("a lock").take().expect("one call");
        async { Ok::<_, Infallible>(Response::new(body)) }
    });
    let answer = InFlight::new(Stack { middleware: ResponseBufferLimit::new(), inner: Endpoint(inner) })
        .oneshot(Request::new(Body::empty()));
    let Ok(response) = answer.now_or_never().expect("a head at once");
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "later");
}

#[tokio::test]
async fn small_answers_need_no_room() {
    let (limit, connection) = (ResponseBufferLimit::new(), connection());
    let _reserved =
        (limit.room.try_acquire_many(MAX_BUFFERED_BYTES as u32), connection.unsent_budget().try_acquire_many(1 << 24));
    assert!(list(&limit, UNTRACKED_BYTES, Some(&connection)).await.is_some());
    assert!(list(&limit, UNTRACKED_BYTES + 1, Some(&connection)).await.is_none());
}

#[tokio::test]
async fn a_connection_has_so_much_and_all_together_have_so_much_until_it_is_taken() {
    let limit = ResponseBufferLimit::new();
    let connections: Vec<_> = (0..5).map(|_| connection()).collect();
    let mut held = Vec::new();
    for connection in &connections[..4] {
        for _ in 0..UNSENT_BYTES_PER_CONNECTION / MIB {
            held.push(list(&limit, MIB, Some(connection)).await.expect("room"));
        }
        assert!(list(&limit, MIB, Some(connection)).await.is_none(), "more than one connection may have");
    }
    for over in [None, Some(&connections[4])] {
        assert!(list(&limit, UNTRACKED_BYTES + 1, over).await.is_none(), "more than all may have");
    }
    drop(held.pop());
    assert!(list(&limit, MIB, Some(&connections[4])).await.is_some());
    assert!(list(&limit, MIB, Some(&connections[3])).await.is_some());
    assert!(list(&limit, MIB, Some(&connections[2])).await.is_none());
    let taken = held.pop().expect("another").into_body().collect().await.expect("a body");
    assert_eq!(taken.to_bytes().len(), MIB);
    assert!(list(&limit, MIB, None).await.is_some());
}

#[tokio::test]
async fn who_has_changed_something_is_told_in_any_case() {
    let limit = ResponseBufferLimit::new();
    let _reserved = limit.room.try_acquire_many(MAX_BUFFERED_BYTES as u32);
    let response = call(&limit, IMPORT, MIB, None).await;
    assert_eq!(response.into_body().collect().await.expect("a body").to_bytes().len(), MIB);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_in_time_is_gone_and_its_connection_is_idle() {
    let (limit, connection) = (ResponseBufferLimit::new(), connection());
    let mut body = list(&limit, 3 * MIB, Some(&connection)).await.expect("room").into_body();
    let first = body.frame().await.expect("a frame").expect("no error").into_data().expect("data");
    assert_eq!(first.len(), CHUNK_BYTES);
    tokio::time::sleep(SEND_TIMEOUT + 3 * SEND_TIMEOUT_PER_MIB - Duration::from_millis(1)).await;
    assert_eq!(limit.room.available_permits(), MAX_BUFFERED_BYTES - 3 * MIB);
    assert!(connection.idle_since().is_none());
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(limit.room.available_permits(), MAX_BUFFERED_BYTES);
    assert!(connection.idle_since().is_some());
    let late = body.frame().await.expect("the stream is not just over").expect_err("too late");
    assert_eq!(late.code(), Code::DeadlineExceeded);
    drop(body);
    assert!(list(&limit, MIB, Some(&connection)).await.is_some(), "the end of the call counts once");
}
