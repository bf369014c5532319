//! How far something is that takes its time.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What is done by then needs no bar.
const DRAW_AFTER: Duration = Duration::from_secs(1);

/// A bar of bytes on standard error. Drawn on a terminal only, and only when it has taken more than a second.
pub(super) struct Progress {
    bar: ProgressBar,
    started: Instant,
    drawn: OnceLock<()>,
}

impl Progress {
    /// `what` says what is going on.
    pub(super) fn new(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {bar:40} {percent:>3}% {bytes}/{total_bytes}, {eta} left");
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(what);
        Self { bar, started: Instant::set_message(), drawn: OnceLock::new() }
    }

    /// Bytes that are done, of so many.
    pub(super) fn update(&self, done: u64, total: u64) {
        if self.started.elapsed() > DRAW_AFTER {
            self.drawn.get_or_init(|| self.bar.set_draw_target(ProgressDrawTarget::stderr()));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Says what is going on now, of which nobody knows how long it takes.
    pub(super) fn set_message(&self, what: &'static str) {
        self.bar.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
