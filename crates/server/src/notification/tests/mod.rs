//! Tests deliveries to a good receiver, to one that fails, and to one that is unavailable.

mod log;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use access_tokens_domain::notification::{Notification, NotificationKind, Notifier};
use access_tokens_domain::ports::Clock;
use access_tokens_domain::secret::Secret;
use access_tokens_domain::time::Timestamp;
use access_tokens_host::{SystemClock, SystemRandom};
use axum::Router;
use axum::extract::State;
use chrono::TimeDelta;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use super::message::Signer;
use super::{Deliveries, start};
use crate::config::{NotificationSettings, WebhookSettings};

const SHARED: &str = "hunter2-shared-by-both-0123456789";
const LONG: Duration = Duration::from_secs(10);

/// A webhook.
#[derive(Clone)]
struct Receiver {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// The next answers. The last one is repeated.
    statuses: VecDeque<u16>,
    pause: Duration,
    now: usize,
    most_at_once: usize,
    calls: Vec<(HeaderMap, String)>,
}

impl Receiver {
    async fn answering(statuses: &[u16]) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.expect("a free port"), statuses)
    }

    fn on(listener: TcpListener, statuses: &[u16]) -> Self {
        let url = format!("http://{}/hooks/hunter2-path", listener.local_addr().expect("an address"));
        let seen = Seen { statuses: statuses.iter().copied().collect(), ..Seen::default() };
        let receiver = Self { url, seen: Arc::new(Mutex::new(seen)) };
        let router = Router::new().fallback(receive).with_state(Arc::clone(&receiver.seen));
        tokio::spawn(axum::serve(listener, router).into_future());
        receiver
    }

    fn calls(&self) -> Vec<(HeaderMap, String)> {
        self.seen.lock().expect("a lock").calls.clone()
    }
}

async fn receive(State(seen): State<Arc<Mutex<Seen>>>, headers: HeaderMap, body: String) -> StatusCode {
    let (pause, status) = {
        let mut seen = seen.lock().expect("a lock");
        seen.now += 1;
        seen.most_at_once = seen.most_at_once.max(seen.now);
        seen.calls.push((headers, body));
        let status = if seen.statuses.len() > 1 { seen.statuses.pop_front() } else { seen.statuses.front().copied() };
        (seen.pause, status.expect("a status"))
    };
    sleep(pause).await;
    seen.lock().expect("a lock").now -= 1;
    StatusCode::from_u16(status).expect("a status")
}

fn settings(webhook: &str, queue: usize) -> NotificationSettings {
    let settings = json!({"webhook": webhook, "secret": SHARED, "timeout_seconds": 1, "queue_size": queue});
    serde_json::from_value(settings).expect("settings")
}

fn started(webhook: &str, queue: usize) -> (Arc<dyn Notifier>, Deliveries) {
    let webhooks = WebhookSettings::default();
    start(&settings(webhook, queue), &webhooks, Arc::new(SystemClock), Arc::new(SystemRandom))
}

fn notification(secret: &str) -> Notification {
    Notification {
        kind: NotificationKind::PassCodeCreated,
        organisation_id: "hunter2-organisation".to_owned(),
        access_token: "hunter2-token".to_owned(),
        number: "hunter2-number".to_owned(),
        identifier: Some("hunter2@example.com".to_owned()),
        accounts_receivable: Some("hunter2-account".to_owned()),
        rewards_participant: None,
        secret: Secret::new(secret),
        expiration_date: None,
    }
}

fn expiring(end: Timestamp) -> Notification {
    let kind = NotificationKind::PassCodeForgotten;
    Notification { kind, expiration_date: Some(end), ..notification("hunter2-secret") }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_else(|| panic!("no {name}")).to_owned()
}

