//! Points in time as both databases keep them: UTC, to the microsecond; and the forms in which the original API writes them.

mod text;

use chrono::{DateTime, SubsecRound, Utc};

pub use chrono_tz::Tz as TimeZone;
pub(crate) use text::CALENDAR;
pub use text::{DateError, read, read_over, write};

/// A point in time.
pub type Timestamp = DateTime<Utc>;

/// Cuts a time to microseconds, so that what is answered now equals what is read later.
pub fn stored_precision(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(6)
}

/// Reads a date of which UTC is the time zone, such as a date that this program wrote. Dates of callers and files are read by [`read`],
/// in the configured zone.
pub fn parse(text: &str) -> Option<Timestamp> {
    read(text, TimeZone::UTC).ok()
}

/// Serialises an optional date as RFC 3339 and reads it in any accepted form. This is the form of stored documents.
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
