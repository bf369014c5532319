//! Errors on the wire: one function from the domain's error to a `tonic::Status` with its details.

use std::time::Duration;

use access_tokens_domain::{Error, FieldViolation, Reason};
use access_tokens_proto::ERROR_DOMAIN;
use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Maximum size of a message in bytes. Message and violations travel in the headers of the response, of which many clients accept no more
/// than 8 KiB. Only a request full of unknown names comes near it.
const MESSAGE_LIMIT: usize = 1_000;
/// Maximum size of all violations together in bytes.
const VIOLATIONS_LIMIT: usize = 3_000;

/// Returns the status of an error: its gRPC code, `ErrorInfo`, every faulty field and the time to wait.
///
/// The cause does not leave the service. It is logged here, once, within the span of the call, which has the request id.
pub fn from_error(error: &Error) -> Status {
    log(error);
    let mut details = ErrorDetails::new();
    let metadata = error.metadata().iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    details.set_error_info(error.reason().name(), ERROR_DOMAIN, metadata.collect::<std::collections::HashMap<_, _>>());
    for violation in violations(error) {
        details.add_bad_request_violation(&violation.field, &violation.description);
    }
    if let Some(wait) = error.wait() {
        details.set_retry_info(Some(wait));
    }
    Status::with_error_details(code(error.reason()), message(error), details)
}

/// Returns the message of an error for people, with a bounded length.
pub(super) fn message(error: &Error) -> String {
    let text = error.message();
    if text.len() <= MESSAGE_LIMIT {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MESSAGE_LIMIT)])
}

/// Returns the faulty fields, as many as fit.
pub(super) fn violations(error: &Error) -> impl Iterator<Item = &FieldViolation> {
    let mut size = 0;
    error.violations().iter().take_while(move |violation| {
        size += violation.field.len() + violation.description.len();
        size <= VIOLATIONS_LIMIT
    })
}

/// Returns the gRPC code of a reason, as the contract documents it.
pub fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidToken | Reason::InvalidLogin => Code::Unauthenticated,
        Reason::PermissionDenied | Reason::InvalidCredential | Reason::InvalidVerificationCode => {
            Code::PermissionDenied
        }
        Reason::RequiredFieldMissing
        | Reason::InvalidFieldValue
        | Reason::FieldTooLong
        | Reason::UnknownField
        | Reason::InvalidIdentifier
        | Reason::InvalidPageToken
        | Reason::CardNumberNotMasked
        | Reason::PolicyViolation
        | Reason::GuessBudgetExceeded => Code::InvalidArgument,
        Reason::AccessTokenNotFound
        | Reason::AccountsReceivableNotFound
        | Reason::RewardsParticipantNotFound
        | Reason::ClassificationNotFound
        | Reason::UnitNotFound
        | Reason::ReferenceNotFound => Code::NotFound,
        Reason::AmbiguousName
        | Reason::WrongLifeCycleState
        | Reason::OwnerTerminated
        | Reason::OwnerMismatch
        | Reason::OwnerRequired
        | Reason::OwnerLimitReached
        | Reason::IdentifierRequired
        | Reason::NotificationsDisabled
        | Reason::LastAdmin => Code::FailedPrecondition,
        Reason::AuthenticationCodeAlreadyExists
        | Reason::IdentifierAlreadyExists
        | Reason::NumberAlreadyExists
        | Reason::RecordAlreadyExists => Code::AlreadyExists,
        Reason::Conflict => Code::Aborted,
        Reason::RequestTooLarge
        | Reason::TooManyRecords
        | Reason::Overloaded
        | Reason::TooManyCodes
        | Reason::TooManyLogins => Code::ResourceExhausted,
        Reason::DatabaseUnavailable | Reason::ConnectionClosing => Code::Unavailable,
        Reason::Internal => Code::Internal,
        Reason::MethodNotFound | Reason::UnsupportedEncoding => Code::Unimplemented,
        Reason::DeadlineExceeded => Code::DeadlineExceeded,
    }
}

