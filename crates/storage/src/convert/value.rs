//! Conversion of single values: names, JSON documents and times.

use access_tokens_domain::store::{StoreError, StoreResult};
use access_tokens_domain::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Error for a row that this service cannot have written. It names the column, never the value.
#[derive(Debug, thiserror::Error)]
#[error("corrupt value in {0}")]
struct Corrupt(&'static str);

pub(super) fn corrupt(column: &'static str) -> StoreError {
    StoreError::Fault(Box::new(Corrupt(column)))
}

/// Reads a value that must be a documented name.
pub(super) fn named<T>(value: &str, from_name: fn(&str) -> Option<T>, column: &'static str) -> StoreResult<T> {
    from_name(value).ok_or_else(|| corrupt(column))
}

/// Reads a JSON document.
pub(super) fn document<T: DeserializeOwned>(json: &str, column: &'static str) -> StoreResult<T> {
    serde_json::from_str(json).map_err(|_| corrupt(column))
}

/// Writes a JSON document. Numbers that JSON cannot represent are refused long before; one that arrives here is a
/// fault.
pub(super) fn to_document<T: Serialize>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Fault(Box::new(error)))
}

/// Returns microseconds since the epoch, the form of all times in the database.
pub(crate) fn micros(time: Timestamp) -> i64 {
    time.timestamp_micros()
}

pub(crate) fn time(micros: i64, column: &'static str) -> StoreResult<Timestamp> {
    Timestamp::from_timestamp_micros(micros).ok_or_else(|| corrupt(column))
}

pub(crate) fn optional_time(micros: Option<i64>, column: &'static str) -> StoreResult<Option<Timestamp>> {
    micros.map(|micros| time(micros, column)).transpose()
}
