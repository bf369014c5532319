//! The readiness of a process over time, as a load balancer sees it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use access_tokens_testkit::http::KeptConnection;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::report::Report;

/// Time between two requests.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum time of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum time until a process notices that it has lost or found the primary.
pub(crate) const MAX_NOTICE_TIME: Duration = Duration::from_secs(1);

/// The answer to one request.
struct Sample {
    asked: Instant,
    answered: Instant,
    /// Reason for which the process is not ready; `None` if it is ready.
    refusal: Option<String>,
}

/// The time without a usable primary, and the end of the observation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    /// The primary is lost.
    pub(crate) lost: Instant,
    /// The promotion begins. Until then there is no primary.
    pub(crate) promotion: Instant,
    /// The new primary is usable.
    pub(crate) usable: Instant,
    /// Maximum time until the process notices that.
    pub(crate) notice: Duration,
    /// The observation ends.
    pub(crate) end: Instant,
}

/// The times in which a process noticed both ends of an outage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoticeTimes {
    /// From the loss until it was not ready; `None` if it was ready all the time.
    pub(crate) lost: Option<Duration>,
    /// From the end of the outage until it was ready for good.
    pub(crate) usable: Duration,
}

/// Requests `/readyz` of a process regularly, until it is dropped.
pub(crate) struct ReadinessWatch {
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl ReadinessWatch {
    /// Watches the process that serves operators at this address. It need not run yet.
    pub(crate) fn of(address: SocketAddr) -> Self {
        let samples = Arc::<Mutex<Vec<Sample>>>::default();
        let task = tokio::spawn(poll(address, Arc::clone(&samples)));
        Self { samples, task }
    }

    fn samples(&self) -> MutexGuard<'_, Vec<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the answers so far.
    pub(crate) fn clear(&self) {
        self.samples().clear();
    }

    /// Returns the reasons for which the process was not ready in a period.
    pub(crate) fn reasons(&self, from: Instant, to: Instant) -> BTreeSet<String> {
        let samples = self.samples();
        let period = samples.iter().filter(|sample| sample.asked >= from && sample.answered <= to);
        period.filter_map(|sample| sample.refusal.clone()).collect()
    }

    /// Waits until the process is not ready for a reason with this text. Returns whether it was in time.
    pub(crate) async fn is_refused_for(&self, text: &str, limit: Duration) -> bool {
        let since = Instant::now();
        while !self.reasons(since, Instant::now()).iter().any(|reason| reason.contains(text)) {
            if since.elapsed() > limit {
                return false;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        true
    }

    /// Checks that the process was not ready from [`MAX_NOTICE_TIME`] after the loss until there was a primary, and ready afterwards.
    pub(crate) fn judge(&self, process: &str, outage: Outage, report: &mut Report) -> NoticeTimes {
        let Outage { lost, promotion, usable, notice, end } = outage;
        let samples = self.samples();
        let period = |from, to| samples.iter().filter(move |sample| sample.asked >= from && sample.answered <= to);
        let wrong = period(lost + MAX_NOTICE_TIME, promotion).filter(|sample| sample.refusal.is_none()).count();
        report.expect(wrong == 0, || format!("{process}: {wrong} times ready, {MAX_NOTICE_TIME:?} after the loss"));
        let later: Vec<_> = period(usable + notice, end).collect();
        report.expect(!later.is_empty(), || format!("{process}: its readiness is unknown"));
        let refusals: Vec<_> = later.iter().filter_map(|sample| sample.refusal.as_ref()).collect();
        report.expect(refusals.is_empty(), || {
            format!(
                "{process}: {} times not ready although the primary is usable: {:?}",
                refusals.len(),
                refusals.first()
            )
        });
        let fell = period(lost, usable).find(|sample| sample.refusal.is_some());
        let last_refusal = period(usable, end).rfind(|sample| sample.refusal.is_some());
        let from = last_refusal.map_or(usable, |sample| sample.answered);
        let rose = period(from, end).find(|sample| sample.refusal.is_none());
        NoticeTimes {
            lost: fell.map(|sample| sample.answered - lost),
            usable: rose.map_or(end, |sample| sample.answered) - usable,
        }
    }
}

impl Drop for ReadinessWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn poll(address: SocketAddr, samples: Arc<Mutex<Vec<Sample>>>) {
    let mut connection = KeptConnection::new(address);
    loop {
        let asked = Instant::now();
        let answer = timeout(ANSWER_TIMEOUT, connection.send("GET", "/readyz", &[], "", Duration::ZERO)).await;
        let refusal = match answer.ok().flatten() {
            Some(answer) if answer.status == 200 => None,
            Some(answer) => Some(answer.text.trim().to_owned()),
            None => Some("no answer".to_owned()),
        };
        let sample = Sample { asked, answered: Instant::now(), refusal };
        samples.lock().unwrap_or_else(PoisonError::into_inner).push(sample);
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process that is ready, except in a period in tenths of a second since the loss. The primary is usable after two seconds.
    fn judged(not_ready: std::ops::Range<u64>) -> (Report, NoticeTimes) {
        let lost = Instant::now();
        let at = |tenths: u64| lost + Duration::from_millis(tenths * 100);
        let sample = |tenths: u64| Sample {
            asked: at(tenths),
            answered: at(tenths),
            refusal: not_ready.contains(&tenths).then(|| "no primary".to_owned()),
        };
        let samples = Arc::new(Mutex::new((0..60).map(sample).collect()));
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let _guard = runtime.enter();
        let watch = ReadinessWatch { samples, task: tokio::spawn(async {}) };
        let mut report = Report::default();
        let times = watch.judge(
            "one",
            Outage { lost, promotion: at(20), usable: at(20), notice: MAX_NOTICE_TIME, end: at(60) },
            &mut report,
        );
        (report, times)
    }

    #[test]
    fn readiness_follows_the_primary_within_a_second() {
        let (report, times) = judged(8..26);
        assert!(!report.failed(), "{:?}", report.broken);
        assert_eq!((times.lost, times.usable), (Some(Duration::from_millis(800)), Duration::from_millis(600)));
    }

    #[test]
    fn late_notices_are_findings() {
        for (not_ready, finding) in [(13..26, "ready, 1s after the loss"), (8..35, "although the primary is usable")] {
            let (report, _) = judged(not_ready);
            assert!(report.broken.len() == 1 && report.broken[0].contains(finding), "{:?}", report.broken);
        }
    }
}
