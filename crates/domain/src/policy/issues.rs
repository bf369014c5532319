//! Limits on the issuing of codes: a cooldown between codes, and a maximum per day. This is a state machine without a
//! clock, as [`crate::policy::attempts`] is.

use chrono::Duration;

use crate::model::policy::IssuePolicy;
use crate::model::time::Timestamp;
use crate::policy::rate::Rate;

/// The stored state of the codes of one kind that were issued for one token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issues {
    /// State of the cooldown; see [`Rate`].
    pub cooldown_arrival: Option<Timestamp>,
    /// State of the limit per day.
    pub day_arrival: Option<Timestamp>,
}

impl Issues {
    /// Counts one more code. The error is the time from which a code may be issued.
    pub fn admit(&self, policy: &IssuePolicy, now: Timestamp) -> Result<Self, Timestamp> {
        let cooldown = Rate { burst: policy.burst, interval: Duration::seconds(policy.cooldown_seconds.into()) };
        let cooldown = cooldown.take(self.cooldown_arrival, now);
        let day = Rate::per_day(policy.per_day).take(self.day_arrival, now);
        match (cooldown, day) {
            (Ok(cooldown), Ok(day)) => Ok(Self { cooldown_arrival: Some(cooldown), day_arrival: Some(day) }),
            (Err(at), Ok(_)) | (Ok(_), Err(at)) => Err(at),
            (Err(cooldown), Err(day)) => Err(cooldown.max(day)),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};

    use super::*;

    #[test]
    fn cooldown_and_day_both_hold() {
        let policy = IssuePolicy { burst: 2, cooldown_seconds: 60, per_day: 6 };
        let start = Utc.timestamp_opt(1_700_000_000, 0).single().expect("a time");
        let issue = |issues: &Issues, second| issues.admit(&policy, start + Duration::seconds(second));
        let first = issue(&Issues::default(), 0).expect("first");
        let second = issue(&first, 0).expect("second");
        assert_eq!(issue(&second, 0), Err(start + Duration::seconds(60)));
        let third = issue(&second, 60).expect("after the cooldown");
        let refused = issue(&third, 600).expect_err("three of six at once");
        assert!(refused > start + Duration::hours(7) && refused < start + Duration::hours(9));
    }
}
