//! Points in time as both databases keep them: UTC, to the microsecond; and the forms in which the original API writes them.

mod text;
mod timestamp;

pub use chrono_tz::Tz as TimeZone;
pub(crate) use text::CALENDAR;
pub use text::{DateError, parse, read, read_over, write};
pub use timestamp::{Timestamp, stored_precision};

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