/// Returns the error for a status that tonic made itself, before the message reached a handler. `None`: the status is not about the
/// message. `limit` is the maximum size of the message in bytes.
pub(super) fn from_decode_failure(status: &Status, limit: usize) -> Option<Error> {
    match status.code() {
        Code::OutOfRange => {
            let text = format!("the message is larger than {limit} bytes");
            Some(Error::new(Reason::RequestTooLarge, text).with("limit", limit.to_string()))
        }
        // No code of the service has run: the bytes are not a message.
        Code::Internal | Code::InvalidArgument => {
            Some(Error::new(Reason::InvalidFieldValue, "the request is not a message of the contract"))
        }
        _ => None,
    }
}

/// Names of the metadata that carry a status: its code, and its details.
const GRPC_STATUS: &str = "grpc-status";
const GRPC_STATUS_DETAILS: &str = "grpc-status-details-bin";
/// Time after which a call may be tried again that failed because of overload or a closing connection.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Adds the details that every error has to the status in these headers or trailers, if it is an error without any. The text is
/// replaced too, because it comes from a library and could tell more than a caller may know.
pub(super) fn add_missing_details(headers: &mut HeaderMap) {
    let Some(code) = headers.get(GRPC_STATUS) else { return };
    if code == "0" || headers.contains_key(GRPC_STATUS_DETAILS) {
        return;
    }
    let Some(error) = from_bare_code(Code::from_bytes(code.as_bytes())) else { return };
    // `add_header` refuses only metadata that is not valid, and an error has none.
    let _ = from_error(&error).add_header(headers);
}

/// Returns the error for a status of which only the code is known. `None`: the status is no error.
///
/// Every error of this service has details, so the transport made this one. Its code becomes that of its reason.
fn from_bare_code(code: Code) -> Option<Error> {
    let error = match code {
        Code::Ok => return None,
        Code::Unauthenticated => Error::invalid_token(),
        Code::PermissionDenied => Error::new(Reason::PermissionDenied, "the caller may not do this"),
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => {
            Error::new(Reason::InvalidFieldValue, "the request is not valid")
        }
        Code::NotFound => Error::new(Reason::ReferenceNotFound, "what the request names does not exist"),
        Code::AlreadyExists => Error::new(Reason::RecordAlreadyExists, "it exists already"),
        Code::Aborted => Error::new(Reason::Conflict, "another call changed the same thing; try again"),
        Code::ResourceExhausted => {
            Error::new(Reason::Overloaded, "the service is overloaded; try again").retry_after(RETRY_AFTER)
        }
        Code::Unavailable => connection_closing(),
        Code::DeadlineExceeded | Code::Cancelled => {
            Error::new(Reason::DeadlineExceeded, "the deadline passed; the call may or may not have taken effect")
        }
        Code::Unimplemented => Error::new(Reason::MethodNotFound, "there is no such method"),
        Code::Internal | Code::Unknown | Code::DataLoss => Error::internal("an error without details"),
    };
    Some(error)
}

/// Returns the error of a stream that ends with its connection.
pub(super) fn connection_closing() -> Error {
    Error::new(Reason::ConnectionClosing, "the connection is closing; connect again").retry_after(RETRY_AFTER)
}

