//! Tests the log of deliveries at its most detailed level.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use access_tokens_domain::ports::Clock;
use access_tokens_host::SystemClock;
use tracing_subscriber::filter::LevelFilter;

use super::{LONG, Receiver, dead, expiring, notification, started};

/// The logged lines.
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

/// Returns whether this process runs the test alone; otherwise starts such a process. The levels of log statements are determined once for
/// each process, by the first test, with or without a log.
fn alone(test: &str) -> bool {
    if std::env::var_os("TEST_ALONE").is_some() {
        return true;
    }
    let name = format!("notification::tests::log::{test}");
    let mut process = std::process::Command::new(std::env::current_exe().expect("this program"));
    let output = process.args([&name, "--exact", "--nocapture"]).env("TEST_ALONE", "1").output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "there is no test {name}: {said}");
    false
}

#[tokio::test]
async fn kinds_and_outcomes_and_nothing_of_a_notification() {
    if !alone("kinds_and_outcomes_and_nothing_of_a_notification") {
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_ansi(false).with_max_level(LevelFilter::TRACE);
    let _guard = tracing::subscriber::set_default(lines.with_writer(move || writer.clone()).finish());

    for statuses in [&[200][..], &[503, 503, 503], &[404]] {
        let receiver = Receiver::answering(statuses).await;
        let (notifier, deliveries) = started(&receiver.url, 10);
        notifier.notify(notification("hunter2-secret"));
        notifier.notify(expiring(SystemClock.now()));
        deliveries.drain(LONG).await;
        assert!(receiver.calls().iter().all(|(_, body)| body.contains("hunter2-secret")));
    }
    let (listener, url) = dead().await;
    let (notifier, deliveries) = started(&url, 10);
    (0..100).for_each(|_| notifier.notify(notification("hunter2-secret")));
    deliveries.drain(Duration::from_millis(100)).await;
    drop(listener);
    let (notifier, deliveries) = started(&url, 10);
    notifier.notify(notification("hunter2-secret"));
    deliveries.drain(LONG).await;
    // The address does not exist, and is not on this machine.
    let (_, deliveries) = started("http://relay.invalid:9/hooks/hunter2-path", 10);
    deliveries.drain(LONG).await;

    let bytes = log.0.lock().expect("a lock").clone();
    let text = String::from_utf8(bytes).expect("text");
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("access_tokens_server::notification")).collect();
    for expected in [
        "INFO access_tokens_server::notification::courier: notification delivered kind=\"PASS_CODE_CREATED\"",
        "outcome=answered with status 503",
        "outcome=refused with status 404",
        "outcome=expired",
        "outcome=no connection",
        "kind=\"PASS_CODE_FORGOTTEN\"",
        "given_up=",
        "dropped=90",
        "webhook=http://relay.invalid:9/***",
    ] {
        assert!(ours.iter().any(|line| line.contains(expected)), "{expected} is not in:\n{}", ours.join("\n"));
    }
    assert_eq!(ours.iter().filter(|line| line.contains("dropped=")).count(), 1);
    assert!(text.contains("TRACE"), "the log is not at its most talkative");
    assert!(!text.contains("hunter2") && !text.contains("v1="), "{text}");
}
