//! Points in time with the precision of both databases (UTC, microseconds), and the forms in which the original API
//! writes them.

mod text;
mod timestamp;

pub use chrono_tz::Tz as TimeZone;
pub(crate) use text::CALENDAR;
pub use text::{DateError, parse, read, read_or_stored, write};
pub use timestamp::{Timestamp, stored_precision};

/// Serialises an optional date as RFC 3339, and reads it in any accepted form. Stored documents use it.
pub mod documented {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::Timestamp;

    /// Serialises as RFC 3339.
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        time.serialize(serializer)
    }

    /// Deserialises any accepted form.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        super::parse(&text).map(Some).ok_or_else(|| de::Error::custom("is not a date"))
    }
}
