//! Places for calls. Who finds none waits for a moment: in order, and when it takes long, the youngest first.
//!
//! Under more load than can be served, somebody is refused whatever one does; what matters is what it costs. Who is refused
//! at once comes again at once, until there is time for nothing but refusals: to parse and answer a call takes a third of the
//! time that it takes to serve one. Who waits keeps one of the streams of its connection meanwhile, and with it whatever its
//! client would send next. As long as the queue moves, it is fair. When it does not, the oldest are about to give up, and
//! in their order everybody would be served too late: then the youngest are served in time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

/// When the oldest has waited for so long, the queue does not move.
const STANDING: Duration = Duration::from_millis(300);

/// The places of a process. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    /// The oldest first. Some have gone.
    waiting: VecDeque<(Instant, oneshot::Sender<Place>)>,
    max_waiting: usize,
}

/// A place among the calls. When it is dropped somebody else gets it.
#[derive(Debug)]
pub(super) struct Place(Option<Gate>);

impl Gate {
    /// So many places, and room for so many who wait.
    pub(super) fn new(places: usize, max_waiting: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places, waiting: VecDeque::new(), max_waiting })))
    }

    /// A place, now or within this time. None: there was none.
    pub(super) async fn enter(&self, patience: Duration) -> Option<Place> {
        let turn = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Some(Place(Some(self.clone())));
            }
            // The oldest are those who have gone, or are about to.
            state.forget_gone();
            while state.waiting.len() >= state.max_waiting.max(1) {
                state.waiting.pop_front();
            }
            let (give, turn) = oneshot::channel();
            state.waiting.push_back((Instant::now(), give));
            turn
        };
        timeout(patience, turn).await.ok()?.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_gone(&mut self) {
        while self.waiting.front().is_some_and(|(_, waiting)| waiting.is_closed()) {
            self.waiting.pop_front();
        }
    }

    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        self.forget_gone();
        let standing = self.waiting.front().is_some_and(|(since, _)| since.elapsed() > STANDING);
        let next = if standing { self.waiting.pop_back() } else { self.waiting.pop_front() };
        next.map(|(_, next)| next)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(gate) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = gate.state();
                let Some(next) = state.next() else {
                    state.free += 1;
                    return;
                };
                next
            };
            match next.send(Place(Some(gate.clone()))) {
                Ok(()) => return,
                // It went meanwhile; the place that it gives back must not come here again.
                Err(mut place) => place.0 = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::poll;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn places_go_in_order_until_the_queue_stands_and_then_to_the_youngest() {
        let gate = Gate::new(1, 10);
        let first = gate.enter(SECOND).await.expect("a place");
        let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(gate.enter(SECOND))).collect();
        for each in &mut waiting {
            assert!(poll!(each).is_pending());
        }
        drop(waiting.remove(0));
        drop(first);
        let second = waiting.remove(0).await.expect("the oldest of those who have not gone");
        tokio::time::sleep(STANDING * 2).await;
        drop(second);
        let third = waiting.pop().expect("the youngest").await.expect("a place");
        assert!(waiting.pop().expect("an older one").await.is_none(), "it has waited for a second");
        assert!(waiting.pop().expect("the oldest").await.is_none());
        drop(third);
        gate.enter(SECOND).await.expect("a free place");
        assert_eq!(gate.state().free, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn where_too_many_wait_the_oldest_goes_at_once() {
        let gate = Gate::new(1, 2);
        let _place = gate.enter(SECOND).await.expect("a place");
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(gate.enter(SECOND))).collect();
        for each in &mut waiting {
            assert!(poll!(each).is_pending());
        }
        assert!(matches!(poll!(&mut waiting[0]), std::task::Poll::Ready(None)));
        assert!(poll!(&mut waiting[1]).is_pending());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_place_is_lost_and_none_is_given_twice() {
        let gate = Gate::new(3, 1_000);
        let inside = Arc::new(AtomicUsize::new(0));
        let calls = (0..2_000).map(|number| {
            let (gate, inside) = (gate.clone(), Arc::clone(&inside));
            tokio::spawn(async move {
                let patience = if number % 3 == 0 { Duration::from_micros(50) } else { SECOND };
                let Some(_place) = gate.enter(patience).await else { return };
                assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                tokio::task::yield_now().await;
                inside.fetch_sub(1, Ordering::SeqCst);
            })
        });
        for call in futures::future::join_all(calls).await {
            call.expect("no panic");
        }
        assert_eq!(gate.state().free, 3);
    }
}
