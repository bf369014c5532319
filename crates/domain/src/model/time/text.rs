//! Reads dates in texts, and writes them as the original API does. The gateway and the import use this one reader.
//!
//! A date without an offset is in the configured time zone. Rules for local times that are not exactly one instant:
//!
//! - An hour that a clock shows twice, because it is put back, means its first occurrence.
//! - An hour that a clock skips, because it is put forward, is refused with [`DateError::Skipped`].
//! - A date without a time means its midnight, or the first instant of the day when the clock skips midnight.
//!
//! The calendar has the years 1 to 9999, in every zone and in UTC. At its ends, local times of a zone can be instants
//! of the year 0 or 10000, which neither the databases nor the wire can hold. Their distance from the end, in seconds,
//! is stored as microseconds of the first or last second, so that the same zone shows the text that was read. See ADR
//! 32.

use std::io::Write;
use std::ops::RangeInclusive;

use chrono::{
    DateTime, Datelike, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone as _, Timelike, Utc,
};
use chrono_tz::{GapInfo, OffsetName, Tz};

use super::timestamp::{Timestamp, stored_precision};

/// First and last second of the years 1 to 9999 in UTC, counted from 1970.
pub(crate) const CALENDAR: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Upper bound of the microseconds that count seconds beyond an end of the calendar. It is larger than the largest
/// offset of a zone in seconds.
const BEYOND_LIMIT: u32 = 90_000;

/// The reason why a text is not a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// The text has none of the accepted forms, or names a day or time that no calendar has.
    #[error(
        "must be a date such as 2015-11-27T16:08:55, 2015-11-27T16:08:55+02:00, 2015-11-27T16:08:55Z, 2015-11-27 \
         or Fri Nov 27 16:08:55 EET 2015, with a year of four digits"
    )]
    Form,
    /// The clocks of the time zone skip this local time.
    #[error(
        "does not exist in the time zone {0}, whose clocks are put forward over it: give another time, or an \
         offset such as +02:00"
    )]
    Skipped(Tz),
}

/// A date as written: with an offset, or local.
enum Written {
    Local(NaiveDateTime),
    /// A date without a time.
    Day(NaiveDate),
    Offset(NaiveDateTime, FixedOffset),
}

/// Reads a date. One without an offset is in `zone`. The result has microseconds and is in the years 1 to 9999.
///
/// # Errors
///
/// [`DateError`] for every text that is not a date in one of the accepted forms.
pub fn read(text: &str, zone: Tz) -> Result<Timestamp, DateError> {
    instant(written(text, zone).ok_or(DateError::Form)?, zone)
}

/// Reads a date that replaces a stored one. Returns the stored date when [`write`] shows it as this text, so that
/// importing an answer changes nothing: answers have no fractions of a second, and show the second occurrence of an
/// hour as the first.
///
/// # Errors
///
/// The errors of [`read`].
pub fn read_or_stored(text: &str, stored: Option<Timestamp>, zone: Tz) -> Result<Timestamp, DateError> {
    let date = written(text, zone).ok_or(DateError::Form)?;
    if let (Written::Local(local), Some(stored)) = (&date, stored)
        && shown(stored.timestamp(), stored.timestamp_subsec_micros(), zone) == Some(*local)
    {
        return Ok(stored);
    }
    instant(date, zone)
}

/// Writes the local time of the zone without its offset, such as `2015-05-27T12:03:05`. Returns `None` for an instant
/// outside of the years 1 to 9999.
pub fn write(out: &mut Vec<u8>, seconds: i64, nanos: u32, zone: Tz) -> Option<()> {
    let local = shown(seconds, nanos / 1_000, zone)?;
    // The debug form of chrono is this form, and needs no allocation. The local time has no fraction.
    write!(out, "{local:?}").ok()
}

