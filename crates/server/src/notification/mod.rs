//! Notifications for owners, POSTed to the webhook of the settings.
//!
//! A use case that notifies waits for nothing: a notification goes into a bounded queue, and one task takes it from
//! there. What cannot be delivered is lost, since its secret is stored nowhere; the owner asks for another one. Of a
//! notification only its kind and what became of it reach the log.

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

/// Who notifies owners, as the settings say, and what is under way to them. Needs a runtime.
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
