//! The queue of hashes, with jobs that wait and callers that leave.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;

const CALL: HashWork = HashWork { queue: HashQueue::Authenticated, share: 1 };
const ANONYMOUS: HashWork = HashWork { queue: HashQueue::AnonymousLogin, share: 1 };

fn hasher_with(permits: usize, max_waiting: usize) -> Hasher {
    Hasher::with_limits(permits, LIMITS.map(|limits| Limits { max_waiting, ..limits }))
}

fn load(hasher: &Hasher, queue: HashQueue) -> HashingLoad {
    hasher.load()[queue as usize].1
}

#[tokio::test]
async fn more_than_the_queue_holds_is_refused_at_once() {
    let hasher = Arc::new(hasher_with(1, 2));
    let (release, blocked) = mpsc::channel::<()>();
    let first = {
        let hasher = Arc::clone(&hasher);
        tokio::spawn(async move { hasher.run(CALL, move |_| blocked.recv().is_ok()).await })
    };
    while load(&hasher, CALL.queue).running == 0 {
        tokio::task::yield_now().await;
    }
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move { hasher.run(CALL, |_| true).await })
        })
        .collect();
    while load(&hasher, CALL.queue).waiting < 2 {
        tokio::task::yield_now().await;
    }
    hasher.check_queue(CALL).expect_err("there is no room");
    let error = hasher.run(CALL, |_| true).await.expect_err("refused");
    assert_eq!(error.reason(), Reason::Overloaded);
    assert!(error.wait().is_some());
    assert_eq!(load(&hasher, CALL.queue), HashingLoad { running: 1, waiting: 2, refused: 2 });
    hasher.check_queue(ANONYMOUS).expect("other queues have room of their own");

    // A caller that stops waiting makes room. A running job makes room only when it is done.
    waiting[0].abort();
    first.abort();
    while load(&hasher, CALL.queue).waiting == 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(load(&hasher, CALL.queue).running, 1, "the first has no caller any more, but it still runs");
    release.send(()).expect("the first still runs");
    for job in waiting {
        let _ = job.await;
    }
    while load(&hasher, CALL.queue).running > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(load(&hasher, CALL.queue), HashingLoad { running: 0, waiting: 0, refused: 2 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "a job blocks its thread, as a hash does")]
async fn a_flood_of_anonymous_logins_delays_calls_by_one_job_and_refuses_none() {
    const JOB: Duration = Duration::from_millis(5);
    let hasher = Arc::new(Hasher::with_limits(1, LIMITS));
    let flood: Vec<_> = (0..120)
        .map(|_| {
            let hasher = Arc::clone(&hasher);
            tokio::spawn(async move {
                loop {
                    let job = hasher.run(ANONYMOUS, |_| std::thread::sleep(JOB)).await;
                    if job.is_err() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
            })
        })
        .collect();
    while load(&hasher, ANONYMOUS.queue).refused == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let known = HashWork { queue: HashQueue::KnownLogin, share: 1 };
    for work in [CALL, known].repeat(20) {
        hasher.run(work, |_| std::thread::sleep(JOB)).await.expect("it has a queue of its own");
    }
    let refused: Vec<_> = hasher.load().iter().map(|(_, load)| load.refused > 0).collect();
    assert_eq!(refused, [false, false, true]);
    for one in flood {
        one.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_in_does_not_wait_longer_than_its_client() {
    let hasher = hasher_with(1, 8);
    let first = hasher.permit(CALL).await.expect("a permit");
    let waited = tokio::time::Instant::now();
    let error = hasher.run(ANONYMOUS, |_| ()).await.expect_err("refused");
    assert!(error.reason() == Reason::Overloaded && waited.elapsed() >= LOGIN_TIMEOUT);
    assert_eq!(load(&hasher, ANONYMOUS.queue), HashingLoad { running: 0, waiting: 0, refused: 1 });
    drop(first);
    hasher.permit(ANONYMOUS).await.expect("a permit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "a job blocks its thread, as a hash does")]
async fn never_more_at_once_than_allowed_even_when_callers_leave() {
    let hasher = Arc::new(hasher_with(2, 100));
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..60)
        .map(|i| {
            let (hasher, now, most) = (Arc::clone(&hasher), Arc::clone(&now), Arc::clone(&most));
            let job = move |_: &mut Memory| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
            };
            let work = HashWork { queue: HashQueue::ALL[i % 3], share: (i % 5) as u64 };
            let limit = Duration::from_millis(if i % 2 == 0 { 1 } else { 10_000 });
            tokio::spawn(async move { timeout(limit, hasher.run(work, job)).await.is_ok() })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    assert!(most.load(Ordering::SeqCst) <= 2, "{most:?}");
    while !hasher.shared.scheduler().is_idle() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn memory_is_freed_when_no_hash_runs_or_waits() {
    let hasher = hasher_with(2, 8);
    let jobs = (0..3).map(|_| hasher.run(CALL, |_| ()));
    for result in futures::future::join_all(jobs).await {
        result.expect("ran");
    }
    assert!(hasher.shared.scheduler().is_idle());
    assert!(hasher.shared.memory().is_empty());
}

#[tokio::test]
async fn a_panic_frees_its_permit() {
    let hasher = hasher_with(1, 1);
    let error = hasher.run::<()>(CALL, |_| panic!("a test")).await.expect_err("no answer");
    assert_eq!(error.reason(), Reason::Internal);
    hasher.run(CALL, |_| ()).await.expect("the place is free");
}
