//! Notifications to owners, POSTed to the webhook of the settings.
//!
//! A use case never waits for a notification: it goes into a bounded queue, and one task delivers it. A notification that cannot be
//! delivered is lost, because its secret is stored nowhere; the owner requests another one. The log has only the kind of a notification and
//! its outcome.

mod message;
mod queue;
mod resolver;
#[cfg(test)]
mod tests;
mod webhook_client;

use std::sync::Arc;

use access_tokens_domain::notification::{NoNotifier, Notifier};
use access_tokens_domain::ports::{Clock, Random};

pub use self::queue::{Deliveries, WebhookNotifier};
use self::webhook_client::WebhookClient;
use crate::config::{NotificationSettings, WebhookSettings};

/// Returns the notifier of the settings, and its deliveries. Needs a runtime.
pub fn start(
    settings: &NotificationSettings,
    webhooks: &WebhookSettings,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> (Arc<dyn Notifier>, Deliveries) {
    let Some(webhook) = &settings.webhook else { return (Arc::new(NoNotifier), Deliveries::disabled()) };
    if !webhook.is_local() {
        tracing::warn!(%webhook, "secrets of owners leave this machine over plain http: something must encrypt them");
    }
    let client = WebhookClient::new(webhook, settings, webhooks, clock, random);
    let (notifier, deliveries) = WebhookNotifier::start(client, settings.queue_size);
    (Arc::new(notifier), deliveries)
}