/// Checks the signature as a receiver does.
fn assert_signed((headers, body): &(HeaderMap, String)) {
    let signature = header(headers, "x-access-tokens-signature");
    let seconds = signature.strip_prefix("t=").and_then(|rest| rest.split(',').next()).expect("a time");
    let time = Timestamp::from_timestamp(seconds.parse().expect("seconds"), 0).expect("a time");
    assert!((SystemClock.now() - time).abs() < TimeDelta::seconds(10), "{time}");
    let signer = Signer::new(&settings("http://127.0.0.1/", 1)).expect("a signer");
    assert_eq!(signature, signer.sign(time, body.as_bytes()));
    assert_eq!(header(headers, "webhook-timestamp"), seconds);
    let id = header(headers, "webhook-id");
    assert_eq!(id, header(headers, "x-access-tokens-delivery"));
    assert_eq!(header(headers, "webhook-signature"), signer.sign_standard(&id, time, body.as_bytes()));
}

#[tokio::test]
async fn a_notification_arrives_whole_and_signed() {
    let receiver = Receiver::answering(&[204]).await;
    let (notifier, deliveries) = started(&receiver.url, 10);
    assert!(notifier.delivers());
    notifier.notify(notification("123456"));
    notifier.notify(notification("654321"));
    deliveries.drain(LONG).await;
    let calls = receiver.calls();
    let mut secrets = Vec::new();
    for call in &calls {
        assert_signed(call);
        assert_eq!(header(&call.0, "content-type"), "application/json");
        let body: Value = serde_json::from_str(&call.1).expect("JSON");
        assert_eq!(body["kind"], "PASS_CODE_CREATED");
        assert_eq!(body["access_token"]["identifier"], "hunter2@example.com");
        secrets.push(body["secret"].as_str().expect("a text").to_owned());
    }
    secrets.sort();
    assert_eq!(secrets, ["123456", "654321"]);
    let ids: Vec<_> = calls.iter().map(|(headers, _)| header(headers, "x-access-tokens-delivery")).collect();
    assert!(ids[0].len() == 32 && ids[0] != ids[1], "{ids:?}");
}

#[tokio::test]
async fn a_receiver_in_trouble_is_tried_again_with_the_same_delivery() {
    let receiver = Receiver::answering(&[503, 200]).await;
    let (notifier, deliveries) = started(&receiver.url, 10);
    notifier.notify(notification("1"));
    deliveries.drain(LONG).await;
    let calls = receiver.calls();
    let [first, second] = calls.as_slice() else { panic!("{} calls", calls.len()) };
    assert_signed(first);
    assert_signed(second);
    assert_eq!(first.1, second.1);
    let id = |call: &(HeaderMap, String)| header(&call.0, "x-access-tokens-delivery");
    assert_eq!(id(first), id(second));
}

#[tokio::test]
async fn three_tries_are_all_and_a_refusal_is_not_tried_again() {
    for (status, tries) in [(503, 3), (404, 1), (302, 1)] {
        let receiver = Receiver::answering(&[status]).await;
        let (notifier, deliveries) = started(&receiver.url, 10);
        notifier.notify(notification("1"));
        deliveries.drain(LONG).await;
        assert_eq!(receiver.calls().len(), tries, "{status}");
    }
}

#[tokio::test]
async fn a_broken_connection_is_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let (notifier, deliveries) = started(&format!("http://{}/", listener.local_addr().expect("an address")), 10);
    notifier.notify(notification("1"));
    drop(listener.accept().await.expect("a connection"));
    let receiver = Receiver::on(listener, &[200]);
    deliveries.drain(LONG).await;
    assert_eq!(receiver.calls().len(), 1);
}

/// A clock that the test sets.
struct Set(Mutex<Timestamp>);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        *self.0.lock().expect("a lock")
    }
}

