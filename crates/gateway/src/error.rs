//! Errors in the form that clients of the original API read.

use std::time::Duration;

use access_tokens_proto::FieldViolation;
use access_tokens_proto::v1::ErrorReason;
use axum::body::Body;
use axum::response::IntoResponse;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::response_headers::copy_response_headers;
use crate::route::Mount;

/// Name of the header with the reason of an error, for programs.
pub(crate) const ERROR_REASON: HeaderName = HeaderName::from_static("x-error-reason");
/// Name of the header with the true reason of a refused secret, for callers with `access_tokens.secrets`.
const ERROR_CAUSE: HeaderName = HeaderName::from_static("x-error-cause");

/// Maximum number of violations that one response names.
const MAX_SHOWN_VIOLATIONS: usize = 20;

/// A call that is answered with an error.
#[derive(Debug)]
pub(crate) struct ApiError(Box<Parts>);

#[derive(Debug)]
struct Parts {
    reason: String,
    http: StatusCode,
    message: String,
    fields: Vec<(String, String)>,
    wait: Option<Duration>,
    allow: Option<&'static str>,
    /// Headers of the service's response that are copied to the client.
    headers: HeaderMap,
}

impl ApiError {
    /// Returns an error that the gateway itself makes.
    pub(crate) fn new(reason: ErrorReason, http: StatusCode, message: impl Into<String>) -> Self {
        let reason = reason.as_str_name().to_owned();
        let headers = HeaderMap::new();
        let message = message.into();
        Self(Box::new(Parts { reason, http, message, fields: Vec::new(), wait: None, allow: None, headers }))
    }

    /// Returns the error of a request with these violations. Its reason is that of the first one, as in the service.
    pub(crate) fn from_violations(mut violations: Vec<FieldViolation>) -> Self {
        violations.truncate(MAX_SHOWN_VIOLATIONS);
        let reason = violations.first().map_or(ErrorReason::InvalidFieldValue, |fault| fault.reason);
        let fields: Vec<_> = violations.into_iter().map(|fault| (fault.field, fault.description)).collect();
        let mut error = Self::new(reason, StatusCode::BAD_REQUEST, list(&fields));
        error.0.fields = fields;
        error
    }

