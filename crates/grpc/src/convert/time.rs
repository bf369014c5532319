//! Points in time.

use access_tokens_domain::Reason;
use access_tokens_domain::error::Violations;
use access_tokens_domain::time::{Timestamp, stored_precision};
use chrono::{DateTime, Datelike};

/// Returns the form on the wire.
pub(super) fn to_wire(time: Timestamp) -> prost_types::Timestamp {
    // The domain holds only times with a non-negative fraction of a second.
    prost_types::Timestamp { seconds: time.timestamp(), nanos: time.timestamp_subsec_nanos() as i32 }
}

/// Reads the form on the wire, cut to the precision that is stored. A time outside of the years 1 to 9999, or with a fraction outside of
/// a second, is a violation of the field.
pub(super) fn from_wire(
    field: &str,
    time: Option<prost_types::Timestamp>,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let time = time?;
    let valid = u32::try_from(time.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000)
        .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos))
        .filter(|time| (1..=9999).contains(&time.year()));
    if valid.is_none() {
        violations.add(Reason::InvalidFieldValue, field, "must be a time between the years 1 and 9999");
    }
    valid.map(stored_precision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seconds: i64, nanos: i32) -> (Option<Timestamp>, Violations) {
        let mut violations = Violations::default();
        let time = from_wire("udf_date_1", Some(prost_types::Timestamp { seconds, nanos }), &mut violations);
        (time, violations)
    }

    #[test]
    fn the_range_ends_with_the_years_1_and_9999() {
        for (seconds, nanos) in [(-62_135_596_800, 0), (253_402_300_799, 999_999_999), (0, 0), (-1, 1)] {
            let (time, violations) = read(seconds, nanos);
            assert!(time.is_some() && violations.is_empty(), "{seconds}.{nanos}");
        }
        for (seconds, nanos) in [
            (-62_135_596_801, 0),
            (253_402_300_800, 0),
            (0, -1),
            (0, 1_000_000_000),
            (i64::MAX, 0),
            (i64::MIN, i32::MIN),
        ] {
            let (time, violations) = read(seconds, nanos);
            assert!(time.is_none() && !violations.is_empty(), "{seconds}.{nanos}");
        }
    }

    #[test]
    fn times_are_cut_to_microseconds_and_survive_the_way_back() {
        let (time, _) = read(-5, 123_456_789);
        let wire = to_wire(time.expect("valid"));
        assert_eq!((wire.seconds, wire.nanos), (-5, 123_456_000));
    }
}
