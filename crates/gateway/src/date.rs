//! Dates as the original API writes and reads them.

use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::{OffsetName, Tz};

/// The first and the last second of the years 1 to 9999.
const CALENDAR: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Writes `2015-05-27T12:03:05`, in the zone and without saying so. `None`: the years 1 to 9999 do not have that date.
pub(crate) fn write(out: &mut Vec<u8>, seconds: i64, zone: Tz) -> Option<()> {
    let on_clock = |seconds| DateTime::from_timestamp(seconds, 0).map(|time| time.naive_utc());
    let utc = on_clock(seconds).filter(|_| CALENDAR.contains(&seconds))?;
    let local = match zone {
        Tz::UTC => utc,
        // A clock that is past an end of the calendar shows that end: it is the date that stands for "for ever".
        zone => {
            let local = utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix())?;
            local.clamp(on_clock(*CALENDAR.start())?, on_clock(*CALENDAR.end())?)
        }
    };
    let year = u32::try_from(local.year()).ok()?;
    let mut digits = |number: u32, after: Option<u8>| {
        out.extend([b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
        out.extend(after);
    };
    digits(year / 100, None);
    digits(year % 100, Some(b'-'));
    digits(local.month(), Some(b'-'));
    digits(local.day(), Some(b'T'));
    digits(local.hour(), Some(b':'));
    digits(local.minute(), Some(b':'));
    digits(local.second(), None);
    Some(())
}

/// The three forms, for error messages.
pub(crate) const FORMS: &str =
    "must be a date such as 2015-11-27T16:08:55, 2015-11-27T16:08:55+02:00 or Fri Nov 27 16:08:55 EET 2015";

/// Reads a date in one of the three forms, as seconds and nanoseconds since 1970. Years 1 to 9999.
pub(crate) fn parse(text: &str, zone: Tz) -> Option<(i64, i32)> {
    let time = match NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f") {
        // Of the two moments that a clock shows when it is put back, the first; of none when it is put forward, none.
        Ok(plain) => zone.from_local_datetime(&plain).earliest()?.to_utc(),
        Err(_) => match DateTime::parse_from_rfc3339(text) {
            Ok(zoned) => zoned.to_utc(),
            Err(_) => with_zone_name(text, zone)?.to_utc(),
        },
    };
    let valid = (1..=9999).contains(&time.year());
    valid.then(|| (time.timestamp(), time.timestamp_subsec_nanos().min(999_999_999) as i32))
}

/// `Fri Nov 27 16:08:55 EET 2015`: the form of Java's `Date.toString`.
fn with_zone_name(text: &str, zone: Tz) -> Option<DateTime<FixedOffset>> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [weekday, month, day, clock, zone_name, year] = words.as_slice() else { return None };
    let plain = format!("{weekday} {month} {day} {clock} {year}");
    let plain = NaiveDateTime::parse_from_str(&plain, "%a %b %d %H:%M:%S %Y").ok()?;
    // The configured zone knows its own names best: IST is Irish in Dublin and Indian in Kolkata.
    let candidates = zone.from_local_datetime(&plain);
    let own = [candidates.earliest(), candidates.latest()].into_iter().flatten();
    let own = own.into_iter().find(|time| time.offset().abbreviation() == Some(zone_name));
    own.map(|time| time.fixed_offset()).or_else(|| offset_of(zone_name)?.from_local_datetime(&plain).single())
}

/// Offsets of common zone names.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: i64, zone: Tz) -> Option<String> {
        let mut out = Vec::new();
        write(&mut out, seconds, zone)?;
        String::from_utf8(out).ok()
    }

    #[test]
    fn a_moment_is_written_in_the_zone() {
        assert_eq!(written(1_432_728_185, Tz::UTC).as_deref(), Some("2015-05-27T12:03:05"));
        assert_eq!(written(1_432_728_185, Tz::Asia__Nicosia).as_deref(), Some("2015-05-27T15:03:05"));
        assert_eq!(written(-62_135_596_800, Tz::UTC).as_deref(), Some("0001-01-01T00:00:00"));
        assert_eq!(written(253_402_300_799, Tz::UTC).as_deref(), Some("9999-12-31T23:59:59"));
        assert_eq!(written(253_402_300_800, Tz::UTC), None);
        assert_eq!(written(i64::MAX, Tz::UTC), None);
    }

    #[test]
    fn a_clock_past_an_end_of_the_calendar_shows_that_end() {
        let (east, west) = (Tz::Asia__Nicosia, Tz::America__New_York);
        assert_eq!(written(253_402_300_799, east).as_deref(), Some("9999-12-31T23:59:59"));
        assert_eq!(written(-62_135_596_800, west).as_deref(), Some("0001-01-01T00:00:00"));
        for outside in [253_402_300_800, -62_135_596_801] {
            assert_eq!((written(outside, east), written(outside, west)), (None, None));
        }
    }

    #[test]
    fn three_forms_of_one_moment() {
        let nicosia = Tz::Asia__Nicosia;
        for text in [
            "2015-11-27T16:08:55",
            "2015-11-27T16:08:55+02:00",
            "2015-11-27T14:08:55Z",
            "Fri Nov 27 16:08:55 EET 2015",
            "Fri Nov 27 14:08:55 UTC 2015",
        ] {
            assert_eq!(parse(text, nicosia), Some((1_448_633_335, 0)), "{text}");
        }
        assert_eq!(parse("Thu Aug 27 16:08:55 IST 2015", Tz::Asia__Kolkata), Some((1_440_671_935, 0)));
        assert_eq!(parse("2015-11-27T14:08:55.25", Tz::UTC), Some((1_448_633_335, 250_000_000)));
    }

    #[test]
    fn a_clock_that_is_put_back_or_forward() {
        let berlin = Tz::Europe__Berlin;
        let first = parse("2015-10-25T02:30:00+02:00", berlin);
        assert_eq!(parse("2015-10-25T02:30:00", berlin), first);
        assert_eq!(parse("Sun Oct 25 02:30:00 CET 2015", berlin), parse("2015-10-25T02:30:00+01:00", berlin));
        assert_eq!(parse("2015-03-29T02:30:00", berlin), None, "no clock showed that");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "2015-11-27",
            "27/11/2015",
            "Fri Nov 27 16:08:55 XYZ 2015",
            "Mon Nov 27 16:08:55 EET 2015",
            "2015-02-30T00:00:00",
            "+10000-01-01T00:00:00",
            "0000-01-01T00:00:00",
        ] {
            assert_eq!(parse(text, Tz::UTC), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in -62_135_596_800i64..253_402_300_799, kolkata: bool) {
            // Kolkata has not changed its clock since 1945: no local time is ambiguous.
            let seconds = if kolkata { seconds.rem_euclid(4_000_000_000) } else { seconds };
            let zone = if kolkata { Tz::Asia__Kolkata } else { Tz::UTC };
            let text = written(seconds, zone).expect("in range");
            proptest::prop_assert_eq!(parse(&text, zone), Some((seconds, 0)));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = parse(&text, Tz::Europe__Berlin);
        }
    }
}
