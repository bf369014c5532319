//! The progress bar of long operations.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Duration after which the bar is drawn.
const DRAW_AFTER: Duration = Duration::from_secs(1);

/// Returns the style of a progress bar with this template.
pub(super) fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A bar of bytes on standard error. It is drawn on a terminal only, and only for operations that take more than a second.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    drawn: OnceLock<()>,
}

impl Progress {
    /// Creates the bar. `what` names the operation.
    pub(super) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden())
            .with_style(style("{msg} {bar:40} {percent:>3}% {bytes}/{total_bytes}, {eta} left"))
            .with_message(what);
        Self { bar, started: Instant::now(), drawn: OnceLock::new() }
    }

    /// Sets the number of processed bytes, and of all bytes.
    pub(super) fn update(&self, done: u64, total: u64) {
        if self.started.elapsed() > DRAW_AFTER {
            self.drawn.get_or_init(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Names the current operation, whose duration is unknown.
    pub(super) fn set_message(&self, what: &'static str) {
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
