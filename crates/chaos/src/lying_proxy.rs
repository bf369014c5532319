//! The mutation of most scenarios: a proxy that acknowledges writes before the service has seen them. A scenario that does not
//! detect it proves nothing.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::{Channel, Server};
use tonic_health::server::health_reporter;
use tower::layer::layer_fn;
use tower::{Service, ServiceExt};

/// Methods that the proxy acknowledges at once.
const LYING_METHODS: &[&str] = &["UpdateAccessToken", "SetAsEffective", "SetAsNotEffective", "VerifyOtp"];
/// Time between the acknowledgement of a write and its forwarding.
const FORWARD_DELAY: Duration = Duration::from_millis(150);

/// A gRPC proxy that lies. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct LyingProxy {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl LyingProxy {
    /// Starts a proxy before a server.
    pub(crate) async fn before(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let upstream = Channel::from_shared(format!("http://{server}"))?.connect_lazy();
        let incoming = stream::unfold(listener, |listener| async move {
            let accepted: std::io::Result<TcpStream> = listener.accept().await.map(|(stream, _)| stream);
            Some((accepted, listener))
        });
        // The builder needs a service; the layer answers every call before it.
        let (_, health_service) = health_reporter();
        let task = tokio::spawn(async move {
            let lying = layer_fn(move |_| LyingService { upstream: upstream.clone() });
            let mut server = Server::builder().layer(lying);
            let _ = server.add_service(health_service).serve_with_incoming(incoming).await;
        });
        Ok(Self { address, task })
    }

    /// Returns the address of the proxy.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for LyingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug, Clone)]
struct LyingService {
    upstream: Channel,
}

impl Service<Request<Body>> for LyingService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let upstream = self.upstream.clone();
        let lies = LYING_METHODS.iter().any(|method| request.uri().path().ends_with(&format!("/{method}")));
        Box::pin(async move {
            if !lies {
                return Ok(forward(upstream, request).await);
            }
            // The whole body is read first, because the request is forwarded after the answer.
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
            tokio::spawn(async move {
                tokio::time::sleep(FORWARD_DELAY).await;
                forward(upstream, Request::from_parts(head, Body::new(Full::new(body)))).await
            });
            Ok(success())
        })
    }
}

async fn forward(upstream: Channel, request: Request<Body>) -> Response<Body> {
    match upstream.oneshot(request).await {
        Ok(response) => response,
        Err(error) => Status::unavailable(error.to_string()).into_http(),
    }
}

/// Returns an empty message with the status OK.
fn success() -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let message = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(message));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
