//! Tests the log of deliveries at its most detailed level.

use std::time::Duration;

use access_tokens_domain::ports::Clock;
use access_tokens_host::SystemClock;
use access_tokens_testkit::log::{MemoryLog, is_alone};
use tracing_subscriber::filter::LevelFilter;

use super::{LONG, Receiver, dead, expiring, notification, started};

#[tokio::test]
async fn kinds_and_outcomes_and_nothing_of_a_notification() {
    if !is_alone(module_path!(), "kinds_and_outcomes_and_nothing_of_a_notification") {
        return;
    }
    let log = MemoryLog::default();
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

    let text = log.text();
    let ours: Vec<&str> = text.lines().filter(|line| line.contains("access_tokens_server::notification")).collect();
    for expected in [
        "INFO access_tokens_server::notification::webhook_client: notification delivered kind=\"PASS_CODE_CREATED\"",
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
