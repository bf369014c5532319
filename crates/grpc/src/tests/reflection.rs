//! Reflection and health, as clients use them that do not know the contract.

use std::time::Duration;

use access_tokens_proto::health::health_check_response::ServingStatus;
use access_tokens_proto::health::health_client::HealthClient;
use access_tokens_proto::health::{HealthCheckRequest, HealthListRequest};
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::Code;
use tonic_reflection::pb::v1 as reflection;
use tonic_reflection::pb::v1::ExtensionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::World;
use super::wire::channel;
use crate::Readiness;
use crate::limits::Limits;

fn extension(of: &str, number: i32) -> MessageRequest {
    MessageRequest::FileContainingExtension(ExtensionRequest {
        containing_type: of.to_owned(),
        extension_number: number,
    })
}

/// The content of a response: the name of a file, numbers, or the code of an error.
fn told(answer: Option<MessageResponse>) -> String {
    match answer.expect("an answer") {
        MessageResponse::FileDescriptorResponse(files) => {
            let files =
                files.file_descriptor_proto.iter().map(|file| FileDescriptorProto::decode(&**file).expect("a file"));
            files.map(|file| file.name().to_owned()).collect()
        }
        MessageResponse::AllExtensionNumbersResponse(all) => {
            format!("{}: {:?}", all.base_type_name, all.extension_number)
        }
        MessageResponse::ListServicesResponse(list) => format!("{} services", list.service.len()),
        MessageResponse::ErrorResponse(error) => format!("{:?}", Code::from(error.error_code)),
    }
}

#[tokio::test]
async fn a_question_without_an_answer_does_not_end_the_stream() {
    let world = World::new().await;
    let mut client = ServerReflectionClient::new(channel(&world, Limits::default()).await);
    let options = "accesstoken/v1/options.proto";
    let cases = [
        (Some(MessageRequest::FileContainingSymbol("accesstoken.v1.Nonsense".to_owned())), "NotFound"),
        (Some(MessageRequest::FileContainingSymbol(String::new())), "NotFound"),
        (Some(MessageRequest::FileByFilename("nonsense.proto".to_owned())), "NotFound"),
        (Some(extension("google.protobuf.FieldOptions", 1)), "NotFound"),
        (Some(extension("accesstoken.v1.Nonsense", 1)), "NotFound"),
        (Some(MessageRequest::AllExtensionNumbersOfType("accesstoken.v1.Nonsense".to_owned())), "NotFound"),
        (None, "InvalidArgument"),
        (
            Some(MessageRequest::AllExtensionNumbersOfType("accesstoken.v1.AccessToken".to_owned())),
            "accesstoken.v1.AccessToken: []",
        ),
        (
            Some(MessageRequest::FileContainingSymbol("google.rpc.ErrorInfo".to_owned())),
            "google/rpc/error_details.proto",
        ),
        (Some(MessageRequest::FileContainingSymbol("google.rpc.Code".to_owned())), "google/rpc/code.proto"),
        (Some(MessageRequest::FileContainingSymbol("google.rpc.Status.details".to_owned())), "google/rpc/status.proto"),
        (Some(MessageRequest::ListServices(String::new())), "6 services"),
    ];
    let requests: Vec<_> = cases
        .iter()
        .map(|(request, _)| reflection::ServerReflectionRequest {
            host: "host".to_owned(),
            message_request: request.clone(),
        })
        .collect();
    let mut answers = client.server_reflection_info(tokio_stream::iter(requests)).await.expect("served").into_inner();
    for (request, expected) in &cases {
        let answer = answers.message().await.expect("no error").expect("not the end");
        let original = answer.original_request.expect("the question");
        assert_eq!((&original.message_request, answer.valid_host.as_str()), (request, "host"));
        assert_eq!(told(answer.message_response), *expected, "{request:?}");
    }
    assert!(answers.message().await.expect("no error").is_none());

    // The options of methods and fields: permissions and releases.
    let pool = access_tokens_proto::descriptor_pool();
    let ours: Vec<_> = pool.all_extensions().filter(|one| one.parent_file().name() == options).collect();
    assert!(!ours.is_empty());
    let requests = ours.iter().map(|one| {
        let number = i32::try_from(one.number()).expect("a number");
        extension(one.containing_message().full_name(), number)
    });
    let requests: Vec<_> = requests
        .map(|request| reflection::ServerReflectionRequest { host: String::new(), message_request: Some(request) })
        .collect();
    let mut answers = client.server_reflection_info(tokio_stream::iter(requests)).await.expect("served").into_inner();
    for one in &ours {
        let answer = answers.message().await.expect("no error").expect("not the end");
        assert_eq!(told(answer.message_response), options, "{}", one.full_name());
    }
}

#[tokio::test]
async fn health_is_watched_and_listed() {
    let world = World::new().await;
    let mut client = HealthClient::new(channel(&world, Limits::default()).await);
    let watch = async |client: &mut HealthClient<_>, name: &str| {
        client.watch(HealthCheckRequest { service: name.to_owned() }).await.expect("watched").into_inner()
    };
    let mut unknown = watch(&mut client, "nonsense").await;
    let mut whole = watch(&mut client, "").await;
    assert_eq!(unknown.message().await.expect("no error").expect("a status").status(), ServingStatus::ServiceUnknown);
    assert_eq!(whole.message().await.expect("no error").expect("a status").status(), ServingStatus::NotServing);
    for (readiness, expected) in
        [(Readiness::Ready, ServingStatus::Serving), (Readiness::Stopping, ServingStatus::NotServing)]
    {
        world.health.set(readiness);
        assert_eq!(whole.message().await.expect("no error").expect("a status").status(), expected);
        let list = client.list(HealthListRequest {}).await.expect("a list").into_inner().statuses;
        assert_eq!(list["accesstoken.v1.AccessTokenService"].status(), expected);
        assert_eq!(list["alive"].status(), ServingStatus::Serving);
    }
    let more = tokio::time::timeout(Duration::from_millis(50), unknown.message()).await;
    assert!(more.is_err(), "the stream is open, and has nothing to tell: {more:?}");
}
