//! Load generators: a constant number of concurrent calls (closed loop), or a constant rate of calls (open loop).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access_tokens_testkit::random::Rng;
use anyhow::{Context, Result};
use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Longest latency that is recorded, in nanoseconds.
const MAX_LATENCY_NANOS: u64 = 60_000_000_000;

/// A call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Path of a method, or of a page.
    pub(crate) path: Cow<'static, str>,
    /// The message.
    pub(crate) body: Bytes,
}

/// The result of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply {
    /// Status of gRPC, of which 0 is success, or of HTTP.
    pub(crate) status: u16,
    /// Length of the answer in bytes.
    pub(crate) bytes: usize,
}

impl Reply {
    /// No answer.
    pub(crate) const BROKEN: Self = Self { status: u16::MAX, bytes: 0 };
}

/// A client.
pub(crate) trait Transport: Clone + Send + Sync + 'static {
    /// Makes a call and waits for the answer.
    fn send(&self, call: Call) -> impl Future<Output = Reply> + Send;
}

/// The calls of one worker.
pub(crate) trait Script: Send + 'static {
    /// Returns the next call.
    fn next(&mut self) -> Call;

    /// Returns the call that restores the former state after the last call.
    fn last(&mut self) -> Option<Call>;
}

/// Counts and latencies of calls.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    /// Number of good answers.
    pub(crate) good: u64,
    /// Numbers of other answers, by their status.
    pub(crate) bad: BTreeMap<u16, u64>,
    /// Bytes of good answers.
    pub(crate) bytes: u64,
    /// Latencies in nanoseconds; a minute for an answer that was not good.
    pub(crate) latency: Histogram<u64>,
    /// Time from the first call to the last answer.
    pub(crate) elapsed: Duration,
}

impl Tally {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1_000, MAX_LATENCY_NANOS, 3).context("a histogram")?;
        Ok(Self { good: 0, bad: BTreeMap::new(), bytes: 0, latency, elapsed: Duration::ZERO })
    }

    fn count(&mut self, reply: Reply, took: Duration) {
        if reply.status == 0 {
            self.good += 1;
            self.bytes += reply.bytes as u64;
            self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        } else {
            // A call that failed counts as slower than any other one.
            self.latency.saturating_record(MAX_LATENCY_NANOS);
            *self.bad.entry(reply.status).or_default() += 1;
        }
    }

    /// Adds the counts of a concurrent worker.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.good += other.good;
        self.bytes += other.bytes;
        self.add_bad(other);
        self.latency.add(&other.latency).context("histograms of one kind")?;
        self.elapsed = self.elapsed.max(other.elapsed);
        Ok(())
    }

    /// Adds only the answers that were not good.
    pub(crate) fn add_bad(&mut self, other: &Self) {
        for (status, count) in &other.bad {
            *self.bad.entry(*status).or_default() += count;
        }
    }

    /// Returns the number of good answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.good as f64 / self.elapsed.as_secs_f64().max(f64::EPSILON)
    }
}

/// Runs `workers` workers for this time, each of which makes one call after the other.
pub(crate) async fn closed<S: Script>(
    transport: &impl Transport,
    workers: usize,
    time: Duration,
    script: impl Fn(usize) -> S,
) -> Result<Tally> {
    let started = Instant::now();
    let mut crew = JoinSet::new();
    for worker in 0..workers {
        let (transport, mut script, mut tally) = (transport.clone(), script(worker), Tally::new()?);
        crew.spawn(async move {
            while started.elapsed() < time {
                let call = script.next();
                let asked = Instant::now();
                let reply = transport.send(call).await;
                tally.count(reply, asked.elapsed());
            }
            tally.elapsed = started.elapsed();
            if let Some(call) = script.last() {
                transport.send(call).await;
            }
            tally
        });
    }
    sum(crew).await
}

