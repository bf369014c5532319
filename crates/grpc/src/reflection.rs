//! The reflection service of gRPC, from which clients read the contract: version 1, and version 1alpha for older clients.
//!
//! A request without a result gets an error response, and the stream stays open. The library's service ends the stream, and knows no
//! extensions.

mod index;

use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use futures::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflectionServer;
use tonic_reflection::pb::v1alpha::server_reflection_server::ServerReflectionServer as ServerReflectionServerAlpha;

use self::index::Index;
use super::layer::method::MAX_REQUEST_BYTES;
use super::status;

/// Returns the service of version 1.
pub(super) fn v1() -> ServerReflectionServer<Reflection> {
    ServerReflectionServer::new(Reflection).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Returns the service of version 1alpha.
pub(super) fn v1alpha() -> ServerReflectionServerAlpha<Reflection> {
    ServerReflectionServerAlpha::new(Reflection).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Returns the descriptors. They are read at the first request, because most processes receive none and the contract takes half a
/// megabyte.
fn index() -> &'static Index {
    static INDEX: LazyLock<Index> = LazyLock::new(Index::of_service);
    &INDEX
}

/// The error of a request without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ReflectionError(Code, &'static str);

impl ReflectionError {
    const FILE: Self = Self(Code::NotFound, "there is no file of this name");
    const SYMBOL: Self = Self(Code::NotFound, "there is no symbol of this name");
    const EXTENSION: Self = Self(Code::NotFound, "there is no extension of this message with this number");
    const MESSAGE: Self = Self(Code::NotFound, "there is no message of this name");
    const NOTHING: Self = Self(Code::InvalidArgument, "the request asks for nothing that reflection knows");
}

/// Returns the error of a stream that cannot be read any further.
fn broken(broken: Status) -> Status {
    status::from_decode_failure(&broken, MAX_REQUEST_BYTES).map_or(broken, |error| status::from_error(&error))
}

/// The service, in both versions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reflection;

/// Implements the service of one version. The messages of the two versions have the same fields, but are distinct types.
macro_rules! version {
    ($version:ident) => {
        const _: () = {
            use pb::$version::server_reflection_request::MessageRequest;
            use pb::$version::server_reflection_response::MessageResponse;
            use pb::$version::{
                ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
                ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
            };

            fn response(request: ServerReflectionRequest) -> ServerReflectionResponse {
                let found =
                    find(index(), request.message_request.as_ref()).unwrap_or_else(|ReflectionError(code, text)| {
                        MessageResponse::ErrorResponse(ErrorResponse {
                            error_code: code as i32,
                            error_message: text.to_owned(),
                        })
                    });
                ServerReflectionResponse {
                    valid_host: request.host.clone(),
                    original_request: Some(request),
                    message_response: Some(found),
                }
            }

            fn find(index: &Index, request: Option<&MessageRequest>) -> Result<MessageResponse, ReflectionError> {
                let file = |found: Option<&Arc<[u8]>>, unknown| {
                    let file = found.ok_or(unknown)?.to_vec();
                    let files = FileDescriptorResponse { file_descriptor_proto: vec![file] };
                    Ok(MessageResponse::FileDescriptorResponse(files))
                };
                match request.ok_or(ReflectionError::NOTHING)? {
                    MessageRequest::FileByFilename(name) => file(index.file(name), ReflectionError::FILE),
                    MessageRequest::FileContainingSymbol(name) => file(index.symbol(name), ReflectionError::SYMBOL),
                    MessageRequest::FileContainingExtension(extension) => {
                        let found = index.extension(&extension.containing_type, extension.extension_number);
                        file(found, ReflectionError::EXTENSION)
                    }
                    MessageRequest::AllExtensionNumbersOfType(name) => {
                        let numbers = index.extension_numbers(name).ok_or(ReflectionError::MESSAGE)?;
                        Ok(MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                            base_type_name: name.clone(),
                            extension_number: numbers,
                        }))
                    }
                    MessageRequest::ListServices(_) => {
                        let names = index.services().iter().map(|name| ServiceResponse { name: name.clone() });
                        Ok(MessageResponse::ListServicesResponse(ListServiceResponse { service: names.collect() }))
                    }
                }
            }

            #[tonic::async_trait]
            impl pb::$version::server_reflection_server::ServerReflection for Reflection {
                type ServerReflectionInfoStream =
                    Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

                /// Reads a request when the client has read the response to the previous one.
                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    let answers = request.into_inner().map(|request| request.map(response).map_err(broken));
                    Ok(Response::new(Box::pin(answers)))
                }
            }
        };
    };
}

version!(v1);
version!(v1alpha);
