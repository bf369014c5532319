//! Permits under contention.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use access_tokens_domain::session::OrganisationKey;
use access_tokens_net::client_address::ClientAddress;
use futures::poll;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn in_a_second() -> Instant {
    Instant::now() + SECOND
}
const A: LimitKey = LimitKey::Organisation(OrganisationKey(1));
const B: LimitKey = LimitKey::Organisation(OrganisationKey(2));

fn pool(permits: usize, per_party: usize, waiting: usize) -> PermitPool {
    PermitPool::new(PoolLimits { permits, per_party, waiting, waiting_per_party: waiting, waiting_bytes: 1_000 })
}

#[tokio::test(start_paused = true)]
async fn permits_go_in_order_until_the_queue_stalls_and_then_to_the_newest() {
    let pool = pool(1, 1, 10);
    let first = pool.acquire(A, 0, in_a_second()).await.expect("a permit");
    let mut waiting: Vec<_> = (0..5).map(|_| Box::pin(pool.acquire(A, 0, in_a_second()))).collect();
    for each in &mut waiting {
        assert!(poll!(each).is_pending());
    }
    drop(waiting.remove(0));
    drop(first);
    let second = waiting.remove(0).await.expect("the oldest that has not given up");
    tokio::time::sleep(STALLED_AFTER * 2).await;
    drop(second);
    let third = waiting.pop().expect("the newest").await.expect("a permit");
    assert!(waiting.pop().expect("an older one").await.is_none(), "it has waited for a second");
    assert!(waiting.pop().expect("the oldest").await.is_none());
    drop(third);
    pool.acquire(A, 0, in_a_second()).await.expect("a free permit");
    let state = pool.state();
    assert_eq!((state.free, state.parties.len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn where_too_many_wait_the_oldest_gives_way_at_once() {
    let pool = pool(1, 1, 2);
    let _permit = pool.acquire(A, 0, in_a_second()).await.expect("a permit");
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(pool.acquire(A, 0, in_a_second()))).collect();
    for each in &mut waiting {
        assert!(poll!(each).is_pending());
    }
    assert!(matches!(poll!(&mut waiting[0]), Poll::Ready(None)));
    assert!(poll!(&mut waiting[1]).is_pending());
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_waiting_calls_are_bounded_too() {
    let pool = pool(1, 1, 100);
    let _permit = pool.acquire(A, 5_000, in_a_second()).await.expect("a permit: what runs does not wait");
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(pool.acquire(A, 400, in_a_second()))).collect();
    for each in &mut waiting {
        assert!(poll!(each).is_pending());
    }
    let mut still = Vec::new();
    for each in &mut waiting {
        still.push(poll!(each).is_pending());
    }
    assert_eq!(still, [false, false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_party_with_many_calls_leaves_permits_to_others() {
    let pool = pool(8, 8, 1_000);
    let mut held: Vec<_> = Vec::new();
    for _ in 0..8 {
        held.push(pool.acquire(A, 0, in_a_second()).await.expect("a permit is free"));
    }
    let mut many: Vec<_> = (0..100).map(|_| Box::pin(pool.acquire(A, 0, in_a_second()))).collect();
    let mut few: Vec<_> = (0..10).map(|_| Box::pin(pool.acquire(B, 0, in_a_second()))).collect();
    for each in many.iter_mut().chain(&mut few) {
        assert!(poll!(each).is_pending());
    }
    held.clear();
    let (mut got, mut kept) = ([0, 0], Vec::new());
    for (side, waiting) in [&mut many, &mut few].into_iter().enumerate() {
        for each in waiting.iter_mut() {
            if let Poll::Ready(Some(permit)) = poll!(each) {
                got[side] += 1;
                kept.push(permit);
            }
        }
    }
    assert_eq!(got, [4, 4], "each has a half while the other waits");
}

#[tokio::test(start_paused = true)]
async fn one_party_never_holds_more_than_its_bound() {
    let pool = pool(8, 2, 1_000);
    let _held = [pool.acquire(A, 0, in_a_second()).await, pool.acquire(A, 0, in_a_second()).await];
    assert!(pool.acquire(A, 0, in_a_second()).await.is_none(), "six are free, and not for this party");
    pool.acquire(B, 0, in_a_second()).await.expect("another party gets one");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_party_does_not_push_out_the_others_that_wait() {
    let pool = pool(1, 1, 10);
    let permit = pool.acquire(A, 0, in_a_second()).await.expect("a permit");
    let mut other = Box::pin(pool.acquire(B, 0, in_a_second()));
    assert!(poll!(&mut other).is_pending());
    tokio::time::advance(Duration::from_millis(1)).await;
    let mut flood: Vec<_> = (0..100).map(|_| Box::pin(pool.acquire(A, 0, in_a_second()))).collect();
    for each in &mut flood {
        assert!(poll!(each).is_pending());
    }
    assert!(poll!(&mut other).is_pending(), "it still waits");
    drop(permit);
    assert!(matches!(poll!(&mut other), Poll::Ready(Some(_))));
}

#[test]
fn addresses_of_one_customer_are_one_party() {
    let party = |text: &str| LimitKey::of_address(Some(ClientAddress::new(text.parse().expect("an address"))));
    assert_eq!(party("2001:db8::1"), party("2001:db8::ffff:1"));
    assert_ne!(party("2001:db8::1"), party("2001:db8:0:1::1"));
    assert_ne!(party("192.0.2.1"), party("192.0.2.2"));
    assert_eq!(party("::ffff:192.0.2.1"), party("192.0.2.1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_permit_is_lost_and_none_is_given_twice() {
    let pool = pool(3, 2, 1_000);
    let inside = Arc::new(AtomicUsize::new(0));
    let calls = (0..2_000).map(|number| {
        let (pool, inside) = (pool.clone(), Arc::clone(&inside));
        tokio::spawn(async move {
            let wait = if number % 3 == 0 { Duration::from_micros(50) } else { SECOND };
            let party = LimitKey::Organisation(OrganisationKey(number % 5));
            let Some(_permit) = pool.acquire(party, 1, Instant::now() + wait).await else { return };
            assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        })
    });
    for call in futures::future::join_all(calls).await {
        call.expect("no panic");
    }
    let state = pool.state();
    let leftover: usize = state.parties.values().map(|share| share.held).sum();
    assert_eq!((state.free, leftover), (3, 0));
}
