//! SIGTERM and SIGINT: the first signal asks the process to stop, the second one ends it at once.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Time after the first signal at which the process exits, even if something hangs.
const MAX_STOP_TIME: Duration = Duration::from_millis(9_700);

/// The signal to stop.
#[derive(Clone)]
pub struct StopSignal(watch::Receiver<bool>);

impl StopSignal {
    /// Starts to listen for signals.
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

    /// Makes a signal that a test controls.
    pub fn by(asked: watch::Receiver<bool>) -> Self {
        Self(asked)
    }

    /// Returns whether a signal has come.
    pub fn was_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the first signal.
    pub async fn asked(&mut self) {
        // The sender lives as long as the process.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Runs on its own thread, so that a runtime that hangs cannot keep the process alive.
#[expect(clippy::disallowed_methods, reason = "this thread is no thread of the runtime")]
fn exit_after_max_stop_time() {
    std::thread::spawn(|| {
        std::thread::sleep(MAX_STOP_TIME);
        std::process::exit(0);
    });
}
