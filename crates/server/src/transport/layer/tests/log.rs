//! What a call leaves in the log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use access_tokens_domain::{Error, Reason};
use tower::ServiceExt;

use super::{HEALTH, SHOW, call, calls, request, show};
use crate::transport::status;

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("a lock").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_owned).collect()
    }
}

/// What is logged meanwhile.
async fn lines_of(scenario: impl Future<Output = ()>) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    scenario.await;
    log.lines()
}

/// Whether this is the process that the test has for itself; otherwise runs it in one. Which places log at all is found
/// out once a process, by whichever test comes first, with or without a log.
fn alone(test: &str) -> bool {
    if std::env::var_os("TEST_ALONE").is_some() {
        return true;
    }
    let name = format!("transport::layer::tests::log::{test}");
    let mut process = std::process::Command::new(std::env::current_exe().expect("this program"));
    let output = process.args([&name, "--exact", "--nocapture"]).env("TEST_ALONE", "1").output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "there is no test {name}: {said}");
    false
}

#[tokio::test]
async fn one_line_a_call_says_method_code_and_id_and_nothing_of_the_caller() {
    if !alone("one_line_a_call_says_method_code_and_id_and_nothing_of_the_caller") {
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
    if !alone("a_fault_is_logged_once_with_its_cause_and_the_request_id") {
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
    if !alone("a_caller_that_went_is_a_cancelled_call_and_no_error") {
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
