use chrono::{NaiveDate, NaiveDateTime, TimeDelta};

use super::*;

/// Zones with offsets of half hours, clocks that are put forward by 30 minutes or at midnight, and a day that was left out.
const ZONES: [Tz; 8] = [
    Tz::UTC,
    Tz::Europe__Athens,
    Tz::America__New_York,
    Tz::America__Sao_Paulo,
    Tz::Asia__Kolkata,
    Tz::Australia__Lord_Howe,
    Tz::Pacific__Apia,
    Tz::America__St_Johns,
];

fn written_as(time: Timestamp, zone: Tz) -> String {
    let mut out = Vec::new();
    write(&mut out, time.timestamp(), time.timestamp_subsec_nanos(), zone).expect("in the calendar");
    String::from_utf8(out).expect("a text")
}

fn rfc3339(text: &str) -> Timestamp {
    DateTime::parse_from_rfc3339(text).expect("a date").to_utc()
}

fn local(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S").expect("a date")
}

#[test]
fn every_form_of_one_moment() {
    let expected = rfc3339("2015-11-27T14:08:55Z");
    for zone in ZONES {
        for text in [
            "2015-11-27T16:08:55+02:00",
            "2015-11-27T16:08:55+0200",
            "2015-11-27T16:08:55+02",
            "2015-11-27 16:08:55 +02:00",
            "2015-11-27T16:08:55 GMT+02:00",
            "2015-11-27T10:38:55-0330",
            "2015-11-27T14:08:55Z",
            "2015-11-27t14:08:55z",
            "Fri Nov 27 16:08:55 EET 2015",
            "Fri Nov 27 16:08:55 GMT+02:00 2015",
            "Fri Nov 27 10:38:55 GMT-0330 2015",
            "Fri Nov 27 16:08:55 +0200 2015",
            "Fri Nov 27 14:08:55 UTC 2015",
            "Fri Nov 27 09:08:55 EST 2015",
        ] {
            assert_eq!(read(text, zone), Ok(expected), "{text} in {zone}");
        }
        let shown = written_as(expected, zone);
        for text in [shown.clone(), shown.replace('T', " "), format!("{shown}.0")] {
            assert_eq!(read(&text, zone), Ok(expected), "{text} in {zone}");
        }
        let fraction = read(&format!("{shown}.123456789"), zone);
        assert_eq!(fraction, Ok(expected + TimeDelta::microseconds(123_456)), "{zone}");
    }
}

#[test]
fn a_zone_knows_its_own_names_best() {
    for (text, zone, expected) in [
        ("Thu Aug 27 16:08:55 IST 2015", Tz::Asia__Kolkata, "2015-08-27T10:38:55Z"),
        ("Thu Aug 27 16:08:55 IST 2015", Tz::Europe__Dublin, "2015-08-27T15:08:55Z"),
        ("Fri Nov 27 16:08:55 NST 2015", Tz::America__St_Johns, "2015-11-27T19:38:55Z"),
        ("Sun Oct 25 02:30:00 CET 2015", Tz::Europe__Berlin, "2015-10-25T01:30:00Z"),
        ("Sun Oct 25 02:30:00 CEST 2015", Tz::Europe__Berlin, "2015-10-25T00:30:00Z"),
        ("Sun Mar 29 03:30:00 EET 2015", Tz::Europe__Athens, "2015-03-29T01:30:00Z"),
    ] {
        assert_eq!(read(text, zone), Ok(rfc3339(expected)), "{text} in {zone}");
    }
    assert_eq!(read("Thu Aug 27 16:08:55 IST 2015", Tz::UTC), Err(DateError::Form));
}