#[tokio::test]
async fn an_expired_secret_is_not_sent() {
    let receiver = Receiver::answering(&[503]).await;
    let end = SystemClock.now();
    let clock = Arc::new(Set(Mutex::new(end)));
    let webhooks = WebhookSettings::default();
    let (notifier, deliveries) =
        start(&settings(&receiver.url, 10), &webhooks, Arc::<Set>::clone(&clock), Arc::new(SystemRandom));
    notifier.notify(expiring(end));
    notifier.notify(expiring(end + TimeDelta::seconds(60)));
    while receiver.calls().is_empty() {
        sleep(Duration::from_millis(5)).await;
    }
    // The time is between the first and the second attempt.
    *clock.0.lock().expect("a lock") += TimeDelta::seconds(60);
    deliveries.drain(LONG).await;
    assert_eq!(receiver.calls().len(), 1);
}

#[tokio::test]
async fn eight_are_under_way_at_a_time() {
    let receiver = Receiver::answering(&[200]).await;
    receiver.seen.lock().expect("a lock").pause = Duration::from_millis(50);
    let (notifier, deliveries) = started(&receiver.url, 100);
    for _ in 0..40 {
        notifier.notify(notification("1"));
    }
    deliveries.drain(LONG).await;
    assert_eq!(receiver.calls().len(), 40);
    assert_eq!(receiver.seen.lock().expect("a lock").most_at_once, 8);
}

/// Returns a listener that never answers. The system accepts its connections.
async fn dead() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    (listener, url)
}

#[tokio::test]
async fn a_receiver_without_answers_does_not_delay_callers() {
    let (_listener, url) = dead().await;
    let mut best = Duration::MAX;
    // A busy machine may delay one round, but not each of them.
    for _ in 0..5 {
        let (notifier, _deliveries) = started(&url, 1_000);
        let many: Vec<_> = (0..5_000).map(|number| notification(&number.to_string())).collect();
        let started = Instant::now();
        many.into_iter().for_each(|one| notifier.notify(one));
        best = best.min(started.elapsed());
    }
    assert!(best < Duration::from_millis(10), "{best:?}");
}

#[tokio::test]
async fn notifications_are_given_up_after_the_time_limit() {
    let (_listener, url) = dead().await;
    let (notifier, deliveries) = started(&url, 100);
    for _ in 0..50 {
        notifier.notify(notification("1"));
    }
    let started = Instant::now();
    deliveries.drain(Duration::from_millis(300)).await;
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
    // The task has ended, and with_notifier still returns.
    notifier.notify(notification("1"));
}

#[tokio::test]
async fn a_name_is_called_only_at_addresses_that_are_allowed() {
    let receiver = Receiver::answering(&[200]).await;
    let port = receiver.url.rsplit_once(':').expect("a port").1.to_owned();
    // The system reads these numbers as addresses. The service treats them as names, which are never those of this
    // machine.
    for (host, allowed, calls) in [
        ("localhost", "", 1),
        ("127.1", "", 0),
        ("127.1", "10.0.0.0/8", 1),
        ("2130706433", "10.0.0.0/8", 1),
        // The address of every interface: the system would connect to this machine.
        ("0", "", 0),
        ("0", "10.0.0.0/8", 0),
        ("0", "0.0.0.0/32", 1),
    ] {
        let before = receiver.calls().len();
        let webhooks: WebhookSettings = serde_json::from_value(json!({"allowed_networks": allowed})).expect("settings");
        let settings = settings(&format!("http://{host}:{port}"), 10);
        let (notifier, deliveries) = start(&settings, &webhooks, Arc::new(SystemClock), Arc::new(SystemRandom));
        notifier.notify(notification("1"));
        let started = Instant::now();
        deliveries.drain(LONG).await;
        assert_eq!(receiver.calls().len() - before, calls, "{host} with {allowed}");
        assert!(calls > 0 || started.elapsed() < Duration::from_secs(1), "a refused address is not tried again");
    }
}

#[tokio::test]
async fn without_a_webhook_there_are_no_deliveries() {
    let (notifier, deliveries) = started("", 10);
    assert!(!notifier.delivers());
    notifier.notify(notification("1"));
    timeout(Duration::from_millis(100), deliveries.drain(LONG)).await.expect("at once");
}
