//! A rate limit: a burst of events without waiting, then one event per interval.
//!
//! This is the generic cell rate algorithm. Its state is one time, the *theoretical arrival*: the time at which the
//! next event would be due if events came evenly. In any span of time there are at most `burst + span / interval`
//! events.

use chrono::Duration;

use crate::model::time::Timestamp;

/// Maximum difference between the clocks of replicas. It is far above any real difference, since a clock that seems to
/// have gone back begins a new burst.
const MAX_SKEW: Duration = Duration::hours(24);

/// A rate: `burst` events without waiting, each of which becomes available again after `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Number of events that are possible without waiting, at least 1.
    pub burst: u32,
    /// Time after which one more event is allowed. Zero means no limit.
    pub interval: Duration,
}

impl Rate {
    /// Returns a rate that allows at most `count` events in any 24 hours: half of them without waiting, the other half
    /// spread evenly.
    pub fn per_day(count: u32) -> Self {
        let burst = count.div_ceil(2).max(1);
        let rest = count.saturating_sub(burst);
        let interval = match i32::try_from(rest) {
            // One event in more than a day, so that there are never two in a day.
            Ok(0) => Duration::hours(24) + Duration::seconds(1),
            Ok(rest) => Duration::hours(24) / rest + Duration::microseconds(1),
            Err(_) => Duration::zero(),
        };
        Self { burst, interval }
    }

    /// Takes one event and returns the new theoretical arrival. The error is the time from which an event will be
    /// allowed.
    pub fn take(self, arrival: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, Timestamp> {
        if self.interval.is_zero() {
            return Ok(now);
        }
        let burst = i32::try_from(self.burst.max(1)).unwrap_or(i32::MAX);
        let latest = now + self.interval * burst + MAX_SKEW;
        // An arrival that is too far ahead was written before the clock went back. It does not delay events.
        let arrival = arrival.filter(|arrival| *arrival <= latest).map_or(now, |arrival| arrival.max(now));
        let allowed_from = arrival - self.interval * (burst - 1);
        if now < allowed_from { Err(allowed_from) } else { Ok(arrival + self.interval) }
    }

    /// Gives back one event that was taken.
    pub fn give_back(self, arrival: Option<Timestamp>) -> Option<Timestamp> {
        arrival.map(|arrival| arrival - self.interval)
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use proptest::prelude::*;

    use super::*;

    fn start() -> Timestamp {
        Utc.timestamp_opt(1_700_000_000, 0).single().expect("a time")
    }

    #[test]
    fn when_the_clock_goes_back_by_days_nobody_waits_for_it_to_catch_up() {
        let rate = Rate { burst: 3, interval: Duration::seconds(60) };
        let fill = |now| (0..3).fold(None, |arrival, _| Some(rate.take(arrival, now).expect("allowed")));
        let refused = rate.take(fill(start() + Duration::hours(3)), start()).expect_err("clocks may differ by so much");
        assert_eq!(refused, start() + Duration::hours(3) + rate.interval);
        rate.take(fill(start() + Duration::days(3)), start()).expect("a new burst");
        let unlimited = Rate { burst: 1, interval: Duration::zero() };
        unlimited.take(Some(start() + Duration::hours(3)), start()).expect("there is no limit");
    }

    #[test]
    fn a_burst_then_one_an_interval() {
        let rate = Rate { burst: 3, interval: Duration::seconds(60) };
        let mut arrival = None;
        for _ in 0..3 {
            arrival = Some(rate.take(arrival, start()).expect("within the burst"));
        }
        assert_eq!(rate.take(arrival, start()), Err(start() + Duration::seconds(60)));
        let later = start() + Duration::seconds(60);
        arrival = Some(rate.take(arrival, later).expect("one more"));
        assert!(rate.take(arrival, later).is_err());
        assert!(rate.take(rate.give_back(arrival), later).is_ok());
    }

    #[test]
    fn zero_interval_is_no_limit() {
        let rate = Rate { burst: 1, interval: Duration::zero() };
        assert_eq!(rate.take(Some(start()), start()), Ok(start()));
    }

    proptest! {
        #[test]
        fn no_day_has_more_than_its_count(count in 1u32..50, gaps in prop::collection::vec(0i64..7_200, 1..400)) {
            let rate = Rate::per_day(count);
            let (mut now, mut arrival, mut taken) = (start(), None, Vec::new());
            for gap in gaps {
                now += Duration::seconds(gap);
                if let Ok(next) = rate.take(arrival, now) {
                    arrival = Some(next);
                    taken.push(now);
                }
            }
            for first in &taken {
                let day = taken.iter().filter(|at| *at >= first && **at < *first + Duration::hours(24));
                prop_assert!(day.count() <= count as usize);
            }
        }
    }
}
