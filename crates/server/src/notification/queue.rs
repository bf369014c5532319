//! The queue of notifications, and the task that delivers them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use access_tokens_domain::notification::{Notification, Notifier};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::webhook_client::WebhookClient;

/// Maximum number of concurrent deliveries, including those that wait for another attempt.
const MAX_CONCURRENT_DELIVERIES: usize = 8;
/// Interval of log lines about dropped notifications.
const REPORT_PERIOD: Duration = Duration::from_secs(10);

/// Passes notifications to the task that delivers them.
pub struct WebhookNotifier {
    queue: mpsc::Sender<Notification>,
    dropped: Arc<AtomicU64>,
}

/// Deliveries in progress. Dropping this without draining gives them up.
pub struct Deliveries(Option<Running>);

struct Running {
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<()>,
}

impl WebhookNotifier {
    /// Starts the task. `waiting` is the maximum number of queued notifications, besides those that are being delivered.
    pub(super) fn start(client: WebhookClient, waiting: usize) -> (Self, Deliveries) {
        let (queue, receiver) = mpsc::channel(waiting);
        let (stop, stopped) = oneshot::channel();
        let dropped = Arc::new(AtomicU64::new(0));
        let worker = Worker {
            queue: receiver,
            client: Arc::new(client),
            in_progress: JoinSet::new(),
            dropped: Arc::clone(&dropped),
        };
        let task = tokio::spawn(worker.run(stopped));
        (Self { queue, dropped }, Deliveries(Some(Running { stop, task })))
    }
}

impl Notifier for WebhookNotifier {
    fn delivers(&self) -> bool {
        true
    }

    fn notify(&self, notification: Notification) {
        if self.queue.try_send(notification).is_err() {
            // The task logs this, because a caller must not even wait for the log.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Deliveries {
    /// Returns deliveries of a service without a webhook.
    pub(super) fn disabled() -> Self {
        Self(None)
    }

    /// Waits until all notifications are delivered, or given up after `bound`. Call it when no further notifications are sent.
    pub async fn drain(self, bound: Duration) {
        let Some(Running { stop, task }) = self.0 else { return };
        if stop.send(bound).is_err() || task.await.is_err() {
            tracing::error!("the task that delivers notifications broke");
        }
    }
}

struct Worker {
    queue: mpsc::Receiver<Notification>,
    client: Arc<WebhookClient>,
    in_progress: JoinSet<()>,
    dropped: Arc<AtomicU64>,
}

impl Worker {
    async fn run(mut self, mut stop: oneshot::Receiver<Duration>) {
        let mut reports = interval(REPORT_PERIOD);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = None;
        while deadline.is_none() || !self.is_idle() {
            tokio::select! {
                Some(notification) = self.queue.recv(), if self.in_progress.len() < MAX_CONCURRENT_DELIVERIES => {
                    let client = Arc::clone(&self.client);
                    self.in_progress.spawn(async move { client.deliver(&notification).await });
                }
                Some(ended) = self.in_progress.join_next() => {
                    if ended.is_err() {
                        tracing::error!("the delivery of a notification broke");
                    }
                }
                // Without a message, the owner was dropped, and the deliveries are given up.
                bound = &mut stop, if deadline.is_none() => deadline = Some(Instant::now() + bound.unwrap_or_default()),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let given_up = self.queue.len() + self.in_progress.len();
                    tracing::warn!(given_up, "stopping: notifications are given up");
                    break;
                }
                _ = reports.tick() => self.report(),
            }
        }
        self.report();
    }

    fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_progress.is_empty()
    }

    /// Logs at most one line in a period.
    fn report(&self) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "notifications are dropped: too many wait for delivery");
        }
    }
}
