//! The empty call: a server on the same libraries that answers every call with the same bytes. It is the lower bound of the cost of
//! the service.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use access_tokens_proto::BytesCodec;
use anyhow::Result;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::transport::Server;
use tonic::{Response, Status};

/// Serves until the process is killed.
pub(crate) async fn serve(address: SocketAddr, size: usize) -> Result<()> {
    let empty = Empty(Bytes::from(vec![b'x'; size]));
    Ok(Server::builder().add_service(empty).serve(address).await?)
}

#[derive(Clone)]
struct Empty(Bytes);

impl NamedService for Empty {
    const NAME: &'static str = "accesstoken.v1.AccessTokenService";
}

impl tower::Service<Request<Body>> for Empty {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = self.clone();
        Box::pin(async move { Ok(Grpc::new(BytesCodec).unary(answer, request).await) })
    }
}

impl UnaryService<Bytes> for Empty {
    type Response = Bytes;
    type Future = std::future::Ready<Result<Response<Bytes>, Status>>;

    fn call(&mut self, _: tonic::Request<Bytes>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.0.clone())))
    }
}