/// Makes `rate` calls per second at random times that do not depend on the answers. The latency of a call begins when the call is
/// due, so that waiting for earlier calls counts.
pub(crate) async fn open<S: Script>(
    transport: &impl Transport,
    rate: f64,
    time: Duration,
    script: impl Fn(usize) -> S,
) -> Result<Tally> {
    let (sender, mut moments) = mpsc::unbounded_channel();
    let started = Instant::now() + Duration::from_millis(5);
    let pacer = std::thread::spawn(move || pace(started, rate, time, &sender));
    let mut script = script(0);
    let mut calls = JoinSet::new();
    let tally = Arc::new(std::sync::Mutex::new(Tally::new()?));
    while let Some(intended) = moments.recv().await {
        let (transport, call, tally) = (transport.clone(), script.next(), Arc::clone(&tally));
        calls.spawn(async move {
            let reply = transport.send(call).await;
            let took = Instant::now().saturating_duration_since(intended);
            tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).count(reply, took);
        });
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
    let _ = pacer.join();
    let mut tally = tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    tally.elapsed = started.elapsed();
    Ok(tally)
}

/// Sends the time of each call when the call is due. Runs on a thread of its own, because the timers of the runtime have a resolution of a
/// millisecond.
#[expect(clippy::disallowed_methods, reason = "a thread that does nothing but wait")]
fn pace(started: Instant, rate: f64, time: Duration, sender: &mpsc::UnboundedSender<Instant>) {
    let rng = Rng::new(7);
    let mut intended = started;
    while intended < started + time {
        let now = Instant::now();
        if intended > now {
            std::thread::sleep(intended - now);
        }
        if sender.send(intended).is_err() {
            return;
        }
        // Independent callers: the times between their calls are distributed exponentially.
        intended += Duration::from_secs_f64(-(1.0 - rng.unit()).ln() / rate);
    }
}

async fn sum(mut crew: JoinSet<Tally>) -> Result<Tally> {
    let mut all = Tally::new()?;
    while let Some(tally) = crew.join_next().await {
        all.add(&tally?)?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers calls one after the other, and the first one after [`STALL`].
    #[derive(Clone, Default)]
    struct Stalling(Arc<tokio::sync::Mutex<bool>>);

    const STALL: Duration = Duration::from_millis(300);

    impl Transport for Stalling {
        async fn send(&self, call: Call) -> Reply {
            let mut stalled = self.0.lock().await;
            if !*stalled {
                *stalled = true;
                tokio::time::sleep(STALL).await;
            }
            Reply { status: u16::from(call.path == "refused"), bytes: 1 }
        }
    }

    struct Same(&'static str);

    impl Script for Same {
        fn next(&mut self) -> Call {
            Call { path: Cow::Borrowed(self.0), body: Bytes::new() }
        }

        fn last(&mut self) -> Option<Call> {
            None
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn an_open_loop_charges_a_stall_to_all_waiting_calls() {
        let tally = open(&Stalling::default(), 1_000.0, STALL, |_| Same("")).await.unwrap();
        let median = Duration::from_nanos(tally.latency.value_at_quantile(0.5));
        assert!(
            median > STALL / 4,
            "half of the calls were made during the stall, and half of those early: {median:?}"
        );
        assert!((200..400).contains(&tally.good), "{} calls in 300 ms", tally.good);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_closed_loop_hides_it() {
        let tally = closed(&Stalling::default(), 1, STALL * 2, |_| Same("")).await.unwrap();
        assert!(tally.latency.value_at_quantile(0.5) < 10_000_000, "one call was late, thousands were not");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_refused_is_no_fast_answer() {
        let tally = closed(&Stalling::default(), 1, STALL / 10, |_| Same("refused")).await.unwrap();
        assert_eq!(tally.good, 0);
        assert!(tally.bad[&1] > 0);
        assert!(tally.latency.value_at_quantile(0.0) > MAX_LATENCY_NANOS / 2);
    }
}