#[test]
fn every_other_text_is_refused() {
    for text in [
        "",
        " ",
        "now",
        "27/11/2015",
        "2015",
        "2015-11",
        "20151127",
        "1448633335",
        "15-11-27T16:08:55",
        "015-11-27T16:08:55",
        "02015-11-27T16:08:55",
        "+2015-11-27T16:08:55",
        "15-11-27",
        "-2015-11-27T16:08:55",
        "+10000-01-01T00:00:00",
        "10000-01-01T00:00:00",
        "0000-01-01T00:00:00",
        "0000-12-31",
        "2015-02-30T00:00:00",
        "2015-02-29",
        "2015-13-01",
        "2015-11-27T25:00:00",
        "2015-11-27T16:08",
        "2015-11-27T",
        "2015-11-27T16:08:55 ",
        "2015-11-27T16:08:55  +02:00",
        "2015-11-27T16:08:55+2:00",
        "2015-11-27T16:08:55+02:60",
        "2015-11-27T16:08:55+24:00",
        "2015-11-27T16:08:55EET",
        "2015-11-27+02:00",
        "2015-11-27T16:08:55Z+01:00",
        "2015-11-27T16:08:55,5",
        "2015-11-27T16:08:55+\u{0662}0:00",
        "\u{0662}015-11-27",
        "Fri Nov 27 16:08:55 XYZ 2015",
        "Mon Nov 27 16:08:55 EET 2015",
        "Fri Nov 27 16:08:55 2015",
        "Fri Nov 27 16:08:55 EET 15",
        "Fri Nov 27 16:08:55 EET 0000",
        "Fri Nov 27 16:08:55 GMT+2 2015",
    ] {
        for zone in ZONES {
            assert_eq!(read(text, zone), Err(DateError::Form), "{text}");
        }
    }
    let told = DateError::Form.to_string();
    for form in ["2015-11-27T16:08:55", "2015-11-27 ", "+02:00", "Fri Nov 27 16:08:55 EET 2015", "four digits"] {
        assert!(told.contains(form), "{told}");
    }
}

/// Every local minute around every change of a clock, in every zone: it is either skipped, or shown again as it was written.
#[test]
fn local_times_are_skipped_or_shown_again_as_written() {
    let day = |text| NaiveDate::parse_from_str(text, "%Y-%m-%d").expect("a day").and_time(NaiveTime::MIN);
    let around = [
        "2015-03-08",
        "2015-03-29",
        "2015-04-05",
        "2015-10-04",
        "2015-10-18",
        "2015-10-25",
        "2015-11-01",
        "2011-12-30",
    ];
    let mut skipped = 0;
    for zone in ZONES {
        for start in around.map(day) {
            for minute in -60..26 * 60 {
                let text = (start + TimeDelta::minutes(minute)).format("%Y-%m-%dT%H:%M:%S").to_string();
                match read(&text, zone) {
                    Ok(time) => assert_eq!(written_as(time, zone), text, "{zone}"),
                    Err(error) => {
                        assert_eq!(
                            (error, zone == Tz::UTC || zone == Tz::Asia__Kolkata),
                            (DateError::Skipped(zone), false)
                        );
                        skipped += 1;
                    }
                }
            }
        }
    }
    // One hour each in Athens, New York, Sao Paulo and St. John's, half an hour at Lord Howe, a day in Apia.
    assert_eq!(skipped, 4 * 60 + 30 + 24 * 60);
    let told = DateError::Skipped(Tz::Europe__Athens).to_string();
    assert!(told.contains("Europe/Athens") && told.contains("put forward") && !told.contains("such as 2015"), "{told}");
}

#[test]
fn a_day_without_a_time_begins_at_its_first_instant() {
    for (text, zone, expected) in [
        ("2015-11-27", Tz::UTC, "2015-11-27T00:00:00Z"),
        ("2015-11-27", Tz::Asia__Kolkata, "2015-11-26T18:30:00Z"),
        // The clocks go from midnight to one o'clock.
        ("2015-10-18", Tz::America__Sao_Paulo, "2015-10-18T03:00:00Z"),
        ("2006-04-02", Tz::America__St_Johns, "2006-04-02T03:31:00Z"),
        // The clocks show the hour before midnight twice, and midnight once.
        ("2015-02-22", Tz::America__Sao_Paulo, "2015-02-22T03:00:00Z"),
    ] {
        let read = read(text, zone);
        if text == "2006-04-02" {
            // There the clocks went forward one minute after midnight, which exists.
            assert_eq!(read, Ok(rfc3339("2006-04-02T03:30:00Z")));
        } else {
            assert_eq!(read, Ok(rfc3339(expected)), "{text} in {zone}");
        }
    }
    assert_eq!(
        read("2011-12-30", Tz::Pacific__Apia),
        Err(DateError::Skipped(Tz::Pacific__Apia)),
        "a day that was left out"
    );
}

#[test]
fn of_an_hour_that_a_clock_shows_twice_the_first_is_meant() {
    let first = rfc3339("2015-10-25T00:30:00Z");
    assert_eq!(read("2015-10-25T03:30:00", Tz::Europe__Athens), Ok(first));
    assert_eq!(read("2015-10-25T03:30:00+02:00", Tz::Europe__Athens), Ok(rfc3339("2015-10-25T01:30:00Z")));
}

