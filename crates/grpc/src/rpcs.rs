//! The declaration of RPCs. Each service has one table with a row for each of its methods ([`rpcs!`]).

use std::pin::Pin;

use access_tokens_domain::Result;
use access_tokens_telemetry::rpc;
use prost::{Message, Name};
use tonic::{Response, Status};

use super::status;

/// Declares the unary methods of a service:
///
/// ```text
/// rpcs! {
///     AccessTokenService for AccessTokenGrpc, spans "AccessTokens";
///     ShowAccessToken: show_access_token(ShowAccessTokenRequest => request::show) -> AccessToken;
/// }
/// ```
///
/// The row says: the RPC `ShowAccessToken` is the method `show_access_token` of the trait. Its request is a `ShowAccessTokenRequest`, which
/// `request::show` converts; `Ok` stands for a request without a conversion. The inherent method `show_access_token` of `AccessTokenGrpc`
/// answers the call. The span of the call is `AccessTokens.show_access_token`; a row may end in `in span "..."` to have another one.
///
/// From the table follow the implementation of the trait and `RPCS`, the list that the fuzz targets read. A method without a row, a row
/// without a conversion and a row without an inherent method do not compile. A row whose name and messages are not those of the contract
/// fails a test of [`super::fuzzing`].
///
/// A streaming method has no row: [`super::directory_service`] implements it and declares it in its own `RPCS`.
///
/// `docs/adding-an-rpc.md` lists the places that a new RPC touches.
macro_rules! rpcs {
    (
        $service:ident for $implementation:ident, spans $prefix:literal;
        $(
            $name:ident: $method:ident($request:ident => $convert:expr) -> $response:ident
                $(in span $span:literal)?;
        )+
    ) => {
        #[tonic::async_trait]
        impl<S> $service for $implementation<S>
        where
            S: access_tokens_domain::store::Store + access_tokens_domain::store::AccountStore,
        {
            $(
                async fn $method(
                    &self,
                    request: tonic::Request<access_tokens_proto::v1::$request>,
                ) -> $crate::rpcs::Answer<access_tokens_proto::v1::$response> {
                    let span = $crate::rpcs::rpcs!(@span $prefix, $method $(, $span)?);
                    $crate::rpcs::answer(span, std::pin::pin!(self.$method(request))).await
                }
            )+
        }

        /// The methods of the service.
        pub(super) const RPCS: &[$crate::rpcs::Rpc] = &[$(
            $crate::rpcs::Rpc::new::<access_tokens_proto::v1::$request, access_tokens_proto::v1::$response>(
                concat!("/accesstoken.v1.", stringify!($service), "/", stringify!($name)),
                |message| $crate::rpcs::read::<access_tokens_proto::v1::$request, _>(message, $convert),
            ),
        )+];
    };
    (@span $prefix:literal, $method:ident) => { concat!($prefix, ".", stringify!($method)) };
    (@span $prefix:literal, $method:ident, $span:literal) => { $span };
}

pub(super) use rpcs;

/// Converts an encoded request and drops the result. `None`: the bytes are not a message of the method.
pub(super) type Convert = fn(&[u8]) -> Option<Result<()>>;

/// A declared method of a service.
pub struct Rpc {
    /// The path of a call, for example `/accesstoken.v1.AccessTokenService/ShowAccessToken`.
    pub path: &'static str,
    /// The name of the request message, without its package.
    pub request: &'static str,
    /// The name of the response message, without its package.
    pub response: &'static str,
    /// The conversion of the request.
    pub convert: Convert,
}

impl Rpc {
    pub(super) const fn new<Q: Name, A: Name>(path: &'static str, convert: Convert) -> Self {
        Self { path, request: Q::NAME, response: A::NAME, convert }
    }
}

pub(super) type Answer<T> = Result<Response<T>, Status>;

/// Runs a use case in a span and returns its answer. The future stays where it is: by value it would be copied into this one.
pub(super) async fn answer<T>(
    span: &'static str,
    use_case: Pin<&mut (impl Future<Output = Result<T>> + Send)>,
) -> Answer<T> {
    rpc::use_case(span, use_case).await.map(Response::new).map_err(|error| status::from_error(&error))
}

/// Decodes a request and converts it. `None`: the bytes are not such a message.
pub(super) fn read<M: Message + Default, T>(
    message: &[u8],
    convert: impl FnOnce(M) -> Result<T>,
) -> Option<Result<()>> {
    M::decode(message).ok().map(|request| convert(request).map(drop))
}
