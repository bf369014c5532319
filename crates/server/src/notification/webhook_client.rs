//! Delivers one notification to the webhook, in up to three attempts.

use std::sync::Arc;
use std::time::Duration;

use access_tokens_domain::code;
use access_tokens_domain::notification::Notification;
use access_tokens_domain::ports::{Clock, Random};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{sleep, timeout};

use super::message::{self, Signer};
use super::resolver::{AllowedResolver, NotAllowed};
use crate::config::{NotificationSettings, Webhook, WebhookSettings};

/// Headers of Standard Webhooks. The id is the same in every attempt, so that a receiver recognises a repeated delivery.
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
/// Names of the signature and the id before version 0.3.0.
const SIGNATURE: HeaderName = HeaderName::from_static("x-access-tokens-signature");
const DELIVERY: HeaderName = HeaderName::from_static("x-access-tokens-delivery");

/// Delays before the second and the third attempt.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Maximum idle time of a connection that is used again. Receivers close idle connections after a while.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Delivers notifications over http.
pub(super) struct WebhookClient {
    webhook: Uri,
    /// Whether plain http may go to the URL, as far as it names an address.
    allowed: bool,
    signer: Option<Signer>,
    timeout: Duration,
    client: Client<HttpConnector<AllowedResolver>, Full<Bytes>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// The reason why a notification, or one attempt, was not delivered.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The receiver answered with a status that another attempt would not change.
    #[error("refused with status {}", .0.as_u16())]
    Refused(StatusCode),
    /// The receiver answered with a server error.
    #[error("answered with status {}", .0.as_u16())]
    Failed(StatusCode),
    #[error("no connection")]
    NoConnection,
    #[error("its address is neither of this machine nor in webhooks.allowed_networks")]
    NotAllowed,
    #[error("the connection broke")]
    ConnectionLost,
    #[error("no answer in time")]
    TimedOut,
    #[error("expired")]
    Expired,
    #[error("no random bytes for its id")]
    NoRandom,
}

impl Failure {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::NoConnection | Self::ConnectionLost | Self::TimedOut)
    }
}

impl WebhookClient {
    pub(super) fn new(
        webhook: &Webhook,
        settings: &NotificationSettings,
        webhooks: &WebhookSettings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let mut connector = HttpConnector::new_with_resolver(AllowedResolver::new(webhooks));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build(connector);
        Self {
            webhook: webhook.uri().clone(),
            allowed: webhooks.allows(webhook),
            signer: Signer::new(settings),
            timeout: Duration::from_secs(settings.timeout_seconds),
            client,
            clock,
            random,
        }
    }

    /// Delivers a notification or gives up, and logs the outcome.
    pub(super) async fn deliver(&self, notification: &Notification) {
        let kind = notification.kind.name();
        let Ok(delivery) = code::hex_id(self.random.as_ref()) else {
            return log_undelivered(kind, "", 0, &Failure::NoRandom);
        };
        let body = message::body(notification);
        let mut tries = 0;
        let outcome = loop {
            let Some(time) = self.time_left(notification) else { break Err(Failure::Expired) };
            let pause = RETRY_DELAYS.get(tries);
            tries += 1;
            let answered = timeout(time, self.post(&delivery, body.clone())).await;
            match (answered.unwrap_or(Err(Failure::TimedOut)), pause) {
                (Err(failure), Some(pause)) if failure.is_transient() => sleep(*pause).await,
                (outcome, _) => break outcome,
            }
        };
        match outcome {
            Ok(()) => tracing::info!(kind, delivery, tries, "notification delivered"),
            Err(failure) => log_undelivered(kind, &delivery, tries, &failure),
        }
    }

    /// Returns the maximum time of an attempt. None where the secret has expired.
    fn time_left(&self, notification: &Notification) -> Option<Duration> {
        let Some(end) = notification.expiration_date else { return Some(self.timeout) };
        let left = (end - self.clock.now()).to_std().ok().filter(|left| !left.is_zero())?;
        Some(left.min(self.timeout))
    }

    async fn post(&self, delivery: &str, body: Bytes) -> Result<(), Failure> {
        if !self.allowed {
            return Err(Failure::NotAllowed);
        }
        let now = self.clock.now();
        let signature = self.signer.as_ref().map(|signer| signer.sign(now, &body));
        let standard = self.signer.as_ref().map(|signer| signer.sign_standard(delivery, now, &body));
        let seconds = now.timestamp().to_string();
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.webhook.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static("access-tokens"));
        for (name, value) in [
            (WEBHOOK_ID, Some(delivery)),
            (WEBHOOK_TIMESTAMP, Some(seconds.as_str())),
            (WEBHOOK_SIGNATURE, standard.as_deref()),
            (DELIVERY, Some(delivery)),
            (SIGNATURE, signature.as_deref()),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        // The body of the answer is ignored.
        match self.client.request(request).await.map(|response| response.status()) {
            Ok(status) if status.is_success() => Ok(()),
            Ok(status) if status.is_server_error() => Err(Failure::Failed(status)),
            Ok(status) => Err(Failure::Refused(status)),
            Err(error) if anyhow::Chain::new(&error).any(|cause| cause.is::<NotAllowed>()) => Err(Failure::NotAllowed),
            Err(error) if error.is_connect() => Err(Failure::NoConnection),
            Err(_) => Err(Failure::ConnectionLost),
        }
    }
}

fn log_undelivered(kind: &str, delivery: &str, tries: usize, outcome: &Failure) {
    tracing::warn!(kind, delivery, tries, %outcome, "notification not delivered");
}