/// Logs the cause of an error, which the caller does not learn.
pub(super) fn log(error: &Error) {
    let reason = error.reason().name();
    match error.causes() {
        Some(cause) if error.reason() == Reason::Internal => {
            tracing::error!(%reason, %cause, "a call failed by a fault of the service");
        }
        Some(cause) => tracing::warn!(%reason, %cause, "a call failed"),
        None if error.reason() == Reason::Internal => {
            tracing::error!(%reason, cause = error.message(), "a call failed by a fault of the service");
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use access_tokens_domain::error::Violations;
    use access_tokens_proto::v1::ErrorReason;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Returns the word after "gRPC code" in the comment of each reason in the contract, by the name of the reason.
    fn documented_codes() -> Vec<(String, String)> {
        let set = FileDescriptorSet::decode(access_tokens_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
        let file = set.file.iter().find(|f| f.name().ends_with("error_reason.proto")).expect("the file of the reasons");
        let comments = &file.source_code_info.as_ref().expect("comments are kept").location;
        let values = file.enum_type[0].value.iter().enumerate().skip(1);
        let code = |index: usize| {
            let comment =
                comments.iter().find(|l| l.path == [5, 0, 2, index as i32]).expect("every reason has a comment");
            let text = comment.leading_comments().split_whitespace().collect::<Vec<_>>().join(" ");
            let after = text.split_once("gRPC code ").expect("every reason names its code").1;
            after.split(['.', ' ']).next().expect("a word").to_owned()
        };
        values.map(|(index, value)| (value.name().to_owned(), code(index))).collect()
    }

    #[test]
    fn every_reason_has_the_code_that_the_contract_documents() {
        let codes = access_tokens_proto::descriptor_pool().get_enum_by_name("google.rpc.Code").expect("is vendored");
        let name = |code: Code| codes.get_value(code as i32).expect("a code").name().to_owned();
        let ours: Vec<_> = Reason::ALL.iter().map(|r| (r.name().to_owned(), name(code(*r)))).collect();
        assert_eq!(ours, documented_codes());
    }

    #[test]
    fn reasons_are_those_of_the_contract_in_its_order() {
        // Numbers without a value are kept for reasons of later releases.
        let wire: Vec<_> = (1..1_000).filter_map(|number| ErrorReason::try_from(number).ok()).collect();
        let wire: Vec<_> = wire.iter().map(|reason| reason.as_str_name()).collect();
        let ours: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(wire, ours);
    }

    #[test]
    fn details_carry_reason_domain_metadata_fields_and_wait() {
        let mut violations = Violations::default();
        violations.add(Reason::FieldTooLong, "identifier", "too long");
        violations.add(Reason::RequiredFieldMissing, "pass_code", "is required");
        let error = violations.into_result().expect_err("two").with("key", "value").retry_after(Duration::from_secs(2));
        let status = from_error(&error);
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let info = details.error_info().expect("always there");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("FIELD_TOO_LONG", "access-tokens"));
        assert_eq!(info.metadata["key"], "value");
        let fields: Vec<_> = details.bad_request().expect("fields").field_violations.iter().map(|v| &v.field).collect();
        assert_eq!(fields, ["identifier", "pass_code"]);
        assert_eq!(details.retry_info().expect("a wait").retry_delay, Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_status_of_the_transport_gets_a_documented_reason_with_its_code() {
        let documented: Vec<_> = documented_codes().into_iter().map(|(reason, _)| reason).collect();
        for number in 0..=17 {
            let bare = Status::new(Code::from(number), "hunter2").into_http::<()>();
            let mut headers = bare.headers().clone();
            add_missing_details(&mut headers);
            let status = Status::from_header_map(&headers).expect("a status");
            if number == 0 {
                assert_eq!(headers, *bare.headers());
                continue;
            }
            let details = status.get_error_details();
            let info = details.error_info().expect("details");
            assert_eq!(info.domain, ERROR_DOMAIN);
            assert!(documented.contains(&info.reason), "{}", info.reason);
            let reason = Reason::from_name(&info.reason).expect("known");
            assert_eq!(status.code(), code(reason), "{number}");
            assert!(!status.message().contains("hunter2"));
            // The error has all details now.
            let once = headers.clone();
            add_missing_details(&mut headers);
            assert_eq!(headers, once);
        }
        let mut none = HeaderMap::new();
        add_missing_details(&mut none);
        assert!(none.is_empty());
    }

    #[test]
    fn a_fault_of_ours_never_shows_its_cause() {
        let status = from_error(&Error::internal("password=hunter2"));
        assert_eq!(status.code(), Code::Internal);
        let shown = format!("{status:?}{}", String::from_utf8_lossy(status.details()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn an_error_fits_into_the_headers_that_clients_accept() {
        let mut violations = Violations::default();
        for i in 0..10_000 {
            violations.add(Reason::UnknownField, "fields_set", format!("unknown field é{i}"));
        }
        let status = from_error(&violations.into_result().expect_err("many"));
        let headers = status.into_http::<()>();
        let size: usize = headers.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(size < 8 * 1024, "{size}");
    }
}
