//! Wakes the heartbeat before its time, when a statement shows that its server is lost or can no longer be written.

use std::sync::atomic::{AtomicBool, Ordering};

use access_tokens_domain::store::StoreError;
use tokio::sync::Notify;

use crate::error::{Cause, Failure};

/// SQLSTATE `read_only_sql_transaction`: the server is a standby, or read-only.
const READ_ONLY: &str = "25006";

/// Notifies the heartbeat of failed statements.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    raised: Notify,
    /// Whether the heartbeat must look for the primary with a new connection.
    leaves_server: AtomicBool,
}

impl Alarm {
    /// Waits until the alarm is raised.
    pub(crate) async fn raised(&self) {
        self.raised.notified().await;
    }

    /// Returns whether [`Self::leave_server`] was called since the last call.
    pub(crate) fn take_leaves_server(&self) -> bool {
        self.leaves_server.swap(false, Ordering::AcqRel)
    }

    /// Makes the heartbeat look for the primary with a new connection now, and replace the pools: some of their
    /// connections lead to a server that is not the primary.
    pub(crate) fn leave_server(&self) {
        self.leaves_server.store(true, Ordering::Release);
        self.raise();
    }

    /// Makes the heartbeat check its server now.
    pub(crate) fn raise(&self) {
        self.raised.notify_one();
    }

    /// Raises the alarm if this failure means that the server is lost or cannot be written. Returns whether it cannot
    /// be written: the connection must not be used again.
    pub(crate) fn report(&self, failure: &Failure) -> bool {
        let Failure::Unavailable(cause) = failure else { return false };
        self.report_cause(cause)
    }

    /// Raises the alarm if this error of the store means that the server is lost or cannot be written.
    pub(crate) fn report_store_error(&self, error: &StoreError) {
        let StoreError::Unavailable(cause) = error else { return };
        if let Some(cause) = cause.downcast_ref::<Cause>() {
            self.report_cause(cause);
        }
    }

    fn report_cause(&self, cause: &Cause) -> bool {
        match cause.sql_state() {
            Some(READ_ONLY) => {
                self.leave_server();
                return true;
            }
            // The server ends its sessions, or the connection is lost.
            None => self.raise(),
            Some(state) if state.starts_with("57P0") || state.starts_with("08") => self.raise(),
            // Other errors, such as timeouts of statements, come from load.
            Some(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    async fn is_raised(alarm: &Alarm) -> bool {
        timeout(Duration::ZERO, alarm.raised()).await.is_ok()
    }

    #[tokio::test]
    async fn lost_servers_raise_the_alarm_and_refused_writes_are_known() {
        let alarm = Alarm::default();
        assert!(!alarm.report(&Failure::fault("syntax error [42601]")) && !is_raised(&alarm).await);
        for load in ["canceling statement due to statement timeout [57014]", "too many connections [53300]"] {
            assert!(!alarm.report(&Failure::unavailable(load)) && !is_raised(&alarm).await, "{load}");
        }
        assert!(!alarm.report(&Failure::unavailable("connection reset by peer")) && is_raised(&alarm).await);
        assert!(!alarm.report(&Failure::unavailable("terminating connection [57P01]")) && is_raised(&alarm).await);
        assert!(!alarm.take_leaves_server() && !is_raised(&alarm).await);
        let refused = Failure::unavailable("cannot execute INSERT in a read-only transaction [25006]");
        assert!(alarm.report(&refused) && is_raised(&alarm).await);
        assert!(alarm.take_leaves_server() && !alarm.take_leaves_server());
        alarm.report_store_error(&refused.into());
        assert!(alarm.take_leaves_server() && is_raised(&alarm).await);
        alarm.report_store_error(&StoreError::Fault("[25006]".into()));
        assert!(!is_raised(&alarm).await);
    }
}
