//! Decides which caller gets the next permit, without threads and clocks of its own.

use std::collections::VecDeque;

use access_tokens_domain::ports::{HashQueue, HashWork};

/// Progress of a queue of weight 1 for each permit that it gets. Divisible by all weights in use.
const STRIDE: u64 = 1 << 16;

/// Weight and capacity of a queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Number of permits that the queue gets for each permit of a queue of weight 1, if both have waiting callers.
    pub(super) weight: u64,
    /// Maximum number of waiting callers.
    pub(super) max_waiting: usize,
}

/// Load of one queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HashingLoad {
    /// Hashes that are being computed.
    pub running: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// Callers that were refused since the start of the process.
    pub refused: u64,
}

/// Queues and permits. `G` is the channel to a waiting caller.
pub(super) struct Scheduler<G> {
    permits: usize,
    queues: [Queue<G>; 3],
    /// Progress of the queue that got a permit last. A queue that was empty starts here, so that it saves up no turns.
    progress: u64,
    next_ticket: u64,
}

struct Queue<G> {
    limits: Limits,
    /// Stride scheduling: the queue with the least progress is next.
    progress: u64,
    load: HashingLoad,
    /// The shares with waiting callers, in the order of their turns.
    shares: VecDeque<Share<G>>,
}

struct Share<G> {
    id: u64,
    waiting: VecDeque<(u64, G)>,
}

impl<G> Scheduler<G> {
    pub(super) fn new(permits: usize, limits: [Limits; 3]) -> Self {
        let queue = |limits| Queue { limits, progress: 0, load: HashingLoad::default(), shares: VecDeque::new() };
        Self { permits, queues: limits.map(queue), progress: 0, next_ticket: 0 }
    }

    pub(super) fn load(&self, queue: HashQueue) -> HashingLoad {
        self.queues[queue as usize].load
    }

    pub(super) fn count_refused(&mut self, queue: HashQueue) {
        self.queues[queue as usize].load.refused += 1;
    }

    /// Returns whether a caller would be admitted.
    pub(super) fn has_room(&self, work: HashWork) -> bool {
        let queue = &self.queues[work.queue as usize];
        queue.load.waiting < queue.limits.max_waiting || queue.evictable(work.share).is_some()
    }

    /// Admits a caller. Returns its ticket, and the caller that it displaces. Gives `grant` back if the caller is
    /// refused.
    pub(super) fn enter(&mut self, work: HashWork, grant: G) -> Result<(u64, Option<G>), G> {
        let (ticket, progress) = (self.next_ticket, self.progress);
        let queue = &mut self.queues[work.queue as usize];
        let mut displaced = None;
        if queue.load.waiting >= queue.limits.max_waiting {
            queue.load.refused += 1;
            let Some(largest) = queue.evictable(work.share) else { return Err(grant) };
            displaced = queue.shares[largest].waiting.pop_back().map(|(_, grant)| grant);
            queue.load.waiting -= 1;
        }
        if queue.load.waiting == 0 {
            queue.progress = queue.progress.max(progress);
        }
        queue.load.waiting += 1;
        match queue.shares.iter_mut().find(|share| share.id == work.share) {
            Some(share) => share.waiting.push_back((ticket, grant)),
            None => queue.shares.push_back(Share { id: work.share, waiting: [(ticket, grant)].into() }),
        }
        self.next_ticket += 1;
        Ok((ticket, displaced))
    }

    /// Removes a caller that stops waiting. None: it does not wait any more.
    pub(super) fn leave(&mut self, work: HashWork, ticket: u64) -> Option<G> {
        let queue = &mut self.queues[work.queue as usize];
        let at = queue.shares.iter().position(|share| share.id == work.share)?;
        let share = &mut queue.shares[at];
        let index = share.waiting.iter().position(|(other, _)| *other == ticket)?;
        let (_, grant) = share.waiting.remove(index)?;
        if share.waiting.is_empty() {
            queue.shares.remove(at);
        }
        queue.load.waiting -= 1;
        Some(grant)
    }

    /// Returns the caller that gets a free permit now.
    pub(super) fn next(&mut self) -> Option<(HashQueue, G)> {
        let running: usize = self.queues.iter().map(|queue| queue.load.running).sum();
        if running >= self.permits {
            return None;
        }
        let waits = |queue: &HashQueue| self.queues[*queue as usize].load.waiting > 0;
        let which = HashQueue::ALL.into_iter().filter(waits).min_by_key(|one| self.queues[*one as usize].progress)?;
        let queue = &mut self.queues[which as usize];
        let mut share = queue.shares.pop_front()?;
        let (_, grant) = share.waiting.pop_front()?;
        if !share.waiting.is_empty() {
            queue.shares.push_back(share);
        }
        queue.load.waiting -= 1;
        queue.load.running += 1;
        self.progress = queue.progress;
        queue.progress += STRIDE / queue.limits.weight.max(1);
        Some((which, grant))
    }

    /// Gives back the permit of a job that is done.
    pub(super) fn release(&mut self, queue: HashQueue) {
        self.queues[queue as usize].load.running -= 1;
    }

    /// Returns whether no job runs or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.queues.iter().all(|queue| queue.load.running + queue.load.waiting == 0)
    }
}

