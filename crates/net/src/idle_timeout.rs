//! Closes connections without calls: first with GOAWAY, then without.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::connection_tracker::ConnectionTracker;
use super::handshake::HANDSHAKE_TIMEOUT;
use super::signals::StopSignal;

/// Maximum time that a connection may wait for its first call. A client that completes the handshake and sends no call
/// must not keep a permit that others need.
const FIRST_CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time without a call once the service stops. By then clients have received GOAWAY, and those that follow it
/// have closed the connection.
const STOPPING_IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Action on a connection that has had no call for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdleAction {
    /// Ask the client to close it, with GOAWAY.
    Drain,
    /// Close it: the client was asked and has not closed it.
    Close,
}

/// Measures the idle time of a connection while it is polled.
pub(super) struct IdleTimeout {
    tracker: Arc<ConnectionTracker>,
    limit: Duration,
    /// Completes with the signal to stop. None after that.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// Time of the next check, which is the earliest time at which the connection can be idle for too long.
    next_check: Pin<Box<Sleep>>,
    drain_sent: bool,
}

impl IdleTimeout {
    pub(super) fn new(tracker: Arc<ConnectionTracker>, limit: Duration, mut stop: StopSignal) -> Self {
        let next_check = Box::pin(sleep(limit.min(FIRST_CALL_TIMEOUT)));
        Self { tracker, limit, stop: Some(Box::pin(async move { stop.asked().await })), next_check, drain_sent: false }
    }

    fn limit(&self) -> Duration {
        if self.tracker.has_calls() { self.limit } else { self.limit.min(FIRST_CALL_TIMEOUT) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<IdleAction> {
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.stop = None;
            // tonic has sent GOAWAY on all connections. A second GOAWAY could cross a call on its way, and break it.
            self.drain_sent = true;
            self.limit = self.limit.min(STOPPING_IDLE_TIMEOUT);
            self.next_check.as_mut().reset(Instant::now() + self.limit);
        }
        loop {
            ready!(self.next_check.as_mut().poll(cx));
            let now = Instant::now();
            let end = self.tracker.idle_since().unwrap_or(now) + self.limit();
            if end > now {
                self.drain_sent = self.stop.is_none();
                self.next_check.as_mut().reset(end);
            } else if self.drain_sent {
                return Poll::Ready(IdleAction::Close);
            } else {
                self.drain_sent = true;
                self.next_check.as_mut().reset(now + self.limit.min(HANDSHAKE_TIMEOUT));
                return Poll::Ready(IdleAction::Drain);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::sync::watch;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_call_is_closed_after_30_seconds() {
        for (limit, waits) in [(10, 10), (300, 30)] {
            let start = Instant::now();
            let never = watch::Sender::new(false);
            let stop = StopSignal::by(never.subscribe());
            let mut idle = IdleTimeout::new(Arc::new(ConnectionTracker::detached()), Duration::from_secs(limit), stop);
            assert_eq!(poll_fn(|cx| idle.poll(cx)).await, IdleAction::Drain);
            assert_eq!(start.elapsed().as_secs(), waits);
            assert_eq!(poll_fn(|cx| idle.poll(cx)).await, IdleAction::Close);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn idle_connections_close_soon_after_the_stop_signal() {
        let stop_sender = watch::Sender::new(false);
        let minutes = Duration::from_secs(300);
        let mut idle =
            IdleTimeout::new(Arc::new(ConnectionTracker::detached()), minutes, StopSignal::by(stop_sender.subscribe()));
        assert!(futures::poll!(poll_fn(|cx| idle.poll(cx))).is_pending());
        sleep(FIRST_CALL_TIMEOUT / 2).await;
        let start = Instant::now();
        stop_sender.send_replace(true);
        assert_eq!(poll_fn(|cx| idle.poll(cx)).await, IdleAction::Close);
        assert_eq!(start.elapsed(), STOPPING_IDLE_TIMEOUT);
    }
}
