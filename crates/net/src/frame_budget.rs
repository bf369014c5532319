//! Limit on the control frames of a connection.
//!
//! PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM and frames of unknown types cost their sender nothing, and this
//! process a microsecond each. The HTTP library limits DATA, CONTINUATION and refused streams, and none of these. So
//! each connection has a credit of frames. Calls, bytes that are sent, and time add to the credit. When it is used up,
//! the connection is closed with GOAWAY and ENHANCE_YOUR_CALM.
//!
//! The counter reads the headers of frames as they pass. It copies only the headers, and keeps a few words for each
//! connection.

use std::time::Duration;

use tokio::time::Instant;

use super::handshake::PREFACE;
use super::header_block::HeaderBlock;

/// Number of frames that a new connection may send. A client sends about ten at its start.
const FIRST_CREDIT: u64 = 1_000;
/// Maximum credit. A client may update the windows of a large answer long after it was sent.
const MAX_CREDIT: u64 = 64 * 1024;
/// Number of frames that each call adds. A call has HEADERS; its client may update two windows, measure the round trip
/// and cancel the call.
const FRAMES_PER_CALL: u64 = 16;
/// Number of bytes sent that add a frame. Clients with the smallest usual windows update two of them for each KiB.
const BYTES_PER_FRAME: u64 = 512;
/// Number of frames that each second adds: clients keep connections alive with PING.
const FRAMES_PER_SECOND: u64 = 10;

/// Maximum number of fields of a header list. A call has about ten, and proxies add as many. Above 100 fields the call
/// is refused with a reason.
const MAX_FIELDS: usize = 256;
/// Size in bytes of an encoded header list above which it needs a permit for large lists.
const LARGE_LIST_BYTES: usize = 16 * 1024;

/// Size of the header of a frame, in bytes.
const HEADER_BYTES: usize = 9;
/// Type of the frames that the HTTP library itself limits.
const DATA: u8 = 0;
/// Types of the frames that carry header lists.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// Number of CONTINUATION frames in [`ENDLESS_HEADERS`].
const CONTINUATIONS: usize = 32;

/// Frames that make the HTTP library close the connection: a header list without an end. The library then sends GOAWAY
/// with ENHANCE_YOUR_CALM, and with the last call that it has begun.
pub(super) static ENDLESS_HEADERS: [u8; (1 + CONTINUATIONS) * HEADER_BYTES] = endless_headers();

const fn endless_headers() -> [u8; (1 + CONTINUATIONS) * HEADER_BYTES] {
    let mut bytes = [0; (1 + CONTINUATIONS) * HEADER_BYTES];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at + 3] = if at == 0 { HEADERS } else { CONTINUATION };
        // The highest stream id that a client can use.
        (bytes[at + 5], bytes[at + 6], bytes[at + 7], bytes[at + 8]) = (0x7f, 0xff, 0xff, 0xff);
        at += HEADER_BYTES;
    }
    bytes
}

/// The frames of one connection.
#[derive(Debug)]
pub(super) struct FrameBudget {
    /// The header of the frame that has begun, and the number of its bytes that have arrived.
    header: [u8; HEADER_BYTES],
    header_bytes: usize,
    /// Bytes until the next header.
    payload: usize,
    /// Number of frames that may arrive until the credit is computed again.
    remaining: u64,
    used_up: bool,
    /// The sources of credit when the credit was computed last.
    earned: Earned,
    sent: u64,
    /// Number of header lists that have begun.
    header_lists: u64,
    header_block: HeaderBlock,
    /// Whether the frame that has begun is a part of a header list.
    in_header_list: bool,
}

/// Sources of credit.
#[derive(Debug, Clone, Copy)]
struct Earned {
    calls: u64,
    bytes: u64,
    at: Instant,
}

impl FrameBudget {
    /// Starts the budget of a new connection, whose first bytes are the preface.
    pub(super) fn new() -> Self {
        Self {
            header: [0; HEADER_BYTES],
            header_bytes: 0,
            payload: PREFACE.len(),
            remaining: FIRST_CREDIT,
            used_up: false,
            earned: Earned { calls: 0, bytes: 0, at: Instant::now() },
            sent: 0,
            header_lists: 0,
            header_block: HeaderBlock::default(),
            in_header_list: false,
        }
    }

    /// Returns the number of header lists that have begun. Each is the start or the end of a call.
    pub(super) fn header_lists(&self) -> u64 {
        self.header_lists
    }

    /// Returns whether the current header list has more fields than allowed.
    pub(super) fn has_too_many_fields(&self) -> bool {
        self.header_block.fields() > MAX_FIELDS
    }

    /// Returns whether a large header list has begun and has not ended.
    pub(super) fn has_large_header_list(&self) -> bool {
        self.header_block.unfinished_bytes().is_some_and(|bytes| bytes > LARGE_LIST_BYTES)
    }

    /// Returns the number of bytes to the end of the current frame, or of its header.
    pub(super) fn until_end(&self) -> usize {
        if self.payload > 0 { self.payload } else { HEADER_BYTES - self.header_bytes }
    }

