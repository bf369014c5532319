//! How connections without calls end: they are asked to go, and then cut.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::activity::Activity;
use super::greeting::GREETING_TIME;
use super::signals::Stop;

/// How long a connection may wait for its first call: whoever greets, and no more, takes a place from somebody who has calls.
const FIRST_CALL: Duration = Duration::from_secs(30);

/// The same, once the service is to stop: its clients have been told so, and whoever listens has gone by then.
const STOPPING: Duration = Duration::from_secs(1);

/// What happens to a connection that has had no call for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is asked to go.
    Farewell,
    /// It was asked, and has not gone.
    Cut,
}

/// Watches a connection for as long as it is polled.
pub(super) struct Idle {
    activity: Arc<Activity>,
    limit: Duration,
    /// Ends with the signal to stop, and is gone then.
    stop: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// When to look again: not before it can have been idle for long enough.
    look: Pin<Box<Sleep>>,
    asked: bool,
}

impl Idle {
    pub(super) fn new(activity: Arc<Activity>, limit: Duration, mut stop: Stop) -> Self {
        let look = Box::pin(sleep(limit.min(FIRST_CALL)));
        Self { activity, limit, stop: Some(Box::pin(async move { stop.asked().await })), look, asked: false }
    }

    fn limit(&self) -> Duration {
        if self.activity.used() { self.limit } else { self.limit.min(FIRST_CALL) }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        if self.stop.as_mut().is_some_and(|stop| stop.as_mut().poll(cx).is_ready()) {
            self.stop = None;
            // All have been asked to go. To ask once more could cross a call that is on its way, and break it.
            self.asked = true;
            self.limit = self.limit.min(STOPPING);
            self.look.as_mut().reset(Instant::now() + self.limit);
        }
        loop {
            ready!(self.look.as_mut().poll(cx));
            let now = Instant::now();
            let end = self.activity.idle_since().unwrap_or(now) + self.limit();
            if end > now {
                self.asked = self.stop.is_none();
                self.look.as_mut().reset(end);
            } else if self.asked {
                return Poll::Ready(Ending::Cut);
            } else {
                self.asked = true;
                self.look.as_mut().reset(now + self.limit.min(GREETING_TIME));
                return Poll::Ready(Ending::Farewell);
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
    async fn who_has_never_called_waits_half_a_minute_at_most() {
        for (limit, waits) in [(10, 10), (300, 30)] {
            let start = Instant::now();
            let never = watch::Sender::new(false);
            let stop = Stop::by(never.subscribe());
            let mut idle = Idle::new(Arc::new(Activity::detached()), Duration::from_secs(limit), stop);
            assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Ending::Farewell);
            assert_eq!(start.elapsed().as_secs(), waits);
            assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Ending::Cut);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn once_asked_to_stop_nobody_waits_for_long() {
        let asked = watch::Sender::new(false);
        let minutes = Duration::from_secs(300);
        let mut idle = Idle::new(Arc::new(Activity::detached()), minutes, Stop::by(asked.subscribe()));
        assert!(futures::poll!(poll_fn(|cx| idle.poll(cx))).is_pending());
        sleep(FIRST_CALL / 2).await;
        let start = Instant::now();
        asked.send_replace(true);
        assert_eq!(poll_fn(|cx| idle.poll(cx)).await, Ending::Cut);
        assert_eq!(start.elapsed(), STOPPING);
    }
}