    /// Returns the error for a status that the service answered.
    pub(crate) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let http = http_status(status.code());
        let mut error = Self::without_details(status.code(), http);
        if let Some(info) = details.error_info() {
            let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
            error.0.reason.clone_from(&info.reason);
            error.0.message = status.message().to_owned();
            error.0.fields = violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect();
            error.0.wait = details.retry_info().and_then(|retry| retry.retry_delay);
            // The envelope has no place for the cause. The service sends it only to callers that may know it.
            if let Some(cause) = info.metadata.get("cause").and_then(|cause| HeaderValue::from_str(cause).ok()) {
                error.0.headers.insert(ERROR_CAUSE, cause);
            }
        }
        copy_response_headers(status.metadata(), &mut error.0.headers);
        error
    }

    /// Returns the error for a status that the transport made. Its own text could tell more than a caller may know.
    fn without_details(code: Code, http: StatusCode) -> Self {
        let (reason, message) = match code {
            Code::Unauthenticated => (ErrorReason::InvalidToken, "the session is not valid"),
            Code::PermissionDenied => (ErrorReason::PermissionDenied, "the caller may not do this"),
            Code::InvalidArgument | Code::OutOfRange => (ErrorReason::InvalidFieldValue, "the request is not valid"),
            Code::ResourceExhausted => (ErrorReason::Overloaded, "the service is overloaded; try again"),
            Code::Aborted => (ErrorReason::Conflict, "another caller changed the same record; try again"),
            Code::Unavailable => (ErrorReason::DatabaseUnavailable, "the service does not answer; try again"),
            Code::DeadlineExceeded | Code::Cancelled => {
                (ErrorReason::DeadlineExceeded, "the time for the call is over; it may or may not have taken effect")
            }
            Code::Unimplemented => (ErrorReason::MethodNotFound, "there is no such method"),
            _ => (ErrorReason::Internal, "a fault of the service; its log has the cause"),
        };
        let wait = matches!(code, Code::ResourceExhausted | Code::Unavailable).then_some(Duration::from_secs(1));
        let mut error = Self::new(reason, http, message);
        error.0.wait = wait;
        error
    }

    /// Adds a part of the request that is at fault.
    pub(crate) fn with_violation(mut self, field: &str, description: String) -> Self {
        self.0.fields.push((field.to_owned(), description));
        self
    }

    /// Adds the verbs that are allowed.
    pub(crate) fn with_allowed_methods(mut self, verbs: &'static str) -> Self {
        self.0.allow = Some(verbs);
        self
    }

    /// Returns `status.code`, on which clients of the original API base their decisions.
    fn legacy_code(&self) -> String {
        match self.0.reason.as_str() {
            "INVALID_TOKEN" => "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION".to_owned(),
            reason => format!("COM.CRM.EXCEPTION.ACCESSTOKENS.{}EXCEPTION", reason.replace('_', "")),
        }
    }

    /// Returns the envelope without `data`. The legacy mount answers every error with HTTP 200.
    pub(crate) fn into_response(self, mount: Mount) -> Response<Body> {
        let code = self.legacy_code();
        let parts = *self.0;
        let status = serde_json::json!({
            "code": code,
            "description": list(&parts.fields),
            "message": parts.message,
        });
        let body = serde_json::json!({ "status": status }).to_string();
        let http = if mount == Mount::Legacy { StatusCode::OK } else { parts.http };
        let mut response = json(http, body);
        let headers = response.headers_mut();
        headers.extend(parts.headers);
        if let Ok(reason) = HeaderValue::from_str(&parts.reason) {
            headers.insert(ERROR_REASON, reason);
        }
        if let Some(wait) = parts.wait {
            // Whole seconds, rounded up.
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_millis().div_ceil(1000).max(1) as u64));
        }
        if let Some(verbs) = parts.allow {
            headers.insert(ALLOW, HeaderValue::from_static(verbs));
        }
        if http == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<FieldViolation> for ApiError {
    fn from(fault: FieldViolation) -> Self {
        Self::from_violations(vec![fault])
    }
}

/// Returns the violations as `field: what; field: what`. A violation of the whole request has no field.
fn list(fields: &[(String, String)]) -> String {
    let texts = fields.iter().map(|(field, what)| match field.as_str() {
        "" => what.clone(),
        field => format!("{field}: {what}"),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// Returns a response that must not be cached: nearly every one holds a secret or belongs to a session.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let headers =
        [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, headers, body.into()).into_response()
}

/// Returns the canonical HTTP status of a gRPC code.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn a_status_keeps_reason_fields_and_wait() {
        let mut details = ErrorDetails::new();
        details.set_error_info("FIELD_TOO_LONG", "access-tokens", std::collections::HashMap::new());
        details.add_bad_request_violation("identifier", "is too long");
        details.add_bad_request_violation("pass_code", "is required");
        details.set_retry_info(Some(Duration::from_millis(1_200)));
        let status = Status::with_error_details(Code::InvalidArgument, "a text", details);
        let response = ApiError::from_status(&status).into_response(Mount::Canonical);
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        assert_eq!(response.headers()[ERROR_REASON], "FIELD_TOO_LONG");
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn an_invalid_session_has_the_code_that_clients_test_for() {
        let code = |reason| ApiError::new(reason, StatusCode::OK, "").legacy_code();
        assert_eq!(code(ErrorReason::InvalidToken), "COM.CRM.EXCEPTION.INVALIDTOKENEXCEPTION");
        let wrong_state = "COM.CRM.EXCEPTION.ACCESSTOKENS.WRONGLIFECYCLESTATEEXCEPTION";
        assert_eq!(code(ErrorReason::WrongLifeCycleState), wrong_state);
    }

    #[test]
    fn a_text_of_the_transport_is_not_shown() {
        for code in (0..17).map(Code::from_i32).filter(|code| *code != Code::Ok) {
            let error = ApiError::from_status(&Status::new(code, "tcp connect error: 10.0.0.3"));
            assert!(!error.0.message.contains("10.0.0.3") && !error.0.message.is_empty(), "{code:?}");
            assert!(ErrorReason::from_str_name(&error.0.reason).is_some());
        }
    }
}