impl<G> Queue<G> {
    /// Returns the share that makes room for another one: the largest, if it has at least two callers more.
    fn evictable(&self, arriving: u64) -> Option<usize> {
        let own = self.shares.iter().find(|share| share.id == arriving).map_or(0, |share| share.waiting.len());
        let (largest, share) = self.shares.iter().enumerate().max_by_key(|(_, share)| share.waiting.len())?;
        (share.waiting.len() > own + 1).then_some(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: [Limits; 3] = [
        Limits { weight: 16, max_waiting: 64 },
        Limits { weight: 4, max_waiting: 64 },
        Limits { weight: 1, max_waiting: 32 },
    ];

    fn work(queue: HashQueue, share: u64) -> HashWork {
        HashWork { queue, share }
    }

    /// Grants `count` permits one after the other. Each caller that was served comes again.
    fn serve(scheduler: &mut Scheduler<HashWork>, count: usize) -> Vec<HashWork> {
        let mut served = Vec::new();
        for _ in 0..count {
            let (queue, work) = scheduler.next().expect("a caller waits");
            scheduler.release(queue);
            scheduler.enter(work, work).expect("it has just left");
            served.push(work);
        }
        served
    }

    #[test]
    fn queues_share_permits_by_weight() {
        let mut scheduler = Scheduler::new(1, LIMITS);
        for queue in HashQueue::ALL {
            for _ in 0..10 {
                scheduler.enter(work(queue, 1), work(queue, 1)).expect("room");
            }
        }
        let served = serve(&mut scheduler, 210);
        let of = |queue| served.iter().filter(|work| work.queue == queue).count();
        assert_eq!(HashQueue::ALL.map(of), [160, 40, 10]);
    }

    #[test]
    fn a_queue_that_was_empty_gets_no_turns_for_the_time_before() {
        let mut scheduler = Scheduler::new(1, LIMITS);
        let (calls, anonymous) = (work(HashQueue::Authenticated, 1), work(HashQueue::AnonymousLogin, 1));
        scheduler.enter(calls, calls).expect("room");
        serve(&mut scheduler, 1_000);
        for _ in 0..32 {
            scheduler.enter(anonymous, anonymous).expect("room");
        }
        let served = serve(&mut scheduler, 170);
        assert_eq!(served.iter().filter(|work| work.queue == HashQueue::AnonymousLogin).count(), 10);
        // The reverse holds as well: an authenticated call waits only for the job that runs.
        let mut scheduler = Scheduler::new(1, LIMITS);
        for _ in 0..32 {
            scheduler.enter(anonymous, anonymous).expect("room");
        }
        serve(&mut scheduler, 1_000);
        scheduler.enter(calls, calls).expect("room");
        assert_eq!(scheduler.next().map(|(queue, _)| queue), Some(HashQueue::Authenticated));
    }

    #[test]
    fn shares_of_a_queue_take_turns() {
        let mut scheduler = Scheduler::new(1, LIMITS);
        for (share, callers) in [(1, 40), (2, 1), (3, 2)] {
            for _ in 0..callers {
                let work = work(HashQueue::Authenticated, share);
                scheduler.enter(work, work).expect("room");
            }
        }
        let served = serve(&mut scheduler, 30);
        for share in 1..=3 {
            assert_eq!(served.iter().filter(|work| work.share == share).count(), 10, "share {share}");
        }
    }

    #[test]
    fn a_full_queue_makes_room_for_smaller_shares_until_all_are_equal() {
        let mut scheduler = Scheduler::new(1, LIMITS);
        let [large, small] = [1, 2].map(|share| work(HashQueue::KnownLogin, share));
        for _ in 0..64 {
            assert!(matches!(scheduler.enter(large, large), Ok((_, None))));
        }
        assert!(!scheduler.has_room(large) && scheduler.enter(large, large).is_err());
        assert!(scheduler.has_room(work(HashQueue::Authenticated, 1)), "other queues have their own room");
        for _ in 0..32 {
            assert!(scheduler.has_room(small));
            assert!(matches!(scheduler.enter(small, small), Ok((_, Some(displaced))) if displaced == large));
        }
        assert!(!scheduler.has_room(small) && scheduler.enter(small, small).is_err(), "half each");
        let load = scheduler.load(HashQueue::KnownLogin);
        assert_eq!((load.waiting, load.refused), (64, 34));
    }

    #[test]
    fn callers_that_leave_are_not_served() {
        let mut scheduler = Scheduler::new(2, LIMITS);
        let one = work(HashQueue::Authenticated, 1);
        let tickets = [(); 3].map(|()| scheduler.enter(one, one).expect("room").0);
        assert_eq!(scheduler.leave(one, tickets[1]), Some(one));
        assert_eq!(scheduler.leave(one, tickets[1]), None);
        assert!(scheduler.next().is_some() && scheduler.next().is_some() && scheduler.next().is_none());
        assert_eq!(scheduler.leave(one, tickets[0]), None, "it runs");
        for _ in 0..2 {
            assert!(!scheduler.is_idle());
            scheduler.release(HashQueue::Authenticated);
        }
        assert!(scheduler.is_idle());
    }
}
