//! The lines of a call in the log.

use access_tokens_domain::{Error, Reason};
use access_tokens_net::client_address::ClientAddress;
use access_tokens_testkit::log::{MemoryLog, is_alone};
use tower::ServiceExt;

use super::{HEALTH, LOGIN, SHOW, call, calls, request, show};
use crate::status;

/// Returns the lines that a scenario logs.
async fn lines_of(scenario: impl Future<Output = ()>) -> Vec<String> {
    let log = MemoryLog::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    scenario.await;
    log.lines()
}

#[tokio::test]
async fn one_line_a_call_says_method_code_and_id_and_nothing_of_the_caller() {
    if !is_alone(module_path!(), "one_line_a_call_says_method_code_and_id_and_nothing_of_the_caller") {
        return;
    }
    let not_found = status::from_error(&Error::new(Reason::AccessTokenNotFound, "no such access token"));
    let service = calls(move |_| {
        let response = not_found.clone().into_http();
        async move { response }
    });
    let headers = [("authorization", "Bearer reader"), ("x-request-id", "r-7"), ("x-secret", "hunter2")];
    let lines = lines_of(async {
        for path in [SHOW, "/secret-path/1234", HEALTH] {
            call(service.clone(), request(path, &headers)).await;
        }
    });
    let [known, unknown] = lines.await.try_into().expect("two lines, and none for a probe");
    assert!(known.contains("INFO") && known.contains(SHOW) && known.contains("NotFound"), "{known}");
    assert!(known.contains("r-7") && !known.contains("reader") && !known.contains("hunter2"), "{known}");
    assert!(unknown.contains("unknown") && !unknown.contains("1234"), "{unknown}");
}

#[tokio::test]
async fn a_fault_is_logged_once_with_its_cause_and_the_request_id() {
    if !is_alone(module_path!(), "a_fault_is_logged_once_with_its_cause_and_the_request_id") {
        return;
    }
    let service = calls(|_| async { status::from_error(&Error::internal("disk on fire")).into_http() });
    let lines = lines_of(async {
        let headers = [("authorization", "Bearer reader"), ("x-request-id", "r-8")];
        let status = call(service.clone(), request(SHOW, &headers)).await;
        assert!(!format!("{status:?}").contains("fire"));
    });
    let causes: Vec<_> = lines.await.into_iter().filter(|line| line.contains("disk on fire")).collect();
    assert_eq!(causes.len(), 1);
    assert!(causes[0].contains("ERROR") && causes[0].contains("r-8"), "{}", causes[0]);
}

#[tokio::test]
async fn a_caller_that_went_is_a_cancelled_call_and_no_error() {
    if !is_alone(module_path!(), "a_caller_that_went_is_a_cancelled_call_and_no_error") {
        return;
    }
    let service = calls(|_| std::future::pending());
    let lines = lines_of(async {
        let mut waiting = Box::pin(service.clone().oneshot(show()));
        assert!(futures::poll!(&mut waiting).is_pending());
    });
    let [line] = lines.await.try_into().expect("one line");
    assert!(line.contains("INFO") && line.contains("Cancelled") && line.contains(SHOW), "{line}");
}

#[tokio::test]
async fn the_line_says_who_called_from_where_and_why_it_was_refused() {
    if !is_alone(module_path!(), "the_line_says_who_called_from_where_and_why_it_was_refused") {
        return;
    }
    let key = format!("atk_{}_{}", "0123456789abcdef", "s".repeat(43));
    let not_found = status::from_error(&Error::new(Reason::AccessTokenNotFound, "no such access token"));
    let failed = status::from_error(&Error::new(Reason::InvalidLogin, "wrong"));
    let service = calls(move |request: http::Request<tonic::body::Body>| {
        let answer = if request.uri().path() == LOGIN { failed.clone() } else { not_found.clone() };
        async move { answer.into_http() }
    });
    let from = |path: &str, headers: &[(&str, &str)]| {
        let mut request = request(path, headers);
        request.extensions_mut().insert(ClientAddress::new([203, 0, 113, 7].into()));
        request
    };
    let lines = lines_of(async {
        call(service.clone(), from(SHOW, &[("authorization", "Bearer reader")])).await;
        call(service.clone(), from(SHOW, &[("x-api-key", &key)])).await;
        call(service.clone(), from(SHOW, &[("authorization", "Bearer stranger")])).await;
        call(service.clone(), from(LOGIN, &[])).await;
    });
    let [by_session, by_key, stranger, login] = lines.await.try_into().expect("four lines");
    for line in [&by_session, &by_key, &stranger, &login] {
        assert!(line.contains("203.0.113.7"), "{line}");
        assert!(!line.contains("reader") && !line.contains("Bearer") && !line.contains("sss"), "{line}");
    }
    for (line, expected) in [
        (&by_session, &["INFO", "reason=\"ACCESS_TOKEN_NOT_FOUND\"", "user=\"U1\"", "organisation=1"][..]),
        (&by_key, &["INFO", "user=\"U1\"", "api_key=\"0123456789abcdef\"", "organisation=1"]),
        (&stranger, &["INFO", "reason=\"INVALID_TOKEN\""]),
        (&login, &["WARN", "reason=\"INVALID_LOGIN\"", LOGIN]),
    ] {
        for part in expected {
            assert!(line.contains(part), "{part} in {line}");
        }
    }
    assert!(!stranger.contains("user=") && !login.contains("user="), "{stranger} {login}");
}