/// Returns the local time, in seconds, that the clocks of the zone show at an instant.
fn shown(seconds: i64, micros: u32, zone: Tz) -> Option<NaiveDateTime> {
    let utc = DateTime::from_timestamp(seconds, 0).filter(|_| CALENDAR.contains(&seconds))?.naive_utc();
    if zone == Tz::UTC {
        return Some(utc);
    }
    let offset = zone.offset_from_utc_datetime(&utc).fix().local_minus_utc();
    let (begin, end) = (*CALENDAR.start(), *CALENDAR.end());
    let beyond = if micros < BEYOND_LIMIT { i64::from(micros) } else { 0 };
    let true_seconds = match seconds {
        seconds if seconds == end && offset < 0 => end + beyond,
        seconds if seconds == begin && offset > 0 => begin - beyond,
        seconds => seconds,
    };
    // A clock that is past an end of the calendar shows that end.
    let local = (true_seconds + i64::from(offset)).clamp(begin, end);
    DateTime::from_timestamp(local, 0).map(|local| local.naive_utc())
}

fn instant(date: Written, zone: Tz) -> Result<Timestamp, DateError> {
    let (utc, offset) = match date {
        Written::Offset(local, offset) => (local - offset, offset),
        Written::Local(local) => match zone.from_local_datetime(&local) {
            MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => {
                (time.naive_utc(), time.offset().fix())
            }
            MappedLocalTime::None => return Err(DateError::Skipped(zone)),
        },
        Written::Day(day) => {
            let first = first_instant(day, zone).ok_or(DateError::Skipped(zone))?;
            (first.naive_utc(), first.offset().fix())
        }
    };
    Ok(in_calendar(utc, offset))
}

/// Returns midnight, or the first instant after it when the clocks skip midnight. Returns `None` when they skip the
/// whole day.
fn first_instant(day: NaiveDate, zone: Tz) -> Option<DateTime<Tz>> {
    let midnight = day.and_time(NaiveTime::MIN);
    match zone.from_local_datetime(&midnight) {
        MappedLocalTime::Single(time) | MappedLocalTime::Ambiguous(time, _) => Some(time),
        MappedLocalTime::None => {
            let first = GapInfo::new(&midnight, &zone)?.end?;
            (first.date_naive() == day).then_some(first)
        }
    }
}

/// Cuts a date to the stored precision. An instant outside of the years 1 to 9999 becomes the nearest end, with the
/// distance in its microseconds.
fn in_calendar(utc: NaiveDateTime, offset: FixedOffset) -> Timestamp {
    // A leap second becomes the end of the second before it: neither the databases nor the wire have another place for
    // it.
    let utc = utc.with_nanosecond(utc.nanosecond().min(999_999_999)).unwrap_or(utc);
    let seconds = utc.and_utc().timestamp();
    let (begin, end) = (*CALENDAR.start(), *CALENDAR.end());
    let beyond = match seconds {
        seconds if seconds < begin => begin - seconds,
        seconds if seconds > end => seconds - end,
        seconds => {
            let micros = utc.nanosecond() / 1_000;
            // In another zone than UTC, such a fraction would be read as seconds beyond the end.
            if offset.local_minus_utc() == 0 || !(seconds == begin || seconds == end) || micros >= BEYOND_LIMIT {
                return stored_precision(utc.and_utc());
            }
            0
        }
    };
    let kept = DateTime::<Utc>::from_timestamp(seconds.clamp(begin, end), 0).unwrap_or_default();
    kept + TimeDelta::microseconds(beyond)
}

fn written(text: &str, zone: Tz) -> Option<Written> {
    let date = if text.starts_with(|first: char| first.is_ascii_digit()) { iso(text) } else { java(text, zone) }?;
    let year = match &date {
        Written::Local(local) | Written::Offset(local, _) => local.year(),
        Written::Day(day) => day.year(),
    };
    (1..=9999).contains(&year).then_some(date)
}

