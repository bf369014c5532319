//! Points in time as both databases keep them: UTC, to the microsecond; and the forms in which the original API wrote
//! them.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, SubsecRound, TimeZone, Timelike, Utc};

/// A point in time.
pub type Timestamp = DateTime<Utc>;

/// Cuts a time to microseconds, so that what is answered now equals what is read later.
pub fn stored_precision(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(6)
}

/// Reads a date in one of the three forms that are accepted everywhere: `2015-05-27T12:03:05` (UTC),
/// RFC 3339, and `Fri Nov 27 16:08:55 EET 2015`. Years 1 to 9999.
pub fn parse(text: &str) -> Option<Timestamp> {
    let time = match NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        Ok(plain) => plain.and_utc(),
        Err(_) => match DateTime::parse_from_rfc3339(text) {
            Ok(zoned) => zoned.to_utc(),
            Err(_) => parse_with_zone_name(text)?,
        },
    };
    (1..=9999).contains(&time.year()).then(|| stored_precision(without_leap_second(time)))
}

/// A leap second is the end of the second before it: neither the databases nor the wire have another place for it.
fn without_leap_second(time: Timestamp) -> Timestamp {
    time.with_nanosecond(time.nanosecond().min(999_999_999)).unwrap_or(time)
}

/// `Fri Nov 27 16:08:55 EET 2015`: the form of Java's `Date.toString`.
fn parse_with_zone_name(text: &str) -> Option<Timestamp> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [day_name, month, day, clock, zone, year] = words.as_slice() else { return None };
    let plain = format!("{day_name} {month} {day} {clock} {year}");
    let plain = NaiveDateTime::parse_from_str(&plain, "%a %b %d %H:%M:%S %Y").ok()?;
    Some(offset_of(zone)?.from_local_datetime(&plain).single()?.to_utc())
}

/// Offsets of the zone names that Java writes where the original ran, and the common ones besides.
fn offset_of(zone: &str) -> Option<FixedOffset> {
    let hours = match zone {
        "UTC" | "GMT" | "WET" | "Z" => 0,
        "CET" | "WEST" | "BST" => 1,
        "EET" | "CEST" | "SAST" => 2,
        "EEST" | "MSK" => 3,
        "GST" => 4,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    FixedOffset::east_opt(hours * 3600)
}

/// Serialises an optional date as RFC 3339 and reads it in any accepted form.
pub mod documented {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::Timestamp;

    /// Writes RFC 3339.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.serialize(serializer)
    }

    /// Reads any accepted form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        super::parse(&text).map(Some).ok_or_else(|| de::Error::custom("is not a date"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_forms_of_one_moment() {
        let expected = Utc.with_ymd_and_hms(2015, 11, 27, 14, 8, 55).single();
        for text in
            ["2015-11-27T14:08:55", "2015-11-27T16:08:55+02:00", "2015-11-27T14:08:55Z", "Fri Nov 27 16:08:55 EET 2015"]
        {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let bad = [
            "",
            "2015-11-27",
            "27/11/2015",
            "Fri Nov 27 16:08:55 XYZ 2015",
            "Mon Nov 27 16:08:55 EET 2015",
            "2015-02-30T00:00:00",
            "+10000-01-01T00:00:00",
        ];
        for text in bad {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_second_is_the_end_of_the_second_before() {
        let end = parse("2016-12-31T23:59:59.999999");
        for text in ["2016-12-31T23:59:60", "2016-12-31T23:59:60.5Z", "Sat Dec 31 23:59:60 UTC 2016"] {
            assert_eq!(parse(text), end, "{text}");
        }
    }

    #[test]
    fn more_than_microseconds_is_cut() {
        let time = parse("2015-11-27T14:08:55.123456789").expect("a date");
        assert_eq!(time.timestamp_subsec_nanos(), 123_456_000);
    }
}
