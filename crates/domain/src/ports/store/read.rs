//! Reads of a store for a call: how current the result is, and whether the call may be dropped before the read has
//! begun.

use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

/// The required freshness of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadConsistency {
    /// The state that is committed when the read begins. Every read on which a decision depends uses it, above all the
    /// read of a stored secret.
    Strong,
    /// A state that contains everything that was committed before this position and that is as current as
    /// [`Self::BoundedStaleness`]. For a caller that has written up to the position.
    AtLeast(LogPosition),
    /// A state that was current at most the store's bound ago (`database.replica_max_lag_ms`). For a caller that has not written.
    BoundedStaleness,
}

/// Options of a read.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions<'a> {
    /// Required freshness.
    pub consistency: ReadConsistency,
    /// State of the call, if the call only reads: it may be dropped while the read waits in a queue. `None`: the read
    /// is made in any case.
    pub call: Option<&'a CallState>,
}

impl ReadOptions<'static> {
    /// Options of a read on which a decision depends.
    pub const STRONG: Self = Self { consistency: ReadConsistency::Strong, call: None };
}

/// A position in the log of a database. A state that covers a position contains everything that was committed before it. If two positions
/// are on different timelines, neither may cover the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// The history of the log. Each promotion of a replica begins a new one, with a higher number.
    pub timeline: u32,
    /// The number of bytes from the beginning of the log.
    pub offset: u64,
}

impl LogPosition {
    /// Returns whether a server at this position has everything that was committed before `other`. A server on an older
    /// timeline does not, however long its log is, because the logs differ.
    pub fn covers(self, other: Self) -> bool {
        self.timeline >= other.timeline && self.offset >= other.offset
    }

    /// Returns the lowest position that covers both.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        Self { timeline: self.timeline.max(other.timeline), offset: self.offset.max(other.offset) }
    }
}

/// The value of the metadata `x-read-after`: 24 hexadecimal digits.
impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:016x}", self.timeline, self.offset)
    }
}

impl FromStr for LogPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 24 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        let number = |digits| u64::from_str_radix(digits, 16).map_err(drop);
        Ok(Self { timeline: number(&text[..8])? as u32, offset: number(&text[8..])? })
    }
}

/// Shared state of the transport and the store about one call. The transport knows whether the client has left. The
/// store knows whether the call waits in a queue to read. When both are true the call is dropped: it has begun nothing,
/// and its place in the queue is free for another call.
///
/// Only the task that polls or drops the call accesses it, so the order of memory accesses does not matter.
#[derive(Debug, Default)]
pub struct CallState {
    queued: AtomicBool,
    abandoned: AtomicBool,
}

impl CallState {
    /// Returns whether the call waits in a queue to read, and may be dropped.
    pub fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits for a turn in a queue. The call may be dropped until then. If its client has left before, this does not
    /// poll `turn` and never returns.
    pub async fn queue<T>(&self, turn: impl Future<Output = T>) -> T {
        self.queued.store(true, Ordering::Relaxed);
        let _queued = Queued(self);
        if self.abandoned.load(Ordering::Relaxed) {
            return pending().await;
        }
        turn.await
    }

    /// Runs the rest of a call whose client has left. Returns `None` when the call waits in a queue to read; the rest
    /// is dropped then.
    pub async fn run_abandoned<T>(&self, rest: impl Future<Output = T>) -> Option<T> {
        self.abandoned.store(true, Ordering::Relaxed);
        let mut rest = pin!(rest);
        poll_fn(|context| match rest.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.is_queued() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Ends the mark of a queued call when it is dropped.
struct Queued<'a>(&'a CallState);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, offset: u64) -> LogPosition {
        LogPosition { timeline, offset }
    }

    #[test]
    fn a_position_on_an_older_timeline_covers_nothing_of_a_newer_one() {
        assert!(at(1, 7).covers(at(1, 7)));
        assert!(at(2, 8).covers(at(1, 7)));
        assert!(!at(1, 6).covers(at(1, 7)));
        assert!(!at(1, 9_000).covers(at(2, 7)));
    }

    #[test]
    fn a_position_covers_a_join_if_it_covers_both_parts() {
        let positions = [at(1, 6), at(1, 9), at(2, 7), at(2, 9), at(3, 1)];
        for (a, b) in positions.iter().flat_map(|a| positions.iter().map(move |b| (*a, *b))) {
            for position in positions {
                assert_eq!(position.covers(a.join(b)), position.covers(a) && position.covers(b), "{position} {a} {b}");
            }
        }
    }

    #[test]
    fn the_text_of_a_position_is_read_back_and_other_texts_are_refused() {
        let position = at(0x1f, 0x3_0000_0148);
        assert_eq!(position.to_string(), "0000001f0000000300000148");
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "0000001f000000030000014", "+000001f0000000300000148", "0000001f00000003000001480", "ä"] {
            assert_eq!(text.parse::<LogPosition>(), Err(()), "{text}");
        }
    }
}