/// Reads `2015-11-27`, `2015-11-27T16:08:55`, or the latter with a fraction, with a blank instead of `T`, or with an
/// offset.
fn iso(text: &str) -> Option<Written> {
    let (year, _) = text.split_once('-')?;
    if !is_year(year) {
        return None;
    }
    let read_day = |text| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let Some((day, time)) = text.split_once(['T', 't', ' ']) else { return read_day(text).map(Written::Day) };
    let day = read_day(day)?;
    let end = time.find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.')).unwrap_or(time.len());
    let (clock, rest) = time.split_at(end);
    let local = day.and_time(NaiveTime::parse_from_str(clock, "%H:%M:%S%.f").ok()?);
    match rest.strip_prefix(' ').unwrap_or(rest) {
        "" if rest.is_empty() => Some(Written::Local(local)),
        zone => offset(zone).map(|offset| Written::Offset(local, offset)),
    }
}

/// Reads `Fri Nov 27 16:08:55 EET 2015`, the form of Java's `Date.toString`, also with an offset in place of the zone's
/// name.
fn java(text: &str, zone: Tz) -> Option<Written> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [weekday, month, day, clock, zone_name, year] = words.as_slice() else { return None };
    if !is_year(year) {
        return None;
    }
    let plain = format!("{weekday} {month} {day} {clock} {year}");
    let local = NaiveDateTime::parse_from_str(&plain, "%a %b %d %H:%M:%S %Y").ok()?;
    // Zone names are ambiguous, so those of the configured zone come first: IST is Irish in Dublin and Indian in
    // Kolkata.
    let candidates = zone.from_local_datetime(&local);
    let mut own = [candidates.earliest(), candidates.latest()].into_iter().flatten();
    let own = own.find(|time| time.offset().abbreviation() == Some(*zone_name));
    let offset =
        own.map(|time| time.offset().fix()).or_else(|| offset(zone_name)).or_else(|| named_offset(zone_name))?;
    Some(Written::Offset(local, offset))
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Reads `Z`, `+02:00`, `+0200` or `+02`, the last three also after `GMT` or `UTC`.
fn offset(text: &str) -> Option<FixedOffset> {
    if matches!(text, "Z" | "z" | "GMT" | "UTC") {
        return FixedOffset::east_opt(0);
    }
    let signed = text.strip_prefix("GMT").or_else(|| text.strip_prefix("UTC")).unwrap_or(text);
    let (sign, digits) = match signed.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None => digits
            .split_at_checked(2)
            .map(|(hours, minutes)| (hours, if minutes.is_empty() { "00" } else { minutes }))?,
    };
    let number =
        |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<i32>().ok())?;
    let minutes = number(minutes).filter(|minutes| *minutes < 60)?;
    FixedOffset::east_opt(sign * (number(hours)? * 3_600 + minutes * 60))
}

/// Returns the offset of a common zone name. A name that several zones share means the first one of this list.
fn named_offset(name: &str) -> Option<FixedOffset> {
    let minutes = match name {
        "WET" => 0,
        "CET" | "WEST" | "BST" => 60,
        "EET" | "CEST" | "SAST" => 120,
        "EEST" | "MSK" => 180,
        "GST" => 240,
        "LHST" => 630,
        "LHDT" => 660,
        "WSST" => 780,
        "WSDT" => 840,
        "BRST" => -120,
        "NDT" => -150,
        "BRT" => -180,
        "NST" => -210,
        "EDT" => -240,
        "EST" | "CDT" => -300,
        "CST" | "MDT" => -360,
        "MST" | "PDT" => -420,
        "PST" => -480,
        _ => return None,
    };
    FixedOffset::east_opt(minutes * 60)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

/// Reads a date whose time zone is UTC, such as a date that this program wrote. [`read`] reads the dates of callers and
/// files, in the configured zone.
pub fn parse(text: &str) -> Option<Timestamp> {
    read(text, Tz::UTC).ok()
}
