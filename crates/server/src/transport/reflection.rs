//! What grpcurl asks: the contract and health. The service itself is added by the builder.

use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use access_tokens_proto::FILE_DESCRIPTOR_SET;
use http::Request;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::{Builder, v1alpha};
use tower::Service;

use super::layer::method::MAX_REQUEST_BYTES;

/// Version 1.
pub(super) fn v1() -> Lazy<ServerReflectionServer<impl ServerReflection>> {
    Lazy::new(|| {
        let service = builder().build_v1().expect("the descriptors were compiled together");
        service.max_decoding_message_size(MAX_REQUEST_BYTES)
    })
}

/// The version before, which older clients ask for.
pub(super) fn v1alpha() -> Lazy<v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>> {
    Lazy::new(|| {
        let service = builder().build_v1alpha().expect("the descriptors were compiled together");
        service.max_decoding_message_size(MAX_REQUEST_BYTES)
    })
}

fn builder() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// A service that is made when somebody asks first: most processes are never asked, and the contract is half a megabyte.
pub(super) struct Lazy<S>(Arc<LazyLock<S>>);

impl<S> Lazy<S> {
    fn new(service: fn() -> S) -> Self {
        Self(Arc::new(LazyLock::new(service)))
    }
}

impl<S> Clone for Lazy<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: NamedService> NamedService for Lazy<S> {
    const NAME: &'static str = S::NAME;
}

impl<S: Service<Request<Body>> + Clone> Service<Request<Body>> for Lazy<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        // Like every generated service.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> S::Future {
        S::clone(&self.0).call(request)
    }
}
