//! What the methods of the services have in common.

use std::pin::Pin;

use access_tokens_domain::Result;
use access_tokens_telemetry::rpc;
use prost::Message;
use tonic::{Response, Status};

use super::status;

pub(super) type Answer<T> = Result<Response<T>, Status>;

/// The answer of a use case, which stays where it is: by value it would be copied into this future.
pub(super) async fn answer<T>(
    use_case: &'static str,
    result: Pin<&mut (impl Future<Output = Result<T>> + Send)>,
) -> Answer<T> {
    rpc::use_case(use_case, result).await.map(Response::new).map_err(|error| status::from_error(&error))
}

pub(super) fn read<M: Message + Default, T>(
    message: &[u8],
    convert: impl FnOnce(M) -> Result<T>,
) -> Option<Result<()>> {
    M::decode(message).ok().map(|request| convert(request).map(drop))
}
