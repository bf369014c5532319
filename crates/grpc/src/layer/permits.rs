//! A bounded number of permits, shared fairly between parties: client addresses or organisations.
//!
//! A call that finds no free permit waits. A permit that becomes free goes to the waiting party that holds the fewest, so that one party
//! holds at most half of all permits while others wait. Among the calls of one party the oldest is first. When the oldest has waited for
//! [`STALLED_AFTER`], the newest is first: the callers of the oldest calls are about to give up, and if the calls were served in the order
//! of their arrival, every call would be served too late.
//!
//! A call waits instead of being refused immediately, because a refused client repeats its call immediately, and parsing and refusing a
//! call takes a third of the time of serving one. A waiting call keeps one of the streams of its connection.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_tokens_net::limit_key::LimitKey;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::detach_on_drop::Occupied;

/// Time that the oldest call of a party waits before the newest call of the party is served first.
const STALLED_AFTER: Duration = Duration::from_millis(300);

/// Bounds of a [`PermitPool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolLimits {
    /// Number of permits.
    pub(super) permits: usize,
    /// Maximum number of permits of one party, at any time.
    pub(super) per_party: usize,
    /// Maximum number of calls that wait.
    pub(super) waiting: usize,
    /// Maximum number of calls of one party that wait.
    pub(super) waiting_per_party: usize,
    /// Maximum number of bytes of the messages of calls that wait.
    pub(super) waiting_bytes: usize,
}

/// The permits of one kind of work. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct PermitPool(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    limits: PoolLimits,
    free: usize,
    waiting: usize,
    waiting_bytes: usize,
    parties: HashMap<LimitKey, Share>,
}

/// The permits that one party holds, and its waiting calls.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    /// The oldest first. Some have given up: their receivers are dropped.
    queue: VecDeque<Waiter>,
}

impl Share {
    fn is_empty(&self) -> bool {
        self.held == 0 && self.queue.is_empty()
    }
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    bytes: usize,
    grant: oneshot::Sender<Permit>,
}

/// Permission for one call. When it is dropped, a waiting call receives it.
#[derive(Debug)]
pub(super) struct Permit(Option<(PermitPool, LimitKey)>);

impl Occupied for Permit {}

impl PermitPool {
    pub(super) fn new(limits: PoolLimits) -> Self {
        let state = State { limits, free: limits.permits, waiting: 0, waiting_bytes: 0, parties: HashMap::new() };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Waits for a permit for a call whose message has this many bytes. `None`: no permit became free until `end`.
    pub(super) async fn acquire(&self, party: LimitKey, bytes: usize, end: Instant) -> Option<Permit> {
        let granted = {
            let mut state = self.state();
            let (free, per_party) = (state.free, state.limits.per_party);
            let share = state.parties.entry(party).or_default();
            if free > 0 && share.held < per_party {
                share.held += 1;
                state.free -= 1;
                return Some(Permit(Some((self.clone(), party))));
            }
            state.make_room(party, bytes);
            let (grant, granted) = oneshot::channel();
            state.push(party, Waiter { since: Instant::now(), bytes, grant });
            granted
        };
        timeout_at(end, granted).await.ok()?.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, party: LimitKey, waiter: Waiter) {
        self.waiting += 1;
        self.waiting_bytes += waiter.bytes;
        self.parties.entry(party).or_default().queue.push_back(waiter);
    }

    /// Drops waiting calls until one more fits: the oldest of the same party where it has more than half of the queue, else the
    /// oldest of the party with the longest queue.
    fn make_room(&mut self, party: LimitKey, bytes: usize) {
        while self.parties.get(&party).is_some_and(|share| share.queue.front().is_some_and(|w| w.grant.is_closed())) {
            self.pop(party, false);
        }
        let limits = self.limits;
        let own = |state: &Self| state.parties.get(&party).map_or(0, |share| share.queue.len());
        while own(self) >= limits.waiting_per_party.max(1) {
            self.pop(party, false);
        }
        while self.waiting > 0
            && (self.waiting >= limits.waiting.max(1) || self.waiting_bytes + bytes > limits.waiting_bytes)
        {
            let longest = || self.parties.iter().max_by_key(|(_, share)| share.queue.len()).map(|(party, _)| *party);
            let Some(from) = (if own(self) * 2 > self.waiting { Some(party) } else { longest() }) else { return };
            if self.pop(from, false).is_none() {
                return;
            }
            self.forget_empty(from);
        }
    }

    fn forget_empty(&mut self, party: LimitKey) {
        if self.parties.get(&party).is_some_and(Share::is_empty) {
            self.parties.remove(&party);
        }
    }

    fn pop(&mut self, party: LimitKey, newest: bool) -> Option<Waiter> {
        let queue = &mut self.parties.get_mut(&party)?.queue;
        let waiter = if newest { queue.pop_back() } else { queue.pop_front() }?;
        self.waiting -= 1;
        self.waiting_bytes -= waiter.bytes;
        Some(waiter)
    }

    /// Removes the call that is next, and counts a permit for its party. The call may have given up in the meantime.
    fn next(&mut self) -> Option<(LimitKey, Waiter)> {
        while self.waiting > 0 {
            let (party, newest) = self.next_party()?;
            let waiter = self.pop(party, newest)?;
            if waiter.grant.is_closed() {
                self.forget_empty(party);
                continue;
            }
            if let Some(share) = self.parties.get_mut(&party) {
                share.held += 1;
            }
            return Some((party, waiter));
        }
        None
    }

    /// Returns the waiting party that holds the fewest permits, and whether its newest call is next. If several parties hold the same
    /// number, the one with the oldest waiting call is next. If the oldest call of any party has waited too long, it is the one whose
    /// newest call arrived last.
    fn next_party(&self) -> Option<(LimitKey, bool)> {
        let stalled = |share: &Share| share.queue.front().is_some_and(|w| w.since.elapsed() > STALLED_AFTER);
        let per_party = self.limits.per_party;
        let may = self.parties.iter().filter(|(_, share)| !share.queue.is_empty() && share.held < per_party);
        let any_stalled = may.clone().any(|(_, share)| stalled(share));
        let oldest = |share: &Share| share.queue.front().map(|w| w.since);
        let newest = |share: &Share| share.queue.back().map(|w| w.since);
        let next = may.min_by(|(_, a), (_, b)| {
            let age = || if any_stalled { newest(b).cmp(&newest(a)) } else { oldest(a).cmp(&oldest(b)) };
            a.held.cmp(&b.held).then_with(age)
        });
        next.map(|(party, share)| (*party, stalled(share)))
    }

    fn give_back(&mut self, party: LimitKey) {
        let Entry::Occupied(mut share) = self.parties.entry(party) else { return };
        share.get_mut().held -= 1;
        if share.get().is_empty() {
            share.remove();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some((pool, mut party)) = self.0.take() else { return };
        loop {
            let (next, waiter) = {
                let mut state = pool.state();
                state.give_back(party);
                let Some(next) = state.next() else {
                    state.free += 1;
                    return;
                };
                next
            };
            match waiter.grant.send(Permit(Some((pool.clone(), next)))) {
                Ok(()) => return,
                // The call has given up in the meantime. The returned permit must not run this `drop` again.
                Err(mut permit) => permit.0 = None,
            }
            party = next;
        }
    }
}

#[cfg(test)]
mod tests;