    /// Counts bytes that were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Counts the frames that begin in received bytes. `calls` returns the number of calls that have come over the
    /// connection.
    ///
    /// Returns the position at which to stop: between two frames when the credit is used up, or within a header list
    /// that has too many fields.
    pub(super) fn received(&mut self, bytes: &[u8], calls: impl Fn() -> u64) -> Option<usize> {
        let mut at = 0;
        loop {
            let skipped = self.payload.min(bytes.len() - at);
            if self.in_header_list && skipped > 0 {
                let read = self.header_block.read(&bytes[at..at + skipped], MAX_FIELDS);
                if self.has_too_many_fields() {
                    return Some(at + read);
                }
            }
            (self.payload, at) = (self.payload - skipped, at + skipped);
            if self.used_up && self.payload == 0 && self.header_bytes == 0 {
                return Some(at);
            }
            if at == bytes.len() {
                return None;
            }
            let rest = &bytes[at..];
            let part = rest.len().min(HEADER_BYTES - self.header_bytes);
            self.header[self.header_bytes..self.header_bytes + part].copy_from_slice(&rest[..part]);
            (self.header_bytes, at) = (self.header_bytes + part, at + part);
            if self.header_bytes < HEADER_BYTES {
                return None;
            }
            self.header_bytes = 0;
            let [a, b, c, kind, flags, ..] = self.header;
            self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.in_header_list = matches!(kind, HEADERS | CONTINUATION);
            match kind {
                HEADERS => {
                    self.header_lists += 1;
                    self.header_block.headers(self.payload, flags);
                }
                CONTINUATION => self.header_block.continuation(self.payload, flags),
                _ => {}
            }
            if kind != DATA && !self.used_up {
                self.count(&calls);
            }
        }
    }

    fn count(&mut self, calls: impl Fn() -> u64) {
        if self.remaining == 0 {
            let now = Earned { calls: calls(), bytes: self.sent, at: Instant::now() };
            let time = now.at.duration_since(self.earned.at);
            self.remaining = (now.calls - self.earned.calls)
                .saturating_mul(FRAMES_PER_CALL)
                .saturating_add((now.bytes - self.earned.bytes) / BYTES_PER_FRAME)
                .saturating_add(frames_in(time))
                .min(MAX_CREDIT);
            if self.remaining == 0 {
                self.used_up = true;
                return;
            }
            self.earned = now;
        }
        self.remaining -= 1;
    }
}

fn frames_in(time: Duration) -> u64 {
    time.as_secs().saturating_mul(FRAMES_PER_SECOND) + u64::from(time.subsec_millis()) * FRAMES_PER_SECOND / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;
    const WINDOW_UPDATE: u8 = 8;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let length_bytes = u32::try_from(length).expect("short").to_be_bytes();
        let mut bytes = length_bytes[1..].to_vec();
        bytes.extend([kind, 0, 0, 0, 0, 0]);
        // A parser that loses its position would read this as headers of PING.
        bytes.extend(std::iter::repeat_n(PING, length));
        bytes
    }

    /// Frames after the preface.
    fn wire(frames: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        frames.into_iter().fold(PREFACE.to_vec(), |mut all, frame| {
            all.extend(frame);
            all
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_credit_ends_between_two_frames_however_they_are_cut() {
        let frames = |count: u64| wire((0..count).map(|n| if n % 2 == 0 { frame(PING, 8) } else { frame(0x42, 0) }));
        let enough = frames(FIRST_CREDIT);
        let flood = frames(FIRST_CREDIT + 500);
        let last = frames(FIRST_CREDIT + 1).len();
        for size in [1, 2, 5, 8, 9, 10, 13, 17, 24, 100, 4_096, usize::MAX] {
            let mut budget = FrameBudget::new();
            for part in enough.chunks(size.min(enough.len())) {
                assert_eq!(budget.received(part, || 0), None);
            }
            let mut budget = FrameBudget::new();
            let mut before = 0;
            let stop = flood.chunks(size.min(flood.len())).find_map(|part| {
                let stop = budget.received(part, || 0).map(|at| before + at);
                before += part.len();
                stop
            });
            assert_eq!(stop, Some(last), "in parts of {size}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn data_is_not_counted_and_its_bytes_are_no_headers() {
        let mut budget = FrameBudget::new();
        let data = wire((0..5_000).map(|n| frame(DATA, n % 300)));
        for part in data.chunks(1_000) {
            assert_eq!(budget.received(part, || 0), None);
        }
        assert_eq!(budget.remaining, FIRST_CREDIT);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_answers_and_time_add_to_the_credit() {
        // Two window updates for each KiB that is sent, for ten gigabytes.
        let mut budget = FrameBudget::new();
        assert_eq!(budget.received(PREFACE, || 0), None);
        let updates = [frame(WINDOW_UPDATE, 4), frame(WINDOW_UPDATE, 4)].concat();
        for _ in 0..10_000_000 / 64 {
            budget.sent(1_024);
            assert_eq!(budget.received(&updates, || 0), None);
        }
        // A client that cancels every call, and measures the round trip for each.
        let mut budget = FrameBudget::new();
        assert_eq!(budget.received(PREFACE, || 0), None);
        let call = [frame(1, 30), frame(DATA, 5), frame(PING, 8), frame(3, 4), frame(WINDOW_UPDATE, 4)].concat();
        for calls in 1..100_000 {
            assert_eq!(budget.received(&call, || calls), None);
        }
        // A PING a second, for a day.
        let mut budget = FrameBudget::new();
        assert_eq!(budget.received(PREFACE, || 0), None);
        for _ in 0..24 * 3_600 {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(budget.received(&frame(PING, 8), || 0), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_saved_credit_is_bounded() {
        let mut budget = FrameBudget::new();
        assert_eq!(budget.received(PREFACE, || 0), None);
        budget.sent(1 << 40);
        let flood = (0..1_000_000).find(|_| budget.received(&frame(PING, 8), || 1_000_000).is_some());
        assert_eq!(flood, Some(FIRST_CREDIT + MAX_CREDIT));
    }
}