#[test]
fn the_ends_of_the_calendar_are_shown_as_they_were_written() {
    let hours = |hours| TimeDelta::hours(hours);
    for zone in ZONES {
        let (first, last) = (local("0001-01-01T00:00:00"), local("9999-12-31T23:59:59"));
        let begin = (0..30).map(|hour| first + hours(hour));
        let end = (0..30).map(|hour| last - hours(hour));
        for time in begin.chain(end) {
            let text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
            for text in [&text, &format!("{text}.005"), &format!("{text}.999999")] {
                let stored = read(text, zone).expect("in the calendar");
                assert!(CALENDAR.contains(&stored.timestamp()), "{text} in {zone}");
                assert_eq!(written_as(stored, zone), text[..19], "{zone}");
                assert_eq!(read(&stored.to_rfc3339(), zone), Ok(stored), "documents keep it");
            }
        }
        for text in ["0001-01-01", "9999-12-31"] {
            let stored = read(text, zone).expect("in the calendar");
            assert_eq!(written_as(stored, zone), format!("{text}T00:00:00"), "{zone}");
        }
        for (text, shown) in [
            ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59"),
            ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00"),
            ("Fri Dec 31 23:59:59 EST 9999", "9999-12-31T23:59:59"),
        ] {
            let stored = read(text, zone).expect("in the calendar");
            assert!(CALENDAR.contains(&stored.timestamp()), "{text}");
            if zone == Tz::UTC {
                assert_eq!(written_as(stored, zone), shown);
            }
        }
    }
    assert_eq!(read("9999-12-31T23:59:59", Tz::UTC), Ok(rfc3339("9999-12-31T23:59:59Z")));
    for seconds in [CALENDAR.start() - 1, CALENDAR.end() + 1, i64::MIN, i64::MAX] {
        assert_eq!(write(&mut Vec::new(), seconds, 0, Tz::UTC), None);
    }
}

#[test]
fn a_clock_past_an_end_of_the_calendar_shows_that_end() {
    let (begin, end) = (rfc3339("0001-01-01T00:00:00Z"), rfc3339("9999-12-31T23:59:59Z"));
    assert_eq!(written_as(end, Tz::Europe__Athens), "9999-12-31T23:59:59");
    assert_eq!(written_as(begin, Tz::America__New_York), "0001-01-01T00:00:00");
    assert_eq!(written_as(end, Tz::America__New_York), "9999-12-31T18:59:59");
}

#[test]
fn a_date_that_an_answer_showed_stays_as_it_is_stored() {
    for zone in ZONES {
        for stored in [
            rfc3339("2015-11-27T14:08:55.123456Z"),
            // The second occurrence of an hour, in Athens and in New York.
            rfc3339("2015-10-25T01:30:00.5Z"),
            rfc3339("2015-11-01T06:30:00Z"),
            rfc3339("9999-12-31T23:59:59.999999Z"),
            rfc3339("0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(read_or_stored(&written_as(stored, zone), Some(stored), zone), Ok(stored), "{zone}");
            let other = stored + TimeDelta::seconds(1);
            // All instants beyond one end of the calendar are shown as the same text.
            if (2000..3000).contains(&stored.year()) {
                assert_ne!(
                    read_or_stored(&written_as(other, zone), Some(stored), zone),
                    Ok(stored),
                    "another date in {zone}"
                );
            }
        }
    }
    let stored = rfc3339("2015-11-27T14:08:55.5Z");
    assert_eq!(read_or_stored("2015-11-27T14:08:55Z", Some(stored), Tz::UTC), Ok(rfc3339("2015-11-27T14:08:55Z")));
}

#[test]
fn a_leap_second_is_the_end_of_the_second_before() {
    let end = Ok(rfc3339("2016-12-31T23:59:59.999999Z"));
    for text in ["2016-12-31T23:59:60", "2016-12-31T23:59:60.5Z", "Sat Dec 31 23:59:60 UTC 2016"] {
        assert_eq!(read(text, Tz::UTC), end, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn any_instant_is_shown_and_read_again(seconds in -62_135_596_800i64..=253_402_300_799, zone in 0..8usize) {
        let (stored, zone) = (DateTime::from_timestamp(seconds, 0).expect("in range"), ZONES[zone]);
        let text = written_as(stored, zone);
        proptest::prop_assert_eq!(read_or_stored(&text, Some(stored), zone), Ok(stored));
        let again = read(&text, zone).expect("a local time that exists");
        proptest::prop_assert_eq!(written_as(again, zone), text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        for zone in ZONES {
            let _ = read(&text, zone);
        }
    }
}
