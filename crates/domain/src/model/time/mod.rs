//! Points in time with the precision of both databases (UTC, microseconds), and the forms in which the original API
//! writes them.

mod text;
mod timestamp;

pub use chrono_tz::Tz as TimeZone;
pub(crate) use text::CALENDAR;
pub use text::{DateError, parse, read, read_or_stored, write};
pub use timestamp::{Timestamp, stored_precision};

use serde::{Deserialize, Deserializer, de};

/// Deserialises an optional date of a stored document, in any accepted form.
pub(crate) fn deserialize_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    parse(&text).map(Some).ok_or_else(|| de::Error::custom("is not a date"))
}
