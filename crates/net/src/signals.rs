//! SIGTERM and SIGINT: the first asks to stop, the second insists.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// The process is gone so long after the first signal, whatever hangs.
const MAX_STOP_TIME: Duration = Duration::from_millis(9_700);

/// Tells when to stop.
#[derive(Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Listens from now on.
    pub fn on_signals() -> anyhow::Result<Self> {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            for first in [true, false] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if first {
                    tracing::info!("asked to stop");
                    exit_after_max_stop_time();
                    let _ = sender.send(true);
                } else {
                    tracing::warn!("asked to stop again: leaving at once");
                    std::process::exit(0);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// As a test says.
    pub fn by(asked: watch::Receiver<bool>) -> Self {
        Self(asked)
    }

    /// Was there a signal?
    pub fn was_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the first signal.
    pub async fn asked(&mut self) {
        // The sender lives as long as the process.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// On a thread of its own: even a runtime that does not move any more cannot keep the process alive.
#[expect(clippy::disallowed_methods, reason = "this thread is no thread of the runtime")]
fn exit_after_max_stop_time() {
    std::thread::spawn(|| {
        std::thread::sleep(MAX_STOP_TIME);
        std::process::exit(0);
    });
}
